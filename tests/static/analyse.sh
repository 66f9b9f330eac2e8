#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# analyse.sh BACKEND: TAP, one case for each static analyser: the headers with their implementation give no
# finding. A suppression stands in .clang-tidy or beside the line, with its reason.

# backend, cross prefix, clang target, what that target's compiler defines, flags
backends='
fake        -                   x86_64-linux-gnu   __x86_64__       -DAXVCPU_ARCH_FAKE
x86-bare    -                   x86_64-linux-gnu   __x86_64__       -ffreestanding -DAXVCPU_ARCH_X86
x86-kvm     -                   x86_64-linux-gnu   __x86_64__       -D_GNU_SOURCE -DAXVCPU_ARCH_X86 -DAXVCPU_KVM
arm64-bare  aarch64-linux-gnu-  aarch64-linux-gnu  __aarch64__      -ffreestanding -mno-outline-atomics -DAXVCPU_ARCH_ARM64
arm64-kvm   aarch64-linux-gnu-  aarch64-linux-gnu  __aarch64__      -D_GNU_SOURCE -DAXVCPU_ARCH_ARM64 -DAXVCPU_KVM
riscv-bare  riscv64-linux-gnu-  riscv64-linux-gnu  __riscv_xlen=64  -ffreestanding -march=rv64gc -DAXVCPU_ARCH_RISCV -D__riscv
riscv-kvm   riscv64-linux-gnu-  riscv64-linux-gnu  __riscv_xlen=64  -D_GNU_SOURCE -march=rv64gc -DAXVCPU_ARCH_RISCV -DAXVCPU_KVM -D__riscv
'
work=build/static/$1
mkdir -p $work
printf '#define AXVCPU_IMPLEMENTATION\n#include "axvcpu.h"\n' >$work/all.c
cases=0

# case NAME COMMAND...: it succeeds and prints no finding
check() {
    name=$1
    shift
    cases=$((cases + 1))
    if "$@" >$work/log 2>&1 && ! grep -qE 'warning:|error:' $work/log; then
        echo "ok $cases - $name"
    else
        echo "not ok $cases - $name"
        grep -E -A 3 'warning:|error:' $work/log | head -n 40 | sed 's/^/#   /'
        failed=1
    fi
}

# gcc's own flags mean nothing to clang.
for_clang() { echo "$*" | sed 's/-mno-outline-atomics//'; }

# Where the cross packages keep the C library's headers.
system_headers() { if [ -d "/usr/$1/include/linux" ]; then echo "-isystem /usr/$1/include"; fi; }

while read -r backend cross target defined flags; do
    [ "$backend" = "$1" ] || continue
    [ "$cross" != - ] || cross=
    # shellcheck disable=SC2086 # flags are words
    check "gcc -fanalyzer: $backend" timeout 300 "${cross}gcc" -std=c11 -O1 -fanalyzer -Wall -Wextra -I. $flags \
        -c -o $work/all.o $work/all.c
    # shellcheck disable=SC2046,SC2086
    check "clang-tidy: $backend" timeout 300 clang-tidy --quiet $work/all.c -- --target=$target -std=c11 -I. \
        $(system_headers $target) $(for_clang $flags)
    # shellcheck disable=SC2046
    check "cppcheck: $backend" timeout 300 cppcheck -q --std=c11 --enable=warning,performance,portability \
        --suppressions-list=tests/static/cppcheck --error-exitcode=1 -I. -D__GNUC__=12 "-D$defined" \
        --template='{file}:{line}: warning: {message} [{id}]' -D__linux__ -D__STDC_HOSTED__=1 $(echo "$flags" | tr ' ' '\n' | grep '^-D') $work/all.c
done <<EOF
$backends
EOF
echo "1..$cases"
exit ${failed:-0}
