#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh FAKE PROGRAM...: runs the programs (static, real guests) on the best thing there is: this machine's
# /dev/kvm; else a Linux with KVM in QEMU, if that is to be had; else FAKE. Says which. AXVCPU_RUN=here, qemu
# or no asks for that one alone; FAKE remains for when it is not to be had.
fake=$1
shift

here() {
    [ "$(uname -m)" = x86_64 ] || return 1
    for program; do
        echo "--- $(basename "$program"), on this machine's KVM"
        timeout 20 "$program" || return 1
    done
}

# What a program prints comes out of boot.sh as comments, after the list's line.
in_qemu() {
    [ "$(uname -m)" = x86_64 ] && tests/deps.sh kvm >/dev/null 2>&1 || return 1
    MAKEFLAGS='' make -s build/tests/kvm/init || return 1
    for program; do echo "tap 20 /$(basename "$program")"; done >build/run-list
    tests/kvm/boot.sh amd64 build/tests/kvm/init build/run-list "$@" >build/run-log 2>&1
    sed -n -e "/^# console: \[/d" -e "s/^# substrate: /--- on KVM of /p" -e "s/^# console: //p" build/run-log
    grep -q '^# console: .*HALT' build/run-log
}

if [ -z "$AXVCPU_RUN" ] || [ "$AXVCPU_RUN" = here ]; then here "$@" && exit; fi
if [ -z "$AXVCPU_RUN" ] || [ "$AXVCPU_RUN" = qemu ]; then
    echo "not on this machine's KVM: booting a Linux that has one, in QEMU (some seconds, once some more)"
    in_qemu "$@" && exit
fi
echo "--- $(basename "$fake"): no KVM here and no QEMU either, so the scripted backend plays a guest"
exec "$fake"
