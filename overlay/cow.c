/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "overlay/cow.h"

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "overlay/overlay_open.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

char *cow_state_directory(const struct cow_settings *settings)
{
    char *path;

    return asprintf(&path, "%s.state", settings->file) < 0 ? NULL : path;
}

/* Whether NAME is that of a state of IDENTITY, or of one that was set aside. See directory.c. */
static bool is_state(const char *name, const char *identity)
{
    size_t n = strlen(identity);

    for (size_t i = 0; i < n; i++)
        if (name[i] != (identity[i] == '/' ? '_' : identity[i]))
            return false;
    return !strncmp(name + n, ".state", 6) && (name[n + 6] == '\0' || name[n + 6] == '.');
}

static bool is_dots(const char *name)
{
    return !strcmp(name, ".") || !strcmp(name, "..");
}

/* Removes what is IDENTITY's from the directory, if there is nothing else in it. */
static int remove_states(DIR *dir, const char *identity)
{
    for (const struct dirent *d; (d = readdir(dir));)
        if (!is_dots(d->d_name) && !is_state(d->d_name, identity))
            return -ENOTEMPTY;
    rewinddir(dir);
    for (const struct dirent *d; (d = readdir(dir));)
        if (!is_dots(d->d_name) && unlinkat(dirfd(dir), d->d_name, 0) < 0)
            return -errno;
    return 0;
}

int cow_remove_state(const char *directory, const char *identity, struct failure *failure)
{
    cleanup_fd int fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    cleanup_dir DIR *dir = NULL;
    int err = 0;

    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd >= 0)
        dir = fdopendir(fd);
    if (!dir)
        err = -errno;
    else
        steal_fd(&fd);
    if (!err)
        err = remove_states(dir, identity);
    if (!err && rmdir(directory) < 0)
        err = -errno;
    if (!err)
        err = fsync_parent(directory);
    if (err == -ENOTEMPTY)
        return failed(failure, EXIT_UNSAFE, err,
                      "%s: holds files that are not the overlay's, so it was left alone; move it "
                      "away",
                      directory);
    return err ? failed(failure, EXIT_IO_ERROR, err, "%s: cannot remove it: %s", directory,
                        strerror(-err))
               : 0;
}

static int refuse_committing(const struct cow_settings *settings,
                             const struct overlay_header *header, struct failure *failure)
{
    if (header->state == OVERLAY_NORMAL)
        return 0;
    return failed(failure, EXIT_UNSAFE, -ESTALE,
                  "%s: a commit of this overlay was interrupted, so the partition holds a part of "
                  "it; finish it first (vhdxfs --commit -o cow=%s %s)",
                  settings->file, settings->file, settings->source);
}

/* Opens FILE and checks that it fits to the partition. Returns a descriptor or -errno. */
static int open_file(const struct cow_settings *settings, const struct overlay_header *now,
                     struct overlay_header *header, struct failure *failure)
{
    cleanup_fd int fd = overlay_open(settings->file, header, failure);
    int err;

    if (fd < 0)
        return fd;
    err = refuse_committing(settings, header, failure);
    if (!err)
        err = overlay_check(settings->file, header, now, failure);
    return err ? err : steal_fd(&fd);
}

/* The state of a new overlay, with what the partition's own state says now. */
static int make_state(struct store **store, const struct cow_settings *settings,
                      const char *directory, const char *identity, const struct vhdx_layout *layout,
                      struct failure *failure)
{
    cleanup_free uint8_t *image = malloc(VHDX_META_SIZE);
    struct store *own = NULL;
    int err = image ? cow_remove_state(directory, identity, failure) : -ENOMEM;

