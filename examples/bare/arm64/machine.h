// SPDX-License-Identifier: Apache-2.0
//
// QEMU's virt machine at EL2: -M virt,virtualization=on,gic-version=2 or 3; included by examples/bare/host.h.
#ifndef MACHINE_H
#define MACHINE_H

#define AXVCPU_ARCH_ARM64

// Which CPU this is costs nothing: the compiler leaves x18 alone (-ffixed-x18).
__extension__ register struct host_cpu *machine_self __asm__("x18");
#define HOST_CPU() machine_self
#define HOST_CPUS 2

// The virt machine's map.
#define HOST_GICD UINT64_C(0x08000000)
#define HOST_GICC UINT64_C(0x08010000)
#define HOST_GICH UINT64_C(0x08030000)
#define HOST_GICV UINT64_C(0x08040000)
#define HOST_GICR UINT64_C(0x080a0000) // of a GICv3, 128 KiB for each CPU
#define HOST_UART UINT64_C(0x09000000)
#define HOST_TREE UINT64_C(0x40000000)
#define HOST_MEMORY UINT64_C(0x41000000) // behind the program
#define HOST_MEMORY_PAGES 8192u
#define AXVCPU_GICH() (machine_gic == 2 ? (void *)HOST_GICH : NULL)
#define AXVCPU_GICV() HOST_GICV

// An SGI; the guests' CPU interface; the hypervisor's timer, CNTHP; the guests' one, CNTV.
enum { MACHINE_KICK = 1, MACHINE_MAINTENANCE = 25, MACHINE_TIMER = 26, MACHINE_VTIMER = 27 };
extern uint32_t machine_gic;    // its version
extern uint32_t machine_linked; // an interrupt that stays active until a guest ends it; 0: none
bool machine_is_active(uint32_t ppi);
void machine_accept(uint32_t ppi); // let it come to this CPU
void machine_deactivate(uint32_t ppi);
struct axvcpu_arm64_frame;
extern bool (*machine_trapped)(struct axvcpu_arm64_frame *); // an exception at EL2; false: it is fatal
uint32_t machine_fetch(void);
void machine_vtimer(bool on);
#define AXVCPU_VTIMER_ENABLE(on) machine_vtimer(on)
#ifndef HOST_NO_FETCH // then an interrupt waits until the host takes it itself
#define AXVCPU_IRQ_FETCH() machine_fetch()
#define AXVCPU_KICK_VECTOR MACHINE_KICK
#endif

#endif
