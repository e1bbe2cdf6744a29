/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The copy-on-write overlay: a disk that reads from another one (the base, which it never
 * writes) what was not written yet, and keeps what is written in a file of its own.
 *
 * The unit is the grain, 64 KiB. A bitmap says which grains are in the file. A write to a
 * grain that is there goes to its place in the file. A write to one that is not is completed
 * to the whole grain from the base first, and then the grain's bit is set.
 *
 * Durability
 * ----------
 * What is promised. As of any disk with a write cache: overlay_flush() returns 0 when all that
 * was written before is on stable storage and will be found by the next overlay_start().
 *
 * How. Bits of new grains live in memory until a flush. A flush takes a copy of the bitmap
 * pages that have changed, brings the data of the file to stable storage (fdatasync), writes
 * the copies, and brings them to stable storage. The copy is older than the first fdatasync, so
 * a bit in the file never speaks of a grain that is not there as a whole. Bits are only ever
 * set, so a bitmap page that is torn by a power cut names a part of the new grains, all of
 * which are there; none of them was acknowledged.
 *
 * What is lost. With this process killed: the grains that are new since the last flush; they
 * are the base's again. What was overwritten in grains known to the file stays. With a power
 * cut: any part of what was written since the last flush. In both cases that is what a disk may do
 * with writes that were not flushed. What was flushed stays in both: its bit is in the file, and
 * its grain is only ever overwritten with later writes.
 *
 * Errors. When an fdatasync fails, the kernel may drop the pages that it could not write and
 * call the next one a success: so the error stays until the overlay is opened again, at which
 * time it holds what the bitmap in the file says. When only the writing of bitmap pages fails (no
 * space), the next flush writes them again. A write that fails has set no bit.
 */
#ifndef OVERLAY_OVERLAY_H
#define OVERLAY_OVERLAY_H

#include "device/disk.h"
#include "overlay/overlay_file.h"

struct overlay;

/*
 * Makes a disk of the overlay file FD, whose header says HEADER, over BASE of the same size;
 * BASE must outlive it. Takes over FD when it succeeds. Reads the bitmap; memory is
 * used for the parts of it that say something. Returns 0, -ENOMEM or the -errno of reading.
 */
int overlay_start(struct overlay **overlay, int fd, const struct overlay_header *header,
                  struct disk *base);
/* Closes the file. What was written since the last flush may be lost. */
void overlay_close(struct overlay *overlay);

struct disk *overlay_disk(struct overlay *overlay);

/* How many grains are in the file, and whether the one with byte OFFSET of the disk is. */
uint64_t overlay_present(const struct overlay *overlay);
bool overlay_holds(const struct overlay *overlay, uint64_t offset);

/*
 * Writes all grains of the file to TARGET and flushes it. The first grain, which holds the
 * marks by which a file system is known, goes last, after a flush of all the others: until
 * then the target carries its old marks. Grains that are holes in the file are zeroed
 * (DISCARD as for disk_zero()). PROGRESS, if not NULL, is called now and then
 * with the number of grains done.
 */
int overlay_copy(struct overlay *overlay, struct disk *target, bool discard,
                 void (*progress)(void *arg, uint64_t done), void *arg);

#endif
