// SPDX-License-Identifier: Apache-2.0
// flags: -UAXVCPU_CHECKED -UAXVCPU_ARCH_FAKE -DAXVCPU_ARCH_HEADER="tests/core/mock.h"
//
// The same without AXVCPU_CHECKED, as users build it: its combinators have a short way of their own.
#include "nesting.c"
