/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "state/xattrs.h"

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "common/units.h"
#include "state/directory.h"
#include "state/xattrs_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

/* More than the largest set can need. */
#define FILE_MAX (2 * XATTRS_TOTAL_MAX)

struct xattrs {
    pthread_mutex_t lock;
    char directory[PATH_MAX];
    char identity[65];
    bool read_only;
    struct xattr_set set;
};

/* The names worth keeping; all else would come from programs that test what we support. */
static bool is_kept(const char *name)
{
    return (!strncmp(name, "user.", 5) && name[5]) || !strcmp(name, "security.NTACL") ||
           !strncmp(name, "system.ntfs_", 12);
}

static struct xattr *find(struct xattrs *x, const char *object, const char *name)
{
    for (size_t i = 0; i < x->set.count; i++)
        if (!strcmp(x->set.items[i].object, object) && !strcmp(x->set.items[i].name, name))
            return &x->set.items[i];
    return NULL;
}

static int load(const struct state_dir *dir, struct xattr_set *set, struct failure *failure)
{
    cleanup_fd int fd = state_dir_open(dir, true, failure);
    cleanup_free uint8_t *data = NULL;
    struct stat st;
    int err = 0;

    if (fd == -ENOENT)
        return 0;
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        err = -errno;
    else if (st.st_size > FILE_MAX)
        err = -EUCLEAN;
    data = err ? NULL : malloc((size_t)st.st_size + 1);
    if (!err)
        err = data ? pread_full(fd, data, (size_t)st.st_size, 0) : -ENOMEM;
    if (!err)
        err = xattr_set_decode(data, (size_t)st.st_size, set);
    return err ? failed(failure, err == -EUCLEAN ? EXIT_UNSAFE : EXIT_IO_ERROR, err,
                        "%s: cannot read the extended attributes: %s; remove the file to go on "
                        "without them",
                        dir->path, strerror(-err))
               : 0;
}

static int enter(const struct xattrs *x, struct state_dir *dir, struct failure *failure)
{
    int err = state_dir_enter(dir, x->directory, x->identity, x->read_only, failure);

    if (!err)
        state_dir_select(dir, "xattrs");
    return err;
}

int xattrs_open(struct xattrs **xattrs, const char *directory, const char *identity, bool read_only,
                struct failure *failure)
{
    cleanup_state_dir struct state_dir dir = STATE_DIR_INIT;
    struct xattrs *x = calloc(1, sizeof(*x));
    int err;

    if (!x)
        return -ENOMEM;
    pthread_mutex_init(&x->lock, NULL);
    x->read_only = read_only;
    snprintf(x->directory, sizeof(x->directory), "%s", directory);
    snprintf(x->identity, sizeof(x->identity), "%s", identity);
    err = enter(x, &dir, failure);
    if (!err)
        err = load(&dir, &x->set, failure);
    else if (err == -ENOENT && read_only)
        err = 0;
    if (err) {
        xattrs_close(x);
        return err;
    }
    *xattrs = x;
    return 0;
}

void xattrs_close(struct xattrs *x)
{
    if (!x)
        return;
    xattr_set_free(&x->set);
    pthread_mutex_destroy(&x->lock);
    free(x);
}

static int write_file(const struct state_dir *dir, const struct xattr_set *set)
{
    cleanup_free uint8_t *data = NULL;
    size_t size;
    cleanup_fd int fd = -1;
    int err = xattr_set_encode(set, &data, &size);

    if (err)
        return err;
    fd = state_dir_create(dir);
    if (fd < 0)
        return fd;
    err = pwrite_full(fd, data, size, 0);
    if (!err && fsync(fd) < 0)
        err = -errno;
    if (!err)
        err = state_dir_publish(dir);
    if (err)
        state_dir_abandon(dir);
    return err;
}

/*
 * Begins a change: the directory is ours until state_dir_close(), and the set is what the
 * file says.
 */
static int begin_change(struct xattrs *x, struct state_dir *dir)
{
    struct failure failure = {0};
    struct xattr_set now = {0};
    int err = x->read_only ? -EROFS : enter(x, dir, &failure);

    if (!err)
        err = load(dir, &now, &failure);
    if (err) {
        log_error("%s: cannot change extended attributes: %s", x->directory,
                  *failure.text ? failure.text : strerror(-err));
        return err;
    }
    xattr_set_free(&x->set);
    x->set = now;
    return 0;
}

/*
 * Makes CHANGED the set, on disk first; on an error the old one stays. Takes over
 * the array, but not the values, which both may share.
 */
static int replace(struct xattrs *x, const struct state_dir *dir, struct xattr_set *changed)
{
    int err = write_file(dir, changed);

    if (err) {
        log_error("%s: cannot keep extended attributes: %s", x->directory, strerror(-err));
        free(changed->items);
        return err;
    }
    free(x->set.items);
    x->set = *changed;
    return 0;
}

/* A copy of the array with room for one more; the values are shared. */
static int copy_set(const struct xattrs *x, struct xattr_set *copy)
{
    copy->items = calloc(x->set.count + 1, sizeof(*copy->items));
    if (!copy->items)
        return -ENOMEM;
    copy->count = x->set.count;
    if (copy->count)
        memcpy(copy->items, x->set.items, copy->count * sizeof(*copy->items));
    return 0;
}

