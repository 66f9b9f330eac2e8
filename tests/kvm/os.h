// SPDX-License-Identifier: Apache-2.0
//
// The host as axvcpu.h's KVM backends see it. Every call that they make goes through here: it is counted, the
// n-th can be made to fail, the machine can be made to lack something, and what KVM_RUN finds can be made up.
// os.c has the implementation, between these calls and the log; a test only includes axvcpu.h. Counting and
// failing are for one thread.
#ifndef KVM_OS_H
#define KVM_OS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { OS_LOG = 4096, OS_ASKED = 4096 };

extern struct os {
    unsigned calls;           // that can fail, KVM_RUN among them
    unsigned fail_at;         // this one does, counted from 1; 0: none
    int fail_with;            // errno
    const char *failed;       // its name, as a log line has it
    unsigned runs;            // KVM_RUN
    unsigned asked;           // any other ioctl
    unsigned long requests[OS_ASKED];
    int fds, mappings;        // open, mapped
    const char *device;       // instead of /dev/kvm
    unsigned long hidden;     // one more than the number of a capability that this machine does not have
    long (*run)(int fd);      // instead of KVM_RUN: 0 or minus the errno
    char log[OS_LOG];         // all lines
} os;

void os_begin(void);
bool os_said(const char *text);
// The name of a request, as far as log lines have it; how often it was made.
const char *os_name(unsigned long request);
unsigned os_count(unsigned long request);

#endif
