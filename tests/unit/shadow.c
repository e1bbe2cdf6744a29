/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/shadow.h"

#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512

struct pending {
    uint64_t offset;
    size_t length;
    uint8_t *data;
};

static struct {
    char path[4096];
    dev_t device;
    ino_t inode;
    bool watching;
    uint8_t *disk;
    size_t size;
    struct pending *pending;
    size_t count, room;
    unsigned flushes;
} shadow;

static struct {
    bool armed;
    unsigned skip;
    size_t done;
    int err;
    uint64_t seed;
} write_fault, flush_fault;

/* --wrap=NAME turns the library's calls of NAME into __wrap_NAME. */
ssize_t __real_pwrite64(int fd, const void *data, size_t length, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t length, off_t offset);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_posix_fadvise64(int fd, off_t offset, off_t length, int advice);
int __wrap_posix_fadvise64(int fd, off_t offset, off_t length, int advice);

static bool is_watched(int fd)
{
    struct stat st;

    return shadow.watching && fstat(fd, &st) == 0 && st.st_dev == shadow.device &&
           st.st_ino == shadow.inode;
}

static void drop_pending(void)
{
    for (size_t i = 0; i < shadow.count; i++)
        free(shadow.pending[i].data);
    shadow.count = 0;
}

void shadow_forget(void)
{
    drop_pending();
    shadow.watching = false;
}

void shadow_watch(const char *path)
{
    struct stat st;

    shadow_forget();
    assert_int_equal(stat(path, &st), 0);
    snprintf(shadow.path, sizeof(shadow.path), "%s", path);
    shadow.device = st.st_dev;
    shadow.inode = st.st_ino;
    shadow.size = (size_t)st.st_size;
    shadow.disk = realloc(shadow.disk, shadow.size);
    assert_non_null(shadow.disk);
    read_file(path, shadow.disk, shadow.size, 0);
    shadow.watching = true;
}

static void remember(const void *data, size_t length, uint64_t offset)
{
    struct pending *p;

    assert_true(range_inside(offset, length, shadow.size));
    if (shadow.count == shadow.room) {
        shadow.room = shadow.room ? 2 * shadow.room : 64;
        shadow.pending = reallocarray(shadow.pending, shadow.room, sizeof(*shadow.pending));
        assert_non_null(shadow.pending);
    }
    p = &shadow.pending[shadow.count++];
    *p = (struct pending){offset, length, malloc(length)};
    assert_non_null(p->data);
    memcpy(p->data, data, length);
}

/* Lets sectors of what is on its way reach the disk: all of them, or by chance. */
static void settle(struct rng *rng)
{
    for (size_t i = 0; i < shadow.count; i++) {
        const struct pending *p = &shadow.pending[i];
        /* Mostly whole writes or none, or blocks of the page cache; torn ones now and then. */
        uint64_t unit = rng && rng_one_in(rng, 2)   ? SECTOR
                        : rng && rng_one_in(rng, 2) ? 4096
                                                    : 8192;

        for (size_t at = 0; at < p->length;) {
            size_t n = (size_t)min_u64(p->length - at, unit - (p->offset + at) % unit);

            if (!rng || rng_one_in(rng, 2))
                memcpy(shadow.disk + p->offset + at, p->data + at, n);
            at += n;
        }
    }
}

void shadow_power_cut(struct rng *rng)
{
    settle(rng);
    drop_pending();
    shadow.watching = false; /* while we write */
    write_file(shadow.path, shadow.disk, shadow.size, 0);
    shadow.watching = true;
}

void shadow_fail_write(unsigned skip, size_t done, int err)
{
    write_fault.skip = skip;
    write_fault.done = done;
    write_fault.err = err;
    write_fault.armed = true;
}

void shadow_fail_flush(unsigned skip, int err, uint64_t seed)
{
    flush_fault.skip = skip;
    flush_fault.err = err;
    flush_fault.seed = seed;
    flush_fault.armed = true;
}

bool shadow_armed(void)
{
    return write_fault.armed || flush_fault.armed;
}

void shadow_disarm(void)
{
    write_fault.armed = flush_fault.armed = false;
}

unsigned shadow_flushes(void)
{
    return shadow.flushes;
}

ssize_t __wrap_pwrite64(int fd, const void *data, size_t length, off_t offset)
{
    bool ours = is_watched(fd);
    ssize_t n;

    if (write_fault.armed && (ours || !shadow.watching) && write_fault.skip-- == 0) {
        if (write_fault.done == 0) {
            write_fault.armed = false;
            errno = write_fault.err;
            return -1;
        }
        /* A short write first; the rest of it meets the error. */
        length = (size_t)min_u64(length, write_fault.done);
        write_fault.skip = 0;
        write_fault.done = 0;
    }
    n = __real_pwrite64(fd, data, length, offset);
    if (n > 0 && ours)
        remember(data, (size_t)n, (uint64_t)offset);
    return n;
}

static int flush(int fd, int (*really)(int))
{
    bool ours = is_watched(fd);

    if (flush_fault.armed && (ours || !shadow.watching) && flush_fault.skip-- == 0) {
        struct rng rng = {flush_fault.seed};

        flush_fault.armed = false;
        if (ours) {
            settle(&rng);
            drop_pending();
        }
        errno = flush_fault.err;
        return -1;
    }
    if (ours) {
        settle(NULL);
        drop_pending();
        shadow.flushes++;
    }
    return really(fd);
}

int __wrap_fdatasync(int fd)
{
    return flush(fd, __real_fdatasync);
}

int __wrap_fsync(int fd)
{
    return flush(fd, __real_fsync);
}

/* Clean pages leave the cache: what a failed flush has dropped is seen no more. */
int __wrap_posix_fadvise64(int fd, off_t offset, off_t length, int advice)
{
    if (is_watched(fd) && shadow.count == 0) {
        shadow.watching = false;
        write_file(shadow.path, shadow.disk, shadow.size, 0);
        shadow.watching = true;
    }
    return __real_posix_fadvise64(fd, offset, length, advice);
}
