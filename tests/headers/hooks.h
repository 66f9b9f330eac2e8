// SPDX-License-Identifier: Apache-2.0
//
// -include'd with -DHOOK_X: an override of one hook (or pair, or family) that counts its calls. HOOK is
// defined when the smoke program must have called it.
#ifndef HOOKS_H
#define HOOKS_H
#include <stddef.h>
#include <stdint.h>

struct axvcpu;
extern unsigned hook_calls;

static inline void hook_called(void)
{
    hook_calls++;
}

#ifdef HOOK_ASSERT /* nothing fails here, so nothing calls it */
#define AXVCPU_ASSERT(cond) ((cond) ? (void)0 : hook_called())
#elif defined(HOOK_PARK) /* the core wakes; only the VM layer parks */
#define HOOK
#define AXVCPU_PARK(v) ((void)(v), hook_called())
#define AXVCPU_WAKE(v) ((void)(v), hook_called())
#else
#define HOOK
#endif

#ifdef HOOK_LOG
static inline void hook_log(int level, const char *text)
{
    hook_calls += level >= 0 && text[0] != '\0';
}
#define AXVCPU_LOG(level, text) hook_log(level, text)
#endif

#ifdef HOOK_MEMSET
#define AXVCPU_MEMSET(p, c, n) (hook_called(), __builtin_memset(p, c, n))
#endif

#ifdef HOOK_MEMCPY
#define AXVCPU_MEMCPY(d, s, n) (hook_called(), __builtin_memcpy(d, s, n))
#endif

#ifdef HOOK_ATOMIC
#define AXVCPU_ATOMIC_LOAD(p) (hook_called(), __atomic_load_n(p, __ATOMIC_SEQ_CST))
#define AXVCPU_ATOMIC_LOAD_ACQUIRE(p) AXVCPU_ATOMIC_LOAD(p)
#define AXVCPU_ATOMIC_LOAD_RELAXED(p) AXVCPU_ATOMIC_LOAD(p)
#define AXVCPU_ATOMIC_STORE_RELEASE(p, x) __atomic_store_n(p, x, __ATOMIC_SEQ_CST)
#define AXVCPU_ATOMIC_STORE_RELAXED(p, x) __atomic_store_n(p, x, __ATOMIC_SEQ_CST)
#define AXVCPU_ATOMIC_XCHG(p, x) __atomic_exchange_n(p, x, __ATOMIC_SEQ_CST)
#define AXVCPU_ATOMIC_FETCH_OR(p, x) __atomic_fetch_or(p, x, __ATOMIC_SEQ_CST)
#define AXVCPU_ATOMIC_FETCH_AND(p, x) __atomic_fetch_and(p, x, __ATOMIC_SEQ_CST)
#define AXVCPU_ATOMIC_FETCH_ADD(p, x) __atomic_fetch_add(p, x, __ATOMIC_SEQ_CST)
#define AXVCPU_ATOMIC_CAS(p, e, x) __atomic_compare_exchange_n(p, e, x, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
#endif

#ifdef HOOK_CURRENT /* one thread, one pointer */
extern struct axvcpu *hook_current;
#define AXVCPU_CURRENT_GET() (hook_called(), hook_current)
#define AXVCPU_CURRENT_SET(v) ((void)(hook_current = (v)))
#endif

#ifdef HOOK_CPU_TOKEN
#define AXVCPU_CPU_TOKEN() (hook_called(), (void *)&hook_calls)
#endif

#ifdef HOOK_CPU_ID
static inline uint32_t hook_cpu_id(void)
{
    hook_called();
    return 3;
}
#define AXVCPU_CPU_ID() hook_cpu_id()
#endif

#ifdef HOOK_BARE /* all that a bare-metal host provides; for objects that are not run */
#define AXVCPU_ALLOC_FRAME(pages, align) axvcpu_hpa((pages) * (align))
#define AXVCPU_FREE_FRAME(hpa, pages) ((void)(hpa), (void)(pages))
#define AXVCPU_PHYS_TO_VIRT(hpa) ((void *)(uintptr_t)(hpa).addr)
#define AXVCPU_VIRT_TO_PHYS(ptr) axvcpu_hpa((uintptr_t)(ptr))
#define AXVCPU_IRQ_FETCH() ((uint32_t)7)
#define AXVCPU_IRQ_HANDLER(vector) ((void)(vector))
#define AXVCPU_SEND_KICK(token) ((void)(token))
#define AXVCPU_TIMER_ARM(v, deadline) ((void)(v), (void)(deadline))
#define AXVCPU_HOST_EXCEPTION(frame) ((void)(frame))
#define AXVCPU_KICK_VECTOR 1u
#define AXVCPU_REMOTE_FENCE(op, start, size, id) ((int64_t)((op) + (start) + (size) + (id)))
#define AXVCPU_GICH() ((void *)0x08030000)
#define AXVCPU_GICV() 0x08040000
#define AXVCPU_VTIMER_VECTOR 27u
#define AXVCPU_VTIMER_ENABLE(on) ((void)(on))
#define AXVCPU_MAINTENANCE_VECTOR 25u
#endif

#ifdef HOOK_KVM /* for objects that are not run */
long hook_kvm_enter(int fd);
int hook_kvm_signal(void);
#define AXVCPU_KVM_ENTER(fd) hook_kvm_enter(fd)
#define AXVCPU_KVM_SIGNAL hook_kvm_signal()
#endif

#ifdef HOOK_TRACE
#define AXVCPU_TRACE(v, event, a, b) ((void)(v), (void)(event), (void)(a), (void)(b), hook_called())
#endif

#endif
