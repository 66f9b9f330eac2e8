#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# trace.sh PROGRAM: every instruction of count.elf goes through trace.c.
fifo=$(mktemp -u) || exit 2
mkfifo "$fifo" || exit 2
sh tests/arm64/qemu.sh 100 3 cortex-a57 "$1" -singlestep -d exec,nochain -D "$fifo" >/dev/null &
build/tests/arm64/trace "$1" <"$fifo"
rm -f "$fifo"
wait
