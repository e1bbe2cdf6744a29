/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "device/footprint.h"

#include "common/cleanup.h"
#include "common/crc32c.h"
#include "common/units.h"

#include <inttypes.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define HEAD_SIZE (128 * 1024)

/* Fields 7 and 14 of the kernel's statistics of a block device. Discards are counted since 4.18. */
static bool count_sectors(dev_t device, struct footprint *f)
{
    char path[64];
    cleanup_file FILE *file = NULL;

    snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/stat", major(device), minor(device));
    file = fopen(path, "re");
    return file &&
           fscanf(file, "%*u %*u %*u %*u %*u %*u %" SCNu64 " %*u %*u %*u %*u %*u %*u %" SCNu64,
                  &f->written, &f->discarded) == 2;
}

/* An administrator may turn the statistics off, of the whole disk; then they stand still. */
static bool counts(dev_t device)
{
    static const char *const places[] = {"queue/iostats", "../queue/iostats"};

    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        char path[96];
        cleanup_file FILE *file = NULL;
        int on;

        snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s", major(device), minor(device),
                 places[i]);
        file = fopen(path, "re");
        if (file)
            return fscanf(file, "%d", &on) == 1 && on;
    }
    return false;
}

static bool read_head(struct backing *backing, uint32_t *crc)
{
    size_t size = (size_t)min_u64(HEAD_SIZE, backing->size);
    void *head = backing_thread_buffer(size);

    if (!head || disk_read(&backing->disk, head, size, 0) < 0)
        return false;
    *crc = crc32c(0, head, size);
    return true;
}

struct footprint footprint_of(struct backing *backing)
{
    struct footprint f = {0};
    struct stat st;

    if (fstat(backing->fd, &st) < 0)
        return f;
    if (!backing->is_block)
        f.changed = st.st_ctim;
    f.known = read_head(backing, &f.head) &&
              (!backing->is_block || (counts(st.st_rdev) && count_sectors(st.st_rdev, &f)));
    return f;
}

bool footprint_equal(const struct footprint *a, const struct footprint *b)
{
    return a->known && b->known && a->written == b->written && a->discarded == b->discarded &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec &&
           a->head == b->head;
}
