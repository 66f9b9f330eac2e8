// SPDX-License-Identifier: Apache-2.0
//
// What a bare-metal host provides, for freestanding objects that are linked into a normal program.
#include "axvcpu.h"

int smoke(void);

uint32_t axvcpu_host_cpu_id(void)
{
    return 5;
}

axvcpu_hpa_t axvcpu_host_alloc_frame(size_t pages, size_t align)
{
    return axvcpu_hpa(pages * align * 0);
}

void axvcpu_host_free_frame(axvcpu_hpa_t hpa, size_t pages)
{
    (void)hpa, (void)pages;
}

void *axvcpu_host_phys_to_virt(axvcpu_hpa_t hpa)
{
    return (void *)(uintptr_t)hpa.addr;
}

axvcpu_hpa_t axvcpu_host_virt_to_phys(const void *ptr)
{
    return axvcpu_hpa((uintptr_t)ptr);
}

void axvcpu_host_irq_handler(uint32_t vector)
{
    (void)vector;
}

void axvcpu_host_send_kick(void *token)
{
    (void)token;
}

void axvcpu_host_timer_arm(struct axvcpu *v, uint64_t deadline)
{
    (void)v, (void)deadline;
}

int main(void)
{
    return smoke();
}
