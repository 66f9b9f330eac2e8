// SPDX-License-Identifier: Apache-2.0
//
// What only bare metal has: list registers and what does not fit, interrupts linked to hardware, the choices of
// a set-up, VMIDs, tables, dirty pages, exceptions of the host's own, a host with threads that move between
// CPUs. The guests are in el2_guest.S; run with both GICs, and with the library's vectors and the host's.
#include "axvcpu.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define RAM UINT64_C(0x80000000)
#define GICC UINT64_C(0x08010000)
#define REPORT 0xc6000001u
#define MIB UINT64_C(0x100000)
#define GIB UINT64_C(0x40000000)
enum { PAGE = 4096, BLOB_PAGES = 2, LINE = 50, PHYSICAL = 30, LINKED = 70 };

#define PROGRAMS(X) \
    X(echo) X(count) X(level) X(input) X(physical) X(control) X(traps) X(counter) X(read) X(write) X(float) X(spin) X(vectors_long) X(timer)
#define PROGRAM(name) extern const uint8_t guest_##name[];
PROGRAMS(PROGRAM)
extern const uint8_t guest_el2[], guest_el2_end[];

static struct axvm vm;
static struct axvcpu vcpus[2];
static struct axvcpu_exit x;
static uint8_t *ram; // the blob, and a page of data behind it

static axvcpu_gpa_t entry_of(const uint8_t *program)
{
    return axvcpu_gpa(RAM + (uint64_t)(program - guest_el2));
}

static bool map_blob(struct axvm *m, uint8_t **at)
{
    *at = host_alloc(BLOB_PAGES);
    if (*at == NULL)
        return false;
    AXVCPU_MEMCPY(*at, guest_el2, (size_t)(guest_el2_end - guest_el2));
    return axvm_map(m, axvcpu_gpa(RAM), axvcpu_from_ptr(*at), BLOB_PAGES * PAGE, AXVM_MAP_RWX) == AXVCPU_OK;
}

// A VM whose vCPUs run this program, set up in this way, and are bound here.
static bool begin(const uint8_t *program, const struct axvcpu_arch_setup *setup, uint32_t count)
{
    static struct axvcpu_arch_setup setups[2];
    struct axvm_desc d = {.vcpus = vcpus, .vcpu_count = count, .bsp_entry = entry_of(program), .ap_entry = entry_of(program),
                          .setups = setups, .arch = {.gicc = axvcpu_gpa(GICC)}};
    AXVCPU_MEMSET(setups, 0, sizeof setups);
    for (uint32_t i = 0; setup && i < count; i++)
        setups[i] = *setup;
    if (axvm_init(&vm, &d) != AXVCPU_OK || !map_blob(&vm, &ram) || axvm_boot(&vm) != AXVCPU_OK)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (axvcpu_bind(&vcpus[i]) != AXVCPU_OK)
            return false;
    return true;
}

static bool end(void)
{
    bool good = true;
    for (uint32_t i = 0; i < vm.vcpu_count; i++)
        if (axvcpu_get_state(&vcpus[i]) == AXVCPU_STATE_READY)
            good = axvcpu_unbind(&vcpus[i]) == AXVCPU_OK && good;
    host_free(ram, BLOB_PAGES);
    return axvm_deinit(&vm) == AXVCPU_OK && good;
}

static bool runs_to(struct axvcpu *v, uint32_t kind)
{
    char line[160];
    int err = axvcpu_run(v, &x);
    while (err == AXVCPU_OK && x.kind == AXVCPU_EXIT_EXTERNAL_INTERRUPT && kind != x.kind) { // the host's own
        if (x.irq.vector == AXVCPU_NO_VECTOR)
            machine_interrupts();
        else
            machine_irq(x.irq.vector);
        err = axvcpu_run(v, &x);
    }
    if (err == AXVCPU_OK && x.kind == kind)
        return true;
    axvcpu_exit_print(line, sizeof line, &x);

    host_log(err != AXVCPU_OK ? axvcpu_strerror(err) : line);
    return false;
}

static bool quiet;

// What is expected is not said.
void host_log(const char *text)
{
    if (quiet)
        return;
    host_print("# ");
    host_print(text);
    host_print("\n");
}

static bool reports(struct axvcpu *v, uint64_t value)
{
    if (runs_to(v, AXVCPU_EXIT_HYPERCALL) && x.hypercall.nr == REPORT && x.hypercall.args[0] == value)
        return true;
    host_print("# reports ");
    host_print_number(x.hypercall.args[0], 16);
    host_print("\n");
    return false;
}

// ---- list registers

// More than there are: they come in order, without the guest leaving for anything else.
static bool overflow(void)
{
    enum { MANY = 20, FIRST = 0x40 };
    uint32_t order[MANY];
    bool good = begin(guest_count, NULL, 1) && axvcpu_set_gpr(&vcpus[0], 0, MANY) == AXVCPU_OK;
    for (uint32_t i = MANY; i-- > 0;)
        good = good && axvcpu_inject_interrupt(&vcpus[0], FIRST + i) == AXVCPU_OK;
    good = good && reports(&vcpus[0], MANY);
    AXVCPU_MEMCPY(order, ram + PAGE, sizeof order);
    for (uint32_t i = 0; i < MANY; i++)
        good = good && order[i] == FIRST + i;
    return end() && good;
}

// The guest is left twice with list registers full, and on another vCPU's account.
static bool overflow_moved(void)
{
    enum { MANY = 12 };
    bool good = begin(guest_count, NULL, 1) && axvcpu_set_gpr(&vcpus[0], 0, MANY) == AXVCPU_OK;
    for (uint32_t i = 0; i < MANY && good; i++)
        good = axvcpu_inject_interrupt(&vcpus[0], 0x100 + i) == AXVCPU_OK && axvcpu_put(&vcpus[0]) == AXVCPU_OK &&
               axvcpu_load(&vcpus[0]) == AXVCPU_OK;
    good = good && axvcpu_unbind(&vcpus[0]) == AXVCPU_OK && axvcpu_bind(&vcpus[0]) == AXVCPU_OK && reports(&vcpus[0], MANY);
    return end() && good;
}

static bool level(void)
{
    bool good = begin(guest_level, NULL, 1) && axvcpu_set_irq(&vcpus[0], LINE, true) == AXVCPU_OK &&
                reports(&vcpus[0], LINE) && axvcpu_set_irq(&vcpus[0], LINE, false) == AXVCPU_OK && reports(&vcpus[0], 3);
    return end() && good;
}

