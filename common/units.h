/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sizes, rounding, and sizes as people write them. */
#ifndef COMMON_UNITS_H
#define COMMON_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define KIB           UINT64_C(1024)
#define MIB           (KIB * 1024)
#define GIB           (MIB * 1024)
#define TIB           (GIB * 1024)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static inline bool is_power_of_two(uint64_t v)
{
    return v != 0 && (v & (v - 1)) == 0;
}

/* ALIGN must be a power of two; the caller makes sure that nothing overflows. */
static inline uint64_t round_down(uint64_t v, uint64_t align)
{
    return v & ~(align - 1);
}

static inline uint64_t round_up(uint64_t v, uint64_t align)
{
    return round_down(v + align - 1, align);
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Whether [offset, offset + length) lies inside [0, size); never overflows. */
static inline bool range_inside(uint64_t offset, uint64_t length, uint64_t size)
{
    return offset <= size && length <= size - offset;
}

/* Whether two non-empty ranges share a byte; ranges must not wrap around. */
static inline bool ranges_overlap(uint64_t a, uint64_t a_length, uint64_t b, uint64_t b_length)
{
    return a_length && b_length && a < b + b_length && b < a + a_length;
}

/* A range equals itself one byte on exactly where all its bytes are equal; memcmp() is fast. */
static inline bool is_zero(const void *data, size_t length)
{
    const unsigned char *p = data;

    return !length || (!p[0] && memcmp(p, p + 1, length - 1) == 0);
}

/*
 * Reads a size as qemu-img and truncate take it: digits and one optional
 * suffix, K M G T P (or KiB .. PiB) for powers of 1024, "s" for 512-byte sectors.
 * Returns 0, -EINVAL (not a size) or -ERANGE (does not fit 64 bits).
 */
int parse_size(const char *text, uint64_t *bytes);

#define SIZE_TEXT_MAX 32

/* Writes BYTES for people ("1.5 GiB", "104861696 bytes") into TEXT; returns TEXT. */
const char *format_size(uint64_t bytes, char text[SIZE_TEXT_MAX]);

#endif
