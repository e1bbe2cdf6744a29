/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disk under one file, as far as a program can know it.
 *
 * The program is linked with --wrap for the calls that write and flush. What is written to the
 * watched file goes to the real file, i.e. to the page cache, and is remembered as not yet on
 * the disk; a flush brings it there. A power cut leaves any mixture of what was on its way:
 * each 512-byte sector old or new. A flush that fails drops a part of it for good, as Linux
 * does: the cache still shows it, and the next flush succeeds without writing it.
 */
#ifndef TESTS_SHADOW_H
#define TESTS_SHADOW_H

#include "tests/unit/support.h"

/* Watches the file at PATH from now on; what it holds counts as being on the disk. */
void shadow_watch(const char *path);
void shadow_forget(void);

/* The next write to the watched file (any file when none is) stops after DONE bytes with ERR. */
void shadow_fail_write(unsigned skip, size_t done, int err);
/* The next flush fails with ERR, and a random part of what was on its way is lost. */
void shadow_fail_flush(unsigned skip, int err, uint64_t seed);
/* Whether an armed failure has not been met yet. */
bool shadow_armed(void);
void shadow_disarm(void);

/* Makes the file what the disk may hold after a power cut at this moment. */
void shadow_power_cut(struct rng *rng);

/* Counts since the start of the program. */
unsigned shadow_flushes(void);

#endif
