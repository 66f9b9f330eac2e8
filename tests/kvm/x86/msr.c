// SPDX-License-Identifier: Apache-2.0
//
// MSRs: those that the kernel keeps for itself, those that it does not know, and those that the VM wants to see
// (axvm_arch_desc.msrs). Each read and written by a guest; answered, and refused with #GP.
#include "tests/kvm/x86/machine.h"

#include "tests/tap.h"

// Reads or writes the MSR in ECX, as RBP says; tells 1 when that is done, 13 after #GP.
GUEST(msr, 64,
      "1:  test %ebp, %ebp\n"
      "    jnz 2f\n"
      "    rdmsr\n"
      "    jmp 3f\n"
      "2:  wrmsr\n"
      "3:  mov %eax, %ebx\n"
      "    mov $1, %al\n"
      "    out %al, $0x30\n"
      "    jmp 1b\n"
      "guest_msr_gp:\n"
      "    add $8, %rsp\n"
      "    addq $2, (%rsp)\n" // past the instruction
      "    mov $13, %al\n"
      "    out %al, $0x30\n"
      "    mov %eax, %ebx\n"
      "    iretq\n");
extern const uint8_t guest_msr_gp[];

#define VALUE UINT64_C(0x0000040600070406) // an address, and types of memory: good for any of them

static bool begin_msr(uint32_t index, bool write, uint64_t value)
{
    return axvcpu_set_gpr(v, AXVCPU_X86_RCX, index) == 0 && axvcpu_set_gpr(v, AXVCPU_X86_RBP, write) == 0 &&
           axvcpu_set_gpr(v, AXVCPU_X86_RAX, (uint32_t)value) == 0 && axvcpu_set_gpr(v, AXVCPU_X86_RDX, value >> 32) == 0;
}

// EDX:EBX, where the guest has put EAX.
static uint64_t result(void)
{
    uint64_t low = 0, high = 0;
    (void)axvcpu_get_gpr(v, AXVCPU_X86_RBX, &low);
    (void)axvcpu_get_gpr(v, AXVCPU_X86_RDX, &high);
    return high << 32 | low;
}

static void answered(const char *name, uint32_t index)
{
    ok(begin_msr(index, false, 0) && machine_run(AXVCPU_EXIT_SYSREG_READ), "%s: RDMSR is an exit", name);
    ok_u64(x.sysreg.addr, index, "%s: of this one", name);
    ok_int(axvcpu_complete(v, 0xfedcba9876543210), 0, "%s: answered", name);
    ok(machine_says(1), "%s: the guest goes on", name);
    ok_u64(result(), 0xfedcba9876543210, "trap_17: %s: EDX:EAX, 32 bits each", name);
    ok(begin_msr(index, true, 0x0123456789abcdef) && machine_run(AXVCPU_EXIT_SYSREG_WRITE), "%s: WRMSR is an exit", name);
    ok_u64(x.sysreg.addr, index, "%s: of this one", name);
    ok_u64(x.sysreg.value, 0x0123456789abcdef, "%s: with its value", name);
    ok(machine_says(1), "trap_17: %s: and the guest is past it", name);

    ok(begin_msr(index, false, 0) && machine_run(AXVCPU_EXIT_SYSREG_READ), "%s: RDMSR", name);
    ok_int(axvcpu_refuse(v), 0, "%s: refused", name);
    ok(machine_says(13), "%s: #GP", name);
    ok(machine_says(1), "%s: the guest goes on", name);
    ok(begin_msr(index, true, 1) && machine_run(AXVCPU_EXIT_SYSREG_WRITE), "%s: WRMSR", name);
    ok_int(axvcpu_refuse(v), 0, "%s: refused", name);
    ok(machine_says(13), "%s: #GP", name);
    ok(machine_says(1), "%s: the guest goes on", name);
}

static void kept(const char *name, uint32_t index)
{
    ok(begin_msr(index, true, VALUE) && machine_says(1), "%s: WRMSR is the kernel's", name);
    ok(begin_msr(index, false, 0) && machine_says(1), "%s: RDMSR is the kernel's", name);
    ok_u64(result(), VALUE, "%s: it keeps the value", name);
}

static bool start(const char *name, const struct axvcpu_x86_msrs *msrs, uint32_t count)
{
    struct machine m = {PROGRAM(msr), .mode = AXVCPU_X86_LONG};
    m.arch.msrs = msrs;
    m.arch.msrs_count = count;
    os_begin();
    if (!ok_int(machine_start(&m), 0, "%s: a guest", name))
        return false;
    machine_gate(13, PLACE(msr, guest_msr_gp));
    return true;
}

static void test_default(void)
{
    if (!start("default", NULL, 0))
        return;
    kept("SYSENTER_EIP", 0x176);
    kept("PAT", 0x277);
    kept("LSTAR", 0xc0000082);
    kept("KERNEL_GS_BASE", 0xc0000102);
    answered("an unknown MSR", 0x2f000001);
    // What the kernel knows and refuses is for the VM to see, too.
    ok(begin_msr(0xc0000080, true, UINT64_C(1) << 50 | 0x500) && machine_run(AXVCPU_EXIT_SYSREG_WRITE), "a value that EFER cannot have: an exit");
    ok_int(axvcpu_refuse(v), 0, "a value that EFER cannot have: refused");
    ok(machine_says(13), "a value that EFER cannot have: #GP");
    ok(machine_says(1), "a value that EFER cannot have: the guest goes on");
    ok_int(machine_stop(), 0, "default: the end");
}

static void test_wanted(void)
{
    static const struct axvcpu_x86_msrs wanted[] = {{0x176, 1}, {0xc0000080, 3}};
    static struct axvcpu_x86_msrs many[16];
    if (!start("wanted", wanted, 2))
        return;
    answered("SYSENTER_EIP, wanted", 0x176);
    answered("trap_20: LSTAR, at the end of a range", 0xc0000082);
    kept("trap_20: SYSENTER_ESP, before one", 0x175);
    kept("trap_20: CSTAR, behind one", 0xc0000083);
    ok_int(machine_stop(), 0, "wanted: the end");

    for (uint32_t i = 0; i < 16; i++)
        many[i] = (struct axvcpu_x86_msrs){i == 15 ? 0x277 : 0x30000000 + i * 0x10000, 1};
    if (!start("16 ranges", many, 16))
        return;
    answered("PAT, in the last of 16", 0x277);
    kept("SYSENTER_EIP, in none", 0x176);
    ok_int(machine_stop(), 0, "16 ranges: the end");
}

int main(void)
{
    tap_begin(60);
    if (find_substrate() == NULL) {
        skip("kvm: no usable /dev/kvm", "MSRs");
        return tap_done();
    }
    test_default();
    test_wanted();
    return tap_done();
}
