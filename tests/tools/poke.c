/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * poke: reads or writes one page of a file by one way only, so that a test can ask each
 * of the kernel's caches what it believes.
 *
 *   poke WAY FILE OFFSET         prints the text at OFFSET, up to the first zero byte
 *   poke WAY FILE OFFSET TEXT    writes TEXT there, and zeros to the end of the page; flushes
 *
 * WAY: buffered, direct, shared (mmap, MAP_SHARED) or private (MAP_PRIVATE, for reading). OFFSET is
 * a multiple of 4096. Exit code 3: this way is not to be had for this file.
 */
#include "common/cleanup.h"
#include "common/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096

static int map_page(int fd, bool write, int flags, off_t offset, char *page)
{
    int protection = write ? PROT_READ | PROT_WRITE : PROT_READ;
    char *map = mmap(NULL, PAGE, protection, flags, fd, offset);
    int rc = 0;

    if (map == MAP_FAILED)
        return -errno;
    if (write) {
        memcpy(map, page, PAGE);
        rc = msync(map, PAGE, MS_SYNC) ? -errno : 0;
    } else {
        memcpy(page, map, PAGE);
    }
    munmap(map, PAGE);
    return rc;
}

static int transfer(const char *way, int fd, bool write, uint64_t offset, char *page)
{
    int rc;

    if (!strcmp(way, "shared"))
        return map_page(fd, write, MAP_SHARED, (off_t)offset, page);
    if (!strcmp(way, "private"))
        return map_page(fd, false, MAP_PRIVATE, (off_t)offset, page);
    if (!write)
        return pread_full(fd, page, PAGE, offset);
    rc = pwrite_full(fd, page, PAGE, offset);
    return rc ? rc : fdatasync(fd) ? -errno : 0;
}

int main(int argc, char **argv)
{
    static char page[PAGE + 1] __attribute__((aligned(PAGE)));
    bool write = argc == 5;
    cleanup_fd int fd = -1;
    int rc;

    if (argc != 4 && argc != 5)
        return 1;
    if (write)
        strncpy(page, argv[4], PAGE);
    fd = open(argv[2], (write ? O_RDWR : O_RDONLY) | (strcmp(argv[1], "direct") ? 0 : O_DIRECT));
    rc = fd < 0 ? -errno : transfer(argv[1], fd, write, strtoull(argv[3], NULL, 0), page);
    if (rc) {
        fprintf(stderr, "poke %s %s: %s\n", argv[1], argv[2], strerror(-rc));
        return rc == -ENODEV ? 3 : 4;
    }
    if (!write)
        puts(page);
    return 0;
}
