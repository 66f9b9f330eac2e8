// SPDX-License-Identifier: Apache-2.0
// flags: -UAXVCPU_CHECKED
//
// The same without AXVCPU_CHECKED, as users build it: its combinators do not ask who the owner is.
#include "state_table.c"
