// SPDX-License-Identifier: Apache-2.0
//
// Prints the size of every public struct: they must not depend on NDEBUG, optimisation or language.
#include <stdio.h>
#include "axvcpu.h"

#ifdef __cplusplus
#define ALIGNMENT alignof
#else
#define ALIGNMENT _Alignof
_Static_assert(sizeof(struct axvcpu_exit) <= 96, "an exit record is at most 96 bytes");
_Static_assert(_Alignof(struct axvcpu) <= _Alignof(max_align_t), "malloc's alignment is enough for a vCPU");
_Static_assert(_Alignof(struct axvcpu_percpu) <= _Alignof(max_align_t), "... and for per-CPU state");
#endif

#define SHOW(type) printf(#type " %u %u\n", (unsigned)sizeof(struct type), (unsigned)ALIGNMENT(struct type))

int main(void)
{
    SHOW(axvcpu);
    SHOW(axvcpu_exit);
    SHOW(axvcpu_desc);
    SHOW(axvcpu_percpu);
    SHOW(axvcpu_arch);
    SHOW(axvcpu_arch_create);
    SHOW(axvcpu_arch_setup);
    SHOW(axvcpu_cpumask);
    SHOW(axvcpu_answer);
    SHOW(axvm);
    SHOW(axvm_desc);
    SHOW(axvm_range);
#ifdef AXVCPU_ARCH_FAKE
    SHOW(axvcpu_fake_step);
#endif
    return 0;
}
