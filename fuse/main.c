/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vhdxfs: from the command line to a served file, and back. */
#include "config.h"

#include "common/cleanup.h"
#include "common/log.h"
#include "common/units.h"
#include "export/start.h"
#include "fuse/daemon.h"
#include "fuse/ending.h"
#include "fuse/mountpoint.h"
#include "fuse/operations.h"
#include "fuse/privileges.h"
#include "fuse/transport.h"
#include "fuse/tree.h"
#include "overlay/commit.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void forward_fuse_log(enum fuse_log_level level, const char *format, va_list args)
{
    char line[512];

    vsnprintf(line, sizeof(line), format, args);
    line[strcspn(line, "\n")] = '\0';
    log_message((int)level, "libfuse: %s", line);
}

/* The options libfuse and the kernel see, escaped where they come from the user. */
static int fuse_arguments(struct fuse_args *args, const struct options *o, const char *device)
{
    cleanup_free char *fsname = NULL, *list = NULL;
    int bad = 0;

    if (asprintf(&fsname, "fsname=%s", o->fsname ? o->fsname : device) < 0)
        return -ENOMEM;
    bad |= fuse_opt_add_opt_escaped(&list, fsname);
    bad |= fuse_opt_add_opt(&list, "subtype=vhdxfs");
    bad |= fuse_opt_add_opt(&list, "default_permissions");
    if (o->settings.read_only)
        bad |= fuse_opt_add_opt(&list, "ro");
    if (o->fuse)
        bad |= fuse_opt_add_opt(&list, o->fuse);
    bad |= fuse_opt_add_arg(args, "vhdxfs");
    bad |= fuse_opt_add_arg(args, "-o");
    bad |= fuse_opt_add_arg(args, list ? list : "");
    return bad ? -ENOMEM : 0;
}

static int serve_requests(struct fuse_session *se, struct tree *tree, struct failure *failure)
{
    const struct options *o = tree->options;
    struct server server = {.fuse = se, .tree = tree, .fd = fuse_session_fd(se), .debug = o->debug};
    struct transport *transport;
    int err = transport_make(&transport, o->single_thread);

    if (err)
        return err;
    err = privileges_drop(failure);
    if (!err) {
        server.wake = ending_watch(se);
        err = server.wake < 0 ? server.wake : 0;
    }
    if (!err) {
        err = transport_run(transport, &server);
        ending_stop();
    }
    transport_free(transport);
    return err;
}

/* Serves until it is unmounted or told to stop. */
static int serve_mounted(struct fuse_session *se, struct tree *tree, struct daemon *daemon,
                         struct failure *failure)
{
    const struct options *o = tree->options;
    int err = daemon_start(daemon, !o->foreground, o->pidfile);

    *failure = (struct failure){0};
    if (!err)
        err = serve_requests(se, tree, failure);
    log_info("%s: ending", tree->exported->facts.path);
    if (!err)
        return 0;
    return *failure->text
               ? err
               : failed(failure, EXIT_IO_ERROR, err, "serving ended: %s", strerror(-err));
}

static int mount_and_serve(struct tree *tree, const char *mountpoint, struct daemon *daemon,
                           struct failure *failure)
{
    struct exported *exported = tree->exported;
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    struct fuse_session *se = NULL;
    int err = fuse_arguments(&args, tree->options, exported->facts.path);

    tree->ready = daemon_ready;
    tree->ready_arg = daemon;
    if (!err) {
        se = fuse_session_new(&args, &callbacks, sizeof(callbacks), tree);
        err = se ? 0 : failed(failure, EXIT_USAGE, -EINVAL, "libfuse refused the mount options");
        tree->fuse = se;
    }
    if (!err && fuse_session_mount(se, mountpoint) < 0)
        err = failed(failure, EXIT_IO_ERROR, -EIO, "cannot mount on %s (the reason is above)",
                     mountpoint);
    if (!err) {
        err = serve_mounted(se, tree, daemon, failure);
        mountpoint_leave(mountpoint, fuse_session_fd(se));
        fuse_session_unmount(se);
    }
    if (se)
        fuse_session_destroy(se);
    fuse_opt_free_args(&args);
    return err;
}

