// SPDX-License-Identifier: Apache-2.0
//
// For outside.c: every VMREAD is counted.
#define AXVCPU_I_X86_BEFORE_VMREAD "incq vmreads(%%rip)\n\t"
