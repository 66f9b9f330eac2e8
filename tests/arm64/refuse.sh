#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# refuse.sh PROGRAM: on a machine without EL2 it says so, and does nothing else.
log=$(timeout 20 qemu-system-aarch64 -accel tcg -M virt,gic-version=2 -cpu cortex-a57 -m 64 -display none -monitor none \
    -serial stdio -no-reboot -kernel "$1" </dev/null)
case $log in
*'# not at EL2'*'cannot run guests'*) echo "ok 1 - a CPU without EL2 is refused with the reason" ;;
*) echo "not ok 1 - a CPU without EL2: $log" ;;
esac
echo 1..1
