# SPDX-License-Identifier: Apache-2.0
#
# The matrix is the only program here; the other sources are what it compiles.
build/tests/headers/matrix: tests/headers/matrix.c | deps-headers
	$(call compile,$(CC)) -O1

PROGRAMS_headers := build/tests/headers/matrix
NEEDS_headers := build/axvcpu.h
LIMIT_headers := 1500
RUN_FLAGS_headers := -v
