# SPDX-License-Identifier: Apache-2.0
#
# axvcpu.h needs no build; this runs its examples, tests and benchmarks. `make help` lists the targets.
# Everything that is written lands in build/; but `make bench` writes its table in README.md and plots in bench/.
#
# Tests: each tests/NAME/*.c is one TAP program (tests/tap.h). A comment line `// flags: -DX -lY` (or
# ` * flags:`) in a source adds compiler flags for that file. To add a test target: one `suite` line
# below, its packages in tests/deps.sh and its number of cases in tests/minimum. What the line cannot
# say stands in tests/NAME/rules.mk: PROGRAMS_NAME (files) and COMMANDS_NAME ("label=shell command")
# to run, NEEDS_NAME to build before that, JOBS_NAME programs at a time, LIMIT_NAME seconds for each,
# RUN_FLAGS_NAME for tests/run.c.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 1)
endif

PREFIX ?= /usr/local
DESTDIR ?=
CC ?= cc
# The tests need gcc's sanitizers, whatever CC is.
GCC ?= gcc

HEADERS := axvcpu.h axvcpu_arch_x86.h axvcpu_arch_arm64.h axvcpu_arch_riscv.h
STRICT := -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wundef -Wstrict-prototypes -Werror
FAKE := -DAXVCPU_ARCH_FAKE -DAXVCPU_CHECKED
RUN := build/run
RUN_EXAMPLES := $(if $(filter x86_64,$(shell uname -m)),build/run-examples/hello build/run-examples/longmode)

own_flags = $$(sed -nE 's,^(//| \*) flags: ,,p' $(filter %.c,$<))
# -g1: lines are what a sanitizer's report needs; variables take a quarter of an optimised compilation's time.
compile_files = @mkdir -p $(@D) && echo "  CC    $@" && \
  $1 -std=c11 -g1 $(STRICT) -pthread -I. -MMD -MP -MT $@ -MF $@.d -o $@ $2
compile = $(call compile_files,$1,$(filter %.c,$^))
compile_one = $(call compile_files,$1,$<)# a test may include another one's source

