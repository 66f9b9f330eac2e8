// SPDX-License-Identifier: Apache-2.0
//
// The implementation in a file of its own.
#define _GNU_SOURCE
#define AXVCPU_ARCH_HEADER "bench/minimal.h"
#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"
