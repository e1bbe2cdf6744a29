/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <config.h>

#include "vhdxgen/output.h"

#include "common/cleanup.h"
#include "common/io.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;

static void note_signal(int number)
{
    interrupted = number;
}

bool output_interrupted(void)
{
    return interrupted;
}

/* A half-written file must not stay behind when the user loses patience. */
static void catch_signals(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = note_signal};

    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        sigaction(signals[i], &action, NULL);
}

static int name_is_free(const struct output *o)
{
    struct stat st;

    if (lstat(o->path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    return o->replace && S_ISREG(st.st_mode) ? 0 : -EEXIST;
}

static int make_temporary(struct output *o)
{
    mode_t mask = umask(0);

    umask(mask);
    if (asprintf(&o->temporary, "%s.part-XXXXXX", o->path) < 0) {
        o->temporary = NULL;
        return -ENOMEM;
    }
    o->fd = mkostemp(o->temporary, O_CLOEXEC);
    if (o->fd < 0) {
        int err = -errno;

        free(o->temporary);
        o->temporary = NULL;
        return err;
    }
    return fchmod(o->fd, 0666 & ~mask) < 0 && errno != EPERM ? -errno : 0;
}

int output_begin(struct output *output, const char *path, uint64_t size, bool replace)
{
    int err;

    *output = (struct output){.path = path, .fd = -1, .replace = replace};
    err = name_is_free(output);
    if (err)
        return err;
    catch_signals();
    err = make_temporary(output);
    if (err)
        return err;
    /* Not posix_fallocate(): where it has to write zeros, we do that with a progress bar. */
    if (fallocate(output->fd, 0, 0, (off_t)size) == 0)
        output->allocated = true;
    else if (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL)
        return -errno;
    return 0;
}

/* The rename that does not replace, where the file system has it, or the closest to it. */
static int rename_new(const char *from, const char *to)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    if (link(from, to) == 0)
        return unlink(from) < 0 ? -errno : 0;
    if (errno == EEXIST)
        return -EEXIST;
    if (access(to, F_OK) == 0)
        return -EEXIST;
    return rename(from, to) < 0 ? -errno : 0;
}

int output_finish(struct output *output)
{
    int err = fsync(output->fd) < 0 ? -errno : name_is_free(output);

    if (!err && output->replace)
        err = rename(output->temporary, output->path) < 0 ? -errno : 0;
    else if (!err)
        err = rename_new(output->temporary, output->path);
    if (err)
        return err;
    free(output->temporary);
    output->temporary = NULL;
    return fsync_parent(output->path);
}

void output_end(struct output *output)
{
    close_fd(&output->fd);
    if (output->temporary)
        unlink(output->temporary);
    free(output->temporary);
    output->temporary = NULL;
}
