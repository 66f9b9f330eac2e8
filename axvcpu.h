/* SPDX-License-Identifier: Apache-2.0
 *
 * axvcpu.h: virtual CPUs for hypervisors, in one header
 *
 * WHAT IT IS
 *   A vCPU core: lifecycle, ownership, the current-vCPU pointer, VM exits and their answers, interrupts,
 *   kicks, sleep - and over it a VM with devices, memory and a run loop. One interface, several backends:
 *   the architecture's hardware, Linux KVM, a scripted fake for tests, or your own. Plain C11; the
 *   declarations also compile as C++11.
 *
 * DO THIS
 *   In exactly one C file:
 *       #define AXVCPU_IMPLEMENTATION
 *       #include "axvcpu.h"
 *   and in the others just the #include. Pick a backend with one macro, the same in every file (below).
 *
 *       struct axvcpu v;
 *       struct axvcpu_desc desc = { .vcpu_id = 0 };
 *       struct axvcpu_exit x;
 *
 *       axvcpu_init(&v, &desc);
 *       axvcpu_setup(&v, axvcpu_gpa(entry), axvcpu_hpa(root), NULL);
 *       axvcpu_bind(&v);
 *       while (axvcpu_run(&v, &x) == AXVCPU_OK) {
 *           switch (x.kind) {
 *           case AXVCPU_EXIT_MMIO_READ: axvcpu_complete(&v, my_read(x.mmio.addr, x.mmio.width)); break;
 *           ...
 *           }
 *       }
 *       axvcpu_unbind(&v);
 *       axvcpu_deinit(&v);
 *
 *   or let a `struct axvm` own the vCPUs and serve the exits: axvm_init, axvm_map, axvm_add_mmio,
 *   axvm_boot, axvm_run_vcpu.
 *
 * MACROS
 *   Must be the same in every file that includes this (AXVCPU_ABI finds out when they are not):
 *     AXVCPU_ARCH_X86, _ARM64, _RISCV   the bare-metal backend; with AXVCPU_KVM the one on Linux
 *     AXVCPU_ARCH_FAKE                  the scripted backend
 *     AXVCPU_ARCH_HEADER "file.h"       a backend of your own (see THE BACKEND INTERFACE)
 *                                       none of them: the compiler's target, on KVM if that is a Linux
 *     AXVCPU_MAX_PHYS_CPUS              64, or a larger multiple of it
 *     AXVM_MAX_MAPS                     32 memory mappings per VM
 *     AXVCPU_CURRENT_GET() _SET(v)      where the current vCPU is kept; default: thread-local, or an array
 *                                       indexed by CPU_ID in a freestanding host
 *     AXVCPU_CPU_TOKEN()                a pointer that no other CPU (thread) has, and no vCPU's address
 *     AXVCPU_CPU_ID()                   which CPU this is; UINT32_MAX: unknown
 *     AXVCPU_ATOMIC_*                   all of them or none; see >>config
 *   Matter only beside AXVCPU_IMPLEMENTATION:
 *     AXVCPU_LOG(level, text)           default: stderr when hosted, else nothing
 *     AXVCPU_MEMSET, AXVCPU_MEMCPY      default: the compiler's
 *     AXVCPU_PARK(v), AXVCPU_WAKE(v)    both or neither: how the owner of a Blocked vCPU sleeps
 *   May differ from file to file:
 *     AXVCPU_CHECKED                    the combinators check the owner too
 *     AXVCPU_TRACE(v, event, a, b)      named points, AXVCPU_TRACE_POINTS; compiled out unless defined
 *     AXVCPU_ASSERT(cond)               our own bugs; never reached by a guest or a caller
 *     AXVCPU_STATIC                     everything static, in each file that implements it. Two such files
 *                                       do not share a current pointer; to pass a vCPU between them define
 *                                       CURRENT_GET/SET and CPU_TOKEN. This cannot be detected.
 *   Bare metal: AXVCPU_ALLOC_FRAME, _FREE_FRAME, _PHYS_TO_VIRT, _VIRT_TO_PHYS, _IRQ_FETCH, _IRQ_HANDLER,
 *   _SEND_KICK, _TIMER_ARM. One that is not given is a function axvcpu_host_<name>() for you to write.
 *
 * WHAT IT DOES NOT DO
 *   No scheduler, no device models, no guest loader, no nested virtualization, no migration format. It
 *   allocates nothing (but frames for tables and vector registers, by your hook), starts no thread, and owns
 *   no signal but KVM's kick.
 *
 * STEP BY STEP
 *
 *                    setup           bind             run
 *     (init) -> Created ----> Free <------> Ready <---------> Running
 *                  ^                unbind   ^  |      exit
 *                  |                         |  | block
 *                  | reset          unblock  |  v
 *        Invalid --+                        Blocked
 *
 *   - Every call returns 0 or an enum axvcpu_err. setup, bind, run, unbind and the combinators make a vCPU
 *     Invalid when they are called in a wrong state or when the backend fails in them; any other wrong call
 *     changes nothing. The log names the call, the state it wanted and the state it found.
 *   - Checks come in one order: EINVAL, ENESTED, EBUSY, EBADSTATE, EPENDING.
 *   - An exit that reads (MMIO_READ, IO_READ, SYSREG_READ, CPUID) is answered with axvcpu_complete,
 *     axvcpu_complete_cpuid or axvcpu_refuse; until then run says EPENDING. The next run (or
 *     axvcpu_settle) writes the register, at its width, and moves the PC past the instruction, once.
 *     axvcpu_retry lets the guest execute the instruction again instead; a write may be retried or refused
 *     until the next run. Between an exit and the next run or settle the guest's PC is unspecified.
 *   - A hypercall is answered with axvcpu_set_return_value.
 *   - Order inside run: EPENDING (a kick is kept); commit, and a further exit of that instruction; a kick
 *     (CANCELED, the guest is not entered); injection; the guest. A run that fails leaves kind NOTHING.
 *   - axvcpu_kick ends this or the next run with CANCELED, from any thread or signal handler. Unanswered
 *     kicks coalesce; one that comes after a CANCELED gets one of its own.
 *   - axvcpu_inject_interrupt is an edge: kept until the guest can take it, coalescing per vector.
 *     axvcpu_set_irq is a level.
 *   - axvcpu_block sleeps unless there is a reason not to (EAGAIN); axvcpu_unblock before a block is
 *     remembered. The loop that parks should ask axvcpu_get_state again: wake-ups may be spurious.
 *
 * A VM
 *   axvm_init, axvm_map, axvm_add_mmio and the like, axvm_boot; then a thread (a CPU) for each vCPU calls
 *   axvm_run_vcpu again and again. It says:
 *     OK and an exit             nobody serves it: the caller's; a read is to be answered before the next call
 *     OK and CANCELED            a kick; with AXVCPU_EXIT_PAUSED: the VM is Suspended until axvm_resume
 *     OK and SYSTEM_DOWN         axvm_shutdown has been called; or the guest's own exit
 *     EAGAIN                     not now: it sleeps, is not up, or some CPU (this one, too) has it
 *     EIO                        a handler has failed: *exit is the access, unanswered, and the vCPU usable
 *     EBADSTATE                  not booted, or the vCPU is Invalid
 *   A handler runs without any lock of the library's, on the vCPU's CPU, and may call everything, but that
 *   axvm_wait_idle and axvm_deinit tell it EBUSY: add, remove and move devices (its own, too), pause, shut
 *   down, run another vCPU, block this one. What it has answered is committed before a pause or a shutdown
 *   lets the caller go; what the caller has answered is by the next run, or by axvcpu_settle.
 *   axvm_pause and axvm_shutdown return at once. When axvm_wait_idle is back everybody is out, and after a
 *   shutdown the VM may be taken apart, if the host lets nobody in any more. A default handler that has been
 *   replaced may still be running elsewhere; a device that has been removed is not.
 *
 * THREADING
 *   A vCPU belongs to at most one CPU: bind takes it, unbind gives it back, and any other call on an
 *   unowned vCPU takes it for as long as it lasts. Who comes second gets EBUSY and has changed nothing.
 *   From anywhere at any time: get_state, kick, inject_interrupt, set_irq, inject_nmi, unblock, pending,
 *   ref, unref, the getters. A CPU that is inside an operation (a callback, a leaf) gets ENESTED from all
 *   others, except for the registers and the answer of the current vCPU itself. A dead thread's vCPU is
 *   freed by axvcpu_abandon.
 *
 * FREESTANDING
 *   -ffreestanding -nostdinc with the compiler's own headers is enough. The object needs at most memcpy,
 *   memset, memmove and memcmp, and the hooks. aarch64 gcc: -mno-outline-atomics. run is entered and left
 *   with host interrupts masked. The library never writes tpidr_el2, gs base or tp, and relies on none.
 *
 * EXIT x BACKEND   + an exit   k the kernel keeps it   s served inside run   - cannot happen
 *                            x86          arm64        riscv
 *                      fake  bare  KVM    EL2   KVM    HS    KVM
 *   HYPERCALL           +     +    k (1)   +    + (2)   +    + (3)
 *   MMIO_READ, _WRITE   +     +    +       +    +       +    +
 *   IO_READ, _WRITE     +     +    +       -    -       -    -
 *   SYSREG_READ, _WRITE +     +    + (4)   +    k       +    + (4)
 *   EXTERNAL_INTERRUPT  +     +    k       +    k       +    k
 *   NESTED_PAGE_FAULT   +     +    k       +    k       +    + (8)
 *   HALT                +     +    + (5)   +    k       +    k
 *   CPU_UP              +     +    + (5)   +    + (2)   +    k
 *   SEND_IPI            +     +    + (5)   +    k       +    k
 *   CPU_DOWN            +     -    -       +    + (2)   +    k
 *   SYSTEM_DOWN         +     -    +       +    +       +    +
 *   FAIL_ENTRY          +     +    +       -    +       -    +
 *   CANCELED            +     +    +       +    +       +    +
 *   SHUTDOWN            +     +    +       -    -       -    -
 *   CPUID               +     +    k (6)   -    -       -    -
 *   IRQ_WINDOW          +     s    s       -    -       -    -
 *   DEBUG               +     -    +       +    +       +    +
 *   EXCEPTION           +     -    k       +    k       -    k
 *   TIMER               +     + (9) -      -    -       -    -
 *   EOI                 +     -    + (7)   -    -       -    -
 *   REMOTE_FENCE        +     -    -       -    -       +    k
 *   UNDECODED           +     +    +       +    +       +    +
 *   RAW                 +     +    +       +    +       +    +
 *   (1) but those that KVM_CAP_EXIT_HYPERCALL names; guests use a port  (2) where the kernel can filter calls
 *   (3) vendor and experimental ones  (4) where the kernel hands them over  (5) k with an interrupt
 *   controller in the kernel  (6) from the table given at set-up  (7) with the split controller
 *   (8) for fetches  (9) when setup asks for it: after so much time on VMX, for busy waiting alone on SVM; elsewhere
 *   the host's timer ends a run by its interrupt
 *   x86: IPIs are those by the command register of xAPIC and x2APIC. CR8 holds interrupts back, but for those that an
 *   in-kernel controller has. On bare metal every #DB is the guest's own: a single step traps behind an instruction
 *   that is emulated, too, but behind a hypercall one instruction late.
 *   A WFI sleeps inside run on KVM of AArch64 and RISC-V; only PSCI's CPU_SUSPEND is a HALT there (2). AArch64: SGIs
 *   are the kernel's GIC's, a fetch from nowhere is an abort in the guest, calls of the architecture's own range
 *   are always the kernel's. RISC-V: the SBI is the kernel's but for (3), the debug console (HYPERCALL) and system
 *   reset; its one CSR exit is a SYSREG_READ of seed.
 *
 * CAVEATS
 *   KVM on AArch64 (Linux 6.1, 6.12) forgets the sign of LDRSB, LDRSH and LDRSW from a device; on RISC-V (6.12)
 *   that is mended here, but a load into x0 makes later stores of x0 wrong, and an access that begins in memory
 *   and ends outside is taken for one of its second part.
 *   C cannot check a dangling pointer: an object is known by a magic number in it, and a deinited one is
 *   zero, but memory that is gone or reused is not ours to look at. A combinator's caller vouches that
 *   nobody else uses the vCPU (AXVCPU_CHECKED finds the worst). Storage of a VM's vCPUs, ranges and
 *   set-ups stays with the caller until axvm_deinit. A handler that removes the device of another handler
 *   that removes its own does not wait for it: nothing could.
 *
 *   Find your way: search for ">>name": >>config >>types >>arch >>fake >>kvm >>api >>inline >>impl, and
 *   within the last >>text >>rules >>state >>life >>run >>answers >>interrupts >>registers >>combinators
 *   >>percpu >>vm.
 */
#ifndef AXVCPU_H
#define AXVCPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AXVCPU_VERSION_MAJOR 0
#define AXVCPU_VERSION_MINOR 1
#define AXVCPU_VERSION_PATCH 0

/* ---------------------------------------------------------------------------------------------------- */
/* >>config                                                                                             */
/* ---------------------------------------------------------------------------------------------------- */

/* Which backend. AXVCPU_I_ARCH is one of the numbers below; it is part of AXVCPU_ABI. */
#define AXVCPU_I_ARCH_FAKE 1
#define AXVCPU_I_ARCH_HEADER 2
#define AXVCPU_I_ARCH_X86 3
#define AXVCPU_I_ARCH_ARM64 4
#define AXVCPU_I_ARCH_RISCV 5

#if defined(AXVCPU_ARCH_FAKE) + defined(AXVCPU_ARCH_HEADER) + defined(AXVCPU_ARCH_X86) + defined(AXVCPU_ARCH_ARM64) + \
        defined(AXVCPU_ARCH_RISCV) >                                                                               \
    1
#error "axvcpu.h: define at most one of AXVCPU_ARCH_FAKE, _HEADER, _X86, _ARM64, _RISCV"
#endif

#if defined(AXVCPU_ARCH_FAKE)
#define AXVCPU_I_ARCH AXVCPU_I_ARCH_FAKE
#elif defined(AXVCPU_ARCH_HEADER)
#define AXVCPU_I_ARCH AXVCPU_I_ARCH_HEADER
#elif defined(AXVCPU_ARCH_X86)
#define AXVCPU_I_ARCH AXVCPU_I_ARCH_X86
#elif defined(AXVCPU_ARCH_ARM64)
#define AXVCPU_I_ARCH AXVCPU_I_ARCH_ARM64
#elif defined(AXVCPU_ARCH_RISCV)
#define AXVCPU_I_ARCH AXVCPU_I_ARCH_RISCV
#else /* nothing asked for: the compiler's target, on KVM where there is a Linux under it */
#if defined(__x86_64__)
#define AXVCPU_I_ARCH AXVCPU_I_ARCH_X86
#elif defined(__aarch64__)
#define AXVCPU_I_ARCH AXVCPU_I_ARCH_ARM64
#elif defined(__riscv) && __riscv_xlen == 64
#define AXVCPU_I_ARCH AXVCPU_I_ARCH_RISCV
#else
#error "axvcpu.h: no backend for this target; define AXVCPU_ARCH_FAKE or AXVCPU_ARCH_HEADER \"file.h\""
#endif
#if defined(__linux__) && __STDC_HOSTED__ && !defined(AXVCPU_KVM)
#define AXVCPU_KVM
#endif
#endif

#if defined(AXVCPU_KVM) && (defined(AXVCPU_ARCH_FAKE) || defined(AXVCPU_ARCH_HEADER))
#error "axvcpu.h: AXVCPU_KVM goes with AXVCPU_ARCH_X86, _ARM64 or _RISCV; drop it for the fake or your own backend"
#endif
#if defined(AXVCPU_KVM) && !defined(__linux__)
#error "axvcpu.h: AXVCPU_KVM needs Linux; drop it for the bare-metal backend"
#endif

#if defined(AXVCPU_CURRENT_GET) != defined(AXVCPU_CURRENT_SET)
#error "axvcpu.h: define both AXVCPU_CURRENT_GET() and AXVCPU_CURRENT_SET(v), or neither"
#endif
#if defined(AXVCPU_PARK) != defined(AXVCPU_WAKE)
#error "axvcpu.h: define both AXVCPU_PARK(v) and AXVCPU_WAKE(v), or neither"
#endif
#if defined(AXVCPU_ALLOC_FRAME) != defined(AXVCPU_FREE_FRAME)
#error "axvcpu.h: define both AXVCPU_ALLOC_FRAME(pages, align) and AXVCPU_FREE_FRAME(hpa, pages), or neither"
#endif
#if defined(AXVCPU_PHYS_TO_VIRT) != defined(AXVCPU_VIRT_TO_PHYS)
#error "axvcpu.h: define both AXVCPU_PHYS_TO_VIRT(hpa) and AXVCPU_VIRT_TO_PHYS(ptr), or neither"
#endif

#ifndef AXVCPU_MAX_PHYS_CPUS
#define AXVCPU_MAX_PHYS_CPUS 64
#endif
#if AXVCPU_MAX_PHYS_CPUS < 64 || AXVCPU_MAX_PHYS_CPUS % 64 != 0
#error "axvcpu.h: AXVCPU_MAX_PHYS_CPUS must be a multiple of 64"
#endif

#ifdef AXVCPU_STATIC
#define AXVCPU_API AXVCPU_I_UNUSED static
#define AXVCPU_I_DATA static
#else
#define AXVCPU_API
#define AXVCPU_I_DATA extern
#endif

#define AXVCPU_I_UNUSED __attribute__((unused))
#define AXVCPU_I_COLD __attribute__((cold, noinline))
#define AXVCPU_I_LIKELY(x) (__builtin_expect(!!(x), 1))
#define AXVCPU_I_UNLIKELY(x) (__builtin_expect(!!(x), 0))
/* Without optimisation a small function stays a call that a debugger can step into. */
#if defined(__OPTIMIZE__) && !defined(__OPTIMIZE_SIZE__)
#define AXVCPU_I_INLINE AXVCPU_I_UNUSED static inline __attribute__((always_inline))
#else
#define AXVCPU_I_INLINE AXVCPU_I_UNUSED static inline
#endif

#ifdef __cplusplus
#define AXVCPU_I_C_BEGIN extern "C" {
#define AXVCPU_I_C_END }
/* A function with the name of a struct is fine; g++ -Wshadow thinks of constructors. */
#define AXVCPU_I_NO_SHADOW_BEGIN _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wshadow\"")
#define AXVCPU_I_NO_SHADOW_END _Pragma("GCC diagnostic pop")
#else
#define AXVCPU_I_NO_SHADOW_BEGIN
#define AXVCPU_I_NO_SHADOW_END
#define AXVCPU_I_C_BEGIN
#define AXVCPU_I_C_END
#endif

#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define AXVCPU_I_TSAN
#endif
#endif

/* Memory and atomics. Every atomic is 32 or 64 bits wide; the plain names are sequentially consistent. */
#ifndef AXVCPU_MEMSET
#define AXVCPU_MEMSET(p, c, n) __builtin_memset(p, c, n)
#endif
#ifndef AXVCPU_MEMCPY
#define AXVCPU_MEMCPY(d, s, n) __builtin_memcpy(d, s, n)
#endif
#ifndef AXVCPU_ATOMIC_LOAD
#define AXVCPU_ATOMIC_LOAD(p) __atomic_load_n(p, __ATOMIC_SEQ_CST)
#define AXVCPU_ATOMIC_LOAD_ACQUIRE(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define AXVCPU_ATOMIC_LOAD_RELAXED(p) __atomic_load_n(p, __ATOMIC_RELAXED)
#define AXVCPU_ATOMIC_STORE_RELEASE(p, x) __atomic_store_n(p, x, __ATOMIC_RELEASE)
/* An aligned volatile store is a relaxed one on every machine here, and unlike the builtin it leaves the
   compiler its knowledge of what was stored; the thread sanitizer only understands the builtin. */
#if defined(__SANITIZE_THREAD__) || defined(AXVCPU_I_TSAN)
#define AXVCPU_ATOMIC_STORE_RELAXED(p, x) __atomic_store_n(p, x, __ATOMIC_RELAXED)
#else
#define AXVCPU_ATOMIC_STORE_RELAXED(p, x) ((void)(*(volatile __typeof__(*(p)) *)(p) = (x)))
#endif
#define AXVCPU_ATOMIC_XCHG(p, x) __atomic_exchange_n(p, x, __ATOMIC_SEQ_CST)
#define AXVCPU_ATOMIC_FETCH_OR(p, x) __atomic_fetch_or(p, x, __ATOMIC_SEQ_CST)
#define AXVCPU_ATOMIC_FETCH_AND(p, x) __atomic_fetch_and(p, x, __ATOMIC_SEQ_CST)
#define AXVCPU_ATOMIC_FETCH_ADD(p, x) __atomic_fetch_add(p, x, __ATOMIC_SEQ_CST)
/* true: *p was *e and is x now; false: *e holds what *p is */
#define AXVCPU_ATOMIC_CAS(p, e, x) __atomic_compare_exchange_n(p, e, x, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
#endif
#if !defined(AXVCPU_ATOMIC_LOAD_ACQUIRE) || !defined(AXVCPU_ATOMIC_LOAD_RELAXED) || \
    !defined(AXVCPU_ATOMIC_STORE_RELEASE) || !defined(AXVCPU_ATOMIC_STORE_RELAXED) || !defined(AXVCPU_ATOMIC_XCHG) || \
    !defined(AXVCPU_ATOMIC_FETCH_OR) || !defined(AXVCPU_ATOMIC_FETCH_AND) || !defined(AXVCPU_ATOMIC_FETCH_ADD) || \
    !defined(AXVCPU_ATOMIC_CAS)
#error "axvcpu.h: AXVCPU_ATOMIC_LOAD is yours, so define all of AXVCPU_ATOMIC_* (the list is in >>config)"
#endif

#ifndef AXVCPU_ASSERT
#define AXVCPU_ASSERT(cond) ((cond) ? (void)0 : __builtin_trap())
#endif

/* Named points at which a test (or a tracer) may look or act: AXVCPU_TRACE(v, event, a, b). */
#define AXVCPU_TRACE_POINTS(X)                                                                             \
    X(BIND_CLAIMED)    /* bind has won the owner word */                                                   \
    X(RUN_CURRENT)     /* run has set the current vCPU, attention not yet loaded */                        \
    X(RUN_ENTER)       /* attention was clear, the backend is next */                                      \
    X(RUN_LEFT)        /* the backend is back, the state is still Running */                               \
    X(RUN_READY)       /* the state is Ready again */                                                      \
    X(UNBIND_LEFT)     /* the backend let go, the state is Free, the owner not yet cleared */              \
    X(UNBIND_RELEASED) /* the owner word is clear */                                                       \
    X(BLOCK_BLOCKED)   /* the state is Blocked, reasons to stay awake not yet looked at */                 \
    X(BLOCK_DONE)      /* block is about to return OK */                                                   \
    X(KICK_FLAGGED)    /* the kick is in the attention word, the owner not yet looked at */                \
    X(INJECT_FLAGGED)  /* the interrupt is in the attention word, the owner not yet looked at */           \
    X(UNBLOCK_LATCHED) /* the latch is set, the state not yet looked at again */                           \
    X(STOP_FLAGGED)    /* pause or shutdown has told this vCPU, its owner not yet looked at */             \
    X(CPU_UP_CLAIMED)  /* axvm_cpu_up has won the vCPU, its registers not yet reset */                     \
    X(CPU_UP_DONE)     /* the vCPU may run */
#define AXVCPU_I_ENUM_TRACE(name) AXVCPU_TRACE_##name,
enum axvcpu_trace_point { AXVCPU_TRACE_POINTS(AXVCPU_I_ENUM_TRACE) AXVCPU_TRACE_COUNT };
#ifndef AXVCPU_TRACE
#define AXVCPU_TRACE(v, event, a, b) ((void)0)
#endif

#define AXVCPU_LOG_ERROR 0
#define AXVCPU_LOG_WARNING 1
#define AXVCPU_LOG_INFO 2

AXVCPU_I_C_BEGIN

/* ---------------------------------------------------------------------------------------------------- */
/* >>types                                                                                              */
/* ---------------------------------------------------------------------------------------------------- */

struct axvcpu;
struct axvcpu_percpu;

/* Guest and host physical addresses: two types, so that neither is ever taken for the other. */
typedef struct { uint64_t addr; } axvcpu_gpa_t;
typedef struct { uint64_t addr; } axvcpu_hpa_t;
#define AXVCPU_GPA_INIT(x) { (x) }
#define AXVCPU_HPA_INIT(x) { (x) }

AXVCPU_I_INLINE axvcpu_gpa_t axvcpu_gpa(uint64_t addr)
{
    axvcpu_gpa_t gpa = AXVCPU_GPA_INIT(addr);
    return gpa;
}

AXVCPU_I_INLINE axvcpu_hpa_t axvcpu_hpa(uint64_t addr)
{
    axvcpu_hpa_t hpa = AXVCPU_HPA_INIT(addr);
    return hpa;
}

#define AXVCPU_ERRORS(X)                                                                                   \
    X(OK, 0, "no error")                                                                                   \
    X(EBADSTATE, 1, "not allowed in this state")                                                           \
    X(EINVAL, 2, "invalid argument")                                                                       \
    X(ENOMEM, 3, "out of memory or table space")                                                           \
    X(EBUSY, 4, "owned by another CPU")                                                                    \
    X(ENESTED, 5, "this CPU is inside another vCPU operation")                                             \
    X(EPENDING, 6, "the last exit has not been answered")                                                  \
    X(EAGAIN, 7, "not now; try again")                                                                     \
    X(ENOSUPPORT, 8, "not supported by this backend or machine")                                           \
    X(EFAULT, 9, "guest address not mapped")                                                               \
    X(EIO, 10, "the host refused; the log has the call and its code")
#define AXVCPU_I_ENUM_ERROR(name, value, text) AXVCPU_##name = value,
enum axvcpu_err { AXVCPU_ERRORS(AXVCPU_I_ENUM_ERROR) AXVCPU_ERR_COUNT };

#define AXVCPU_STATES(X)                                                                                   \
    X(INVALID, 0, "Invalid") /* an operation failed or was called out of order; reset or deinit */         \
    X(CREATED, 1, "Created") /* initialised, not yet set up */                                             \
    X(FREE, 2, "Free")       /* set up, no CPU has it */                                                   \
    X(READY, 3, "Ready")     /* bound to a CPU */                                                          \
    X(RUNNING, 4, "Running") /* inside run */                                                              \
    X(BLOCKED, 5, "Blocked") /* bound, waits for unblock */
#define AXVCPU_I_ENUM_STATE(name, value, text) AXVCPU_STATE_##name = value,
enum axvcpu_state { AXVCPU_STATES(AXVCPU_I_ENUM_STATE) AXVCPU_STATE_COUNT };

/* Exits. The second column says what the guest's instruction waits for: READ for an answer (complete or
   refuse), WRITE for nothing (it counts as done unless refused or retried), NONE is no access. */
#define AXVCPU_EXITS(X)                                                                                    \
    X(NOTHING, NONE)            /* nothing for the caller to do */                                         \
    X(HYPERCALL, NONE)          /* hypercall{nr, args}; answer with axvcpu_set_return_value */             \
    X(MMIO_READ, READ)          /* mmio{addr, width, reg, reg_width, sign_extend} */                       \
    X(MMIO_WRITE, WRITE)        /* mmio{addr, data, width} */                                              \
    X(IO_READ, READ)            /* io{port, width, count, buf} */                                          \
    X(IO_WRITE, WRITE)          /* io{port, width, count, data, buf} */                                    \
    X(SYSREG_READ, READ)        /* sysreg{addr, reg}: MSR, system register or CSR */                       \
    X(SYSREG_WRITE, WRITE)      /* sysreg{addr, value, reg} */                                             \
    X(EXTERNAL_INTERRUPT, NONE) /* irq{vector}: a host interrupt ended the run */                          \
    X(NESTED_PAGE_FAULT, NONE)  /* fault{addr, access}; map it and run again */                            \
    X(HALT, NONE)               /* the guest waits for an interrupt; its PC is past the instruction */     \
    X(CPU_UP, NONE)             /* cpu_up{target, entry, arg} */                                           \
    X(CPU_DOWN, NONE)           /* cpu_down{state} */                                                      \
    X(SYSTEM_DOWN, NONE)        /* system{reason} */                                                       \
    X(SEND_IPI, NONE)           /* ipi{target, aux, vector, to_all, to_self} */                            \
    X(FAIL_ENTRY, NONE)         /* fail{reason}: the hardware refused the guest's state */                 \
    X(CANCELED, NONE)           /* axvcpu_kick */                                                          \
    X(SHUTDOWN, NONE)           /* triple fault */                                                         \
    X(CPUID, READ)              /* cpuid{leaf, subleaf}; answer with axvcpu_complete_cpuid */              \
    X(IRQ_WINDOW, NONE)         /* the guest can take an interrupt now */                                  \
    X(DEBUG, NONE)              /* debug{pc, status} */                                                    \
    X(EXCEPTION, NONE)          /* exception{vector, error, addr} */                                       \
    X(TIMER, NONE)              /* the guest's time slice or timer is over */                              \
    X(EOI, NONE)                /* eoi{vector} */                                                          \
    X(REMOTE_FENCE, NONE)       /* fence{mask, base, start, size, asid, op} */                             \
    X(UNDECODED, NONE)          /* undecoded{addr, syndrome, insn, insn_len}; PC on the instruction */     \
    X(RAW, NONE)                /* `raw` has the backend's own code */
#define AXVCPU_I_ENUM_EXIT(name, answer) AXVCPU_EXIT_##name,
enum axvcpu_exit_kind { AXVCPU_EXITS(AXVCPU_I_ENUM_EXIT) AXVCPU_EXIT_COUNT };

/* axvcpu_exit.flags */
#define AXVCPU_EXIT_HANDLED 0x1u /* axvm_step: a handler has served it, nothing is left to do */
#define AXVCPU_EXIT_PAUSED 0x2u  /* CANCELED because the VM is suspended */

/* fault.access, a set */
#define AXVCPU_ACCESS_READ 0x1u
#define AXVCPU_ACCESS_WRITE 0x2u
#define AXVCPU_ACCESS_EXEC 0x4u
#define AXVCPU_ACCESS_WALK 0x8u /* by the guest's own page walk */

/* system.reason */
enum axvcpu_system_down { AXVCPU_SYSTEM_OFF, AXVCPU_SYSTEM_RESET, AXVCPU_SYSTEM_CRASH };

#define AXVCPU_NO_VECTOR UINT32_MAX /* irq.vector: still pending, the host takes it when it unmasks */
#define AXVCPU_REG_NONE UINT32_MAX  /* mmio.reg: the backend does not say (KVM) */

struct axvcpu_exit_mmio { uint64_t addr, data; uint32_t width, reg, reg_width; bool sign_extend; };
struct axvcpu_exit_io { void *buf; uint64_t data; uint32_t port, width, count; };
struct axvcpu_exit_sysreg { uint64_t addr, value; uint32_t reg; };
struct axvcpu_exit_hypercall { uint64_t nr, args[6]; };
struct axvcpu_exit_irq { uint32_t vector; };
struct axvcpu_exit_fault { uint64_t addr; uint32_t access; };
struct axvcpu_exit_cpu_up { uint64_t target, entry, arg; };
struct axvcpu_exit_cpu_down { uint64_t state; };
struct axvcpu_exit_system { uint32_t reason; };
struct axvcpu_exit_ipi { uint64_t target, aux; uint32_t vector; bool to_all, to_self; };
struct axvcpu_exit_fail { uint64_t reason; };
struct axvcpu_exit_cpuid { uint32_t leaf, subleaf, eax, ebx, ecx, edx; };
struct axvcpu_exit_fence { uint64_t mask, base, start, size, asid; uint32_t op; };
struct axvcpu_exit_exception { uint64_t error, addr; uint32_t vector; };
struct axvcpu_exit_undecoded { uint64_t addr, syndrome; uint8_t insn[16]; uint32_t insn_len; };
struct axvcpu_exit_eoi { uint32_t vector; };
struct axvcpu_exit_debug { uint64_t pc, status; };

/* Why run returned. Fields outside the returned kind are unspecified; all widths are bytes: 1, 2, 4 or 8. Of an x86
   access across a page each side that is no memory is an exit, of 1 to 7. Addresses here are plain numbers, because a
   record is also written to files; calls take the typed ones. */
struct axvcpu_exit {
    uint32_t kind;  /* AXVCPU_EXIT_* */
    uint32_t flags; /* AXVCPU_EXIT_HANDLED, _PAUSED */
    uint64_t raw;   /* the backend's own exit code */
    union {
        struct axvcpu_exit_mmio mmio;
        struct axvcpu_exit_io io;
        struct axvcpu_exit_sysreg sysreg;
        struct axvcpu_exit_hypercall hypercall;
        struct axvcpu_exit_irq irq;
        struct axvcpu_exit_fault fault;
        struct axvcpu_exit_cpu_up cpu_up;
        struct axvcpu_exit_cpu_down cpu_down;
        struct axvcpu_exit_system system;
        struct axvcpu_exit_ipi ipi;
        struct axvcpu_exit_fail fail;
        struct axvcpu_exit_cpuid cpuid;
        struct axvcpu_exit_fence fence;
        struct axvcpu_exit_exception exception;
        struct axvcpu_exit_undecoded undecoded;
        struct axvcpu_exit_eoi eoi;
        struct axvcpu_exit_debug debug;
    };
};

/* Register names for axvcpu_get_reg: a class in the upper half, a number in the lower one. */
#define AXVCPU_REG_CLASS(id) ((uint32_t)((uint64_t)(id) >> 32))
#define AXVCPU_REG_GPR(n) ((uint64_t)(n))
#define AXVCPU_REG_PC (UINT64_C(1) << 32)
#define AXVCPU_REG_SP (AXVCPU_REG_PC + 1)
#define AXVCPU_REG_FLAGS (AXVCPU_REG_PC + 2)
#define AXVCPU_REG_SYS(addr) (UINT64_C(2) << 32 | (uint32_t)(addr)) /* as sysreg.addr */
#define AXVCPU_REG_ARCH(n) (UINT64_C(3) << 32 | (uint32_t)(n))      /* named by the arch header */

struct axvcpu_cpumask { uint64_t bits[AXVCPU_MAX_PHYS_CPUS / 64]; };

