// SPDX-License-Identifier: Apache-2.0
//
// The test harness: a test is one C program that prints TAP (testanything.org).
//
//     int main(void)
//     {
//         tap_begin(30);                              // seconds until the watchdog ends the program
//         ok(x > 0, "x is positive after %s", op);    // names are printf formats
//         ok_u64(got, want, "RAX after IN");
//         skip("kvm: no usable /dev/kvm", "guest runs");
//         return tap_done();
//     }
//
// With TAP_FIRST in its environment a program ends at its first failure.
// Call it from the main thread only; other threads hand their findings over.
// Every check returns whether it held, so that a test can stop early.
#ifndef TAP_H
#define TAP_H

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct tap {
    unsigned cases, failed, planned;
    char last[120]; // the last case, for the watchdog
};

static struct tap tap;

#define TAP_MAYBE __attribute__((unused)) static
#define TAP_FORMAT(at) __attribute__((format(printf, at, at + 1)))

#define ok(cond, ...) tap_ok((cond), #cond, __FILE__, __LINE__, __VA_ARGS__)
#define ok_u64(got, want, ...) tap_ok_u64((got), (want), __FILE__, __LINE__, __VA_ARGS__)
#define ok_int(got, want, ...) tap_ok_int((got), (want), __FILE__, __LINE__, __VA_ARGS__)
#define ok_str(got, want, ...) tap_ok_str((got), (want), __FILE__, __LINE__, __VA_ARGS__)
#define ok_ptr(got, want, ...) tap_ok_ptr((got), (want), __FILE__, __LINE__, __VA_ARGS__)

// Only what POSIX allows in a signal handler: the program may hang inside stdio.
TAP_MAYBE void tap_watchdog(int sig)
{
    static const char text[] = "\nBail out! watchdog: time is up, the last finished case was: ";
    ssize_t ignored;
    (void)sig;
    ignored = write(1, text, sizeof text - 1);
    ignored = write(1, tap.last, strlen(tap.last));
    ignored = write(1, "\n", 1);
    (void)ignored;
    _exit(3);
}

TAP_MAYBE void tap_begin(unsigned seconds)
{
    setvbuf(stdout, NULL, _IOLBF, 0); // a crash must not swallow the lines before it
    signal(SIGALRM, tap_watchdog);
    alarm(seconds);
}

// Optional: say beforehand how many cases there will be.
TAP_MAYBE void tap_plan(unsigned cases)
{
    tap.planned = cases;
    printf("1..%u\n", cases);
}

// The plan line tells the runner that the program came to its end by itself.
TAP_MAYBE int tap_done(void)
{
    alarm(0);
    if (tap.planned == 0)
        printf("1..%u\n", tap.cases);
    fflush(stdout);
    return tap.failed != 0 || tap.cases == 0 || (tap.planned != 0 && tap.planned != tap.cases);
}

TAP_FORMAT(2) TAP_MAYBE void skip(const char *reason, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(tap.last, sizeof tap.last, fmt, ap);
    va_end(ap);
    printf("ok %u - %s # SKIP %s\n", ++tap.cases, tap.last, reason);
}

TAP_MAYBE bool tap_case(bool good, const char *file, int line, const char *fmt, va_list ap)
{
    vsnprintf(tap.last, sizeof tap.last, fmt, ap);
    printf("%sok %u - %s\n", good ? "" : "not ", ++tap.cases, tap.last);
    if (!good) {
        tap.failed++;
        printf("#   at %s:%d\n", file, line);
        if (getenv("TAP_FIRST"))
            _exit(1);
    }
    return good;
}

// A comment line in the log.
TAP_FORMAT(1) TAP_MAYBE void note(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    printf("# ");
    vprintf(fmt, ap);
    putchar('\n');
    va_end(ap);
}

TAP_FORMAT(5) TAP_MAYBE bool tap_ok(bool good, const char *text, const char *file, int line, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (!tap_case(good, file, line, fmt, ap))
        note("  %s", text);
    va_end(ap);
    return good;
}

// The checks by value differ in type, comparison and how a value is printed.
#define TAP_CHECK(name, type, same, ...) \
    TAP_FORMAT(5) TAP_MAYBE bool name(type got, type want, const char *file, int line, const char *fmt, ...) \
    { \
        bool good = (same); \
        va_list ap; \
        va_start(ap, fmt); \
        if (!tap_case(good, file, line, fmt, ap)) \
            note(__VA_ARGS__); \
        va_end(ap); \
        return good; \
    }

TAP_CHECK(tap_ok_u64, uint64_t, got == want, "  got 0x%" PRIx64 " (%" PRIu64 "), expected 0x%" PRIx64, got, got, want)
TAP_CHECK(tap_ok_int, int64_t, got == want, "  got %" PRId64 ", expected %" PRId64, got, want)
TAP_CHECK(tap_ok_ptr, const volatile void *, got == want, "  got %p, expected %p", (void *)(uintptr_t)got,
          (void *)(uintptr_t)want)
TAP_CHECK(tap_ok_str, const char *, got == want || (got && want && strcmp(got, want) == 0),
          "  got \"%s\", expected \"%s\"", got ? got : "(null)", want ? want : "(null)")

#endif
