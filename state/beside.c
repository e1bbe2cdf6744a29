/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "state/beside.h"

#include "common/cleanup.h"
#include "common/io.h"
#include "common/units.h"
#include "state/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>

/*
 * Inode numbers name a slot and how often it has been used, so that a number of a removed file
 * never means a later one.
 */
struct slot {
    char name[BESIDE_NAME_MAX + 1]; /* "": free */
    uint64_t uses;
};

struct beside {
    pthread_mutex_t lock;
    int parent; /* the state directory */
    int folder; /* <identity>.files in it, or -1: not made yet */
    char folder_name[80];
    bool read_only;
    struct slot slots[BESIDE_FILES_MAX];
};

static uint64_t inode_of(const struct beside *b, const struct slot *slot)
{
    return BESIDE_INODES + (uint64_t)(slot - b->slots) + slot->uses * BESIDE_FILES_MAX;
}

static struct slot *slot_of(struct beside *b, uint64_t inode)
{
    struct slot *slot = &b->slots[(inode - BESIDE_INODES) % BESIDE_FILES_MAX];

    return *slot->name && inode_of(b, slot) == inode ? slot : NULL;
}

static struct slot *slot_named(struct beside *b, const char *name)
{
    for (unsigned i = 0; i < BESIDE_FILES_MAX; i++)
        if (*b->slots[i].name && !strcmp(b->slots[i].name, name))
            return &b->slots[i];
    return NULL;
}

static struct slot *take_slot(struct beside *b, const char *name)
{
    for (unsigned i = 0; i < BESIDE_FILES_MAX; i++)
        if (!*b->slots[i].name) {
            snprintf(b->slots[i].name, sizeof(b->slots[i].name), "%s", name);
            b->slots[i].uses++;
            return &b->slots[i];
        }
    return NULL;
}

