// SPDX-License-Identifier: Apache-2.0
//
// The conformance suite's port to the bare hosts of examples/bare. The command line, behind "axvcpu:", may
// have seed=NUMBER, substrate=NAME (as absent.h knows it) and only=NAME, the cases of that name or that begin
// so: order*
#include "conformance.h"

enum { MAX_AREAS = 16, OTHER = 1 };

static struct {
    void *at;
    size_t pages;
} areas[MAX_AREAS];
static uint32_t area_count;

// An argument, up to the next one.
static const char *word(const char *name, char *to, size_t size)
{
    const char *text = host_argument(name);
    size_t i = 0;
    for (; text[i] && text[i] != ' ' && i < size - 1; i++)
        to[i] = text[i];
    to[i] = 0;
    return to;
}

const char *port_substrate(void)
{
    static char name[32];
    return *word("substrate", name, sizeof name) ? name : conformance_arch;
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
    host_print("# seed ");
    host_print_number(seed, 16);
    host_print("\n");
}

void port_begin(const char *name)
{
    (void)name; // the whole run has a time limit
}

axvcpu_backing_t port_memory(uint64_t size, uint8_t **ptr)
{
    size_t pages = (size_t)size / 4096;
    *ptr = area_count < MAX_AREAS ? host_alloc(pages) : NULL;
    if (*ptr == NULL)
        host_panic("no memory");
    areas[area_count].at = *ptr;
    areas[area_count++].pages = pages;
    return axvcpu_from_hpa(axvcpu_hpa((uintptr_t)*ptr));
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
    return host_start_job(OTHER, fn, arg);
}

void port_join(void)
{
    host_wait_job(OTHER);
}

void port_pause(uint32_t ns)
{
    host_pause(ns);
}

void port_alarm(uint32_t ns, void (*fn)(void *), void *arg)
{
    host_alarm(ns, fn, arg);
}

void host_log(const char *text)
{
    conformance_log(text);
}

int host_main(void)
{
    static char only[64];
    return conformance_main(*word("only", only, sizeof only) ? only : NULL);
}
