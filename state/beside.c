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
    char name[SIDE_NAME_MAX + 1]; /* "": free */
    uint64_t uses;
};

struct side {
    pthread_mutex_t lock;
    int parent; /* the state directory */
    int folder; /* <identity>.files in it, or -1: not made yet */
    char folder_name[80];
    bool read_only;
    struct slot slots[SIDE_FILES_MAX];
};

static uint64_t inode_of(const struct side *s, const struct slot *slot)
{
    return SIDE_INODES + (uint64_t)(slot - s->slots) + slot->uses * SIDE_FILES_MAX;
}

static struct slot *slot_of(struct side *s, uint64_t inode)
{
    struct slot *slot = &s->slots[(inode - SIDE_INODES) % SIDE_FILES_MAX];

    return *slot->name && inode_of(s, slot) == inode ? slot : NULL;
}

static struct slot *slot_named(struct side *s, const char *name)
{
    for (unsigned i = 0; i < SIDE_FILES_MAX; i++)
        if (*s->slots[i].name && !strcmp(s->slots[i].name, name))
            return &s->slots[i];
    return NULL;
}

static struct slot *take_slot(struct side *s, const char *name)
{
    for (unsigned i = 0; i < SIDE_FILES_MAX; i++)
        if (!*s->slots[i].name) {
            snprintf(s->slots[i].name, sizeof(s->slots[i].name), "%s", name);
            s->slots[i].uses++;
            return &s->slots[i];
        }
    return NULL;
}

