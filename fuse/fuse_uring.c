/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuse/fuse_uring.h"

#include "common/cleanup.h"

#include <fcntl.h>

#define PARAMETER "/sys/module/fuse/parameters/enable_uring"

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 18)

static bool kernel_offers(void)
{
    cleanup_fd int fd = open(PARAMETER, O_RDONLY | O_CLOEXEC);
    char value = 'N';

    return fd >= 0 && read(fd, &value, 1) == 1 && value == 'Y';
}

int fuse_uring_choose(const struct options *o, bool *use, struct failure *failure)
{
    *use = o->io_uring == IO_URING_ON;
    if (*use && !kernel_offers())
        return failed(
            failure, EXIT_USAGE, -EINVAL,
            "option io_uring=on: this kernel has no FUSE over io_uring, or it is switched "
            "off (root does: echo Y > " PARAMETER ")");
    if (*use && o->single_thread)
        return failed(failure, EXIT_USAGE, -EINVAL, "option io_uring=on needs threads, not -s");
    return 0;
}

void *fuse_uring_payload(fuse_req_t req, size_t size)
{
    char *payload = NULL;
    void *registration = NULL;
    size_t room = 0;

    if (!fuse_req_is_uring(req) || fuse_req_get_payload(req, &payload, &room, &registration) != 0 ||
        room < size)
        return NULL;
    return payload;
}

#else

int fuse_uring_choose(const struct options *o, bool *use, struct failure *failure)
{
    *use = false;
    if (o->io_uring == IO_URING_ON)
        return failed(failure, EXIT_USAGE, -EINVAL,
                      "option io_uring=on: this program was built with libfuse %s; FUSE over "
                      "io_uring needs 3.18",
                      fuse_pkgversion());
    return 0;
}

void *fuse_uring_payload(fuse_req_t req, size_t size)
{
    (void)req;
    (void)size;
    return NULL;
}

#endif