static int open_folder(struct beside *b)
{
    b->folder = openat(b->parent, b->folder_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return b->folder < 0 ? -errno : 0;
}

/* The same, and a file that another instance has made meanwhile. */
static struct slot *slot_found(struct beside *b, const char *name)
{
    struct slot *slot = slot_named(b, name);
    struct stat st;

    if (slot || strlen(name) > BESIDE_NAME_MAX || strchr(name, '/') ||
        (b->folder < 0 && open_folder(b) < 0) ||
        fstatat(b->folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
        return slot;
    return take_slot(b, name);
}

static int make_folder(struct beside *b)
{
    if (b->folder >= 0)
        return 0;
    if (mkdirat(b->parent, b->folder_name, 0700) < 0 && errno != EEXIST)
        return -errno;
    if (fsync(b->parent) < 0)
        return -errno;
    return open_folder(b);
}

/* Gives the files that are there their slots; what is no plain file of ours is not shown. */
static int scan_folder(struct beside *b)
{
    cleanup_dir DIR *directory = NULL;
    cleanup_fd int copy = openat(b->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct dirent *entry;

    directory = copy < 0 ? NULL : fdopendir(copy);
    if (!directory)
        return -errno;
    steal_fd(&copy);
    while ((entry = readdir(directory))) {
        struct stat st;

        if (fstatat(b->folder, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(st.st_mode) && strlen(entry->d_name) <= BESIDE_NAME_MAX)
            take_slot(b, entry->d_name);
    }
    return 0;
}

int beside_open(struct beside **beside, const char *directory, const char *identity, bool read_only,
                struct failure *failure)
{
    cleanup_state_dir struct state_dir dir = STATE_DIR_INIT;
    struct beside *b = calloc(1, sizeof(*b));
    int err;

    if (!b)
        return -ENOMEM;
    pthread_mutex_init(&b->lock, NULL);
    b->parent = b->folder = -1;
    b->read_only = read_only;
    err = state_dir_enter(&dir, directory, identity, read_only, failure);
    if (!err) {
        state_dir_select(&dir, "files");
        snprintf(b->folder_name, sizeof(b->folder_name), "%s", dir.name);
        /* Opened anew: a duplicate would share, and keep, the lock on the directory. */
        b->parent = openat(dir.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        err = b->parent < 0 ? -errno : open_folder(b);
        if (!err)
            err = scan_folder(b);
        if (err && err != -ENOENT)
            failed(failure, EXIT_IO_ERROR, err, "%s: cannot read it: %s", dir.path, strerror(-err));
    }
    if (err && err != -ENOENT) {
        beside_close(b);
        return err;
    }
    *beside = b;
    return 0;
}

void beside_close(struct beside *b)
{
    if (!b)
        return;
    close_fd(&b->folder);
    close_fd(&b->parent);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

static int stat_slot(const struct beside *b, const struct slot *slot, struct stat *st)
{
    return fstatat(b->folder, slot->name, st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

int beside_lookup(struct beside *b, const char *name, uint64_t *inode, struct stat *st)
{
    const struct slot *slot;
    LOCK_SCOPE(&b->lock);

    slot = slot_found(b, name);
    if (!slot)
        return -ENOENT;
    *inode = inode_of(b, slot);
    return stat_slot(b, slot, st);
}

int beside_stat(struct beside *b, uint64_t inode, struct stat *st)
{
    const struct slot *slot;
    LOCK_SCOPE(&b->lock);

    slot = slot_of(b, inode);
    return slot ? stat_slot(b, slot, st) : -ESTALE;
}

int beside_name(struct beside *b, uint64_t inode, char *name)
{
    const struct slot *slot;
    LOCK_SCOPE(&b->lock);

    slot = slot_of(b, inode);
    if (!slot)
        return -ESTALE;
    memcpy(name, slot->name, sizeof(slot->name));
    return 0;
}

bool beside_at(struct beside *b, unsigned index, char *name, uint64_t *inode)
{
    LOCK_SCOPE(&b->lock);

    for (unsigned i = 0; i < BESIDE_FILES_MAX; i++) {
        if (!*b->slots[i].name || index-- > 0)
            continue;
        memcpy(name, b->slots[i].name, sizeof(b->slots[i].name));
        *inode = inode_of(b, &b->slots[i]);
        return true;
    }
    return false;
}

int beside_create(struct beside *b, const char *name, int flags, uint64_t *inode)
{
    struct slot *slot;
    bool is_new;
    int err, fd;
    LOCK_SCOPE(&b->lock);

    if (b->read_only)
        return -EROFS;
    if (strlen(name) > BESIDE_NAME_MAX)
        return -ENAMETOOLONG;
    err = make_folder(b);
    if (err)
        return err;
    slot = slot_found(b, name);
    if (slot && flags & O_EXCL)
        return -EEXIST;
    is_new = !slot;
    if (is_new)
        slot = take_slot(b, name);
    if (!slot)
        return -ENOSPC;
    fd = openat(b->folder, name,
                (flags & (O_ACCMODE | O_TRUNC)) | (is_new ? O_CREAT | O_EXCL : 0) | O_NOFOLLOW |
                    O_CLOEXEC,
                0600);
    if (fd < 0 || (is_new && fsync(b->folder) < 0)) {
        err = -errno;
        close_fd(&fd);
        if (is_new)
            *slot->name = '\0';
        return err;
    }
    *inode = inode_of(b, slot);
    return fd;
}

int beside_open_file(struct beside *b, uint64_t inode, int flags)
{
    const struct slot *slot;
    int fd;
    LOCK_SCOPE(&b->lock);

    slot = slot_of(b, inode);
    if (!slot)
        return -ESTALE;
    fd = openat(b->folder, slot->name, (flags & (O_ACCMODE | O_TRUNC)) | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* The sizes of all files together. Locked. */
static uint64_t total_size(const struct beside *b)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < BESIDE_FILES_MAX; i++) {
        struct stat st;

        if (*b->slots[i].name && stat_slot(b, &b->slots[i], &st) == 0)
            total += (uint64_t)st.st_size;
    }
    return total;
}

void beside_room(struct beside *b, struct beside_room *room)
{
    LOCK_SCOPE(&b->lock);

    *room = (struct beside_room){.used = total_size(b)};
    for (unsigned i = 0; i < BESIDE_FILES_MAX; i++)
        room->files_used += *b->slots[i].name != '\0';
    if (b->read_only)
        return;
    room->files_free = BESIDE_FILES_MAX - room->files_used;
    room->free = room->used < BESIDE_QUOTA ? BESIDE_QUOTA - room->used : 0;
}

/* Whether a file of size OLD may become NEW bytes long. Locked. */
static bool quota_allows(const struct beside *b, uint64_t old, uint64_t new)
{
    return new <= old || (new <= BESIDE_QUOTA &&total_size(b) - old + new <= BESIDE_QUOTA);
}

int beside_write(struct beside *b, int fd, const void *data, size_t length, uint64_t offset)
{
    struct stat st;
    LOCK_SCOPE(&b->lock);

    if (fstat(fd, &st) < 0)
        return -errno;
    if (!quota_allows(b, (uint64_t)st.st_size, offset + length))
        return -ENOSPC;
    return pwrite_full(fd, data, length, offset);
}

int beside_allocate(struct beside *b, int fd, int mode, uint64_t offset, uint64_t length)
{
    struct stat st;
    LOCK_SCOPE(&b->lock);

    if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        return -EOPNOTSUPP;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!(mode & FALLOC_FL_PUNCH_HOLE) && !quota_allows(b, (uint64_t)st.st_size, offset + length))
        return -ENOSPC;
    return fallocate(fd, mode, (off_t)offset, (off_t)length) < 0 ? -errno : 0;
}

int beside_truncate(struct beside *b, uint64_t inode, uint64_t size)
{
    cleanup_fd int fd = beside_open_file(b, inode, O_WRONLY);
    struct stat st;
    LOCK_SCOPE(&b->lock);

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!quota_allows(b, (uint64_t)st.st_size, size))
        return -ENOSPC;
    return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

int beside_set_times(struct beside *b, uint64_t inode, const struct timespec times[2])
{
    const struct slot *slot;
    LOCK_SCOPE(&b->lock);

    slot = slot_of(b, inode);
    if (!slot)
        return -ESTALE;
    return utimensat(b->folder, slot->name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

int beside_remove(struct beside *b, const char *name)
{
    struct slot *slot;
    LOCK_SCOPE(&b->lock);

    slot = slot_named(b, name);
    if (!slot)
        return -ENOENT;
    if (unlinkat(b->folder, name, 0) < 0 || fsync(b->folder) < 0)
        return -errno;
    *slot->name = '\0';
    return 0;
}

int beside_rename(struct beside *b, const char *name, const char *to, unsigned flags)
{
    struct slot *from, *replaced;
    LOCK_SCOPE(&b->lock);

    from = slot_named(b, name);
    replaced = slot_named(b, to);
    if (!from)
        return -ENOENT;
    if (strlen(to) > BESIDE_NAME_MAX)
        return -ENAMETOOLONG;
    if (flags & ~(unsigned)RENAME_NOREPLACE)
        return -EINVAL;
    if (replaced && flags & RENAME_NOREPLACE)
        return -EEXIST;
    if (renameat(b->folder, name, b->folder, to) < 0 || fsync(b->folder) < 0)
        return -errno;
    if (replaced && replaced != from)
        *replaced->name = '\0';
    snprintf(from->name, sizeof(from->name), "%s", to);
    return 0;
}
