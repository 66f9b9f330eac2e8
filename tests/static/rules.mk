# SPDX-License-Identifier: Apache-2.0
BACKENDS_static := fake x86-bare x86-kvm arm64-bare arm64-kvm riscv-bare riscv-kvm
COMMANDS_static := $(foreach b,$(BACKENDS_static),"$b=sh tests/static/analyse.sh $b")
LIMIT_static := 600
RUN_FLAGS_static := -v
