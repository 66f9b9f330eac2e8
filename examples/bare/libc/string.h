// SPDX-License-Identifier: Apache-2.0
//
// See stdio.h. These are in host.c.
#ifndef BARE_STRING_H
#define BARE_STRING_H

#include <stddef.h>

void *memset(void *at, int c, size_t n);
void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
int memcmp(const void *a, const void *b, size_t n);

#endif
