#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# qemu.sh SECONDS GIC CPU PROGRAM [QEMU OPTION...]: runs a bare program at EL2; its console is our output.
# GIC is 2 or 3. ONLY=NAME: just the cases of that name, or that begin so: 'order*'.
limit=$1 gic=$2 cpu=$3 program=$4
shift 4
[ "$cpu" != max ] || cpu=max,pauth-impdef=on
seed=$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')
exec timeout "$limit" qemu-system-aarch64 -accel tcg -M "virt,virtualization=on,gic-version=$gic" -cpu "$cpu" -m 64 \
    -smp 2 -display none -monitor none -serial stdio -no-reboot -kernel "$program" \
    -append "axvcpu:seed=$seed substrate=arm64-gicv$gic${ONLY:+ only=$ONLY}" "$@" </dev/null
