/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuse/probe.h"

#include "common/cleanup.h"
#include "device/holders.h"

#include <blkid/blkid.h>
#include <errno.h>
#include <ext2fs/ext2fs.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>

static int probe_block(int fd, const struct stat *st, struct facts *facts)
{
    int logical, read_only;
    unsigned physical;

    facts->is_block = true;
    facts->device = st->st_rdev;
    if (ioctl(fd, BLKGETSIZE64, &facts->size) < 0 || ioctl(fd, BLKSSZGET, &logical) < 0 ||
        ioctl(fd, BLKPBSZGET, &physical) < 0 || ioctl(fd, BLKROGET, &read_only) < 0)
        return -errno;
    facts->logical_sector = (uint32_t)logical;
    /* VHDX knows two physical sizes (2.6.2.5); larger ones are multiples of 4096. */
    facts->physical_sector = physical >= 4096 ? 4096 : 512;
    facts->write_protected = read_only != 0;
    holders_mounted(st->st_rdev, facts->mounted_on, sizeof(facts->mounted_on));
    return 0;
}

static void copy_value(blkid_probe pr, const char *name, char *to, size_t size)
{
    const char *value;

    if (blkid_probe_lookup_value(pr, name, &value, NULL) == 0)
        snprintf(to, size, "%s", value);
}

/* libblkid answers 0 for found, 1 for nothing, -2 for contradictory, -1 or -errno for an error. */
static int probe_content(int fd, struct facts *facts)
{
    blkid_probe pr = blkid_new_probe();
    int found;

    if (!pr)
        return -ENOMEM;
    if (blkid_probe_set_device(pr, fd, 0, 0) < 0) {
        blkid_free_probe(pr);
        return -EIO;
    }
    blkid_probe_enable_superblocks(pr, 1);
    blkid_probe_set_superblocks_flags(pr,
                                      BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE | BLKID_SUBLKS_UUID);
    blkid_probe_enable_partitions(pr, 1);
    blkid_probe_set_partitions_flags(pr, BLKID_PARTS_ENTRY_DETAILS);
    errno = 0;
    found = blkid_do_safeprobe(pr);
    facts->ambiguous = found == -2;
    copy_value(pr, "TYPE", facts->type, sizeof(facts->type));
    copy_value(pr, "USAGE", facts->usage, sizeof(facts->usage));
    copy_value(pr, "UUID", facts->uuid, sizeof(facts->uuid));
    copy_value(pr, "PTTYPE", facts->partition_table, sizeof(facts->partition_table));
    copy_value(pr, "PART_ENTRY_UUID", facts->part_uuid, sizeof(facts->part_uuid));
    blkid_free_probe(pr);
    if (found >= 0 || found == -2)
        return 0;
    return found < -2 ? found : errno ? -errno : -EIO;
}

/* Opens the superblock only: a 64 TiB file system is looked at as fast as a small one. */
static ext2_filsys open_ext(const char *path)
{
    ext2_filsys fs = NULL;
    int flags = EXT2_FLAG_SUPER_ONLY | EXT2_FLAG_64BITS | EXT2_FLAG_IGNORE_CSUM_ERRORS |
                EXT2_FLAG_FORCE | EXT2_FLAG_JOURNAL_DEV_OK;

    return ext2fs_open(path, flags, 0, 0, unix_io_manager, &fs) == 0 ? fs : NULL;
}

/* The sequence number in the MMP block, or 0 when it cannot be read. */
static uint32_t mmp_sequence(ext2_filsys fs)
{
    struct mmp_struct *mmp;

    if (ext2fs_mmp_read(fs, fs->super->s_mmp_block, NULL) != 0)
        return 0;
    mmp = fs->mmp_cmp;
    return mmp->mmp_seq;
}

static void probe_ext(const char *path, struct facts *facts)
{
    ext2_filsys fs = open_ext(path);

    if (!fs)
        return;
    facts->is_ext = true;
    facts->needs_recovery = ext2fs_has_feature_journal_needs_recovery(fs->super);
    facts->has_errors = fs->super->s_state & EXT2_ERROR_FS;
    facts->uses_mmp = ext2fs_has_feature_mmp(fs->super);
    if (facts->uses_mmp) {
        facts->mmp_interval = fs->super->s_mmp_update_interval;
        facts->mmp_active = mmp_sequence(fs) != EXT4_MMP_SEQ_CLEAN;
    }
    ext2fs_close_free(&fs);
}

int probe(const char *path, struct facts *facts, struct failure *failure)
{
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    int err;

    *facts = (struct facts){.logical_sector = 512, .physical_sector = 4096};
    snprintf(facts->path, sizeof(facts->path), "%s", path);
    if (fd < 0 || fstat(fd, &st) < 0)
        return failed(failure, errno == ENOENT ? EXIT_USAGE : EXIT_IO_ERROR, -errno,
                      "%s: cannot open it: %s%s", path, strerror(errno),
                      errno == EACCES || errno == EPERM ? "; run as root" : "");
    if (!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode))
        return failed(failure, EXIT_USAGE, -ENOTBLK,
                      "%s: neither a block device nor a regular file; name a partition", path);
    if (S_ISREG(st.st_mode))
        facts->size = (uint64_t)st.st_size;
    err = S_ISBLK(st.st_mode) ? probe_block(fd, &st, facts) : 0;
    if (!err && facts->size > 0)
        err = probe_content(fd, facts);
    if (err)
        return failed(failure, EXIT_IO_ERROR, err, "%s: cannot read it: %s", path, strerror(-err));
    if (!strncmp(facts->type, "ext", 3))
        probe_ext(path, facts);
    return 0;
}

const char *facts_identity(const struct facts *facts)
{
    return *facts->uuid ? facts->uuid : facts->part_uuid;
}

int probe_mmp(const char *path, struct failure *failure)
{
    ext2_filsys fs = open_ext(path);
    uint32_t before, after;
    struct timespec wait;

    if (!fs)
        return 0;
    before = mmp_sequence(fs);
    wait = (struct timespec){.tv_sec = 2 * fs->super->s_mmp_update_interval + 1};
    while (before != EXT4_MMP_SEQ_CLEAN && nanosleep(&wait, &wait) < 0 && errno == EINTR)
        ;
    after = before == EXT4_MMP_SEQ_CLEAN ? before : mmp_sequence(fs);
    ext2fs_close_free(&fs);
    if (before == after && after != EXT4_MMP_SEQ_FSCK)
        return 0;
    return failed(
        failure, EXIT_UNSAFE, -EBUSY,
        "%s: its multi-mount protection says that %s; wait until it is free, or if you are "
        "sure: tune2fs -f -E clear_mmp %s",
        path, after == EXT4_MMP_SEQ_FSCK ? "e2fsck is running on it" : "another host uses it",
        path);
}
