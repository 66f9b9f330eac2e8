// SPDX-License-Identifier: Apache-2.0
//
// The one file that holds the implementation.
#define _GNU_SOURCE
#ifdef IMPL_ARCH_FIRST
#include "axvcpu_arch_arm64.h"
#include "axvcpu_arch_x86.h"
#include "axvcpu_arch_riscv.h"
#endif
#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"
