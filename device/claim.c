/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "device/claim.h"

#include "common/cleanup.h"
#include "common/log.h"
#include "device/holders.h"
#include "device/null_disk.h"
#include "device/source.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <linux/stat.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>

/* An opened object, before it is known whether we keep it. */
struct opened {
    int fd;
    bool direct;
    struct stat st;
};

bool claim_wait(unsigned *waited)
{
    const struct timespec step = {.tv_nsec = 10 * 1000 * 1000};

    if (*waited == 100)
        return false;
    (*waited)++;
    nanosleep(&step, NULL);
    return true;
}

/*
 * What a killed process had open stays so until the kernel has ended its I/O (that of an io_uring
 * after the process is gone), and there is nobody to be seen who holds it. And umount(8) returns
 * before the daemon has let go. Returns whether to try again.
 */
static bool may_pass(const struct stat *st, unsigned *waited, char *who, size_t size)
{
    int pid;

    snprintf(who, size, "locked by another program");
    if (S_ISBLK(st->st_mode) && holders_describe(st->st_rdev, who, size) &&
        !holders_served(st, &pid))
        return false;
    return claim_wait(waited);
}

static int busy(const char *path, const char *who, struct failure *failure)
{
    return failed(failure, EXIT_UNSAFE, -EBUSY, "%s is %s; free it first", path, who);
}

/*
 * The name may lead elsewhere than it did when it was resolved, so O_EXCL, which regular files
 * ignore, is given before it is known what is there; and what is open must be what was found.
 * O_DIRECT where the file system knows it.
 */
static int open_object(const char *path, bool read_only, struct opened *opened,
                       struct failure *failure)
{
    int flags = (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW | O_EXCL;
    struct stat found;
    unsigned waited = 0;
    char who[512];

    if (stat(path, &found) < 0)
        return failed(failure, EXIT_USAGE, -errno, "%s: %s", path, strerror(errno));
    if (!S_ISBLK(found.st_mode) && !S_ISREG(found.st_mode))
        return failed(failure, EXIT_USAGE, -ENOTBLK,
                      "%s: neither a block device nor a regular file", path);
    opened->direct = true;
    while ((opened->fd = open(path, flags | (opened->direct ? O_DIRECT : 0))) < 0) {
        if (errno == EINVAL && opened->direct)
            opened->direct = false;
        else if (errno != EBUSY)
            break;
        else if (!may_pass(&found, &waited, who, sizeof(who)))
            return busy(path, who, failure);
    }
    if (opened->fd < 0)
        return failed(failure, EXIT_IO_ERROR, -errno, "%s: cannot open it: %s%s", path,
                      strerror(errno), errno == EACCES ? "; run as root" : "");
    if (fstat(opened->fd, &opened->st) < 0)
        return failed(failure, EXIT_IO_ERROR, -errno, "%s: %s", path, strerror(errno));
    if (!same_object(&opened->st, &found))
        return failed(failure, EXIT_UNSAFE, -ESTALE, "%s: it was replaced meanwhile; try again",
                      path);
    return 0;
}

static int lock_file(const char *path, const struct opened *opened, bool read_only,
                     struct failure *failure)
{
    struct flock lock = {.l_type = read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};
    unsigned waited = 0;
    char who[512];

    while (fcntl(opened->fd, F_OFD_SETLK, &lock) < 0) {
        if (errno != EAGAIN && errno != EACCES)
            return failed(failure, EXIT_IO_ERROR, -errno, "%s: cannot lock it: %s", path,
                          strerror(errno));
        if (!may_pass(&opened->st, &waited, who, sizeof(who)))
            return busy(path, who, failure);
    }
    return 0;
}

/* The uses that an exclusive open does not conflict with. */
static int refuse_shared(const char *path, const struct opened *opened, bool read_only,
                         struct failure *failure)
{
    char loop[64];
    int err = S_ISREG(opened->st.st_mode) ? lock_file(path, opened, read_only, failure) : 0;

