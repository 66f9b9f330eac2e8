// SPDX-License-Identifier: Apache-2.0
//
// The conformance suite on the bare host of examples/bare/arm64.
#include "host.h"
#include "conformance.h"

enum { MAX_AREAS = 8 };
static struct {
    void *at;
    size_t pages;
} areas[MAX_AREAS];
static uint32_t area_count;
void conformance_log(const char *text);

const char *port_substrate(void)
{
    return "arm64-qemu";
}

void port_print(const char *line)
{
    host_print(line);
    host_print("\n");
}

uint64_t port_random(void)
{
    return host_random();
}

void port_seed(uint64_t seed)
{
    (void)seed;
}

void port_begin(const char *name)
{
    (void)name;
}

axvcpu_backing_t port_memory(uint64_t size, uint8_t **ptr)
{
    size_t pages = (size_t)(size / 4096);
    void *at = host_alloc(pages);
    if (!at || area_count == MAX_AREAS) {
        host_print("Bail out! no memory\n");
        host_off();
    }
    areas[area_count].at = at;
    areas[area_count++].pages = pages;
    *ptr = at;
    return axvcpu_from_hpa(axvcpu_hpa((uint64_t)(uintptr_t)at));
}

void port_forget(void)
{
    while (area_count > 0) {
        area_count--;
        host_free(areas[area_count].at, areas[area_count].pages);
    }
}

bool port_start(void (*fn)(void *), void *arg)
{
    return host_start_job(1, fn, arg);
}

void port_join(void)
{
    host_wait_job(1);
}

void port_pause(uint32_t ns)
{
    uint64_t end = host_ticks() + host_ticks_per_second() * ns / 1000000000u;
    while (host_ticks() < end)
        ;
}

void host_log(const char *text)
{
    conformance_log(text);
}

int host_main(void)
{
    return conformance_main(NULL);
}