// ---- the choices of a set-up

static bool external(void)
{
    static const struct axvcpu_arch_setup setup = {.gic = AXVCPU_ARM64_GIC_EXTERNAL};
    struct axvcpu *v = &vcpus[0];
    bool good = begin(guest_input, &setup, 1) && axvcpu_inject_hw(v, LINKED, PHYSICAL) == AXVCPU_ENOSUPPORT &&
                axvcpu_set_irq(v, LINE, true) == AXVCPU_OK && reports(v, 0x100) &&
                axvcpu_set_irq(v, LINE, false) == AXVCPU_OK && reports(v, 1) &&
                axvcpu_inject_interrupt(v, 9) == AXVCPU_OK && reports(v, 0x100) && // an edge stays until it is lowered
                axvcpu_put(v) == AXVCPU_OK && axvcpu_load(v) == AXVCPU_OK && axvcpu_set_irq(v, 9, false) == AXVCPU_OK &&
                reports(v, 2);
    return end() && good;
}

// The guest has the controller, too: in a GICv2 by its page.
static bool gic_passthrough(void)
{
    static const struct axvcpu_arch_setup setup = {.gic = AXVCPU_ARM64_GIC_PASSTHROUGH, .timer = AXVCPU_ARM64_TIMER_PASSTHROUGH};
    struct axvm_desc d = {.vcpus = vcpus, .vcpu_count = 1, .bsp_entry = entry_of(guest_physical), .setups = &setup};
    bool good = axvm_init(&vm, &d) == AXVCPU_OK && map_blob(&vm, &ram) &&
                axvm_map(&vm, axvcpu_gpa(GICC), axvcpu_from_hpa(axvcpu_hpa(HOST_GICC)), 2 * PAGE,
                         AXVM_MAP_READ | AXVM_MAP_WRITE | AXVM_MAP_DEVICE) == AXVCPU_OK &&
                axvm_boot(&vm) == AXVCPU_OK && axvcpu_bind(&vcpus[0]) == AXVCPU_OK &&
                axvcpu_set_gpr(&vcpus[0], 0, 1) == AXVCPU_OK;
    machine_accept(PHYSICAL);
    good = good && reports(&vcpus[0], PHYSICAL);
    machine_deactivate(PHYSICAL); // the host's EOImode leaves that to another register
    return end() && good;
}

static bool traps(void)
{
    static const struct axvcpu_arch_setup set = {.hcr_set = UINT64_C(1) << 26 | UINT64_C(1) << 17}, // TVM, TID2
        clear = {.hcr_clear = UINT64_C(1) << 21}; // TACR
    struct axvcpu *v = &vcpus[0];
    uint64_t ttbr0 = AXVCPU_ARM64_SYSREG(3, 0, 2, 0, 0), ctr = AXVCPU_ARM64_SYSREG(3, 3, 0, 0, 1),
             actlr = AXVCPU_ARM64_SYSREG(3, 0, 1, 0, 1);
    bool good = begin(guest_traps, &set, 1) && axvcpu_set_gpr(v, 0, 0x1234000) == AXVCPU_OK &&
                runs_to(v, AXVCPU_EXIT_SYSREG_WRITE) && x.sysreg.addr == ttbr0 && x.sysreg.value == 0x1234000 &&
                runs_to(v, AXVCPU_EXIT_SYSREG_READ) && x.sysreg.addr == ctr && axvcpu_complete(v, 0) == AXVCPU_OK &&
                runs_to(v, AXVCPU_EXIT_SYSREG_READ) && x.sysreg.addr == actlr &&
                axvcpu_complete(v, 0) == AXVCPU_OK && reports(v, 0x1234000);
    good = end() && good;
    good = begin(guest_traps, &clear, 1) && axvcpu_set_gpr(v, 0, 0x1234000) == AXVCPU_OK && reports(v, 0x1234000) && good;
    return end() && good;
}

// Not outside the list: no bit that would let a guest out can be set or cleared.
static bool allow_list(void)
{
    struct axvcpu_desc d = {.vm_id = 0};
    uint32_t good = 0;
    for (uint32_t bit = 0; bit < 64; bit++)
        for (uint32_t clear = 0; clear < 2; clear++) {
            struct axvcpu_arch_setup setup = {.vmid = 250};
            int wanted = (AXVCPU_ARM64_HCR_ALLOWED >> bit & 1) != 0 ? AXVCPU_OK : AXVCPU_EINVAL;
            *(clear ? &setup.hcr_clear : &setup.hcr_set) = UINT64_C(1) << bit;
            good += axvcpu_init(&vcpus[0], &d) == AXVCPU_OK &&
                    axvcpu_setup(&vcpus[0], axvcpu_gpa(0), axvcpu_hpa(0), &setup) == wanted &&
                    axvcpu_deinit(&vcpus[0]) == AXVCPU_OK;
        }
    return good == 128;
}

static bool bad_setups(void)
{
    static const struct axvcpu_arch_setup setups[] = {
        {.vmid = 0}, {.vmid = 256}, {.vmid = 1000000}, {.vmid = 249, .fp = 3}, {.vmid = 249, .gic = 3}, {.vmid = 249, .timer = 2},
    };
    struct axvcpu_desc d = {.vm_id = 0};
    uint32_t good = 0;
    for (uint32_t i = 0; i < COUNT(setups); i++)
        good += axvcpu_init(&vcpus[0], &d) == AXVCPU_OK &&
                axvcpu_setup(&vcpus[0], axvcpu_gpa(0), axvcpu_hpa(0), &setups[i]) == AXVCPU_EINVAL &&
                axvcpu_get_state(&vcpus[0]) == AXVCPU_STATE_INVALID && axvcpu_deinit(&vcpus[0]) == AXVCPU_OK;
    good += axvcpu_init(&vcpus[0], &d) == AXVCPU_OK && // a root that no register can hold
            axvcpu_setup(&vcpus[0], axvcpu_gpa(0), axvcpu_hpa(0x123), &(struct axvcpu_arch_setup){.vmid = 249}) == AXVCPU_EINVAL &&
            axvcpu_deinit(&vcpus[0]) == AXVCPU_OK;
    return good == COUNT(setups) + 1;
}

