// SPDX-License-Identifier: Apache-2.0
//
// The KVM backends behind a kernel that writes anything into the run page and answers anything: any exit, any
// union, sizes and offsets that no kernel has. Whatever it is, nothing outside of the page is touched, an exit
// says only what can be, and the vCPU is Ready or, after an error, Invalid, from where a reset leads back. A kick
// may come within any KVM_RUN, and no guest is entered behind one.
//
// One program for each architecture, all on this host: the kernel is played here, and no guest runs.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/input.h"

enum { PAGE_SIZE = 3 * 4096, RAM = 0x3000, DEVICE = 0xd0000, VM_FD = 100, VCPU_FD, OTHER_FD, SYS_FD, NO_IOCTL = 1000 };
static uint8_t *run_page; // the run page, and what is behind it
static uint8_t *ram;
static uint64_t other_map[0x2000];

// ---- the kernel

static struct {
    int fails; // the call that does, counted down
    int fds;
    uint8_t lacks; // capabilities, by their last bits
    uint64_t reg[64];
} kernel;

static int os_open(const char *path, int flags)
{
    (void)path, (void)flags;
    kernel.fds++;
    return SYS_FD;
}

static int os_close(int fd)
{
    (void)fd;
    kernel.fds--;
    return 0;
}

static int opened(int fd)
{
    kernel.fds++;
    return fd;
}

static int refused(int code)
{
    errno = code;
    return -1;
}

// Registers by number: 64 of them, whatever they are called.
#ifdef KVM_GET_ONE_REG
static int one_reg(struct kvm_one_reg *one, bool set)
{
    uint64_t *reg = &kernel.reg[(one->id ^ one->id >> 6) % 64];
    size_t size = (size_t)1 << (one->id >> 52 & 15);
    must(size <= sizeof *reg);
    if (set)
        memcpy(reg, (const void *)(uintptr_t)one->addr, size);
    else
        memcpy((void *)(uintptr_t)one->addr, reg, size);
    return 0;
}

static int reg_list(struct kvm_reg_list *list)
{
    uint64_t count = list->n;
    list->n = 8;
    if (count < list->n)
        return refused(E2BIG);
    for (uint64_t i = 0; i < list->n; i++)
        list->reg[i] = UINT64_C(3) << 52 | 2u << 24 | i;
    return 0;
}
#endif

static int os_ioctl(int fd, unsigned long request, void *arg)
{
    (void)fd;
    if (--kernel.fails == 0)
        return refused(input_next(2) ? EINVAL : ENOMEM);
    switch (request) {
    case KVM_GET_API_VERSION: return KVM_API_VERSION;
    case KVM_CHECK_EXTENSION:
        return kernel.lacks != 0 && ((uintptr_t)arg & 7) == kernel.lacks && (uintptr_t)arg != KVM_CAP_USER_MEMORY &&
               (uintptr_t)arg != KVM_CAP_IMMEDIATE_EXIT ? 0 : 1;
    case KVM_CREATE_VM: return opened(VM_FD);
    case KVM_CREATE_VCPU: return opened(VCPU_FD);
    case KVM_GET_VCPU_MMAP_SIZE: return PAGE_SIZE;
    case KVM_CREATE_DEVICE:
        ((struct kvm_create_device *)arg)->fd = OTHER_FD;
        return ((struct kvm_create_device *)arg)->flags != 0 ? 0 : (opened(OTHER_FD), 0);
    case KVM_GET_ONE_REG: return one_reg(arg, false);
    case KVM_SET_ONE_REG: return one_reg(arg, true);
    case KVM_GET_REG_LIST: return reg_list(arg);
#ifdef AXVCPU_ARCH_X86
    case KVM_GET_MSR_INDEX_LIST: ((struct kvm_msr_list *)arg)->nmsrs = 3; memset((char *)arg + 4, 0, 12); return 0;
    case KVM_GET_SUPPORTED_CPUID: ((struct kvm_cpuid2 *)arg)->nent = 2; memset((char *)arg + 8, 0, 80); return 0;
    case KVM_GET_MSRS:
    case KVM_SET_MSRS: return (int)((struct kvm_msrs *)arg)->nmsrs;
#endif
    default: break;
    }
    if ((_IOC_DIR(request) & _IOC_READ) != 0 && (_IOC_DIR(request) & _IOC_WRITE) == 0)
        memset(arg, 0, _IOC_SIZE(request));
    return 0;
}

