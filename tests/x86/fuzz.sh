#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# fuzz.sh N: N executions of the pure part's fuzzer, as one TAP case.
log=build/logs/x86/fuzz.libfuzzer
mkdir -p build/logs/x86
if build/tests/x86/fuzz -runs="$1" -seed=1 -max_len=4096 -artifact_prefix=build/logs/x86/ >"$log" 2>&1; then
    echo "ok 1 - the pure part survives $1 executions of its fuzzer"
else
    echo "not ok 1 - the fuzzer found something"
    tail -n 30 "$log" | sed 's/^/# /'
fi
echo "# $(tail -n 1 "$log")"
echo 1..1
