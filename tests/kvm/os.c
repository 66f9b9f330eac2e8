// SPDX-License-Identifier: Apache-2.0
//
// os.h, and the implementation of axvcpu.h whose calls all go through here.
#include "tests/kvm/os.h"

struct os os;

void os_begin(void)
{
    memset(&os, 0, sizeof os);
}

static void os_log(const char *text)
{
    size_t used = strlen(os.log);
    snprintf(os.log + used, sizeof os.log - used, "%s\n", text);
}

bool os_said(const char *text)
{
    return strstr(os.log, text) != NULL;
}

// Names of requests, as far as log lines have them.
static const struct os_name {
    unsigned long request;
    const char *name;
} os_names[] = {
#define OS_NAME(request) {request, #request}
    OS_NAME(KVM_GET_API_VERSION), OS_NAME(KVM_CREATE_VM), OS_NAME(KVM_CHECK_EXTENSION),
    OS_NAME(KVM_GET_VCPU_MMAP_SIZE), OS_NAME(KVM_CREATE_VCPU), OS_NAME(KVM_SET_USER_MEMORY_REGION),
    OS_NAME(KVM_ENABLE_CAP), OS_NAME(KVM_CREATE_IRQCHIP), OS_NAME(KVM_IRQ_LINE), OS_NAME(KVM_IRQFD),
    OS_NAME(KVM_IOEVENTFD), OS_NAME(KVM_SIGNAL_MSI), OS_NAME(KVM_RUN),
    OS_NAME(KVM_CREATE_DEVICE), OS_NAME(KVM_SET_DEVICE_ATTR), OS_NAME(KVM_HAS_DEVICE_ATTR),
    OS_NAME(KVM_GET_ONE_REG), OS_NAME(KVM_SET_ONE_REG), OS_NAME(KVM_GET_REG_LIST),
#if defined(__x86_64__)
    OS_NAME(KVM_SET_IDENTITY_MAP_ADDR), OS_NAME(KVM_SET_TSS_ADDR), OS_NAME(KVM_CREATE_PIT2),
    OS_NAME(KVM_X86_SET_MSR_FILTER), OS_NAME(KVM_GET_MSR_INDEX_LIST), OS_NAME(KVM_GET_SUPPORTED_CPUID), OS_NAME(KVM_SET_CPUID2),
    OS_NAME(KVM_GET_SREGS), OS_NAME(KVM_SET_SREGS), OS_NAME(KVM_GET_LAPIC), OS_NAME(KVM_SET_LAPIC),
    OS_NAME(KVM_GET_XCRS), OS_NAME(KVM_SET_XCRS), OS_NAME(KVM_GET_XSAVE), OS_NAME(KVM_SET_XSAVE),
    OS_NAME(KVM_GET_DEBUGREGS), OS_NAME(KVM_SET_DEBUGREGS), OS_NAME(KVM_GET_VCPU_EVENTS),
    OS_NAME(KVM_SET_VCPU_EVENTS), OS_NAME(KVM_GET_REGS), OS_NAME(KVM_SET_REGS),
    OS_NAME(KVM_GET_MP_STATE), OS_NAME(KVM_SET_MP_STATE), OS_NAME(KVM_GET_MSRS), OS_NAME(KVM_SET_MSRS),
    OS_NAME(KVM_INTERRUPT), OS_NAME(KVM_NMI),
#elif defined(__aarch64__)
    OS_NAME(KVM_ARM_PREFERRED_TARGET), OS_NAME(KVM_ARM_VCPU_INIT), OS_NAME(KVM_SET_VCPU_EVENTS), OS_NAME(KVM_SET_MP_STATE),
#else
    OS_NAME(KVM_INTERRUPT), OS_NAME(KVM_GET_MP_STATE), OS_NAME(KVM_SET_MP_STATE),
#endif
};

const char *os_name(unsigned long request)
{
    for (size_t i = 0; i < sizeof os_names / sizeof os_names[0]; i++)
        if (os_names[i].request == request)
            return os_names[i].name;
    return "an ioctl that os.h does not know";
}

// Counts the call; true: it is the one that fails, and errno says how.
static bool os_fails(const char *name)
{
    if (__atomic_add_fetch(&os.calls, 1, __ATOMIC_RELAXED) != os.fail_at)
        return false;
    os.failed = name;
    errno = os.fail_with;
    return true;
}

unsigned os_count(unsigned long request)
{
    unsigned n = 0;
    for (unsigned i = 0; i < os.asked && i < OS_ASKED; i++)
        n += os.requests[i] == request;
    return n;
}

// ---- the calls

static int os_open(const char *path, int flags)
{
    int fd = os_fails("open(/dev/kvm)") ? -1 : open(os.device ? os.device : path, flags);
    os.fds += fd >= 0;
    return fd;
}

static int os_close(int fd)
{
    os.fds--;
    return close(fd);
}

static int os_ioctl(int fd, unsigned long request, void *arg)
{
    int result;
    unsigned n = __atomic_fetch_add(&os.asked, 1, __ATOMIC_RELAXED);
    if (n < OS_ASKED)
        os.requests[n] = request;
    if (os_fails(os_name(request)))
        return -1;
    if (request == KVM_CHECK_EXTENSION && (unsigned long)(uintptr_t)arg + 1 == os.hidden)
        return 0;
    result = ioctl(fd, request, arg);
    os.fds += result >= 0 && (request == KVM_CREATE_VM || request == KVM_CREATE_VCPU ||
                              (request == KVM_CREATE_DEVICE && ((struct kvm_create_device *)arg)->flags == 0));
    return result;
}

static void *os_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
    void *result = os_fails("mmap") ? MAP_FAILED : mmap(at, size, prot, flags, fd, offset);
    os.mappings += result != MAP_FAILED;
    return result;
}

static int os_munmap(void *at, size_t size)
{
    os.mappings--;
    return munmap(at, size);
}

static int os_sigaction(int number, const struct sigaction *want, struct sigaction *have)
{
    return os_fails("sigaction(AXVCPU_KVM_SIGNAL)") ? -1 : sigaction(number, want, have);
}

static int os_sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
    return os_fails("sigprocmask(AXVCPU_KVM_SIGNAL)") ? -1 : sigprocmask(how, set, old);
}

static long os_enter(int fd)
{
    __atomic_fetch_add(&os.runs, 1, __ATOMIC_RELAXED);
    if (os_fails("KVM_RUN"))
        return -(long)errno;
    if (os.run)
        return os.run(fd);
    return ioctl(fd, KVM_RUN, 0) == 0 ? 0 : -(long)errno;
}

#define open(path, flags) os_open(path, flags)
#define close(fd) os_close(fd)
#define ioctl(fd, request, arg) os_ioctl(fd, request, arg)
#define mmap(at, size, prot, flags, fd, offset) os_mmap(at, size, prot, flags, fd, offset)
#define munmap(at, size) os_munmap(at, size)
#define sigaction(number, want, have) os_sigaction(number, want, have)
#define sigprocmask(how, set, old) os_sigprocmask(how, set, old)
#define AXVCPU_KVM_ENTER(fd) os_enter(fd)
#define AXVCPU_LOG(level, text) ((void)(level), os_log(text))
#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"
