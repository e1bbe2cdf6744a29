/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CRC-32C (Castagnoli), the checksum of VHDX headers, tables and log entries. */
#ifndef COMMON_CRC32C_H
#define COMMON_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/*
 * Continues checksum CRC over LENGTH bytes at DATA. Start with 0; the usual
 * inversion before and after is done inside, so calls can be chained:
 * crc32c(crc32c(0, a, n), b, m) is the checksum of a followed by b.
 */
uint32_t crc32c(uint32_t crc, const void *data, size_t length);

#endif