/* What is beside the VHDX: other files, and everybody's extended attributes. */
static int open_beside(struct tree *t, struct failure *failure)
{
    const struct options *o = t->options;
    const char *identity = facts_identity(&t->exported->facts);
    int err = xattrs_open(&t->xattrs, o->settings.state, identity, o->settings.read_only, failure);

    if (!err && !t->is_file)
        err = beside_open(&t->beside, o->settings.state, identity, o->settings.read_only, failure);
    return err;
}

/* What the daemon itself would have to ask itself for. */
static int refuse_inside(const struct options *o, const char *mountpoint, struct failure *failure)
{
    const char *const paths[] = {o->settings.source, o->settings.state, o->settings.cow,
                                 o->pidfile};

    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        if (paths[i] && mountpoint_covers(mountpoint, paths[i]))
            return failed(failure, EXIT_USAGE, -ELOOP,
                          "%s lies in the mount point %s, which would hide it; mount elsewhere",
                          paths[i], mountpoint);
    return 0;
}

static int serve(const struct options *options, struct failure *failure)
{
    cleanup_free char *mountpoint = NULL;
    struct exported exported;
    struct tree tree = {.options = options, .exported = &exported};
    struct daemon daemon = {.ready_fd = -1};
    int err = mountpoint_check(options->mountpoint, &mountpoint, &tree.is_file, failure), stopped;

    if (!err && options->settings.disk && tree.is_file)
        err =
            failed(failure, EXIT_USAGE, -ENOTDIR,
                   "%s is a file; -o disk shows two files, so the mount point must be a directory",
                   options->mountpoint);
    if (!err)
        err = mountpoint_check_fuse(failure);
    if (!err)
        err = refuse_inside(options, mountpoint, failure);
    if (!err)
        err = export_prepare(&exported, &options->settings, failure);
    if (err)
        return err;
    err = open_beside(&tree, failure);
    /* The state is made, or set aside, when nothing else can refuse the start. */
    if (!err)
        err = export_start(&exported, failure);
    if (!err)
        err = mount_and_serve(&tree, mountpoint, &daemon, failure);
    beside_close(tree.beside);
    xattrs_close(tree.xattrs);
    stopped = export_stop(&exported);
    daemon_end(&daemon); /* whoever waits for the pidfile to go waits for the partition */
    if (!err && stopped)
        err = failed(failure, EXIT_IO_ERROR, stopped, "the last flush failed: %s",
                     strerror(-stopped));
    return err;
}

/* A device that is opened as standard error would get the messages. */
static void fill_standard_descriptors(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
}

int main(int argc, char **argv)
{
    struct failure failure = {.code = EXIT_IO_ERROR, .text = "out of memory"};
    struct options options;
    int err;

    umask(077);
    fill_standard_descriptors();
    signal(SIGXFSZ, SIG_IGN); /* a write over the limit then fails with EFBIG */
    mallopt(M_ARENA_MAX, 1);  /* threads do not allocate where it counts; an arena each is waste */
    fuse_set_log_func(forward_fuse_log);
    err = options_parse(&options, argc, argv, &failure);
    if (!err && options.action == ACTION_HELP)
        options_print_help();
    else if (!err && options.action == ACTION_VERSION)
        printf("vhdxfs %s (libfuse %s)\n", PACKAGE_VERSION, fuse_pkgversion());
    else if (!err) {
        struct cow_settings cow = export_cow_settings(&options.settings);

        log_set_debug(options.debug);
        err = options.action == ACTION_COMMIT    ? commit_overlay(&cow, &failure)
              : options.action == ACTION_DISCARD ? commit_discard(&cow, &failure)
                                                 : serve(&options, &failure);
    }
    options_free(&options);
    if (err)
        log_error("%s", failure.text);
    log_end();
    return err ? (int)failure.code : EXIT_FINE;
}
