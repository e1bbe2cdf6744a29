/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disk that -o disk shows, but for the VHDX in it: partition table and NTFS volume, kept in a
 * sparse file, the image, <identity>.disk in the state directory.
 *
 * It is built once, in memory, by starting mkntfs, and then stored: all or nothing, as the state is
 * (store.h). From then on it is Windows' own: it is written in place, and NTFS's journal keeps
 * it consistent as on any disk. A flush makes it durable after the partition and the state, so
 * what NTFS says of the file is never newer than the file.
 *
 * With -o cow, and with -o ro where there is no image, it lives in memory for as long as the
 * daemon does.
 *
 * Binding: as the state. When the size of the partition or its blocks have changed, the file has
 * another size; then the image is set aside, and built anew. One that is damaged is refused.
 */
#ifndef VOLUME_VOLUME_H
#define VOLUME_VOLUME_H

#include "common/failure.h"
#include "device/backing.h"
#include "volume/fence.h"

#include <limits.h>

enum volume_flags {
    VOLUME_READ_ONLY = 1, /* nothing is written; an image that is there is read */
    VOLUME_MEMORY = 2,    /* an image that is there is left alone */
    VOLUME_RESET = 4,     /* an image that is there is set aside */
};

struct volume {
    char directory[PATH_MAX];
    char path[PATH_MAX + 80]; /* of the image, or "(memory)" */
    unsigned flags;
    struct volume_header header; /* what the image must say */
    struct volume_layout layout;
    int memory;    /* the image when it is in no file; else -1 */
    int whole;     /* from volume_start() to volume_keep(), the volume just built; else -1 */
    bool replaces; /* and an image that is there is to be set aside for it */

    /* Between volume_open() and volume_close(). */
    struct backing image;
    struct fence fence;
    bool is_open;
};

/*
 * Looks whether there is a good image, or builds the volume, in memory: so it must be called before
 * the process gives up the right to start programs. Writes nothing. DIRECTORY and IDENTITY
 * as for store_open(). Returns 0, or -errno with FAILURE filled. volume_end() releases what VOLUME
 * holds, also after an error.
 */
int volume_start(struct volume *volume, const char *directory, const char *identity,
                 const struct vhdx_layout *vhdx, unsigned flags, struct failure *failure);
/* Stores what was built, if anything was. 0 or -errno. */
int volume_keep(struct volume *volume, struct failure *failure);
void volume_end(struct volume *volume);

/* Opens and locks the image, and looks whether it still describes the file. 0 or -errno. */
int volume_open(struct volume *volume, struct failure *failure);
/* What was written since the last flush is left to the kernel. */
void volume_close(struct volume *volume);

#endif
