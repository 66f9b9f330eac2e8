#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh                 builds and runs the benchmarks; README.md says how they measure. Writes build/bench/, the
#                        table in the project's README.md and the plots in bench/.
# run.sh --check         counts everything twice: the instructions must be the same
# run.sh --only PROGRAM  one of the programs: host, vm, hand, scale, threads, kvm; writes nothing
cd "$(dirname "$0")/.." || exit 2
MAKEFLAGS='' make --no-print-directory bench-programs || exit
case $1 in
--only) exec build/bench/driver "$@" ;;
*) exec build/bench/driver "$@" build/bench/guests ;;
esac
