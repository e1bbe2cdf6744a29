/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * replay-log: what the log of device-mapper's log-writes target says happened to a disk.
 *
 *   replay-log LOG                     lists the entries: index, flags, sector, sectors, mark
 *   replay-log LOG FROM TO DISK        does entries FROM to TO (exclusive) to DISK
 *   replay-log LOG FROM TO DISK SEED   the same as a power cut does it: of the writes behind
 *                                      the last flush any may be missing or torn at a sector
 *
 * The target logs writes when a flush made them durable, in the order in which they were
 * completed, then the flush; FUA writes at once; so what stands before a flush or a
 * mark is durable there. Format: Documentation/admin-guide/device-mapper/log-writes.rst
 * and drivers/md/dm-log-writes.c of Linux.
 */
#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/io.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#define LOG_MAGIC UINT64_C(0x6a736677736872)

enum {
    FLUSH = 1,
    FUA = 2,
    DISCARD = 4,
    MARK = 8,
    METADATA = 16
};

struct disk_super {
    uint8_t magic[8];
    uint8_t version[8];
    uint8_t entries[8];
    uint8_t sector_size[4];
};
_Static_assert(sizeof(struct disk_super) == 28, "log-writes");

struct disk_entry {
    uint8_t sector[8];
    uint8_t sectors[8];
    uint8_t flags[8];
    uint8_t data_length[8]; /* of a mark's text, in the entry's own sector */
};
_Static_assert(sizeof(struct disk_entry) == 32, "log-writes");

struct entry {
    uint64_t sector, sectors, flags; /* sectors of the log's size */
    uint64_t data;                   /* where they lie in the log, in bytes */
    char mark[64];
};

struct log {
    int fd;
    uint32_t sector_size;
    uint64_t count;
    struct entry *entries;
};

/* Discarded sectors hold anything: the worst is something that looks like data. */
#define DISCARDED 0xdd

static int read_entry(struct log *log, uint64_t *at, struct entry *entry)
{
    uint8_t sector[4096];
    const struct disk_entry *disk = (const struct disk_entry *)sector;
    uint64_t length;
    int rc = pread_full(log->fd, sector, log->sector_size, *at);

    if (rc)
        return rc;
    entry->sector = get_le64(disk->sector);
    entry->sectors = get_le64(disk->sectors);
    entry->flags = get_le64(disk->flags);
    length = get_le64(disk->data_length);
    *at += log->sector_size;
    entry->data = *at;
    if (entry->flags & MARK) {
        if (length >= sizeof(entry->mark))
            return -EINVAL;
        memcpy(entry->mark, sector + sizeof(*disk), length);
        entry->mark[length] = 0;
    } else if (!(entry->flags & DISCARD)) {
        *at += entry->sectors * log->sector_size;
    }
    return 0;
}

static int read_log(struct log *log)
{
    struct disk_super super;
    uint64_t at;
    int rc = pread_full(log->fd, &super, sizeof(super), 0);

    if (rc)
        return rc;
    log->sector_size = get_le32(super.sector_size);
    log->count = get_le64(super.entries);
    if (get_le64(super.magic) != LOG_MAGIC || get_le64(super.version) != 1 ||
        (log->sector_size != 512 && log->sector_size != 4096))
        return -EINVAL;
    log->entries = calloc(log->count, sizeof(*log->entries));
    if (!log->entries)
        return -ENOMEM;
    at = log->sector_size;
    for (uint64_t i = 0; i < log->count && !rc; i++)
        rc = read_entry(log, &at, &log->entries[i]);
    return rc;
}

static void list(const struct log *log)
{
    for (uint64_t i = 0; i < log->count; i++) {
        const struct entry *entry = &log->entries[i];

        printf("%" PRIu64 " %s%s%s%s %" PRIu64 " %" PRIu64 " %s\n", i,
               entry->flags & FLUSH ? "flush," : "", entry->flags & FUA ? "fua," : "",
               entry->flags & DISCARD ? "discard," : "", entry->flags & MARK ? "mark" : "-",
               entry->sector, entry->sectors, entry->mark);
    }
}

static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Copies sectors FIRST to END of the entry. */
static int apply(const struct log *log, const struct entry *entry, int disk, uint64_t first,
                 uint64_t end)
{
    size_t length = (end - first) * log->sector_size;
    cleanup_free uint8_t *data = malloc(length + 1);
    int rc = 0;

    if (!data)
        return -ENOMEM;
    if (entry->flags & DISCARD)
        memset(data, DISCARDED, length);
    else
        rc = pread_full(log->fd, data, length, entry->data + first * log->sector_size);
    if (rc)
        return rc;
    return pwrite_full(disk, data, length, (entry->sector + first) * log->sector_size);
}

/* The first entry of the last group in [FROM, TO): what no flush covers. */
static uint64_t last_group(const struct log *log, uint64_t from, uint64_t to)
{
    while (to > from && !(log->entries[to - 1].flags & FLUSH))
        to--;
    return to;
}

static int replay(const struct log *log, uint64_t from, uint64_t to, int disk, uint64_t *seed)
{
    uint64_t sure = seed ? last_group(log, from, to) : to;

    for (uint64_t i = from; i < to && i < log->count; i++) {
        const struct entry *entry = &log->entries[i];
        uint64_t first = 0, end = entry->sectors;
        int rc;

        if (entry->flags & MARK || !end)
            continue;
        if (i >= sure && !(entry->flags & FUA)) {
            uint64_t dice = random_next(seed) % 4;

            if (dice == 0)
                continue;
            if (dice == 1)
                first = random_next(seed) % end;
            if (dice == 2)
                end = 1 + random_next(seed) % end;
        }
        rc = apply(log, entry, disk, first, end);
        if (rc)
            return rc;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct log log = {0};
    cleanup_fd int disk = -1;
    uint64_t seed = argc > 5 ? strtoull(argv[5], NULL, 0) : 0;
    int rc;

    if (argc != 2 && argc != 5 && argc != 6) {
        fprintf(stderr, "usage: replay-log LOG [FROM TO DISK [SEED]]\n");
        return 1;
    }
    log.fd = open(argv[1], O_RDONLY | O_CLOEXEC);
    rc = log.fd < 0 ? -errno : read_log(&log);
    if (!rc && argc == 2) {
        list(&log);
    } else if (!rc) {
        disk = open(argv[4], O_RDWR | O_CLOEXEC);
        rc = disk < 0 ? -errno
                      : replay(&log, strtoull(argv[2], NULL, 0), strtoull(argv[3], NULL, 0), disk,
                               argc == 6 ? &seed : NULL);
    }
    free(log.entries);
    close_fd(&log.fd);
    if (rc)
        fprintf(stderr, "replay-log: %s: %s\n", argv[1], strerror(-rc));
    return rc ? 4 : 0;
}