static void *os_mmap(size_t size, int fd)
{
    must(fd >= 0 ? size == PAGE_SIZE : size <= sizeof other_map);
    memset(fd >= 0 ? (void *)run_page : other_map, 0, size);
    return fd >= 0 ? (void *)run_page : other_map;
}

static int os_sigaction(const struct sigaction *want, struct sigaction *have)
{
    static struct sigaction action;
    if (have != NULL)
        *have = action;
    if (want != NULL)
        action = *want;
    return 0;
}

#ifdef AXVCPU_ARCH_X86
static void write_io(struct kvm_run *run)
{
    uint32_t how = input_next(8);
    run->io.direction = how & 1;
    if (how & 2)
        run->io.size = (uint8_t)(1u << input_next(3)), run->io.count = 1 + input_next(4) * input_next(255);
    run->io.data_offset = how & 4 ? 4096 : input_next(2) ? PAGE_SIZE - input_next(64) : run->io.data_offset;
}
#else
static void write_io(struct kvm_run *run)
{
    (void)run;
}
#endif

static void write_mmio(struct kvm_run *run)
{
    static const uint64_t at[] = {DEVICE, 0xfee00300, 0xfee00310, RAM - 4, 8, UINT64_MAX - 3};
    uint32_t how = input_next(8);
    if (how & 1)
        run->mmio.len = 1 + input_next(8);
    if (how & 2)
        run->mmio.phys_addr = at[input_next(sizeof at / sizeof at[0])];
    run->mmio.is_write = (uint8_t)(how >> 2);
}

static const uint32_t reasons[] = {
    KVM_EXIT_MMIO, KVM_EXIT_IO, KVM_EXIT_MMIO, KVM_EXIT_IO, KVM_EXIT_HLT, KVM_EXIT_IRQ_WINDOW_OPEN, KVM_EXIT_SET_TPR,
    KVM_EXIT_X86_RDMSR, KVM_EXIT_X86_WRMSR, KVM_EXIT_HYPERCALL, KVM_EXIT_IOAPIC_EOI, KVM_EXIT_DEBUG, KVM_EXIT_SHUTDOWN,
    KVM_EXIT_SYSTEM_EVENT, KVM_EXIT_FAIL_ENTRY, KVM_EXIT_INTERNAL_ERROR, KVM_EXIT_ARM_NISV, KVM_EXIT_RISCV_SBI,
    KVM_EXIT_RISCV_CSR, KVM_EXIT_UNKNOWN,
};

static void check_entry(const struct kvm_run *run);
static void kick(void);

// Any exit with anything in it; when there are no more bytes, one that ends.
static long run_guest(int fd)
{
    static const int codes[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, EINTR, EAGAIN, EIO, EFAULT, EOPNOTSUPP};
    struct kvm_run *run = (struct kvm_run *)(void *)run_page;
    uint32_t how = input_next(256);
    (void)fd;
    check_entry(run);
    run->exit_reason = KVM_EXIT_SHUTDOWN;
    if (input_left == 0)
        return run->immediate_exit ? -EINTR : 0;
    if (input_next(4) == 3)
        kick();
    input_take(&run->mmio, input_next(80));
    if (how & 0x80)
        input_take(&run->exit_reason, 4);
    else
        run->exit_reason = reasons[input_next(sizeof reasons / sizeof reasons[0])];
    if (how & 0x40 && run->exit_reason == KVM_EXIT_IO)
        write_io(run);
    if (how & 0x40 && run->exit_reason == KVM_EXIT_MMIO)
        write_mmio(run);
    if (how & 0x20) {
        run->ready_for_interrupt_injection = (uint8_t)input_next(3);
        run->if_flag = (uint8_t)input_next(3);
        input_take(&run->flags, 2 + 8 + 8); // and CR8, the APIC's base
    }
    if (how & 0x10)
        input_take(&run->s, 200);
    return -codes[how & 15];
}

