/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The text in VHDX files is UTF-16LE; ours is UTF-8. */
#ifndef VHDX_TEXT_H
#define VHDX_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of UTF-8 that BYTES bytes of UTF-16 need at most, with the final NUL. */
#define VHDX_TEXT_ROOM(bytes) ((bytes) / 2 * 3 + 1)

/*
 * Converts up to BYTES bytes at IN, or up to the first NUL, to UTF-8 in OUT, which
 * has VHDX_TEXT_ROOM(BYTES) bytes. Lone surrogates and control characters become
 * U+FFFD, so the result is safe to print. Returns OUT.
 */
char *vhdx_text(const uint8_t *in, size_t bytes, char *out);

#endif