/* What a backend keeps of an access that the guest waits for; see axvcpu_await. */
struct axvcpu_answer {
    uint64_t value;      /* axvcpu_complete's */
    uint32_t cpuid[4];   /* axvcpu_complete_cpuid's: eax, ebx, ecx, edx */
    uint32_t kind;       /* AXVCPU_EXIT_* */
    uint8_t width, reg_width;
    bool sign_extend, refused;
    uint32_t reg;        /* guest register that takes the value, or AXVCPU_REG_NONE */
    uint32_t count;      /* string elements; 1 for a plain access */
};

typedef int (*axvcpu_fn)(struct axvcpu *, void *arg);

/* VM layer. */
struct axvm;

#define AXVM_STATUSES(X)                                                                                   \
    X(LOADING, 0, "Loading")     /* initialised; memory and devices are put in */                          \
    X(LOADED, 1, "Loaded")       /* booted: the vCPUs are set up */                                        \
    X(RUNNING, 2, "Running")     /* a vCPU has run */                                                      \
    X(SUSPENDED, 3, "Suspended") /* axvm_pause */                                                          \
    X(STOPPING, 4, "Stopping")   /* axvm_shutdown; vCPUs are on their way out */                           \
    X(STOPPED, 5, "Stopped")     /* ... and all have left */
#define AXVM_I_ENUM_STATUS(name, value, text) AXVM_STATUS_##name = value,
enum axvm_status { AXVM_STATUSES(AXVM_I_ENUM_STATUS) AXVM_STATUS_COUNT };

/* What a handler made of an exit. */
enum axvm_answer {
    AXVM_DONE,   /* served; for a read the value is in the exit record */
    AXVM_RETRY,  /* the guest shall execute the instruction again */
    AXVM_RETURN, /* the caller of axvm_run_vcpu shall have it */
    AXVM_ERROR   /* EIO; the access stays unanswered */
};
typedef enum axvm_answer (*axvm_handler)(struct axvm *, struct axvcpu *, struct axvcpu_exit *, void *arg);

/* Guest memory. */
#define AXVM_MAP_READ 0x01u
#define AXVM_MAP_WRITE 0x02u
#define AXVM_MAP_EXEC 0x04u
#define AXVM_MAP_DEVICE 0x08u
#define AXVM_MAP_LOG_DIRTY 0x10u
#define AXVM_MAP_RWX (AXVM_MAP_READ | AXVM_MAP_WRITE | AXVM_MAP_EXEC)

/* What is behind a mapping: memory of this process (hosted) or host-physical memory (bare metal). */
typedef struct { void *ptr; axvcpu_hpa_t hpa; } axvcpu_backing_t;

struct axvm_mapping {
    axvcpu_gpa_t gpa;
    uint64_t size; /* 0: a free entry */
    axvcpu_backing_t backing;
    uint32_t flags;
};

/* Address classes of axvm_remove and the like: any exit kind of the class names it. */
#define AXVM_MMIO AXVCPU_EXIT_MMIO_READ
#define AXVM_PORT AXVCPU_EXIT_IO_READ
#define AXVM_SYSREG AXVCPU_EXIT_SYSREG_READ
#define AXVM_I_CLASSES 3

/* A device's addresses, first to last. */
struct axvm_i_slot {
    uint64_t id; /* never used again; bit 0: string accesses come whole */
    uint64_t first, last;
    axvm_handler handler;
    void *arg;
};
/* The caller's storage for one range. Two tables share it, the one in use and the next one. */
struct axvm_range { struct axvm_i_slot slot[2]; };
/* How to search the ranges of a class: among `low` and what follows it; `middle` leaves 2^steps either way. */
struct axvm_i_index { const struct axvm_i_slot *low, *middle; uint64_t steps; };
/* A class: each change gives it a version of its own, and the other index. */
struct axvm_i_class { uint64_t version; const struct axvm_i_index *index; struct axvm_i_index indexes[2]; };
/* A vCPU's last range of a class: where it lay in the table of version `seen` (0: nowhere yet). */
struct axvm_i_hit { uint64_t first, last, seen; const struct axvm_i_slot *slot; };
/* The handler for a kind of exit that no device takes: two, of which the version's lowest bit names the one
   in use, so that a handler always comes with its own argument. */
struct axvm_i_handler { axvm_handler fn; void *arg; };
struct axvm_i_default { uint64_t version; struct axvm_i_handler slot[2]; };

/* The VM's part of struct axvcpu. */
struct axvm_i_member {
    struct axvm *vm;              /* NULL: it belongs to none */
    uint64_t device;              /* the id of the range whose handler runs; 0: none */
    uint64_t base;                /* where that range began */
    struct axvm_i_hit hit[AXVM_I_CLASSES];
    uint32_t up;                  /* AXVM_I_DOWN, _CLAIMED, _UP, _HANDED */
    uint64_t entry, arg;          /* with _HANDED */
    const struct axvcpu_exit *asked; /* the record of its last CPU_UP exit */
};

/* Hosted: a thread is a CPU. Else CPU_ID says which CPU this is. */
#if __STDC_HOSTED__ && (defined(AXVCPU_KVM) || AXVCPU_I_ARCH <= AXVCPU_I_ARCH_HEADER)
#define AXVCPU_I_HOSTED 1
#else
#define AXVCPU_I_HOSTED 0
#endif

#ifndef AXVCPU_CPU_ID
#if AXVCPU_I_HOSTED
#define AXVCPU_CPU_ID() UINT32_MAX /* a thread may be anywhere */
#else
uint32_t axvcpu_host_cpu_id(void);
#define AXVCPU_CPU_ID() axvcpu_host_cpu_id()
#endif
#endif

#if !defined(AXVCPU_CURRENT_GET) || !defined(AXVCPU_CPU_TOKEN)
#if AXVCPU_I_HOSTED
/* One instruction in the file that defines it, unless that becomes a shared library; two elsewhere. */
#if defined(AXVCPU_IMPLEMENTATION) && (!defined(__PIC__) || defined(__PIE__))
#define AXVCPU_I_TLS __attribute__((tls_model("local-exec")))
#else
#define AXVCPU_I_TLS __attribute__((tls_model("initial-exec")))
#endif
AXVCPU_I_UNUSED AXVCPU_I_DATA __thread struct axvcpu *axvcpu_i_current AXVCPU_I_TLS;
#define AXVCPU_I_CURRENT axvcpu_i_current
#else
AXVCPU_I_UNUSED AXVCPU_I_DATA struct axvcpu *axvcpu_i_current[AXVCPU_MAX_PHYS_CPUS];
#define AXVCPU_I_CURRENT axvcpu_i_current[AXVCPU_CPU_ID()]
#endif
#endif
#ifndef AXVCPU_CURRENT_GET
#define AXVCPU_CURRENT_GET() AXVCPU_I_CURRENT
#define AXVCPU_CURRENT_SET(v) ((void)(AXVCPU_I_CURRENT = (v)))
#endif
#ifndef AXVCPU_CPU_TOKEN /* any pointer that no other CPU has */
#if AXVCPU_I_HOSTED && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 11
#define AXVCPU_CPU_TOKEN() __builtin_thread_pointer()
#else
#define AXVCPU_CPU_TOKEN() ((void *)&AXVCPU_I_CURRENT)
#endif
#endif

/* What only a bare-metal host can do. A hook that is not given is a function, named by the linker. */
#if !AXVCPU_I_HOSTED
#ifndef AXVCPU_ALLOC_FRAME
axvcpu_hpa_t axvcpu_host_alloc_frame(size_t pages, size_t align); /* zeroed; address 0: none left */
void axvcpu_host_free_frame(axvcpu_hpa_t hpa, size_t pages);
#define AXVCPU_ALLOC_FRAME(pages, align) axvcpu_host_alloc_frame(pages, align)
#define AXVCPU_FREE_FRAME(hpa, pages) axvcpu_host_free_frame(hpa, pages)
#endif
#ifndef AXVCPU_PHYS_TO_VIRT
void *axvcpu_host_phys_to_virt(axvcpu_hpa_t hpa);
axvcpu_hpa_t axvcpu_host_virt_to_phys(const void *ptr);
#define AXVCPU_PHYS_TO_VIRT(hpa) axvcpu_host_phys_to_virt(hpa)
#define AXVCPU_VIRT_TO_PHYS(ptr) axvcpu_host_virt_to_phys(ptr)
#endif
#ifndef AXVCPU_IRQ_HANDLER
void axvcpu_host_irq_handler(uint32_t vector);
#define AXVCPU_IRQ_HANDLER(vector) axvcpu_host_irq_handler(vector)
#endif
#ifndef AXVCPU_SEND_KICK
void axvcpu_host_send_kick(void *token); /* an interrupt to the CPU with this CPU_TOKEN */
#define AXVCPU_SEND_KICK(token) axvcpu_host_send_kick(token)
#endif
#ifndef AXVCPU_TIMER_ARM
void axvcpu_host_timer_arm(struct axvcpu *v, uint64_t deadline);
#define AXVCPU_TIMER_ARM(v, deadline) axvcpu_host_timer_arm(v, deadline)
#endif
#endif

/* ---------------------------------------------------------------------------------------------------- */
/* >>arch                                                                                               */
/* ---------------------------------------------------------------------------------------------------- */

/* THE BACKEND INTERFACE. What a backend (an arch header, or a file of your own by AXVCPU_ARCH_HEADER)
   must define, all of it; examples/custom_backend is a complete one to copy.

   Types, none of them empty, all zero being valid for the first two:
     struct axvcpu_arch_create   what axvcpu_init gets in desc.arch
     struct axvcpu_arch_setup    what axvcpu_setup gets
     struct axvcpu_arch          the backend's part of struct axvcpu; zeroed before leaf_create
     struct axvcpu_arch_percpu   its part of struct axvcpu_percpu
     struct axvm_arch_desc       its part of struct axvm_desc
     struct axvm_arch            its part of struct axvm
   Constants:
     AXVCPU_LEAF_NAME            "name" for logs
     AXVCPU_LEAF_GPRS            how many general registers axvcpu_get_gpr knows
     AXVCPU_LEAF_RETURN_GPR      which one a hypercall answers in
     AXVCPU_LEAF_VECTORS         interrupt vectors are below this
     AXVCPU_LEAF_VECTOR_OK(n)    whether vector n (below that) exists
     AXVM_LEAF_UP_OK, _ALREADY, _INVALID  what a guest that asked for CPU_UP finds in its return register
     AXVM_LEAF_UP_ANSWERS        false where it finds nothing (SIPI)
     AXVM_LEAF_PAGE              mappings are multiples of this
   Functions: the list below. Write AXVCPU_LEAF_DECLARE(cold, hot) with the linkage you want for them
   (AXVCPU_API for those under AXVCPU_IMPLEMENTATION, `static inline` for those in the header itself).

   The core has checked state, owner and arguments, and has made the vCPU current, before it calls one;
   a leaf checks only what the hardware or host says. Leaves return 0 or an enum axvcpu_err. A backend
   calls axvcpu_arch(v) for its own part, and the helpers behind the list. */
#define AXVCPU_LEAF_DECLARE(cold, hot)                                                                     \
    /* life */                                                                                             \
    cold int axvcpu_leaf_create(struct axvcpu *, const struct axvcpu_arch_create *);                       \
    cold void axvcpu_leaf_destroy(struct axvcpu *);                                                        \
    cold int axvcpu_leaf_reset(struct axvcpu *); /* as after create */                                     \
    cold int axvcpu_leaf_set_entry(struct axvcpu *, axvcpu_gpa_t);                                         \
    cold int axvcpu_leaf_set_root(struct axvcpu *, axvcpu_hpa_t);                                          \
    cold int axvcpu_leaf_setup(struct axvcpu *, const struct axvcpu_arch_setup *);                         \
    cold int axvcpu_leaf_restart(struct axvcpu *, axvcpu_gpa_t entry, uint64_t arg);                       \
    hot int axvcpu_leaf_bind(struct axvcpu *);                                                             \
    hot int axvcpu_leaf_unbind(struct axvcpu *); /* also after a failed run, and after put */              \
    cold int axvcpu_leaf_put(struct axvcpu *);   /* hardware state to memory; bound it stays */            \
    cold int axvcpu_leaf_load(struct axvcpu *);                                                            \
    /* Run the guest to its next exit; fill kind, flags, raw and the kind's own fields. An exit that       \
       the guest's instruction waits for goes through axvcpu_await. When the guest left because of         \
       attention, call axvcpu_attend. */                                                                   \
    hot int axvcpu_leaf_run(struct axvcpu *, struct axvcpu_exit *);                                        \
    /* Commit the access in axvcpu_access(v): register, PC. A further exit of the same instruction is      \
       filled in and awaited as in run, else the kind is left NOTHING. entering: leaf_run follows at       \
       once and may do it instead. */                                                                      \
    hot int axvcpu_leaf_commit(struct axvcpu *, struct axvcpu_exit *, bool entering);                      \
    cold int axvcpu_leaf_retry(struct axvcpu *);  /* forget it; the instruction will execute again */      \
    cold int axvcpu_leaf_refuse(struct axvcpu *); /* the architecture's fault, or all ones, at commit */   \
    /* registers; id is AXVCPU_REG_* and a GPR's number is in range */                                     \
    cold int axvcpu_leaf_get_reg(struct axvcpu *, uint64_t id, uint64_t *value);                           \
    cold int axvcpu_leaf_set_reg(struct axvcpu *, uint64_t id, uint64_t value);                            \
    /* Interrupts. inject: *what has the AXVCPU_ATTN_ bits to serve; leave those that must be tried        \
       again before the next entry. wakes: would the guest's halt end now; `queued`: the core holds        \
       interrupts. kick: make `owner` (a CPU token) leave the guest soon; from any context. */             \
    cold int axvcpu_leaf_inject(struct axvcpu *, uint32_t *what);                                          \
    cold int axvcpu_leaf_inject_exception(struct axvcpu *, uint32_t vector, uint64_t error, uint64_t addr); \
    cold int axvcpu_leaf_inject_hw(struct axvcpu *, uint32_t vintid, uint32_t pintid);                     \
    cold bool axvcpu_leaf_wakes(const struct axvcpu *, bool queued);                                       \
    cold void axvcpu_leaf_kick(struct axvcpu *, void *owner);                                              \
    /* per CPU */                                                                                          \
    cold int axvcpu_leaf_percpu_init(struct axvcpu_percpu *, uint32_t cpu_id);                             \
    cold void axvcpu_leaf_percpu_deinit(struct axvcpu_percpu *);                                           \
    cold int axvcpu_leaf_percpu_enable(struct axvcpu_percpu *);                                            \
    cold int axvcpu_leaf_percpu_disable(struct axvcpu_percpu *);                                           \
    cold uint32_t axvcpu_leaf_max_guest_page_table_levels(const struct axvcpu_percpu *);                   \
    cold bool axvcpu_leaf_supported(void);                                                                 \
    /* VM: init before its vCPUs are created, deinit after the last is gone. map: the core has checked     \
       alignment and overlap and knows the mapping under `slot`; unmap gets the same. answer: an exit      \
       that no handler wanted; AXVM_RETURN: the caller may have it. */                                     \
    cold int axvm_leaf_init(struct axvm *, const struct axvm_arch_desc *);                                 \
    cold void axvm_leaf_deinit(struct axvm *);                                                             \
    cold int axvm_leaf_map(struct axvm *, uint32_t slot, const struct axvm_mapping *);                         \
    cold int axvm_leaf_unmap(struct axvm *, uint32_t slot, const struct axvm_mapping *);                       \
    cold axvcpu_hpa_t axvm_leaf_root(const struct axvm *);                                                 \
    cold uint32_t axvm_leaf_vmid(const struct axvm *);                                                     \
    cold int axvm_leaf_irq_line(struct axvm *, uint32_t line, bool level);                                 \
    cold bool axvm_leaf_is_target(const struct axvcpu *, uint64_t target); /* cpu_up.target names it */    \
    hot enum axvm_answer axvm_leaf_answer(struct axvm *, struct axvcpu *, struct axvcpu_exit *);

/* Attention: why the next run must look before it enters. Free bits of a word whose other bits are those
   of a Ready vCPU's state word, so that run asks "Ready, nothing unanswered, nothing wanted" with a
   single comparison of the two. */
#define AXVCPU_ATTN_KICK 0x100u
#define AXVCPU_ATTN_IRQ 0x200u /* the pending set or a line has something */
#define AXVCPU_ATTN_NMI 0x400u
#define AXVCPU_ATTN_STOP 0x800u /* the VM is being paused or shut down: CANCELED, but nobody's kick */

/* What the core offers a backend. */
AXVCPU_I_NO_SHADOW_BEGIN
AXVCPU_I_INLINE struct axvcpu_arch *axvcpu_arch(struct axvcpu *);
AXVCPU_I_NO_SHADOW_END
AXVCPU_I_INLINE struct axvcpu_answer *axvcpu_access(struct axvcpu *);
/* Note that the guest's instruction waits for the access in *x (READ and WRITE kinds of AXVCPU_EXITS). */
AXVCPU_I_INLINE void axvcpu_await(struct axvcpu *, const struct axvcpu_exit *);
/* Anything but a clear attention word? */
AXVCPU_I_INLINE bool axvcpu_attention(const struct axvcpu *);
/* At the end of a leaf_run that awaits nothing and has left the state alone: the compiler may know it, too. */
AXVCPU_I_INLINE void axvcpu_undisturbed(const struct axvcpu *);
/* Serve it: a kick makes *x CANCELED and *done true, else what is to be injected is, and the guest may be
   entered again. */
AXVCPU_API int axvcpu_attend(struct axvcpu *, struct axvcpu_exit *x, bool *done);
/* The highest pending vector (edge or line) or -1; take: the edge is consumed, a line stays. */
AXVCPU_API int axvcpu_irq_next(const struct axvcpu *);
AXVCPU_API void axvcpu_irq_take(struct axvcpu *, uint32_t vector);
/* The value that a guest register gets when `access` is answered and the register was `old`: narrow
   registers merge, 4-byte ones clear the upper half, sign extension reaches reg_width. */
AXVCPU_API uint64_t axvcpu_access_result(const struct axvcpu_answer *, uint64_t old);

#ifdef AXVCPU_KVM
/* >>kvm: what the KVM backends have in common, whatever the architecture (kernel: Documentation/virt/kvm/
   api.rst). The vCPU's descriptor is created by init, parked by reset and closed by deinit. A vCPU that
   belongs to no axvm has a KVM VM of its own, or one of the caller's.

   An arch header brings struct axvcpu_arch with a member `struct axvcpu_kvm kvm` and struct axvm_arch with
   a member `struct axvcpu_kvm_vm kvm`, those leaves that are not in the implementation's >>kvm, and the
   functions that are declared there. */

/* The signal of a kick. Its handler is ours; one that somebody else has installed is never replaced. */
#ifndef AXVCPU_KVM_SIGNAL
#define AXVCPU_KVM_SIGNAL (SIGRTMIN + 1)
#endif

/* Answers go to the run page at once. The kernel commits when it is entered: an arch header that has nothing to
   add to that defines AXVCPU_LEAF_RUN_COMMITS as 1. */
#define AXVCPU_LEAF_ANSWER(v) ((v)->arch.kvm.answer)

struct kvm_run;

/* A VM's descriptors. */
struct axvcpu_kvm_vm {
    int sys;       /* /dev/kvm */
    int fd;        /* the VM's */
    bool adopted;  /* fd is the caller's */
    bool irqchip;  /* the interrupt controller that a HLT waits for is in the kernel */
};

/* A vCPU's. */
struct axvcpu_kvm {
    struct kvm_run *run; /* shared with the kernel; NULL until it is mapped */
    uint64_t *answer;    /* where the kernel expects axvcpu_complete's value: in the run page, or `ignored` */
    uint64_t ignored;
    struct axvm_arch *vm;
    int fd;
    uint32_t run_size;
    uint32_t tid; /* the owner's thread, for tgkill */
};

/* The descriptors, for what is not wrapped here; -1 without one. They stay the library's. */
AXVCPU_API int axvm_kvm_fd(const struct axvm *);
AXVCPU_API int axvcpu_kvm_fd(const struct axvcpu *);
AXVCPU_API int axvcpu_kvm_vm_fd(const struct axvcpu *);
AXVCPU_API struct kvm_run *axvcpu_kvm_run(const struct axvcpu *);

/* An eventfd becomes line `line` of the in-kernel interrupt controller, or is written by the guest's access
   to a port (class_ AXVM_PORT) or address (AXVM_MMIO), of any value or only of *match. No exit any more. */
AXVCPU_API int axvm_irq_fd(struct axvm *, uint32_t line, int eventfd, bool on);
AXVCPU_API int axvm_io_fd(struct axvm *, uint32_t class_, uint64_t addr, uint32_t width, const uint64_t *match,
                          int eventfd, bool on);
#endif

#if AXVCPU_I_ARCH == AXVCPU_I_ARCH_HEADER
#include AXVCPU_ARCH_HEADER
#elif AXVCPU_I_ARCH == AXVCPU_I_ARCH_X86
#include "axvcpu_arch_x86.h"
#elif AXVCPU_I_ARCH == AXVCPU_I_ARCH_ARM64
#include "axvcpu_arch_arm64.h"
#elif AXVCPU_I_ARCH == AXVCPU_I_ARCH_RISCV
#include "axvcpu_arch_riscv.h"
#else

/* >>fake: the scripted backend. No guest, no hardware: a vCPU plays the steps of a script, so that a run
   loop and its devices can be tested anywhere, and exits recorded elsewhere can be replayed. */

#define AXVCPU_LEAF_NAME "fake"
#define AXVCPU_LEAF_GPRS 32
#define AXVCPU_LEAF_RETURN_GPR 0
#define AXVCPU_LEAF_VECTORS 256
#define AXVCPU_LEAF_VECTOR_OK(n) true
#define AXVM_LEAF_UP_OK 0
#define AXVM_LEAF_UP_ALREADY ((uint64_t)-4) /* as PSCI says it */
#define AXVM_LEAF_UP_INVALID ((uint64_t)-2)
#define AXVM_LEAF_UP_ANSWERS true
#define AXVM_LEAF_PAGE 4096u

#define AXVCPU_FAKE_OPS(X)                                                                                 \
    X(CREATE) X(SET_ENTRY) X(SET_ROOT) X(SETUP) X(BIND) X(RUN) X(UNBIND)                                   \
    X(PUT) X(LOAD) X(COMMIT) X(RETRY) X(REFUSE) X(GET_REG) X(SET_REG) X(INJECT) X(EXCEPTION)
#define AXVCPU_I_ENUM_FAKE(name) AXVCPU_FAKE_##name,
enum axvcpu_fake_op { AXVCPU_FAKE_OPS(AXVCPU_I_ENUM_FAKE) AXVCPU_FAKE_OP_COUNT };

/* Steps that are no exit: they go in axvcpu_fake_step.exit.kind and the script goes on behind them. */
#define AXVCPU_FAKE_SPIN 0x1000u    /* stay in the guest until a kick */
#define AXVCPU_FAKE_EFFECT 0x1001u  /* exit.sysreg: register `addr` (AXVCPU_REG_*) becomes `value` */

#define AXVCPU_FAKE_MASKED 1u       /* in AXVCPU_REG_FLAGS: the guest takes no interrupt */
#define AXVCPU_FAKE_INSN_SIZE 4u    /* how far a committed access moves AXVCPU_REG_PC */

struct axvcpu_fake_step { int err; struct axvcpu_exit exit; };

struct axvcpu_arch_create { int fail; }; /* an error for axvcpu_init to fail with */
struct axvcpu_arch_setup { uint64_t value; };
struct axvcpu_arch_percpu { uint32_t enabled; };
struct axvm_arch_desc { int fail; uint32_t flags; }; /* fail: an error for axvm_init to fail with */
struct axvm_arch { uint32_t flags; };

struct axvcpu_arch {
    const struct axvcpu_fake_step *steps;
    size_t count, next;
    bool loop, created;
    uint64_t gpr[AXVCPU_LEAF_GPRS], pc, sp, flags, entry, root, setup_value;
    uint64_t calls[AXVCPU_FAKE_OP_COUNT];
    uint32_t fail_in[AXVCPU_FAKE_OP_COUNT]; /* calls until the failure; 0: none */
    int fail_err[AXVCPU_FAKE_OP_COUNT];
    uint64_t delivered[AXVCPU_LEAF_VECTORS], nmis;
    struct axvcpu_exit_exception exception; /* the last one injected */
    uint64_t exceptions;
    uint8_t io_buf[64];
};

AXVCPU_LEAF_DECLARE(AXVCPU_API, AXVCPU_API)

/* Play `n` steps, from the start; the array outlives its use. Past the end: HALT, or again with `loop`.
   A step with err fails run; a record that no run may return is EINVAL. An IO_READ with count > 1 is answered
   in step.exit.io.buf, or without one in the backend's own 64 bytes. */
AXVCPU_API int axvcpu_fake_script(struct axvcpu *, const struct axvcpu_fake_step *steps, size_t n, bool loop);
/* The nth call of op from now on (1: the next) fails with err, once; it survives reset. */
AXVCPU_API int axvcpu_fake_fail(struct axvcpu *, enum axvcpu_fake_op op, uint32_t nth, int err);
AXVCPU_API uint64_t axvcpu_fake_calls(const struct axvcpu *, enum axvcpu_fake_op op);
/* How often the guest took interrupt `vector`. */
AXVCPU_API uint64_t axvcpu_fake_delivered(const struct axvcpu *, uint32_t vector);
#endif


/* ---------------------------------------------------------------------------------------------------- */
/* >>api                                                                                                */
/* ---------------------------------------------------------------------------------------------------- */

/* A backend may say that entering is committing, so that leaf_commit(v, x, true) would have nothing to do;
   and where axvcpu_complete shall put the value. */
#ifndef AXVCPU_LEAF_RUN_COMMITS
#define AXVCPU_LEAF_RUN_COMMITS 0
#endif
/* Whether the backend itself keeps a vCPU of this VM from running until another one starts it. */
#ifndef AXVM_LEAF_STARTS_CPUS
#define AXVM_LEAF_STARTS_CPUS(vm) false
#endif
/* How `run` looks at the attention word. Who cannot be interrupted until he is in the guest, where a kick's
   interrupt then finds him, needs no order here, if his leaf_bind ends with a full barrier. */
#ifndef AXVCPU_LEAF_LOOK
#define AXVCPU_LEAF_LOOK(p) AXVCPU_ATOMIC_LOAD(p)
#endif
#ifndef AXVCPU_LEAF_ANSWER
#define AXVCPU_LEAF_ANSWER(v) (&(v)->access.value)
#endif

/* A vCPU's words. `word` is magic | flags | state; only the owner writes it, but for Blocked -> Ready,
   which anybody may do with a compare-and-swap. `attn` see AXVCPU_ATTN_*. */
#define AXVCPU_I_MAGIC 0xa5c50000u
#define AXVCPU_I_MAGIC_MASK 0xffff0000u
#define AXVCPU_I_STATE 0x07u
#define AXVCPU_I_ASKED 0x08u /* an exit waits for an answer */
#define AXVCPU_I_DUE 0x10u   /* an access waits to be committed */
#define AXVCPU_I_REGS 0x20u  /* ... that answers in four registers (CPUID) */
#define AXVCPU_I_AWAY 0x40u  /* put: the hardware state is in memory */
#define AXVCPU_I_ACCESS (AXVCPU_I_ASKED | AXVCPU_I_DUE | AXVCPU_I_REGS)
#define AXVCPU_I_WORD(state) (AXVCPU_I_MAGIC | (uint32_t)AXVCPU_STATE_##state)
#define AXVCPU_I_CALM AXVCPU_I_WORD(READY) /* `attn` with nothing wanted */

struct axvcpu_desc {
    uint32_t vm_id, vcpu_id, favor_phys_cpu;
    uint32_t flags; /* none yet: 0 */
    struct axvcpu_cpumask phys_cpu_set; /* where bind may happen; all zero: anywhere */
    void *user;
    void (*release)(struct axvcpu *); /* the last unref calls it, the vCPU being gone */
    struct axvcpu_arch_create arch;
};

struct axvcpu {
    void *owner; /* CPU_TOKEN of the CPU that has it, or NULL */
    uint32_t word, attn;
    struct axvcpu_arch arch;
    struct axvcpu_answer access;
    uint32_t latch; /* an unblock that came before its block */
    uint32_t refs;
    uint32_t vm_id, vcpu_id, favor_phys_cpu;
    struct axvcpu_cpumask phys_cpu_set;
    void *user;
    void (*release)(struct axvcpu *);
    uint64_t pending[(AXVCPU_LEAF_VECTORS + 63) / 64]; /* edges not yet taken */
    uint64_t lines[(AXVCPU_LEAF_VECTORS + 63) / 64];   /* levels */
    struct axvm_i_member vm;
};

struct axvcpu_percpu {
    uint32_t word, cpu_id;
    struct axvcpu_arch_percpu arch;
};

/* Compared by every init: two files that were compiled with different macros do not share an object. */
#define AXVCPU_I_MIX(hash, x) (((hash) ^ (uint64_t)(x)) * UINT64_C(0x100000001b3))
#define AXVCPU_ABI                                                                                         \
    AXVCPU_I_MIX(AXVCPU_I_MIX(AXVCPU_I_MIX(AXVCPU_I_MIX(AXVCPU_I_MIX(AXVCPU_VERSION_MAJOR << 8 | AXVCPU_VERSION_MINOR, \
        AXVCPU_I_ARCH), sizeof(struct axvcpu)), sizeof(struct axvcpu_exit)), sizeof(struct axvcpu_percpu)), \
        sizeof(struct axvm))

/* Life. axvcpu_init never reads the object; when it fails the object is all zero. */
AXVCPU_I_INLINE int axvcpu_init(struct axvcpu *, const struct axvcpu_desc *);
AXVCPU_API int axvcpu_deinit(struct axvcpu *);
AXVCPU_API int axvcpu_setup(struct axvcpu *, axvcpu_gpa_t entry, axvcpu_hpa_t root, const struct axvcpu_arch_setup *);
AXVCPU_I_INLINE int axvcpu_bind(struct axvcpu *);
AXVCPU_I_INLINE int axvcpu_run(struct axvcpu *, struct axvcpu_exit *);
AXVCPU_I_INLINE int axvcpu_unbind(struct axvcpu *);
AXVCPU_API int axvcpu_reset(struct axvcpu *);
AXVCPU_API int axvcpu_restart(struct axvcpu *, axvcpu_gpa_t entry, uint64_t arg);
AXVCPU_API int axvcpu_put(struct axvcpu *);
AXVCPU_API int axvcpu_load(struct axvcpu *);
AXVCPU_API int axvcpu_abandon(struct axvcpu *);
AXVCPU_API struct axvcpu *axvcpu_ref(struct axvcpu *);
AXVCPU_API int axvcpu_unref(struct axvcpu *);

/* Answering an exit. */
AXVCPU_I_INLINE int axvcpu_complete(struct axvcpu *, uint64_t value);
AXVCPU_API int axvcpu_complete_cpuid(struct axvcpu *, const uint32_t regs[4]);
AXVCPU_API int axvcpu_refuse(struct axvcpu *);
AXVCPU_API int axvcpu_retry(struct axvcpu *);
AXVCPU_API int axvcpu_settle(struct axvcpu *, struct axvcpu_exit *);

/* Interrupts, kicks, sleep. */
AXVCPU_API int axvcpu_inject_interrupt(struct axvcpu *, uint32_t vector);
AXVCPU_API int axvcpu_set_irq(struct axvcpu *, uint32_t irq, bool level);
AXVCPU_API int axvcpu_inject_nmi(struct axvcpu *);
AXVCPU_API int axvcpu_inject_exception(struct axvcpu *, uint32_t vector, uint64_t error, uint64_t addr);
AXVCPU_API int axvcpu_inject_hw(struct axvcpu *, uint32_t vintid, uint32_t pintid);
AXVCPU_API int axvcpu_kick(struct axvcpu *);
AXVCPU_API int axvcpu_block(struct axvcpu *);
AXVCPU_API int axvcpu_unblock(struct axvcpu *);
AXVCPU_API bool axvcpu_pending(const struct axvcpu *);

/* Registers. */
AXVCPU_API int axvcpu_set_entry(struct axvcpu *, axvcpu_gpa_t);
AXVCPU_API int axvcpu_set_root(struct axvcpu *, axvcpu_hpa_t);
AXVCPU_API int axvcpu_get_gpr(struct axvcpu *, uint32_t reg, uint64_t *);
AXVCPU_API int axvcpu_set_gpr(struct axvcpu *, uint32_t reg, uint64_t);
AXVCPU_API int axvcpu_get_reg(struct axvcpu *, uint64_t id, uint64_t *);
AXVCPU_API int axvcpu_set_reg(struct axvcpu *, uint64_t id, uint64_t);
AXVCPU_API int axvcpu_set_return_value(struct axvcpu *, uint64_t);

/* Combinators: they neither claim nor release. */
AXVCPU_I_INLINE int axvcpu_transition(struct axvcpu *, enum axvcpu_state from, enum axvcpu_state to);
AXVCPU_I_INLINE int axvcpu_with_current(struct axvcpu *, axvcpu_fn, void *arg);
AXVCPU_API int axvcpu_with_state(struct axvcpu *, enum axvcpu_state from, enum axvcpu_state to, axvcpu_fn, void *arg);
AXVCPU_API int axvcpu_manipulate(struct axvcpu *, enum axvcpu_state from, enum axvcpu_state to, axvcpu_fn, void *arg);

/* Getters: any time, anywhere. */
AXVCPU_I_INLINE enum axvcpu_state axvcpu_get_state(const struct axvcpu *);
AXVCPU_I_INLINE struct axvcpu *axvcpu_current(void);
AXVCPU_I_INLINE uint32_t axvcpu_id(const struct axvcpu *);
AXVCPU_I_INLINE uint32_t axvcpu_vm_id(const struct axvcpu *);
AXVCPU_I_INLINE bool axvcpu_is_bsp(const struct axvcpu *);
AXVCPU_I_INLINE void *axvcpu_user(const struct axvcpu *);
AXVCPU_I_INLINE uint32_t axvcpu_favor_phys_cpu(const struct axvcpu *);
AXVCPU_I_INLINE struct axvcpu_cpumask axvcpu_phys_cpu_set(const struct axvcpu *);

