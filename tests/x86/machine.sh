#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# machine.sh SECONDS MACHINE PROGRAM [OPTION...]: runs a bare program; its console is our output. MACHINE is
# qemu:CPU, with options for QEMU, or bochs:CPU, with commands for its debugger, whose output then comes as it
# is. CPUS=1: Bochs has one, and counts each instruction; with two, in fives. ONLY=NAME: just the cases of that
# name, or that begin so: 'order*'. CONSOLE=1: all that is printed, also by Bochs, not only TAP.
set -e
limit=$1 kind=${2%%:*} cpu=${2#*:} program=$3
shift 3
dir=$(mktemp -d)
trap '[ -n "$KEEP" ] && [ -f "$dir/log" ] && cp "$dir/log" "$KEEP"; rm -rf "$dir"' EXIT
sh "$(dirname "$0")/image.sh" "$program" "$dir/disk"
words=$(nm "$program" | sed -n 's/^0*\([0-9a-f]*\) . machine_words$/\1/p')
panic=
case $kind:$cpu in
qemu:*) name=qemu-svm ;;
# Its SVM exits by a guest's triple fault after a panic of the CPU's and a stop in the debugger, which goes on then.
bochs:ryzen)
    name=bochs-svm panic=', cpu0=report'
    [ "$CPUS" = 1 ] || panic="$panic, cpu1=report" ;;
*) name=bochs-vmx ;;
esac
printf 'substrate=x86-%s seed=%s%s\0' $name "$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')" "${ONLY:+ only=$ONLY}" |
    dd of="$dir/disk" bs=1 seek=$((0x$words - 0x7c00)) conv=notrunc 2>/dev/null

if [ "$kind" = qemu ]; then
    timeout "$limit" qemu-system-x86_64 -accel tcg -cpu "$cpu" -m 64 -smp 2 -display none -monitor none -no-reboot \
        -drive format=raw,file="$dir/disk" -debugcon stdio -device isa-debug-exit,iobase=0xf4 "$@" </dev/null && exit
    [ $? -eq 1 ] # what isa-debug-exit makes of 0
    exit
fi

# Debian's is a debugger: without a command it waits for one. It returns 1 even on success.
cat >"$dir/bochsrc" <<END
plugin_ctrl: unmapped=1, biosdev=1, speaker=0, extfpuirq=1, parallel=0, serial=0, iodebug=1
config_interface: textconfig
display_library: rfb, options="timeout=0"
memory: guest=64, host=64
romimage: file="/usr/share/bochs/BIOS-bochs-latest"
vgaromimage: file="/usr/share/vgabios/vgabios.bin"
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=disk, path="$dir/disk", mode=volatile, cylinders=20, heads=16, spt=63
boot: disk
cpu: model=$cpu, count=${CPUS:-2}, ips=4000000, reset_on_triple_fault=0, ignore_bad_msrs=1
clock: sync=none
port_e9_hack: enabled=1
log: $dir/log
panic: action=fatal$panic
error: action=report
info: action=report
debug: action=ignore
END
{ printf '%s\n' "$@"; yes c | head -n 100000; } | sed '/^$/d' >"$dir/rc"
if [ $# -gt 0 ] || [ -n "$CONSOLE" ]; then # the debugger's own output is wanted
    timeout "$limit" bochs -q -f "$dir/bochsrc" -rc "$dir/rc" </dev/null 2>/dev/null || :
    exit 0
fi
timeout "$limit" bochs -q -f "$dir/bochsrc" -rc "$dir/rc" </dev/null 2>/dev/null | tr -d '\r' | sed -n '/^# substrate\|^ok \|^not ok \|^1\.\.\|^#\|^Bail out/p' || :