    if (!err)
        err = store_open(store, directory, identity, layout, 0, failure);
    if (err || settings->reset_state)
        return err;
    err = store_open(&own, settings->state, identity, layout, STORE_READ_ONLY, failure);
    if (!err) {
        store_read(own, image, VHDX_META_SIZE, 0);
        store_close(own);
        err = store_write(*store, image, VHDX_META_SIZE, 0);
        if (!err)
            err = store_flush(*store);
        if (err)
            failed(failure, EXIT_IO_ERROR, err, "%s: cannot write the state: %s", directory,
                   strerror(-err));
    }
    if (err) {
        store_close(*store);
        *store = NULL;
    }
    return err;
}

/* Makes state and overlay; the overlay last. Returns a descriptor or -errno. */
static int make(struct store **store, const struct cow_settings *settings, const char *directory,
                const struct overlay_header *header, const struct vhdx_layout *layout,
                struct failure *failure)
{
    int err = make_state(store, settings, directory, header->identity, layout, failure);
    int fd = err ? err : overlay_create(settings->file, header, failure);

    if (fd >= 0)
        log_info("new overlay for partition %s in %s", header->identity, settings->file);
    return fd;
}

int cow_open(struct overlay **overlay, struct store **store, const struct cow_settings *settings,
             const struct vhdx_layout *layout, const struct claim *claim, struct failure *failure)
{
    cleanup_free char *directory = cow_state_directory(settings);
    struct overlay_header now, header;
    cleanup_fd int fd = -1;
    int err =
        directory ? overlay_describe(&claim->facts, claim->backing.fd, &now, failure) : -ENOMEM;

    if (err)
        return err;
    *store = NULL;
    header = now;
    fd = open_file(settings, &now, &header, failure);
    if (fd == -ENOENT) {
        header = now;
        fd = make(store, settings, directory, &header, layout, failure);
    } else if (fd >= 0)
        err = store_open(store, directory, now.identity, layout, 0, failure);
    if (fd < 0)
        err = fd;
    if (!err) {
        err = overlay_start(overlay, fd, &header, (struct disk *)&claim->backing.disk);
        if (err)
            failed(failure, EXIT_IO_ERROR, err, "%s: cannot read it: %s", settings->file,
                   strerror(-err));
    }
    if (err) {
        store_close(*store);
        *store = NULL;
        return err;
    }
    steal_fd(&fd); /* the overlay has it */
    return 0;
}

/* Whether an overlay could be made where there is none. */
static int try_place(const struct cow_settings *settings, struct failure *failure)
{
    cleanup_free char *copy = strdup(settings->file);
    const char *parent = copy ? dirname(copy) : NULL;

    if (!copy)
        return -ENOMEM;
    if (access(parent, W_OK | X_OK) == 0)
        return 0;
    return failed(failure, errno == ENOENT || errno == ENOTDIR ? EXIT_USAGE : EXIT_IO_ERROR, -errno,
                  "%s: cannot make the overlay in %s: %s", settings->file, parent, strerror(errno));
}

int cow_look(const struct cow_settings *settings, const struct facts *facts,
             const struct vhdx_layout *layout, struct failure *failure)
{
    cleanup_free char *directory = cow_state_directory(settings);
    cleanup_fd int source = open(facts->path, O_RDONLY | O_CLOEXEC), fd = -1;
    struct overlay_header now, header;
    int err = directory ? 0 : -ENOMEM;

    if (!err && source < 0)
        err = failed(failure, EXIT_IO_ERROR, -errno, "%s: cannot open it: %s", facts->path,
                     strerror(errno));
    if (!err)
        err = overlay_describe(facts, source, &now, failure);
    if (err)
        return err;
    fd = open_file(settings, &now, &header, failure);
    if (fd >= 0)
        return store_try(directory, now.identity, layout, settings->reset_state ? STORE_RESET : 0,
                         failure);
    if (fd != -ENOENT)
        return fd;
    /* It will be made with the first claim. */
    err = try_place(settings, failure);
    if (!err && !settings->reset_state)
        err = store_try(settings->state, now.identity, layout, STORE_READ_ONLY, failure);
    return err;
}
