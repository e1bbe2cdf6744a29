/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "state/beside.h"

#include "common/cleanup.h"
#include "common/crc32c.h"
#include "common/io.h"
#include "common/units.h"
#include "state/directory.h"
#include "state/own_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>

struct beside {
    pthread_mutex_t lock; /* what is judged and then done is done by one thread */
    struct state_folder folder;
    int opened[BESIDE_OPEN_MAX]; /* the first OPENS of them */
    unsigned opens;
};

struct file {
    char name[BESIDE_NAME_MAX + 1];
    struct stat st;
};

/* --- the folder ------------------------------------------------------------------ */

/* To be listed, and its descriptor used. NULL with errno: ENOENT when it is not made yet. */
static DIR *open_folder(const struct beside *b)
{
    return own_directory_list(state_folder_open(&b->folder));
}

/* As above, for a change of which files there are: by nobody else before state_dir_close(DIR). */
static DIR *change_folder(const struct beside *b, bool make, struct state_dir *dir)
{
    return own_directory_list(state_folder_change(&b->folder, make, dir));
}

/*
 * Whether there is such a file: 1, 0, or -errno when that could not be seen. What is no plain file,
 * e.g. a link, is not shown.
 */
static int find_name(DIR *folder, const char *name, struct file *f)
{
    if (strlen(name) > BESIDE_NAME_MAX || strchr(name, '/'))
        return 0;
    if (fstatat(dirfd(folder), name, &f->st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISREG(f->st.st_mode))
        return 0;
    snprintf(f->name, sizeof(f->name), "%s", name);
    return 1;
}

/* The next one: 1, 0 behind the last, or -errno. */
static int next_file(DIR *folder, struct file *f)
{
    const char *name;
    int found;

    while ((found = own_directory_next(folder, &name)) > 0) {
        found = find_name(folder, name, f);
        if (found)
            break;
    }
    return found;
}

/*
 * File systems give the number of a removed file to the next one, ext4 at once. The file's handle
 * differs then, and stays what it is over a rename; where there are none, the number must do.
 */
static uint64_t inode_of(DIR *folder, const struct file *f)
{
    union {
        struct file_handle head;
        uint8_t room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
    } handle = {.head = {.handle_bytes = MAX_HANDLE_SZ}};
    uint64_t inode = f->st.st_ino;
    int mount;

    if (name_to_handle_at(dirfd(folder), f->name, &handle.head, &mount, 0) == 0)
        inode ^= (uint64_t)crc32c(0, handle.head.f_handle, handle.head.handle_bytes) << 32;
    return BESIDE_INODES + (inode & INT64_MAX);
}

/* Finds INODE in FOLDER, which is NULL with errno when it could not be opened. */
static int find_inode(DIR *folder, uint64_t inode, struct file *f)
{
    int found;

    if (!folder)
        return errno == ENOENT ? -ESTALE : -errno;
    while ((found = next_file(folder, f)) > 0)
        if (inode_of(folder, f) == inode)
            return 0;
    return found < 0 ? found : -ESTALE;
}

/* --- limits ---------------------------------------------------------------------- */

/* What a file counts for, in bytes: its size, or what was allocated behind its end. */
static uint64_t taken_by(const struct stat *st)
{
    uint64_t size = (uint64_t)st->st_size, allocated = (uint64_t)st->st_blocks * 512;

    return allocated > round_up(size, 64 * KIB) ? allocated : size;
}

/* Files that have been removed, and take their room until the last one closes them. Locked. */
static uint64_t taken_by_removed(const struct beside *b)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < b->opens; i++) {
        struct stat st, other;
        bool again = false;

        if (fstat(b->opened[i], &st) < 0 || st.st_nlink > 0)
            continue;
        for (unsigned j = 0; j < i && !again; j++)
            again = fstat(b->opened[j], &other) == 0 && other.st_ino == st.st_ino;
        total += again ? 0 : taken_by(&st);
    }
    return total;
}

/* Locked. */
static int add_up(const struct beside *b, struct beside_room *room)
{
    cleanup_dir DIR *folder = open_folder(b);
    struct file f;
    int found;

    *room = (struct beside_room){.used = taken_by_removed(b)};
    if (!folder)
        return errno == ENOENT ? 0 : -errno;
    while ((found = next_file(folder, &f)) > 0) {
        room->used += taken_by(&f.st);
        room->files_used++;
    }
    return found;
}

