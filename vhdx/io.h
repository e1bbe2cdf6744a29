/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the library reaches a file: through callbacks, so that it can be a buffer as well. */
#ifndef VHDX_IO_H
#define VHDX_IO_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

/* A file to read from. The library never asks for bytes at or behind SIZE. */
struct vhdx_io {
    /* Reads exactly LENGTH bytes at OFFSET. Returns 0 or -errno. */
    int (*read)(void *opaque, void *data, size_t length, uint64_t offset);
    void *opaque;
    uint64_t size; /* bytes */
};

/* Where replay.h writes to; OPAQUE is that of the vhdx_io it goes with. */
struct vhdx_sink {
    int (*write)(void *opaque, const void *data, size_t length, uint64_t offset);
    int (*flush)(void *opaque); /* a barrier: what was written before is durable after it */
    int (*grow)(void *opaque, uint64_t size); /* the file then reads as zeros up to SIZE */
};

/* -EIO where the range does not lie inside the file: a bug of the caller, not a short file. */
static inline int vhdx_read(const struct vhdx_io *io, void *data, size_t length, uint64_t offset)
{
    if (offset > io->size || length > io->size - offset)
        return -EIO;
    return io->read(io->opaque, data, length, offset);
}

#endif
