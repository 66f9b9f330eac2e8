# SPDX-License-Identifier: Apache-2.0
#
# `make test-soak` takes some seconds, `make soak` SOAK_SECONDS for each backend.
SOAK := build/tests/soak
PROGRAMS_soak :=
$(SOAK)/fake: tests/soak/soak.c | deps-soak
	$(call compile,$(GCC)) -O2 -DAXVCPU_ARCH_FAKE
$(SOAK)/kvm: tests/soak/soak.c | deps-soak
	$(call compile,$(GCC)) -O2
NEEDS_soak := $(SOAK)/fake $(if $(filter x86_64,$(shell uname -m)),$(SOAK)/kvm)
COMMANDS_soak := $(foreach p,$(NEEDS_soak),"$(notdir $p)=$p 10")

SOAK_SECONDS ?= 60
.PHONY: soak
soak: $(RUN) $(NEEDS_soak) ## VMs come and go, and the process does not grow
	@$(RUN) -j 1 -l 3600 -v soak $(foreach p,$(NEEDS_soak),"$(notdir $p)=$p $(SOAK_SECONDS)")
