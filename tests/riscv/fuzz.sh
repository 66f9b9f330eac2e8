#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# fuzz.sh N: N executions of the decoder's fuzzer, as one TAP case.
log=build/logs/riscv/fuzz.libfuzzer
mkdir -p build/logs/riscv
if build/tests/riscv/fuzz -runs="$1" -seed=1 -max_len=400 -artifact_prefix=build/logs/riscv/ >"$log" 2>&1; then
    echo "ok 1 - the decoder survives $1 executions of its fuzzer"
else
    echo "not ok 1 - the decoder's fuzzer found something"
    tail -n 30 "$log" | sed 's/^/# /'
fi
echo "# $(tail -n 1 "$log")"
echo 1..1