static bool fits(const struct xattrs *x, const struct xattr *old, size_t size)
{
    size_t total = size;

    for (size_t i = 0; i < x->set.count; i++)
        if (&x->set.items[i] != old)
            total += x->set.items[i].size;
    return total <= XATTRS_TOTAL_MAX && (old || x->set.count < XATTRS_COUNT_MAX);
}

static int check_set(const struct xattrs *x, const struct xattr *old, const char *name, size_t size,
                     int flags)
{
    if (!is_kept(name))
        return -EOPNOTSUPP;
    if (strlen(name) > XATTRS_NAME_MAX)
        return -ERANGE;
    if (size > XATTRS_VALUE_MAX)
        return -E2BIG;
    if (old && flags & XATTR_CREATE)
        return -EEXIST;
    if (!old && flags & XATTR_REPLACE)
        return -ENODATA;
    return fits(x, old, size) ? 0 : -ENOSPC;
}

int xattrs_set(struct xattrs *x, const char *object, const char *name, const void *value,
               size_t size, int flags)
{
    struct xattr_set changed;
    struct xattr *old, *item;
    uint8_t *copy, *dropped;
    cleanup_state_dir struct state_dir dir = STATE_DIR_INIT;
    int err;
    LOCK_SCOPE(&x->lock);

    /* What could never be kept is refused without a look at the file. */
    err = check_set(x, NULL, name, size, flags & ~XATTR_REPLACE);
    if (err && err != -ENOSPC)
        return err;
    err = begin_change(x, &dir);
    old = err ? NULL : find(x, object, name);
    if (!err)
        err = check_set(x, old, name, size, flags);
    if (!err)
        err = copy_set(x, &changed);
    if (err)
        return err;
    copy = malloc(size ? size : 1);
    if (!copy) {
        free(changed.items);
        return -ENOMEM;
    }
    memcpy(copy, value, size);
    item = &changed.items[old ? (size_t)(old - x->set.items) : changed.count++];
    dropped = item->value;
    snprintf(item->object, sizeof(item->object), "%s", object);
    snprintf(item->name, sizeof(item->name), "%s", name);
    item->value = copy;
    item->size = (uint32_t)size;
    err = replace(x, &dir, &changed);
    free(err ? copy : dropped);
    return err;
}

ssize_t xattrs_get(struct xattrs *x, const char *object, const char *name, void *value, size_t size)
{
    const struct xattr *item;
    LOCK_SCOPE(&x->lock);

    item = find(x, object, name);
    if (!item)
        return is_kept(name) ? -ENODATA : -EOPNOTSUPP;
    if (size && size < item->size)
        return -ERANGE;
    if (size && item->size)
        memcpy(value, item->value, item->size);
    return (ssize_t)item->size;
}

ssize_t xattrs_list(struct xattrs *x, const char *object, char *list, size_t size)
{
    size_t used = 0;
    LOCK_SCOPE(&x->lock);

    for (size_t i = 0; i < x->set.count; i++) {
        const struct xattr *item = &x->set.items[i];
        size_t n = strlen(item->name) + 1;

        if (strcmp(item->object, object) != 0)
            continue;
        if (size && used + n > size)
            return -ERANGE;
        if (size)
            memcpy(list + used, item->name, n);
        used += n;
    }
    return (ssize_t)used;
}

int xattrs_remove(struct xattrs *x, const char *object, const char *name)
{
    struct xattr_set changed;
    struct xattr *item;
    uint8_t *dropped;
    size_t at;
    cleanup_state_dir struct state_dir dir = STATE_DIR_INIT;
    int err;
    LOCK_SCOPE(&x->lock);

    if (!is_kept(name))
        return -EOPNOTSUPP;
    err = begin_change(x, &dir);
    if (err)
        return err;
    item = find(x, object, name);
    if (!item)
        return -ENODATA;
    err = copy_set(x, &changed);
    if (err)
        return err;
    at = (size_t)(item - x->set.items);
    dropped = item->value;
    changed.items[at] = changed.items[--changed.count];
    err = replace(x, &dir, &changed);
    if (!err)
        free(dropped);
    return err;
}

/* Removes the items of OBJECT from SET; their values go to DROPPED. Returns how many. */
static size_t drop_object(struct xattr_set *set, const char *object, uint8_t **dropped)
{
    size_t count = 0;

    for (size_t i = 0; i < set->count;) {
        if (strcmp(set->items[i].object, object) != 0) {
            i++;
            continue;
        }
        dropped[count++] = set->items[i].value;
        set->items[i] = set->items[--set->count];
    }
    return count;
}

int xattrs_move(struct xattrs *x, const char *object, const char *to)
{
    uint8_t *dropped[XATTRS_COUNT_MAX];
    struct xattr_set changed;
    size_t count, moved = 0;
    cleanup_state_dir struct state_dir dir = STATE_DIR_INIT;
    int err;
    LOCK_SCOPE(&x->lock);

    err = begin_change(x, &dir);
    if (!err)
        err = copy_set(x, &changed);
    if (err)
        return err;
    /* What had the new name before is replaced, and goes with all it had. */
    count = drop_object(&changed, to ? to : object, dropped);
    for (size_t i = 0; to && i < changed.count; i++)
        if (!strcmp(changed.items[i].object, object)) {
            snprintf(changed.items[i].object, sizeof(changed.items[i].object), "%s", to);
            moved++;
        }
    if (!count && !moved) {
        free(changed.items);
        return 0;
    }
    err = replace(x, &dir, &changed);
    for (size_t i = 0; !err && i < count; i++)
        free(dropped[i]);
    return err;
}
