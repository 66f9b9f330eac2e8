// SPDX-License-Identifier: Apache-2.0
//
// A fuzzer's bytes, read one after the other; past their end all is zero.
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *input_at;
static size_t input_left;

#define must(holds) must_at(holds, #holds, __LINE__)
static void must_at(bool holds, const char *text, int line)
{
    if (holds)
        return;
    fprintf(stderr, "line %d: not true: %s\n", line, text);
    abort();
}

// A number below this one, of at most 256.
static uint32_t input_next(uint32_t below)
{
    uint32_t byte = input_left > 0 ? *input_at : 0;
    if (input_left > 0)
        input_at++, input_left--;
    return byte % below;
}

__attribute__((unused)) static void input_take(void *to, size_t size)
{
    size_t n = size < input_left ? size : input_left;
    memcpy(to, input_at, n);
    input_at += n;
    input_left -= n;
}

// Of up to eight bytes, so that small ones are frequent.
__attribute__((unused)) static uint64_t input_value(void)
{
    uint64_t wide = 0;
    input_take(&wide, input_next(9));
    return wide;
}

#endif