#define open(path, flags) os_open(path, flags)
#define close(fd) os_close(fd)
#define ioctl(fd, request, arg) os_ioctl(fd, request, arg)
#define mmap(at, size, prot, flags, fd, offset) os_mmap(size, fd)
#define munmap(at, size) ((void)(at), (void)(size), 0)
#define sigaction(number, want, have) os_sigaction(want, have)
#define sigprocmask(how, set, old) ((void)(set), 0)
#define AXVCPU_KVM_ENTER(fd) run_guest(fd)
#define AXVCPU_LOG(level, text) ((void)(level), must((text)[0] != 0))
#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"
#undef sigaction

// ---- the host

static struct axvm vm;
static struct axvcpu vcpu, *const v = &vcpu;
static struct axvcpu_exit x;

// A kick that is flagged ends this KVM_RUN at once.
static void check_entry(const struct kvm_run *run)
{
    must(run->immediate_exit || (v->attn & AXVCPU_ATTN_KICK) == 0);
}

static void kick(void)
{
    must(axvcpu_kick(v) == 0);
}

static void check_io(void)
{
    uint8_t *buf = x.io.buf;
    uint64_t size = (uint64_t)x.io.width * x.io.count;
    must((x.io.width == 1 || x.io.width == 2 || x.io.width == 4) && x.io.count != 0);
    must(buf >= run_page && size <= PAGE_SIZE && (size_t)(buf - run_page) <= PAGE_SIZE - size);
    if (x.kind == AXVCPU_EXIT_IO_READ)
        memset(buf, 0x5a, size); // as a device does
    else
        must(x.io.width == 4 || x.io.data >> x.io.width * 8 == 0);
}

static void check_exit(void)
{
    char text[300];
    must(x.kind < AXVCPU_EXIT_COUNT);
    (void)axvcpu_exit_print(text, 1 + input_next(sizeof text), &x);
    switch (x.kind) {
    case AXVCPU_EXIT_IO_READ:
    case AXVCPU_EXIT_IO_WRITE: check_io(); break;
    case AXVCPU_EXIT_MMIO_READ:
    case AXVCPU_EXIT_MMIO_WRITE:
        must(x.mmio.width >= 1 && x.mmio.width <= 8 && x.mmio.reg == AXVCPU_REG_NONE);
        must(x.kind == AXVCPU_EXIT_MMIO_READ || x.mmio.width == 8 || x.mmio.data >> x.mmio.width * 8 == 0);
        break;
    case AXVCPU_EXIT_UNDECODED: must(x.undecoded.insn_len <= sizeof x.undecoded.insn); break;
    case AXVCPU_EXIT_SYSTEM_DOWN: must(x.system.reason <= AXVCPU_SYSTEM_CRASH); break;
    default: break;
    }
}

// Ready, Invalid after an error, and what was refused for a reason has changed nothing.
static void check_run(int err, bool away)
{
    enum axvcpu_state state = axvcpu_get_state(v);
    must(err == 0 || x.kind == AXVCPU_EXIT_NOTHING);
    must(state == AXVCPU_STATE_READY || state == AXVCPU_STATE_INVALID);
    must(err == 0 || err == AXVCPU_EPENDING || away || state == AXVCPU_STATE_INVALID);
    if (err == 0)
        check_exit();
}

static enum axvm_answer serve(struct axvm *of, struct axvcpu *by, struct axvcpu_exit *e, void *arg)
{
    (void)of, (void)by, (void)arg;
    e->io.data = 0x5a;
    return e->kind == AXVCPU_EXIT_MMIO_READ ? (e->mmio.data = 0x5a, AXVM_DONE) : AXVM_DONE;
}

static void do_run(void)
{
    bool away = (v->word & AXVCPU_I_AWAY) != 0;
    check_run(axvcpu_run(v, &x), away);
}

static void do_step(void)
{
    int err = axvm_step(&vm, 0, &x);
    if (err == 0)
        must(x.kind < AXVCPU_EXIT_COUNT);
}

static void do_settle(void)
{
    if (axvcpu_settle(v, &x) == 0)
        check_exit();
}

static void answer(void)
{
    uint32_t regs[4] = {1, 2, 3, 4};
    switch (input_next(5)) {
    case 0: (void)axvcpu_refuse(v); break;
    case 1: (void)axvcpu_retry(v); break;
    case 2: (void)axvcpu_complete_cpuid(v, regs); break;
    default: (void)axvcpu_complete(v, input_value()); break;
    }
}

