/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "device/safety.h"

#include "common/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void __attribute__((format(printf, 2, 3)))
warn(struct verdict *verdict, const char *format, ...)
{
    va_list args;

    if (verdict->warning_count == ARRAY_SIZE(verdict->warnings))
        return;
    va_start(args, format);
    vsnprintf(verdict->warnings[verdict->warning_count++], sizeof(verdict->warnings[0]), format,
              args);
    va_end(args);
}

/* Contents that somebody else manages: serving them would corrupt what stands on them. */
static const struct {
    const char *type;
    const char *usage;
    const char *what;
    const char *cure;
} managed[] = {
    {"swap", "", "swap space", "name the partition that holds your file system"},
    {"swsuspend", "", "a hibernated system's memory", "resume and shut that system down first"},
    {"LVM2_member", "", "a member of an LVM volume group", "name a logical volume in it"},
    {"crypto_LUKS", "", "an encrypted container", "open it with cryptsetup and name the result"},
    {"bcache", "", "a member of a bcache device", "name the bcache device"},
    {"zfs_member", "", "a member of a ZFS pool", "name a volume in it"},
    {"jbd", "", "an external ext4 journal", "name the partition that holds your file system"},
    {"", "raid", "a member of a RAID or volume group", "name the assembled device"},
    {"", "crypto", "an encrypted container", "name the opened device"},
};

static int refuse_managed(const struct facts *f, struct failure *failure)
{
    for (size_t i = 0; i < ARRAY_SIZE(managed); i++)
        if ((*managed[i].type && !strcmp(f->type, managed[i].type)) ||
            (*managed[i].usage && !strcmp(f->usage, managed[i].usage)))
            return failed(failure, EXIT_UNSAFE, -EBUSY, "%s is %s (%s); %s", f->path,
                          managed[i].what, f->type, managed[i].cure);
    return 0;
}

static int refuse_content(const struct facts *f, const struct safety_policy *policy,
                          struct failure *failure)
{
    if (f->ambiguous || (*f->type && f->partitions > 0))
        return failed(failure, EXIT_UNSAFE, -EINVAL,
                      "%s carries the signatures of more than one file system, volume or partition "
                      "table; look at "
                      "them with 'wipefs %s' and remove the stale one",
                      f->path, f->path);
    if (*f->partition_table && !*f->type)
        return failed(failure, EXIT_UNSAFE, -EINVAL,
                      "%s is a whole disk with a partition table (%s); name one of its partitions",
                      f->path, f->partition_table);
    if (!*facts_identity(f))
        return failed(failure, EXIT_INVALID_IMAGE, -EINVAL,
                      "%s has neither a file system UUID nor a PARTUUID to derive the VHDX's "
                      "identity from; make a file system on it (mkfs.ext4)",
                      f->path);
    if (f->has_errors && !policy->allow_errors)
        return failed(failure, EXIT_UNSAFE, -EUCLEAN,
                      "%s: the ext4 on it is marked as having errors; run 'e2fsck -f %s', or serve "
                      "it as it is with -o allow_errors",
                      f->path, f->path);
    return 0;
}

/* What whoever gets the VHDX could not use, or only to its harm. */
static int refuse_part(const struct facts *f, const struct safety_policy *policy,
                       struct failure *failure)
{
    char says[SIZE_TEXT_MAX], has[SIZE_TEXT_MAX];

    if (f->devices > 1)
        return failed(failure, EXIT_UNSAFE, -EINVAL,
                      "%s is one of %" PRIu64
                      " devices of a %s, and a VHDX would show it alone; take "
                      "the file system off the others first (btrfs device remove)",
                      f->path, f->devices, f->type);
    if (f->is_ext && f->ext_size > f->size && !policy->allow_errors)
        return failed(
            failure, EXIT_UNSAFE, -EINVAL,
            "%s: the ext4 on it is one of %s, but the device has %s, so nothing can mount "
            "it; give the device its size back, or serve it as it is with -o allow_errors",
            f->path, format_size(f->ext_size, says), format_size(f->size, has));
    if (f->external_journal && f->needs_recovery && !*f->mounted_on)
        return failed(failure, EXIT_UNSAFE, -EINVAL,
                      "%s: the ext4 on it was not unmounted cleanly, and its journal is on another "
                      "device, which whoever gets the VHDX does not have; mount it here once, and "
                      "unmount it",
                      f->path);
    return 0;
}

static int refuse_write_protected(const struct facts *f, const struct safety_policy *policy,
                                  struct failure *failure)
{
    if (!f->write_protected || policy->read_only)
        return 0;
    if (!f->is_block)
        return failed(failure, EXIT_UNSAFE, -EROFS,
                      "%s lies on a file system that is mounted read-only; serve it with -o ro or "
                      "-o cow=FILE, or mount that file system for writing",
                      f->path);
    return failed(failure, EXIT_UNSAFE, -EROFS,
                  "%s is write-protected; serve it with -o ro or -o cow=FILE, or make it writable "
                  "(blockdev --setrw)",
                  f->path);
}

static void warn_of_content(const struct facts *f, struct verdict *verdict)
{
    if (!f->is_ext) {
        warn(verdict, "there is no ext4 on it; WSL will not boot from it");
        return;
    }
    if (f->has_errors)
        warn(verdict, "the ext4 is marked as having errors (allow_errors)");
    if (f->ext_size > f->size)
        warn(verdict, "the ext4 is larger than the device (allow_errors)");
    if (f->needs_recovery && !*f->mounted_on)
        warn(verdict,
             "the ext4 was not unmounted cleanly; whoever mounts it next replays its journal");
    if (f->external_journal)
        warn(verdict,
             "its journal is on another device: WSL or a virtual machine that gets the VHDX "
             "alone cannot mount it; to move it inside, unmount it, then tune2fs -O "
             "^has_journal and tune2fs -j");
    if (*f->beyond_wsl)
        warn(verdict, "it has features that WSL's kernel cannot mount: %s", f->beyond_wsl);
    if (f->ext_block > 4096)
        warn(verdict, "its blocks of %u bytes are larger than a page; WSL cannot mount it",
             f->ext_block);
}

void safety_judge(const struct facts *facts, const struct safety_policy *policy,
                  struct verdict *verdict)
{
    *verdict = (struct verdict){0};
    verdict->refused =
        (!policy->any_content && (refuse_managed(facts, &verdict->refusal) < 0 ||
                                  refuse_content(facts, policy, &verdict->refusal) < 0 ||
                                  refuse_part(facts, policy, &verdict->refusal) < 0)) ||
        refuse_write_protected(facts, policy, &verdict->refusal) < 0;
    if (policy->any_content)
        return;
    warn_of_content(facts, verdict);
}
