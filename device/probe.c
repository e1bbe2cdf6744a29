/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "device/probe.h"

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/io.h"
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
#include <sys/statvfs.h>
#include <time.h>

static int probe_block(int fd, struct facts *facts)
{
    int logical, read_only;
    unsigned physical;

    facts->is_block = true;
    if (ioctl(fd, BLKGETSIZE64, &facts->size) < 0 || ioctl(fd, BLKSSZGET, &logical) < 0 ||
        ioctl(fd, BLKPBSZGET, &physical) < 0 || ioctl(fd, BLKROGET, &read_only) < 0)
        return -errno;
    facts->logical_sector = (uint32_t)logical;
    /* VHDX knows two physical sizes (2.6.2.5); larger ones are multiples of 4096. */
    facts->physical_sector = physical >= 4096 ? 4096 : 512;
    facts->write_protected = read_only != 0;
    return 0;
}

static int probe_image(int fd, const struct stat *st, struct facts *facts)
{
    struct statvfs fs;

    if (fstatvfs(fd, &fs) < 0)
        return -errno;
    facts->size = (uint64_t)st->st_size;
    facts->write_protected = fs.f_flag & ST_RDONLY;
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
    blkid_partlist partitions;
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
    /* Last: it probes anew. */
    if (*facts->partition_table && (partitions = blkid_probe_get_partitions(pr)))
        facts->partitions = blkid_partlist_numof_partitions(partitions);
    blkid_free_probe(pr);
    if (found >= 0 || found == -2)
        return 0;
    return found < -2 ? found : errno ? -errno : -EIO;
}

/* How many devices a btrfs is on: at 0x88 of its superblock at 64 KiB, little-endian. */
static int probe_btrfs(int fd, struct facts *facts)
{
    uint8_t count[8];
    int err = pread_full(fd, count, sizeof(count), 65536 + 0x88);

    if (!err)
        facts->devices = get_le64(count);
    return err;
}

/* Opens the superblock only: a 64 TiB file system is looked at as fast as a small one. */
static ext2_filsys open_ext(const char *path)
{
    ext2_filsys fs = NULL;
    int flags = EXT2_FLAG_SUPER_ONLY | EXT2_FLAG_64BITS | EXT2_FLAG_IGNORE_CSUM_ERRORS |
                EXT2_FLAG_FORCE | EXT2_FLAG_JOURNAL_DEV_OK;

    return ext2fs_open(path, flags, 0, 0, unix_io_manager, &fs) == 0 ? fs : NULL;
}

/* What /proc calls FD: the same object again, whatever has become of its name. */
static void proc_path(char path[64], int fd)
{
    snprintf(path, 64, "/proc/self/fd/%d", fd);
}

/* The MMP block as it is now, or NULL when it cannot be read or is none. */
static const struct mmp_struct *read_mmp(ext2_filsys fs)
{
    if (ext2fs_mmp_read(fs, fs->super->s_mmp_block, NULL) != 0)
        return NULL;
    return fs->mmp_cmp;
}

/* WSL's kernel (6.18) is built without Unicode, fscrypt and fs-verity. */
static void list_beyond_wsl(struct ext2_super_block *super, char *list, size_t size)
{
    snprintf(list, size, "%s%s%s", ext2fs_has_feature_casefold(super) ? ", casefold" : "",
             ext2fs_has_feature_encrypt(super) ? ", encrypt" : "",
             ext2fs_has_feature_verity(super) ? ", verity" : "");
    if (*list)
        memmove(list, list + 2, strlen(list + 2) + 1);
}

static void probe_ext(const char *path, struct facts *facts)
{
    ext2_filsys fs = open_ext(path);

    if (!fs)
        return;
    facts->is_ext = true;
    facts->needs_recovery = ext2fs_has_feature_journal_needs_recovery(fs->super);
    facts->has_errors = fs->super->s_state & EXT2_ERROR_FS;
    facts->external_journal =
        ext2fs_has_feature_journal(fs->super) && fs->super->s_journal_inum == 0;
    facts->ext_size = ext2fs_blocks_count(fs->super) * fs->blocksize;
    facts->ext_block = fs->blocksize;
    list_beyond_wsl(fs->super, facts->beyond_wsl, sizeof(facts->beyond_wsl));
    facts->uses_mmp = ext2fs_has_feature_mmp(fs->super);
    if (facts->uses_mmp) {
        const struct mmp_struct *mmp = read_mmp(fs);

        facts->mmp_active = !mmp || mmp->mmp_seq != EXT4_MMP_SEQ_CLEAN;
    }
    ext2fs_close_free(&fs);
}

