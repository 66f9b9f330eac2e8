#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# examples.sh DIR SOURCE...: TAP for the examples that are built in DIR: each line `// test: expect TEXT` (or
# ` * test: ...`) of a source is one case, and holds when the program succeeded and its output contains TEXT.

dir=$1
shift
cases=0
for source; do
    program=${source#examples/}
    program=$dir/${program%.c}
    if [ -f "${program%/*}" ]; then program=${program%/*}; fi # a directory is one program
    output=$(timeout 20 "$program" 2>&1 </dev/null)
    code=$?
    while IFS= read -r text; do
        cases=$((cases + 1))
        case $code$output in
        0*"$text"*) echo "ok $cases - $program prints: $text" ;;
        77*) echo "ok $cases - $program prints: $text # SKIP kvm: no usable /dev/kvm" ;;
        *)
            echo "not ok $cases - $program prints: $text"
            echo "#   exit code $code, output:"
            echo "$output" | sed 's/^/#   /'
            ;;
        esac
    done <<EOF
$(sed -nE 's,^(//| \*) test: expect ,,p' "$source")
EOF
done
echo "1..$cases"