void beside_room(struct beside *b, struct beside_room *room)
{
    LOCK_SCOPE(&b->lock);

    if (add_up(b, room) < 0 || b->folder.read_only)
        return;
    room->free = room->used < BESIDE_QUOTA ? BESIDE_QUOTA - room->used : 0;
    room->files_free =
        room->files_used < BESIDE_FILES_MAX ? BESIDE_FILES_MAX - room->files_used : 0;
}

/* Whether the file FD may take SIZE bytes: 0, -ENOSPC or another -errno. Locked. */
static int check_quota(const struct beside *b, int fd, uint64_t size)
{
    struct beside_room room;
    struct stat st;
    int err;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (size <= taken_by(&st))
        return 0;
    err = add_up(b, &room);
    if (err)
        return err;
    return size <= BESIDE_QUOTA && room.used - taken_by(&st) + size <= BESIDE_QUOTA ? 0 : -ENOSPC;
}

/* --- what clients ask for --------------------------------------------------------- */

int beside_open(struct beside **beside, const char *directory, const char *identity, bool read_only,
                struct failure *failure)
{
    cleanup_free struct beside *b = calloc(1, sizeof(*b));
    int err = b ? state_folder_init(&b->folder, directory, identity, "files", read_only, failure)
                : -ENOMEM;

    if (err)
        return err;
    pthread_mutex_init(&b->lock, NULL);
    *beside = steal_pointer(&b);
    return 0;
}

void beside_close(struct beside *b)
{
    if (!b)
        return;
    while (b->opens > 0)
        close(b->opened[--b->opens]);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

int beside_lookup(struct beside *b, const char *name, uint64_t *inode, struct stat *st)
{
    cleanup_dir DIR *folder = open_folder(b);
    struct file f;
    int found;

    if (!folder)
        return -errno;
    found = find_name(folder, name, &f);
    if (found <= 0)
        return found < 0 ? found : -ENOENT;
    *inode = inode_of(folder, &f);
    *st = f.st;
    return 0;
}

int beside_stat(struct beside *b, uint64_t inode, struct stat *st)
{
    cleanup_dir DIR *folder = open_folder(b);
    struct file f;
    int err = find_inode(folder, inode, &f);

    if (!err)
        *st = f.st;
    return err;
}

int beside_name(struct beside *b, uint64_t inode, char *name)
{
    cleanup_dir DIR *folder = open_folder(b);
    struct file f;
    int err = find_inode(folder, inode, &f);

    if (!err)
        memcpy(name, f.name, sizeof(f.name));
    return err;
}

bool beside_at(struct beside *b, unsigned index, char *name, uint64_t *inode)
{
    cleanup_dir DIR *folder = open_folder(b);
    struct file f;

    for (; folder && next_file(folder, &f) > 0; index--)
        if (index == 0) {
            memcpy(name, f.name, sizeof(f.name));
            *inode = inode_of(folder, &f);
            return true;
        }
    return false;
}

static int check_name(const char *name)
{
    if (strchr(name, '/'))
        return -EINVAL;
    return strlen(name) > BESIDE_NAME_MAX ? -ENAMETOOLONG : 0;
}

/* Makes an empty file, durably. Locked. */
static int make_file(const struct beside *b, DIR *folder, const char *name)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    cleanup_fd int fd = -1;
    struct beside_room room;
    int err = add_up(b, &room);

    if (err)
        return err;
    if (room.files_used >= BESIDE_FILES_MAX)
        return -ENOSPC;
    fd = openat(dirfd(folder), name, flags, 0600);
    if (fd < 0)
        return -errno;
    err = fsync(dirfd(folder)) < 0 ? -errno : 0;
    if (err)
        unlinkat(dirfd(folder), name, 0);
    return err;
}

