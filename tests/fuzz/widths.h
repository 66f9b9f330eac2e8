// SPDX-License-Identifier: Apache-2.0
//
// How a load's value comes into its register, for the models: all widths are bytes, up to eight.
#ifndef FUZZ_WIDTHS_H
#define FUZZ_WIDTHS_H

#include <stdbool.h>
#include <stdint.h>

static uint64_t low(uint64_t value, uint32_t width)
{
    return width >= 8 ? value : value & ((UINT64_C(1) << (width * 8)) - 1);
}

// A register is as wide as the exit says: a narrow one keeps its upper part, one of four bytes loses it.
static uint64_t loaded(uint64_t old, uint64_t value, uint32_t width, uint32_t reg_width, bool sign_extend)
{
    value = low(value, width);
    if (sign_extend && width > 0 && (value >> (width * 8 - 1) & 1))
        value |= ~low(UINT64_MAX, width);
    value = low(value, reg_width);
    return reg_width < 4 ? (old & ~low(UINT64_MAX, reg_width)) | value : value;
}

#endif