.PHONY: help run test model examples bench dist install deps clean
help: ## this list
	@echo "targets:"
	@sed -n -e 's/^\([a-z][a-z-]*\):.* ## /\1@/p' -e 's/^$$(call suite,\([a-z0-9]*\).* ## /test-\1@/p' Makefile \
	  tests/*/rules.mk bench/rules.mk | \
	  awk -F@ '{printf "  %-14s %s\n", $$1, $$2}'
run: build/run-examples/fake $(RUN_EXAMPLES) ## see it run: real guests on the best thing that is here, else a script
	@sh tests/kvm/run.sh $^

# One after the other, because some of them measure.
test: $(RUN) ## all tests
	@rm -rf build/results
	@for t in $(TESTS); do echo "== test-$$t"; $(MAKE) --no-print-directory test-$$t || :; done
	@$(RUN) -s $(TESTS)
model: test-model ## the protocols between CPUs, model-checked

.PHONY: tested
tested: ## the last run's table into tests/README.md
	@tests/tested.sh

# ---- examples: each examples/X.c is one program, and so is each of these directories

EXAMPLE_DIRS := $(patsubst %/.,%,$(wildcard examples/custom_backend/.))
EXAMPLES := $(patsubst %.c,build/%,$(wildcard examples/*.c)) $(addprefix build/,$(EXAMPLE_DIRS))

examples: $(EXAMPLES) ## build the examples to build/examples

build/examples/%: examples/%.c | deps-run
	$(call compile,$(CC)) -O2 $(own_flags)

build/run-examples/%: examples/%.c tests/kvm/exits.h | deps-run
	$(call compile,$(CC)) -O2 -static -include tests/kvm/exits.h $(own_flags)

ANYWHERE := $(shell grep -ls '^ \* backends: all' examples/*.c)

build/examples/on-fake/%: examples/%.c | deps-run
	$(call compile,$(CC)) -O2 -DAXVCPU_ARCH_FAKE $(own_flags)

define example_dir
build/$1: $$(wildcard $1/*.c $1/*.h) | deps-run
	$$(call compile,$$(CC)) -O2 $$(own_flags)
endef
$(foreach d,$(EXAMPLE_DIRS),$(eval $(call example_dir,$d)))

# ---- tests

$(RUN): tests/run.c | deps-run
	$(call compile,$(CC)) -O1

BUILD_o2 := -O2
BUILD_bare := -O2# what runs without an operating system
BUILD_asan := -O0 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
BUILD_tsan := -O0 -fsanitize=thread
BUILD_fuzz := -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all

THREADS := \<(cpu_start|pthread_create|join|finishes)\>
# sources SUITE,BUILD: all, but the thread sanitizer sees nothing in a program that starts no thread
sources = $(if $(filter tsan,$2),$(shell grep -lE '$(THREADS)' tests/$1/*.c),$(wildcard tests/$1/*.c))

# program SUITE,BUILD,FLAGS: how tests/SUITE/X.c becomes build/tests/SUITE/BUILD/X
define program
build/tests/$1/$2/%: tests/$1/%.c | deps-$1
	$$(call compile_one,$$(GCC)) $$(BUILD_$2) $3 $$(own_flags)
PROGRAMS_$1 += $(patsubst tests/$1/%.c,build/tests/$1/$2/%,$(call sources,$1,$2))
endef

# target SUITE: test-SUITE itself
define target
TESTS += $1
.PHONY: test-$1 deps-$1
deps-$1:
	@tests/deps.sh $1
test-$1: $$(RUN) $$(PROGRAMS_$1) $$(NEEDS_$1) | deps-$1
	@$$(RUN) -j $$(or $$(JOBS_$1),2) -l $$(or $$(LIMIT_$1),120) $$(RUN_FLAGS_$1) $1 $$(PROGRAMS_$1) $$(COMMANDS_$1)
endef

# suite NAME,BUILDS,FLAGS: nothing as long as there is no tests/NAME
suite = $(if $(wildcard tests/$1/.),$(foreach b,$2,$(eval $(call program,$1,$b,$3)))$(eval $(call target,$1)))

# Examples with a line `test: expect TEXT` are run, and their output must have TEXT: here those that need no
# hardware. One with a line `backends: all` has no word of any backend, and is run on the fake one too.
NO_HARDWARE := $(shell grep -lsE 'AXVCPU_ARCH_(FAKE|HEADER)' examples/*.c examples/*/*.c)
# Those for KVM are built where they are run: with test-kvm, if that is here.
KVM_EXAMPLES := $(filter-out $(NO_HARDWARE),$(wildcard examples/*.c))
NEEDS_core += $(if $(filter x86_64,$(shell uname -m)),$(filter-out $(KVM_EXAMPLES:%.c=build/%),$(EXAMPLES)),$(EXAMPLES)) \
  $(patsubst examples/%.c,build/examples/on-fake/%,$(ANYWHERE))
COMMANDS_core += "examples=sh tests/examples.sh build/examples $(NO_HARDWARE)" \
  "examples on the fake backend=sh tests/examples.sh build/examples/on-fake $(ANYWHERE)"

include $(wildcard tests/*/rules.mk bench/rules.mk)

$(call suite,core,o2 asan tsan,$(FAKE)) ## states, ownership, exits, fake backend, examples
$(call suite,headers)                         ## the headers: compilers, standards, macros, linking
$(call suite,vm,o2 asan tsan,$(FAKE))   ## run loop, devices, memory, SMP
$(call suite,model)                           ## the protocols, model-checked
$(call suite,kvm)                             ## guests on KVM
$(call suite,arm64)                           ## guests on bare AArch64
$(call suite,riscv)                           ## guests on bare RISC-V
$(call suite,x86)                             ## guests on bare x86-64
$(call suite,static)                          ## static analysis
$(call suite,soak)                            ## VMs that come and go
$(call suite,mutants)                         ## faults that the tests must find, twenty of them
$(call suite,hostile)                         ## guests of random instructions: EL2, HS, VMX, SVM, KVM
$(call suite,fuzz)                            ## hostile input

test-%:
	@echo "there is no tests/$* yet" && false

# ---- the rest

bench: | deps-bench ## what it costs
	@if [ -f bench/run.sh ]; then bench/run.sh; else echo "there is no bench/run.sh yet"; false; fi

dist: build/axvcpu.h ## all headers in one file: build/axvcpu.h
build/axvcpu.h: $(HEADERS) tests/amalgamate.sh
	@mkdir -p $(@D) && echo "  DIST  $@" && sh tests/amalgamate.sh axvcpu.h >$@

VERSION = $(shell sed -n 's/^\#define AXVCPU_VERSION_[MP][A-Z]* *\([0-9]*\)$$/\1/p' axvcpu.h | paste -sd .)
INCLUDE_DIR = $(DESTDIR)$(PREFIX)/include
PC_DIR = $(DESTDIR)$(PREFIX)/share/pkgconfig

install: ## the headers and axvcpu.pc to PREFIX (/usr/local), below DESTDIR if that is set
	@mkdir -p build
	@printf '%s\n' 'prefix=$(PREFIX)' 'includedir=$${prefix}/include' '' 'Name: axvcpu' \
	  'Description: virtual CPUs for C hypervisors' 'Version: $(VERSION)' \
	  'Cflags: -I$${includedir}' >build/axvcpu.pc
	install -d $(INCLUDE_DIR) $(PC_DIR)
	install -m 644 $(HEADERS) $(INCLUDE_DIR)
	install -m 644 build/axvcpu.pc $(PC_DIR)

deps: ## install the tools of every target
	@tests/deps.sh all
.PHONY: deps-run deps-bench
deps-run deps-bench:
	@tests/deps.sh $(@:deps-%=%)

clean: ## remove build/
	rm -rf build

-include $(shell find build -type f -name '*.d' 2>/dev/null)