static int open_found(DIR *folder, const struct file *f, int flags)
{
    int fd =
        openat(dirfd(folder), f->name, (flags & (O_ACCMODE | O_TRUNC)) | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

/* The same for a client, who keeps it open. Locked. */
static int open_for_client(struct beside *b, DIR *folder, const struct file *f, int flags)
{
    int fd = b->opens == BESIDE_OPEN_MAX ? -ENFILE : open_found(folder, f, flags);

    if (fd >= 0)
        b->opened[b->opens++] = fd;
    return fd;
}

void beside_close_file(struct beside *b, int fd)
{
    LOCK_SCOPE(&b->lock);

    for (unsigned i = 0; i < b->opens; i++)
        if (b->opened[i] == fd) {
            b->opened[i] = b->opened[--b->opens];
            break;
        }
    close(fd);
}

int beside_create(struct beside *b, const char *name, int flags, uint64_t *inode)
{
    LOCK_SCOPE(&b->lock); /* first, and so released last */
    cleanup_state_dir struct state_dir dir = STATE_DIR_INIT;
    cleanup_dir DIR *folder = NULL;
    struct file f;
    int err = check_name(name), found;

    if (err)
        return err;
    folder = change_folder(b, true, &dir);
    if (!folder)
        return -errno;
    found = find_name(folder, name, &f);
    if (found > 0 && flags & O_EXCL)
        return -EEXIST;
    if (found == 0) {
        err = make_file(b, folder, name);
        if (err)
            return err;
        found = find_name(folder, name, &f);
    }
    if (found <= 0)
        return found < 0 ? found : -ENOENT;
    *inode = inode_of(folder, &f);
    return open_for_client(b, folder, &f, flags);
}

int beside_open_file(struct beside *b, uint64_t inode, int flags)
{
    LOCK_SCOPE(&b->lock);
    cleanup_dir DIR *folder = open_folder(b);
    bool changes = (flags & (O_ACCMODE | O_TRUNC)) != O_RDONLY;
    struct file f;
    int err = changes && b->folder.read_only ? -EROFS : find_inode(folder, inode, &f);

    return err ? err : open_for_client(b, folder, &f, flags);
}

int beside_write(struct beside *b, int fd, const void *data, size_t length, uint64_t offset)
{
    int err;
    LOCK_SCOPE(&b->lock);

    err = check_quota(b, fd, offset + length);
    return err ? err : pwrite_full(fd, data, length, offset);
}

int beside_allocate(struct beside *b, int fd, int mode, uint64_t offset, uint64_t length)
{
    int err;
    LOCK_SCOPE(&b->lock);

    if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        return -EOPNOTSUPP;
    err = mode & FALLOC_FL_PUNCH_HOLE ? 0 : check_quota(b, fd, offset + length);
    if (err)
        return err;
    return fallocate(fd, mode, (off_t)offset, (off_t)length) < 0 ? -errno : 0;
}

int beside_truncate(struct beside *b, uint64_t inode, uint64_t size)
{
    LOCK_SCOPE(&b->lock);
    cleanup_dir DIR *folder = open_folder(b);
    cleanup_fd int fd = -1;
    struct file f;
    int err = b->folder.read_only ? -EROFS : find_inode(folder, inode, &f);

    if (err)
        return err;
    fd = open_found(folder, &f, O_WRONLY);
    if (fd < 0)
        return fd;
    err = check_quota(b, fd, size);
    if (err)
        return err;
    return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

int beside_set_times(struct beside *b, uint64_t inode, const struct timespec times[2])
{
    cleanup_dir DIR *folder = open_folder(b);
    struct file f;
    int err = b->folder.read_only ? -EROFS : find_inode(folder, inode, &f);

    if (err)
        return err;
    return utimensat(dirfd(folder), f.name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

int beside_remove(struct beside *b, const char *name)
{
    LOCK_SCOPE(&b->lock);
    cleanup_state_dir struct state_dir dir = STATE_DIR_INIT;
    cleanup_dir DIR *folder = change_folder(b, false, &dir);
    struct file f;
    int found;

    if (!folder)
        return -errno;
    found = find_name(folder, name, &f);
    if (found <= 0)
        return found < 0 ? found : -ENOENT;
    return unlinkat(dirfd(folder), name, 0) < 0 || fsync(dirfd(folder)) < 0 ? -errno : 0;
}

int beside_rename(struct beside *b, const char *name, const char *to, unsigned flags)
{
    LOCK_SCOPE(&b->lock);
    cleanup_state_dir struct state_dir dir = STATE_DIR_INIT;
    cleanup_dir DIR *folder = change_folder(b, false, &dir);
    struct file f;
    int err = check_name(to), found;

    if (!folder)
        return -errno;
    found = find_name(folder, name, &f);
    if (found <= 0)
        return found < 0 ? found : -ENOENT;
    if (err)
        return err;
    if (flags & ~(unsigned)RENAME_NOREPLACE)
        return -EINVAL;
    found = flags & RENAME_NOREPLACE ? find_name(folder, to, &f) : 0;
    if (found)
        return found < 0 ? found : -EEXIST;
    if (renameat(dirfd(folder), name, dirfd(folder), to) < 0 || fsync(dirfd(folder)) < 0)
        return -errno;
    return 0;
}
