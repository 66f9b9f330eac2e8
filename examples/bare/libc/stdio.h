// SPDX-License-Identifier: Apache-2.0
//
// The little of a C library that the hosted examples use, so that they run on a bare machine as they are:
//
//     cc ... -Iexamples/bare/libc -Dmain=host_main -DHOST_LIBRARY_IN_PROGRAM examples/irq.c examples/bare/host.c ...
//
// printf knows %s, %c, %u, %x, their l and ll forms, and %%.
#ifndef BARE_STDIO_H
#define BARE_STDIO_H

#include <stdarg.h>
#include <stdint.h>

#define stdout 1
#define stderr 2

static inline int putchar(int c)
{
    machine_put((char)c);
    return c;
}

static inline const char *bare_print_one(const char *format, va_list *args)
{
    uint32_t longs = 0;
    for (; *format == 'l'; format++)
        longs++;
    if (*format == 's')
        host_print(va_arg(*args, const char *));
    else if (*format == 'c')
        (void)putchar(va_arg(*args, int));
    else if (*format == 'u' || *format == 'x')
        host_print_number(longs > 0 ? va_arg(*args, unsigned long) : va_arg(*args, unsigned), *format == 'x' ? 16 : 10);
    else
        (void)putchar(*format);
    return *format ? format + 1 : format;
}

// What is printed is not counted.
static inline void bare_print(const char *format, va_list *args)
{
    while (*format) {
        if (*format == '%')
            format = bare_print_one(format + 1, args);
        else
            (void)putchar(*format++);
    }
}

__attribute__((format(printf, 1, 2))) static inline int printf(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    bare_print(format, &args);
    va_end(args);
    return 0;
}

// There is one console.
__attribute__((format(printf, 2, 3))) static inline int fprintf(int stream, const char *format, ...)
{
    va_list args;
    (void)stream;
    va_start(args, format);
    bare_print(format, &args);
    va_end(args);
    return 0;
}

#endif
