#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# image.sh PROGRAM IMAGE: a disk that a BIOS starts: the boot sector, then the program. 20 cylinders, 16
# heads, 63 sectors.
set -e
objcopy -O binary -j .boot "$1" "$2.boot"
objcopy -O binary -j .image "$1" "$2.image"
cat "$2.boot" "$2.image" >"$2"
truncate -s $((20 * 16 * 63 * 512)) "$2"
rm "$2.boot" "$2.image"
