// SPDX-License-Identifier: Apache-2.0
//
// A second file with a vCPU of its own.
#define smoke smoke_other
#define SMOKE_NO_MAIN
#include "smoke.c"
