// SPDX-License-Identifier: Apache-2.0
//
// The conformance suite's port to Linux with KVM, and the implementation of axvcpu.h that it runs on.
//
//     conformance [CASE]     a name, or the beginning of some: 'rep*'
//     conformance -n         only say on which substrate it would run; fails if there is none
#define _GNU_SOURCE
#define AXVCPU_IMPLEMENTATION
#include "conformance.h"
#include "substrate.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

// MARGIN: before and behind a guest's memory that much is the host's.
enum { CASE_SECONDS = 100, MAX_AREAS = 8, MARGIN = 4096 };

static const char *substrate;
static char now_playing[128];
static struct area {
    void *at;
    size_t size;
} areas[MAX_AREAS];
static int area_count;

const char *port_substrate(void)
{
    return substrate;
}

void port_print(const char *line)
{
    puts(line);
}

uint64_t port_random(void)
{
    uint64_t value = 0;
    if (getrandom(&value, sizeof value, 0) != sizeof value)
        abort();
    return value;
}

void port_seed(uint64_t seed)
{
    printf("# seed 0x%llx\n", (unsigned long long)seed);
}

static void out_of_time(int sig)
{
    static const char text[] = "\nBail out! out of time in case ";
    ssize_t ignored = write(1, text, sizeof text - 1);
    (void)sig;
    ignored = write(1, now_playing, strlen(now_playing));
    ignored = write(1, "\n", 1);
    (void)ignored;
    _exit(3);
}

void port_begin(const char *name)
{
    snprintf(now_playing, sizeof now_playing, "%s", name);
    alarm(CASE_SECONDS);
}

axvcpu_backing_t port_memory(uint64_t size, uint8_t **ptr)
{
    void *at = mmap(NULL, size + 2 * MARGIN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED || area_count == MAX_AREAS)
        abort();
    areas[area_count++] = (struct area){at, size + 2 * MARGIN};
    *ptr = (uint8_t *)at + MARGIN;
    return axvcpu_from_ptr(*ptr);
}

void port_forget(void)
{
    while (area_count > 0) {
        area_count--;
        munmap(areas[area_count].at, areas[area_count].size);
    }
}

static struct {
    pthread_t thread;
    void (*fn)(void *);
    void *arg;
} other;

static void *other_main(void *unused)
{
    (void)unused;
    other.fn(other.arg);
    return NULL;
}

bool port_start(void (*fn)(void *), void *arg)
{
    other.fn = fn;
    other.arg = arg;
    return pthread_create(&other.thread, NULL, other_main, NULL) == 0;
}

void port_join(void)
{
    pthread_join(other.thread, NULL);
}

static struct {
    timer_t timer;
    void (*fn)(void *);
    void *arg;
} alarm_clock;

static void on_alarm(int sig)
{
    (void)sig;
    alarm_clock.fn(alarm_clock.arg);
}

// Its signal goes to this thread, wherever that is at the moment.
static void begin_alarms(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2};
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART}; // what is being printed is printed
    event._sigev_un._tid = gettid();
    if (sigaction(SIGUSR2, &action, NULL) != 0 || timer_create(CLOCK_MONOTONIC, &event, &alarm_clock.timer) != 0)
        abort();
}

void port_alarm(uint32_t ns, void (*fn)(void *), void *arg)
{
    struct itimerspec when = {.it_value = {0, (long)ns + 1}};
    alarm_clock.fn = fn;
    alarm_clock.arg = arg;
    timer_settime(alarm_clock.timer, 0, &when, NULL);
}

// Sleeps, for there may be only one CPU, and the other thread shall have it.
void port_pause(uint32_t ns)
{
    nanosleep(&(struct timespec){0, (long)ns}, NULL);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    substrate = find_substrate();
    if (argc > 1 && strcmp(argv[1], "-n") == 0) {
        puts(substrate ? substrate : "none");
        return !substrate;
    }
    if (!substrate) {
        printf("ok 1 - %s conformance # SKIP kvm: no usable /dev/kvm\n1..1\n", conformance_arch);
        return 0;
    }
    prctl(PR_SET_TIMERSLACK, 1); // short sleeps are short
    signal(SIGALRM, out_of_time);
    begin_alarms();
    return conformance_main(argc > 1 ? argv[1] : NULL);
}