static void interrupt(void)
{
    switch (input_next(5)) {
    case 0: (void)axvcpu_kick(v); break;
    case 1: (void)axvcpu_inject_nmi(v); break;
    case 2: (void)axvcpu_set_irq(v, input_next(255), input_next(2)); break;
    case 3: (void)axvcpu_inject_exception(v, input_next(64), input_value(), input_value()); break;
    default: (void)axvcpu_inject_interrupt(v, input_next(255)); break;
    }
}

static void registers(void)
{
    static const uint64_t ids[] = {AXVCPU_REG_PC, AXVCPU_REG_SP, AXVCPU_REG_FLAGS, AXVCPU_REG_SYS(0x100), AXVCPU_REG_SYS(0xc0000080)};
    uint64_t id = input_next(2) ? input_next(40) : ids[input_next(5)], got;
    if (input_next(2))
        (void)axvcpu_set_reg(v, id, input_value());
    else
        (void)axvcpu_get_reg(v, id, &got);
}

static void life(void)
{
    switch (input_next(6)) {
    case 0: (void)axvcpu_restart(v, axvcpu_gpa(input_value()), input_value()); break;
    case 1: (void)axvcpu_reset(v); break;
    case 2: (void)axvcpu_put(v); break;
    case 3: (void)axvcpu_load(v); break;
    case 4: kernel.fails = 1 + (int)input_next(60); break;
    default: (void)axvcpu_set_return_value(v, input_value()); break;
    }
}

// Back to Ready, from wherever it is; false: its kernel fails.
static bool revive(void)
{
    kernel.fails = NO_IOCTL;
    if (axvcpu_get_state(v) == AXVCPU_STATE_READY)
        return true;
    if (axvcpu_get_state(v) != AXVCPU_STATE_CREATED && axvcpu_reset(v) != AXVCPU_OK)
        return false;
    return axvcpu_setup(v, axvcpu_gpa(0x1000), axvcpu_hpa(0), NULL) == AXVCPU_OK && axvcpu_bind(v) == AXVCPU_OK;
}

static bool begin(void)
{
    static struct axvm_range ranges[4];
    struct axvm_desc desc = {.vcpus = v, .vcpu_count = 1, .bsp_entry = AXVCPU_GPA_INIT(0x1000), .ranges = ranges, .max_ranges = 4};
    memset(&kernel, 0, sizeof kernel);
    kernel.fails = NO_IOCTL;
    kernel.lacks = (uint8_t)input_next(16);
#ifdef AXVCPU_ARCH_X86
    desc.arch.irqchip = input_next(4) == 3 ? AXVM_X86_IRQCHIP_SPLIT : AXVM_X86_IRQCHIP_NONE;
    desc.arch.own_apic = input_next(4) == 3;
#endif
    return axvm_init(&vm, &desc) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const ops[])(void) = {do_run, do_run, do_run, do_run, do_step, do_step, do_settle, answer,
                                        answer, answer, interrupt, registers, life};
    input_at = data;
    input_left = size;
    if (run_page == NULL) {
        run_page = aligned_alloc(4096, PAGE_SIZE);
        ram = aligned_alloc(4096, RAM);
    }
    if (!begin()) {
        must(kernel.fds == 0);
        return 0;
    }
    must(axvm_map(&vm, axvcpu_gpa(0), axvcpu_from_ptr(ram), RAM, AXVM_MAP_RWX) == 0);
    must(axvm_add_mmio(&vm, DEVICE, 0x1000, serve, NULL) == 0 && axvm_add_port(&vm, 0x10, 0x100, serve, NULL) == 0);
    if (axvm_boot(&vm) == 0 && axvcpu_bind(v) == 0)
        while (input_left > 0) {
            ops[input_next(sizeof ops / sizeof ops[0])]();
            must(axvcpu_current() == NULL);
            if (axvcpu_get_state(v) != AXVCPU_STATE_READY && !revive())
                break;
        }
    kernel.fails = NO_IOCTL;
    if (axvcpu_get_state(v) == AXVCPU_STATE_READY)
        must(axvcpu_unbind(v) == 0);
    must(axvm_deinit(&vm) == 0 && kernel.fds == 0);
    return 0;
}