/* Words. axvcpu_exit_print returns the length that it needed, like snprintf. */
AXVCPU_API const char *axvcpu_strerror(int);
AXVCPU_API const char *axvcpu_state_name(enum axvcpu_state);
AXVCPU_API const char *axvcpu_exit_name(uint32_t kind);
AXVCPU_API size_t axvcpu_exit_print(char *, size_t, const struct axvcpu_exit *);

/* Per CPU. The object starts all zero; a failed init may be tried again. */
AXVCPU_I_INLINE int axvcpu_percpu_init(struct axvcpu_percpu *, uint32_t cpu_id);
AXVCPU_API int axvcpu_percpu_enable(struct axvcpu_percpu *);
AXVCPU_API int axvcpu_percpu_disable(struct axvcpu_percpu *);
AXVCPU_API int axvcpu_percpu_deinit(struct axvcpu_percpu *);
AXVCPU_API bool axvcpu_percpu_is_enabled(const struct axvcpu_percpu *);
AXVCPU_API uint32_t axvcpu_percpu_max_guest_page_table_levels(const struct axvcpu_percpu *);
AXVCPU_API bool axvcpu_has_hardware_support(void);

/* VM layer. Storage comes from the caller; zero means default. */
#ifndef AXVM_MAX_MAPS
#define AXVM_MAX_MAPS 32
#endif

struct axvm_desc {
    uint32_t id;
    uint32_t flags; /* none yet: 0 */
    struct axvcpu *vcpus; /* storage, vcpu_count of them, vcpu_stride bytes apart (0: sizeof) */
    uint32_t vcpu_count, vcpu_stride;
    const struct axvcpu_desc *vcpu_descs;    /* vcpu_count of them, or NULL; ids are given by position */
    const struct axvcpu_arch_setup *setups;  /* vcpu_count of them, or NULL; must outlive axvm_boot */
    axvcpu_gpa_t bsp_entry, ap_entry;
    struct axvm_range *ranges; /* storage for devices */
    uint32_t max_ranges;
    void *user;
    struct axvm_arch_desc arch;
};

struct axvm {
    struct axvm_i_class classes[AXVM_I_CLASSES];
    struct axvm_range *ranges;
    uint32_t side;                          /* which slots of `ranges` are in use */
    uint32_t starts[2][AXVM_I_CLASSES + 1]; /* where each class begins, per slot */
    uint32_t word;
    uint32_t status; /* AXVM_STATUS_*, and how many are within axvm_run_vcpu or axvm_step, times AXVM_I_INSIDE */
    uint32_t lock;   /* of the two tables; no handler is called and nobody waited for under it */
    uint32_t id, max_ranges, vcpu_count, vcpu_stride;
    uint64_t next_id;
    struct axvcpu *vcpus;
    const struct axvcpu_arch_setup *setups;
    axvcpu_gpa_t bsp_entry, ap_entry;
    void *user;
    struct axvm_i_default defaults[AXVCPU_EXIT_COUNT];
    struct axvm_mapping maps[AXVM_MAX_MAPS];
    struct axvm_arch arch;
};

AXVCPU_I_INLINE int axvm_init(struct axvm *, const struct axvm_desc *); /* creates the vCPUs */
AXVCPU_API int axvm_boot(struct axvm *);                                /* sets them up: Free */
AXVCPU_API int axvm_deinit(struct axvm *);
AXVCPU_API int axvm_pause(struct axvm *);
AXVCPU_API int axvm_resume(struct axvm *);
AXVCPU_API int axvm_shutdown(struct axvm *);
AXVCPU_API int axvm_wait_idle(struct axvm *);
AXVCPU_API enum axvm_status axvm_get_status(const struct axvm *);
AXVCPU_API const char *axvm_status_name(enum axvm_status);
AXVCPU_API struct axvcpu *axvm_vcpu(struct axvm *, uint32_t id);
AXVCPU_API void *axvm_user(const struct axvm *);

/* Bind, run and serve exits until one is left for the caller; unbound on every path. */
AXVCPU_API int axvm_run_vcpu(struct axvm *, uint32_t id, struct axvcpu_exit *);
/* One exit of a vCPU that the caller has bound; AXVCPU_EXIT_HANDLED when it is served. */
AXVCPU_API int axvm_step(struct axvm *, uint32_t id, struct axvcpu_exit *);
/* Serve a CPU_UP exit: start the target, and tell the guest that asked. EBUSY: it is up already. */
AXVCPU_API int axvm_cpu_up(struct axvm *, struct axvcpu_exit *);
AXVCPU_API int axvm_inject(struct axvm *, uint64_t vcpu_mask, uint32_t vector);
AXVCPU_API int axvm_irq_line(struct axvm *, uint32_t line, bool level);

/* Devices: at any time, from anywhere, also inside a handler. A removed device's handler runs nowhere
   any more when remove returns, but for the very call that asked for it. */
AXVCPU_API int axvm_add_mmio(struct axvm *, uint64_t base, uint64_t size, axvm_handler, void *arg);
AXVCPU_API int axvm_add_port(struct axvm *, uint64_t base, uint64_t size, axvm_handler, void *arg);
AXVCPU_API int axvm_add_sysreg(struct axvm *, uint64_t base, uint64_t size, axvm_handler, void *arg);
AXVCPU_API int axvm_remove(struct axvm *, uint32_t exit_class, uint64_t base);
AXVCPU_API int axvm_move(struct axvm *, uint32_t exit_class, uint64_t base, uint64_t new_base);
AXVCPU_API int axvm_set_whole(struct axvm *, uint32_t exit_class, uint64_t base, bool whole);
AXVCPU_API int axvm_set_default(struct axvm *, uint32_t exit_kind, axvm_handler, void *arg);
/* Inside a device's handler: where its range began when this access was dispatched. */
AXVCPU_I_INLINE uint64_t axvm_range_base(const struct axvcpu *);

/* Guest memory. */
AXVCPU_I_INLINE axvcpu_backing_t axvcpu_from_ptr(void *);
AXVCPU_I_INLINE axvcpu_backing_t axvcpu_from_hpa(axvcpu_hpa_t);
AXVCPU_API int axvm_map(struct axvm *, axvcpu_gpa_t, axvcpu_backing_t, uint64_t size, uint32_t flags);
AXVCPU_API int axvm_unmap(struct axvm *, axvcpu_gpa_t, uint64_t size);
AXVCPU_API int axvm_translate(struct axvm *, axvcpu_gpa_t, axvcpu_backing_t *);
AXVCPU_API void *axvm_ptr(struct axvm *, axvcpu_gpa_t, uint64_t len); /* inside one mapping, else NULL */
AXVCPU_API int axvm_read(struct axvm *, axvcpu_gpa_t, void *, uint64_t len);
AXVCPU_API int axvm_write(struct axvm *, axvcpu_gpa_t, const void *, uint64_t len);
AXVCPU_API axvcpu_hpa_t axvm_root(const struct axvm *);
AXVCPU_API uint32_t axvm_vmid(const struct axvm *);

/* Where the inline halves go when anything is not as usual. */
AXVCPU_API int axvcpu_i_init(struct axvcpu *, const struct axvcpu_desc *, uint64_t abi);
AXVCPU_API int axvcpu_i_percpu_init(struct axvcpu_percpu *, uint32_t cpu_id, uint64_t abi);
AXVCPU_API int axvcpu_i_bind(struct axvcpu *);
AXVCPU_API int axvcpu_i_run(struct axvcpu *, struct axvcpu_exit *);
AXVCPU_API int axvcpu_i_unbind(struct axvcpu *);
AXVCPU_API int axvcpu_i_answer(struct axvcpu *, uint64_t value, const uint32_t *regs);
AXVCPU_API int axvcpu_i_with(struct axvcpu *, uint32_t op, enum axvcpu_state from, enum axvcpu_state to, axvcpu_fn,
                             void *);
AXVCPU_API int axvcpu_i_fail(struct axvcpu *, uint32_t op, int err, bool bound);
AXVCPU_API bool axvcpu_i_may_run_on(const struct axvcpu *, uint32_t cpu_id);
AXVCPU_API int axvm_i_init(struct axvm *, const struct axvm_desc *, uint64_t abi);
AXVCPU_API void axvm_i_search(struct axvm_i_hit *, uint64_t first, const struct axvm_i_class *);

/* ---------------------------------------------------------------------------------------------------- */
/* >>inline                                                                                             */
/* ---------------------------------------------------------------------------------------------------- */

/* The names of all operations, for logs and for the core's table of rules. */
#define AXVCPU_OPS(X)                                                                                      \
    X(INIT, "init") X(DEINIT, "deinit") X(SETUP, "setup") X(BIND, "bind") X(RUN, "run") X(UNBIND, "unbind") \
    X(BLOCK, "block") X(SETTLE, "settle") X(RESET, "reset") X(RESTART, "restart") X(PUT, "put")            \
    X(LOAD, "load") X(ABANDON, "abandon") X(COMPLETE, "complete") X(REFUSE, "refuse") X(RETRY, "retry")    \
    X(GET, "get_reg") X(SET, "set_reg") X(EXCEPTION, "inject_exception") X(TRANSITION, "transition")       \
    X(WITH_STATE, "with_state") X(WITH_CURRENT, "with_current") X(MANIPULATE, "manipulate")                \
    X(UNBLOCK, "unblock") X(KICK, "kick") X(INJECT, "inject_interrupt") X(SET_IRQ, "set_irq")              \
    X(NMI, "inject_nmi") X(HW, "inject_hw") X(REF, "ref") X(UNREF, "unref")
#define AXVCPU_I_ENUM_OP(name, text) AXVCPU_OP_##name,
enum axvcpu_op { AXVCPU_OPS(AXVCPU_I_ENUM_OP) AXVCPU_OP_COUNT };

/* Kinds by what the guest's instruction waits for, as bit sets. */
#define AXVCPU_I_SET_NONE 0u
#define AXVCPU_I_SET_READ 1u
#define AXVCPU_I_SET_WRITE 2u
#define AXVCPU_I_READS(name, answer) | (AXVCPU_I_SET_##answer & 1u) << AXVCPU_EXIT_##name
#define AXVCPU_I_WRITES(name, answer) | (AXVCPU_I_SET_##answer >> 1) << AXVCPU_EXIT_##name
#define AXVCPU_READ_KINDS (0u AXVCPU_EXITS(AXVCPU_I_READS))
#define AXVCPU_WRITE_KINDS (0u AXVCPU_EXITS(AXVCPU_I_WRITES))

AXVCPU_I_NO_SHADOW_BEGIN
AXVCPU_I_INLINE struct axvcpu_arch *axvcpu_arch(struct axvcpu *v) { return &v->arch; }
AXVCPU_I_NO_SHADOW_END
AXVCPU_I_INLINE struct axvcpu_answer *axvcpu_access(struct axvcpu *v) { return &v->access; }
AXVCPU_I_INLINE uint32_t axvcpu_id(const struct axvcpu *v) { return v->vcpu_id; }
AXVCPU_I_INLINE uint32_t axvcpu_vm_id(const struct axvcpu *v) { return v->vm_id; }
AXVCPU_I_INLINE bool axvcpu_is_bsp(const struct axvcpu *v) { return v->vcpu_id == 0; }
AXVCPU_I_INLINE void *axvcpu_user(const struct axvcpu *v) { return v->user; }
AXVCPU_I_INLINE uint32_t axvcpu_favor_phys_cpu(const struct axvcpu *v) { return v->favor_phys_cpu; }
AXVCPU_I_INLINE struct axvcpu_cpumask axvcpu_phys_cpu_set(const struct axvcpu *v) { return v->phys_cpu_set; }
AXVCPU_I_INLINE struct axvcpu *axvcpu_current(void) { return AXVCPU_CURRENT_GET(); }

AXVCPU_I_INLINE enum axvcpu_state axvcpu_get_state(const struct axvcpu *v)
{
    return (enum axvcpu_state)(AXVCPU_ATOMIC_LOAD_ACQUIRE(&v->word) & AXVCPU_I_STATE);
}

AXVCPU_I_INLINE bool axvcpu_attention(const struct axvcpu *v)
{
    return AXVCPU_ATOMIC_LOAD(&v->attn) != AXVCPU_I_CALM;
}

/* This CPU owns v and is in no operation: the two questions of the order of checks in one branch. */
AXVCPU_I_INLINE bool axvcpu_i_mine_and_idle(const struct axvcpu *v)
{
    return (((uintptr_t)AXVCPU_ATOMIC_LOAD_RELAXED(&v->owner) ^ (uintptr_t)AXVCPU_CPU_TOKEN()) |
            (uintptr_t)AXVCPU_CURRENT_GET()) == 0;
}

/* One's own word, read plainly: nobody else changes it, but to wake a vCPU that is Blocked. To the thread
   sanitizer even a compare-and-swap that fails is a write. */
AXVCPU_I_INLINE uint32_t axvcpu_i_word(const struct axvcpu *v)
{
#if defined(__SANITIZE_THREAD__) || defined(AXVCPU_I_TSAN)
    return AXVCPU_ATOMIC_LOAD_RELAXED(&v->word);
#else
    return v->word;
#endif
}

AXVCPU_I_INLINE void axvcpu_undisturbed(const struct axvcpu *v)
{
    if (axvcpu_i_word(v) != AXVCPU_I_WORD(RUNNING))
        __builtin_unreachable();
}

/* The one place that changes a state word, from what the caller has just read. Only the owner changes it,
   with a plain store (atomic for get_state elsewhere); but anybody may wake a Blocked vCPU, so into and out
   of Blocked it is a compare-and-swap, and a full barrier: barrier BLOCK_STATE in, barrier WAKE_CAS out.
   (Each barrier that has a name here has a switch in tests/model/vcpu.pml that removes it.) */
AXVCPU_I_INLINE bool axvcpu_i_change(struct axvcpu *v, uint32_t from, uint32_t to)
{
    if ((from & AXVCPU_I_STATE) == AXVCPU_STATE_BLOCKED || (to & AXVCPU_I_STATE) == AXVCPU_STATE_BLOCKED)
        return AXVCPU_ATOMIC_CAS(&v->word, &from, to);
    AXVCPU_ATOMIC_STORE_RELAXED(&v->word, to);
    return true;
}

/* Clear and set flags of the state word; a wake-up from elsewhere in between is not undone. */
AXVCPU_I_INLINE void axvcpu_i_flags(struct axvcpu *v, uint32_t clear, uint32_t set)
{
    uint32_t word;

    do {
        word = AXVCPU_ATOMIC_LOAD_RELAXED(&v->word);
    } while (!axvcpu_i_change(v, word, (word & ~clear) | set));
}

AXVCPU_I_INLINE int axvcpu_init(struct axvcpu *v, const struct axvcpu_desc *desc)
{
    return axvcpu_i_init(v, desc, AXVCPU_ABI);
}

AXVCPU_I_INLINE int axvcpu_percpu_init(struct axvcpu_percpu *p, uint32_t cpu_id)
{
    return axvcpu_i_percpu_init(p, cpu_id, AXVCPU_ABI);
}

/* The compare-and-swap lets one in (barrier BIND_CAS) and is out before run looks at the attention word
   (barrier OWNER_BEFORE_ATTN): a kicker finds the owner, or has left his flag before. It expects what the
   current pointer is: outside of operations the NULL of a free owner word, inside one a vCPU, which is no
   CPU's token, so that the exchange fails; what is no vCPU at all gets its word back. */
AXVCPU_I_INLINE int axvcpu_bind(struct axvcpu *v)
{
    void *nobody = AXVCPU_CURRENT_GET(), *token = AXVCPU_CPU_TOKEN(); /* up here a loop can keep it */
    uint32_t cpu = AXVCPU_CPU_ID();
    int err;

    if (AXVCPU_I_UNLIKELY(v == NULL) || (cpu != UINT32_MAX && !axvcpu_i_may_run_on(v, cpu)) ||
        !AXVCPU_I_LIKELY(AXVCPU_ATOMIC_CAS(&v->owner, &nobody, token)))
        return axvcpu_i_bind(v);
    if (AXVCPU_I_UNLIKELY(axvcpu_i_word(v) != AXVCPU_I_WORD(FREE))) {
        AXVCPU_ATOMIC_STORE_RELEASE(&v->owner, nobody);
        return axvcpu_i_bind(v);
    }
    AXVCPU_TRACE(v, AXVCPU_TRACE_BIND_CLAIMED, 0, 0);
    AXVCPU_CURRENT_SET(v);
    err = axvcpu_leaf_bind(v);
    if (AXVCPU_I_UNLIKELY(err != 0))
        return axvcpu_i_fail(v, AXVCPU_OP_BIND, err, false);
    AXVCPU_CURRENT_SET(NULL);
    axvcpu_i_change(v, AXVCPU_I_WORD(FREE), AXVCPU_I_WORD(READY));
    return AXVCPU_OK;
}

AXVCPU_I_INLINE int axvcpu_unbind(struct axvcpu *v)
{
    int err;

    if (AXVCPU_I_UNLIKELY(v == NULL || !axvcpu_i_mine_and_idle(v) || axvcpu_i_word(v) != AXVCPU_I_WORD(READY)))
        return axvcpu_i_unbind(v);
    AXVCPU_CURRENT_SET(v);
    err = axvcpu_leaf_unbind(v);
    if (AXVCPU_I_UNLIKELY(err != 0))
        return axvcpu_i_fail(v, AXVCPU_OP_UNBIND, err, false);
    axvcpu_i_change(v, AXVCPU_I_WORD(READY), AXVCPU_I_WORD(FREE));
    AXVCPU_CURRENT_SET(NULL);
    AXVCPU_TRACE(v, AXVCPU_TRACE_UNBIND_LEFT, 0, 0);
    AXVCPU_ATOMIC_STORE_RELEASE(&v->owner, NULL); /* barrier UNBIND_RELEASE: who binds next sees Free */
    AXVCPU_TRACE(v, AXVCPU_TRACE_UNBIND_RELEASED, 0, 0);
    return AXVCPU_OK;
}

/* From Running into the guest and back. A state that the backend has set in between stays. */
AXVCPU_I_INLINE int axvcpu_i_enter(struct axvcpu *v, struct axvcpu_exit *x)
{
    int err;

    AXVCPU_TRACE(v, AXVCPU_TRACE_RUN_ENTER, 0, 0);
    err = axvcpu_leaf_run(v, x);
    if (AXVCPU_I_UNLIKELY(err != 0)) {
        x->kind = AXVCPU_EXIT_NOTHING;
        return axvcpu_i_fail(v, AXVCPU_OP_RUN, err, true);
    }
    AXVCPU_TRACE(v, AXVCPU_TRACE_RUN_LEFT, x->kind, 0);
    if (AXVCPU_LEAF_RUN_COMMITS &&
        AXVCPU_I_LIKELY(axvcpu_i_word(v) == (AXVCPU_I_WORD(RUNNING) | AXVCPU_I_ASKED | AXVCPU_I_DUE)))
        axvcpu_i_change(v, AXVCPU_I_WORD(RUNNING), AXVCPU_I_WORD(READY) | AXVCPU_I_ASKED | AXVCPU_I_DUE);
    else if (AXVCPU_LEAF_RUN_COMMITS && axvcpu_i_word(v) == (AXVCPU_I_WORD(RUNNING) | AXVCPU_I_DUE))
        axvcpu_i_change(v, AXVCPU_I_WORD(RUNNING), AXVCPU_I_WORD(READY) | AXVCPU_I_DUE);
    else if (AXVCPU_I_LIKELY(axvcpu_i_word(v) == AXVCPU_I_WORD(RUNNING)))
        axvcpu_i_change(v, AXVCPU_I_WORD(RUNNING), AXVCPU_I_WORD(READY));
    else if ((axvcpu_i_word(v) & AXVCPU_I_STATE) == AXVCPU_STATE_RUNNING) /* with an access to be committed */
        axvcpu_i_change(v, axvcpu_i_word(v), (axvcpu_i_word(v) & ~AXVCPU_I_STATE) | AXVCPU_STATE_READY);
    else if (axvcpu_get_state(v) == AXVCPU_STATE_INVALID) {
        x->kind = AXVCPU_EXIT_NOTHING;
        return axvcpu_i_fail(v, AXVCPU_OP_RUN, AXVCPU_EBADSTATE, true);
    }
    AXVCPU_CURRENT_SET(NULL);
    AXVCPU_TRACE(v, AXVCPU_TRACE_RUN_READY, x->kind, 0);
    return AXVCPU_OK;
}

/* The common case: mine, Ready, nothing unanswered, nothing wanted. The current pointer comes before the
   look at the attention word (barrier RUN_CURRENT): a signal handler that finds it set stops this run, one that
   came earlier is seen in the word. The owner word was written before (bind), so a kicker who missed it left its
   flag. */
AXVCPU_I_INLINE int axvcpu_run(struct axvcpu *v, struct axvcpu_exit *x)
{
    if (AXVCPU_I_LIKELY(v != NULL && x != NULL && axvcpu_i_mine_and_idle(v))) {
        AXVCPU_CURRENT_SET(v);
        AXVCPU_TRACE(v, AXVCPU_TRACE_RUN_CURRENT, 0, 0);
        if (AXVCPU_I_LIKELY(((AXVCPU_LEAF_LOOK(&v->attn) ^ axvcpu_i_word(v)) &
                             ~(AXVCPU_LEAF_RUN_COMMITS ? AXVCPU_I_DUE : 0u)) == 0)) {
            axvcpu_i_change(v, AXVCPU_I_WORD(READY), AXVCPU_I_WORD(RUNNING));
            return axvcpu_i_enter(v, x);
        }
        AXVCPU_CURRENT_SET(NULL);
    }
    return axvcpu_i_run(v, x);
}

AXVCPU_I_INLINE void axvcpu_await(struct axvcpu *v, const struct axvcpu_exit *x)
{
    struct axvcpu_answer *a = &v->access;
    uint32_t flags = AXVCPU_I_DUE;

    AXVCPU_ASSERT(((AXVCPU_READ_KINDS | AXVCPU_WRITE_KINDS) >> x->kind & 1u) != 0);
    a->kind = x->kind;
    a->refused = false;
    switch (x->kind) {
    case AXVCPU_EXIT_MMIO_READ:
        a->reg = x->mmio.reg;
        a->width = (uint8_t)x->mmio.width;
        a->reg_width = (uint8_t)x->mmio.reg_width;
        a->sign_extend = x->mmio.sign_extend;
        break;
    case AXVCPU_EXIT_IO_READ: /* into the low register: AL, AX merge, EAX clears the upper half */
        a->reg = 0;
        a->count = x->io.count;
        a->width = a->reg_width = (uint8_t)x->io.width;
        a->sign_extend = false;
        break;
    case AXVCPU_EXIT_SYSREG_READ:
        a->reg = x->sysreg.reg;
        a->width = a->reg_width = 8;
        a->sign_extend = false;
        break;
    case AXVCPU_EXIT_CPUID:
        flags |= AXVCPU_I_REGS;
        break;
    default:
        break;
    }
    if ((AXVCPU_READ_KINDS >> x->kind & 1u) != 0)
        flags |= AXVCPU_I_ASKED;
    axvcpu_i_flags(v, 0, flags);
}

AXVCPU_I_INLINE int axvcpu_complete(struct axvcpu *v, uint64_t value)
{
    if (AXVCPU_I_UNLIKELY(v == NULL || !axvcpu_i_mine_and_idle(v) ||
                          axvcpu_i_word(v) != (AXVCPU_I_WORD(READY) | AXVCPU_I_ASKED | AXVCPU_I_DUE)))
        return axvcpu_i_answer(v, value, NULL);
    *AXVCPU_LEAF_ANSWER(v) = value;
    axvcpu_i_change(v, axvcpu_i_word(v), AXVCPU_I_WORD(READY) | AXVCPU_I_DUE);
    return AXVCPU_OK;
}

AXVCPU_I_INLINE int axvcpu_transition(struct axvcpu *v, enum axvcpu_state from, enum axvcpu_state to)
{
#ifdef AXVCPU_CHECKED
    return axvcpu_i_with(v, AXVCPU_OP_TRANSITION, from, to, NULL, NULL);
#else
    if (AXVCPU_I_UNLIKELY(v == NULL || AXVCPU_CURRENT_GET() != NULL) || (uint32_t)to >= AXVCPU_STATE_COUNT ||
        (uint32_t)to == AXVCPU_STATE_BLOCKED ||
        AXVCPU_I_UNLIKELY(axvcpu_i_word(v) != (AXVCPU_I_MAGIC | (uint32_t)from)) ||
        !axvcpu_i_change(v, AXVCPU_I_MAGIC | (uint32_t)from, AXVCPU_I_MAGIC | (uint32_t)to))
        return axvcpu_i_with(v, AXVCPU_OP_TRANSITION, from, to, NULL, NULL);
    return AXVCPU_OK;
#endif
}

AXVCPU_I_INLINE int axvcpu_with_current(struct axvcpu *v, axvcpu_fn fn, void *arg)
{
#ifdef AXVCPU_CHECKED
    return axvcpu_i_with(v, AXVCPU_OP_WITH_CURRENT, AXVCPU_STATE_INVALID, AXVCPU_STATE_INVALID, fn, arg);
#else
    int err;

    if (AXVCPU_I_UNLIKELY(v == NULL || fn == NULL || AXVCPU_CURRENT_GET() != NULL ||
                          axvcpu_i_word(v) >> 16 != AXVCPU_I_MAGIC >> 16))
        return axvcpu_i_with(v, AXVCPU_OP_WITH_CURRENT, AXVCPU_STATE_INVALID, AXVCPU_STATE_INVALID, fn, arg);
    AXVCPU_CURRENT_SET(v);
    err = fn(v, arg);
    AXVCPU_CURRENT_SET(NULL);
    return err;
#endif
}

/* >>inline VM */

AXVCPU_I_INLINE int axvm_init(struct axvm *vm, const struct axvm_desc *desc)
{
    return axvm_i_init(vm, desc, AXVCPU_ABI);
}

AXVCPU_I_INLINE uint64_t axvm_range_base(const struct axvcpu *v)
{
    return v->vm.base;
}

AXVCPU_I_INLINE axvcpu_backing_t axvcpu_from_ptr(void *ptr)
{
    axvcpu_backing_t b = { ptr, AXVCPU_HPA_INIT(0) };
    return b;
}

AXVCPU_I_INLINE axvcpu_backing_t axvcpu_from_hpa(axvcpu_hpa_t hpa)
{
    axvcpu_backing_t b = { NULL, AXVCPU_HPA_INIT(0) };
    b.hpa = hpa;
    return b;
}

/* The device that has all of first..last, or NULL. Mostly it is the one that this vCPU used last. It counts if
   the table's version still is what `seen` says, once it is clear to others what is done with it. */
AXVCPU_I_INLINE const struct axvm_i_hit *axvm_lookup(const struct axvm *vm, struct axvcpu *v, uint32_t class_,
                                                     uint64_t first, uint64_t last)
{
    const struct axvm_i_class *c = &vm->classes[class_];
    struct axvm_i_hit *hit = &v->vm.hit[class_];

    if (AXVCPU_I_LIKELY(first >= hit->first && last <= hit->last &&
                        hit->seen == AXVCPU_ATOMIC_LOAD_ACQUIRE(&c->version)))
        return hit;
    do {
        axvm_i_search(hit, first, c);
        if (AXVCPU_I_LIKELY(first >= hit->first && last <= hit->last))
            return hit;
    } while (hit->seen != AXVCPU_ATOMIC_LOAD_ACQUIRE(&c->version)); /* else it is not there */
    return NULL;
}

AXVCPU_I_C_END

#define AXVCPU_LEAF_CODE /* from here on a backend's header may define its functions */

#endif /* AXVCPU_H */

#if defined(AXVCPU_IMPLEMENTATION) && !defined(AXVCPU_I_IMPLEMENTED)
#define AXVCPU_I_IMPLEMENTED

/* ---------------------------------------------------------------------------------------------------- */
/* >>impl                                                                                               */
/* ---------------------------------------------------------------------------------------------------- */

#if defined(AXVCPU_KVM) && !defined(_GNU_SOURCE)
#error "axvcpu.h: the KVM backend's implementation needs #define _GNU_SOURCE before the first #include"
#endif

#ifndef AXVCPU_LOG
#if AXVCPU_I_HOSTED
#include <stdio.h>
#define AXVCPU_LOG(level, text) ((void)fprintf(stderr, "axvcpu: %s\n", text))
#else
#define AXVCPU_LOG(level, text) ((void)(level), (void)(text))
#endif
#endif

/* What a sleeping owner waits with; without a pair of hooks it polls get_state or sleeps on its own. */
#ifdef AXVCPU_WAKE
#define AXVCPU_I_WAKE(v) AXVCPU_WAKE(v)
#else
#define AXVCPU_I_WAKE(v) ((void)(v))
#endif

AXVCPU_I_C_BEGIN

#if !defined(AXVCPU_STATIC) && defined(AXVCPU_I_CURRENT)
#if AXVCPU_I_HOSTED
__thread struct axvcpu *axvcpu_i_current AXVCPU_I_TLS;
#else
struct axvcpu *axvcpu_i_current[AXVCPU_MAX_PHYS_CPUS];
#endif
#endif

/* >>text: words without a libc */

struct axvcpu_i_text {
    char *at;
    size_t size, len; /* len counts on beyond size */
};

static void axvcpu_i_put(struct axvcpu_i_text *t, const char *s)
{
    for (; *s != '\0'; s++) {
        if (t->len + 1 < t->size)
            t->at[t->len] = *s;
        t->len++;
    }
    if (t->size > 0)
        t->at[t->len < t->size ? t->len : t->size - 1] = '\0';
}

static void axvcpu_i_put_number(struct axvcpu_i_text *t, uint64_t n, uint32_t base)
{
    char digits[24];
    size_t i = sizeof(digits) - 1;

    digits[i] = '\0';
    do {
        digits[--i] = "0123456789abcdef"[n % base];
        n /= base;
    } while (n != 0);
    axvcpu_i_put(t, base == 16 ? "0x" : "");
    axvcpu_i_put(t, digits + i);
}

#define AXVCPU_I_TEXT_CASE(name, value, text) \
    case value:                               \
        return text;

AXVCPU_API const char *axvcpu_strerror(int err)
{
    switch (err) {
        AXVCPU_ERRORS(AXVCPU_I_TEXT_CASE)
    default:
        return "unknown error";
    }
}

AXVCPU_API const char *axvcpu_state_name(enum axvcpu_state state)
{
    switch ((uint32_t)state) {
        AXVCPU_STATES(AXVCPU_I_TEXT_CASE)
    default:
        return "unknown state";
    }
}

AXVCPU_API const char *axvcpu_exit_name(uint32_t kind)
{
#define AXVCPU_I_TEXT_EXIT(name, answer) AXVCPU_I_TEXT_CASE(name, AXVCPU_EXIT_##name, #name)
    switch (kind) {
        AXVCPU_EXITS(AXVCPU_I_TEXT_EXIT)
    default:
        return "unknown exit";
    }
}

/* What axvcpu_exit_print shows of each kind. */
struct axvcpu_i_field {
    uint8_t kind, offset, size, base;
    const char *name;
};
#define AXVCPU_I_FIELD(KIND, part, field, base)                                                            \
    { AXVCPU_EXIT_##KIND, (uint8_t)offsetof(struct axvcpu_exit, part.field),                               \
      (uint8_t)sizeof(((struct axvcpu_exit *)0)->part.field), base, #field },
#define AXVCPU_I_FIELDS(X)                                                                                 \
    X(HYPERCALL, hypercall, nr, 16) X(HYPERCALL, hypercall, args[0], 16) X(HYPERCALL, hypercall, args[1], 16) \
    X(HYPERCALL, hypercall, args[2], 16) X(HYPERCALL, hypercall, args[3], 16)                              \
    X(HYPERCALL, hypercall, args[4], 16) X(HYPERCALL, hypercall, args[5], 16)                              \
    X(MMIO_READ, mmio, addr, 16) X(MMIO_READ, mmio, width, 10) X(MMIO_READ, mmio, reg, 10)                 \
    X(MMIO_READ, mmio, reg_width, 10) X(MMIO_READ, mmio, sign_extend, 10)                                  \
    X(MMIO_WRITE, mmio, addr, 16) X(MMIO_WRITE, mmio, width, 10) X(MMIO_WRITE, mmio, data, 16)             \
    X(IO_READ, io, port, 16) X(IO_READ, io, width, 10) X(IO_READ, io, count, 10)                           \
    X(IO_WRITE, io, port, 16) X(IO_WRITE, io, width, 10) X(IO_WRITE, io, count, 10) X(IO_WRITE, io, data, 16) \
    X(SYSREG_READ, sysreg, addr, 16) X(SYSREG_READ, sysreg, reg, 10)                                       \
    X(SYSREG_WRITE, sysreg, addr, 16) X(SYSREG_WRITE, sysreg, value, 16)                                   \
    X(EXTERNAL_INTERRUPT, irq, vector, 10)                                                                 \
    X(NESTED_PAGE_FAULT, fault, addr, 16) X(NESTED_PAGE_FAULT, fault, access, 16)                          \
    X(CPU_UP, cpu_up, target, 16) X(CPU_UP, cpu_up, entry, 16) X(CPU_UP, cpu_up, arg, 16)                  \
    X(CPU_DOWN, cpu_down, state, 16) X(SYSTEM_DOWN, system, reason, 10)                                    \
    X(SEND_IPI, ipi, target, 16) X(SEND_IPI, ipi, aux, 16) X(SEND_IPI, ipi, vector, 10)                    \
    X(SEND_IPI, ipi, to_all, 10) X(SEND_IPI, ipi, to_self, 10)                                             \
    X(FAIL_ENTRY, fail, reason, 16) X(CPUID, cpuid, leaf, 16) X(CPUID, cpuid, subleaf, 16)                 \
    X(DEBUG, debug, pc, 16) X(DEBUG, debug, status, 16)                                                    \
    X(EXCEPTION, exception, vector, 10) X(EXCEPTION, exception, error, 16) X(EXCEPTION, exception, addr, 16) \
    X(EOI, eoi, vector, 10)                                                                                \
    X(REMOTE_FENCE, fence, op, 10) X(REMOTE_FENCE, fence, mask, 16) X(REMOTE_FENCE, fence, base, 16)       \
    X(REMOTE_FENCE, fence, start, 16) X(REMOTE_FENCE, fence, size, 16) X(REMOTE_FENCE, fence, asid, 16)    \
    X(UNDECODED, undecoded, addr, 16) X(UNDECODED, undecoded, syndrome, 16) X(UNDECODED, undecoded, insn_len, 10)
static const struct axvcpu_i_field axvcpu_i_fields[] = { AXVCPU_I_FIELDS(AXVCPU_I_FIELD) };

static uint64_t axvcpu_i_field_value(const struct axvcpu_exit *x, const struct axvcpu_i_field *f)
{
    const char *at = (const char *)x + f->offset;
    uint64_t wide = 0;
    uint32_t word = 0;

    if (f->size == 1)
        return *(const uint8_t *)at;
    if (f->size == 4) {
        AXVCPU_MEMCPY(&word, at, 4);
        return word;
    }
    AXVCPU_MEMCPY(&wide, at, 8);
    return wide;
}

AXVCPU_API size_t axvcpu_exit_print(char *out, size_t size, const struct axvcpu_exit *x)
{
    struct axvcpu_i_text t = { out, out != NULL ? size : 0, 0 };
    size_t i;

    if (x == NULL) {
        axvcpu_i_put(&t, "(no exit)");
        return t.len;
    }
    axvcpu_i_put(&t, axvcpu_exit_name(x->kind));
    for (i = 0; i < sizeof(axvcpu_i_fields) / sizeof(axvcpu_i_fields[0]); i++) {
        if (axvcpu_i_fields[i].kind != x->kind)
            continue;
        axvcpu_i_put(&t, " ");
        axvcpu_i_put(&t, axvcpu_i_fields[i].name);
        axvcpu_i_put(&t, "=");
        axvcpu_i_put_number(&t, axvcpu_i_field_value(x, &axvcpu_i_fields[i]), axvcpu_i_fields[i].base);
    }
    for (i = 0; x->kind == AXVCPU_EXIT_UNDECODED && i < x->undecoded.insn_len && i < sizeof(x->undecoded.insn); i++) {
        axvcpu_i_put(&t, i == 0 ? " insn=" : " ");
        axvcpu_i_put_number(&t, x->undecoded.insn[i], 16);
    }
    if (x->kind == AXVCPU_EXIT_RAW) {
        axvcpu_i_put(&t, " raw=");
        axvcpu_i_put_number(&t, x->raw, 16);
    }
    return t.len;
}

/* >>rules: what every operation demands, before it does anything */

#define AXVCPU_I_IN(state) (1u << AXVCPU_STATE_##state)
#define AXVCPU_I_ANY (AXVCPU_I_IN(INVALID) | AXVCPU_I_IN(CREATED) | AXVCPU_I_IN(FREE) | AXVCPU_I_IN(READY) | \
                      AXVCPU_I_IN(RUNNING) | AXVCPU_I_IN(BLOCKED))
