/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <config.h>

#include "vhdxgen/map_activate.h"

#include "common/cleanup.h"
#include "device/holders.h"
#include "vhdxgen/map_build.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#ifdef WITH_DEVMAPPER

#include <libdevmapper.h>

struct mapping {
    const char *name;
    char uuid[MAP_UUID_MAX];
    bool read_only;
};

static void drop_task(struct dm_task **task)
{
    if (*task)
        dm_task_destroy(*task);
}
#define cleanup_task __attribute__((cleanup(drop_task)))

/* The library would print what it has to say; it is told as errno instead. */
static void be_quiet(int level, const char *file, int line, int dm_errno, const char *format, ...)
{
    (void)level, (void)file, (void)line, (void)dm_errno, (void)format;
}

static int task_error(struct dm_task *task)
{
    int err = task ? dm_task_get_errno(task) : errno;

    return err ? -err : -ENODEV; /* no /dev/mapper/control, no version that fits */
}

/* A task of TYPE for NAME, or NULL. */
static struct dm_task *new_task(int type, const char *name)
{
    struct dm_task *task = dm_task_create(type);

    if (task && !dm_task_set_name(task, name)) {
        dm_task_destroy(task);
        task = NULL;
    }
    return task;
}

/* Runs a task that makes or removes a node, and waits until udev has done so. */
static int run_and_settle(struct dm_task *task)
{
    uint32_t cookie = 0;
    int err = 0;

    if (!task || !dm_task_set_cookie(task, &cookie, 0))
        return -ENOMEM;
    if (!dm_task_run(task))
        err = task_error(task);
    dm_udev_wait(cookie);
    return err;
}

/* What a task that names a device by name or UUID finds: name and UUID are "" if it is not there.
 */
struct found {
    struct dm_info info;
    char name[MAP_NAME_MAX + 1];
    char uuid[MAP_UUID_MAX];
};

static int query(struct dm_task *task, struct found *found)
{
    const char *name, *uuid;

    *found = (struct found){.info = {0}};
    if (!task || !dm_task_run(task))
        return task_error(task);
    if (!dm_task_get_info(task, &found->info))
        return -EIO;
    name = found->info.exists ? dm_task_get_name(task) : NULL;
    uuid = found->info.exists ? dm_task_get_uuid(task) : NULL;
    snprintf(found->name, sizeof(found->name), "%s", name ? name : "");
    snprintf(found->uuid, sizeof(found->uuid), "%s", uuid ? uuid : "");
    return 0;
}

static int query_name(const char *name, struct found *found)
{
    cleanup_task struct dm_task *task = new_task(DM_DEVICE_INFO, name);

    return query(task, found);
}

static int query_uuid(const char *uuid, struct found *found)
{
    cleanup_task struct dm_task *task = dm_task_create(DM_DEVICE_INFO);

    if (task && !dm_task_set_uuid(task, uuid))
        return -ENOMEM;
    return query(task, found);
}

static bool is_ours(const char *uuid)
{
    return strncmp(uuid, HOLDERS_MAPPED_UUID, strlen(HOLDERS_MAPPED_UUID)) == 0;
}

static int remove_device(const char *name)
{
    cleanup_task struct dm_task *task = new_task(DM_DEVICE_REMOVE, name);

    if (task)
        dm_task_retry_remove(task); /* udev may have it open for a moment */
    return run_and_settle(task);
}

static int no_device_mapper(int err, struct failure *failure)
{
    return failed(failure, EXIT_IO_ERROR, err, "cannot use device-mapper: %s; %s", strerror(-err),
                  err == -EACCES || err == -EPERM ? "run as root" : "try 'modprobe dm-mod'");
}

/* Removes what an activation that was killed has left: a device of ours without a table. */
static bool remove_leftover(const struct found *f)
{
    return is_ours(f->uuid) && !f->info.live_table && !f->info.open_count &&
           remove_device(f->name) == 0;
}

