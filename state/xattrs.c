/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "state/xattrs.h"

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "state/directory.h"
#include "state/own_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

/* No object's and no attribute's file begins with a dot. */
#define FRESH ".new"
#define GONE  ".gone"

struct xattrs {
    pthread_mutex_t lock; /* among our own threads; among instances it is the state directory's */
    struct state_folder folder;
};

/* --- names ---------------------------------------------------------------------- */

/* The names worth keeping; all else would come from programs that test what we support. */
static bool is_kept(const char *name)
{
    return (!strncmp(name, "user.", 5) && name[5]) || !strcmp(name, "security.NTACL") ||
           !strncmp(name, "system.ntfs_", 12);
}

/* What the directory of an object is called. */
static int object_file(const char *object, char file[NAME_MAX + 1])
{
    bool is_file = *object != '/' && strcmp(object, XATTRS_DIRECTORY) != 0;
    int n = snprintf(file, NAME_MAX + 1, "%c%s", is_file ? '=' : '@', object + (*object == '/'));

    if (strchr(file, '/'))
        return -EINVAL;
    return n > NAME_MAX ? -ENAMETOOLONG : 0;
}

static bool is_object(const char *file)
{
    return *file == '=' || *file == '@';
}

/* What the file of an attribute is called; -ERANGE when that is too long. */
static int attribute_file(const char *name, char file[NAME_MAX + 1])
{
    size_t n = 0;

    for (; *name; name++) {
        bool plain = *name != '/' && *name != '%';

        n += (size_t)snprintf(file + n, NAME_MAX + 1 - n, plain ? "%c" : "%%%02X", *name);
        if (n > NAME_MAX)
            return -ERANGE;
    }
    return 0;
}

/* The reverse; false for what is not the file of a name that is kept. */
static bool attribute_name(const char *file, char name[NAME_MAX + 1])
{
    char *out = name;

    for (; *file; file++) {
        bool slash = !strncmp(file, "%2F", 3);

        if (*file == '%' && !slash && strncmp(file, "%25", 3) != 0)
            return false;
        *out++ = slash ? '/' : *file;
        file += *file == '%' ? 2 : 0;
    }
    *out = '\0';
    return is_kept(name);
}

/* --- the way to the files --------------------------------------------------------- */

/* Tells of what should be ours and is not, or cannot be read. Returns N. */
static ssize_t told(const struct xattrs *x, const char *object, const char *name, ssize_t n)
{
    if (n == -EIO)
        log_error("%s/%s.xattrs.d: what is there for %s of %s is not ours or cannot be read; "
                  "remove it to go on without it",
                  x->folder.directory, x->folder.identity, name, object);
    return n;
}

/* The directory of an object in ALL, which may be -errno. A descriptor, or -errno. */
static int open_object(const struct xattrs *x, int all, const char *object, bool make)
{
    char file[NAME_MAX + 1];
    int fd = all < 0 ? all : object_file(object, file);

    if (fd == 0)
        fd = make ? own_directory_make(all, file) : own_directory_open(all, file);
    if (fd == -ENOTDIR || fd == -ELOOP || fd == -EPERM)
        fd = -EIO;
    return (int)told(x, object, "all", fd);
}

static int open_for_reading(const struct xattrs *x, const char *object)
{
    cleanup_fd int all = state_folder_open(&x->folder);

    return open_object(x, all, object, false);
}

static bool fits(const struct stat *st)
{
    return own_file_is(st) && st->st_size <= XATTRS_VALUE_MAX;
}

/* The next attribute in the directory of an object: 1, 0 behind the last, or -errno. */
static int next_attribute(DIR *object, char name[NAME_MAX + 1], struct stat *st)
{
    const char *file;
    int found;

    while ((found = own_directory_next(object, &file)) > 0) {
        if (!attribute_name(file, name))
            continue;
        if (fstatat(dirfd(object), file, st, AT_SYMLINK_NOFOLLOW) == 0 && fits(st))
            break;
    }
    return found;
}

