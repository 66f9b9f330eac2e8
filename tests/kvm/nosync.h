// SPDX-License-Identifier: Apache-2.0
//
// In front of a program: a kernel without KVM_CAP_SYNC_REGS.
#ifndef __ASSEMBLER__
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <linux/kvm.h>
#include <stdint.h>
#include <sys/ioctl.h>

#define ioctl(fd, request, arg)                                                                              \
    ((unsigned long)(request) == KVM_CHECK_EXTENSION && (uintptr_t)(arg) == KVM_CAP_SYNC_REGS ? 0 : ioctl(fd, request, arg))
#endif