static int open_folder(struct side *s)
{
    s->folder = openat(s->parent, s->folder_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return s->folder < 0 ? -errno : 0;
}

/* The same, and a file that another instance has made meanwhile. */
static struct slot *slot_found(struct side *s, const char *name)
{
    struct slot *slot = slot_named(s, name);
    struct stat st;

    if (slot || strlen(name) > SIDE_NAME_MAX || strchr(name, '/') ||
        (s->folder < 0 && open_folder(s) < 0) ||
        fstatat(s->folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
        return slot;
    return take_slot(s, name);
}

static int make_folder(struct side *s)
{
    if (s->folder >= 0)
        return 0;
    if (mkdirat(s->parent, s->folder_name, 0700) < 0 && errno != EEXIST)
        return -errno;
    if (fsync(s->parent) < 0)
        return -errno;
    return open_folder(s);
}

/* Gives the files that are there their slots; what is no plain file of ours is not shown. */
static int scan_folder(struct side *s)
{
    cleanup_dir DIR *directory = NULL;
    cleanup_fd int copy = openat(s->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct dirent *entry;

    directory = copy < 0 ? NULL : fdopendir(copy);
    if (!directory)
        return -errno;
    steal_fd(&copy);
    while ((entry = readdir(directory))) {
        struct stat st;

        if (fstatat(s->folder, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(st.st_mode) && strlen(entry->d_name) <= SIDE_NAME_MAX)
            take_slot(s, entry->d_name);
    }
    return 0;
}

int side_open(struct side **side, const char *directory, const char *identity, bool read_only,
              struct failure *failure)
{
    cleanup_store_dir struct store_dir dir = STORE_DIR_INIT;
    struct side *s = calloc(1, sizeof(*s));
    int err;

    if (!s)
        return -ENOMEM;
    pthread_mutex_init(&s->lock, NULL);
    s->parent = s->folder = -1;
    s->read_only = read_only;
    err = store_dir_enter(&dir, directory, identity, read_only, failure);
    if (!err) {
        store_dir_select(&dir, "files");
        snprintf(s->folder_name, sizeof(s->folder_name), "%s", dir.name);
        /* Opened anew: a duplicate would share, and keep, the lock on the directory. */
        s->parent = openat(dir.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        err = s->parent < 0 ? -errno : open_folder(s);
        if (!err)
            err = scan_folder(s);
        if (err && err != -ENOENT)
            failed(failure, EXIT_IO_ERROR, err, "%s: cannot read it: %s", dir.path, strerror(-err));
    }
    if (err && err != -ENOENT) {
        side_close(s);
        return err;
    }
    *side = s;
    return 0;
}

void side_close(struct side *s)
{
    if (!s)
        return;
    close_fd(&s->folder);
    close_fd(&s->parent);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static int stat_slot(const struct side *s, const struct slot *slot, struct stat *st)
{
    return fstatat(s->folder, slot->name, st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

int side_lookup(struct side *s, const char *name, uint64_t *inode, struct stat *st)
{
    const struct slot *slot;
    LOCK_SCOPE(&s->lock);

    slot = slot_found(s, name);
    if (!slot)
        return -ENOENT;
    *inode = inode_of(s, slot);
    return stat_slot(s, slot, st);
}

int side_stat(struct side *s, uint64_t inode, struct stat *st)
{
    const struct slot *slot;
    LOCK_SCOPE(&s->lock);

    slot = slot_of(s, inode);
    return slot ? stat_slot(s, slot, st) : -ESTALE;
}

int side_name(struct side *s, uint64_t inode, char *name)
{
    const struct slot *slot;
    LOCK_SCOPE(&s->lock);

    slot = slot_of(s, inode);
    if (!slot)
        return -ESTALE;
    memcpy(name, slot->name, sizeof(slot->name));
    return 0;
}

bool side_at(struct side *s, unsigned index, char *name, uint64_t *inode)
{
    LOCK_SCOPE(&s->lock);

    for (unsigned i = 0; i < SIDE_FILES_MAX; i++) {
        if (!*s->slots[i].name || index-- > 0)
            continue;
        memcpy(name, s->slots[i].name, sizeof(s->slots[i].name));
        *inode = inode_of(s, &s->slots[i]);
        return true;
    }
    return false;
}

int side_create(struct side *s, const char *name, int flags, uint64_t *inode)
{
    struct slot *slot;
    bool is_new;
    int err, fd;
    LOCK_SCOPE(&s->lock);

    if (s->read_only)
        return -EROFS;
    if (strlen(name) > SIDE_NAME_MAX)
        return -ENAMETOOLONG;
    err = make_folder(s);
    if (err)
        return err;
    slot = slot_found(s, name);
    if (slot && flags & O_EXCL)
        return -EEXIST;
    is_new = !slot;
    if (is_new)
        slot = take_slot(s, name);
    if (!slot)
        return -ENOSPC;
    fd = openat(s->folder, name,
                (flags & (O_ACCMODE | O_TRUNC)) | (is_new ? O_CREAT | O_EXCL : 0) | O_NOFOLLOW |
                    O_CLOEXEC,
                0600);
    if (fd < 0 || (is_new && fsync(s->folder) < 0)) {
        err = -errno;
        close_fd(&fd);
        if (is_new)
            *slot->name = '\0';
        return err;
    }
    *inode = inode_of(s, slot);
    return fd;
}

int side_open_file(struct side *s, uint64_t inode, int flags)
{
    const struct slot *slot;
    int fd;
    LOCK_SCOPE(&s->lock);

    slot = slot_of(s, inode);
    if (!slot)
        return -ESTALE;
    fd = openat(s->folder, slot->name, (flags & (O_ACCMODE | O_TRUNC)) | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* The sizes of all files together. Locked. */
static uint64_t total_size(const struct side *s)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < SIDE_FILES_MAX; i++) {
        struct stat st;

        if (*s->slots[i].name && stat_slot(s, &s->slots[i], &st) == 0)
            total += (uint64_t)st.st_size;
    }
    return total;
}

void side_room(struct side *s, struct side_room *room)
{
    LOCK_SCOPE(&s->lock);

    *room = (struct side_room){.used = total_size(s)};
    for (unsigned i = 0; i < SIDE_FILES_MAX; i++)
        room->files_used += *s->slots[i].name != '\0';
    if (s->read_only)
        return;
    room->files_free = SIDE_FILES_MAX - room->files_used;
    room->free = room->used < SIDE_QUOTA ? SIDE_QUOTA - room->used : 0;
}

/* Whether a file of size OLD may become NEW bytes long. Locked. */
static bool quota_allows(const struct side *s, uint64_t old, uint64_t new)
{
    return new <= old || (new <= SIDE_QUOTA &&total_size(s) - old + new <= SIDE_QUOTA);
}

int side_write(struct side *s, int fd, const void *data, size_t length, uint64_t offset)
{
    struct stat st;
    LOCK_SCOPE(&s->lock);

    if (fstat(fd, &st) < 0)
        return -errno;
    if (!quota_allows(s, (uint64_t)st.st_size, offset + length))
        return -ENOSPC;
    return pwrite_full(fd, data, length, offset);
}

int side_allocate(struct side *s, int fd, int mode, uint64_t offset, uint64_t length)
{
    struct stat st;
    LOCK_SCOPE(&s->lock);

    if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        return -EOPNOTSUPP;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!(mode & FALLOC_FL_PUNCH_HOLE) && !quota_allows(s, (uint64_t)st.st_size, offset + length))
        return -ENOSPC;
    return fallocate(fd, mode, (off_t)offset, (off_t)length) < 0 ? -errno : 0;
}

int side_truncate(struct side *s, uint64_t inode, uint64_t size)
{
    cleanup_fd int fd = side_open_file(s, inode, O_WRONLY);
    struct stat st;
    LOCK_SCOPE(&s->lock);

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!quota_allows(s, (uint64_t)st.st_size, size))
        return -ENOSPC;
    return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

int side_set_times(struct side *s, uint64_t inode, const struct timespec times[2])
{
    const struct slot *slot;
    LOCK_SCOPE(&s->lock);

    slot = slot_of(s, inode);
    if (!slot)
        return -ESTALE;
    return utimensat(s->folder, slot->name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

int side_remove(struct side *s, const char *name)
{
    struct slot *slot;
    LOCK_SCOPE(&s->lock);

    slot = slot_named(s, name);
    if (!slot)
        return -ENOENT;
    if (unlinkat(s->folder, name, 0) < 0 || fsync(s->folder) < 0)
        return -errno;
    *slot->name = '\0';
    return 0;
}

int side_rename(struct side *s, const char *name, const char *to, unsigned flags)
{
    struct slot *from, *replaced;
    LOCK_SCOPE(&s->lock);

    from = slot_named(s, name);
    replaced = slot_named(s, to);
    if (!from)
        return -ENOENT;
    if (strlen(to) > SIDE_NAME_MAX)
        return -ENAMETOOLONG;
    if (flags & ~(unsigned)RENAME_NOREPLACE)
        return -EINVAL;
    if (replaced && flags & RENAME_NOREPLACE)
        return -EEXIST;
    if (renameat(s->folder, name, s->folder, to) < 0 || fsync(s->folder) < 0)
        return -errno;
    if (replaced && replaced != from)
        *replaced->name = '\0';
    snprintf(from->name, sizeof(from->name), "%s", to);
    return 0;
}
