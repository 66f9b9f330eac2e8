#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# fuzz.sh PROGRAM N LENGTH [OPTION...]: N executions of a libFuzzer program, on inputs of at most LENGTH bytes and
# with a fixed seed, as one TAP case.
program=$1 n=$2 length=$3
shift 3
logs=build/logs/${program#build/tests/}
mkdir -p "$logs"
if "$program" -runs="$n" -seed=1 -max_len="$length" -artifact_prefix="$logs/" "$@" >"$logs/log" 2>&1; then
    echo "ok 1 - ${program#build/tests/} survives $n executions"
else
    echo "not ok 1 - ${program#build/tests/} found something"
    tail -n 30 "$logs/log" | sed 's/^/# /'
fi
echo "# $(tail -n 1 "$logs/log")"
echo 1..1
