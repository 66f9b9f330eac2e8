/* SPDX-License-Identifier: Apache-2.0
 *
 * The least that a backend can be: run copies the exit's kind and one operand out of the vCPU, everything
 * else says yes. What is measured on it is the library alone.
 */
#ifndef BENCH_MINIMAL_H
#define BENCH_MINIMAL_H

#define AXVCPU_LEAF_NAME "minimal"
#define AXVCPU_LEAF_GPRS 1
#define AXVCPU_LEAF_RETURN_GPR 0
#ifndef AXVCPU_LEAF_VECTORS
#define AXVCPU_LEAF_VECTORS 64
#endif
#define AXVCPU_LEAF_VECTOR_OK(n) true
#define AXVM_LEAF_UP_OK 0
#define AXVM_LEAF_UP_ALREADY 1
#define AXVM_LEAF_UP_INVALID 2
#define AXVM_LEAF_UP_ANSWERS false
#define AXVM_LEAF_PAGE 4096u

struct axvcpu_arch_create { uint32_t kind; }; /* what run returns */
struct axvcpu_arch_setup { uint32_t none; };
struct axvcpu_arch_percpu { uint32_t none; };
struct axvm_arch_desc { uint32_t none; };
struct axvm_arch { uint32_t none; };
struct axvcpu_arch {
    uint32_t kind, flags;
    uint64_t operand;
};

AXVCPU_LEAF_DECLARE(static inline, static inline)

static inline int axvcpu_leaf_run(struct axvcpu *v, struct axvcpu_exit *x)
{
    const struct axvcpu_arch *a = axvcpu_arch(v);

    x->kind = a->kind;
    x->flags = a->flags;
    x->hypercall.nr = a->operand;
#ifdef BENCH_SLOW /* for the test that a regression is found */
    __asm__ volatile("nop; nop; nop");
#endif
    return AXVCPU_OK;
}

static inline int axvcpu_leaf_create(struct axvcpu *v, const struct axvcpu_arch_create *create)
{
    axvcpu_arch(v)->kind = create->kind;
    return AXVCPU_OK;
}

/* All the others. */
static inline void axvcpu_leaf_destroy(struct axvcpu *v) { (void)v; }
static inline int axvcpu_leaf_reset(struct axvcpu *v) { (void)v; return AXVCPU_OK; }
static inline int axvcpu_leaf_set_entry(struct axvcpu *v, axvcpu_gpa_t e) { (void)v, (void)e; return AXVCPU_OK; }
static inline int axvcpu_leaf_set_root(struct axvcpu *v, axvcpu_hpa_t r) { (void)v, (void)r; return AXVCPU_OK; }
static inline int axvcpu_leaf_setup(struct axvcpu *v, const struct axvcpu_arch_setup *s)
{
    (void)v, (void)s;
    return AXVCPU_OK;
}
static inline int axvcpu_leaf_restart(struct axvcpu *v, axvcpu_gpa_t e, uint64_t arg)
{
    (void)v, (void)e, (void)arg;
    return AXVCPU_OK;
}
static inline int axvcpu_leaf_bind(struct axvcpu *v) { (void)v; return AXVCPU_OK; }
static inline int axvcpu_leaf_unbind(struct axvcpu *v) { (void)v; return AXVCPU_OK; }
static inline int axvcpu_leaf_put(struct axvcpu *v) { (void)v; return AXVCPU_OK; }
static inline int axvcpu_leaf_load(struct axvcpu *v) { (void)v; return AXVCPU_OK; }
static inline int axvcpu_leaf_commit(struct axvcpu *v, struct axvcpu_exit *x, bool entering)
{
    (void)v, (void)x, (void)entering;
    return AXVCPU_OK;
}
static inline int axvcpu_leaf_retry(struct axvcpu *v) { (void)v; return AXVCPU_OK; }
static inline int axvcpu_leaf_refuse(struct axvcpu *v) { (void)v; return AXVCPU_OK; }
static inline int axvcpu_leaf_get_reg(struct axvcpu *v, uint64_t id, uint64_t *value)
{
    (void)v, (void)id, (void)value;
    return AXVCPU_OK;
}
static inline int axvcpu_leaf_set_reg(struct axvcpu *v, uint64_t id, uint64_t value)
{
    (void)v, (void)id, (void)value;
    return AXVCPU_OK;
}
static inline int axvcpu_leaf_inject(struct axvcpu *v, uint32_t *what) { (void)v; *what = 0; return AXVCPU_OK; }
static inline int axvcpu_leaf_inject_exception(struct axvcpu *v, uint32_t n, uint64_t e, uint64_t a)
{
    (void)v, (void)n, (void)e, (void)a;
    return AXVCPU_OK;
}
static inline int axvcpu_leaf_inject_hw(struct axvcpu *v, uint32_t vintid, uint32_t pintid)
{
    (void)v, (void)vintid, (void)pintid;
    return AXVCPU_OK;
}
static inline bool axvcpu_leaf_wakes(const struct axvcpu *v, bool queued) { (void)v; return queued; }
static inline void axvcpu_leaf_kick(struct axvcpu *v, void *owner) { (void)v, (void)owner; }
static inline int axvcpu_leaf_percpu_init(struct axvcpu_percpu *p, uint32_t cpu_id)
{
    (void)p, (void)cpu_id;
    return AXVCPU_OK;
}
static inline void axvcpu_leaf_percpu_deinit(struct axvcpu_percpu *p) { (void)p; }
static inline int axvcpu_leaf_percpu_enable(struct axvcpu_percpu *p) { (void)p; return AXVCPU_OK; }
static inline int axvcpu_leaf_percpu_disable(struct axvcpu_percpu *p) { (void)p; return AXVCPU_OK; }
static inline uint32_t axvcpu_leaf_max_guest_page_table_levels(const struct axvcpu_percpu *p)
{
    (void)p;
    return 4;
}
static inline bool axvcpu_leaf_supported(void) { return true; }
static inline int axvm_leaf_init(struct axvm *vm, const struct axvm_arch_desc *d) { (void)vm, (void)d; return AXVCPU_OK; }
static inline void axvm_leaf_deinit(struct axvm *vm) { (void)vm; }
static inline int axvm_leaf_map(struct axvm *vm, uint32_t slot, const struct axvm_mapping *m)
{
    (void)vm, (void)slot, (void)m;
    return AXVCPU_OK;
}
static inline int axvm_leaf_unmap(struct axvm *vm, uint32_t slot, const struct axvm_mapping *m)
{
    (void)vm, (void)slot, (void)m;
    return AXVCPU_OK;
}
static inline axvcpu_hpa_t axvm_leaf_root(const struct axvm *vm) { (void)vm; return axvcpu_hpa(0); }
static inline uint32_t axvm_leaf_vmid(const struct axvm *vm) { (void)vm; return 0; }
static inline int axvm_leaf_irq_line(struct axvm *vm, uint32_t line, bool level)
{
    (void)vm, (void)line, (void)level;
    return AXVCPU_OK;
}
AXVCPU_I_INLINE uint32_t axvcpu_id(const struct axvcpu *);
static inline bool axvm_leaf_is_target(const struct axvcpu *v, uint64_t target) { return axvcpu_id(v) == target; }
static inline enum axvm_answer axvm_leaf_answer(struct axvm *vm, struct axvcpu *v, struct axvcpu_exit *x)
{
    (void)vm, (void)v, (void)x;
    return AXVM_RETURN;
}

#endif
