#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh FAKE PROGRAM...: runs the programs (static, real guests) on the best thing there is: this machine's
# /dev/kvm; else a Linux with KVM in QEMU, if that is to be had; else FAKE. Says which.
fake=$1
shift

here() {
    [ "$(uname -m)" = x86_64 ] || return 1
    for program; do
        echo "--- $(basename "$program"), on this machine's KVM"
        timeout 20 "$program" || return 1
    done
}

# What a program prints comes out of boot.sh as comments.
in_qemu() {
    [ "$(uname -m)" = x86_64 ] && tests/deps.sh kvm >/dev/null 2>&1 || return 1
    MAKEFLAGS= make -s build/tests/kvm/init || return 1
    for program; do echo "tap 20 /$(basename "$program")"; done >build/run-list
    tests/kvm/boot.sh amd64 build/tests/kvm/init build/run-list "$@" >build/run-log 2>&1
    sed -n -e "/^# console: \[/d" -e "s/^# console: //p" build/run-log
    grep -q '^# console: .*HALT' build/run-log
}

if [ -z "$AXVCPU_RUN" ] || [ "$AXVCPU_RUN" = here ]; then here "$@" && exit; fi
if [ -z "$AXVCPU_RUN" ] || [ "$AXVCPU_RUN" = qemu ]; then
    echo "no usable /dev/kvm; booting a Linux that has one, in QEMU (some seconds, once some more)"
    in_qemu "$@" && exit
fi
echo "no KVM here and no QEMU either: the scripted backend plays a guest"
exec "$fake"
