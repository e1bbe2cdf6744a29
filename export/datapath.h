/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The data path: a request on the virtual file, an extent map, and one switch on the kind.
 *
 * Offsets and lengths are in bytes of the virtual file and lie inside it. Everything
 * may be called from any thread. A write is judged as a whole before any of it is done:
 * what BAT entries it would set (only the identity, or states that ask for zeros), and whether the
 * firewall lets it pass. On a disk around the file (-o disk) the fence is asked before
 * anything else. All functions return 0 or -errno.
 */
#ifndef EXPORT_DATAPATH_H
#define EXPORT_DATAPATH_H

#include "common/extent.h"
#include "device/disk.h"
#include "export/guard.h"
#include "state/store.h"
#include "vhdx/layout.h"
#include "volume/fence.h"

struct datapath {
    const struct vhdx_layout *layout;
    const struct extent_map *map;
    struct disk *disk;
    struct store *store;
    struct disk *image;  /* of the disk around the file, or NULL: MAP is the file's own */
    struct fence *fence; /* NULL when IMAGE is */
    bool read_only;
    struct guard guard; /* of DISK */
};

int datapath_read(struct datapath *path, void *data, size_t length, uint64_t offset);
int datapath_write(struct datapath *path, const void *data, size_t length, uint64_t offset);

/*
 * Makes the range read as zeros. -EPERM, with nothing done, when it touches
 * metadata or BAT: those have no blocks to give back.
 */
int datapath_zero(struct datapath *path, uint64_t offset, uint64_t length, bool discard);

/*
 * A request that is one read or write of the device and nothing else, for callers who have a
 * better way of waiting for it.
 */
struct direct {
    bool write;
    int fd;
    size_t length;
    uint64_t offset; /* behind fd */
};

/* Whether a request touches nothing but the device. */
bool datapath_is_device(const struct datapath *path, size_t length, uint64_t offset);

/*
 * Fills DIRECT and returns true when the request touches nothing but the device, the firewall has
 * no interest in it, the fence is open, and the disk takes it as it is (disk_begin()). The caller
 * then does the read or write, and calls datapath_end() from the same thread with what came of it,
 * 0 or -errno. Never waits.
 */
bool datapath_begin(struct datapath *path, struct direct *direct, bool write, const void *data,
                    size_t length, uint64_t offset);
void datapath_end(struct datapath *path, const struct direct *direct, int err);

/* The device first, then the state (see store.h), then the image. */
int datapath_flush(struct datapath *path);

#endif