// The host's own table, VMID and control value, and no VM: 1 GiB blocks, 39 bits, from level 1 on.
static bool given(void)
{
    struct axvcpu_desc d = {.vm_id = 5};
    struct axvcpu_arch_setup setup = {.vmid = 200, .vtcr = UINT64_C(1) << 31 | 2u << 16 | 3u << 12 | 1u << 10 | 1u << 8 | 1u << 6 | 25};
    uint64_t *root = host_alloc(1);
    uint8_t *code = host_alloc(BLOB_PAGES);
    axvcpu_gpa_t entry = axvcpu_gpa((uintptr_t)code + (uint64_t)(guest_echo - guest_el2));
    AXVCPU_MEMCPY(code, guest_el2, (size_t)(guest_el2_end - guest_el2));
    root[(uintptr_t)code >> 30] = ((uintptr_t)code & ~UINT64_C(0x3fffffff)) | 0x7fd; // all, normal, accessed
    bool good = axvcpu_init(&vcpus[0], &d) == AXVCPU_OK &&
                axvcpu_setup(&vcpus[0], entry, axvcpu_hpa((uintptr_t)root), &setup) == AXVCPU_OK &&
                axvcpu_set_gpr(&vcpus[0], 0, 41) == AXVCPU_OK && axvcpu_bind(&vcpus[0]) == AXVCPU_OK && reports(&vcpus[0], 42) &&
                axvcpu_unbind(&vcpus[0]) == AXVCPU_OK && axvcpu_deinit(&vcpus[0]) == AXVCPU_OK;
    host_free(root, 1);
    host_free(code, BLOB_PAGES);
    return good;
}

static uint64_t host_offset(void)
{
    uint64_t offset;
    __asm__ volatile("mrs %0, cntvoff_el2" : "=r"(offset));
    return offset;
}

// The guest's, as long as it is here: the host's own virtual counter does not jump.
static bool counter_offset(void)
{
    static struct axvcpu_arch_setup setup;
    uint64_t own = host_offset();
    uint64_t before = machine_ticks();
    setup.cntvoff = before - 1000;
    bool good = begin(guest_counter, &setup, 1) && runs_to(&vcpus[0], AXVCPU_EXIT_HYPERCALL) &&
                x.hypercall.args[0] >= 1000 && x.hypercall.args[0] <= machine_ticks() - setup.cntvoff;
    return end() && host_offset() == own && good;
}

static bool floats(const struct axvcpu_arch_setup *setup, uint64_t second)
{
    bool good = begin(guest_float, setup, 2) && axvcpu_set_gpr(&vcpus[1], 0, second) == AXVCPU_OK;
    for (uint32_t i = 0; i < 3 && good; i++)
        good = reports(&vcpus[0], 0x77) && reports(&vcpus[1], second ? second : 0x77);
    good = good && axvcpu_put(&vcpus[0]) == AXVCPU_OK && axvcpu_load(&vcpus[0]) == AXVCPU_OK && reports(&vcpus[0], 0x77);
    return end() && good;
}

static bool float_eager(void)
{
    static const struct axvcpu_arch_setup setup = {.fp = AXVCPU_ARM64_FP_EAGER};
    bool good = begin(guest_spin, &setup, 1) && axvcpu_arch(&vcpus[0])->fp_loaded; // before it uses them
    good = end() && good;
    good = begin(guest_spin, NULL, 1) && !axvcpu_arch(&vcpus[0])->fp_loaded && good;
    return end() && good && floats(&setup, 0);
}

// Never saved: the memory's copy stays what it was.
static bool float_owned(void)
{
    static const struct axvcpu_arch_setup setup = {.fp = AXVCPU_ARM64_FP_OWNED};
    bool good = begin(guest_float, &setup, 1);
    for (uint32_t i = 0; i < 3 && good; i++)
        good = reports(&vcpus[0], 0x77) && axvcpu_put(&vcpus[0]) == AXVCPU_OK && axvcpu_arch(&vcpus[0])->q[18] == 0 &&
               axvcpu_load(&vcpus[0]) == AXVCPU_OK;
    return end() && good;
}

static bool float_lazy(void)
{
    return floats(NULL, 0);
}

// ---- VMIDs: more VMs than there are, each with its own memory at the same address

enum { VMS = 300 };
static struct axvm many[VMS];
static struct axvcpu many_vcpus[VMS];

static bool make_one(uint32_t i, uint8_t *blob)
{
    struct axvm_desc d = {.vcpus = &many_vcpus[i], .vcpu_count = 1, .bsp_entry = entry_of(guest_read)};
    uint64_t *page = host_alloc(1);
    if (page == NULL)
        return false;
    *page = 0x1000 + i;
    return axvm_init(&many[i], &d) == AXVCPU_OK &&
           axvm_map(&many[i], axvcpu_gpa(RAM), axvcpu_from_ptr(blob), PAGE, AXVM_MAP_RWX) == AXVCPU_OK &&
           axvm_map(&many[i], axvcpu_gpa(RAM + PAGE), axvcpu_from_ptr(page), PAGE, AXVM_MAP_RWX) == AXVCPU_OK &&
           axvm_boot(&many[i]) == AXVCPU_OK;
}

// What the hardware tags its TLB with; QEMU forgives a wrong one.
static uint64_t vttbr(void)
{
    uint64_t value;
    __asm__ volatile("mrs %0, vttbr_el2" : "=r"(value));
    return value;
}

static bool vmids(void)
{
    size_t free_pages = host_free_pages();
    uint8_t *blob = host_alloc(1);
    bool good = true, kept = true;
    uint64_t used[4] = {0};
    AXVCPU_MEMCPY(blob, guest_el2, (size_t)(guest_el2_end - guest_el2));
    for (uint32_t i = 0; i < VMS; i++)
        good = good && make_one(i, blob);
    good = good && axvcpu_bind(&many_vcpus[0]) == AXVCPU_OK; // this one is loaded while generations pass
    for (uint32_t round = 0; round < 3; round++)
        for (uint32_t i = 1; i < VMS; i++) {
            uint32_t id = axvm_vmid(&many[i]);
            used[id / 64] |= UINT64_C(1) << id % 64;
            good = good && id != 0 && id < 256 && id != 250 && axvcpu_bind(&many_vcpus[i]) == AXVCPU_OK &&
                   vttbr() == ((uint64_t)id << 48 | axvm_root(&many[i]).addr) && reports(&many_vcpus[i], 0x1000 + i) &&
                   axvcpu_unbind(&many_vcpus[i]) == AXVCPU_OK;
            if (i % 100 == 0)
                kept = kept && reports(&many_vcpus[0], 0x1000);
        }
    good = good && axvcpu_unbind(&many_vcpus[0]) == AXVCPU_OK;
    for (uint32_t i = 0; i < VMS; i++) {
        axvcpu_backing_t page;
        good = axvm_translate(&many[i], axvcpu_gpa(RAM + PAGE), &page) == AXVCPU_OK && good;
        good = axvm_deinit(&many[i]) == AXVCPU_OK && good;
        host_free(page.ptr, 1);
    }
    host_free(blob, 1);
    return good && kept && (used[0] | 1) == UINT64_MAX && host_free_pages() == free_pages;
}

