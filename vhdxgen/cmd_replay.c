/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhdx/replay.h"
#include "vhdxgen/cli.h"

#include "common/io.h"
#include "common/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static const char help[] =
    "Usage: vhdxgen replay [options] FILE\n"
    "Replays the log of a VHDX file that was not closed, in place. Being stopped at any\n"
    "moment does no harm: run it again.\n"
    "\n"
    "  -n, --dry-run  write nothing, list what would be written\n"
    "      --grow     let the file grow where its log asks for it\n"
    "  -f, --force    replay although the file has errors elsewhere\n"
    "  -q, --quiet    print nothing\n"
    "  -h, --help     print this help and exit\n"
    "  -V, --version  print the version and exit\n"
    "\n"
    "Exit codes: 0 replayed or nothing to replay, 1 usage, 2 in use, 3 invalid, 4 I/O error.\n";

struct arguments {
    const char *path;
    bool dry_run, grow, force, quiet;
};

static int write_fd(void *opaque, const void *data, size_t length, uint64_t offset)
{
    return pwrite_full(*(int *)opaque, data, length, offset);
}

static int flush_fd(void *opaque)
{
    return fsync(*(int *)opaque) < 0 ? -errno : 0;
}

static int grow_fd(void *opaque, uint64_t size)
{
    return ftruncate(*(int *)opaque, (off_t)size) < 0 ? -errno : 0;
}

static int refuse(const struct arguments *a, int err)
{
    switch (err) {
    case -EFBIG:
        return complain(EXIT_INVALID_IMAGE,
                        "%s: the log asks for a longer file; --grow allows it to grow", a->path);
    case -ERANGE:
        return complain(EXIT_INVALID_IMAGE, "%s: the header's sequence number cannot grow",
                        a->path);
    default:
        return complain(EXIT_INVALID_IMAGE, "%s: the log cannot be replayed; see vhdxgen check",
                        a->path);
    }
}

static void list_writes(const struct vhdx_image *image)
{
    const struct vhdx_log *log = &image->log;

    printf("header at 0x%" PRIx64 ": new FileWriteGuid\n",
           (uint64_t)(image->current ? VHDX_HEADER_1_AT : VHDX_HEADER_2_AT));
    if (log->last_file_offset > image->file_size)
        printf("file grows from 0x%" PRIx64 " to 0x%" PRIx64 "\n", image->file_size,
               log->last_file_offset);
    for (size_t i = 0; i < log->write_count; i++)
        printf("0x%" PRIx64 ": 0x%" PRIx64 " bytes of %s\n", log->writes[i].offset,
               log->writes[i].length, log->writes[i].data ? "data" : "zeros");
    printf("both headers: null LogGuid\n");
}

static int apply(const struct arguments *a, struct input *file, const struct vhdx_image *image)
{
    static const struct vhdx_sink sink = {write_fd, flush_fd, grow_fd};
    struct progress progress;
    struct vhdx_replay replay = {
        .io = &file->io,
        .sink = &sink,
        .file_write = guid_random(),
        .may_grow = a->grow,
        .progress = progress_show,
        .opaque = &progress,
    };
    int err;

    progress_begin(&progress, "replaying", false);
    err = vhdx_replay(&replay, image);
    progress_end(&progress);
    if (err)
        return complain(EXIT_IO_ERROR, "%s: %s; replay it again when that is mended", a->path,
                        strerror(-err));
    if (!a->quiet)
        printf("%s: replayed %zu entries with %zu writes\n", a->path, image->log.active_count,
               image->log.write_count);
    return finish_output(EXIT_FINE);
}

static int judge_and_apply(const struct arguments *a, struct input *file, struct vhdx_image *image)
{
    struct vhdx_report report = {0};
    int status = check_input(a->path, file, &report, image), err;

    if (status)
        return status;
    if (image->current < 0)
        return complain(EXIT_INVALID_IMAGE, "%s: it has no valid header; see vhdxgen check",
                        a->path);
    err = vhdx_replay_verdict(image, a->grow);
    if (err == -ENODATA) {
        if (!a->quiet)
            printf("%s: nothing to replay, the log is %s\n", a->path,
                   vhdx_log_state_name(image->log_state));
        return finish_output(EXIT_FINE);
    }
    if (err)
        return refuse(a, err);
    if (vhdx_report_total(&report, VHDX_ERROR) && !a->force)
        return complain(EXIT_INVALID_IMAGE,
                        "%s: it has errors that replaying does not mend (see vhdxgen check); "
                        "--force replays all the same",
                        a->path);
    if (!a->dry_run)
        return apply(a, file, image);
    list_writes(image);
    return finish_output(EXIT_FINE);
}

static int replay(const struct arguments *a)
{
    struct vhdx_image image = {0};
    struct input file;
    int status = open_input(a->path, a->dry_run ? O_RDONLY : O_RDWR, &file);

    if (!status && !a->dry_run && flock(file.fd, LOCK_EX | LOCK_NB) < 0)
        status = complain(EXIT_UNSAFE, "%s: in use by another program", a->path);
    if (!status)
        status = judge_and_apply(a, &file, &image);
    vhdx_image_free(&image);
    close_input(&file);
    return status;
}

int cmd_replay(int argc, char **argv)
{
    static const struct option options[] = {{"dry-run", no_argument, NULL, 'n'},
                                            {"grow", no_argument, NULL, 'g'},
                                            {"force", no_argument, NULL, 'f'},
                                            {"quiet", no_argument, NULL, 'q'},
                                            GETOPT_COMMON,
                                            {0}};
    struct arguments a = {0};
    int c;

    while ((c = getopt_long(argc, argv, "nfqhV", options, NULL)) != -1) {
        switch (c) {
        case 'n':
            a.dry_run = true;
            break;
        case 'g':
            a.grow = true;
            break;
        case 'f':
            a.force = true;
            break;
        case 'q':
            a.quiet = true;
            break;
        case 'h':
            return print_help(help);
        case 'V':
            return print_version();
        default:
            return usage_error("replay");
        }
    }
    if (optind + 1 != argc) {
        complain(EXIT_USAGE, "replay takes one FILE");
        return usage_error("replay");
    }
    a.path = argv[optind];
    return replay(&a);
}
