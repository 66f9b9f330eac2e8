# SPDX-License-Identifier: Apache-2.0
BACKENDS_static := x86-bare x86-kvm arm64-bare riscv-bare arm64-kvm riscv-kvm fake
COMMANDS_static := $(foreach b,$(BACKENDS_static),"$b=sh tests/static/analyse.sh $b")
LIMIT_static := 600
RUN_FLAGS_static := -v
