# SPDX-License-Identifier: Apache-2.0
#
# The benchmark programs. They are always built like this, whatever else is: the counts depend on it.
BENCH_FLAGS := -O2
BENCH := $(addprefix build/bench/,host-same host-other hand driver)
bench_compile = $(call compile,$(GCC)) $(BENCH_FLAGS) -DBENCH_FLAGS='"$(BENCH_FLAGS)"'

build/bench/host-same: bench/host.c bench/row.h | deps-core
	$(bench_compile) -DBENCH_SAME
build/bench/host-other: bench/host.c bench/impl.c bench/row.h | deps-core
	$(bench_compile)
build/bench/%: bench/%.c | deps-core
	$(bench_compile)

.PHONY: bench-programs
bench-programs: $(BENCH)

# tests/core/budget.c counts their instructions.
NEEDS_core += build/bench/host-same build/bench/host-other