// The host gives one that a VM of ours has: that VM gets another, unless it is loaded.
static bool vmid_given(void)
{
    struct axvcpu_desc d = {.vm_id = 9};
    struct axvcpu_arch_setup setup = {0};
    bool good = begin(guest_echo, NULL, 1);
    setup.vmid = axvm_vmid(&vm);
    good = good && axvcpu_init(&vcpus[1], &d) == AXVCPU_OK &&
           axvcpu_setup(&vcpus[1], axvcpu_gpa(0), axvcpu_hpa(0), &setup) == AXVCPU_EBUSY && axvcpu_reset(&vcpus[1]) == AXVCPU_OK &&
           axvcpu_unbind(&vcpus[0]) == AXVCPU_OK &&
           axvcpu_setup(&vcpus[1], axvcpu_gpa(0), axvcpu_hpa(0), &setup) == AXVCPU_OK && axvm_vmid(&vm) != setup.vmid &&
           axvcpu_deinit(&vcpus[1]) == AXVCPU_OK && axvcpu_bind(&vcpus[0]) == AXVCPU_OK &&
           axvcpu_set_gpr(&vcpus[0], 0, 1) == AXVCPU_OK && reports(&vcpus[0], 2);
    return end() && good;
}

// ---- tables

// The level of the leaf for gpa, 4: there is none; as the hardware walks.
static uint32_t leaf_level(struct axvm *m, uint64_t gpa)
{
    uint32_t level = 4 - m->arch.levels;
    uint64_t desc = ((uint64_t *)(uintptr_t)axvm_root(m).addr)[gpa >> (39 - 9 * level)];
    while (level < 3 && (desc & 3) == 3) {
        level++;
        desc = ((uint64_t *)(uintptr_t)(desc & UINT64_C(0xfffffffff000)))[gpa >> (39 - 9 * level) & 511];
    }
    return (desc & 1) != 0 ? level : 4;
}

// 40 bits start at level 1, 44 and more at level 0.
static bool levels(void)
{
    uint64_t range;
    __asm__("mrs %0, id_aa64mmfr0_el1" : "=r"(range));
    bool good = begin(guest_echo, NULL, 1) && vm.arch.levels == ((range & 15) >= 4 ? 4u : 3u);
    return end() && good;
}

static bool maps(uint64_t gpa, uint64_t hpa, uint64_t size)
{
    return axvm_map(&vm, axvcpu_gpa(gpa), axvcpu_from_hpa(axvcpu_hpa(hpa)), size, AXVM_MAP_READ | AXVM_MAP_WRITE) == AXVCPU_OK;
}

// The largest leaf that fits, smaller ones around it; a block where a table was; nothing is lost.
static bool blocks(void)
{

    size_t free_pages = host_free_pages();
    bool good = begin(guest_echo, NULL, 1) && maps(2 * GIB, GIB, GIB + 2 * MIB + PAGE) == false; // over the blob
    good = good && maps(4 * GIB, GIB, GIB + 2 * MIB + PAGE) && leaf_level(&vm, 4 * GIB) == 1 &&
           leaf_level(&vm, 5 * GIB) == 2 && leaf_level(&vm, 5 * GIB + 2 * MIB) == 3 &&
           leaf_level(&vm, 5 * GIB + 2 * MIB + PAGE) == 4;
    good = good && maps(6 * GIB - PAGE, GIB - PAGE, 2 * MIB + 2 * PAGE) && leaf_level(&vm, 6 * GIB - PAGE) == 3 &&
           leaf_level(&vm, 6 * GIB) == 2 && leaf_level(&vm, 6 * GIB + 2 * MIB) == 3;
    good = good && axvm_unmap(&vm, axvcpu_gpa(4 * GIB), GIB + 2 * MIB + PAGE) == AXVCPU_OK &&
           leaf_level(&vm, 4 * GIB) == 4 && leaf_level(&vm, 5 * GIB) == 4 &&
           leaf_level(&vm, 5 * GIB + 2 * MIB) == 4;
    good = good && maps(4 * GIB, GIB + PAGE, PAGE) && leaf_level(&vm, 4 * GIB) == 3 &&
           axvm_unmap(&vm, axvcpu_gpa(4 * GIB), PAGE) == AXVCPU_OK && maps(4 * GIB, GIB, 2 * MIB) &&
           leaf_level(&vm, 4 * GIB) == 2; // in the place of a table
    good = good && maps(UINT64_C(1) << 40 << 8, GIB, PAGE) == false; // behind the range
    return end() && good && host_free_pages() == free_pages;
}

static bool stores(uint64_t gpa, uint64_t next)
{
    return runs_to(&vcpus[0], AXVCPU_EXIT_HYPERCALL) && axvcpu_set_gpr(&vcpus[0], 0, next) == AXVCPU_OK &&
           (gpa == 0 || axvm_ptr(&vm, axvcpu_gpa(gpa), 8) != NULL);
}

