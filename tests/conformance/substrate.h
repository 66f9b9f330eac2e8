// SPDX-License-Identifier: Apache-2.0
//
// Which kind of /dev/kvm this is, found out by what it does, not by what it says: a kernel that runs
// guests without hardware virtualization interprets what they do in ring 0, and its interpreter knows no
// floating point.
#ifndef SUBSTRATE_H
#define SUBSTRATE_H

#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__x86_64__)
// Real mode: fninit; fld1; hlt. Returns the exit reason, or -1.
static int probe_float(int vm, struct kvm_run *run, int vcpu, uint8_t *memory)
{
    static const uint8_t code[] = {0xdb, 0xe3, 0xd9, 0xe8, 0xf4};
    struct kvm_userspace_memory_region region = {.memory_size = 0x1000, .userspace_addr = (uintptr_t)memory};
    struct kvm_regs regs = {.rflags = 2};
    struct kvm_sregs sregs;
    memcpy(memory, code, sizeof code);
    if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) != 0 || ioctl(vcpu, KVM_GET_SREGS, &sregs) != 0)
        return -1;
    sregs.cs.base = sregs.cs.selector = 0;
    if (ioctl(vcpu, KVM_SET_SREGS, &sregs) != 0 || ioctl(vcpu, KVM_SET_REGS, &regs) != 0 ||
        ioctl(vcpu, KVM_RUN, 0) != 0)
        return -1;
    return (int)run->exit_reason;
}

static const char *probe(int vm, struct kvm_run *run, int vcpu, uint8_t *memory)
{
    int reason = probe_float(vm, run, vcpu, memory);
    return reason == KVM_EXIT_HLT ? "kvm" : reason == KVM_EXIT_INTERNAL_ERROR ? "kvm-soft" : NULL;
}
#elif defined(__aarch64__)
// Whether it gives calls away: Linux 6.4 (devices/vm.rst, KVM_ARM_VM_SMCCC_FILTER).
static const char *probe(int vm, struct kvm_run *run, int vcpu, uint8_t *memory)
{
    struct kvm_device_attr filter = {0};
    (void)run, (void)vcpu, (void)memory;
    return ioctl(vm, KVM_HAS_DEVICE_ATTR, &filter) == 0 ? "arm64-kvm" : "arm64-kvm-old";
}
#else
static const char *probe(int vm, struct kvm_run *run, int vcpu, uint8_t *memory)
{
    (void)vm, (void)run, (void)vcpu, (void)memory;
    return "riscv-kvm";
}
#endif

// A name of absent.h; NULL: no /dev/kvm that is of use.
static const char *find_substrate(void)
{
    const char *name = NULL;
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    int vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
    int vcpu = vm < 0 ? -1 : ioctl(vm, KVM_CREATE_VCPU, 0);
    int size = kvm < 0 ? -1 : ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    void *memory = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    void *run = vcpu < 0 || size <= 0 ? MAP_FAILED : mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    if (run != MAP_FAILED && memory != MAP_FAILED)
        name = probe(vm, run, vcpu, memory);
    if (run != MAP_FAILED)
        munmap(run, (size_t)size);
    munmap(memory, 0x1000);
    close(vcpu);
    close(vm);
    close(kvm);
    return name;
}

#endif
