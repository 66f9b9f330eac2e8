#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# no_h.sh PROGRAM: on a hart without the H extension a bare program says so and ends; TAP.
out=$(CPU=h=false sh tests/riscv/qemu.sh 30 "$1")
case $out in
*"this hart has no H extension"*"this CPU cannot run guests"*) echo "ok 1 - trap_33: no H extension, and it is said" ;;
*)
    echo "not ok 1 - trap_33: no H extension, and it is said"
    echo "$out" | tail -n 5 | sed 's/^/# /'
    ;;
esac
echo 1..1
