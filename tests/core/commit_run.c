// SPDX-License-Identifier: Apache-2.0
// flags: -UAXVCPU_ARCH_FAKE -DAXVCPU_ARCH_HEADER="tests/core/mock.h" -DMOCK_RUN_COMMITS
//
// The same with a backend that commits when the guest is entered, as KVM does.
#include "commit.c"
