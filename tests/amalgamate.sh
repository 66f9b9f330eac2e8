#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# amalgamate.sh axvcpu.h >OUT: the core with the arch headers inlined. The core includes the selected
# arch header twice. In its place come, the first time, its declarations (from its include guard to the
# guard's #endif) and, the second time, what follows them (the implementation).

awk '
function fail(text) { print "amalgamate: " text | "cat >&2"; failed = 1; exit 1 }

function inline_part(file, part,    line, depth, at) {
    at = 0 # 0 before the guard, 1 inside, 2 behind
    while ((getline line <file) > 0) {
        if (at == 0 && line ~ /^#ifndef AXVCPU_ARCH_[A-Z0-9]*_H$/) { at = 1; depth = 0 }
        if (at == part) print line
        if (at == 1 && line ~ /^# *if/) depth++
        if (at == 1 && line ~ /^# *endif/ && --depth == 0) at = 2
    }
    close(file)
    if (at != 2) fail(file " has no include guard")
}

/^#include "axvcpu_arch_[a-z0-9]*\.h"/ {
    file = $2
    gsub(/"/, "", file)
    if (++seen[file] > 2) fail("a third place includes " file)
    print "/* ---- " file " */"
    inline_part(file, seen[file])
    next
}
{ print }

END {
    for (file in seen)
        if (!failed && seen[file] != 2) fail("only one place includes " file)
}
' "$1"
