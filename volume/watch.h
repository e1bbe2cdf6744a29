/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does the disk around the VHDX still say that the VHDX's bytes are the VHDX's? Facts in (whatever
 * bytes the disk has), verdict out; no I/O but through a callback, and no state.
 *
 * What must hold: the GPT has the one partition; its boot sector is that of an NTFS like the one
 * that was built; the record of the file is found through the MFT's own run list, is in use,
 * and its data is one run at the file's place, plain, with the sizes of the file; and the
 * volume's bitmap, found through its run list, has the bits of the whole place set.
 */
#ifndef VOLUME_WATCH_H
#define VOLUME_WATCH_H

#include "volume/layout.h"

#define WATCH_RANGES 40

/* A part of the disk on which the verdict rests, in bytes. */
struct watch_range {
    uint64_t offset;
    uint64_t length;
};

/* All of them. From BITMAP on they hold the bits of the file's place. */
struct watch {
    struct watch_range ranges[WATCH_RANGES];
    unsigned count;
    unsigned bitmap;
};

struct watch_subject {
    const struct volume_layout *layout;
    struct gpt gpt;
    uint64_t record; /* the file's number in the MFT */
    /* Reads bytes of the disk outside of the file's place. 0 or -errno. */
    int (*read)(void *opaque, void *data, size_t length, uint64_t offset);
    void *opaque;
};

enum watch_verdict {
    WATCH_GOOD,
    WATCH_TORN, /* a record is half written: what it says will be seen when it is whole */
    WATCH_BAD,
};

/*
 * Judges all but the bits. WHY, 256 bytes, gets a sentence for people unless the verdict is good;
 * *WATCH what the verdict rests on, if it is good.
 */
enum watch_verdict watch_judge(const struct watch_subject *subject, struct watch *watch, char *why);

/*
 * Judges the bits in [offset, offset + length) of the disk, as far as they are of the file's place
 * in WATCH; all of them with offset 0 and length UINT64_MAX.
 */
enum watch_verdict watch_judge_bits(const struct watch_subject *subject, const struct watch *watch,
                                    uint64_t offset, uint64_t length, char *why);

/* Whether a write there can change a verdict. */
bool watch_concerns(const struct watch *watch, uint64_t offset, uint64_t length);
bool watch_same_bitmap(const struct watch *a, const struct watch *b);

#endif
