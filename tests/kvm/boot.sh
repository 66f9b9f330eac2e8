#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# boot.sh MACHINE INIT LIST FILE...: boots the kernel of kernel.sh in QEMU (no acceleration needed) with INIT
# as /init, LIST as the list of what it runs (init.c has its form) and each FILE (a path, or PATH=NAME) in
# /, and prints the TAP that comes out on the console as the TAP of one program. A guest that does not
# finish, or a program there that ends without its plan or with an error, is a failed case.
set -eu

# machine, kernel, console, QEMU command
table='
amd64      amd64      ttyS0    qemu-system-x86_64 -cpu max -smp 1
arm64-nvhe arm64      ttyAMA0  qemu-system-aarch64 -M virt,virtualization=on,gic-version=2 -cpu cortex-a57 -smp 1
arm64-vhe  arm64-new  ttyAMA0  qemu-system-aarch64 -M virt,virtualization=on,gic-version=3 -cpu max,pauth-impdef=on -smp 1
riscv64    riscv64    ttyS0    qemu-system-riscv64 -M virt -cpu rv64,h=true -smp 1
'
LIMIT=${LIMIT:-500} # seconds
here=$(dirname "$0")
arch=$1 init=$2 list=$3
shift 3

# shellcheck disable=SC2046 # a row is words
set -- $(echo "$table" | sed -n "s/^$arch  *//p") -- "$@"
kernel=$1 console=$2 command=''
shift 2
while [ "$1" != -- ]; do command="$command $1" && shift; done
shift

# Under CI=true tests/run.c takes this for a failure.
skip() {
    echo "ok 1 - $arch guests in QEMU # SKIP qemu: $1"
    echo "1..1"
    exit 0
}
program=${command# }
program=${program%% *}
command -v "$program" >/dev/null 2>&1 || skip "there is no $program"
"$here/kernel.sh" "$kernel" || skip "no kernel for $kernel could be fetched"
kernel=$PWD/build/cache/kernel/$kernel

work=$(mktemp -d "$PWD/build/boot.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
mkdir "$work/root"
cp "$init" "$work/root/init"
cp "$list" "$work/root/list"
cp -r "$kernel/modules" "$work/root/modules"
for file; do
    name=${file#*=}
    file=${file%%=*}
    mkdir -p "$work/root/$(dirname "${name#/}")"
    [ "$name" != "$file" ] || name=$(basename "$file")
    cp "$file" "$work/root/$name"
done
(cd "$work/root" && find . | cpio -o -H newc --quiet) >"$work/initrd"

echo "# substrate: $(cat "$kernel/name") in QEMU TCG"
code=0
# shellcheck disable=SC2086 # a command is words
timeout -k 5 "$LIMIT" $command -accel tcg -m 512 -nodefaults -display none -serial stdio -no-reboot -kernel "$kernel/image" \
    -initrd "$work/initrd" -append "console=$console panic=-1 quiet" </dev/null >"$work/log" 2>&1 || code=$?

# Joins the plans; what is no TAP is shown as a comment.
awk -v code=$code '
function bad(why) { print "not ok " ++cases " - " why; failed = 1 }
{ sub(/\r$/, "") }
/^=== begin / { planned = -1; seen = 0; next }
/^=== end / {
    if (planned != seen) bad($3 " stopped early with status " $4 " after " seen " cases")
    else if ($4 != 0 && !failing) bad($3 " ended with status " $4)
    failing = 0
    next
}
/^=== done/ { finished = 1; next }
/^(not )?ok [0-9]/ {
    seen++
    cases++
    if (/^not/) failed = failing = 1
    sub(/ok [0-9]+/, "ok " cases)
    print
    next
}
/^1\.\.[0-9]+/ { planned = substr($0, 4) + 0; next }
/^#/ || /^Bail out!/ { print; next }
{ print "# console: " $0 }
END {
    if (!finished) bad("the virtual machine did not come to its end (exit code " code ", 124: out of time)")
    print "1.." cases
    exit failed
}' "$work/log"
