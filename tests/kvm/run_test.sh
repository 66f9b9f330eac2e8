#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run_test.sh CONFORMANCE FAKE PROGRAM...: what a visitor sees first. examples/hello.c keeps its size, needs
# nothing but axvcpu.h and libc and compiles with the one line that it names; run.sh runs real guests on what it
# was asked for, says which, and shows what they print, their exits by kind and the time of each. CONFORMANCE -n
# says whether there is a usable /dev/kvm.
conformance=$1 fake=$2
shift 2
cases=0

# check NAME COMMAND...: a case that holds if the command succeeds
check() {
    name=$1
    shift
    cases=$((cases + 1))
    if "$@"; then echo "ok $cases - $name"; else echo "not ok $cases - $name" && printf "%s\n" "$output" | sed 's/^/#   /'; fi
}
skip() {
    cases=$((cases + 1))
    echo "ok $cases - $2 # SKIP $1"
}
has() { printf "%s\n" "$output" | grep -Eq -- "$1"; }
lacks() { ! has "$1"; }

# ---- hello.c

hello=examples/hello.c
output=$(cat $hello)
check "hello.c: at most 60 lines" test "$(wc -l <$hello)" -le 60
check "hello.c: at most 100 columns" test "$(awk 'length > n { n = length } END { print n + 0 }' $hello)" -le 100
check "hello.c: axvcpu.h is included" has '^#include "axvcpu.h"$'
output=$(grep '#include' $hello)
check "hello.c: and nothing else but libc's" test -z "$(printf "%s\n" "$output" | grep -vE '^#include ("axvcpu.h"|<(std(io|lib|def|int|bool)|string|errno)\.h>)$')"

work=$(mktemp -d "$PWD/build/run.XXXXXX")
trap 'rm -rf "$work"' EXIT
line=$(sed -n 's,^ \*  *\(cc .*hello.c\) && ./hello$,\1,p' $hello)
output="$line"
check "hello.c: its own compile line is one" test "$(echo "$line" | wc -l)" -eq 1 -a -n "$line"
output=$(eval "$(echo "$line" | sed "s,-o hello,-o $work/hello,")" 2>&1)
check "hello.c: that line compiles it" test -x "$work/hello"
check "hello.c: without a word" test -z "$output"

# ---- make run

# What both programs show, wherever they run.
guests() {
    check "$1: hello's guest prints" has '^hello from a guest$'
    check "$1: longmode's result" has '^fib\(90\) = 2880067194370816120$'
    check "$1: exits by kind and time: 19 writes" has '^ +(IO|MMIO)_WRITE +19 +[0-9]+\.[0-9]$'
    check "$1: exits by kind and time: HALT" has '^ +HALT +1 +[0-9]+\.[0-9]$'
    check "$1: the scripted backend stays away" lacks 'scripted backend'
}

if "$conformance" -n >/dev/null 2>&1; then
    output=$("$work/hello" 2>&1)
    check "hello.c: compiled by that line, it runs" has '^hello from a guest$'
    output=$(AXVCPU_RUN='' sh tests/kvm/run.sh "$fake" "$@" 2>&1)
    check "of its own accord: on this machine's KVM" has "^--- hello, on this machine's KVM$"
    guests "of its own accord"
    output=$(AXVCPU_RUN=here sh tests/kvm/run.sh "$fake" "$@" 2>&1)
    check "AXVCPU_RUN=here: says which" has "^--- longmode, on this machine's KVM$"
    guests "AXVCPU_RUN=here"
else
    skip "kvm: no usable /dev/kvm" "make run on this machine's KVM"
fi

output=$(AXVCPU_RUN=qemu sh tests/kvm/run.sh "$fake" "$@" 2>&1)
if [ -e build/cache/kernel/amd64/image ]; then
    check "AXVCPU_RUN=qemu: says which" has '^--- on KVM of linux-image.* in QEMU'
    guests "AXVCPU_RUN=qemu"
else
    skip "qemu: no kernel for amd64 could be fetched" "make run in QEMU"
fi

output=$(AXVCPU_RUN=no sh tests/kvm/run.sh "$fake" "$@" 2>&1)
check "AXVCPU_RUN=no: says which" has '^--- fake: .*the scripted backend plays a guest$'
check "AXVCPU_RUN=no: it plays" has '^the loop works'
check "AXVCPU_RUN=no: exits by kind and time" has '^ +HALT +[0-9]+ +[0-9]+\.[0-9]$'
output=$(AXVCPU_RUN=here sh tests/kvm/run.sh "$fake" /bin/false 2>&1)
check "a program that finds no KVM: the scripted backend" has '^the loop works'
echo "1..$cases"
