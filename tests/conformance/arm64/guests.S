// SPDX-License-Identifier: Apache-2.0
//
// The guest programs. Each starts at LOAD, at EL1 without MMU, and talks to the runner by hypercalls and by
// the device page at MMIO (layout.h): x20 is its address, x21 that of the results, x19 the nonce.
#include "layout.h"
#include "accesses.h"

    .section .rodata

    .macro guest name
    .balign 16
    .globl guest_\name
    .hidden guest_\name
guest_\name:
    ldr x20, =DEV
    ldr x21, =REPORT
    .endm

    .macro done name
    .ltorg
    .globl guest_\name\()_end
    .hidden guest_\name\()_end
guest_\name\()_end:
    .endm

    // A place that the tables refer to.
    .macro point name
    .globl \name
    .hidden \name
\name:
    .endm

    .macro result reg
    str \reg, [x21]
    .endm

    .macro nonce
    ldr x19, [x20]
    .endm

    .macro pattern reg
    ldr \reg, =PATTERN
    .endm

    // WFI is a hint: it is over at once if the host has an interrupt, even one that the guest never sees. So it
    // stands in a loop: for ever, until the handler of take_interrupts has run, or until one waits that is masked.
    .macro sleep
    wfi
    b . - 4
    .endm

    .macro sleep_until_taken
    mov x24, xzr
    wfi
    cbz x24, . - 4
    .endm

    .macro sleep_until_pending
    wfi
    mrs x24, isr_el1
    cbz x24, . - 8
    .endm

    // The CPU interface takes everything, by system registers where the CPU has them (x22 is 0), else at GICC;
    // VBAR_EL1 is `table`, which is 2 KiB aligned at VECTORS.
    .macro take_interrupts
    ldr x1, =VECTORS
    msr vbar_el1, x1
    adr x2, 8f
    mov x3, #0
