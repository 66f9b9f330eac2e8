#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh [--readme]: builds and runs the benchmarks; README.md says how they measure. Everything that is
# written goes to build/bench/, but for the table in the project's README.md, with --readme.
cd "$(dirname "$0")/.." || exit 2
MAKEFLAGS='' make --no-print-directory bench-programs && exec build/bench/driver "$@"