/* As xattrs_get(). -EIO for what is not ours. */
static ssize_t read_attribute(int object, const char *file, void *value, size_t size)
{
    cleanup_fd int fd = openat(object, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    if (fd < 0)
        return errno == ENOENT ? -ENODATA : errno == ELOOP || errno == ENXIO ? -EIO : -errno;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!fits(&st))
        return -EIO;
    if (size && size < (size_t)st.st_size)
        return -ERANGE;
    return size && pread_full(fd, value, (size_t)st.st_size, 0) < 0 ? -EIO : st.st_size;
}

static int write_attribute(int object, const char *file, const void *value, size_t size)
{
    cleanup_fd int fd = own_file_create(object, FRESH);
    int err = fd < 0 ? fd : pwrite_full(fd, value, size, 0);

    if (!err && fsync(fd) < 0)
        err = -errno;
    if (!err)
        err = own_file_publish(object, FRESH, file);
    if (err)
        unlinkat(object, FRESH, 0);
    return err;
}

/* --- limits --------------------------------------------------------------------- */

struct usage {
    size_t count, size;
};

/* What is not ours does not count. */
static int add_object(int all, const char *file, struct usage *used)
{
    int fd = own_directory_open(all, file), found;
    cleanup_dir DIR *object = NULL;
    char name[NAME_MAX + 1];
    struct stat st;

    if (fd == -EPERM || fd == -ENOTDIR || fd == -ELOOP || fd == -ENOENT)
        return 0;
    object = own_directory_list(fd);
    if (!object)
        return -errno;
    while ((found = next_attribute(object, name, &st)) > 0) {
        used->count++;
        used->size += (size_t)st.st_size;
    }
    return found;
}

/* Whether SIZE bytes may take the place of OLD, or come in addition if that is -ENODATA. */
static int check_limits(int all, ssize_t old, size_t size)
{
    cleanup_dir DIR *objects = own_directory_list(own_directory_open(all, "."));
    struct usage used = {0};
    const char *file;
    int found;

    if (!objects)
        return -errno;
    while ((found = own_directory_next(objects, &file)) > 0) {
        int err = is_object(file) ? add_object(all, file, &used) : 0;

        if (err)
            return err;
    }
    if (found < 0)
        return found;
    if (old >= 0) {
        used.count--;
        used.size -= (size_t)old;
    }
    return used.count < XATTRS_COUNT_MAX && used.size + size <= XATTRS_TOTAL_MAX ? 0 : -ENOSPC;
}

static int check_set(int all, ssize_t old, size_t size, int flags)
{
    if (old < 0 && old != -ENODATA)
        return (int)old;
    if (old >= 0 && flags & XATTR_CREATE)
        return -EEXIST;
    if (old < 0 && flags & XATTR_REPLACE)
        return -ENODATA;
    return check_limits(all, old, size);
}

/* --- what an object has, as a whole ----------------------------------------------- */

/* Removes what drop() has left, now or before a crash. */
static int clear_gone(int all)
{
    cleanup_dir DIR *gone = own_directory_list(own_directory_open(all, GONE));

    if (!gone)
        return errno != ENOENT && unlinkat(all, GONE, 0) < 0 ? -errno : 0;
    for (const struct dirent *d; (d = readdir(gone));)
        unlinkat(dirfd(gone), d->d_name, 0);
    return unlinkat(all, GONE, AT_REMOVEDIR) < 0 ? -errno : 0;
}

/* Removes the object's directory FILE with all that is in it, if it is there. */
static int drop(int all, const char *file)
{
    int err = clear_gone(all);

    if (err)
        return err;
    if (renameat(all, file, all, GONE) < 0)
        return errno == ENOENT ? 0 : -errno;
    return fsync(all) < 0 ? -errno : clear_gone(all);
}

static int move(int all, const char *from, const char *to)
{
    int err;

    /* In one step, if the file system can; and if there are both. */
    if (renameat2(all, from, all, to, RENAME_EXCHANGE) == 0)
        return drop(all, from);
    err = drop(all, to);
    if (err)
        return err;
    if (renameat(all, from, all, to) < 0)
        return errno == ENOENT ? 0 : -errno;
    return fsync(all) < 0 ? -errno : 0;
}

/* --- what clients ask for --------------------------------------------------------- */

int xattrs_open(struct xattrs **xattrs, const char *directory, const char *identity, bool read_only,
                struct failure *failure)
{
    cleanup_free struct xattrs *x = calloc(1, sizeof(*x));
    int err = x ? state_folder_init(&x->folder, directory, identity, "xattrs.d", read_only, failure)
                : -ENOMEM;

