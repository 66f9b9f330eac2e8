#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh                 builds and runs the benchmarks; README.md says how they measure. Writes build/bench/, the
#                        table in the project's README.md and the plots in bench/.
# run.sh --check         counts everything twice: the instructions must be the same
# run.sh --only PROGRAM  one of the programs: host, vm, hand, scale, threads, kvm; writes nothing
# run.sh --again GUEST   one of the guests (arm64-el2, riscv-hs, x86-svm, x86-vmx) anew; the rest as written last
# run.sh --ab [A B]      whole processes against each other: the pairs of ab.c, or two commands
cd "$(dirname "$0")/.." || exit 2
MAKEFLAGS='' make --no-print-directory bench-programs || exit
case $1 in
--only) exec build/bench/driver "$@" ;;
--again) build/bench/driver --again "build/bench/guest-$2" && exec build/bench/plot bench ;;
--check) exec build/bench/driver --check build/bench/guest-* ;;
--ab) shift && exec build/bench/ab "$@" ;;
'') build/bench/driver build/bench/guest-* && build/bench/plot bench && build/bench/ab ;;
*) sed -n 's/^# //p' "$0" && exit 2 ;;
esac
