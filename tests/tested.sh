#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# tested.sh: the table of the last `make test` (build/tested.md) goes into README.md beside this file.
cd "$(dirname "$0")/.." || exit 2
[ -e build/tested.md ] || { echo "tested.sh: no build/tested.md; run make test first" >&2; exit 1; }
awk '
/<!-- tested:begin -->/ { print; while ((getline line < "build/tested.md") > 0) print line; within = 1 }
/<!-- tested:end -->/ { within = 0 }
!within || /<!-- tested:end -->/ { if (!/<!-- tested:begin -->/) print }
' tests/README.md >build/README.tests && cp build/README.tests tests/README.md