// Two blocks: what is written becomes pages, and is told once.
static bool dirty(void)
{
    enum { LOG = 4 << 20, AT = 0x20000000 };
    static uint64_t map[LOG / PAGE / 64];
    size_t free_pages = host_free_pages();
    axvcpu_hpa_t log = axvcpu_host_alloc_frame(LOG / PAGE, 2 * MIB);
    bool good = log.addr != 0 && begin(guest_write, NULL, 1) &&
                axvm_map(&vm, axvcpu_gpa(AT), axvcpu_from_hpa(log), LOG, AXVM_MAP_RWX | AXVM_MAP_LOG_DIRTY) == AXVCPU_OK &&
                axvcpu_set_gpr(&vcpus[0], 0, AT + 5 * PAGE) == AXVCPU_OK && axvcpu_set_gpr(&vcpus[0], 1, 0x5a5a) == AXVCPU_OK;
    good = good && leaf_level(&vm, AT) == 2 && stores(0, AT + 5 * PAGE + 8) && leaf_level(&vm, AT) == 3 &&
           leaf_level(&vm, AT + 2 * MIB) == 2 && stores(0, AT + 63 * PAGE) && stores(0, AT + 5 * PAGE);
    good = good && axvm_arm64_dirty(&vm, axvcpu_gpa(AT), LOG, map) == AXVCPU_OK &&
           map[0] == (UINT64_C(1) << 5 | UINT64_C(1) << 63) && *(uint64_t *)(uintptr_t)(log.addr + 5 * PAGE) == 0x5a5a;
    for (uint32_t i = 1; i < COUNT(map); i++)
        good = good && map[i] == 0;
    good = good && axvm_arm64_dirty(&vm, axvcpu_gpa(AT), LOG, map) == AXVCPU_OK && map[0] == 0 &&
           stores(0, AT + 2 * MIB + PAGE) && stores(0, AT) && // page 5 again, and the other block
           axvm_arm64_dirty(&vm, axvcpu_gpa(AT + 5 * PAGE), PAGE, map) == AXVCPU_OK && map[0] == 1 &&
           axvm_arm64_dirty(&vm, axvcpu_gpa(AT), LOG, map) == AXVCPU_OK && map[0] == 0 && map[8] == 2;
    good = good && axvm_arm64_dirty(&vm, axvcpu_gpa(RAM), PAGE, map) == AXVCPU_EINVAL &&
           axvm_arm64_dirty(&vm, axvcpu_gpa(AT), LOG + PAGE, map) == AXVCPU_EINVAL &&
           axvm_arm64_dirty(&vm, axvcpu_gpa(AT + 1), PAGE, map) == AXVCPU_EINVAL &&
           axvm_arm64_dirty(&vm, axvcpu_gpa(AT), PAGE, NULL) == AXVCPU_EINVAL &&
           axvm_unmap(&vm, axvcpu_gpa(AT), LOG) == AXVCPU_OK && runs_to(&vcpus[0], AXVCPU_EXIT_MMIO_WRITE);
    good = end() && good;
    axvcpu_host_free_frame(log, LOG / PAGE);
    return good && host_free_pages() == free_pages;
}

// ---- the host's own exceptions

static struct axvcpu_arm64_frame trapped;
static uint32_t trapped_times;

static bool on_trap(struct axvcpu_arm64_frame *f)
{
    trapped = *f;
    trapped_times++;
    f->elr += 4;
    f->x[6] = 0x6666;
    return true;
}

// The hook has the registers, and may change them; also while a guest is bound.
static bool exceptions(void)
{
    register uint64_t five __asm__("x5") = 0x5555, six __asm__("x6") = 6, thirty __asm__("x30") = 0x3030;
    bool good = begin(guest_echo, NULL, 1);
    machine_trapped = on_trap;
    five = 0x5555;
    six = 6;
    thirty = 0x3030;
    __asm__ volatile("brk #7" : "+r"(five), "+r"(six), "+r"(thirty) : : "memory");
    good = good && trapped_times == 1 && trapped.x[5] == 0x5555 && five == 0x5555 && trapped.x[6] == 6 && six == 0x6666 &&
           trapped.x[30] == 0x3030 && AXVCPU_ARM64_ESR_EC(trapped.esr) == AXVCPU_ARM64_EC_BRK && (trapped.esr & 0xffff) == 7 &&
           trapped.slot == 4;
    __asm__ volatile("udf #0" : : : "memory");
    good = good && trapped_times == 2 && AXVCPU_ARM64_ESR_EC(trapped.esr) == AXVCPU_ARM64_EC_UNKNOWN;
    __asm__ volatile("ldr xzr, [%0]" : : "r"(UINT64_C(1) << 55) : "memory");
    good = good && trapped_times == 3 && AXVCPU_ARM64_ESR_EC(trapped.esr) == AXVCPU_ARM64_EC_DATA_SAME &&
           trapped.far == UINT64_C(1) << 55;
    machine_trapped = NULL;
    good = good && axvcpu_set_gpr(&vcpus[0], 0, 1) == AXVCPU_OK && reports(&vcpus[0], 2);
    return end() && good;
}

// ---- vCPUs that take turns, move, or are left behind

static bool evicted(void)
{
    bool good = begin(guest_echo, NULL, 2) && axvcpu_set_gpr(&vcpus[0], 0, 1) == AXVCPU_OK &&
                axvcpu_set_gpr(&vcpus[1], 0, 10) == AXVCPU_OK && reports(&vcpus[0], 2) && reports(&vcpus[1], 11) &&
                axvcpu_restart(&vcpus[0], entry_of(guest_echo), 7) == AXVCPU_OK && reports(&vcpus[0], 8) &&
                reports(&vcpus[1], REPORT + 1);
    return end() && good;
}

static bool there;
static struct host_thread main_thread, other_thread;

// As a thread that goes to another CPU: its token stays.
static void load_there(void *unused)
{
    struct host_thread *was = HOST_CPU()->thread;
    (void)unused;
    HOST_CPU()->thread = &main_thread;
    main_thread.cpu = HOST_CPU();
    there = axvcpu_load(&vcpus[0]) == AXVCPU_OK && reports(&vcpus[0], 0x77) && axvcpu_put(&vcpus[0]) == AXVCPU_OK;
    HOST_CPU()->thread = was;
}

// With FP registers and interrupts that are still to be taken.
static bool migrated(void)
{
    bool good = begin(guest_float, NULL, 1);
    for (uint32_t i = 0; i < 3 && good; i++) {
        there = false;
        good = reports(&vcpus[0], 0x77) && axvcpu_put(&vcpus[0]) == AXVCPU_OK && host_start_job(1, load_there, NULL);
        host_wait_job(1);
        main_thread.cpu = HOST_CPU();
        good = good && there && axvcpu_load(&vcpus[0]) == AXVCPU_OK;
    }
    return end() && good;
}

static void bind_there(void *v)
{
    HOST_CPU()->thread = &other_thread;
    there = axvcpu_bind(v) == AXVCPU_OK && runs_to(v, AXVCPU_EXIT_HYPERCALL);
}

// A CPU that has died with a vCPU: it is Invalid, and the CPU can have another when it is back.
static bool abandoned(void)
{
    bool good = begin(guest_echo, NULL, 2) && axvcpu_unbind(&vcpus[0]) == AXVCPU_OK && axvcpu_unbind(&vcpus[1]) == AXVCPU_OK &&
                host_start_job(1, bind_there, &vcpus[0]);
    host_wait_job(1);
    good = good && there && axvcpu_bind(&vcpus[0]) == AXVCPU_EBUSY && axvcpu_abandon(&vcpus[0]) == AXVCPU_OK &&
           axvcpu_get_state(&vcpus[0]) == AXVCPU_STATE_INVALID && host_start_job(1, bind_there, &vcpus[1]);
    host_wait_job(1);
    good = good && there && axvcpu_abandon(&vcpus[1]) == AXVCPU_OK;
    return end() && good;
}

