/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/support.h"

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <linux/loop.h>
#include <linux/magic.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uuid/uuid.h>

extern char **environ;

uint64_t rng_next(struct rng *rng)
{
    uint64_t z = rng->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t rng_below(struct rng *rng, uint64_t limit)
{
    return rng_next(rng) % limit;
}

void rng_fill(struct rng *rng, void *data, size_t length)
{
    uint8_t *p = data;

    for (; length > 0;) {
        uint64_t v = rng_next(rng);
        size_t n = length < 8 ? length : 8;

        memcpy(p, &v, n);
        p += n;
        length -= n;
    }
}

uint64_t test_count(const char *name, uint64_t fallback)
{
    const char *text = getenv(name);

    return text && *text ? strtoull(text, NULL, 0) : fallback;
}

uint64_t test_seed(const char *test)
{
    uint64_t fresh = ((uint64_t)getpid() << 32) ^ (uint64_t)time(NULL);
    uint64_t seed = test_count("TEST_SEED", fresh);

    fprintf(stderr, "%s: TEST_SEED=%" PRIu64 "\n", test, seed);
    return seed;
}

/* What temp_dir() made; removed by the process that made it, never by a forked child. */
static struct {
    pid_t owner;
    char path[4096];
} temps[16];
static size_t temp_count;

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    remove(path);
    return 0;
}

void remove_tree(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static void remove_temps(void)
{
    for (size_t i = 0; i < temp_count; i++)
        if (temps[i].owner == getpid())
            remove_tree(temps[i].path);
}

static void remove_temps_and_die(int number)
{
    remove_temps();
    signal(number, SIG_DFL);
    raise(number);
}

static bool is_tmpfs(const char *path)
{
    struct statfs st;

    return statfs(path, &st) == 0 && st.f_type == TMPFS_MAGIC && access(path, W_OK) == 0;
}

const char *temp_dir(bool in_memory)
{
    const char *base = getenv("TMPDIR");
    char *path;

    if (!base || !*base)
        base = "/tmp";
    if (in_memory && is_tmpfs("/dev/shm"))
        base = "/dev/shm";
    if (temp_count == 0) {
        struct rlimit limit;

        /* What goes astray shall not fill the machine. */
        if (getrlimit(RLIMIT_FSIZE, &limit) == 0) {
            limit.rlim_cur = min_u64(GIB, limit.rlim_max);
            setrlimit(RLIMIT_FSIZE, &limit);
        }
        atexit(remove_temps);
        signal(SIGINT, remove_temps_and_die);
        signal(SIGTERM, remove_temps_and_die);
        signal(SIGHUP, remove_temps_and_die);
    }
    assert_true(temp_count < ARRAY_SIZE(temps));
    path = temps[temp_count].path;
    snprintf(path, sizeof(temps[0].path), "%s/vhdxfs-test.XXXXXX", base);
    if (!mkdtemp(path))
        fail_msg("%s: %s", path, strerror(errno));
    temps[temp_count++].owner = getpid();
    return path;
}

char *join(const char *directory, const char *name)
{
    char *path;

    assert_true(asprintf(&path, "%s/%s", directory, name) > 0);
    return path;
}

char *fresh_path(const char *directory)
{
    static unsigned number;
    char name[32];

    snprintf(name, sizeof(name), "%u", number++);
    return join(directory, name);
}

/* The tools of e2fsprogs lie where a user's PATH does not lead. */
static void add_sbin(void)
{
    static bool done;
    const char *old = getenv("PATH");
    cleanup_free char *path = NULL;

    if (done || asprintf(&path, "%s:/usr/sbin:/sbin", old ? old : "/usr/bin:/bin") < 0)
        return;
    setenv("PATH", path, 1);
    done = true;
}

int run_program(const char *const argv[])
{
    posix_spawn_file_actions_t actions;
    int status, err;
    pid_t pid;

    add_sbin();
    posix_spawn_file_actions_init(&actions);
    for (int fd = 0; fd <= 2; fd++)
        posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
    err = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (err || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

void make_file(const char *path, uint64_t size)
{
    cleanup_fd int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
        fail_msg("%s: %s", path, strerror(errno));
}

void read_file(const char *path, void *data, size_t length, uint64_t offset)
{
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pread_full(fd, data, length, offset), 0);
}

void write_file(const char *path, const void *data, size_t length, uint64_t offset)
{
    cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pwrite_full(fd, data, length, offset), 0);
}

uint64_t file_size(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return (uint64_t)st.st_size;
}

bool exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

void make_ext4(const char *path, uint64_t fs_size, const char *uuid)
{
    char blocks[32];
    const char *const argv[] = {"mkfs.ext4", "-q", "-F", "-b", "1024", "-E",
                                "nodiscard", "-U", uuid, path, blocks, NULL};
    int status;

    snprintf(blocks, sizeof(blocks), "%" PRIu64, fs_size / 1024);
    status = run_program(argv);
    if (status != 0)
        fail_msg("mkfs.ext4 of %s blocks on %s: status %d", blocks, path, status);
}

void make_superblock(const char *path, const char *uuid)
{
    uint8_t sb[1024] = {0};

    assert_int_equal(uuid_parse(uuid, sb + 104), 0); /* s_uuid */
    put_le32(sb + 0, 16);                            /* s_inodes_count */
    put_le32(sb + 4, 64);                            /* s_blocks_count */
    put_le32(sb + 20, 1);                            /* s_first_data_block */
    put_le32(sb + 32, 8192);                         /* s_blocks_per_group */
    put_le32(sb + 40, 16);                           /* s_inodes_per_group */
    put_le16(sb + 56, 0xef53);                       /* s_magic */
    put_le16(sb + 58, 1);                            /* s_state: clean */
    put_le32(sb + 76, 1);                            /* s_rev_level */
    put_le16(sb + 88, 128);                          /* s_inode_size */
    write_file(path, sb, sizeof(sb), 1024);
}

bool ext4_is_clean(const char *path)
{
    const char *const argv[] = {"e2fsck", "-fn", path, NULL};

    return run_program(argv) == 0;
}

/* Another program may take the free device between the two calls: then the next one. */
int loop_attach(struct loop *loop, const char *file, uint32_t sector)
{
    cleanup_fd int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), fd = -1;

    loop->fd = -1;
    if (control < 0)
        return -errno;
    fd = open(file, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    for (int attempts = 0; attempts < 50; attempts++) {
        struct loop_config config = {.fd = (uint32_t)fd, .block_size = sector};
        int number = ioctl(control, LOOP_CTL_GET_FREE);

        if (number < 0)
            return -errno;
        snprintf(loop->path, sizeof(loop->path), "/dev/loop%d", number);
        loop->fd = open(loop->path, O_RDWR | O_CLOEXEC);
        if (loop->fd < 0)
            return -errno;
        config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
        if (ioctl(loop->fd, LOOP_CONFIGURE, &config) == 0)
            return 0;
        if (errno != EBUSY)
            return -errno;
        close_fd(&loop->fd);
    }
    return -EBUSY;
}

void loop_detach(struct loop *loop)
{
    close_fd(&loop->fd);
}

struct vhdx_layout make_layout(uint64_t size, uint32_t block_size, uint32_t sector)
{
    struct vhdx_params params = {size, block_size, sector, 4096};
    struct vhdx_layout layout;

    assert_int_equal(vhdx_layout_init(&layout, &params, NULL), 0);
    return layout;
}

int start_export(struct exported *exported, const struct export_settings *settings,
                 struct failure *failure)
{
    int err = export_prepare(exported, settings, failure);

    return err ? err : export_start(exported, failure);
}