/* Opens ACCESS to look at what messages call PATH. */
static int probe_through(const char *access, const char *path, struct facts *facts,
                         struct failure *failure)
{
    cleanup_fd int fd = open(access, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char same[64];
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
    err = S_ISBLK(st.st_mode) ? probe_block(fd, facts) : probe_image(fd, &st, facts);
    if (!err && facts->size > 0)
        err = probe_content(fd, facts);
    if (!err && !strcmp(facts->type, "btrfs"))
        err = probe_btrfs(fd, facts);
    if (err)
        return failed(failure, EXIT_IO_ERROR, err, "%s: cannot read it: %s", path, strerror(-err));
    if (S_ISBLK(st.st_mode))
        err = holders_mounted(st.st_rdev, facts->mounted_on, sizeof(facts->mounted_on));
    if (err < 0)
        return failed(failure, EXIT_IO_ERROR, err,
                      "%s: cannot see in /proc/self/mountinfo whether it is mounted: %s; mount "
                      "/proc",
                      path, strerror(-err));
    proc_path(same, fd);
    if (!strncmp(facts->type, "ext", 3))
        probe_ext(same, facts);
    return 0;
}

int probe(const char *path, struct facts *facts, struct failure *failure)
{
    return probe_through(path, path, facts, failure);
}

int probe_opened(int fd, const char *path, struct facts *facts, struct failure *failure)
{
    char access[64];

    proc_path(access, fd);
    return probe_through(access, path, facts, failure);
}

const char *facts_identity(const struct facts *facts)
{
    return *facts->uuid ? facts->uuid : facts->part_uuid;
}

/*
 * Seconds to wait for a change of the mark, as ext4 does: twice the interval and one more, where
 * the interval is what the superblock says, at least 5, or what the host that writes it says.
 */
static unsigned mmp_patience(ext2_filsys fs, const struct mmp_struct *mmp)
{
    unsigned interval = fs->super->s_mmp_update_interval;

    if (interval < EXT4_MMP_MIN_CHECK_INTERVAL)
        interval = EXT4_MMP_MIN_CHECK_INTERVAL;
    if (interval < mmp->mmp_check_interval)
        interval = mmp->mmp_check_interval;
    return 2 * interval + 1 < interval + 60 ? 2 * interval + 1 : interval + 60;
}

static int refuse_mmp(const char *path, const char *what, struct failure *failure)
{
    return failed(
        failure, EXIT_UNSAFE, -EBUSY,
        "%s: its multi-mount protection says that %s; wait until it is free, or if you are "
        "sure: tune2fs -f -E clear_mmp %s",
        path, what, path);
}

static int watch_mmp(ext2_filsys fs, const char *path, struct failure *failure)
{
    const struct mmp_struct *mmp = read_mmp(fs);
    uint32_t before = mmp ? mmp->mmp_seq : 0;
    struct timespec wait;

    if (mmp && before == EXT4_MMP_SEQ_CLEAN)
        return 0;
    if (mmp && before > EXT4_MMP_SEQ_MAX)
        return refuse_mmp(path, "e2fsck or another program is at work on it", failure);
    wait = (struct timespec){.tv_sec = mmp ? mmp_patience(fs, mmp) : 0};
    while (mmp && nanosleep(&wait, &wait) < 0 && errno == EINTR)
        ;
    mmp = mmp ? read_mmp(fs) : NULL;
    if (!mmp)
        return failed(failure, EXIT_UNSAFE, -EUCLEAN,
                      "%s: its multi-mount protection cannot be read, so it may be in use on "
                      "another host; run 'e2fsck -f %s'",
                      path, path);
    return mmp->mmp_seq == before ? 0 : refuse_mmp(path, "another host uses it", failure);
}

int probe_mmp(int fd, const char *path, struct failure *failure)
{
    char same[64];
    ext2_filsys fs;
    int err;

    proc_path(same, fd);
    fs = open_ext(same);
    if (!fs)
        return failed(failure, EXIT_IO_ERROR, -EIO, "%s: cannot read its superblock again", path);
    err = watch_mmp(fs, path, failure);
    ext2fs_close_free(&fs);
    return err;
}