// ---- what is left

// Nobody asked for SVE: the caller hears of it, and the guest of what the caller makes of it.
static bool unexpected(void)
{
    uint64_t features;
    struct axvcpu *v = &vcpus[0];
    bool good = begin(guest_vectors_long, NULL, 1);
    __asm__("mrs %0, id_aa64pfr0_el1" : "=r"(features));
    if ((features >> 32 & 15) != 0)
        good = good && runs_to(v, AXVCPU_EXIT_EXCEPTION) && x.exception.vector == AXVCPU_ARM64_EC_SVE &&
               axvcpu_inject_exception(v, AXVCPU_ARM64_EC_UNKNOWN, 0, 0) == AXVCPU_OK;
    good = good && runs_to(v, AXVCPU_EXIT_HYPERCALL) && x.hypercall.nr == 0xc60000ee && x.hypercall.args[0] == 0x02000000;
    good = good && axvcpu_inject_exception(v, AXVCPU_ARM64_EC_COUNT, 0, 0) == AXVCPU_EINVAL &&
           axvcpu_inject_exception(v, 0, 1u << 25, 0) == AXVCPU_EINVAL;
    return end() && good;
}

// Registers of a vCPU that is nowhere keep all that they are given.
static bool wide(void)
{
    uint64_t sctlr = AXVCPU_REG_SYS(AXVCPU_ARM64_SYSREG(3, 0, 1, 0, 0)), value = 0, wanted = UINT64_C(0x123430d00800);
    bool good = begin(guest_spin, NULL, 1) && axvcpu_unbind(&vcpus[0]) == AXVCPU_OK &&
                axvcpu_set_reg(&vcpus[0], sctlr, wanted) == AXVCPU_OK && axvcpu_get_reg(&vcpus[0], sctlr, &value) == AXVCPU_OK &&
                value == wanted && axvcpu_set_reg(&vcpus[0], AXVCPU_REG_FLAGS, 9) == AXVCPU_EINVAL && // EL2
                axvcpu_get_reg(&vcpus[0], AXVCPU_REG_SYS(AXVCPU_ARM64_SYSREG(3, 4, 1, 1, 0)), &value) == AXVCPU_ENOSUPPORT &&
                axvcpu_set_reg(&vcpus[0], sctlr, 0x30d00800) == AXVCPU_OK && axvcpu_bind(&vcpus[0]) == AXVCPU_OK;
    return end() && good;
}

static uint64_t host_vbar(void)
{
    uint64_t vbar;
    __asm__ volatile("mrs %0, vbar_el2" : "=r"(vbar));
    return vbar;
}

// The CPU as it was, no vCPU on it; and back. With vectors of the host's own they stay.
static bool disabled(void)
{
    struct axvcpu_percpu *p = host_percpu();
    uint64_t ours = host_vbar(), before;
    bool good = begin(guest_echo, NULL, 1) && axvcpu_percpu_disable(p) == AXVCPU_EBUSY && axvcpu_unbind(&vcpus[0]) == AXVCPU_OK &&
                axvcpu_percpu_disable(p) == AXVCPU_OK && !axvcpu_percpu_is_enabled(p);
    before = host_vbar();
    good = good && axvcpu_bind(&vcpus[0]) == AXVCPU_ENOSUPPORT && axvcpu_get_state(&vcpus[0]) == AXVCPU_STATE_INVALID;
#ifdef AXVCPU_OWN_VECTORS
    good = good && before == ours;
#else
    good = good && before != ours;
#endif
    good = good && axvcpu_percpu_enable(p) == AXVCPU_OK && host_vbar() == ours;
    return end() && good;
}

// HCR_EL2.E2H, where there is one: said and refused.
static bool other_kind_of_host(void)
{
    uint64_t features, hcr, with = 0;
    bool good = true;
    __asm__("mrs %0, id_aa64mmfr1_el1" : "=r"(features));
    __asm__ volatile("mrs %0, hcr_el2" : "=r"(hcr));
    if ((features >> 8 & 15) != 0) {
        with = hcr | UINT64_C(1) << 34;
        __asm__ volatile("msr hcr_el2, %0\nisb" : : "r"(with));
        good = !axvcpu_has_hardware_support();
        __asm__ volatile("msr hcr_el2, %0\nisb" : : "r"(hcr));
    }
    return good && axvcpu_has_hardware_support();
}

// Every frame fails once, in a VM's life; nothing stays behind.
static bool no_memory(void)
{
    size_t all = host_free_pages(), left = 0;
    void *hold = NULL, **last = &hold, *page;
    bool good = true, made = false;
    while (host_free_pages() > 0 && (page = host_alloc(1)) != NULL) {
        *last = page;
        last = page;
    }
    for (; left < 40 && good && !made; left++) { // one more frame each time
        size_t before = host_free_pages();
        struct axvm_desc d = {.vcpus = vcpus, .vcpu_count = 1, .bsp_entry = axvcpu_gpa(RAM)};
        int err = axvm_init(&vm, &d);
        good = err == AXVCPU_OK || err == AXVCPU_ENOMEM;
        if (err == AXVCPU_OK) {
            err = axvm_map(&vm, axvcpu_gpa(RAM + 2 * MIB - PAGE), axvcpu_from_hpa(axvcpu_hpa(GIB)), 2 * PAGE, AXVM_MAP_RWX);
            good = err == AXVCPU_OK || (err == AXVCPU_ENOMEM && leaf_level(&vm, RAM + 2 * MIB - PAGE) == 4);
            made = err == AXVCPU_OK;
            good = axvm_deinit(&vm) == AXVCPU_OK && good;
        }
        good = good && host_free_pages() == before;
        page = hold;
        hold = *(void **)page;
        host_free(page, 1);
    }
    while (hold != NULL) {
        page = hold;
        hold = *(void **)page;
        host_free(page, 1);
    }
    return good && made && left > 3 && host_free_pages() == all;
}