    if (err)
        return err;
    pthread_mutex_init(&x->lock, NULL);
    *xattrs = steal_pointer(&x);
    return 0;
}

void xattrs_close(struct xattrs *x)
{
    if (!x)
        return;
    pthread_mutex_destroy(&x->lock);
    free(x);
}

int xattrs_set(struct xattrs *x, const char *object, const char *name, const void *value,
               size_t size, int flags)
{
    LOCK_SCOPE(&x->lock); /* first, and so released last */
    cleanup_state_dir struct state_dir dir = STATE_DIR_INIT;
    cleanup_fd int all = -1, fd = -1;
    char file[NAME_MAX + 1];
    int err = is_kept(name) ? attribute_file(name, file) : -EOPNOTSUPP;

    if (err)
        return err;
    if (size > XATTRS_VALUE_MAX)
        return -E2BIG;
    all = state_folder_change(&x->folder, true, &dir);
    fd = open_object(x, all, object, true);
    if (fd < 0)
        return fd;
    err = check_set(all, told(x, object, name, read_attribute(fd, file, NULL, 0)), size, flags);
    if (err)
        return err;
    err = write_attribute(fd, file, value, size);
    if (err)
        log_error("%s: cannot keep extended attributes: %s", dir.path, strerror(-err));
    return err;
}

ssize_t xattrs_get(struct xattrs *x, const char *object, const char *name, void *value, size_t size)
{
    cleanup_fd int fd = -1;
    char file[NAME_MAX + 1];

    if (!is_kept(name)) /* asked for before each write (security.capability): at once */
        return -EOPNOTSUPP;
    if (attribute_file(name, file) < 0)
        return -ENODATA;
    fd = open_for_reading(x, object);
    if (fd < 0)
        return fd == -ENOENT ? -ENODATA : fd;
    return told(x, object, name, read_attribute(fd, file, value, size));
}

ssize_t xattrs_list(struct xattrs *x, const char *object, char *list, size_t size)
{
    cleanup_dir DIR *names = own_directory_list(open_for_reading(x, object));
    char name[NAME_MAX + 1];
    struct stat st;
    size_t used = 0;
    int found;

    if (!names)
        return errno == ENOENT ? 0 : -errno;
    while ((found = next_attribute(names, name, &st)) > 0) {
        size_t n = strlen(name) + 1;

        if (size && used + n > size)
            return -ERANGE;
        if (size)
            memcpy(list + used, name, n);
        used += n;
    }
    return found < 0 ? found : (ssize_t)used;
}

int xattrs_remove(struct xattrs *x, const char *object, const char *name)
{
    LOCK_SCOPE(&x->lock);
    cleanup_state_dir struct state_dir dir = STATE_DIR_INIT;
    cleanup_fd int all = -1, fd = -1;
    char file[NAME_MAX + 1];
    ssize_t n;

    if (!is_kept(name))
        return -EOPNOTSUPP;
    if (attribute_file(name, file) < 0)
        return -ENODATA;
    all = state_folder_change(&x->folder, false, &dir);
    fd = open_object(x, all, object, false);
    if (fd < 0)
        return fd == -ENOENT ? -ENODATA : fd;
    n = told(x, object, name, read_attribute(fd, file, NULL, 0));
    if (n < 0)
        return (int)n;
    return unlinkat(fd, file, 0) < 0 || fsync(fd) < 0 ? -errno : 0;
}

int xattrs_move(struct xattrs *x, const char *object, const char *to)
{
    LOCK_SCOPE(&x->lock);
    cleanup_state_dir struct state_dir dir = STATE_DIR_INIT;
    cleanup_fd int all = -1;
    char file[NAME_MAX + 1], to_file[NAME_MAX + 1];
    int err = object_file(object, file);

    if (!err && to)
        err = object_file(to, to_file);
    if (err || (to && !strcmp(object, to)))
        return err;
    all = state_folder_change(&x->folder, false, &dir);
    if (all < 0)
        return all == -ENOENT ? 0 : all;
    err = to ? move(all, file, to_file) : drop(all, file);
    if (err)
        log_error("%s: cannot change extended attributes: %s", dir.path, strerror(-err));
    return err;
}
