/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tests of the daemon share: random numbers that can be had again, directories that do
 * not stay behind, images, loop devices, and the log, kept instead of printed.
 *
 * Functions that set something up end the test (cmocka's fail) when they cannot.
 */
#ifndef TESTS_SUPPORT_H
#define TESTS_SUPPORT_H

#include "export/start.h"
#include "vhdx/layout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A generator whose whole state is one number (splitmix64). */
struct rng {
    uint64_t state;
};
uint64_t rng_next(struct rng *rng);
/* A number in [0, limit); limit > 0. */
uint64_t rng_below(struct rng *rng, uint64_t limit);
static inline bool rng_one_in(struct rng *rng, uint64_t n)
{
    return rng_below(rng, n) == 0;
}
void rng_fill(struct rng *rng, void *data, size_t length);

/* $TEST_SEED, or a new one; printed, so that a failure can be had again. */
uint64_t test_seed(const char *test);
/* The number in environment variable NAME, or FALLBACK. */
uint64_t test_count(const char *name, uint64_t fallback);

/*
 * A new directory (mode 0700), removed with all that is in it when the program ends, also by a
 * signal. IN_MEMORY asks for a tmpfs, if there is one.
 */
const char *temp_dir(bool in_memory);
void remove_tree(const char *path);
/* "directory/name", to be freed. */
char *join(const char *directory, const char *name);

/* A path in DIRECTORY, another one at each call, for a test to make something there. Free it. */
char *fresh_path(const char *directory);

/* Runs a program, its output dropped; returns its exit status, or -1. */
int run_program(const char *const argv[]);

void make_file(const char *path, uint64_t size);
void read_file(const char *path, void *data, size_t length, uint64_t offset);
void write_file(const char *path, const void *data, size_t length, uint64_t offset);
uint64_t file_size(const char *path);
bool exists(const char *path);

/* mkfs.ext4 on the first FS_SIZE bytes of the existing object at PATH. */
void make_ext4(const char *path, uint64_t fs_size, const char *uuid);
/* The smallest thing that libblkid takes for an ext2 with this UUID, for tiny disks. */
void make_superblock(const char *path, const char *uuid);
/* e2fsck -fn; true when it has nothing to say. */
bool ext4_is_clean(const char *path);

/* A loop device over FILE with sectors of SECTOR bytes; it goes away with its last user. */
struct loop {
    int fd;
    char path[32];
};
/* Returns 0 or -errno: no right to, or no loop devices here. */
int loop_attach(struct loop *loop, const char *file, uint32_t sector);
void loop_detach(struct loop *loop);

/* The last error or warning logged, "" if none; and how many there were. */
const char *logged(void);
unsigned logged_count(void);
void log_forget(void);

/* Both steps of a start. */
int start_export(struct exported *exported, const struct export_settings *settings,
                 struct failure *failure);

struct vhdx_layout make_layout(uint64_t size, uint32_t block_size, uint32_t sector);

#endif