static int free_name(const struct mapping *m, struct failure *failure)
{
    struct found found;
    int err = query_name(m->name, &found);

    if (err)
        return no_device_mapper(err, failure);
    if (!found.info.exists || remove_leftover(&found))
        return 0;
    if (!strcmp(found.uuid, m->uuid))
        return failed(failure, EXIT_UNSAFE, -EEXIST, "/dev/mapper/%s maps this file already",
                      m->name);
    return failed(failure, EXIT_UNSAFE, -EEXIST,
                  "the name %s is taken by another mapping (dmsetup info %s); choose another",
                  m->name, m->name);
}

/* The same disk under another name. */
static int free_uuid(const struct mapping *m, struct failure *failure)
{
    struct found found;
    int err = query_uuid(m->uuid, &found);

    if (err)
        return no_device_mapper(err, failure);
    if (!found.info.exists || remove_leftover(&found))
        return 0;
    return failed(failure, EXIT_UNSAFE, -EEXIST,
                  "this file is mapped already, as /dev/mapper/%s; use that, or remove it with "
                  "'vhdxgen map --deactivate %s'",
                  found.name, found.name);
}

/* A device without a table: from here on UUID and name are ours. */
static int create_empty(const struct mapping *m, struct failure *failure)
{
    cleanup_task struct dm_task *task = new_task(DM_DEVICE_CREATE, m->name);
    int err = 0;

    if (!task || !dm_task_set_uuid(task, m->uuid))
        return no_device_mapper(-ENOMEM, failure);
    if (m->read_only)
        dm_task_set_ro(task);
    if (!dm_task_run(task))
        err = task_error(task);
    if (err == -EBUSY) /* since we looked */
        return failed(failure, EXIT_UNSAFE, err,
                      "somebody else maps this file, or uses the name %s", m->name);
    return err ? no_device_mapper(err, failure) : 0;
}

static int add_targets(struct dm_task *task, const struct map_source *s)
{
    for (size_t i = 0; i < s->disk.count; i++) {
        const struct extent *e = &s->disk.extents[i];
        char parameters[64];

        snprintf(parameters, sizeof(parameters), "%u:%u %" PRIu64, major(s->rdev), minor(s->rdev),
                 e->backing / MAP_SECTOR);
        if (!dm_task_add_target(task, e->offset / MAP_SECTOR, e->length / MAP_SECTOR, "linear",
                                parameters))
            return -ENOMEM;
    }
    return 0;
}

/* Loading a table claims the device: from here on nobody can mount it. */
static int load_table(const struct mapping *m, const struct map_source *s, struct failure *failure)
{
    cleanup_task struct dm_task *task = new_task(DM_DEVICE_RELOAD, m->name);
    char who[256];
    int err = task ? add_targets(task, s) : -ENOMEM;

    if (!err && m->read_only)
        dm_task_set_ro(task);
    if (!err && !dm_task_run(task))
        err = task_error(task);
    if (err == -EBUSY) {
        holders_describe(s->rdev, who, sizeof(who));
        return failed(failure, EXIT_UNSAFE, err, "%s is %s", s->device, who);
    }
    if (err)
        return failed(failure, EXIT_IO_ERROR, err,
                      "the kernel does not take the table: %s; its log (dmesg) says why",
                      strerror(-err));
    return 0;
}

/* Everything once more, from the disk: the device was not ours all the time. */
static int check_again(const struct map_source *s, struct failure *failure)
{
    struct map_source again;
    int err = map_open_again(&again, s, failure);

    if (!err)
        err = map_build(&again, failure);
    if (!err && !map_same(s, &again))
        err = failed(failure, EXIT_UNSAFE, -ESTALE,
                     "%s has moved or changed meanwhile: somebody else uses %s; try again when "
                     "they are done",
                     s->spec, s->device);
    map_close(&again);
    return err;
}

static int resume(const struct mapping *m, struct failure *failure)
{
    cleanup_task struct dm_task *task = new_task(DM_DEVICE_RESUME, m->name);
    int err;

    if (task && m->read_only)
        dm_task_set_ro(task);
    err = run_and_settle(task);
    if (err)
        return failed(failure, EXIT_IO_ERROR, err, "cannot activate %s: %s", m->name,
                      strerror(-err));
    dm_task_update_nodes();
    return 0;
}