    if (!err && holders_looped(&opened->st, loop, sizeof(loop)))
        err = failed(failure, EXIT_UNSAFE, -EBUSY,
                     "%s is in use by the loop device %s; serve that, or detach it (losetup -d %s)",
                     path, loop, loop);
    return err;
}

/*
 * Writes back and drops the kernel's cache of the object, so that neither side sees what
 * it cached before the change of hands. The kernel keeps direct I/O and its cache apart well
 * enough while somebody reads, but pages that are mapped or busy survive that.
 */
static int drop_caches(int fd, bool is_block)
{
    if (is_block)
        return ioctl(fd, BLKFLSBUF, 0) < 0 && errno != EACCES && errno != EPERM ? -errno : 0;
    if (fdatasync(fd) < 0 && errno != EROFS && errno != EINVAL && errno != EBADF)
        return -errno;
    return -posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

static int compare(const struct facts *now, const struct facts *then, struct failure *failure)
{
    if (now->size == 0 && then->size > 0)
        return failed(failure, EXIT_IO_ERROR, -ENXIO,
                      "%s is empty now: a medium taken out, or a loop device detached; "
                      "bring the partition back",
                      now->path);
    if (strcmp(facts_identity(now), facts_identity(then)) != 0)
        return failed(failure, EXIT_UNSAFE, -ESTALE,
                      "%s is not the partition it was: its UUID was %s and is %s; "
                      "start vhdxfs again to serve the new one",
                      now->path, facts_identity(then), facts_identity(now));
    if (now->is_block != then->is_block)
        return failed(failure, EXIT_UNSAFE, -ESTALE,
                      "%s was %s and is %s now; start vhdxfs again to serve that", now->path,
                      then->is_block ? "a block device" : "an image file",
                      now->is_block ? "a block device" : "an image file");
    if (now->size != then->size || now->logical_sector != then->logical_sector)
        return failed(failure, EXIT_UNSAFE, -ESTALE,
                      "%s has changed its size from %" PRIu64 " to %" PRIu64
                      " bytes (sectors: %u, %u); start vhdxfs again to serve it",
                      now->path, then->size, now->size, then->logical_sector, now->logical_sector);
    return 0;
}

int claim_judge(const struct facts *facts, const struct safety_policy *policy,
                struct failure *failure)
{
    struct verdict verdict;

    safety_judge(facts, policy, &verdict);
    if (verdict.refused) {
        if (failure)
            *failure = verdict.refusal;
        return -EPERM;
    }
    for (unsigned i = 0; i < verdict.warning_count; i++)
        log_warning("%s: %s", facts->path, verdict.warnings[i]);
    return 0;
}

static int judge(int fd, const struct facts *facts, const struct safety_policy *policy,
                 struct failure *failure)
{
    int err = claim_judge(facts, policy, failure);

    return err || !facts->mmp_active ? err : probe_mmp(fd, facts->path, failure);
}

/* The unit of direct I/O in bytes, or 0 where it has to be buffered. */
static uint32_t direct_unit(const struct opened *opened, const struct facts *facts)
{
    uint32_t unit = facts->logical_sector;

    if (!opened->direct)
        return 0;
    if (!facts->is_block) {
        unit = 4096;
#ifdef STATX_DIOALIGN
        struct statx stx;

        if (statx(opened->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
            stx.stx_mask & STATX_DIOALIGN)
            unit = stx.stx_dio_offset_align;
#endif
    }
    /* The last unit must not reach behind the end: writing it would make the file longer. */
    return unit && unit <= BACKING_MEMORY_ALIGN && facts->size % unit == 0 ? unit : 0;
}

static int start_backing(struct claim *claim, struct opened *opened, struct failure *failure)
{
    uint32_t unit = direct_unit(opened, &claim->facts);
    int err = 0;

    if (opened->direct && !unit && fcntl(opened->fd, F_SETFL, 0) < 0)
        err = -errno;
    if (!err)
        err = backing_init(&claim->backing, opened->fd, claim->facts.is_block, unit != 0, unit,
                           claim->facts.size);
    if (err)
        return failed(failure, EXIT_IO_ERROR, err, "%s: %s", claim->facts.path, strerror(-err));
#ifdef NULL_BACKING
    claim->backing.disk = null_disk;
    log_warning("%s: built for measuring: nothing is read or written", claim->facts.path);
#endif
    return 0;
}

static int examine(struct claim *claim, const char *path, struct opened *opened,
                   const struct safety_policy *policy, const struct facts *expected,
                   struct failure *failure)
{
    int err = refuse_shared(path, opened, policy->read_only, failure);

    if (err)
        return err;
    err = drop_caches(opened->fd, S_ISBLK(opened->st.st_mode));
    if (err)
        return failed(failure, EXIT_IO_ERROR, err, "%s: cannot flush its cache: %s", path,
                      strerror(-err));
    err = probe_opened(opened->fd, path, &claim->facts, failure);
    if (!err && expected)
        err = compare(&claim->facts, expected, failure);
    if (!err)
        err = judge(opened->fd, &claim->facts, policy, failure);
    return err ? err : start_backing(claim, opened, failure);
}

int claim_take(struct claim *claim, const char *spec, const struct safety_policy *policy,
               const struct facts *expected, struct failure *failure)
{
    cleanup_free char *path = NULL;
    struct opened opened = {.fd = -1};
    int err = source_resolve(spec, &path, failure);

    if (!err)
        err = open_object(path, policy->read_only, &opened, failure);
    if (!err)
        err = examine(claim, path, &opened, policy, expected, failure);
    if (err)
        close_fd(&opened.fd);
    else
        claim->footprint = footprint_of(&claim->backing);
    return err;
}

void claim_release(struct claim *claim)
{
    int err = drop_caches(claim->backing.fd, claim->facts.is_block);

    if (err)
        log_warning("%s: cannot flush its cache: %s", claim->facts.path, strerror(-err));
    claim->footprint = footprint_of(&claim->backing);
    /* The lock goes now, whoever in the kernel still has the file for a moment. */
    if (!claim->facts.is_block)
        fcntl(claim->backing.fd, F_OFD_SETLK, &(struct flock){.l_type = F_UNLCK});
    backing_close(&claim->backing);
}