#define AXVCPU_I_AWAKE (AXVCPU_I_IN(CREATED) | AXVCPU_I_IN(FREE) | AXVCPU_I_IN(READY) | AXVCPU_I_IN(BLOCKED))
#define AXVCPU_I_POISONS 1u /* in a wrong state the vCPU becomes Invalid */
#define AXVCPU_I_OWNER 2u   /* only for its owner; else an unowned vCPU is claimed for the duration */
#define AXVCPU_I_SELF 4u    /* also for the current vCPU itself, whatever it is doing */
#define AXVCPU_I_NOBODYS 8u /* only while no CPU has bound it, not even this one */

struct axvcpu_i_rule {
    uint8_t from, flags;
};

static const struct axvcpu_i_rule axvcpu_i_rules[AXVCPU_OP_COUNT] = {
    [AXVCPU_OP_DEINIT] = { AXVCPU_I_ANY & ~AXVCPU_I_IN(RUNNING), AXVCPU_I_NOBODYS },
    [AXVCPU_OP_SETUP] = { AXVCPU_I_IN(CREATED), AXVCPU_I_POISONS },
    [AXVCPU_OP_BIND] = { AXVCPU_I_IN(FREE), AXVCPU_I_POISONS },
    [AXVCPU_OP_RUN] = { AXVCPU_I_IN(READY), AXVCPU_I_POISONS | AXVCPU_I_OWNER },
    [AXVCPU_OP_UNBIND] = { AXVCPU_I_IN(READY), AXVCPU_I_POISONS | AXVCPU_I_OWNER },
    [AXVCPU_OP_BLOCK] = { AXVCPU_I_IN(READY), AXVCPU_I_OWNER },
    [AXVCPU_OP_SETTLE] = { AXVCPU_I_IN(FREE) | AXVCPU_I_IN(READY) | AXVCPU_I_IN(BLOCKED), 0 },
    [AXVCPU_OP_RESET] = { AXVCPU_I_ANY & ~AXVCPU_I_IN(RUNNING), 0 },
    [AXVCPU_OP_RESTART] = { AXVCPU_I_IN(FREE) | AXVCPU_I_IN(READY), 0 },
    [AXVCPU_OP_PUT] = { AXVCPU_I_IN(READY) | AXVCPU_I_IN(BLOCKED), AXVCPU_I_OWNER },
    [AXVCPU_OP_LOAD] = { AXVCPU_I_IN(READY) | AXVCPU_I_IN(BLOCKED), AXVCPU_I_OWNER },
    [AXVCPU_OP_COMPLETE] = { AXVCPU_I_AWAKE, AXVCPU_I_SELF },
    [AXVCPU_OP_REFUSE] = { AXVCPU_I_AWAKE, AXVCPU_I_SELF },
    [AXVCPU_OP_RETRY] = { AXVCPU_I_AWAKE, AXVCPU_I_SELF },
    [AXVCPU_OP_GET] = { AXVCPU_I_AWAKE | AXVCPU_I_IN(INVALID), AXVCPU_I_SELF },
    [AXVCPU_OP_SET] = { AXVCPU_I_AWAKE, AXVCPU_I_SELF },
    [AXVCPU_OP_EXCEPTION] = { AXVCPU_I_AWAKE, AXVCPU_I_SELF },
};

static const char *axvcpu_i_op_name(uint32_t op)
{
#define AXVCPU_I_TEXT_OP(name, text) AXVCPU_I_TEXT_CASE(name, AXVCPU_OP_##name, text)
    switch (op) {
        AXVCPU_OPS(AXVCPU_I_TEXT_OP)
    default:
        return "axvcpu";
    }
}

static bool axvcpu_i_is_vcpu(const struct axvcpu *v)
{
    return v != NULL && (AXVCPU_ATOMIC_LOAD_RELAXED(&v->word) & AXVCPU_I_MAGIC_MASK) == AXVCPU_I_MAGIC;
}

/* "run of vCPU 1.0: " */
static void axvcpu_i_put_call(struct axvcpu_i_text *t, uint32_t op, const struct axvcpu *v)
{
    axvcpu_i_put(t, axvcpu_i_op_name(op));
    if (axvcpu_i_is_vcpu(v)) {
        axvcpu_i_put(t, " of vCPU ");
        axvcpu_i_put_number(t, v->vm_id, 10);
        axvcpu_i_put(t, ".");
        axvcpu_i_put_number(t, v->vcpu_id, 10);
    }
    axvcpu_i_put(t, ": ");
}

AXVCPU_I_COLD static void axvcpu_i_log(uint32_t op, const struct axvcpu *v, int err, const char *why)
{
    char line[160];
    struct axvcpu_i_text t = { line, sizeof(line), 0 };

    axvcpu_i_put_call(&t, op, v);
    axvcpu_i_put(&t, why != NULL ? why : axvcpu_strerror(err));
    AXVCPU_LOG(AXVCPU_LOG_ERROR, line);
}

/* For a backend: why its host or its hardware refuses. */
AXVCPU_I_UNUSED AXVCPU_I_COLD static int axvcpu_i_say(int err, const char *text)
{
    AXVCPU_LOG(AXVCPU_LOG_ERROR, text);
    return err;
}

static inline int axvcpu_i_complain(uint32_t op, const struct axvcpu *v, int err, const char *why)
{
    axvcpu_i_log(op, v, err, why);
    return err;
}

/* "expected Free or Ready, is Created" */
AXVCPU_I_COLD static int axvcpu_i_complain_state(uint32_t op, const struct axvcpu *v, uint32_t expected)
{
    char line[160];
    struct axvcpu_i_text t = { line, sizeof(line), 0 };
    const char *sep = "expected ";
    uint32_t s;

    axvcpu_i_put_call(&t, op, v);
    for (s = 0; s < AXVCPU_STATE_COUNT; s++) {
        if ((expected >> s & 1u) == 0)
            continue;
        axvcpu_i_put(&t, sep);
        axvcpu_i_put(&t, axvcpu_state_name((enum axvcpu_state)s));
        sep = " or ";
    }
    axvcpu_i_put(&t, ", is ");
    axvcpu_i_put(&t, axvcpu_state_name(axvcpu_get_state(v)));
    AXVCPU_LOG(AXVCPU_LOG_ERROR, line);
    return AXVCPU_EBADSTATE;
}

/* >>state */

/* Change the state; the flags that have a meaning there stay. */
static void axvcpu_i_set_state(struct axvcpu *v, enum axvcpu_state to)
{
    static const uint8_t keep[AXVCPU_STATE_COUNT] = {
        [AXVCPU_STATE_FREE] = AXVCPU_I_ACCESS,
        [AXVCPU_STATE_READY] = AXVCPU_I_ACCESS | AXVCPU_I_AWAY,
        [AXVCPU_STATE_RUNNING] = AXVCPU_I_ACCESS | AXVCPU_I_AWAY,
        [AXVCPU_STATE_BLOCKED] = AXVCPU_I_ACCESS | AXVCPU_I_AWAY,
    };

    axvcpu_i_flags(v, AXVCPU_I_STATE | (~(uint32_t)keep[to] & ~AXVCPU_I_MAGIC_MASK), (uint32_t)to);
}

static void axvcpu_i_disown(struct axvcpu *v)
{
    AXVCPU_ATOMIC_STORE_RELEASE(&v->owner, NULL);
}

/* The vCPU becomes Invalid and nobody's; a bound one leaves the hardware first, as far as that goes. */
static void axvcpu_i_poison(struct axvcpu *v, bool bound)
{
    if (bound) {
        AXVCPU_CURRENT_SET(v);
        (void)axvcpu_leaf_unbind(v);
    }
    axvcpu_i_set_state(v, AXVCPU_STATE_INVALID);
    AXVCPU_CURRENT_SET(NULL);
    axvcpu_i_disown(v);
}

AXVCPU_I_COLD AXVCPU_API int axvcpu_i_fail(struct axvcpu *v, uint32_t op, int err, bool bound)
{
    axvcpu_i_poison(v, bound);
    return axvcpu_i_complain(op, v, err, NULL);
}

/* The order of checks, once for all operations: EINVAL, ENESTED, EBUSY, EBADSTATE. An unowned vCPU is
   claimed before its state is looked at (barrier CLAIM_FIRST); *claimed says that the claim ends with the operation. */
static int axvcpu_i_open(struct axvcpu *v, uint32_t op, bool *claimed)
{
    const struct axvcpu_i_rule *rule = &axvcpu_i_rules[op];
    struct axvcpu *current = AXVCPU_CURRENT_GET();
    void *token = AXVCPU_CPU_TOKEN(), *nobody = NULL;

    *claimed = false;
    if (!axvcpu_i_is_vcpu(v))
        return axvcpu_i_complain(op, v, AXVCPU_EINVAL, "not an initialised vCPU");
    if (current != NULL)
        return current == v && (rule->flags & AXVCPU_I_SELF) != 0 ? AXVCPU_OK :
                                                                    axvcpu_i_complain(op, v, AXVCPU_ENESTED, NULL);
    if (AXVCPU_ATOMIC_LOAD(&v->owner) != token) {
        if (!AXVCPU_ATOMIC_CAS(&v->owner, &nobody, token))
            return AXVCPU_EBUSY;
        *claimed = true;
    } else if ((rule->flags & AXVCPU_I_NOBODYS) != 0) {
        return AXVCPU_EBUSY;
    }
    if ((rule->from >> axvcpu_get_state(v) & 1u) == 0) {
        (void)axvcpu_i_complain_state(op, v, rule->from);
        if ((rule->flags & AXVCPU_I_POISONS) != 0)
            axvcpu_i_poison(v, !*claimed);
        else if (*claimed)
            axvcpu_i_disown(v);
        return AXVCPU_EBADSTATE;
    }
    if (*claimed && (rule->flags & AXVCPU_I_OWNER) != 0) {
        axvcpu_i_disown(v);
        return axvcpu_i_complain(op, v, AXVCPU_EBADSTATE, "no CPU has bound it");
    }
    return AXVCPU_OK;
}

static int axvcpu_i_close(struct axvcpu *v, bool claimed, int err)
{
    if (claimed)
        axvcpu_i_disown(v);
    return err;
}

/* The end of an operation that entered the backend: a new state, or Invalid. */
static int axvcpu_i_finish(struct axvcpu *v, uint32_t op, bool claimed, int err, enum axvcpu_state to)
{
    if (err != 0)
        return axvcpu_i_fail(v, op, err, !claimed);
    axvcpu_i_set_state(v, to);
    AXVCPU_CURRENT_SET(NULL);
    return axvcpu_i_close(v, claimed, AXVCPU_OK);
}

/* >>life */

/* The arguments are good; `vm` is the VM that it belongs to, if any. */
AXVCPU_I_INLINE int axvcpu_i_create(struct axvcpu *v, const struct axvcpu_desc *desc, struct axvm *vm)
{
    int err;

    /* Field by field: one memset of it all is a `rep stos`, dearer than everything else in here. */
    AXVCPU_MEMSET(&v->arch, 0, sizeof(v->arch));
    AXVCPU_MEMSET(&v->access, 0, sizeof(v->access));
    AXVCPU_MEMSET(v->pending, 0, sizeof(v->pending));
    AXVCPU_MEMSET(v->lines, 0, sizeof(v->lines));
    if (vm != NULL)
        AXVCPU_MEMSET(&v->vm, 0, sizeof(v->vm));
    v->owner = NULL;
    v->word = 0;
    v->attn = AXVCPU_I_CALM;
    v->latch = 0;
    v->refs = 1;
    v->vm_id = desc->vm_id;
    v->vcpu_id = desc->vcpu_id;
    v->favor_phys_cpu = desc->favor_phys_cpu;
    v->phys_cpu_set = desc->phys_cpu_set;
    v->user = desc->user;
    v->release = desc->release;
    v->vm.vm = vm;
    AXVCPU_CURRENT_SET(v);
    err = axvcpu_leaf_create(v, &desc->arch);
    AXVCPU_CURRENT_SET(NULL);
    if (err != 0) {
        AXVCPU_MEMSET(v, 0, sizeof(*v));
        return axvcpu_i_complain(AXVCPU_OP_INIT, NULL, err, NULL);
    }
    AXVCPU_ATOMIC_STORE_RELEASE(&v->word, AXVCPU_I_WORD(CREATED));
    return AXVCPU_OK;
}

static const char *axvcpu_i_refuse_desc(const struct axvcpu *v, const struct axvcpu_desc *desc)
{
    return v == NULL || desc == NULL                    ? "NULL" :
           desc->flags != 0                             ? "unknown flags" :
           desc->favor_phys_cpu >= AXVCPU_MAX_PHYS_CPUS ? "favor_phys_cpu is out of range" :
                                                          NULL;
}

AXVCPU_API int axvcpu_i_init(struct axvcpu *v, const struct axvcpu_desc *desc, uint64_t abi)
{
    const char *why =
        abi != AXVCPU_ABI ? "compiled with another configuration (AXVCPU_ABI)" : axvcpu_i_refuse_desc(v, desc);

    if (AXVCPU_I_UNLIKELY(why != NULL))
        return axvcpu_i_complain(AXVCPU_OP_INIT, NULL, AXVCPU_EINVAL, why);
    if (AXVCPU_CURRENT_GET() != NULL)
        return axvcpu_i_complain(AXVCPU_OP_INIT, NULL, AXVCPU_ENESTED, NULL);
    return axvcpu_i_create(v, desc, NULL);
}

/* The vCPU is claimed; the current pointer may be another's, in unref. */
static void axvcpu_i_destroy(struct axvcpu *v)
{
    struct axvcpu *current = AXVCPU_CURRENT_GET();

    AXVCPU_CURRENT_SET(v);
    axvcpu_leaf_destroy(v);
    AXVCPU_CURRENT_SET(current);
    AXVCPU_MEMSET(v, 0, sizeof(*v));
}

AXVCPU_API int axvcpu_deinit(struct axvcpu *v)
{
    bool claimed;
    int err = axvcpu_i_open(v, AXVCPU_OP_DEINIT, &claimed);

    if (err != 0)
        return err;
    if (AXVCPU_ATOMIC_LOAD(&v->refs) != 1)
        return axvcpu_i_close(v, claimed, AXVCPU_EBUSY);
    axvcpu_i_destroy(v);
    return AXVCPU_OK;
}

AXVCPU_API struct axvcpu *axvcpu_ref(struct axvcpu *v)
{
    if (!axvcpu_i_is_vcpu(v)) {
        (void)axvcpu_i_complain(AXVCPU_OP_REF, v, AXVCPU_EINVAL, "not an initialised vCPU");
        return NULL;
    }
    (void)AXVCPU_ATOMIC_FETCH_ADD(&v->refs, 1u);
    return v;
}

/* While other references exist this one just goes; whoever sees that it holds the last one ends the vCPU. */
AXVCPU_API int axvcpu_unref(struct axvcpu *v)
{
    void (*release)(struct axvcpu *);
    void *nobody = NULL;
    uint32_t refs;
    int err;

    if (!axvcpu_i_is_vcpu(v))
        return axvcpu_i_complain(AXVCPU_OP_UNREF, v, AXVCPU_EINVAL, "not an initialised vCPU");
    refs = AXVCPU_ATOMIC_LOAD(&v->refs);
    while (refs > 1) {
        if (AXVCPU_ATOMIC_CAS(&v->refs, &refs, refs - 1))
            return AXVCPU_OK;
    }
    if (AXVCPU_CURRENT_GET() == v || !AXVCPU_ATOMIC_CAS(&v->owner, &nobody, AXVCPU_CPU_TOKEN()))
        return AXVCPU_EBUSY;
    if (axvcpu_get_state(v) == AXVCPU_STATE_RUNNING) {
        err = axvcpu_i_complain_state(AXVCPU_OP_UNREF, v, axvcpu_i_rules[AXVCPU_OP_DEINIT].from);
        return axvcpu_i_close(v, true, err);
    }
    release = v->release;
    axvcpu_i_destroy(v);
    if (release != NULL)
        release(v);
    return AXVCPU_OK;
}

static int axvcpu_i_setup_leaves(struct axvcpu *v, axvcpu_gpa_t entry, axvcpu_hpa_t root,
                                 const struct axvcpu_arch_setup *setup)
{
    static const struct axvcpu_arch_setup zero; /* all zero is valid, and what NULL means */
    int err;

    AXVCPU_CURRENT_SET(v);
    err = axvcpu_leaf_set_entry(v, entry);
    if (err == 0)
        err = axvcpu_leaf_set_root(v, root);
    if (err == 0)
        err = axvcpu_leaf_setup(v, setup != NULL ? setup : &zero);
    return err;
}

AXVCPU_I_COLD static int axvcpu_i_setup(struct axvcpu *v, axvcpu_gpa_t entry, axvcpu_hpa_t root,
                                        const struct axvcpu_arch_setup *setup)
{
    bool claimed;
    int err = axvcpu_i_open(v, AXVCPU_OP_SETUP, &claimed);

    if (err != 0)
        return err;
    return axvcpu_i_finish(v, AXVCPU_OP_SETUP, claimed, axvcpu_i_setup_leaves(v, entry, root, setup),
                           AXVCPU_STATE_FREE);
}

/* The common case here, as in bind: nobody's, this CPU in no operation, Created. */
AXVCPU_API int axvcpu_setup(struct axvcpu *v, axvcpu_gpa_t entry, axvcpu_hpa_t root,
                            const struct axvcpu_arch_setup *setup)
{
    void *nobody = NULL;
    int err;

    if (v == NULL || AXVCPU_CURRENT_GET() != NULL || !AXVCPU_ATOMIC_CAS(&v->owner, &nobody, AXVCPU_CPU_TOKEN()))
        return axvcpu_i_setup(v, entry, root, setup);
    if (AXVCPU_I_UNLIKELY(axvcpu_i_word(v) != AXVCPU_I_WORD(CREATED))) {
        axvcpu_i_disown(v);
        return axvcpu_i_setup(v, entry, root, setup);
    }
    err = axvcpu_i_setup_leaves(v, entry, root, setup);
    if (AXVCPU_I_UNLIKELY(err != 0))
        return axvcpu_i_fail(v, AXVCPU_OP_SETUP, err, false);
    axvcpu_i_change(v, AXVCPU_I_WORD(CREATED), AXVCPU_I_WORD(FREE));
    AXVCPU_CURRENT_SET(NULL);
    axvcpu_i_disown(v);
    return AXVCPU_OK;
}

AXVCPU_API bool axvcpu_i_may_run_on(const struct axvcpu *v, uint32_t cpu_id)
{
    uint64_t any = 0;
    size_t i;

    for (i = 0; i < AXVCPU_MAX_PHYS_CPUS / 64; i++)
        any |= v->phys_cpu_set.bits[i];
    return any == 0 ||
           (cpu_id < AXVCPU_MAX_PHYS_CPUS && (v->phys_cpu_set.bits[cpu_id / 64] >> (cpu_id % 64) & 1u) != 0);
}

AXVCPU_I_COLD AXVCPU_API int axvcpu_i_bind(struct axvcpu *v)
{
    uint32_t cpu = AXVCPU_CPU_ID();
    bool claimed;
    int err;

    if (axvcpu_i_is_vcpu(v) && cpu != UINT32_MAX && !axvcpu_i_may_run_on(v, cpu))
        return axvcpu_i_complain(AXVCPU_OP_BIND, v, AXVCPU_EINVAL, "this CPU is not in its phys_cpu_set");
    err = axvcpu_i_open(v, AXVCPU_OP_BIND, &claimed);
    if (err != 0)
        return err;
    AXVCPU_TRACE(v, AXVCPU_TRACE_BIND_CLAIMED, 0, 0);
    AXVCPU_CURRENT_SET(v);
    err = axvcpu_leaf_bind(v);
    if (err != 0)
        return axvcpu_i_fail(v, AXVCPU_OP_BIND, err, false);
    return axvcpu_i_finish(v, AXVCPU_OP_BIND, false, AXVCPU_OK, AXVCPU_STATE_READY);
}

AXVCPU_I_COLD AXVCPU_API int axvcpu_i_unbind(struct axvcpu *v)
{
    bool claimed;
    int err = axvcpu_i_open(v, AXVCPU_OP_UNBIND, &claimed);

    if (err != 0)
        return err;
    AXVCPU_CURRENT_SET(v);
    err = axvcpu_leaf_unbind(v);
    if (err != 0)
        return axvcpu_i_fail(v, AXVCPU_OP_UNBIND, err, false);
    axvcpu_i_set_state(v, AXVCPU_STATE_FREE);
    AXVCPU_CURRENT_SET(NULL);
    AXVCPU_TRACE(v, AXVCPU_TRACE_UNBIND_LEFT, 0, 0);
    axvcpu_i_disown(v);
    AXVCPU_TRACE(v, AXVCPU_TRACE_UNBIND_RELEASED, 0, 0);
    return AXVCPU_OK;
}

/* What does not outlive an architectural reset. A kick does: its sender still waits. So does a line that is
   up: it is driven until it is lowered, and the guest finds it. */
static void axvcpu_i_forget_interrupts(struct axvcpu *v)
{
    uint64_t lines = 0;
    size_t i;

    (void)AXVCPU_ATOMIC_FETCH_AND(&v->attn, AXVCPU_I_CALM | AXVCPU_ATTN_KICK | AXVCPU_ATTN_STOP);
    /* barrier FORGET_FLAG_FIRST: a vector that comes now is forgotten, or has its flag */
    for (i = 0; i < sizeof(v->pending) / sizeof(v->pending[0]); i++) {
        (void)AXVCPU_ATOMIC_XCHG(&v->pending[i], 0u);
        lines |= AXVCPU_ATOMIC_LOAD(&v->lines[i]);
    }
    if (lines != 0)
        (void)AXVCPU_ATOMIC_FETCH_OR(&v->attn, AXVCPU_ATTN_IRQ);
    (void)AXVCPU_ATOMIC_XCHG(&v->latch, 0u);
}

AXVCPU_API int axvcpu_reset(struct axvcpu *v)
{
    bool claimed;
    int err = axvcpu_i_open(v, AXVCPU_OP_RESET, &claimed);

    if (err != 0)
        return err;
    AXVCPU_CURRENT_SET(v);
    if (!claimed)
        (void)axvcpu_leaf_unbind(v);
    err = axvcpu_leaf_reset(v);
    if (err != 0)
        return axvcpu_i_fail(v, AXVCPU_OP_RESET, err, false);
    axvcpu_i_forget_interrupts(v);
    return axvcpu_i_finish(v, AXVCPU_OP_RESET, true, AXVCPU_OK, AXVCPU_STATE_CREATED);
}

static int axvcpu_i_restart(struct axvcpu *v, axvcpu_gpa_t entry, uint64_t arg, bool forget)
{
    enum axvcpu_state state;
    bool claimed;
    int err = axvcpu_i_open(v, AXVCPU_OP_RESTART, &claimed);

    if (err != 0)
        return err;
    AXVCPU_CURRENT_SET(v);
    state = axvcpu_get_state(v);
    if (forget)
        axvcpu_i_forget_interrupts(v);
    axvcpu_i_flags(v, AXVCPU_I_ACCESS, 0);
    return axvcpu_i_finish(v, AXVCPU_OP_RESTART, claimed, axvcpu_leaf_restart(v, entry, arg), state);
}

AXVCPU_API int axvcpu_restart(struct axvcpu *v, axvcpu_gpa_t entry, uint64_t arg)
{
    return axvcpu_i_restart(v, entry, arg, true);
}

