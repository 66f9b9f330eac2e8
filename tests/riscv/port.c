// SPDX-License-Identifier: Apache-2.0
//
// The conformance suite's port to the bare machine, and the implementation of axvcpu.h that it runs on.
#define AXVCPU_IMPLEMENTATION
#include "conformance.h"

enum { MAX_AREAS = 8, OTHER = 1 };

static uint64_t seed;
static struct {
    void *at;
    size_t pages;
} areas[MAX_AREAS];
static uint32_t area_count;

const char *port_substrate(void)
{
    return "riscv";
}

void port_print(const char *line)
{
    machine_print(line);
    machine_print("\n");
}

// From the seed of the command line, a new one for each run (splitmix64).
uint64_t port_random(void)
{
    uint64_t z = (seed += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

void port_seed(uint64_t value)
{
    machine_print("# seed ");
    machine_number(value);
    machine_print("\n");
}

void port_begin(const char *name)
{
    (void)name; // the whole run has a time limit
}

axvcpu_backing_t port_memory(uint64_t size, uint8_t **ptr)
{
    size_t pages = (size_t)size / 4096;
    *ptr = machine_frames(pages, 4096);
    if (*ptr == NULL || area_count == MAX_AREAS) {
        machine_print("Bail out! no memory\n");
        machine_off(true);
    }
    areas[area_count].at = *ptr;
    areas[area_count++].pages = pages;
    return axvcpu_from_hpa(axvcpu_hpa((uintptr_t)*ptr));
}

void port_forget(void)
{
    while (area_count > 0) {
        area_count--;
        machine_free(areas[area_count].at, areas[area_count].pages);
    }
}

bool port_start(void (*fn)(void *), void *arg)
{
    return machine_start(OTHER, fn, arg);
}

void port_join(void)
{
    while (!machine_is_stopped(OTHER))
        machine_interrupts();
}

void port_pause(uint32_t ns)
{
    uint64_t end = machine_time() + ns / 100;
    do
        machine_interrupts();
    while (machine_time() < end);
}

void machine_main(const char *arguments)
{
    const char *only = machine_text(arguments, "only");
    seed = machine_argument(arguments, "seed");
    if (seed == 0)
        machine_print("Bail out! the command line has no seed\n");
    else
        (void)conformance_main(*only ? only : NULL);
}