// Without a frame for the pages the block is dirty as a whole.
static bool dirty_block(void)
{
    enum { AT = 0x20000000, PAGES = 512 };
    static uint64_t map[PAGES / 64];
    axvcpu_hpa_t log = axvcpu_host_alloc_frame(PAGES, 2 * MIB);
    void *hold = NULL, *page;
    bool good = log.addr != 0 && begin(guest_write, NULL, 1) &&
                axvm_map(&vm, axvcpu_gpa(AT), axvcpu_from_hpa(log), 2 * MIB, AXVM_MAP_RWX | AXVM_MAP_LOG_DIRTY) == AXVCPU_OK &&
                axvcpu_set_gpr(&vcpus[0], 0, AT + 5 * PAGE) == AXVCPU_OK;
    while ((page = host_alloc(1)) != NULL) {
        *(void **)page = hold;
        hold = page;
    }
    good = good && stores(0, AT + 6 * PAGE) && leaf_level(&vm, AT) == 2 &&
           axvm_arm64_dirty(&vm, axvcpu_gpa(AT), PAGE, map) == AXVCPU_OK && map[0] == 1 && // a part leaves the others
           axvm_arm64_dirty(&vm, axvcpu_gpa(AT + 9 * PAGE), 2 * MIB - 9 * PAGE, map) == AXVCPU_OK &&
           axvm_arm64_dirty(&vm, axvcpu_gpa(AT), 2 * MIB, map) == AXVCPU_OK;
    for (uint32_t i = 0; i < COUNT(map); i++)
        good = good && map[i] == UINT64_MAX;
    good = good && axvm_arm64_dirty(&vm, axvcpu_gpa(AT), 2 * MIB, map) == AXVCPU_OK && map[0] == 0;
    while (hold != NULL) {
        page = hold;
        hold = *(void **)page;
        host_free(page, 1);
    }
    good = good && stores(0, 0) && axvm_arm64_dirty(&vm, axvcpu_gpa(AT), 2 * MIB, map) == AXVCPU_OK && map[0] == 1 << 6;
    good = end() && good;
    axvcpu_host_free_frame(log, PAGES);
    return good;
}

// Pages of random instructions with random registers: whatever they do, it is an exit, and another guest goes on.
static void enough(void *v)
{
    (void)axvcpu_kick(v);
}

static bool answer_anything(struct axvcpu *v)
{
    int err = axvcpu_run(v, &x);
    if (err == AXVCPU_OK && (AXVCPU_READ_KINDS >> x.kind & 1) != 0)
        err = (host_random() & 3) != 0 ? axvcpu_complete(v, host_random()) : axvcpu_refuse(v);
    else if (err == AXVCPU_OK && x.kind == AXVCPU_EXIT_EXTERNAL_INTERRUPT)
        machine_irq(x.irq.vector);
    else if (err == AXVCPU_OK && (x.kind == AXVCPU_EXIT_UNDECODED || x.kind == AXVCPU_EXIT_NESTED_PAGE_FAULT))
        err = axvcpu_inject_exception(v, AXVCPU_ARM64_EC_DATA, AXVCPU_ARM64_FSC_EXTERNAL, 0);
    else if (err == AXVCPU_OK && x.kind == AXVCPU_EXIT_EXCEPTION)
        err = axvcpu_inject_exception(v, AXVCPU_ARM64_EC_UNKNOWN, 0, 0);
    return err == AXVCPU_OK && x.kind < AXVCPU_EXIT_COUNT && x.kind != AXVCPU_EXIT_FAIL_ENTRY;
}

static bool random_page(struct axvcpu *v)
{
    bool good = true;
    for (uint32_t i = 0; i < PAGE / 8; i++)
        ((uint64_t *)(void *)(ram + PAGE))[i] = host_random();
    good = axvcpu_restart(v, axvcpu_gpa(RAM + PAGE + (host_random() & 0xf00)), host_random()) == AXVCPU_OK;
    for (uint32_t i = 1; i < 31; i++)
        good = good && axvcpu_set_gpr(v, i, (host_random() & 1) != 0 ? host_random() : RAM + PAGE + (host_random() & 0xff8)) == AXVCPU_OK;
    host_alarm(1000000, enough, v);
    for (uint32_t exits = 0; good && exits < 100; exits++) {
        good = answer_anything(v);
        if (x.kind == AXVCPU_EXIT_CANCELED)
            break;
    }
    return good;
}

static bool random_guests(void)
{
    struct axvcpu *v = &vcpus[0];
    bool good = begin(guest_echo, NULL, 2);
    for (uint32_t page = 0; good && page < 300; page++) {
        good = random_page(v);
        if (page % 10 == 0)
            good = good && axvcpu_restart(&vcpus[1], entry_of(guest_echo), page) == AXVCPU_OK && reports(&vcpus[1], page + 1);
    }
    host_alarm(1, enough, v); // the last one's, for good
    while (!axvcpu_pending(v))
        machine_interrupts();
    if (!good) {
        host_print("# seed ");
        host_print_number(host_argument_number("seed"), 16);
        host_print(", ");
        host_print(axvcpu_exit_name(x.kind));
        host_print("\n");
    }
    return end() && good;
}

// The virtual timer, through whatever the host does with interrupts.
static bool timer(void)
{
    bool good = begin(guest_timer, NULL, 1) && axvcpu_set_gpr(&vcpus[0], 0, 20000) == AXVCPU_OK;
#ifdef HOST_NO_FETCH
    good = good && runs_to(&vcpus[0], AXVCPU_EXIT_EXTERNAL_INTERRUPT) && x.irq.vector == AXVCPU_NO_VECTOR;
    machine_interrupts(); // the host takes it, and gives it to axvcpu_arm64_irq
#endif
    good = good && reports(&vcpus[0], MACHINE_VTIMER);
    return end() && good;
}

static uint64_t timer_control(void)
{
    uint64_t ctl;
    __asm__ volatile("mrs %0, cntv_ctl_el0" : "=r"(ctl));
    return ctl;
}

// It must not fire into others while its vCPU is away.
static bool timer_stops(void)
{
    struct axvcpu *v = &vcpus[0];
    uint64_t cval = AXVCPU_REG_SYS(AXVCPU_ARM64_SYSREG(3, 3, 14, 3, 2)), ctl = AXVCPU_REG_SYS(AXVCPU_ARM64_SYSREG(3, 3, 14, 3, 1));
    uint64_t value = 0;
    bool good = begin(guest_spin, NULL, 1) && axvcpu_set_reg(v, cval, UINT64_MAX / 2) == AXVCPU_OK &&
                axvcpu_set_reg(v, ctl, 1) == AXVCPU_OK && timer_control() == 1 && axvcpu_put(v) == AXVCPU_OK &&
                timer_control() == 0 && axvcpu_get_reg(v, ctl, &value) == AXVCPU_OK && value == 1 && !axvcpu_pending(v) &&
                axvcpu_load(v) == AXVCPU_OK && timer_control() == 1 && axvcpu_set_reg(v, ctl, 0) == AXVCPU_OK;
    return end() && good;
}