/* put and load differ in the leaf and in the flag that they expect and leave. */
static int axvcpu_i_move(struct axvcpu *v, uint32_t op, int (*leaf)(struct axvcpu *), uint32_t away)
{
    bool claimed;
    int err = axvcpu_i_open(v, op, &claimed);

    if (err != 0)
        return err;
    if ((AXVCPU_ATOMIC_LOAD_RELAXED(&v->word) & AXVCPU_I_AWAY) == away)
        return axvcpu_i_complain(op, v, AXVCPU_EBADSTATE, away != 0 ? "it is put already" : "it is loaded already");
    AXVCPU_CURRENT_SET(v);
    err = leaf(v);
    if (err != 0)
        return axvcpu_i_fail(v, op, err, true);
    axvcpu_i_flags(v, AXVCPU_I_AWAY, away);
    AXVCPU_CURRENT_SET(NULL);
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_put(struct axvcpu *v)
{
    return axvcpu_i_move(v, AXVCPU_OP_PUT, axvcpu_leaf_put, AXVCPU_I_AWAY);
}

AXVCPU_API int axvcpu_load(struct axvcpu *v)
{
    return axvcpu_i_move(v, AXVCPU_OP_LOAD, axvcpu_leaf_load, 0);
}

AXVCPU_API int axvcpu_abandon(struct axvcpu *v)
{
    void *owner;

    if (!axvcpu_i_is_vcpu(v))
        return axvcpu_i_complain(AXVCPU_OP_ABANDON, v, AXVCPU_EINVAL, "not an initialised vCPU");
    if (AXVCPU_CURRENT_GET() != NULL)
        return axvcpu_i_complain(AXVCPU_OP_ABANDON, v, AXVCPU_ENESTED, NULL);
    owner = AXVCPU_ATOMIC_LOAD(&v->owner);
    if (owner == NULL)
        return axvcpu_i_complain(AXVCPU_OP_ABANDON, v, AXVCPU_EBADSTATE, "nobody owns it");
    if (!AXVCPU_ATOMIC_CAS(&v->owner, &owner, AXVCPU_CPU_TOKEN()))
        return AXVCPU_EBUSY;
    axvcpu_i_poison(v, true);
    return AXVCPU_OK;
}

/* >>run */

static void axvcpu_i_exit(struct axvcpu_exit *x, uint32_t kind)
{
    x->kind = kind;
    x->flags = 0;
    x->raw = 0;
}

/* Serve what was seen in the attention word; what has come since is for the next look. */
static int axvcpu_i_attend(struct axvcpu *v, struct axvcpu_exit *x, uint32_t what, bool *done)
{
    uint32_t left = what, out = (what & AXVCPU_ATTN_KICK) != 0 ? AXVCPU_ATTN_KICK : what & AXVCPU_ATTN_STOP;
    int err;

    *done = out != 0;
    if (*done) {
        (void)AXVCPU_ATOMIC_FETCH_AND(&v->attn, ~out); /* barrier ATTEND_CLEAR: what others set meanwhile stays */
        axvcpu_i_exit(x, AXVCPU_EXIT_CANCELED);
        x->flags = out == AXVCPU_ATTN_STOP ? AXVCPU_EXIT_PAUSED : 0;
        return AXVCPU_OK;
    }
    if (what == 0)
        return AXVCPU_OK;
    /* barrier ATTEND_CLEAR_FIRST, before the pending set is read: a later one shows again */
    (void)AXVCPU_ATOMIC_FETCH_AND(&v->attn, ~what);
    err = axvcpu_leaf_inject(v, &left);
    if (left != 0)
        (void)AXVCPU_ATOMIC_FETCH_OR(&v->attn, left);
    return err;
}

AXVCPU_API int axvcpu_attend(struct axvcpu *v, struct axvcpu_exit *x, bool *done)
{
    return axvcpu_i_attend(v, x, AXVCPU_ATOMIC_LOAD(&v->attn) & ~AXVCPU_I_CALM, done);
}

/* Commit the access of the last exit. A further exit of the same instruction is in *x. */
static int axvcpu_i_commit(struct axvcpu *v, struct axvcpu_exit *x, bool entering)
{
    axvcpu_i_flags(v, AXVCPU_I_ACCESS, 0);
    return axvcpu_leaf_commit(v, x, entering);
}

/* What run does before it enters: commit, a further exit, a kick, injection - in this order. The attention
   word is looked at once (barrier ONE_LOOK): a commit that was left to the entry needs that entry. A kick that
   comes later ends it, as it would any other. */
static int axvcpu_i_prepare(struct axvcpu *v, struct axvcpu_exit *x, bool *done)
{
    uint32_t what = AXVCPU_ATOMIC_LOAD(&v->attn) & ~AXVCPU_I_CALM;
    int err;

    *done = false;
    if ((axvcpu_i_word(v) & AXVCPU_I_DUE) != 0) {
        err = axvcpu_i_commit(v, x, (what & (AXVCPU_ATTN_KICK | AXVCPU_ATTN_STOP)) == 0);
        *done = x->kind != AXVCPU_EXIT_NOTHING;
        if (err != 0 || *done)
            return err;
    }
    return axvcpu_i_attend(v, x, what, done);
}

AXVCPU_API int axvcpu_i_run(struct axvcpu *v, struct axvcpu_exit *x)
{
    bool claimed, done;
    int err;

    if (x == NULL)
        return axvcpu_i_complain(AXVCPU_OP_RUN, v, AXVCPU_EINVAL, "NULL exit");
    axvcpu_i_exit(x, AXVCPU_EXIT_NOTHING);
    err = axvcpu_i_open(v, AXVCPU_OP_RUN, &claimed);
    if (err != 0)
        return err;
    if ((axvcpu_i_word(v) & AXVCPU_I_AWAY) != 0)
        return axvcpu_i_complain(AXVCPU_OP_RUN, v, AXVCPU_EBADSTATE, "it is put; load it first");
    if ((axvcpu_i_word(v) & AXVCPU_I_ASKED) != 0)
        return axvcpu_i_complain(AXVCPU_OP_RUN, v, AXVCPU_EPENDING, NULL);
    AXVCPU_CURRENT_SET(v);
    axvcpu_i_set_state(v, AXVCPU_STATE_RUNNING);
    AXVCPU_TRACE(v, AXVCPU_TRACE_RUN_CURRENT, 0, 0);
    err = axvcpu_i_prepare(v, x, &done);
    if (err != 0) {
        axvcpu_i_exit(x, AXVCPU_EXIT_NOTHING);
        return axvcpu_i_fail(v, AXVCPU_OP_RUN, err, true);
    }
    if (!done)
        return axvcpu_i_enter(v, x);
    axvcpu_i_set_state(v, AXVCPU_STATE_READY);
    AXVCPU_CURRENT_SET(NULL);
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_settle(struct axvcpu *v, struct axvcpu_exit *x)
{
    bool claimed;
    int err;

    if (x == NULL)
        return axvcpu_i_complain(AXVCPU_OP_SETTLE, v, AXVCPU_EINVAL, "NULL exit");
    axvcpu_i_exit(x, AXVCPU_EXIT_NOTHING);
    err = axvcpu_i_open(v, AXVCPU_OP_SETTLE, &claimed);
    if (err != 0)
        return err;
    if ((AXVCPU_ATOMIC_LOAD_RELAXED(&v->word) & AXVCPU_I_ASKED) != 0)
        return axvcpu_i_close(v, claimed, axvcpu_i_complain(AXVCPU_OP_SETTLE, v, AXVCPU_EPENDING, NULL));
    if ((AXVCPU_ATOMIC_LOAD_RELAXED(&v->word) & AXVCPU_I_DUE) != 0) {
        AXVCPU_CURRENT_SET(v);
        err = axvcpu_i_commit(v, x, false);
        if (err != 0) {
            axvcpu_i_exit(x, AXVCPU_EXIT_NOTHING);
            axvcpu_i_flags(v, 0, AXVCPU_I_DUE); /* nothing is lost; it may be tried again */
        }
        AXVCPU_CURRENT_SET(NULL);
    }
    return axvcpu_i_close(v, claimed, err);
}

/* >>answers */

static uint64_t axvcpu_i_mask(uint32_t bytes)
{
    return bytes >= 8 ? UINT64_MAX : (UINT64_C(1) << (bytes * 8)) - 1;
}

AXVCPU_API uint64_t axvcpu_access_result(const struct axvcpu_answer *a, uint64_t old)
{
    uint64_t mask = axvcpu_i_mask(a->width), value = a->value & mask;

    if (a->refused)
        value = mask; /* a bus answers with all ones */
    if (a->sign_extend && (value & ((mask >> 1) + 1)) != 0)
        value |= ~mask;
    if (a->reg_width < 4)
        return (old & ~axvcpu_i_mask(a->reg_width)) | (value & axvcpu_i_mask(a->reg_width));
    return value & axvcpu_i_mask(a->reg_width);
}

/* Whether the last exit can still be answered: a read that waits, or a write that is not yet committed. */
static bool axvcpu_i_answerable(const struct axvcpu *v)
{
    uint32_t word = AXVCPU_ATOMIC_LOAD_RELAXED(&v->word);

    return (word & AXVCPU_I_ASKED) != 0 ||
           ((word & AXVCPU_I_DUE) != 0 && (AXVCPU_WRITE_KINDS >> v->access.kind & 1u) != 0 && !v->access.refused);
}

AXVCPU_API int axvcpu_i_answer(struct axvcpu *v, uint64_t value, const uint32_t *regs)
{
    bool claimed;
    uint32_t word;
    int err = axvcpu_i_open(v, AXVCPU_OP_COMPLETE, &claimed);

    if (err != 0)
        return err;
    word = AXVCPU_ATOMIC_LOAD_RELAXED(&v->word);
    if ((word & AXVCPU_I_ASKED) == 0) {
        err = axvcpu_i_complain(AXVCPU_OP_COMPLETE, v, AXVCPU_EBADSTATE, "no exit waits for an answer");
    } else if (((word & AXVCPU_I_REGS) != 0) != (regs != NULL)) {
        err = axvcpu_i_complain(AXVCPU_OP_COMPLETE, v, AXVCPU_EINVAL, "complete_cpuid answers CPUID and nothing else");
    } else {
        *AXVCPU_LEAF_ANSWER(v) = value;
        if (regs != NULL)
            AXVCPU_MEMCPY(v->access.cpuid, regs, sizeof(v->access.cpuid));
        axvcpu_i_flags(v, AXVCPU_I_ASKED, 0);
    }
    return axvcpu_i_close(v, claimed, err);
}

AXVCPU_API int axvcpu_complete_cpuid(struct axvcpu *v, const uint32_t regs[4])
{
    if (regs == NULL)
        return axvcpu_i_complain(AXVCPU_OP_COMPLETE, v, AXVCPU_EINVAL, "NULL registers");
    return axvcpu_i_answer(v, 0, regs);
}

/* refuse and retry: the backend agrees, then these flags go. */
static int axvcpu_i_decline(struct axvcpu *v, uint32_t op, int (*leaf)(struct axvcpu *), uint32_t clear)
{
    struct axvcpu *current = AXVCPU_CURRENT_GET();
    bool claimed;
    int err = axvcpu_i_open(v, op, &claimed);

    if (err != 0)
        return err;
    if (!axvcpu_i_answerable(v))
        return axvcpu_i_close(v, claimed, axvcpu_i_complain(op, v, AXVCPU_EBADSTATE, "no exit waits for an answer"));
    AXVCPU_CURRENT_SET(v);
    err = leaf(v);
    AXVCPU_CURRENT_SET(current);
    if (err == 0) {
        v->access.refused = op == AXVCPU_OP_REFUSE;
        axvcpu_i_flags(v, clear, 0);
    }
    return axvcpu_i_close(v, claimed, err);
}

AXVCPU_API int axvcpu_refuse(struct axvcpu *v)
{
    return axvcpu_i_decline(v, AXVCPU_OP_REFUSE, axvcpu_leaf_refuse, AXVCPU_I_ASKED);
}

AXVCPU_API int axvcpu_retry(struct axvcpu *v)
{
    return axvcpu_i_decline(v, AXVCPU_OP_RETRY, axvcpu_leaf_retry, AXVCPU_I_ACCESS);
}

/* >>interrupts */

/* Not the builtin: without an instruction for it the compiler would call a library. */
static uint32_t axvcpu_i_highest(uint64_t bits)
{
    uint32_t n = 0, step;

    for (step = 32; step != 0; step /= 2) {
        if (bits >> step != 0) {
            bits >>= step;
            n += step;
        }
    }
    return n;
}

AXVCPU_API int axvcpu_irq_next(const struct axvcpu *v)
{
    int i;

    for (i = (int)(sizeof(v->pending) / sizeof(v->pending[0])) - 1; i >= 0; i--) {
        uint64_t bits = AXVCPU_ATOMIC_LOAD(&v->pending[i]) | AXVCPU_ATOMIC_LOAD(&v->lines[i]);

        if (bits != 0)
            return i * 64 + (int)axvcpu_i_highest(bits);
    }
    return -1;
}

AXVCPU_API void axvcpu_irq_take(struct axvcpu *v, uint32_t vector)
{
    /* barrier IRQ_TAKE: the other vectors are other CPUs' to set */
    (void)AXVCPU_ATOMIC_FETCH_AND(&v->pending[vector / 64], ~(UINT64_C(1) << (vector % 64)));
}

/* barrier PENDING_MASKED: not every interrupt ends a halt. */
AXVCPU_API bool axvcpu_pending(const struct axvcpu *v)
{
    if (!axvcpu_i_is_vcpu(v))
        return false;
    return (AXVCPU_ATOMIC_LOAD(&v->attn) & (AXVCPU_ATTN_KICK | AXVCPU_ATTN_STOP | AXVCPU_ATTN_NMI)) != 0 ||
           AXVCPU_ATOMIC_LOAD(&v->latch) != 0 || axvcpu_leaf_wakes(v, axvcpu_irq_next(v) >= 0);
}

/* Blocked -> Ready; false: it was not Blocked (any more). */
static bool axvcpu_i_wake(struct axvcpu *v)
{
    uint32_t word = AXVCPU_ATOMIC_LOAD(&v->word);

    if ((word & AXVCPU_I_STATE) != AXVCPU_STATE_BLOCKED)
        return false;
    if (!axvcpu_i_change(v, word, word ^ (AXVCPU_STATE_BLOCKED ^ AXVCPU_STATE_READY)))
        return axvcpu_i_wake(v); /* woken by another, or a flag has changed */
    AXVCPU_I_WAKE(v); /* barrier WAKE_AFTER_STATE: PARK looks at the state */
    return true;
}

/* Raise attention, then wake or signal whoever has the vCPU: the flag first (barrier KICK_FLAG), then the
   owner (barrier OWNER_LOAD_AFTER_FLAG), so that one of the two, this CPU or the owner, sees what the other
   has written. Never asks whether it is Running (barrier KICK_UNFILTERED). */
static void axvcpu_i_alert(struct axvcpu *v, uint32_t attn, uint32_t point)
{
    void *owner;

    (void)point;
    (void)AXVCPU_ATOMIC_FETCH_OR(&v->attn, attn);
    AXVCPU_TRACE(v, point, attn, 0);
    if ((AXVCPU_ATOMIC_LOAD(&v->word) & AXVCPU_I_STATE) == AXVCPU_STATE_BLOCKED && axvcpu_pending(v))
        (void)axvcpu_i_wake(v);
    owner = AXVCPU_ATOMIC_LOAD(&v->owner);
    if (owner != NULL)
        axvcpu_leaf_kick(v, owner);
}

static int axvcpu_i_check_vector(const struct axvcpu *v, uint32_t op, uint32_t vector)
{
    if (!axvcpu_i_is_vcpu(v))
        return axvcpu_i_complain(op, v, AXVCPU_EINVAL, "not an initialised vCPU");
    if (vector >= AXVCPU_LEAF_VECTORS || !AXVCPU_LEAF_VECTOR_OK(vector))
        return axvcpu_i_complain(op, v, AXVCPU_EINVAL, "no such interrupt vector");
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_inject_interrupt(struct axvcpu *v, uint32_t vector)
{
    int err = axvcpu_i_check_vector(v, AXVCPU_OP_INJECT, vector);

    if (err != 0)
        return err;
    /* barrier PENDING_BEFORE_FLAG: who clears the flag finds the vector */
    (void)AXVCPU_ATOMIC_FETCH_OR(&v->pending[vector / 64], UINT64_C(1) << (vector % 64));
    axvcpu_i_alert(v, AXVCPU_ATTN_IRQ, AXVCPU_TRACE_INJECT_FLAGGED);
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_set_irq(struct axvcpu *v, uint32_t irq, bool level)
{
    uint64_t bit = UINT64_C(1) << (irq % 64);
    int err = axvcpu_i_check_vector(v, AXVCPU_OP_SET_IRQ, irq);

    if (err != 0)
        return err;
    if (level)
        (void)AXVCPU_ATOMIC_FETCH_OR(&v->lines[irq / 64], bit);
    else
        (void)AXVCPU_ATOMIC_FETCH_AND(&v->lines[irq / 64], ~bit);
    axvcpu_i_alert(v, AXVCPU_ATTN_IRQ, AXVCPU_TRACE_INJECT_FLAGGED);
    return AXVCPU_OK;
}

static int axvcpu_i_flag(struct axvcpu *v, uint32_t op, uint32_t attn, uint32_t point)
{
    if (!axvcpu_i_is_vcpu(v))
        return axvcpu_i_complain(op, v, AXVCPU_EINVAL, "not an initialised vCPU");
    axvcpu_i_alert(v, attn, point);
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_inject_nmi(struct axvcpu *v)
{
    return axvcpu_i_flag(v, AXVCPU_OP_NMI, AXVCPU_ATTN_NMI, AXVCPU_TRACE_INJECT_FLAGGED);
}

AXVCPU_API int axvcpu_kick(struct axvcpu *v)
{
    return axvcpu_i_flag(v, AXVCPU_OP_KICK, AXVCPU_ATTN_KICK, AXVCPU_TRACE_KICK_FLAGGED);
}

AXVCPU_API int axvcpu_inject_exception(struct axvcpu *v, uint32_t vector, uint64_t error, uint64_t addr)
{
    struct axvcpu *current = AXVCPU_CURRENT_GET();
    bool claimed;
    int err = axvcpu_i_open(v, AXVCPU_OP_EXCEPTION, &claimed);

    if (err != 0)
        return err;
    AXVCPU_CURRENT_SET(v);
    err = axvcpu_leaf_inject_exception(v, vector, error, addr);
    AXVCPU_CURRENT_SET(current);
    return axvcpu_i_close(v, claimed, err);
}

AXVCPU_API int axvcpu_inject_hw(struct axvcpu *v, uint32_t vintid, uint32_t pintid)
{
    int err = axvcpu_i_check_vector(v, AXVCPU_OP_HW, vintid);

    return err != 0 ? err : axvcpu_leaf_inject_hw(v, vintid, pintid);
}

/* Blocked first (barrier BLOCK_STATE_FIRST), then the reasons to stay awake, each side with a full barrier
   between its two steps: an unblocker, kicker or injector either finds Blocked or is found here. */
AXVCPU_API int axvcpu_block(struct axvcpu *v)
{
    bool claimed;
    int err = axvcpu_i_open(v, AXVCPU_OP_BLOCK, &claimed);

    if (err != 0)
        return err;
    axvcpu_i_set_state(v, AXVCPU_STATE_BLOCKED);
    AXVCPU_TRACE(v, AXVCPU_TRACE_BLOCK_BLOCKED, 0, 0);
    if (!axvcpu_pending(v)) {
        AXVCPU_TRACE(v, AXVCPU_TRACE_BLOCK_DONE, 0, 0);
        return AXVCPU_OK;
    }
    (void)axvcpu_i_wake(v);
    (void)AXVCPU_ATOMIC_XCHG(&v->latch, 0u);
    return AXVCPU_EAGAIN;
}

AXVCPU_API int axvcpu_unblock(struct axvcpu *v)
{
    if (!axvcpu_i_is_vcpu(v))
        return axvcpu_i_complain(AXVCPU_OP_UNBLOCK, v, AXVCPU_EINVAL, "not an initialised vCPU");
    if (axvcpu_i_wake(v))
        return AXVCPU_OK;
    (void)AXVCPU_ATOMIC_XCHG(&v->latch, 1u); /* barrier UNBLOCK_LATCH: out before the state is looked at */
    AXVCPU_TRACE(v, AXVCPU_TRACE_UNBLOCK_LATCHED, 0, 0);
    (void)axvcpu_i_wake(v); /* barrier UNBLOCK_AGAIN: it may have blocked since, without seeing the latch */
    return AXVCPU_OK;
}

/* >>registers */

static int axvcpu_i_access_reg(struct axvcpu *v, uint32_t op, uint64_t id, uint64_t *value)
{
    struct axvcpu *current = AXVCPU_CURRENT_GET();
    bool claimed;
    int err;

    if (value == NULL || (AXVCPU_REG_CLASS(id) == 0 && id >= AXVCPU_LEAF_GPRS))
        return axvcpu_i_complain(op, v, AXVCPU_EINVAL, "no such register, or NULL");
    err = axvcpu_i_open(v, op, &claimed);
    if (err != 0)
        return err;
    AXVCPU_CURRENT_SET(v);
    err = op == AXVCPU_OP_GET ? axvcpu_leaf_get_reg(v, id, value) : axvcpu_leaf_set_reg(v, id, *value);
    AXVCPU_CURRENT_SET(current);
    if (err != 0)
        axvcpu_i_log(op, v, err, NULL);
    return axvcpu_i_close(v, claimed, err);
}

AXVCPU_API int axvcpu_get_reg(struct axvcpu *v, uint64_t id, uint64_t *value)
{
    return axvcpu_i_access_reg(v, AXVCPU_OP_GET, id, value);
}

AXVCPU_API int axvcpu_set_reg(struct axvcpu *v, uint64_t id, uint64_t value)
{
    return axvcpu_i_access_reg(v, AXVCPU_OP_SET, id, &value);
}

AXVCPU_API int axvcpu_get_gpr(struct axvcpu *v, uint32_t reg, uint64_t *value)
{
    return axvcpu_i_access_reg(v, AXVCPU_OP_GET, AXVCPU_REG_GPR(reg), value);
}

AXVCPU_API int axvcpu_set_gpr(struct axvcpu *v, uint32_t reg, uint64_t value)
{
    return axvcpu_i_access_reg(v, AXVCPU_OP_SET, AXVCPU_REG_GPR(reg), &value);
}

AXVCPU_API int axvcpu_set_return_value(struct axvcpu *v, uint64_t value)
{
    return axvcpu_i_access_reg(v, AXVCPU_OP_SET, AXVCPU_REG_GPR(AXVCPU_LEAF_RETURN_GPR), &value);
}

/* Where the guest starts and its second-stage root: for a set-up step by step. */
static int axvcpu_i_access_entry(struct axvcpu *v, const axvcpu_gpa_t *entry, const axvcpu_hpa_t *root)
{
    struct axvcpu *current = AXVCPU_CURRENT_GET();
    bool claimed;
    int err = axvcpu_i_open(v, AXVCPU_OP_SET, &claimed);

    if (err != 0)
        return err;
    AXVCPU_CURRENT_SET(v);
    err = entry != NULL ? axvcpu_leaf_set_entry(v, *entry) : axvcpu_leaf_set_root(v, *root);
    AXVCPU_CURRENT_SET(current);
    return axvcpu_i_close(v, claimed, err);
}

AXVCPU_API int axvcpu_set_entry(struct axvcpu *v, axvcpu_gpa_t entry)
{
    return axvcpu_i_access_entry(v, &entry, NULL);
}

AXVCPU_API int axvcpu_set_root(struct axvcpu *v, axvcpu_hpa_t root)
{
    return axvcpu_i_access_entry(v, NULL, &root);
}

/* >>combinators */

AXVCPU_I_COLD static int axvcpu_i_check_with(struct axvcpu *v, uint32_t op, enum axvcpu_state from,
                                             enum axvcpu_state to, axvcpu_fn fn)
{
    struct axvcpu *current = AXVCPU_CURRENT_GET();
    bool inside;

    if (!axvcpu_i_is_vcpu(v))
        return axvcpu_i_complain(op, v, AXVCPU_EINVAL, "not an initialised vCPU");
    inside = op == AXVCPU_OP_TRANSITION && current == v && from == AXVCPU_STATE_RUNNING && /* a backend's, in run */
             axvcpu_get_state(v) == AXVCPU_STATE_RUNNING;
    if ((uint32_t)from >= AXVCPU_STATE_COUNT || (uint32_t)to >= AXVCPU_STATE_COUNT ||
        (fn == NULL) != (op == AXVCPU_OP_TRANSITION))
        return axvcpu_i_complain(op, v, AXVCPU_EINVAL, "no such state, or no function");
    if (current != NULL && !inside)
        return axvcpu_i_complain(op, v, AXVCPU_ENESTED, NULL);
#ifdef AXVCPU_CHECKED
    {
        void *owner = AXVCPU_ATOMIC_LOAD(&v->owner);

        if (owner != NULL && owner != AXVCPU_CPU_TOKEN())
            return AXVCPU_EBUSY;
    }
#endif
    return AXVCPU_OK;
}

/* A wrong state or a failed function: Invalid. The owner's vCPU is let go of, nobody else's is touched. */
static void axvcpu_i_spoil(struct axvcpu *v)
{
    if (AXVCPU_CURRENT_GET() == NULL && AXVCPU_ATOMIC_LOAD(&v->owner) == AXVCPU_CPU_TOKEN())
        axvcpu_i_poison(v, true);
    else
        axvcpu_i_set_state(v, AXVCPU_STATE_INVALID);
}

AXVCPU_API int axvcpu_i_with(struct axvcpu *v, uint32_t op, enum axvcpu_state from, enum axvcpu_state to, axvcpu_fn fn,
                             void *arg)
{
    bool moves = op != AXVCPU_OP_WITH_CURRENT, sets = op == AXVCPU_OP_WITH_CURRENT || op == AXVCPU_OP_MANIPULATE;
    int err = axvcpu_i_check_with(v, op, from, to, fn);

    if (err != 0)
        return err;
    if (moves && axvcpu_get_state(v) != from) {
        err = axvcpu_i_complain_state(op, v, 1u << from);
        axvcpu_i_spoil(v);
        return err;
    }
    if (sets)
        AXVCPU_CURRENT_SET(v);
    if (fn != NULL)
        err = fn(v, arg);
    if (sets)
        AXVCPU_CURRENT_SET(NULL);
    if (moves && err != 0)
        axvcpu_i_spoil(v);
    else if (moves && axvcpu_get_state(v) == from) /* else fn itself has moved it */
        axvcpu_i_set_state(v, to);
    return err;
}

AXVCPU_API int axvcpu_with_state(struct axvcpu *v, enum axvcpu_state from, enum axvcpu_state to, axvcpu_fn fn,
                                 void *arg)
{
    return axvcpu_i_with(v, AXVCPU_OP_WITH_STATE, from, to, fn, arg);
}

AXVCPU_API int axvcpu_manipulate(struct axvcpu *v, enum axvcpu_state from, enum axvcpu_state to, axvcpu_fn fn,
                                 void *arg)
{
    return axvcpu_i_with(v, AXVCPU_OP_MANIPULATE, from, to, fn, arg);
}

/* >>percpu */

#define AXVCPU_I_CPU_IDLE 0xa5cb0001u
#define AXVCPU_I_CPU_ENABLED 0xa5cb0002u

static bool axvcpu_i_is_percpu(const struct axvcpu_percpu *p)
{
    return p != NULL && (p->word == AXVCPU_I_CPU_IDLE || p->word == AXVCPU_I_CPU_ENABLED);
}

AXVCPU_API int axvcpu_i_percpu_init(struct axvcpu_percpu *p, uint32_t cpu_id, uint64_t abi)
{
    int err = AXVCPU_EINVAL;

    if (p == NULL || abi != AXVCPU_ABI || cpu_id >= AXVCPU_MAX_PHYS_CPUS)
        return axvcpu_i_complain(AXVCPU_OP_INIT, NULL, err,
                                 "per-CPU state: NULL, cpu_id out of range, or another AXVCPU_ABI");
    if (axvcpu_i_is_percpu(p))
        return axvcpu_i_complain(AXVCPU_OP_INIT, NULL, AXVCPU_EBADSTATE, "per-CPU state: initialised already");
    AXVCPU_MEMSET(p, 0, sizeof(*p));
    err = axvcpu_leaf_percpu_init(p, cpu_id);
    if (err != 0) {
        AXVCPU_MEMSET(p, 0, sizeof(*p));
        return axvcpu_i_complain(AXVCPU_OP_INIT, NULL, err, "per-CPU state: the backend failed");
    }
    p->cpu_id = cpu_id;
    p->word = AXVCPU_I_CPU_IDLE;
    return AXVCPU_OK;
}

/* enable and disable: from one word to the other. */
static int axvcpu_i_percpu_switch(struct axvcpu_percpu *p, uint32_t from, uint32_t to,
                                  int (*leaf)(struct axvcpu_percpu *))
{
    int err;

    if (!axvcpu_i_is_percpu(p))
        return axvcpu_i_complain(AXVCPU_OP_COUNT, NULL, AXVCPU_EINVAL, "per-CPU state: NULL or not initialised");
    if (p->word != from)
        return axvcpu_i_complain(AXVCPU_OP_COUNT, NULL, AXVCPU_EBADSTATE, "per-CPU state: enabled or disabled already");
    err = leaf(p);
    if (err == 0)
        p->word = to;
    return err;
}

AXVCPU_API int axvcpu_percpu_enable(struct axvcpu_percpu *p)
{
    return axvcpu_i_percpu_switch(p, AXVCPU_I_CPU_IDLE, AXVCPU_I_CPU_ENABLED, axvcpu_leaf_percpu_enable);
}

AXVCPU_API int axvcpu_percpu_disable(struct axvcpu_percpu *p)
{
    return axvcpu_i_percpu_switch(p, AXVCPU_I_CPU_ENABLED, AXVCPU_I_CPU_IDLE, axvcpu_leaf_percpu_disable);
}

/* One that was never initialised may be dropped too. */
AXVCPU_API int axvcpu_percpu_deinit(struct axvcpu_percpu *p)
{
    int err;

    if (p == NULL || (p->word != 0 && !axvcpu_i_is_percpu(p)))
        return axvcpu_i_complain(AXVCPU_OP_COUNT, NULL, AXVCPU_EINVAL, "per-CPU state: NULL, or not one");
    if (p->word == AXVCPU_I_CPU_ENABLED) {
        err = axvcpu_percpu_disable(p);
        if (err != 0)
            return err;
    }
    if (p->word == AXVCPU_I_CPU_IDLE)
        axvcpu_leaf_percpu_deinit(p);
    AXVCPU_MEMSET(p, 0, sizeof(*p));
    return AXVCPU_OK;
}

AXVCPU_API bool axvcpu_percpu_is_enabled(const struct axvcpu_percpu *p)
{
    return p != NULL && p->word == AXVCPU_I_CPU_ENABLED;
}

AXVCPU_API uint32_t axvcpu_percpu_max_guest_page_table_levels(const struct axvcpu_percpu *p)
{
    return !axvcpu_i_is_percpu(p) ? 0 : axvcpu_leaf_max_guest_page_table_levels(p);
}

AXVCPU_API bool axvcpu_has_hardware_support(void)
{
    return axvcpu_leaf_supported();
}

AXVCPU_I_C_END

/* >>vm: a VM that owns its vCPUs */

#define AXVM_I_MAGIC 0xa5cd0001u
#define AXVM_I_STATUS 7u /* in axvm.status */
#define AXVM_I_INSIDE 8u
#define AXVM_I_DOWN 0u
#define AXVM_I_CLAIMED 1u
#define AXVM_I_UP 2u
#define AXVM_I_WAITS UINT64_C(1) /* in axvm_i_member.device: its handler waits in axvm_remove */
#define AXVM_I_HANDED 3u /* started; its CPU, which keeps it bound, has to reset the registers */

#if AXVCPU_I_HOSTED
#include <sched.h>
#define AXVCPU_I_RELAX() ((void)sched_yield())
#elif defined(__x86_64__)
#define AXVCPU_I_RELAX() __builtin_ia32_pause()
#else
#define AXVCPU_I_RELAX() __asm__ volatile("" ::: "memory")
#endif

AXVCPU_I_C_BEGIN

AXVCPU_I_COLD static int axvm_i_complain(const struct axvm *vm, const char *call, int err, const char *why)
{
    char line[160];
    struct axvcpu_i_text t = { line, sizeof(line), 0 };

    axvcpu_i_put(&t, call);
    if (vm != NULL && vm->word == AXVM_I_MAGIC) {
        axvcpu_i_put(&t, " of VM ");
        axvcpu_i_put_number(&t, vm->id, 10);
    }
    axvcpu_i_put(&t, ": ");
    axvcpu_i_put(&t, why != NULL ? why : axvcpu_strerror(err));
    AXVCPU_LOG(AXVCPU_LOG_ERROR, line);
    return err;
}

static bool axvm_i_is_vm(const struct axvm *vm)
{
    return vm != NULL && vm->word == AXVM_I_MAGIC;
}

#define AXVM_I_CHECK(vm, call)   \
    do {                         \
        if (!axvm_i_is_vm(vm))   \
            return axvm_i_complain(NULL, call, AXVCPU_EINVAL, "not an initialised VM"); \
    } while (0)

static struct axvcpu *axvm_i_at(const struct axvm *vm, uint32_t index)
{
    return (struct axvcpu *)(void *)((char *)(void *)vm->vcpus + (size_t)index * vm->vcpu_stride);
}

AXVCPU_API struct axvcpu *axvm_vcpu(struct axvm *vm, uint32_t id)
{
    return axvm_i_is_vm(vm) && id < vm->vcpu_count ? axvm_i_at(vm, id) : NULL;
}

AXVCPU_API void *axvm_user(const struct axvm *vm)
{
    return vm->user;
}

AXVCPU_API enum axvm_status axvm_get_status(const struct axvm *vm)
{
    return (enum axvm_status)(AXVCPU_ATOMIC_LOAD(&vm->status) & AXVM_I_STATUS);
}

AXVCPU_API const char *axvm_status_name(enum axvm_status status)
{
    switch ((uint32_t)status) {
        AXVM_STATUSES(AXVCPU_I_TEXT_CASE)
    default:
        return "unknown status";
    }
}

/* Stopping becomes Stopped when nobody is inside. */
static uint32_t axvm_i_settled(uint32_t word)
{
    return word == AXVM_STATUS_STOPPING ? AXVM_STATUS_STOPPED : word;
}

/* The one place that changes the status: from one of a set, else EBADSTATE and a log line. */
static int axvm_i_move(struct axvm *vm, const char *call, uint32_t from, enum axvm_status to)
{
    uint32_t word = AXVCPU_ATOMIC_LOAD(&vm->status);

    while ((from >> (word & AXVM_I_STATUS) & 1u) != 0) {
        if (AXVCPU_ATOMIC_CAS(&vm->status, &word, axvm_i_settled((word & ~AXVM_I_STATUS) | (uint32_t)to)))
            return AXVCPU_OK;
    }
    return axvm_i_complain(vm, call, AXVCPU_EBADSTATE, axvm_status_name((enum axvm_status)(word & AXVM_I_STATUS)));
}

/* The last that a visitor does to the VM (barrier LEAVE_LAST): who has waited for him may take it apart. */
static void axvm_i_leave(struct axvm *vm)
{
    uint32_t word = AXVCPU_ATOMIC_LOAD(&vm->status);

    while (!AXVCPU_ATOMIC_CAS(&vm->status, &word, axvm_i_settled(word - AXVM_I_INSIDE)))
        ;
}

static void axvm_i_lock(struct axvm *vm)
{
    while (AXVCPU_ATOMIC_XCHG(&vm->lock, 1u) != 0)
        AXVCPU_I_RELAX();
}

static void axvm_i_unlock(struct axvm *vm)
{
    AXVCPU_ATOMIC_STORE_RELEASE(&vm->lock, 0u);
}

/* >>vm life */

static const char *axvm_i_refuse_desc(const struct axvm *vm, const struct axvm_desc *d, uint64_t abi)
{
    uint32_t i;

    if (abi != AXVCPU_ABI)
        return "compiled with another configuration (AXVCPU_ABI)";
    if (vm == NULL || d == NULL || d->vcpus == NULL || d->vcpu_count == 0)
        return "NULL, or no vCPU";
    if (d->flags != 0)
        return "unknown flags";
    if (d->vcpu_stride != 0 && (d->vcpu_stride < sizeof(struct axvcpu) || d->vcpu_stride % sizeof(void *) != 0))
        return "vcpu_stride is too small or not aligned";
    if (d->ranges == NULL && d->max_ranges != 0)
        return "max_ranges without ranges";
    for (i = 0; d->vcpu_descs != NULL && i < d->vcpu_count; i++) {
        if (d->vcpu_descs[i].vcpu_id != 0 && d->vcpu_descs[i].vcpu_id != i)
            return "vcpu_descs[i].vcpu_id is neither 0 nor i";
        if (axvcpu_i_refuse_desc(d->vcpus, &d->vcpu_descs[i]) != NULL)
            return axvcpu_i_refuse_desc(d->vcpus, &d->vcpu_descs[i]);
    }
    return NULL;
}

static void axvm_i_drop_vcpus(struct axvm *vm, uint32_t count, int (*drop)(struct axvcpu *))
{
    while (count-- > 0)
        (void)drop(axvm_i_at(vm, count));
    axvm_leaf_deinit(vm);
    AXVCPU_MEMSET(vm, 0, sizeof(*vm));
}

static int axvm_i_create_vcpus(struct axvm *vm, const struct axvcpu_desc *descs)
{
    static const struct axvcpu_desc zero;
    uint32_t i;
    int err = AXVCPU_OK;

    for (i = 0; i < vm->vcpu_count && err == 0; i++) {
        struct axvcpu_desc d = descs != NULL ? descs[i] : zero;

        d.vm_id = vm->id;
        d.vcpu_id = i;
        err = axvcpu_i_create(axvm_i_at(vm, i), &d, vm);
    }
    if (err != 0) /* the last one has cleaned up after itself; as none has been, none is released */
        axvm_i_drop_vcpus(vm, i - 1, axvcpu_deinit);
    return err;
}

static void axvm_i_publish(struct axvm *vm, uint32_t side); /* >>vm devices */

AXVCPU_API int axvm_i_init(struct axvm *vm, const struct axvm_desc *d, uint64_t abi)
{
    const char *why = axvm_i_refuse_desc(vm, d, abi);
    int err;

    if (why != NULL)
        return axvm_i_complain(NULL, "axvm_init", AXVCPU_EINVAL, why);
    if (AXVCPU_CURRENT_GET() != NULL)
        return axvm_i_complain(NULL, "axvm_init", AXVCPU_ENESTED, NULL);
    AXVCPU_MEMSET(vm, 0, sizeof(*vm));
    vm->id = d->id;
    vm->vcpus = d->vcpus;
    vm->vcpu_count = d->vcpu_count;
    vm->vcpu_stride = d->vcpu_stride != 0 ? d->vcpu_stride : (uint32_t)sizeof(struct axvcpu);
    vm->setups = d->setups;
    vm->bsp_entry = d->bsp_entry;
    vm->ap_entry = d->ap_entry;
    vm->ranges = d->ranges;
    vm->max_ranges = d->max_ranges;
    vm->user = d->user;
    axvm_i_publish(vm, 0); /* version 1: 0 is what a vCPU remembers that has never looked */
    vm->next_id = 2;
    err = axvm_leaf_init(vm, &d->arch);
    if (err != 0) {
        AXVCPU_MEMSET(vm, 0, sizeof(*vm));
        return axvm_i_complain(NULL, "axvm_init", err, NULL);
    }
    err = axvm_i_create_vcpus(vm, d->vcpu_descs);
    if (err == 0)
        vm->word = AXVM_I_MAGIC;
    return err;
}

/* All or none: what was set up before a failure goes back to Created. */
static int axvm_i_set_up_vcpus(struct axvm *vm)
{
    uint32_t i;
    int err;

    for (i = 0; i < vm->vcpu_count; i++) {
        struct axvcpu *v = axvm_i_at(vm, i);

        err = axvcpu_setup(v, axvcpu_is_bsp(v) ? vm->bsp_entry : vm->ap_entry, axvm_root(vm),
                           vm->setups != NULL ? &vm->setups[i] : NULL);
        if (err != 0) {
            do
                (void)axvcpu_reset(axvm_i_at(vm, i));
            while (i-- > 0);
            return err;
        }
        AXVCPU_ATOMIC_STORE_RELEASE(&v->vm.up, axvcpu_is_bsp(v) || AXVM_LEAF_STARTS_CPUS(vm) ? AXVM_I_UP : AXVM_I_DOWN);
    }
    return AXVCPU_OK;
}

/* Nobody runs in a VM that is Loading: who is inside boots it, and keeps a second one out. */
AXVCPU_API int axvm_boot(struct axvm *vm)
{
    uint32_t word = AXVM_STATUS_LOADING;
    int err;

    AXVM_I_CHECK(vm, "axvm_boot");
    if (!AXVCPU_ATOMIC_CAS(&vm->status, &word, AXVM_STATUS_LOADING | AXVM_I_INSIDE))
        return (word & AXVM_I_STATUS) != AXVM_STATUS_LOADING ?
                   axvm_i_complain(vm, "axvm_boot", AXVCPU_EBADSTATE, "it has been booted") :
                   axvm_i_complain(vm, "axvm_boot", AXVCPU_EBUSY, "it is being booted");
    err = axvm_i_set_up_vcpus(vm);
    if (err == 0)
        err = axvm_i_move(vm, "axvm_boot", 1u << AXVM_STATUS_LOADING, AXVM_STATUS_LOADED);
    axvm_i_leave(vm);
    return err;
}

AXVCPU_API int axvm_deinit(struct axvm *vm)
{
    uint32_t i;

    AXVM_I_CHECK(vm, "axvm_deinit");
    if (AXVCPU_CURRENT_GET() != NULL)
        return axvm_i_complain(vm, "axvm_deinit", AXVCPU_ENESTED, NULL);
    for (i = 0; i < vm->vcpu_count; i++) {
        if (AXVCPU_ATOMIC_LOAD(&axvm_i_at(vm, i)->owner) != NULL || AXVCPU_ATOMIC_LOAD(&vm->status) >= AXVM_I_INSIDE)
            return AXVCPU_EBUSY;
    }
    axvm_i_drop_vcpus(vm, vm->vcpu_count, axvcpu_unref);
    return AXVCPU_OK;
}

/* >>vm status */

/* Everybody out: a guest that runs is left, one that sleeps wakes. The status has changed before
   (barrier STATUS_BEFORE_STOP), so who finds the flag finds the reason. */
static void axvm_i_stop_all(struct axvm *vm)
{
    uint32_t i;

    for (i = 0; i < vm->vcpu_count; i++)
        axvcpu_i_alert(axvm_i_at(vm, i), AXVCPU_ATTN_STOP, AXVCPU_TRACE_STOP_FLAGGED);
}

AXVCPU_API int axvm_pause(struct axvm *vm)
{
    int err;

    AXVM_I_CHECK(vm, "axvm_pause");
    err = axvm_i_move(vm, "axvm_pause", 1u << AXVM_STATUS_LOADED | 1u << AXVM_STATUS_RUNNING, AXVM_STATUS_SUSPENDED);
    if (err == 0)
        axvm_i_stop_all(vm);
    return err;
}

/* The flags go while nobody can raise new ones for a next pause (barrier RESUME_CLEAR_FIRST). A shutdown can:
   then they come back (barrier RESUME_STOPS_AGAIN). One
   that is raised late finds a running VM and means nothing (axvm_i_once). */
AXVCPU_API int axvm_resume(struct axvm *vm)
{
    uint32_t i;
    int err;

    AXVM_I_CHECK(vm, "axvm_resume");
    if (axvm_get_status(vm) == AXVM_STATUS_SUSPENDED) {
        for (i = 0; i < vm->vcpu_count; i++)
            (void)AXVCPU_ATOMIC_FETCH_AND(&axvm_i_at(vm, i)->attn, ~AXVCPU_ATTN_STOP);
    }
    err = axvm_i_move(vm, "axvm_resume", 1u << AXVM_STATUS_SUSPENDED, AXVM_STATUS_RUNNING);
    if (axvm_get_status(vm) == AXVM_STATUS_STOPPING)
        axvm_i_stop_all(vm);
    return err;
}

AXVCPU_API int axvm_shutdown(struct axvm *vm)
{
    int err;

    AXVM_I_CHECK(vm, "axvm_shutdown");
    err = axvm_i_move(vm, "axvm_shutdown",
                      1u << AXVM_STATUS_LOADED | 1u << AXVM_STATUS_RUNNING | 1u << AXVM_STATUS_SUSPENDED,
                      AXVM_STATUS_STOPPING);
    if (err != 0)
        return err;
    axvm_i_stop_all(vm);
    return AXVCPU_OK;
}

/* The vCPU of this VM that this CPU has bound, if any: then we are inside its loop. */
static struct axvcpu *axvm_i_own(const struct axvm *vm)
{
    uint32_t i;

    for (i = 0; i < vm->vcpu_count; i++) {
        struct axvcpu *v = axvm_i_at(vm, i);

        if (AXVCPU_ATOMIC_LOAD(&v->owner) == AXVCPU_CPU_TOKEN())
            return v;
    }
    return NULL;
}

AXVCPU_API int axvm_wait_idle(struct axvm *vm)
{
    AXVM_I_CHECK(vm, "axvm_wait_idle");
    if (axvm_i_own(vm) != NULL)
        return axvm_i_complain(vm, "axvm_wait_idle", AXVCPU_EBUSY, "it would wait for itself");
    while (AXVCPU_ATOMIC_LOAD(&vm->status) >= AXVM_I_INSIDE)
        AXVCPU_I_RELAX();
    return AXVCPU_OK;
}

/* >>vm devices */

/* The table is two sorted arrays, one in use and one to build the next in. A reader copies the range that it
   found and looks at the version again: if that has moved, what it read may be of two tables, and it starts
   over. It never waits and writes nothing shared. Fields are loaded with acquire, stored with release: who
   sees a word of the next table sees that the version is not his any more. */

static uint32_t axvm_i_class(uint32_t kind)
{
    switch (kind) {
    case AXVCPU_EXIT_MMIO_READ:
    case AXVCPU_EXIT_MMIO_WRITE:
    case AXVCPU_EXIT_NESTED_PAGE_FAULT:
        return 0;
    case AXVCPU_EXIT_IO_READ:
    case AXVCPU_EXIT_IO_WRITE:
        return 1;
    case AXVCPU_EXIT_SYSREG_READ:
    case AXVCPU_EXIT_SYSREG_WRITE:
        return 2;
    default:
        return AXVM_I_CLASSES;
    }
}

static void axvm_i_slot_load(const struct axvm_i_slot *from, struct axvm_i_slot *to)
{
    to->first = AXVCPU_ATOMIC_LOAD_ACQUIRE(&from->first);
    to->last = AXVCPU_ATOMIC_LOAD_ACQUIRE(&from->last);
    to->handler = AXVCPU_ATOMIC_LOAD_ACQUIRE(&from->handler);
    to->arg = AXVCPU_ATOMIC_LOAD_ACQUIRE(&from->arg);
    to->id = AXVCPU_ATOMIC_LOAD_ACQUIRE(&from->id);
}

static void axvm_i_slot_store(struct axvm_i_slot *to, const struct axvm_i_slot *from)
{
    AXVCPU_ATOMIC_STORE_RELEASE(&to->first, from->first);
    AXVCPU_ATOMIC_STORE_RELEASE(&to->last, from->last);
    AXVCPU_ATOMIC_STORE_RELEASE(&to->handler, from->handler);
    AXVCPU_ATOMIC_STORE_RELEASE(&to->arg, from->arg);
    AXVCPU_ATOMIC_STORE_RELEASE(&to->id, from->id);
}

/* What an empty class has in the place of its first range. */
static const struct axvm_i_slot axvm_i_nothing = { .first = 1, .last = 0 };

#define AXVM_I_STEPS(X)                                                                                    \
    X(31) X(30) X(29) X(28) X(27) X(26) X(25) X(24) X(23) X(22) X(21) X(20) X(19) X(18) X(17) X(16) X(15) X(14) \
    X(13) X(12) X(11) X(10) X(9) X(8) X(7) X(6) X(5) X(4) X(3) X(2) X(1)
#define AXVM_I_STEP(n)                                                                                     \
    case n:                                                                                                \
        next = at + (UINT64_C(1) << n); /* 2^(n - 1) ranges on, each of two slots */                       \
        at = AXVCPU_ATOMIC_LOAD_ACQUIRE(&next->first) <= first ? next : at;                                \
        __attribute__((fallthrough));

/* The last range that begins at or below `first`, if any does. Each step is the same for every address, so
   there is no branch to guess: halving from 2^31 would cost a loop, jumping in where it is worth it does not. */
AXVCPU_I_INLINE const struct axvm_i_slot *axvm_i_find(const struct axvm_i_slot *low, const struct axvm_i_slot *middle,
                                                      uint64_t steps, uint64_t first)
{
    const struct axvm_i_slot *at = AXVCPU_ATOMIC_LOAD_ACQUIRE(&middle->first) <= first ? middle : low, *next;

    switch (steps) {
        AXVM_I_STEPS(AXVM_I_STEP)
    case 0:
        return at;
    default: /* axvm_i_index_store */
        __builtin_unreachable();
    }
}

/* Fill in the hit: the last range that begins at or below `first`, or some other one. The index is read between
   two looks at the version: what is of two tables would lead out of both. The range itself may be of a later
   one; then the version has moved, which is seen by who uses it: axvm_lookup, axvm_i_call. (In this order of
   arguments gcc moves none of them.) */
AXVCPU_API void axvm_i_search(struct axvm_i_hit *hit, uint64_t first, const struct axvm_i_class *c)
{
    uint64_t version = AXVCPU_ATOMIC_LOAD_ACQUIRE(&c->version), steps;
    const struct axvm_i_index *index = AXVCPU_ATOMIC_LOAD_ACQUIRE(&c->index);
    const struct axvm_i_slot *at = AXVCPU_ATOMIC_LOAD_ACQUIRE(&index->low), *middle;

    middle = AXVCPU_ATOMIC_LOAD_ACQUIRE(&index->middle);
    steps = AXVCPU_ATOMIC_LOAD_ACQUIRE(&index->steps);
    if (AXVCPU_I_LIKELY(AXVCPU_ATOMIC_LOAD_ACQUIRE(&c->version) == version))
        at = axvm_i_find(at, middle, steps, first);
    else /* no table has this version, so it is asked for again */
        version = 0, at = &axvm_i_nothing;
    __asm__("" : "+r"(at)); /* gcc would carry on with two addresses and make the last step a branch */
    hit->first = AXVCPU_ATOMIC_LOAD_ACQUIRE(&at->first);
    hit->last = AXVCPU_ATOMIC_LOAD_ACQUIRE(&at->last);
    hit->seen = version;
    hit->slot = at;
}

/* How to search `count` ranges from `low` on: the first step makes it a power of two either way. */
static void axvm_i_index_store(struct axvm_i_index *index, const struct axvm_range *ranges, uint32_t side,
                               uint32_t start, uint32_t count)
{
    uint32_t steps = count > 1 ? axvcpu_i_highest(count - 1) : 0;
    const struct axvm_i_slot *low = count != 0 ? &ranges[start].slot[side] : &axvm_i_nothing;
    const struct axvm_i_slot *middle = count > 1 ? &ranges[start + (count - (1u << steps))].slot[side] : low;

    AXVCPU_ATOMIC_STORE_RELEASE(&index->low, low);
    AXVCPU_ATOMIC_STORE_RELEASE(&index->middle, middle);
    AXVCPU_ATOMIC_STORE_RELEASE(&index->steps, (uint64_t)steps);
}

/* The table of this side is complete: from now on it is in use. The index comes before the version: who knows
   the version knows it. The version is out before a remover looks who is inside (barrier VERSION_FIRST). */
static void axvm_i_publish(struct axvm *vm, uint32_t side)
{
    const uint32_t *starts = vm->starts[side];
    uint32_t i;

    for (i = 0; i < AXVM_I_CLASSES; i++) {
        struct axvm_i_class *c = &vm->classes[i];

        axvm_i_index_store(&c->indexes[side], vm->ranges, side, starts[i], starts[i + 1] - starts[i]);
        AXVCPU_ATOMIC_STORE_RELEASE(&c->index, &c->indexes[side]);
        (void)AXVCPU_ATOMIC_FETCH_ADD(&c->version, UINT64_C(1));
    }
    vm->side = side;
}

/* Build the next table from the one in use, without the range `without` (an index) and with `with` (or
   NULL), and put it in use. Under the lock. */
static int axvm_i_rebuild(struct axvm *vm, uint32_t class_, uint32_t without, const struct axvm_i_slot *with)
{
    uint32_t from = vm->side, to = from ^ 1u, count = vm->starts[from][AXVM_I_CLASSES];
    uint32_t in = 0, out = 0, c;

    if (with != NULL && without == UINT32_MAX && count == vm->max_ranges)
        return AXVCPU_ENOMEM;
    for (c = 0; c < AXVM_I_CLASSES; c++) {
        bool placed = with == NULL || c != class_;

        vm->starts[to][c] = out;
        for (; in < vm->starts[from][c + 1] || !placed; out++) {
            if (!placed && (in == vm->starts[from][c + 1] || vm->ranges[in].slot[from].first > with->first)) {
                axvm_i_slot_store(&vm->ranges[out].slot[to], with);
                placed = true;
            } else if (in++ != without) {
                axvm_i_slot_store(&vm->ranges[out].slot[to], &vm->ranges[in - 1].slot[from]);
            } else {
                out--;
            }
        }
    }
    vm->starts[to][AXVM_I_CLASSES] = out;
    axvm_i_publish(vm, to);
    return AXVCPU_OK;
}

/* The index of the range of the class that begins at base, or UINT32_MAX. Under the lock. */
static uint32_t axvm_i_at_base(const struct axvm *vm, uint32_t class_, uint64_t base)
{
    struct axvm_i_hit hit;

    axvm_i_search(&hit, base, &vm->classes[class_]);
    if (hit.slot == &axvm_i_nothing || hit.first != base)
        return UINT32_MAX;
    return (uint32_t)((hit.slot - vm->ranges[0].slot) / 2);
}

/* Whether first..last meets a range of the class other than `except`. Under the lock. */
static bool axvm_i_overlaps(const struct axvm *vm, uint32_t class_, uint64_t first, uint64_t last, uint32_t except)
{
    uint32_t side = vm->side, i;

    for (i = vm->starts[side][class_]; i < vm->starts[side][class_ + 1]; i++) {
        const struct axvm_i_slot *s = &vm->ranges[i].slot[side];

        if (i != except && first <= s->last && last >= s->first)
            return true;
    }
    return false;
}

static int axvm_i_add(struct axvm *vm, const char *call, uint32_t kind, uint64_t base, uint64_t size,
                      axvm_handler handler, void *arg)
{
    struct axvm_i_slot slot = { 0, base, base + (size - 1), handler, arg };
    uint32_t class_ = axvm_i_class(kind);
    int err = AXVCPU_EINVAL;

    AXVM_I_CHECK(vm, call);
    if (handler == NULL || size == 0 || slot.last < base || (kind == AXVM_PORT && slot.last > 0xffff))
        return axvm_i_complain(vm, call, AXVCPU_EINVAL, "no handler, or an empty or wrapping range");
    axvm_i_lock(vm);
    if (!axvm_i_overlaps(vm, class_, slot.first, slot.last, UINT32_MAX)) {
        slot.id = vm->next_id;
        vm->next_id += 2;
        err = axvm_i_rebuild(vm, class_, UINT32_MAX, &slot);
    }
    axvm_i_unlock(vm);
    if (err == 0)
        return AXVCPU_OK;
    return axvm_i_complain(vm, call, err, err == AXVCPU_EINVAL ? "it overlaps a range" : "max_ranges are in use");
}

AXVCPU_API int axvm_add_mmio(struct axvm *vm, uint64_t base, uint64_t size, axvm_handler handler, void *arg)
{
    return axvm_i_add(vm, "axvm_add_mmio", AXVM_MMIO, base, size, handler, arg);
}

AXVCPU_API int axvm_add_port(struct axvm *vm, uint64_t base, uint64_t size, axvm_handler handler, void *arg)
{
    return axvm_i_add(vm, "axvm_add_port", AXVM_PORT, base, size, handler, arg);
}

AXVCPU_API int axvm_add_sysreg(struct axvm *vm, uint64_t base, uint64_t size, axvm_handler handler, void *arg)
{
    return axvm_i_add(vm, "axvm_add_sysreg", AXVM_SYSREG, base, size, handler, arg);
}

/* Mark the handlers that this CPU is inside of (it may have bound several vCPUs) as waiting, or take it back. */
static void axvm_i_mark_waiting(struct axvm *vm, bool waits)
{
    uint32_t i;

    for (i = 0; i < vm->vcpu_count; i++) {
        struct axvcpu *v = axvm_i_at(vm, i);

        if (AXVCPU_ATOMIC_LOAD(&v->owner) != AXVCPU_CPU_TOKEN() || AXVCPU_ATOMIC_LOAD(&v->vm.device) == 0)
            continue;
        if (waits)
            (void)AXVCPU_ATOMIC_FETCH_OR(&v->vm.device, AXVM_I_WAITS);
        else
            (void)AXVCPU_ATOMIC_FETCH_AND(&v->vm.device, ~AXVM_I_WAITS);
    }
}

/* Wait until no other CPU is inside the handler of range `id`. A handler that itself waits here counts as
   outside: two devices that remove each other do not wait for ever. */
static void axvm_i_quiesce(struct axvm *vm, uint64_t id)
{
    uint32_t i;

    axvm_i_mark_waiting(vm, true);
    for (i = 0; i < vm->vcpu_count; i++) {
        while (AXVCPU_ATOMIC_LOAD(&axvm_i_at(vm, i)->vm.device) == (id & ~UINT64_C(1)))
            AXVCPU_I_RELAX();
    }
    axvm_i_mark_waiting(vm, false);
}

/* Take the range at base out and, unless `with` is NULL, put it back changed by it. */
static int axvm_i_replace(struct axvm *vm, const char *call, uint32_t kind, uint64_t base,
                          bool (*change)(struct axvm_i_slot *, uint64_t), uint64_t arg)
{
    uint32_t class_ = axvm_i_class(kind), at;
    struct axvm_i_slot slot = { 0, 0, 0, NULL, NULL };
    int err = AXVCPU_EINVAL;

    AXVM_I_CHECK(vm, call);
    if (class_ == AXVM_I_CLASSES)
        return axvm_i_complain(vm, call, AXVCPU_EINVAL, "this kind of exit has no devices");
    axvm_i_lock(vm);
    at = axvm_i_at_base(vm, class_, base);
    if (at != UINT32_MAX) {
        slot = vm->ranges[at].slot[vm->side];
        if (change == NULL)
            err = axvm_i_rebuild(vm, class_, at, NULL);
        else if (change(&slot, arg) && !axvm_i_overlaps(vm, class_, slot.first, slot.last, at) &&
                 !(class_ == 1 && slot.last > 0xffff))
            err = axvm_i_rebuild(vm, class_, at, &slot);
    }
    axvm_i_unlock(vm);
    if (err != 0)
        return axvm_i_complain(vm, call, err,
                               at == UINT32_MAX ? "no range begins there" : "it overlaps a range, or wraps");
    if (change == NULL)
        axvm_i_quiesce(vm, slot.id);
    return AXVCPU_OK;
}

static bool axvm_i_rebase(struct axvm_i_slot *slot, uint64_t base)
{
    slot->last = base + (slot->last - slot->first);
    slot->first = base;
    return slot->last >= base;
}

static bool axvm_i_wholeness(struct axvm_i_slot *slot, uint64_t whole)
{
    slot->id = (slot->id & ~UINT64_C(1)) | whole;
    return true;
}

AXVCPU_API int axvm_remove(struct axvm *vm, uint32_t exit_class, uint64_t base)
{
    return axvm_i_replace(vm, "axvm_remove", exit_class, base, NULL, 0);
}

AXVCPU_API int axvm_move(struct axvm *vm, uint32_t exit_class, uint64_t base, uint64_t new_base)
{
    return axvm_i_replace(vm, "axvm_move", exit_class, base, axvm_i_rebase, new_base);
}

AXVCPU_API int axvm_set_whole(struct axvm *vm, uint32_t exit_class, uint64_t base, bool whole)
{
    return axvm_i_replace(vm, "axvm_set_whole", exit_class, base, axvm_i_wholeness, whole);
}

AXVCPU_API int axvm_set_default(struct axvm *vm, uint32_t exit_kind, axvm_handler handler, void *arg)
{
    struct axvm_i_default *d;
    struct axvm_i_handler *next;

    AXVM_I_CHECK(vm, "axvm_set_default");
    if (exit_kind >= AXVCPU_EXIT_COUNT || exit_kind == AXVCPU_EXIT_NOTHING)
        return axvm_i_complain(vm, "axvm_set_default", AXVCPU_EINVAL, "no such kind of exit");
    axvm_i_lock(vm);
    d = &vm->defaults[exit_kind];
    next = &d->slot[(d->version + 1) & 1u];
    AXVCPU_ATOMIC_STORE_RELEASE(&next->fn, handler);
    AXVCPU_ATOMIC_STORE_RELEASE(&next->arg, arg);
    (void)AXVCPU_ATOMIC_FETCH_ADD(&d->version, UINT64_C(1));
    axvm_i_unlock(vm);
    return AXVCPU_OK;
}

/* >>vm dispatch */

/* Which device is meant, by its id (0: whoever is there), and whether the table has changed before the call. */
struct axvm_i_turn { uint64_t id; bool gone; };

/* The device's own answer. Its id stands in the vCPU while it runs, written before the table is looked at
   again (barrier DEVICE_FIRST): a remover finds the id, or we find that the range is gone. What the handler has
   done is out before the id goes (barrier DEVICE_RELEASE). */
static enum axvm_answer axvm_i_call(struct axvm *vm, struct axvcpu *v, const struct axvm_i_hit *hit,
                                    struct axvcpu_exit *x, struct axvm_i_turn *turn)
{
    uint64_t seen = hit->seen, outer = v->vm.base, id;
    enum axvm_answer answer = AXVM_ERROR;
    struct axvm_i_slot s;

    axvm_i_slot_load(hit->slot, &s);
    id = s.id & ~UINT64_C(1);
    (void)AXVCPU_ATOMIC_XCHG(&v->vm.device, id);
    turn->gone = AXVCPU_ATOMIC_LOAD(&vm->classes[hit - v->vm.hit].version) != seen;
    if (!turn->gone && (turn->id == 0 || turn->id == id)) {
        turn->id = id;
        v->vm.base = s.first;
        answer = s.handler(vm, v, x, s.arg);
        v->vm.base = outer;
    }
    AXVCPU_ATOMIC_STORE_RELEASE(&v->vm.device, UINT64_C(0));
    return answer;
}

/* One element of a string. When the table has changed in the middle of it, the rest goes to the same device,
   wherever it lies now; without it half of the string is done, and the caller must know. */
static enum axvm_answer axvm_i_element(struct axvm *vm, struct axvcpu *v, const struct axvm_i_hit *hit,
                                       struct axvcpu_exit *x, struct axvm_i_turn *turn)
{
    enum axvm_answer answer = axvm_i_call(vm, v, hit, x, turn);

    while (turn->gone && turn->id != 0) {
        hit = axvm_lookup(vm, v, axvm_i_class(x->kind), x->io.port, x->io.port + (uint64_t)x->io.width - 1);
        if (hit == NULL) {
            turn->gone = false;
            return AXVM_ERROR;
        }
        answer = axvm_i_call(vm, v, hit, x, turn);
    }
    return answer;
}

/* A string access, one element at a time; the caller's record is left as it was. */
static enum axvm_answer axvm_i_elements(struct axvm *vm, struct axvcpu *v, const struct axvm_i_hit *hit,
                                        struct axvcpu_exit *x, struct axvm_i_turn *turn)
{
    struct axvcpu_exit one = *x;
    uint8_t *at = (uint8_t *)x->io.buf;
    enum axvm_answer answer = AXVM_DONE;
    uint32_t i;

    if (at == NULL || x->io.width > sizeof(one.io.data))
        return AXVM_ERROR;
    for (i = 0; i < x->io.count && answer == AXVM_DONE && !turn->gone; i++, at += x->io.width) {
        one.io.count = 1;
        one.io.buf = at;
        one.io.data = 0;
        if (x->kind == AXVCPU_EXIT_IO_WRITE)
            AXVCPU_MEMCPY(&one.io.data, at, x->io.width);
        answer = axvm_i_element(vm, v, hit, &one, turn);
        if (x->kind == AXVCPU_EXIT_IO_READ && answer == AXVM_DONE && !turn->gone)
            AXVCPU_MEMCPY(at, &one.io.data, x->io.width);
    }
    return answer;
}

static void axvm_i_bounds(const struct axvcpu_exit *x, uint64_t *first, uint64_t *last)
{
    uint64_t width = 1;

    switch (axvm_i_class(x->kind)) {
    case 0:
        *first = x->kind == AXVCPU_EXIT_NESTED_PAGE_FAULT ? x->fault.addr : x->mmio.addr;
        width = x->kind == AXVCPU_EXIT_NESTED_PAGE_FAULT ? 1 : x->mmio.width;
        break;
    case 1:
        *first = x->io.port;
        width = x->io.width;
        break;
    default:
        *first = x->sysreg.addr;
        break;
    }
    *last = *first + (width != 0 ? width - 1 : 0);
}

static enum axvm_answer axvm_i_default_answer(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x)
{
    const struct axvm_i_default *d = &vm->defaults[x->kind];
    axvm_handler fn;
    uint64_t version;
    void *arg;

    do { /* as with the table of ranges: a copy counts if the version has not moved meanwhile */
        version = AXVCPU_ATOMIC_LOAD_ACQUIRE(&d->version);
        fn = AXVCPU_ATOMIC_LOAD_ACQUIRE(&d->slot[version & 1u].fn);
        arg = AXVCPU_ATOMIC_LOAD_ACQUIRE(&d->slot[version & 1u].arg);
    } while (AXVCPU_ATOMIC_LOAD_ACQUIRE(&d->version) != version);
    return fn != NULL ? fn(vm, v, x, arg) : axvm_leaf_answer(vm, v, x);
}

/* Who answers: the device at the address, else the default for the kind, else the backend. */
static enum axvm_answer axvm_i_ask(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x)
{
    uint32_t class_ = axvm_i_class(x->kind);
    uint64_t first = 0, last = 0;

    if (class_ == AXVM_I_CLASSES)
        return axvm_i_default_answer(vm, v, x);
    axvm_i_bounds(x, &first, &last);
    for (;;) {
        const struct axvm_i_hit *hit = last < first ? NULL : axvm_lookup(vm, v, class_, first, last);
        struct axvm_i_turn turn = { 0, false };
        enum axvm_answer answer;

        if (hit == NULL)
            return axvm_i_default_answer(vm, v, x);
        answer = class_ == 1 && x->io.count > 1 && (AXVCPU_ATOMIC_LOAD_ACQUIRE(&hit->slot->id) & 1u) == 0 ?
                     axvm_i_elements(vm, v, hit, x, &turn) :
                     axvm_i_call(vm, v, hit, x, &turn);
        if (!turn.gone)
            return answer;
    }
}

/* Carry out what the handler said, unless it has answered the access itself. */
static int axvm_i_carry_out(struct axvcpu *v, const struct axvcpu_exit *x, enum axvm_answer answer)
{
    uint32_t regs[4];
    bool asked = (AXVCPU_ATOMIC_LOAD_RELAXED(&v->word) & AXVCPU_I_ASKED) != 0;

    if (answer == AXVM_RETRY)
        return axvcpu_i_answerable(v) ? axvcpu_retry(v) : AXVCPU_OK;
    if (answer != AXVM_DONE || !asked)
        return AXVCPU_OK;
    switch (x->kind) {
    case AXVCPU_EXIT_CPUID:
        regs[0] = x->cpuid.eax, regs[1] = x->cpuid.ebx, regs[2] = x->cpuid.ecx, regs[3] = x->cpuid.edx;
        return axvcpu_complete_cpuid(v, regs);
    case AXVCPU_EXIT_MMIO_READ:
        return axvcpu_complete(v, x->mmio.data);
    case AXVCPU_EXIT_IO_READ:
        return axvcpu_complete(v, x->io.data);
    default:
        return axvcpu_complete(v, x->sysreg.value);
    }
}

/* From now on the record is v's question; whoever asked with it before has been answered, or never will be. */
static void axvm_i_asks(struct axvm *vm, struct axvcpu *v, const struct axvcpu_exit *x)
{
    uint32_t i;

    for (i = 0; i < vm->vcpu_count; i++) {
        const struct axvcpu_exit *mine = x;

        (void)AXVCPU_ATOMIC_CAS(&axvm_i_at(vm, i)->vm.asked, &mine, NULL);
    }
    AXVCPU_ATOMIC_STORE_RELEASE(&v->vm.asked, x);
}

/* Serve one exit. OK with AXVCPU_EXIT_HANDLED: go on; without: the caller's. */
static int axvm_i_serve(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x)
{
    enum axvm_answer answer;
    int err;

    if (x->kind >= AXVCPU_EXIT_COUNT)
        return AXVCPU_OK;
    if (x->kind == AXVCPU_EXIT_CPU_UP)
        axvm_i_asks(vm, v, x);
    answer = axvm_i_ask(vm, v, x);
    if (answer == AXVM_RETURN)
        return AXVCPU_OK;
    if (answer != AXVM_DONE && answer != AXVM_RETRY) /* AXVM_ERROR, or no answer at all */
        return AXVCPU_EIO;
    err = axvm_i_carry_out(v, x, answer);
    if (err == 0)
        x->flags |= AXVCPU_EXIT_HANDLED;
    return err;
}

/* >>vm run */

/* May a vCPU of this VM run now? If not, the exit that says why. */
static bool axvm_i_may_run(const struct axvm *vm, struct axvcpu_exit *x)
{
    enum axvm_status status = axvm_get_status(vm);

    if (AXVCPU_I_LIKELY(status == AXVM_STATUS_RUNNING) || status == AXVM_STATUS_LOADED)
        return true;
    if (status == AXVM_STATUS_SUSPENDED) {
        axvcpu_i_exit(x, AXVCPU_EXIT_CANCELED);
        x->flags = AXVCPU_EXIT_PAUSED;
    } else {
        axvcpu_i_exit(x, AXVCPU_EXIT_SYSTEM_DOWN);
        x->system.reason = AXVCPU_SYSTEM_OFF;
    }
    return false;
}

/* A vCPU is about to run for the first time: Loaded becomes Running. false: the status has moved. */
static bool axvm_i_is_running(struct axvm *vm)
{
    uint32_t word = AXVCPU_ATOMIC_LOAD(&vm->status);

    while ((word & AXVM_I_STATUS) == AXVM_STATUS_LOADED) {
        if (AXVCPU_ATOMIC_CAS(&vm->status, &word, word + (AXVM_STATUS_RUNNING - AXVM_STATUS_LOADED)))
            return true;
    }
    return (word & AXVM_I_STATUS) == AXVM_STATUS_RUNNING;
}

/* Is it up? Asked by the owner (barrier UP_RECHECK): until it was his, it may have gone down and be about
   to start anew. What was left to him is done here. */
static int axvm_i_enter(struct axvcpu *v)
{
    uint32_t up = AXVCPU_ATOMIC_LOAD_ACQUIRE(&v->vm.up);
    int err;

    if (axvcpu_get_state(v) == AXVCPU_STATE_BLOCKED)
        return AXVCPU_EAGAIN;
    if (up != AXVM_I_HANDED)
        return up == AXVM_I_UP ? AXVCPU_OK : AXVCPU_EAGAIN;
    err = axvcpu_i_restart(v, axvcpu_gpa(v->vm.entry), v->vm.arg, false);
    AXVCPU_ATOMIC_STORE_RELEASE(&v->vm.up, err == 0 ? AXVM_I_UP : AXVM_I_DOWN);
    return err;
}

/* Run it, unless the VM is stopped: then *stopped, and *x says why. What a handler has answered is committed
   before: so the run is not left out but stopped, as it would be by a flag that comes a little later. Should
   the VM be resumed meanwhile, either is nothing (the stop flag, too). */
static int axvm_i_run(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, bool *stopped)
{
    int err;

    do {
        *stopped = !axvm_i_may_run(vm, x);
        if (*stopped && (axvcpu_i_word(v) & (AXVCPU_I_ASKED | AXVCPU_I_DUE)) != AXVCPU_I_DUE)
            return AXVCPU_OK;
        err = axvm_i_enter(v);
        if (err != 0)
            return err;
        if (*stopped || !axvm_i_is_running(vm))
            (void)AXVCPU_ATOMIC_FETCH_OR(&v->attn, AXVCPU_ATTN_STOP);
        err = axvcpu_run(v, x);
        if (err != 0)
            return err;
    } while (x->kind == AXVCPU_EXIT_CANCELED && (x->flags & AXVCPU_EXIT_PAUSED) != 0);
    *stopped = false;
    return AXVCPU_OK;
}

/* One run, and what the VM makes of the exit. *again: nothing for the caller in it. */
static int axvm_i_once(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x, bool *again)
{
    bool stopped;
    int err;

    *again = false;
    axvcpu_i_exit(x, AXVCPU_EXIT_NOTHING);
    AXVCPU_ATOMIC_STORE_RELAXED(&v->vm.asked, NULL);
    err = axvm_i_run(vm, v, x, &stopped);
    if (err != 0 || stopped)
        return err;
#if !AXVCPU_I_HOSTED
    if (x->kind == AXVCPU_EXIT_EXTERNAL_INTERRUPT && x->irq.vector != AXVCPU_NO_VECTOR) {
        AXVCPU_IRQ_HANDLER(x->irq.vector);
        x->flags |= AXVCPU_EXIT_HANDLED;
        *again = true;
        return AXVCPU_OK;
    }
#endif
    err = axvm_i_serve(vm, v, x);
    *again = err == 0 && (x->flags & AXVCPU_EXIT_HANDLED) != 0;
    return err;
}

/* A handler has blocked the vCPU: sleep until it is woken; false: there is nothing to sleep with. */
static bool axvm_i_park(struct axvcpu *v)
{
    while (axvcpu_get_state(v) == AXVCPU_STATE_BLOCKED) {
#ifdef AXVCPU_PARK
        AXVCPU_PARK(v);
#else
        (void)axvcpu_unblock(v);
        return false;
#endif
    }
    return true;
}

static int axvm_i_loop(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x)
{
    bool again;
    int err;

    do {
        err = axvm_i_once(vm, v, x, &again);
        if (axvcpu_get_state(v) == AXVCPU_STATE_BLOCKED)
            again = axvm_i_park(v) && again;
    } while (again);
    return err;
}

/* The vCPU by id, if it may be run at all. */
static int axvm_i_runnable(struct axvm *vm, const char *call, uint32_t id, struct axvcpu_exit *x, struct axvcpu **v)
{
    AXVM_I_CHECK(vm, call);
    *v = axvm_vcpu(vm, id);
    if (x == NULL || *v == NULL)
        return axvm_i_complain(vm, call, AXVCPU_EINVAL, "no such vCPU, or NULL exit");
    axvcpu_i_exit(x, AXVCPU_EXIT_NOTHING);
    if (axvm_get_status(vm) == AXVM_STATUS_LOADING)
        return axvm_i_complain(vm, call, AXVCPU_EBADSTATE, "it has not been booted");
    return AXVCPU_OK;
}

/* A vCPU that said CPU_DOWN is down; barrier DOWN_OWNED: said while we have it; once we are gone anybody may
   run it. */
static void axvm_i_after(struct axvcpu *v, const struct axvcpu_exit *x, int err)
{
    if (err == 0 && x->kind == AXVCPU_EXIT_CPU_DOWN && (x->flags & AXVCPU_EXIT_HANDLED) == 0)
        AXVCPU_ATOMIC_STORE_RELEASE(&v->vm.up, AXVM_I_DOWN);
}

static int axvm_i_visit(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x)
{
    int left, err;

    if (!axvm_i_may_run(vm, x))
        return AXVCPU_OK;
    if (AXVCPU_ATOMIC_LOAD_ACQUIRE(&v->vm.up) < AXVM_I_UP || axvcpu_get_state(v) == AXVCPU_STATE_BLOCKED)
        return AXVCPU_EAGAIN;
    if (AXVCPU_CURRENT_GET() == NULL && AXVCPU_ATOMIC_LOAD(&v->owner) == AXVCPU_CPU_TOKEN())
        return AXVCPU_EAGAIN; /* bound by this very CPU, which may be inside a handler of it */
    err = axvcpu_bind(v);
    if (err != 0)
        return err == AXVCPU_EBUSY ? AXVCPU_EAGAIN : err;
    err = axvm_i_loop(vm, v, x);
    axvm_i_after(v, x, err);
    left = axvcpu_get_state(v) == AXVCPU_STATE_READY ? axvcpu_unbind(v) : AXVCPU_OK; /* Invalid has left */
    return err != 0 ? err : left;
}

AXVCPU_API int axvm_run_vcpu(struct axvm *vm, uint32_t id, struct axvcpu_exit *x)
{
    struct axvcpu *v = NULL;
    int err = axvm_i_runnable(vm, "axvm_run_vcpu", id, x, &v);

    if (err != 0)
        return err;
    (void)AXVCPU_ATOMIC_FETCH_ADD(&vm->status, AXVM_I_INSIDE); /* barrier INSIDE, before the status is looked at */
    err = axvm_i_visit(vm, v, x);
    axvm_i_leave(vm);
    return err;
}

AXVCPU_API int axvm_step(struct axvm *vm, uint32_t id, struct axvcpu_exit *x)
{
    struct axvcpu *v = NULL;
    bool again;
    int err = axvm_i_runnable(vm, "axvm_step", id, x, &v);

    if (err != 0)
        return err;
    (void)AXVCPU_ATOMIC_FETCH_ADD(&vm->status, AXVM_I_INSIDE);
    err = axvm_i_once(vm, v, x, &again);
    axvm_i_after(v, x, err);
    axvm_i_leave(vm);
    return err;
}

/* >>vm smp */

/* The guest that asked finds the answer in its return register: the vCPU whose last CPU_UP exit is this
   very record. */
static void axvm_i_tell_asker(struct axvm *vm, const struct axvcpu_exit *x, uint64_t answer)
{
    uint32_t i;

    if (!AXVM_LEAF_UP_ANSWERS)
        return;
    for (i = 0; i < vm->vcpu_count; i++) {
        struct axvcpu *v = axvm_i_at(vm, i);

        if (AXVCPU_ATOMIC_LOAD_ACQUIRE(&v->vm.asked) == x) {
            AXVCPU_ATOMIC_STORE_RELEASE(&v->vm.asked, NULL);
            (void)axvcpu_set_return_value(v, answer);
            return;
        }
    }
}

static struct axvcpu *axvm_i_target(struct axvm *vm, uint64_t target)
{
    uint32_t i;

    for (i = 0; i < vm->vcpu_count; i++) {
        if (axvm_leaf_is_target(axvm_i_at(vm, i), target))
            return axvm_i_at(vm, i);
    }
    return NULL;
}

/* The claim is one compare-and-swap (barrier CPU_UP_CAS), so of two callers one wins; no lock of the caller's
   is involved. Claimed is not up (barrier CPU_UP_CLAIMED): the registers come first. Who has the vCPU bound
   does that himself (barrier UP_HANDED): to wait for him may be for ever. Interrupts are forgotten at once
   (barrier UP_FORGETS), those that come after this call are for the vCPU that it started. */
static int axvm_i_start(struct axvcpu *v, axvcpu_gpa_t entry, uint64_t arg)
{
    uint32_t down = AXVM_I_DOWN;
    int err;

    if (!AXVCPU_ATOMIC_CAS(&v->vm.up, &down, AXVM_I_CLAIMED))
        return AXVCPU_EBUSY;
    AXVCPU_TRACE(v, AXVCPU_TRACE_CPU_UP_CLAIMED, 0, 0);
    err = axvcpu_restart(v, entry, arg);
    if (err == AXVCPU_EBUSY) {
        axvcpu_i_forget_interrupts(v);
        v->vm.entry = entry.addr;
        v->vm.arg = arg;
        AXVCPU_ATOMIC_STORE_RELEASE(&v->vm.up, AXVM_I_HANDED); /* barrier UP_HANDED_RELEASE: with entry and arg */
        err = AXVCPU_OK;
    } else {
        AXVCPU_ATOMIC_STORE_RELEASE(&v->vm.up, err == 0 ? AXVM_I_UP : AXVM_I_DOWN);
    }
    AXVCPU_TRACE(v, AXVCPU_TRACE_CPU_UP_DONE, 0, 0);
    return err;
}

AXVCPU_API int axvm_cpu_up(struct axvm *vm, struct axvcpu_exit *x)
{
    struct axvcpu *v;
    int err;

    AXVM_I_CHECK(vm, "axvm_cpu_up");
    if (x == NULL || x->kind != AXVCPU_EXIT_CPU_UP)
        return axvm_i_complain(vm, "axvm_cpu_up", AXVCPU_EINVAL, "not a CPU_UP exit");
    if (axvm_get_status(vm) == AXVM_STATUS_LOADING)
        return axvm_i_complain(vm, "axvm_cpu_up", AXVCPU_EBADSTATE, "it has not been booted");
    v = axvm_i_target(vm, x->cpu_up.target);
    err = v == NULL ? AXVCPU_EINVAL : axvm_i_start(v, axvcpu_gpa(x->cpu_up.entry), x->cpu_up.arg);
    axvm_i_tell_asker(vm, x, err == 0               ? AXVM_LEAF_UP_OK :
                             err == AXVCPU_EBUSY    ? AXVM_LEAF_UP_ALREADY :
                                                      AXVM_LEAF_UP_INVALID);
    return err;
}

AXVCPU_API int axvm_inject(struct axvm *vm, uint64_t vcpu_mask, uint32_t vector)
{
    uint32_t i;
    int err = AXVCPU_OK;

    AXVM_I_CHECK(vm, "axvm_inject");
    if (vm->vcpu_count < 64 && vcpu_mask >> vm->vcpu_count != 0)
        return axvm_i_complain(vm, "axvm_inject", AXVCPU_EINVAL, "the mask names a vCPU that is not there");
    for (i = 0; i < 64 && i < vm->vcpu_count && err == 0; i++) {
        if ((vcpu_mask >> i & 1u) != 0)
            err = axvcpu_inject_interrupt(axvm_i_at(vm, i), vector);
    }
    return err;
}

AXVCPU_API int axvm_irq_line(struct axvm *vm, uint32_t line, bool level)
{
    AXVM_I_CHECK(vm, "axvm_irq_line");
    return axvm_leaf_irq_line(vm, line, level);
}

/* >>vm memory */

AXVCPU_API axvcpu_hpa_t axvm_root(const struct axvm *vm)
{
    return axvm_leaf_root(vm);
}

AXVCPU_API uint32_t axvm_vmid(const struct axvm *vm)
{
    return axvm_leaf_vmid(vm);
}

/* The mapping that has addr, or NULL. Under the lock. */
static struct axvm_mapping *axvm_i_mapping(struct axvm *vm, uint64_t addr)
{
    uint32_t i;

    for (i = 0; i < AXVM_MAX_MAPS; i++) {
        if (addr - vm->maps[i].gpa.addr < vm->maps[i].size)
            return &vm->maps[i];
    }
    return NULL;
}

static const char *axvm_i_refuse_map(struct axvm *vm, const struct axvm_mapping *m)
{
    uint64_t last = m->gpa.addr + (m->size - 1);
    uint32_t i;

    if (m->size == 0 || last < m->gpa.addr)
        return "empty or wrapping";
    if (AXVCPU_I_HOSTED && m->backing.ptr == NULL)
        return "memory of a hosted backend is a pointer: axvcpu_from_ptr";
    if (((m->gpa.addr | m->size | m->backing.hpa.addr | (uint64_t)(uintptr_t)m->backing.ptr) &
         (AXVM_LEAF_PAGE - 1)) != 0)
        return "address, size and backing must be whole pages";
    if ((m->flags & ~(AXVM_MAP_RWX | AXVM_MAP_DEVICE | AXVM_MAP_LOG_DIRTY)) != 0 || (m->flags & AXVM_MAP_READ) == 0)
        return "unknown flags, or not readable";
    for (i = 0; i < AXVM_MAX_MAPS; i++) {
        if (vm->maps[i].size != 0 && m->gpa.addr <= vm->maps[i].gpa.addr + (vm->maps[i].size - 1) &&
            vm->maps[i].gpa.addr <= last) /* either may end at 2^64 */
            return "it overlaps a mapping";
    }
    return NULL;
}

AXVCPU_API int axvm_map(struct axvm *vm, axvcpu_gpa_t gpa, axvcpu_backing_t backing, uint64_t size, uint32_t flags)
{
    struct axvm_mapping m = { gpa, size, backing, flags };
    const char *why;
    uint32_t i;
    int err = AXVCPU_EINVAL;

    AXVM_I_CHECK(vm, "axvm_map");
    axvm_i_lock(vm);
    why = axvm_i_refuse_map(vm, &m);
    if (why == NULL) {
        for (i = 0; i < AXVM_MAX_MAPS && vm->maps[i].size != 0; i++)
            ;
        err = i == AXVM_MAX_MAPS ? AXVCPU_ENOMEM : axvm_leaf_map(vm, i, &m);
        if (err == 0)
            vm->maps[i] = m;
    }
    axvm_i_unlock(vm);
    return err == 0 ? err : axvm_i_complain(vm, "axvm_map", err, why);
}

AXVCPU_API int axvm_unmap(struct axvm *vm, axvcpu_gpa_t gpa, uint64_t size)
{
    struct axvm_mapping *m;
    int err = AXVCPU_EINVAL;

    AXVM_I_CHECK(vm, "axvm_unmap");
    axvm_i_lock(vm);
    m = axvm_i_mapping(vm, gpa.addr);
    if (m != NULL && m->gpa.addr == gpa.addr && m->size == size) {
        err = axvm_leaf_unmap(vm, (uint32_t)(m - vm->maps), m);
        if (err == 0)
            AXVCPU_MEMSET(m, 0, sizeof(*m));
    }
    axvm_i_unlock(vm);
    return err == 0 ? err : axvm_i_complain(vm, "axvm_unmap", err, err == AXVCPU_EINVAL ? "no such mapping" : NULL);
}

/* What is behind gpa, and how far it goes on; size 0: nothing. */
static struct axvm_mapping axvm_i_behind(struct axvm *vm, uint64_t gpa)
{
    struct axvm_mapping found = { AXVCPU_GPA_INIT(0), 0, { NULL, AXVCPU_HPA_INIT(0) }, 0 };
    const struct axvm_mapping *m;
    uint64_t skip;

    axvm_i_lock(vm);
    m = axvm_i_mapping(vm, gpa);
    if (m != NULL) {
        found = *m;
        skip = gpa - m->gpa.addr;
        found.gpa.addr += skip;
        found.size -= skip;
        found.backing.hpa.addr += skip;
        found.backing.ptr = m->backing.ptr != NULL ? (char *)m->backing.ptr + skip : NULL;
    }
    axvm_i_unlock(vm);
    return found;
}

static void *axvm_i_address(const struct axvm_mapping *m)
{
#if AXVCPU_I_HOSTED
    return m->backing.ptr;
#else
    return m->backing.ptr != NULL ? m->backing.ptr : AXVCPU_PHYS_TO_VIRT(m->backing.hpa);
#endif
}

AXVCPU_API int axvm_translate(struct axvm *vm, axvcpu_gpa_t gpa, axvcpu_backing_t *backing)
{
    struct axvm_mapping m;

    AXVM_I_CHECK(vm, "axvm_translate");
    if (backing == NULL)
        return axvm_i_complain(vm, "axvm_translate", AXVCPU_EINVAL, "NULL");
    m = axvm_i_behind(vm, gpa.addr);
    *backing = m.backing;
    return m.size != 0 ? AXVCPU_OK : AXVCPU_EFAULT;
}

AXVCPU_API void *axvm_ptr(struct axvm *vm, axvcpu_gpa_t gpa, uint64_t len)
{
    struct axvm_mapping m;

    if (!axvm_i_is_vm(vm))
        return NULL;
    m = axvm_i_behind(vm, gpa.addr);
    return len <= m.size && m.size != 0 ? axvm_i_address(&m) : NULL;
}

/* AXVM_MAP_LOG_DIRTY, what the tables of all architectures have in common: what may be asked for with so many bits
   of guest-physical addresses. */
AXVCPU_I_INLINE bool axvm_i_log_asks(const struct axvm *vm, uint64_t gpa, uint64_t size, const uint64_t *bitmap,
                                     uint32_t bits)
{
    return vm != NULL && bitmap != NULL && ((gpa | size) & (AXVM_LEAF_PAGE - 1)) == 0 && gpa >> bits == 0 &&
           size <= (UINT64_C(1) << bits) - gpa;
}

/* The page at gpa, of those from `first` on, goes into the bitmap. True: its leaf is clean from here on. A large one
   that counts as written goes on doing so until it is asked for as a whole: its other pages are not known yet. */
AXVCPU_I_INLINE bool axvm_i_log_page(uint64_t *bitmap, uint64_t first, uint64_t gpa, uint64_t leaf, bool written)
{
    uint64_t n = (gpa - first) / AXVM_LEAF_PAGE, bit = UINT64_C(1) << n % 64, rest = leaf - AXVM_LEAF_PAGE;

    bitmap[n / 64] = (bitmap[n / 64] & ~bit) | (written ? bit : 0);
    return written && (gpa & rest) == rest && gpa - rest >= first;
}

/* Copy between guest memory and ours, mapping by mapping. All of it must be there, else nothing moves. */
static int axvm_i_copy(struct axvm *vm, const char *call, uint64_t gpa, uint8_t *to, const uint8_t *from, uint64_t len,
                       bool move)
{
    while (len != 0) {
        struct axvm_mapping m = axvm_i_behind(vm, gpa);
        uint64_t n = m.size < len ? m.size : len;
        void *at = n == 0 ? NULL : axvm_i_address(&m);

        if (at == NULL || (from != NULL && (m.flags & AXVM_MAP_WRITE) == 0))
            return axvm_i_complain(vm, call, AXVCPU_EFAULT, NULL);
        if (move && from != NULL) {
            AXVCPU_MEMCPY(at, from, n);
            from += n;
        } else if (move && to != NULL) {
            AXVCPU_MEMCPY(to, at, n);
            to += n;
        }
        gpa += n;
        len -= n;
    }
    return AXVCPU_OK;
}

static int axvm_i_access(struct axvm *vm, const char *call, uint64_t gpa, uint8_t *to, const uint8_t *from,
                         uint64_t len)
{
    int err;

    AXVM_I_CHECK(vm, call);
    if ((to == NULL && from == NULL) || (len != 0 && gpa + (len - 1) < gpa)) /* it may end at 2^64 */
        return axvm_i_complain(vm, call, AXVCPU_EINVAL, "NULL, or it wraps");
    err = axvm_i_copy(vm, call, gpa, to, from, len, false);
    return err != 0 ? err : axvm_i_copy(vm, call, gpa, to, from, len, true);
}

AXVCPU_API int axvm_read(struct axvm *vm, axvcpu_gpa_t gpa, void *to, uint64_t len)
{
    return axvm_i_access(vm, "axvm_read", gpa.addr, (uint8_t *)to, NULL, len);
}

AXVCPU_API int axvm_write(struct axvm *vm, axvcpu_gpa_t gpa, const void *from, uint64_t len)
{
    return axvm_i_access(vm, "axvm_write", gpa.addr, NULL, (const uint8_t *)from, len);
}

AXVCPU_I_C_END

#ifdef AXVCPU_KVM
/* >>kvm */

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

AXVCPU_I_C_BEGIN

/* What the architecture adds, in its own >>kvm. */

/* The VM has its descriptors: what must come before its vCPUs. fini undoes it, also half of it. */
static int axvcpu_i_kvm_init_vm(struct axvm_arch *, const struct axvm_arch_desc *);
static void axvcpu_i_kvm_fini_vm(struct axvm_arch *);
/* KVM_CREATE_VM's argument, and the caller's own VM or 0. */
static unsigned long axvcpu_i_kvm_machine(const struct axvm_arch_desc *, int *adopt);
/* A vCPU without axvm: the place for its VM, and how that is wanted. */
static struct axvm_arch *axvcpu_i_kvm_alone(struct axvcpu *, const struct axvcpu_arch_create *,
                                            struct axvm_arch_desc *);
/* The vCPU has its descriptor and run page. fini undoes it, also half of it. */
static int axvcpu_i_kvm_init_vcpu(struct axvcpu *, const struct axvcpu_arch_create *);
static void axvcpu_i_kvm_fini_vcpu(struct axvcpu *);
/* KVM_RUN has returned 0: fill in the exit. Of two, the first does only what happens all the time, and says
   whether it was that. The second does the rest; NOTHING enters again. What is in no way special goes on to
   axvcpu_i_kvm_mmio and axvcpu_i_kvm_other. `running` is for axvcpu_i_kvm_await. */
AXVCPU_I_INLINE bool axvcpu_i_kvm_usual(struct axvcpu *, struct kvm_run *, struct axvcpu_exit *, bool running);
static int axvcpu_i_kvm_exit(struct axvcpu *, struct kvm_run *, struct axvcpu_exit *);
#ifdef AXVCPU_I_KVM_OWN_FAILURE
/* KVM_RUN has failed, with any code: is it an exit? Then fill it in. */
static bool axvcpu_i_kvm_failure(struct axvcpu *, long code, struct axvcpu_exit *);
#endif

/* >>kvm errors */

#ifdef __GLIBC__
typedef unsigned long axvcpu_i_kvm_request;
#else
typedef int axvcpu_i_kvm_request; /* as POSIX has it */
#endif

/* Any ioctl but KVM_RUN. */
static int axvcpu_i_kvm_ioctl(int fd, unsigned long request, void *arg)
{
    int r;

    do {
        r = ioctl(fd, (axvcpu_i_kvm_request)request, arg);
    } while (r < 0 && errno == EINTR);
    return r;
}

static int axvcpu_i_kvm_error(int code)
{
    switch (code) {
    case ENOMEM: return AXVCPU_ENOMEM;
    case ENOENT:
    case ENODEV:
    case ENXIO:
    case ENOTTY: return AXVCPU_ENOSUPPORT;
    default: return AXVCPU_EIO;
    }
}

/* "KVM_CREATE_VCPU: File exists (errno 17); what to do". remedy may be NULL. */
AXVCPU_I_COLD static int axvcpu_i_kvm_refused(const char *call, const char *remedy)
{
    int code = errno;
    char line[320];
    struct axvcpu_i_text t = { line, sizeof(line), 0 };

    if (code == EMFILE || code == ENFILE)
        remedy = "a VM takes two descriptors and each vCPU one: raise the limit (ulimit -n, fs.file-max)";
    axvcpu_i_put(&t, call);
    axvcpu_i_put(&t, ": ");
    axvcpu_i_put(&t, strerror(code));
    axvcpu_i_put(&t, " (errno ");
    axvcpu_i_put_number(&t, (uint64_t)(uint32_t)code, 10);
    axvcpu_i_put(&t, remedy != NULL ? "); " : ")");
    axvcpu_i_put(&t, remedy != NULL ? remedy : "");
    AXVCPU_LOG(AXVCPU_LOG_ERROR, line);
    return axvcpu_i_kvm_error(code);
}

#define AXVCPU_I_KVM(fd, request, arg, remedy) \
    (axvcpu_i_kvm_ioctl(fd, request, arg) >= 0 ? AXVCPU_OK : axvcpu_i_kvm_refused(#request, remedy))

static int axvcpu_i_kvm_has(int fd, unsigned long capability)
{
    return axvcpu_i_kvm_ioctl(fd, KVM_CHECK_EXTENSION, (void *)(uintptr_t)capability);
}

AXVCPU_I_UNUSED static int axvcpu_i_kvm_enable(int fd, uint32_t capability, uint64_t arg, const char *call,
                                               const char *remedy)
{
    struct kvm_enable_cap cap;

    AXVCPU_MEMSET(&cap, 0, sizeof(cap));
    cap.cap = capability;
    cap.args[0] = arg;
    return axvcpu_i_kvm_ioctl(fd, KVM_ENABLE_CAP, &cap) >= 0 ? AXVCPU_OK : axvcpu_i_kvm_refused(call, remedy);
}

#define AXVCPU_I_KVM_ENABLE(fd, capability, arg, remedy) \
    axvcpu_i_kvm_enable(fd, capability, arg, "KVM_ENABLE_CAP of " #capability, remedy)

/* >>kvm descriptors */

#ifndef AXVCPU_I_KVM_NO_DEVICE
#define AXVCPU_I_KVM_NO_DEVICE \
    "no KVM: load kvm_intel or kvm_amd, and turn virtualization on in the firmware or this VM's host"
#endif

static const char *axvcpu_i_kvm_device_remedy(int code)
{
    switch (code) {
    case ENOENT:
    case ENODEV:
    case ENXIO: return AXVCPU_I_KVM_NO_DEVICE;
    case EACCES:
    case EPERM: return "no permission: join the group that owns /dev/kvm (usermod -aG kvm USER) and log in again";
    default: return NULL;
    }
}

/* /dev/kvm, its version and the capabilities that nothing here works without. */
static int axvcpu_i_kvm_open(int *sys)
{
    static const struct { uint32_t capability; const char *text; } needed[] = {
        { KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY is missing; use a newer kernel" },
        { KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT is missing; use Linux 4.11 or newer" },
    };
    size_t i;
    int err = AXVCPU_OK;

    *sys = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (*sys < 0)
        return axvcpu_i_kvm_refused("open(/dev/kvm)", axvcpu_i_kvm_device_remedy(errno));
    if (axvcpu_i_kvm_ioctl(*sys, KVM_GET_API_VERSION, NULL) != KVM_API_VERSION)
        err = axvcpu_i_say(AXVCPU_ENOSUPPORT, "KVM_GET_API_VERSION: not 12; /dev/kvm is not KVM as we know it");
    for (i = 0; err == 0 && i < sizeof(needed) / sizeof(needed[0]); i++) {
        if (axvcpu_i_kvm_has(*sys, needed[i].capability) <= 0)
            err = axvcpu_i_say(AXVCPU_ENOSUPPORT, needed[i].text);
    }
    if (err != 0)
        (void)close(*sys);
    return err;
}

static void axvcpu_i_kvm_close_vm(struct axvm_arch *vm)
{
    axvcpu_i_kvm_fini_vm(vm);
    if (!vm->kvm.adopted)
        (void)close(vm->kvm.fd);
    (void)close(vm->kvm.sys);
}

static int axvcpu_i_kvm_open_vm(struct axvm_arch *vm, const struct axvm_arch_desc *desc)
{
    struct axvcpu_kvm_vm *k = &vm->kvm;
    int adopt = 0, err = axvcpu_i_kvm_open(&k->sys);
    unsigned long machine = axvcpu_i_kvm_machine(desc, &adopt);

    if (err != 0)
        return err;
    k->adopted = adopt != 0;
    k->fd = k->adopted ? adopt : axvcpu_i_kvm_ioctl(k->sys, KVM_CREATE_VM, (void *)(uintptr_t)machine);
    if (k->fd < 0) {
        err = axvcpu_i_kvm_refused("KVM_CREATE_VM", "another hypervisor may be using the hardware");
        (void)close(k->sys);
        return err;
    }
    if (axvcpu_i_kvm_has(k->fd, KVM_CAP_USER_MEMORY) < 0)
        err = axvcpu_i_kvm_refused("KVM_CHECK_EXTENSION", "vm_fd is not the descriptor of a KVM VM");
    if (err == 0)
        err = axvcpu_i_kvm_init_vm(vm, desc);
    if (err != 0)
        axvcpu_i_kvm_close_vm(vm);
    return err;
}

static int axvcpu_i_kvm_map_run(struct axvcpu_kvm *k)
{
    int size = axvcpu_i_kvm_ioctl(k->vm->kvm.sys, KVM_GET_VCPU_MMAP_SIZE, NULL);
    void *run;

    if (size < (int)sizeof(struct kvm_run))
        return axvcpu_i_kvm_refused("KVM_GET_VCPU_MMAP_SIZE", NULL);
    run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, k->fd, 0);
    if (run == MAP_FAILED)
        return axvcpu_i_kvm_refused("mmap of a vCPU's run page", NULL);
    k->run = (struct kvm_run *)run;
    k->run_size = (uint32_t)size;
    k->answer = &k->ignored;
    return AXVCPU_OK;
}

static void axvcpu_i_kvm_close_vcpu(struct axvcpu_kvm *k)
{
    struct kvm_run *run = k->run;

    if (run != NULL) {
        *(struct kvm_run *volatile *)&k->run = NULL; /* before the kick's handler could touch it */
        (void)munmap(run, k->run_size);
    }
    (void)close(k->fd);
}

static int axvcpu_i_kvm_open_vcpu(struct axvcpu_kvm *k, uint32_t id)
{
    int err;

    k->fd = axvcpu_i_kvm_ioctl(k->vm->kvm.fd, KVM_CREATE_VCPU, (void *)(uintptr_t)id);
    if (k->fd < 0)
        return axvcpu_i_kvm_refused(
            "KVM_CREATE_VCPU", errno == EEXIST ? "a KVM vCPU lives as long as its VM: use axvcpu_reset, or a new VM" :
                               errno == EBUSY  ? "the VM's GIC is initialised: its vCPUs come before" :
                                                 "see KVM_CAP_MAX_VCPUS and KVM_CAP_MAX_VCPU_ID");
    err = axvcpu_i_kvm_map_run(k);
    if (err != 0)
        axvcpu_i_kvm_close_vcpu(k);
    return err;
}

/* >>kvm kick: a signal whose handler makes the KVM_RUN under way, or the next one, return (api.rst, section
   5: immediate_exit). One that arrives outside of run finds no current vCPU; its sender left a flag. */

/* Volatile: the kernel reads it, and the signal's handler writes it in the middle of anything. */
AXVCPU_I_INLINE void axvcpu_i_kvm_immediate_exit(struct kvm_run *run, bool wanted)
{
    *(volatile uint8_t *)&run->immediate_exit = wanted;
}

static void axvcpu_i_kvm_leave(void)
{
    struct axvcpu *v = AXVCPU_CURRENT_GET();
    struct kvm_run *run = v != NULL ? *(struct kvm_run *volatile *)&axvcpu_arch(v)->kvm.run : NULL;

    if (run != NULL)
        axvcpu_i_kvm_immediate_exit(run, true);
}

static void axvcpu_i_kvm_on_signal(int number)
{
    (void)number;
    axvcpu_i_kvm_leave();
}

static int axvcpu_i_kvm_take_signal(void)
{
    struct sigaction have, want;

    if (sigaction(AXVCPU_KVM_SIGNAL, NULL, &have) != 0)
        return axvcpu_i_kvm_refused("sigaction(AXVCPU_KVM_SIGNAL)", "define AXVCPU_KVM_SIGNAL as a signal that exists");
    if ((have.sa_flags & SA_SIGINFO) == 0 && have.sa_handler == axvcpu_i_kvm_on_signal)
        return AXVCPU_OK;
    if ((have.sa_flags & SA_SIGINFO) != 0 || have.sa_handler != SIG_DFL)
        return axvcpu_i_say(AXVCPU_EBUSY, "sigaction(AXVCPU_KVM_SIGNAL): the signal has a handler already; "
                                              "define AXVCPU_KVM_SIGNAL as one that is free");
    AXVCPU_MEMSET(&want, 0, sizeof(want));
    want.sa_handler = axvcpu_i_kvm_on_signal;
    want.sa_flags = SA_RESTART | SA_ONSTACK; /* the host's other system calls go on */
    (void)sigemptyset(&want.sa_mask);
    return sigaction(AXVCPU_KVM_SIGNAL, &want, NULL) == 0 ? AXVCPU_OK :
                                                            axvcpu_i_kvm_refused("sigaction(AXVCPU_KVM_SIGNAL)", NULL);
}

static __thread uint32_t axvcpu_i_kvm_tid;

/* The first bind of a thread: its id, and the signal let in. */
AXVCPU_I_COLD static int axvcpu_i_kvm_enter_thread(void)
{
    sigset_t set;
    int err = axvcpu_i_kvm_take_signal();

    if (err != 0)
        return err;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, AXVCPU_KVM_SIGNAL);
    if (sigprocmask(SIG_UNBLOCK, &set, NULL) != 0) /* on Linux: of this thread */
        return axvcpu_i_kvm_refused("sigprocmask(AXVCPU_KVM_SIGNAL)", NULL);
    axvcpu_i_kvm_tid = (uint32_t)syscall(SYS_gettid);
    return AXVCPU_OK;
}

/* The thread's id is out before the owner next looks at its attention word (barrier BIND_TID): a kicker
   who still sees the old one has left its flag before that. */
AXVCPU_API int axvcpu_leaf_bind(struct axvcpu *v)
{
    struct axvcpu_kvm *k = &axvcpu_arch(v)->kvm;
    int err = AXVCPU_I_LIKELY(axvcpu_i_kvm_tid != 0) ? AXVCPU_OK : axvcpu_i_kvm_enter_thread();

    if (AXVCPU_I_UNLIKELY(k->tid != axvcpu_i_kvm_tid))
        (void)AXVCPU_ATOMIC_XCHG(&k->tid, axvcpu_i_kvm_tid);
    return err;
}

AXVCPU_API void axvcpu_leaf_kick(struct axvcpu *v, void *owner)
{
    uint32_t tid = AXVCPU_ATOMIC_LOAD(&axvcpu_arch(v)->kvm.tid);
    int saved = errno;

    if (owner == AXVCPU_CPU_TOKEN())
        axvcpu_i_kvm_leave();
    else if (tid != 0)
        (void)syscall(SYS_tgkill, getpid(), (int)tid, AXVCPU_KVM_SIGNAL);
    errno = saved;
}

/* >>kvm leaves */

AXVCPU_API int axvcpu_leaf_create(struct axvcpu *v, const struct axvcpu_arch_create *create)
{
    struct axvcpu_kvm *k = &axvcpu_arch(v)->kvm;
    struct axvm_arch_desc desc;
    int err = axvcpu_i_kvm_take_signal();

    if (err != 0)
        return err;
    AXVCPU_MEMSET(&desc, 0, sizeof(desc));
    k->vm = v->vm.vm != NULL ? &v->vm.vm->arch : axvcpu_i_kvm_alone(v, create, &desc);
    if (v->vm.vm == NULL)
        err = axvcpu_i_kvm_open_vm(k->vm, &desc);
    if (err != 0)
        return err;
    err = axvcpu_i_kvm_open_vcpu(k, v->vcpu_id);
    if (err == 0) {
        err = axvcpu_i_kvm_init_vcpu(v, create);
        if (err == 0)
            return AXVCPU_OK;
        axvcpu_i_kvm_fini_vcpu(v);
        axvcpu_i_kvm_close_vcpu(k);
    }
    if (v->vm.vm == NULL)
        axvcpu_i_kvm_close_vm(k->vm);
    return err;
}

AXVCPU_API void axvcpu_leaf_destroy(struct axvcpu *v)
{
    struct axvcpu_kvm *k = &axvcpu_arch(v)->kvm;

    axvcpu_i_kvm_fini_vcpu(v);
    axvcpu_i_kvm_close_vcpu(k);
    if (v->vm.vm == NULL)
        axvcpu_i_kvm_close_vm(k->vm);
}

/* Second-stage tables are the kernel's. */
AXVCPU_API int axvcpu_leaf_set_root(struct axvcpu *v, axvcpu_hpa_t root)
{
    (void)v, (void)root;
    return AXVCPU_OK;
}

/* The kernel loads and saves. */
#define AXVCPU_I_KVM_PLAIN(name)                        \
    AXVCPU_API int axvcpu_leaf_##name(struct axvcpu *v) \
    {                                                   \
        (void)v;                                        \
        return AXVCPU_OK;                               \
    }
AXVCPU_I_KVM_PLAIN(unbind)
AXVCPU_I_KVM_PLAIN(put)
AXVCPU_I_KVM_PLAIN(load)

AXVCPU_API int axvcpu_leaf_inject_hw(struct axvcpu *v, uint32_t vintid, uint32_t pintid)
{
    (void)v, (void)vintid, (void)pintid;
    return AXVCPU_ENOSUPPORT;
}

/* >>kvm run */

/* KVM_RUN: 0, or minus the errno. An arch header may know one without libc around it, which costs as much as
   all the rest of an exit; so may you, to count them. */
#ifndef AXVCPU_KVM_ENTER
static inline long axvcpu_i_kvm_enter(int fd)
{
    return ioctl(fd, KVM_RUN, 0) == 0 ? 0 : -(long)errno;
}
#define AXVCPU_KVM_ENTER(fd) axvcpu_i_kvm_enter(fd)
#endif

/* A signal, or an application processor that has just been started (EAGAIN, once): whatever is in the run
   page is from an earlier exit. immediate_exit goes before the attention is looked at
   (barrier LEAVE_CLEAR_FIRST). */
AXVCPU_I_COLD static int axvcpu_i_kvm_interrupted(struct axvcpu *v, long code, struct axvcpu_exit *x)
{
    bool done;

#ifdef AXVCPU_I_KVM_OWN_FAILURE
    if (axvcpu_i_kvm_failure(v, code, x))
        return AXVCPU_OK;
#endif
    if (code != -EINTR && code != -EAGAIN) {
        errno = (int)-code;
        return axvcpu_i_kvm_refused("KVM_RUN", errno == EFAULT ? "the memory behind a mapping is gone" : NULL);
    }
    axvcpu_i_kvm_immediate_exit(axvcpu_arch(v)->kvm.run, false);
    return axvcpu_attend(v, x, &done);
}

/* Whatever needs a call, and then the guest again until there is an exit to show. */
__attribute__((noinline)) static int axvcpu_i_kvm_unusual(struct axvcpu *v, long code, struct axvcpu_exit *x)
{
    struct axvcpu_kvm *k = &axvcpu_arch(v)->kvm;
    int err;

    for (;;) {
        x->kind = AXVCPU_EXIT_NOTHING;
        err = code == 0 ? axvcpu_i_kvm_exit(v, k->run, x) : axvcpu_i_kvm_interrupted(v, code, x);
        if (err != 0 || x->kind != AXVCPU_EXIT_NOTHING)
            return err;
        code = AXVCPU_KVM_ENTER(k->fd);
    }
}

/* The usual path calls nothing, so that it needs no stack frame. */
AXVCPU_API int axvcpu_leaf_run(struct axvcpu *v, struct axvcpu_exit *x)
{
    struct axvcpu_kvm *k = &axvcpu_arch(v)->kvm;
    long code = AXVCPU_KVM_ENTER(k->fd);

    if (AXVCPU_I_LIKELY(code == 0) && AXVCPU_I_LIKELY(axvcpu_i_kvm_usual(v, k->run, x, true)))
        return AXVCPU_OK;
    return axvcpu_i_kvm_unusual(v, code, x);
}

/* The kernel finishes the instruction when it is entered next; immediate_exit makes it stop there, with
   EINTR (api.rst, section 5). A kick in between leaves its flag to the next run; if that is under way and past its
   look, it stops again (barrier LEAVE_CLEAR_FIRST). */
AXVCPU_I_COLD static int axvcpu_i_kvm_finish(struct axvcpu *v, struct axvcpu_exit *x)
{
    struct axvcpu_kvm *k = &axvcpu_arch(v)->kvm;
    long code;

    axvcpu_i_kvm_immediate_exit(k->run, true);
    code = AXVCPU_KVM_ENTER(k->fd);
    axvcpu_i_kvm_immediate_exit(k->run, false);
    if (axvcpu_attention(v))
        axvcpu_i_kvm_immediate_exit(k->run, true);
    if (code == 0)
        return axvcpu_i_kvm_exit(v, k->run, x);
    errno = (int)-code;
    return code == -EINTR || code == -EAGAIN ? AXVCPU_OK : axvcpu_i_kvm_refused("KVM_RUN", NULL);
}

#if AXVCPU_LEAF_RUN_COMMITS
AXVCPU_API int axvcpu_leaf_commit(struct axvcpu *v, struct axvcpu_exit *x, bool entering)
{
    return entering ? AXVCPU_OK : axvcpu_i_kvm_finish(v, x);
}
#endif

/* Let the kernel finish the instruction, reads answered with 0 and writes dropped, so that nothing of it is
   left. A string instruction may bring up to 1024 elements of a read and a write each. */
AXVCPU_I_UNUSED static int axvcpu_i_kvm_drain(struct axvcpu *v)
{
    struct axvcpu_exit x;
    uint32_t i;
    int err;

    for (i = 0; i < 4096; i++) {
        x.kind = AXVCPU_EXIT_NOTHING;
        *axvcpu_arch(v)->kvm.answer = 0;
        err = axvcpu_i_kvm_finish(v, &x);
        if (err != 0 || x.kind == AXVCPU_EXIT_NOTHING)
            return err;
    }
    return axvcpu_i_say(AXVCPU_EIO, "KVM_RUN: the guest's instruction does not end");
}

/* >>kvm registers one at a time (api.rst: KVM_GET_ONE_REG), which AArch64 and RISC-V have */

AXVCPU_I_COLD static int axvcpu_i_kvm_no_reg(const char *call, bool set)
{
    int code = errno, err = axvcpu_i_kvm_refused(call, "this vCPU has no such register (KVM_GET_REG_LIST has those "
                                                       "that it has), or not with this value");

    return code != EINVAL ? err : set ? AXVCPU_EINVAL : AXVCPU_ENOSUPPORT;
}

AXVCPU_I_UNUSED static int axvcpu_i_kvm_get_one(struct axvcpu *v, uint64_t id, uint64_t *value)
{
    struct kvm_one_reg reg;

    *value = 0; /* some are narrower */
    reg.id = id;
    reg.addr = (uint64_t)(uintptr_t)value;
    if (AXVCPU_I_LIKELY(axvcpu_i_kvm_ioctl(axvcpu_arch(v)->kvm.fd, KVM_GET_ONE_REG, &reg) >= 0))
        return AXVCPU_OK;
    return axvcpu_i_kvm_no_reg("KVM_GET_ONE_REG", false);
}

AXVCPU_I_UNUSED static int axvcpu_i_kvm_set_one(struct axvcpu *v, uint64_t id, uint64_t value)
{
    struct kvm_one_reg reg;

    reg.id = id;
    reg.addr = (uint64_t)(uintptr_t)&value;
    if (AXVCPU_I_LIKELY(axvcpu_i_kvm_ioctl(axvcpu_arch(v)->kvm.fd, KVM_SET_ONE_REG, &reg) >= 0))
        return AXVCPU_OK;
    return axvcpu_i_kvm_no_reg("KVM_SET_ONE_REG", true);
}

/* The open access is undone: the kernel finishes it, and the registers (the general ones and the PC, `count`
   of them, `step` apart in the kernel's numbers) get back what they were. */
AXVCPU_I_UNUSED static int axvcpu_i_kvm_rewind(struct axvcpu *v, uint64_t first, uint64_t step, uint32_t count)
{
    uint64_t saved[40];
    uint32_t i;
    int err = AXVCPU_OK;

    AXVCPU_ASSERT(count <= sizeof(saved) / sizeof(saved[0]));
    for (i = 0; i < count && err == 0; i++)
        err = axvcpu_i_kvm_get_one(v, first + step * i, &saved[i]);
    if (err == 0)
        err = axvcpu_i_kvm_drain(v);
    for (i = 0; i < count && err == 0; i++)
        err = axvcpu_i_kvm_set_one(v, first + step * i, saved[i]);
    return err;
}

/* >>kvm exits that every architecture has */

/* axvcpu_await, without what the kernel knows better: it extends and merges, and finds the register.
   running: this is leaf_run, so the state word has nothing else in it. */
AXVCPU_I_INLINE void axvcpu_i_kvm_await(struct axvcpu *v, struct axvcpu_exit *x, uint32_t kind, uint32_t raw,
                                        void *answer, bool running)
{
    uint64_t head = kind; /* and flags 0; one store */
    struct axvcpu_answer *a = axvcpu_access(v);
    bool read = (AXVCPU_READ_KINDS >> kind & 1u) != 0;
    uint32_t flags = AXVCPU_I_DUE | (read ? AXVCPU_I_ASKED : 0u);

    axvcpu_arch(v)->kvm.answer = read ? (uint64_t *)answer : &axvcpu_arch(v)->kvm.ignored;
    a->kind = kind;
    a->width = a->reg_width = 0;
    a->sign_extend = a->refused = false;
    if (running)
        axvcpu_i_change(v, AXVCPU_I_WORD(RUNNING), AXVCPU_I_WORD(RUNNING) | flags);
    else
        axvcpu_i_flags(v, 0, flags);
    AXVCPU_MEMCPY(x, &head, sizeof(head));
    x->raw = raw;
}

/* false: of a width that no access has. Then it is nothing that we know: RAW. */
AXVCPU_I_INLINE bool axvcpu_i_kvm_mmio(struct axvcpu *v, struct kvm_run *run, struct axvcpu_exit *x, bool running)
{
    uint64_t data;

    if (AXVCPU_I_UNLIKELY(run->mmio.len - 1 > 7))
        return false;
    x->mmio.addr = run->mmio.phys_addr;
    x->mmio.width = x->mmio.reg_width = run->mmio.len;
    x->mmio.reg = AXVCPU_REG_NONE; /* the kernel writes it, extended as the instruction wants */
    x->mmio.sign_extend = false;
    if (run->mmio.is_write) {
        AXVCPU_MEMCPY(&data, run->mmio.data, sizeof(data));
        x->mmio.data = data & (UINT64_MAX >> (64 - 8 * run->mmio.len));
        axvcpu_i_kvm_await(v, x, AXVCPU_EXIT_MMIO_WRITE, KVM_EXIT_MMIO, NULL, running);
    } else {
        axvcpu_i_kvm_await(v, x, AXVCPU_EXIT_MMIO_READ, KVM_EXIT_MMIO, run->mmio.data, running);
    }
    return true;
}

static void axvcpu_i_kvm_system_event(const struct kvm_run *run, struct axvcpu_exit *x)
{
    static const struct { uint32_t type, reason; } events[] = {
        { KVM_SYSTEM_EVENT_SHUTDOWN, AXVCPU_SYSTEM_OFF },
        { KVM_SYSTEM_EVENT_RESET, AXVCPU_SYSTEM_RESET },
        { KVM_SYSTEM_EVENT_CRASH, AXVCPU_SYSTEM_CRASH },
    };
    size_t i;

    x->kind = AXVCPU_EXIT_RAW;
    for (i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        if (run->system_event.type != events[i].type)
            continue;
        x->kind = AXVCPU_EXIT_SYSTEM_DOWN;
        x->system.reason = events[i].reason;
    }
}

AXVCPU_I_COLD static void axvcpu_i_kvm_other(const struct kvm_run *run, struct axvcpu_exit *x)
{
    switch (run->exit_reason) {
    case KVM_EXIT_SHUTDOWN:
        x->kind = AXVCPU_EXIT_SHUTDOWN;
        break;
    case KVM_EXIT_SYSTEM_EVENT:
        axvcpu_i_kvm_system_event(run, x);
        break;
    case KVM_EXIT_FAIL_ENTRY:
        x->kind = AXVCPU_EXIT_FAIL_ENTRY;
        x->fail.reason = run->fail_entry.hardware_entry_failure_reason;
        break;
    case KVM_EXIT_INTERNAL_ERROR:
        x->kind = AXVCPU_EXIT_UNDECODED;
        x->undecoded.addr = 0;
        x->undecoded.syndrome = run->internal.suberror;
        x->undecoded.insn_len = 0;
        break;
    default:
        x->kind = AXVCPU_EXIT_RAW;
        break;
    }
}

/* >>kvm per CPU: there is nothing to turn on, but this is where a host asks whether it can work */

AXVCPU_API bool axvcpu_leaf_supported(void)
{
    int sys;

    if (axvcpu_i_kvm_open(&sys) != 0)
        return false;
    (void)close(sys);
    return true;
}

AXVCPU_API int axvcpu_leaf_percpu_init(struct axvcpu_percpu *p, uint32_t cpu_id)
{
    (void)p, (void)cpu_id;
    return AXVCPU_OK;
}

AXVCPU_API void axvcpu_leaf_percpu_deinit(struct axvcpu_percpu *p)
{
    (void)p;
}

AXVCPU_API int axvcpu_leaf_percpu_enable(struct axvcpu_percpu *p)
{
    p->arch.enabled = axvcpu_leaf_supported();
    return p->arch.enabled ? AXVCPU_OK : AXVCPU_ENOSUPPORT;
}

AXVCPU_API int axvcpu_leaf_percpu_disable(struct axvcpu_percpu *p)
{
    p->arch.enabled = false;
    return AXVCPU_OK;
}

/* >>kvm VM */

AXVCPU_API int axvm_leaf_init(struct axvm *vm, const struct axvm_arch_desc *desc)
{
    return axvcpu_i_kvm_open_vm(&vm->arch, desc);
}

AXVCPU_API void axvm_leaf_deinit(struct axvm *vm)
{
    axvcpu_i_kvm_close_vm(&vm->arch);
}

static int axvcpu_i_kvm_set_slot(struct axvm *vm, uint32_t slot, const struct axvm_mapping *map, uint64_t size)
{
    struct kvm_userspace_memory_region region;

    AXVCPU_MEMSET(&region, 0, sizeof(region));
    region.slot = slot;
    region.flags = (map->flags & AXVM_MAP_WRITE) == 0 ? KVM_MEM_READONLY : 0;
    region.flags |= (map->flags & AXVM_MAP_LOG_DIRTY) != 0 ? KVM_MEM_LOG_DIRTY_PAGES : 0;
    region.guest_phys_addr = map->gpa.addr;
    region.memory_size = size;
    region.userspace_addr = (uint64_t)(uintptr_t)map->backing.ptr;
    return AXVCPU_I_KVM(vm->arch.kvm.fd, KVM_SET_USER_MEMORY_REGION, &region,
                        "the address may be beyond the guest's physical ones, or taken, or the memory not there");
}

AXVCPU_API int axvm_leaf_map(struct axvm *vm, uint32_t slot, const struct axvm_mapping *map)
{
    if (map->backing.ptr == NULL)
        return axvcpu_i_say(AXVCPU_EINVAL, "axvm_map: KVM maps memory of this process; use axvcpu_from_ptr");
    if ((map->flags & AXVM_MAP_WRITE) == 0 && axvcpu_i_kvm_has(vm->arch.kvm.fd, KVM_CAP_READONLY_MEM) <= 0)
        return axvcpu_i_say(AXVCPU_ENOSUPPORT, "axvm_map: KVM_CAP_READONLY_MEM is missing; map with AXVM_MAP_WRITE");
    return axvcpu_i_kvm_set_slot(vm, slot, map, map->size);
}

AXVCPU_API int axvm_leaf_unmap(struct axvm *vm, uint32_t slot, const struct axvm_mapping *map)
{
    return axvcpu_i_kvm_set_slot(vm, slot, map, 0);
}

AXVCPU_API axvcpu_hpa_t axvm_leaf_root(const struct axvm *vm)
{
    (void)vm;
    return axvcpu_hpa(0);
}

AXVCPU_API uint32_t axvm_leaf_vmid(const struct axvm *vm)
{
    (void)vm;
    return 0;
}

#ifndef AXVCPU_I_KVM_OWN_IRQ_LINE
AXVCPU_API int axvm_leaf_irq_line(struct axvm *vm, uint32_t line, bool level)
{
    struct kvm_irq_level irq;

    if (!vm->arch.kvm.irqchip)
        return axvcpu_i_say(AXVCPU_ENOSUPPORT, "axvm_irq_line: this VM's interrupt controller is not in the kernel");
    AXVCPU_MEMSET(&irq, 0, sizeof(irq));
    irq.irq = line;
    irq.level = level;
    return AXVCPU_I_KVM(vm->arch.kvm.fd, KVM_IRQ_LINE, &irq, "lines need the full controller, not the split one");
}
#endif

/* >>kvm descriptors for the user */

AXVCPU_API int axvm_kvm_fd(const struct axvm *vm)
{
    return vm != NULL && vm->word != 0 ? vm->arch.kvm.fd : -1;
}

AXVCPU_API int axvcpu_kvm_fd(const struct axvcpu *v)
{
    return axvcpu_i_is_vcpu(v) ? v->arch.kvm.fd : -1;
}

AXVCPU_API int axvcpu_kvm_vm_fd(const struct axvcpu *v)
{
    return axvcpu_i_is_vcpu(v) ? v->arch.kvm.vm->kvm.fd : -1;
}

AXVCPU_API struct kvm_run *axvcpu_kvm_run(const struct axvcpu *v)
{
    return axvcpu_i_is_vcpu(v) ? v->arch.kvm.run : NULL;
}

#ifndef AXVCPU_I_KVM_GSI
#define AXVCPU_I_KVM_GSI(line) (line)
#endif

AXVCPU_API int axvm_irq_fd(struct axvm *vm, uint32_t line, int eventfd, bool on)
{
    struct kvm_irqfd irq;

    if (axvm_kvm_fd(vm) < 0 || eventfd < 0)
        return axvcpu_i_say(AXVCPU_EINVAL, "axvm_irq_fd: no VM, or no eventfd");
    if (!vm->arch.kvm.irqchip)
        return axvcpu_i_say(AXVCPU_ENOSUPPORT, "axvm_irq_fd: this VM's interrupt controller is not in the kernel");
    AXVCPU_MEMSET(&irq, 0, sizeof(irq));
    irq.fd = (uint32_t)eventfd;
    irq.gsi = AXVCPU_I_KVM_GSI(line);
    irq.flags = on ? 0 : KVM_IRQFD_FLAG_DEASSIGN;
    return AXVCPU_I_KVM(vm->arch.kvm.fd, KVM_IRQFD, &irq, "it must be an eventfd, and may be on one line once");
}

AXVCPU_API int axvm_io_fd(struct axvm *vm, uint32_t class_, uint64_t addr, uint32_t width, const uint64_t *match,
                          int eventfd, bool on)
{
    struct kvm_ioeventfd io;

    if (axvm_kvm_fd(vm) < 0 || eventfd < 0)
        return axvcpu_i_say(AXVCPU_EINVAL, "axvm_io_fd: no VM, or no eventfd");
    if (class_ != AXVM_PORT && class_ != AXVM_MMIO)
        return axvcpu_i_say(AXVCPU_EINVAL, "axvm_io_fd: it is for AXVM_PORT or AXVM_MMIO");
    AXVCPU_MEMSET(&io, 0, sizeof(io));
    io.addr = addr;
    io.len = width;
    io.fd = eventfd;
    io.datamatch = match != NULL ? *match : 0;
    io.flags = (match != NULL ? 1u << kvm_ioeventfd_flag_nr_datamatch : 0) |
               (class_ == AXVM_PORT ? 1u << kvm_ioeventfd_flag_nr_pio : 0) |
               (on ? 0 : 1u << kvm_ioeventfd_flag_nr_deassign);
    return AXVCPU_I_KVM(vm->arch.kvm.fd, KVM_IOEVENTFD, &io,
                        "the width is 1, 2, 4 or 8, and no other eventfd may be there");
}

AXVCPU_I_C_END
#endif

#if AXVCPU_I_ARCH == AXVCPU_I_ARCH_HEADER
#include AXVCPU_ARCH_HEADER
#elif AXVCPU_I_ARCH == AXVCPU_I_ARCH_X86
#include "axvcpu_arch_x86.h"
#elif AXVCPU_I_ARCH == AXVCPU_I_ARCH_ARM64
#include "axvcpu_arch_arm64.h"
#elif AXVCPU_I_ARCH == AXVCPU_I_ARCH_RISCV
#include "axvcpu_arch_riscv.h"
#else

/* >>fake */

AXVCPU_I_C_BEGIN

/* Counts the call; its failure if one was asked for. */
static int axvcpu_i_fake_call(struct axvcpu *v, enum axvcpu_fake_op op)
{
    v->arch.calls[op]++;
    if (v->arch.fail_in[op] == 0 || --v->arch.fail_in[op] != 0)
        return AXVCPU_OK;
    return v->arch.fail_err[op];
}

AXVCPU_API int axvcpu_leaf_create(struct axvcpu *v, const struct axvcpu_arch_create *create)
{
    (void)axvcpu_i_fake_call(v, AXVCPU_FAKE_CREATE);
    return create->fail;
}

AXVCPU_API void axvcpu_leaf_destroy(struct axvcpu *v)
{
    (void)v;
}

/* Registers go; the script starts again; counts and failures to come stay. */
static void axvcpu_i_fake_clear(struct axvcpu_arch *a)
{
    AXVCPU_MEMSET(a->gpr, 0, sizeof(a->gpr));
    a->pc = a->sp = 0;
    AXVCPU_ATOMIC_STORE_RELAXED(&a->flags, 0u);
    a->next = 0;
}

AXVCPU_API int axvcpu_leaf_reset(struct axvcpu *v)
{
    axvcpu_i_fake_clear(&v->arch);
    v->arch.entry = v->arch.root = v->arch.setup_value = 0;
    return axvcpu_i_fake_call(v, AXVCPU_FAKE_CREATE);
}

AXVCPU_API int axvcpu_leaf_set_entry(struct axvcpu *v, axvcpu_gpa_t entry)
{
    v->arch.entry = v->arch.pc = entry.addr;
    return axvcpu_i_fake_call(v, AXVCPU_FAKE_SET_ENTRY);
}

AXVCPU_API int axvcpu_leaf_set_root(struct axvcpu *v, axvcpu_hpa_t root)
{
    v->arch.root = root.addr;
    return axvcpu_i_fake_call(v, AXVCPU_FAKE_SET_ROOT);
}

AXVCPU_API int axvcpu_leaf_setup(struct axvcpu *v, const struct axvcpu_arch_setup *setup)
{
    v->arch.setup_value = setup->value;
    return axvcpu_i_fake_call(v, AXVCPU_FAKE_SETUP);
}

AXVCPU_API int axvcpu_leaf_restart(struct axvcpu *v, axvcpu_gpa_t entry, uint64_t arg)
{
    axvcpu_i_fake_clear(&v->arch);
    v->arch.gpr[0] = arg;
    return axvcpu_leaf_set_entry(v, entry);
}

#define AXVCPU_I_FAKE_PLAIN(name, OP)                                                                      \
    AXVCPU_API int axvcpu_leaf_##name(struct axvcpu *v)                                                    \
    {                                                                                                      \
        return axvcpu_i_fake_call(v, AXVCPU_FAKE_##OP);                                                    \
    }
AXVCPU_I_FAKE_PLAIN(bind, BIND)
AXVCPU_I_FAKE_PLAIN(unbind, UNBIND)
AXVCPU_I_FAKE_PLAIN(put, PUT)
AXVCPU_I_FAKE_PLAIN(load, LOAD)
AXVCPU_I_FAKE_PLAIN(retry, RETRY)
AXVCPU_I_FAKE_PLAIN(refuse, REFUSE)

static int axvcpu_i_fake_spin(struct axvcpu *v, struct axvcpu_exit *x)
{
    bool done = false;
    int err = AXVCPU_OK;

    while (err == 0 && !done) {
        if (axvcpu_attention(v))
            err = axvcpu_attend(v, x, &done);
        else
            AXVCPU_I_RELAX();
    }
    return err;
}

static void axvcpu_i_fake_exit(struct axvcpu *v, const struct axvcpu_exit *step, struct axvcpu_exit *x)
{
    *x = *step;
    x->flags &= ~(AXVCPU_EXIT_HANDLED | AXVCPU_EXIT_PAUSED); /* the VM's words about the recorded run */
    if (x->kind == AXVCPU_EXIT_IO_READ && x->io.count > 1 && x->io.buf == NULL)
        x->io.buf = v->arch.io_buf;
    if (((AXVCPU_READ_KINDS | AXVCPU_WRITE_KINDS) >> x->kind & 1u) != 0)
        axvcpu_await(v, x);
    else if (x->kind == AXVCPU_EXIT_HALT || x->kind == AXVCPU_EXIT_HYPERCALL)
        v->arch.pc += AXVCPU_FAKE_INSN_SIZE; /* these exit behind the instruction */
}

AXVCPU_API int axvcpu_leaf_run(struct axvcpu *v, struct axvcpu_exit *x)
{
    static const struct axvcpu_fake_step halt = { 0, { .kind = AXVCPU_EXIT_HALT } };
    struct axvcpu_arch *a = &v->arch;
    int err = axvcpu_i_fake_call(v, AXVCPU_FAKE_RUN);

    while (err == 0) {
        const struct axvcpu_fake_step *step = &halt;

        if (a->next >= a->count && a->loop)
            a->next = 0;
        if (a->next < a->count)
            step = &a->steps[a->next++];
        if (step->err != 0)
            return step->err;
        if (step->exit.kind == AXVCPU_FAKE_SPIN)
            return axvcpu_i_fake_spin(v, x);
        if (step->exit.kind != AXVCPU_FAKE_EFFECT) {
            axvcpu_i_fake_exit(v, &step->exit, x);
            return AXVCPU_OK;
        }
        err = axvcpu_leaf_set_reg(v, step->exit.sysreg.addr, step->exit.sysreg.value);
    }
    return err;
}

AXVCPU_API int axvcpu_leaf_commit(struct axvcpu *v, struct axvcpu_exit *x, bool entering)
{
    static const uint8_t cpuid_gpr[4] = { 0, 3, 1, 2 }; /* eax, ebx, ecx, edx in ModRM order */
    const struct axvcpu_answer *acc = &v->access;
    struct axvcpu_arch *a = &v->arch;
    bool bus = acc->kind != AXVCPU_EXIT_SYSREG_READ && acc->kind != AXVCPU_EXIT_SYSREG_WRITE &&
               acc->kind != AXVCPU_EXIT_CPUID;
    bool read = (AXVCPU_READ_KINDS >> acc->kind & 1u) != 0;
    uint32_t i;
    int err = axvcpu_i_fake_call(v, AXVCPU_FAKE_COMMIT);

    (void)x;
    (void)entering;
    if (err != 0)
        return err;
    if (acc->refused && !bus) { /* a fault: the PC stays on the instruction */
        a->exceptions++;
        return AXVCPU_OK;
    }
    for (i = 0; acc->kind == AXVCPU_EXIT_CPUID && i < 4; i++)
        a->gpr[cpuid_gpr[i]] = acc->cpuid[i];
    if (read && acc->kind != AXVCPU_EXIT_CPUID && acc->reg < AXVCPU_LEAF_GPRS &&
        !(acc->kind == AXVCPU_EXIT_IO_READ && acc->count > 1)) /* a string goes to memory */
        a->gpr[acc->reg] = axvcpu_access_result(acc, a->gpr[acc->reg]);
    a->pc += AXVCPU_FAKE_INSN_SIZE;
    return AXVCPU_OK;
}

static uint64_t *axvcpu_i_fake_reg(struct axvcpu_arch *a, uint64_t id)
{
    return AXVCPU_REG_CLASS(id) == 0 && id < AXVCPU_LEAF_GPRS ? &a->gpr[id] :
           id == AXVCPU_REG_PC                                ? &a->pc :
           id == AXVCPU_REG_SP                                ? &a->sp :
           id == AXVCPU_REG_FLAGS                             ? &a->flags :
                                                                NULL;
}

AXVCPU_API int axvcpu_leaf_get_reg(struct axvcpu *v, uint64_t id, uint64_t *value)
{
    uint64_t *reg = axvcpu_i_fake_reg(&v->arch, id);
    int err = axvcpu_i_fake_call(v, AXVCPU_FAKE_GET_REG);

    if (err != 0 || reg == NULL)
        return err != 0 ? err : AXVCPU_ENOSUPPORT;
    *value = *reg;
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_set_reg(struct axvcpu *v, uint64_t id, uint64_t value)
{
    uint64_t *reg = axvcpu_i_fake_reg(&v->arch, id);
    int err = axvcpu_i_fake_call(v, AXVCPU_FAKE_SET_REG);

    if (err != 0 || reg == NULL)
        return err != 0 ? err : AXVCPU_ENOSUPPORT;
    AXVCPU_ATOMIC_STORE_RELAXED(reg, value); /* the flags may be looked at from elsewhere, by wakes */
    return AXVCPU_OK;
}

AXVCPU_API bool axvcpu_leaf_wakes(const struct axvcpu *v, bool queued)
{
    return queued && (AXVCPU_ATOMIC_LOAD_RELAXED(&v->arch.flags) & AXVCPU_FAKE_MASKED) == 0;
}

/* The guest takes all that is pending at once, highest first; a line that stays up comes again. */
AXVCPU_API int axvcpu_leaf_inject(struct axvcpu *v, uint32_t *what)
{
    struct axvcpu_arch *a = &v->arch;
    uint32_t vector;
    int i, err = axvcpu_i_fake_call(v, AXVCPU_FAKE_INJECT);

    if (err != 0)
        return err;
    if ((*what & AXVCPU_ATTN_NMI) != 0)
        a->nmis++;
    *what &= ~AXVCPU_ATTN_NMI;
    if ((a->flags & AXVCPU_FAKE_MASKED) != 0)
        return AXVCPU_OK;
    *what = 0;
    for (i = (int)AXVCPU_LEAF_VECTORS / 64 - 1; i >= 0; i--) {
        uint64_t lines = AXVCPU_ATOMIC_LOAD(&v->lines[i]), bits = AXVCPU_ATOMIC_XCHG(&v->pending[i], 0u) | lines;

        for (; bits != 0; bits &= ~(UINT64_C(1) << (vector % 64))) {
            vector = axvcpu_i_highest(bits);
            (void)AXVCPU_ATOMIC_FETCH_ADD(&a->delivered[(uint32_t)i * 64 + vector], 1u);
        }
        *what |= lines != 0 ? AXVCPU_ATTN_IRQ : 0u;
    }
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_inject_exception(struct axvcpu *v, uint32_t vector, uint64_t error, uint64_t addr)
{
    struct axvcpu_exit_exception e = { error, addr, vector };
    int err = axvcpu_i_fake_call(v, AXVCPU_FAKE_EXCEPTION);

    if (err != 0)
        return err;
    v->arch.exception = e;
    v->arch.exceptions++;
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_inject_hw(struct axvcpu *v, uint32_t vintid, uint32_t pintid)
{
    (void)v, (void)vintid, (void)pintid;
    return AXVCPU_ENOSUPPORT;
}

/* SPIN looks at the attention word itself. */
AXVCPU_API void axvcpu_leaf_kick(struct axvcpu *v, void *owner)
{
    (void)v, (void)owner;
}

AXVCPU_API int axvcpu_leaf_percpu_init(struct axvcpu_percpu *p, uint32_t cpu_id)
{
    (void)p, (void)cpu_id;
    return AXVCPU_OK;
}

AXVCPU_API void axvcpu_leaf_percpu_deinit(struct axvcpu_percpu *p)
{
    (void)p;
}

AXVCPU_API int axvcpu_leaf_percpu_enable(struct axvcpu_percpu *p)
{
    p->arch.enabled = 1;
    return AXVCPU_OK;
}

AXVCPU_API int axvcpu_leaf_percpu_disable(struct axvcpu_percpu *p)
{
    p->arch.enabled = 0;
    return AXVCPU_OK;
}

AXVCPU_API uint32_t axvcpu_leaf_max_guest_page_table_levels(const struct axvcpu_percpu *p)
{
    (void)p;
    return 4;
}

AXVCPU_API bool axvcpu_leaf_supported(void)
{
    return true;
}

AXVCPU_API int axvm_leaf_init(struct axvm *vm, const struct axvm_arch_desc *desc)
{
    vm->arch.flags = desc->flags;
    return desc->fail;
}

AXVCPU_API void axvm_leaf_deinit(struct axvm *vm)
{
    (void)vm;
}

/* The core's own table is all the memory there is. */
AXVCPU_API int axvm_leaf_map(struct axvm *vm, uint32_t slot, const struct axvm_mapping *map)
{
    (void)vm, (void)slot, (void)map;
    return AXVCPU_OK;
}

AXVCPU_API int axvm_leaf_unmap(struct axvm *vm, uint32_t slot, const struct axvm_mapping *map)
{
    (void)vm, (void)slot, (void)map;
    return AXVCPU_OK;
}

AXVCPU_API axvcpu_hpa_t axvm_leaf_root(const struct axvm *vm)
{
    return axvcpu_hpa((uint64_t)(uintptr_t)vm);
}

AXVCPU_API uint32_t axvm_leaf_vmid(const struct axvm *vm)
{
    return vm->id;
}

AXVCPU_API int axvm_leaf_irq_line(struct axvm *vm, uint32_t line, bool level)
{
    return axvcpu_set_irq(axvm_vcpu(vm, 0), line, level);
}

AXVCPU_API bool axvm_leaf_is_target(const struct axvcpu *v, uint64_t target)
{
    return v->vcpu_id == target;
}

AXVCPU_API enum axvm_answer axvm_leaf_answer(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x)
{
    (void)vm, (void)v, (void)x;
    return AXVM_RETURN;
}

/* A string that is read has a buffer of the script's, or fits into the backend's. */
static bool axvcpu_i_fake_fits(const struct axvcpu_exit *x)
{
    return x->kind == AXVCPU_EXIT_IO_WRITE || x->io.buf != NULL ||
           (uint64_t)x->io.count * x->io.width <= sizeof(((struct axvcpu_arch *)0)->io_buf);
}

/* Whether run may return it; its bytes may come from a file, in which a bool need not be one. */
static bool axvcpu_i_fake_record(const struct axvcpu_exit *x)
{
    const uint8_t *sign = (const uint8_t *)&x->mmio.sign_extend, *all = (const uint8_t *)&x->ipi.to_all,
                  *self = (const uint8_t *)&x->ipi.to_self;

    switch (x->kind) {
    case AXVCPU_EXIT_MMIO_READ:
    case AXVCPU_EXIT_MMIO_WRITE:
        return x->mmio.width <= 8 && x->mmio.reg_width <= 8 && *sign <= 1;
    case AXVCPU_EXIT_IO_READ:
    case AXVCPU_EXIT_IO_WRITE:
        return x->io.width <= 8 && (x->io.count <= 1 || (x->io.width != 0 && axvcpu_i_fake_fits(x)));
    case AXVCPU_EXIT_SEND_IPI:
        return *all <= 1 && *self <= 1;
    default:
        return x->kind < AXVCPU_EXIT_COUNT;
    }
}

/* A script that loops must stop somewhere, and its records must be ones that run may return. */
static bool axvcpu_i_fake_valid(const struct axvcpu_fake_step *s, size_t n, bool loop)
{
    bool stops = !loop || n == 0;
    size_t i;

    for (i = 0; i < n; i++) {
        bool effect = s[i].exit.kind == AXVCPU_FAKE_EFFECT;

        stops = stops || s[i].err != 0 || !effect;
        if (s[i].err == 0 && !effect && s[i].exit.kind != AXVCPU_FAKE_SPIN && !axvcpu_i_fake_record(&s[i].exit))
            return false;
    }
    return stops;
}

AXVCPU_API int axvcpu_fake_script(struct axvcpu *v, const struct axvcpu_fake_step *steps, size_t n, bool loop)
{
    bool claimed;
    int err;

    if ((steps == NULL && n != 0) || !axvcpu_i_fake_valid(steps, n, loop))
        return axvcpu_i_complain(AXVCPU_OP_SET, v, AXVCPU_EINVAL, "no script that can be played");
    err = axvcpu_i_open(v, AXVCPU_OP_SET, &claimed);
    if (err != 0)
        return err;
    v->arch.steps = steps;
    v->arch.count = n;
    v->arch.next = 0;
    v->arch.loop = loop && n != 0;
    return axvcpu_i_close(v, claimed, AXVCPU_OK);
}

AXVCPU_API int axvcpu_fake_fail(struct axvcpu *v, enum axvcpu_fake_op op, uint32_t nth, int err)
{
    if (!axvcpu_i_is_vcpu(v) || (uint32_t)op >= AXVCPU_FAKE_OP_COUNT || nth == 0 || err == 0)
        return axvcpu_i_complain(AXVCPU_OP_SET, v, AXVCPU_EINVAL, "no such failure");
    v->arch.fail_in[op] = nth;
    v->arch.fail_err[op] = err;
    return AXVCPU_OK;
}

AXVCPU_API uint64_t axvcpu_fake_calls(const struct axvcpu *v, enum axvcpu_fake_op op)
{
    return axvcpu_i_is_vcpu(v) && (uint32_t)op < AXVCPU_FAKE_OP_COUNT ? v->arch.calls[op] : 0;
}

AXVCPU_API uint64_t axvcpu_fake_delivered(const struct axvcpu *v, uint32_t vector)
{
    return axvcpu_i_is_vcpu(v) && vector < AXVCPU_LEAF_VECTORS ? AXVCPU_ATOMIC_LOAD(&v->arch.delivered[vector]) : 0;
}

AXVCPU_I_C_END
#endif

#endif /* AXVCPU_IMPLEMENTATION */