static int fill_and_start(const struct mapping *m, const struct map_source *s,
                          struct failure *failure)
{
    int err = load_table(m, s, failure);

    if (!err)
        err = check_again(s, failure);
    if (!err)
        err = resume(m, failure);
    if (err)
        remove_device(m->name);
    return err;
}

static int judge_source(const struct map_source *s, bool read_only, struct failure *failure)
{
    if (!s->inside)
        return failed(failure, EXIT_UNSAFE, -EBUSY,
                      "%s lies on a mounted file system, and a mapping beside it would destroy it; "
                      "unmount it, and if it is an NTFS, name the file as %s:/PATH",
                      s->spec, s->device);
    if (!s->is_block)
        return failed(failure, EXIT_USAGE, -ENOTBLK,
                      "%s is a file, and device-mapper needs a block device; attach it first "
                      "(losetup --find --show %s)",
                      s->device, s->device);
    if (!s->exclusive && strncmp(s->shared, "mounted", 7) == 0)
        return failed(failure, EXIT_UNSAFE, -EBUSY, "%s is %s; unmount it", s->device, s->shared);
    if (s->write_protected && !read_only)
        return failed(failure, EXIT_UNSAFE, -EROFS,
                      "%s is write-protected; activate it with --read-only, or make it writable "
                      "(blockdev --setrw %s)",
                      s->device, s->device);
    return 0;
}

static int create_and_start(struct map_source *s, const struct mapping *m, struct failure *failure)
{
    int err = create_empty(m, failure);

    if (err)
        return err;
    close_fd(&s->fd); /* the kernel lets one have it exclusively: now the mapping */
    return fill_and_start(m, s, failure);
}

int map_activate(struct map_source *s, const char *name, bool read_only, struct failure *failure)
{
    struct mapping m = {.name = name, .read_only = read_only};
    sigset_t all, before;
    int err = judge_source(s, read_only, failure);

    dm_log_with_errno_init(be_quiet);
    if (!err) {
        map_uuid(s, m.uuid);
        err = free_name(&m, failure);
    }
    if (!err)
        err = free_uuid(&m, failure);
    if (err)
        return err;
    /* To be interrupted in between would leave a device without a table. */
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    err = create_and_start(s, &m, failure);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return err;
}

int map_deactivate(const char *name, struct failure *failure)
{
    struct found found;
    char who[256];
    int err;

    dm_log_with_errno_init(be_quiet);
    err = query_name(name, &found);
    if (err)
        return no_device_mapper(err, failure);
    if (!found.info.exists)
        return failed(failure, EXIT_USAGE, -ENODEV, "there is no mapping named %s", name);
    if (!is_ours(found.uuid))
        return failed(failure, EXIT_UNSAFE, -EPERM,
                      "/dev/mapper/%s was not made by vhdxgen; if you mean it, say 'dmsetup "
                      "remove %s'",
                      name, name);
    if (found.info.open_count) {
        holders_describe(makedev(found.info.major, found.info.minor), who, sizeof(who));
        return failed(failure, EXIT_UNSAFE, -EBUSY, "/dev/mapper/%s is %s", name, who);
    }
    err = remove_device(name);
    if (err)
        return failed(failure, err == -EBUSY ? EXIT_UNSAFE : EXIT_IO_ERROR, err,
                      "cannot remove /dev/mapper/%s: %s", name, strerror(-err));
    return 0;
}

#else

static int not_built(struct failure *failure)
{
    return failed(failure, EXIT_IO_ERROR, -EOPNOTSUPP,
                  "this vhdxgen was built without libdevmapper; build it with libdevmapper "
                  "(libdevmapper-dev), or give what --format=dmsetup prints to 'dmsetup create'");
}

int map_activate(struct map_source *s, const char *name, bool read_only, struct failure *failure)
{
    (void)s, (void)name, (void)read_only;
    return not_built(failure);
}

int map_deactivate(const char *name, struct failure *failure)
{
    (void)name;
    return not_built(failure);
}

#endif