// The physical timer is the host's: the guest leaves, and the host's own CNTHCTL_EL2 is back afterwards.
static bool timer_traps(void)
{
    const uint64_t ctl = AXVCPU_ARM64_SYSREG(3, 3, 14, 2, 1), open = 3;
    uint64_t found, after;
    bool good;
    __asm__ volatile("mrs %0, cnthctl_el2\nmsr cnthctl_el2, %1\nisb" : "=&r"(found) : "r"(open));
    good = begin(guest_control, NULL, 1) && runs_to(&vcpus[0], AXVCPU_EXIT_SYSREG_READ) && x.sysreg.addr == ctl;
    good = end() && good;
    __asm__ volatile("mrs %0, cnthctl_el2\nmsr cnthctl_el2, %1\nisb" : "=&r"(after) : "r"(found));
    return good && (after & 3u) == open;
}

#ifndef HOST_NO_FETCH
// The physical timer's interrupt, at EL2: it stays active until the guest has ended its own.
static bool linked(void)
{
    uint64_t now = machine_ticks();
    bool good = begin(guest_count, NULL, 1) && axvcpu_set_gpr(&vcpus[0], 0, 1) == AXVCPU_OK;
    machine_linked = PHYSICAL;
    machine_accept(PHYSICAL);
    __asm__ volatile("msr cntp_cval_el0, %0\nmsr cntp_ctl_el0, %1\nisb" : : "r"(now), "r"((uint64_t)1));
    good = good && runs_to(&vcpus[0], AXVCPU_EXIT_EXTERNAL_INTERRUPT) && x.irq.vector == PHYSICAL && machine_is_active(PHYSICAL);
    __asm__ volatile("msr cntp_ctl_el0, xzr\nisb");
    good = good && axvcpu_inject_hw(&vcpus[0], LINKED, 15) == AXVCPU_EINVAL &&
           axvcpu_inject_hw(&vcpus[0], LINKED, PHYSICAL) == AXVCPU_OK &&
           axvcpu_inject_hw(&vcpus[0], LINKED, PHYSICAL) == AXVCPU_EAGAIN && axvcpu_pending(&vcpus[0]) &&
           reports(&vcpus[0], 1) && !machine_is_active(PHYSICAL) && *(uint32_t *)(void *)(ram + PAGE) == LINKED;
    machine_linked = 0;
    return end() && good;
}

static bool timer_passthrough(void)
{
    static const struct axvcpu_arch_setup setup = {.timer = AXVCPU_ARM64_TIMER_PASSTHROUGH};
    bool good = begin(guest_physical, &setup, 1) && axvcpu_set_gpr(&vcpus[0], 0, 0) == AXVCPU_OK;
    machine_accept(PHYSICAL);
    good = good && runs_to(&vcpus[0], AXVCPU_EXIT_EXTERNAL_INTERRUPT) && x.irq.vector == PHYSICAL;
    __asm__ volatile("msr cntp_ctl_el0, xzr\nisb");
    return end() && good;
}

#else
// An interrupt of the host's ends the run, every run, until the host has taken it.
static bool pending(void)
{
    bool good = begin(guest_spin, NULL, 1);
    machine_kick(HOST_CPU());
    for (uint32_t i = 0; i < 3; i++)
        good = good && runs_to(&vcpus[0], AXVCPU_EXIT_EXTERNAL_INTERRUPT) && x.irq.vector == AXVCPU_NO_VECTOR;
    machine_interrupts();
    good = good && axvcpu_kick(&vcpus[0]) == AXVCPU_OK && runs_to(&vcpus[0], AXVCPU_EXIT_CANCELED);
    return end() && good;
}
#endif

static const struct {
    const char *name;
    bool (*test)(void);
    bool complains; // the library has reason to
} tests[] = {
#ifdef HOST_NO_FETCH
    {"an interrupt of the host's stays pending", pending, false},
#else
    {"an interrupt linked to hardware", linked, false},
    {"set-up: the timers are passed through", timer_passthrough, false},
#endif
    {"the virtual timer's interrupt", timer, false},
    {"the virtual timer stops with its vCPU", timer_stops, false},
    {"more interrupts than list registers", overflow, false},
    {"... also when they move", overflow_moved, false},
    {"a level comes again until it is lowered", level, false},
    {"set-up: the controller is emulated outside", external, false},
    {"set-up: the controller and the timers are passed through", gic_passthrough, false},
    {"set-up: HCR_EL2, what may be set and cleared", traps, false},
    {"set-up: HCR_EL2, what may not", allow_list, true},
    {"set-up: what is not valid", bad_setups, true},
    {"set-up: root, VTCR_EL2 and VMID of the host's", given, false},
    {"set-up: the virtual counter's offset, and the host's stays", counter_offset, false},
    {"the physical timer traps, and the host's CNTHCTL_EL2 stays", timer_traps, false},
    {"trap_28: FP, lazily", float_lazy, false},
    {"trap_28: FP, eagerly", float_eager, false},
    {"set-up: FP, owned", float_owned, false},
    {"trap_28: 300 VMs and 255 VMIDs", vmids, false},
    {"a VMID that the host gives", vmid_given, true},
    {"as many levels as the address has", levels, false},
    {"blocks and pages", blocks, true},
    {"dirty pages", dirty, false},
    {"exceptions of the host's own", exceptions, false},
    {"a vCPU that was restarted while another had the CPU", evicted, false},
    {"a vCPU goes with its thread to another CPU", migrated, false},
    {"a vCPU whose CPU has died", abandoned, true},
    {"trap_26: an exception that nobody expects", unexpected, false},
    {"trap_28: SCTLR_EL1 has 64 bits", wide, true},
    {"a CPU that is disabled", disabled, true},
    {"a host with HCR_EL2.E2H", other_kind_of_host, false},
    {"trap_26: random instructions", random_guests, false},
    {"no memory", no_memory, true},
    {"no memory for dirty pages", dirty_block, false},
};

int host_main(void)
{
    main_thread.cpu = HOST_CPU();
    HOST_CPU()->thread = &main_thread;
    other_thread.cpu = &host_cpus[1];
    for (uint32_t i = 0; i < COUNT(tests); i++) {
        quiet = tests[i].complains;
        host_case(tests[i].test(), tests[i].name);
    }
    return 0;
}
