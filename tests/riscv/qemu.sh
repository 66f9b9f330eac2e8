#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# qemu.sh SECONDS PROGRAM [QEMU OPTION...]: runs a bare program; its console is our output. ONLY=NAME: just
# the cases of that name, or that begin so: 'order*'. CPU=x=y,...: other properties of the CPU.
limit=$1 program=$2
shift 2
seed=$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')
timeout "$limit" qemu-system-riscv64 -accel tcg -M virt -cpu "rv64,h=true${CPU:+,$CPU}" -m 128 -smp 2 -display none -monitor none \
    -serial stdio -no-reboot -kernel "$program" -append "axvcpu:seed=$seed${ONLY:+ only=$ONLY}" "$@" </dev/null | tr -d '\r'