1:  ldr x4, [x2, x3]        // the handler to both IRQ vectors
    add x5, x1, x3
    str x4, [x5, #0x280]
    add x3, x3, #8
    cmp x3, #64
    b.ne 1b
    dsb sy
    ic iallu
    dsb sy
    isb
    ldr x23, =TAKEN
    mov x22, xzr
    mrs x1, id_aa64pfr0_el1
    mov w2, #0xff
    mov w3, #1
    tst x1, #0xf << 24      // GIC
    b.ne 2f
    ldr x22, =GICC
    str w2, [x22, #4]       // PMR
    str w3, [x22]
    b 9f
2:  mov x1, #7
    msr s3_0_c12_c12_5, x1  // ICC_SRE_EL1
    isb
    msr s3_0_c4_c6_0, x2    // ICC_PMR_EL1
    msr s3_0_c12_c12_7, x3  // ICC_IGRPEN1_EL1
    b 9f
    .balign 8
8:  cbz x22, 1f
    ldr w24, [x22, #0xc]    // IAR
    msr cntv_ctl_el0, xzr   // if it was the timer; not before, or there may be none to take any more
    str w24, [x23]
    str w24, [x22, #0x10]   // EOIR
    eret
1:  mrs x24, s3_0_c12_c12_0 // ICC_IAR1_EL1
    msr cntv_ctl_el0, xzr
    str w24, [x23]
    msr s3_0_c12_c12_1, x24 // ICC_EOIR1_EL1
    eret
    .balign 64
9:  isb
    msr daifclr, #2
    .endm

// ---- the first one: a hypercall, MMIO in and out, kicks, sleep and wake-up

    // Each register keeps what the guest has put there, whatever exits come.
    guest registers
    nonce
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 22, 23, 24, 25, 26, 27, 28, 29, 30
    add x\n, x19, #\n
    .endr
    ldr xzr, [x20]
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 22, 23, 24, 25, 26, 27, 28, 29, 30
    result x\n
    .endr
    mov x1, x21
    add x20, x19, #20
    add x21, x19, #21
    str x19, [x1]
    str x20, [x1]
    str x21, [x1]
    sleep
    done registers

    guest first
    ldr x0, =CALL
    mov x1, #0x11
    mov x2, #0x22
    mov x3, #0x33
    mov x4, #0x44
    mov x5, #0x55
    mov x6, #0x66
    hvc #0
    mov x19, x0             // the nonce
    mov x1, #0x5a5a
    eor x1, x1, x19
    result x1
    pattern x2
    ldr w2, [x20]
    result x2
    mvn x3, x19
    str x3, [x20]
    mov x4, #1000
1:  eor x5, x4, x19
    result x5
    subs x4, x4, #1
    b.ne 1b
    take_interrupts
    sleep_until_taken
    mov x6, #1
    eor x6, x6, x19
    result x6
    sleep
    done first

// ---- accesses

#define LOAD_(insn, reg, width, value) pattern reg; insn; result reg;
    guest loads_signed
    SIGNED_LOADS(LOAD_)
    ldrsb w2, [x20]
    result x2
    sleep
    done loads_signed

    guest loads
    LOADS(LOAD_)
    ldr xzr, [x20]
    ldrb wzr, [x20]
    result xzr
    sleep
    done loads

#define STORE_(insn, reg, width, value) nonce; mov reg, x19; insn;
    guest stores
    STORES(STORE_)
    str xzr, [x20]
    strb wzr, [x20]
    sleep
    done stores

    // What the syndrome does not describe; the runner goes on behind each.
    guest undecoded
    mov x0, #3 << 20
    msr cpacr_el1, x0
    isb
    mov x0, x20
#define UNDECODED_(insn, n) insn; point undecoded_##n;
    UNDECODEDS(UNDECODED_)
    result x20
    sleep
    done undecoded

    guest load
point load_insn
    ldr x2, [x20]
point load_end
    result x2
    sleep
    done load

    guest store
    mov x2, #0x1234
point store_insn
    str x2, [x20]
point store_end
    result x2
    sleep
    done store

    // Code that is not there yet, and comes.
    guest fetch
    ldr x0, =MMIO + 0x10000
    blr x0
    result x0
    sleep
    done fetch

// ---- exceptions of the guest's own: a handler that tells ELR, ESR and FAR and goes on behind

    .macro take_exceptions
    ldr x1, =VECTORS
    msr vbar_el1, x1
    adr x2, 8f
    mov x3, #0
1:  ldr x4, [x2, x3]
    add x5, x1, x3
    str x4, [x5, #0x200]
    str x4, [x5, #0x380]    // SError
    str x4, [x5, #0x400]
    add x3, x3, #8
    cmp x3, #48
    b.ne 1b
    dsb sy
    ic iallu
    dsb sy
    isb
    b 9f
    .balign 8
8:  mrs x9, esr_el1
    str x9, [x21]
    mrs x9, far_el1
    str x9, [x21]
    mrs x9, elr_el1
    add x9, x9, #4
    msr elr_el1, x9
    eret
    .balign 64
9:
    .endm

    guest refuse
    take_exceptions
    pattern x2
    ldr x2, [x20]
    result x2
    str x2, [x20]
    udf #0                  // the guest's own: nobody hears of it
    result x2
    sleep
    done refuse

    guest refuse_sysreg
    take_exceptions
    mrs x3, cntp_ctl_el0
    result x20
    sleep
    done refuse_sysreg

    // At EL0, where an abort comes from a lower level.
    guest user
    take_exceptions
    adr x0, 1f
    msr elr_el1, x0
    msr spsr_el1, xzr
    eret
1:  ldr w2, [x20]
    result x2
    ldr w2, [x20]
    svc #0x77
    result x2
2:  b 2b
    done user

// ---- system registers and calls

    guest sysreg
    mrs x2, cntp_ctl_el0
    result x2
    nonce
    msr cntp_cval_el0, x19
    msr cntp_ctl_el0, xzr
    mrs xzr, pmcr_el0
    mrs x3, actlr_el1
    result x3
    dc cisw, x19
    sleep
    done sysreg

    .macro call how, nr, a1, a2, a3
    ldr x0, =\nr
    ldr x1, =\a1
    ldr x2, =\a2
    ldr x3, =\a3
    \how #0
    result x0
    .endm

    guest calls
    call hvc, 0x84000000, 0, 0, 0
    call smc, 0x84000000, 0, 0, 0
    call smc, 0x8400000a, 0xc4000003, 0, 0
    call smc, 0x84000050, 0, 0, 0
    call hvc, 0xc400ffff, 0, 0, 0
    call hvc, 0x84000006, 0, 0, 0       // MIGRATE_INFO_TYPE
    call hvc, 0xc4000005, 1, 0, 0       // MIGRATE
    call hvc, 0xc400000e, LOAD, 0, 0    // SYSTEM_SUSPEND
    call hvc, 0x84000010, 0, 0, 0       // PSCI_STAT_RESIDENCY
    call hvc, 0xc4000012, 1, 0, 0       // SYSTEM_RESET2, of a type that is reserved
    call hvc, 0xc4000003, 1, LOAD + 1, 0 // CPU_ON at an odd address
    call hvc, 0xc4000012, 0, 0, 0       // SYSTEM_RESET2
    call smc, 0xc4000003, 1, LOAD, 0xfedcba9876543210
    call smc, 0xc2000001, 0x11, 0x22, 0x33
    call smc, 0x84000002, 0, 0, 0
    call hvc, 0x84000008, 0, 0, 0
    call hvc, 0x84000009, 0, 0, 0
    call hvc, 0x84000001, 0, 0, 0
    hvc #7
    sleep
    done calls

    guest calls_arch        // of the architecture's own range
    call hvc, 0x80000000, 0, 0, 0
    call smc, 0x80000001, 0x80008000, 0, 0
    sleep
    done calls_arch

    guest suspend           // a power-down state: the CPU begins anew
    cbnz x0, 1f
    ldr x0, =0xc4000001
    mov x1, #0x10000
    ldr x2, =LOAD
    ldr x3, =PATTERN
    smc #0
    result x0
1:  result x0
    sleep
    done suspend

// ---- two vCPUs, FP and SIMD, and every register that is a guest's

    guest pair
    mov x0, #3 << 20
    msr cpacr_el1, x0
    isb
    nonce
    add x19, x19, x27
    fmov d0, x19
    dup v31.2d, x19
    msr tpidr_el0, x19
    msr mair_el1, x19
    mov sp, x19
    mov x28, x19
    mov x18, x19
    msr cntv_cval_el0, x19
    mov x1, #3              // enabled and masked
    msr cntv_ctl_el0, x1
    mrs x1, id_aa64isar1_el1
    mov x2, #0x0ff0         // APA, API: it has keys
    tst x1, x2
    cset x26, ne
    cbz x26, 2f
    msr s3_0_c2_c1_0, x19   // APIAKeyLo_EL1
2:  ldr x25, =DATA
    add x25, x25, x27, lsl #3
    nonce
1:  fmov x1, d0
    result x1
    umov x1, v31.d[1]
    result x1
    mrs x1, tpidr_el0
    result x1
    mrs x1, mair_el1
    result x1
    mov x1, sp
    result x1
    eor x1, x28, x18
    result x1
    mov x1, x28
    cbz x26, 2f
    mrs x1, s3_0_c2_c1_0
2:  result x1
    mrs x1, cntv_ctl_el0
    and x1, x1, #3
    result x1
    mrs x1, mpidr_el1
    result x1
    str wzr, [x25]
2:  wfi
    ldr w1, [x25]
    cbz w1, 2b              // until the table says GO
    b 1b
    done pair

// ---- interrupts

    guest order             // four at once, then one more while the first are active
    take_interrupts
    msr daifset, #2
    sleep_until_pending
    msr daifclr, #2
    isb
    result xzr
    sleep
    done order

    guest line
    take_interrupts
    sleep_until_taken
    result xzr
    sleep_until_taken
    sleep
    done line

    guest spin
1:  add x2, x2, #1
    b 1b
    done spin

// ---- the virtual timer: its handler stops it

    .macro start_timer ticks
    mrs x1, cntvct_el0
    ldr x2, =\ticks
    add x1, x1, x2
    msr cntv_cval_el0, x1
    mov x2, #1
    msr cntv_ctl_el0, x2
    isb
    .endm

    guest timer
    take_interrupts
    nonce
    mov x25, #3
1:  start_timer 2000
2:  mrs x2, cntv_ctl_el0
    tbnz x2, #0, 2b
    eor x2, x25, x19
    result x2
    subs x25, x25, #1
    b.ne 1b
    sleep
    done timer

    guest timer_sleep
    take_interrupts
    nonce
1:  start_timer 2000000
    wfi
    isb
    result x19
    b 1b
    done timer_sleep

// ---- interrupts between CPUs, as a GICv3 has them: affinities, range selector, all others

    guest sgi
    cbnz x27, 8f
    ldr x1, =0x0005300703028001     // Aff3 5, RS 3, Aff2 7, SGI 3, Aff1 2, the first and the last of 16
    msr s3_0_c12_c11_5, x1  // ICC_SGI1R_EL1
    ldr x1, =0x0000010002000000     // all others, SGI 2
    msr s3_0_c12_c11_5, x1
    ldr x1, =0x0f008001
    msr s3_0_c12_c11_6, x1  // ICC_ASGI1R_EL1
    msr s3_0_c12_c11_7, x1  // ICC_SGI0R_EL1
    ldr x1, =0x04000002     // SGI 4 to CPU 1
    msr s3_0_c12_c11_5, x1
    nonce
    result x19
    sleep
8:  take_interrupts
1:  b 1b
    done sgi

// ---- what no guest should do

    .macro here             // for FAR_EL1 after what does not write it
    msr far_el1, xzr
    isb
    .endm

    guest bad
    take_exceptions
    nonce
    here
    udf #0
    .inst 0xd53c1102        // mrs x2, hcr_el2
    brk #0x1234
    svc #5
    nop                     // the handler goes on behind it
    hlt #0
    mrs x1, sctlr_el1       // alignment checks
    orr x1, x1, #2
    msr sctlr_el1, x1
    isb
    ldur x2, [x20, #3]
    stur w2, [x20, #1]
    result x19
    sleep
    done bad

    guest far_away          // where 40 bits end, nearly
    nonce
    ldr x1, =0xf000000000
    ldr x2, [x1, #8]
    str x2, [x1, #0xff8]
    result x2
    sleep
    done far_away

    guest serror
    take_exceptions
    here
    msr daifclr, #4
    nonce
1:  b 1b                    // the handler goes on behind it
    result x19
    sleep
    done serror

// ---- CPU_ON, CPU_OFF and CPU_ON again; the second CPU tells its context and its number

    guest cpus
    cbnz x0, 3f
    nonce
    mov x25, #2
1:  ldr x0, =0xc4000003     // CPU_ON
    mov x1, #1
    ldr x2, =LOAD
    add x3, x19, x25
    orr x3, x3, #1
    hvc #0
    result x0
    ldr x0, =0xc4000004     // AFFINITY_INFO
    mov x1, #1
    mov x2, #0
    hvc #0
    result x0
    ldr x0, =0xc4000003     // it is on already
    mov x1, #1
    ldr x2, =LOAD
    mov x3, #1
    hvc #0
    result x0
    nonce
    ldr x0, =0xc4000004
    mov x1, #1
    mov x2, #0
    hvc #0
    result x0
    subs x25, x25, #1
    b.ne 1b
    ldr x0, =0xc4000003     // there is no such CPU
    mov x1, #0x100
    ldr x2, =LOAD
    hvc #0
    result x0
    sleep
3:  result x0
    mrs x1, mpidr_el1
    and x1, x1, #0xffffff
    result x1
    ldr x0, =0x84000002     // CPU_OFF
    hvc #0
    b .
    done cpus

// ---- one address, two VMs

    guest own
    ldr x1, =DATA
1:  ldr x2, [x1]
    result x2
    add x2, x2, #1
    str x2, [x1]
    b 1b
    done own

    guest wfe
    nonce
    sevl
    wfe
    result x19
    sleep
    done wfe
