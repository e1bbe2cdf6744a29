/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ntfs/state.h"

#include "common/units.h"
#include "ntfs/error.h"

#include <errno.h>
#include <ntfs-3g/attrib.h>
#include <ntfs-3g/inode.h>
#include <ntfs-3g/logfile.h>
#include <ntfs-3g/volume.h>
#include <stdlib.h>

static int read_hibernation(ntfs_volume *volume, unsigned *state)
{
    errno = 0;
    if (ntfs_volume_check_hiberfile(volume, 0) == 0)
        return 0;
    if (errno != EPERM)
        return ntfs_error();
    *state |= NTFS_STATE_HIBERNATED;
    return 0;
}

static void judge_log(ntfs_attr *data, unsigned *state)
{
    RESTART_PAGE_HEADER *restart = NULL;

    if (!ntfs_check_logfile(data, &restart) || !ntfs_is_logfile_clean(data, restart))
        *state |= NTFS_STATE_UNCLEAN;
    /* Windows 8 and later write 2.0 when they leave a volume in their cache, and 1.1 at the end. */
    if (restart && le16_to_cpu(restart->major_ver) == 2 && le16_to_cpu(restart->minor_ver) == 0)
        *state |= NTFS_STATE_CACHED;
    free(restart);
}

static int read_log(ntfs_volume *volume, unsigned *state)
{
    ntfs_inode *log;
    ntfs_attr *data;
    int err = 0;

    errno = 0;
    log = ntfs_inode_open(volume, FILE_LogFile);
    if (!log)
        return ntfs_error();
    data = ntfs_attr_open(log, AT_DATA, AT_UNNAMED, 0);
    if (data) {
        judge_log(data, state);
        ntfs_attr_close(data);
    } else {
        err = ntfs_error();
    }
    ntfs_inode_close(log);
    return err;
}

int ntfs_state_read(ntfs_volume *volume, unsigned *state)
{
    int err;

    *state = 0;
    if (volume->flags & VOLUME_IS_DIRTY)
        *state |= NTFS_STATE_DIRTY;
    if (volume->flags & VOLUME_CHKDSK_UNDERWAY)
        *state |= NTFS_STATE_CHKDSK;
    err = read_log(volume, state);
    return err ? err : read_hibernation(volume, state);
}

void ntfs_state_describe(unsigned state, const char **what, const char **cure)
{
    static const struct {
        enum ntfs_state bit;
        const char *what, *cure;
    } texts[] = {
        {NTFS_STATE_HIBERNATED, "holds a hibernated Windows (hiberfil.sys)",
         "start that Windows, say 'powercfg /h off' there (it also ends fast startup), and shut it "
         "down"},
        {NTFS_STATE_CACHED,
         "is still in the cache of a Windows that is hibernated, or was shut down with fast "
         "startup",
         "start that Windows, say 'powercfg /h off' there, and shut it down"},
        {NTFS_STATE_UNCLEAN, "was not unmounted: its log has changes that wait to be replayed",
         "start Windows and shut it down ('shutdown /s /t 0'), or unplug the disk there with "
         "'Safely Remove'"},
        {NTFS_STATE_CHKDSK, "has a check by chkdsk that did not end",
         "let 'chkdsk /f' end in Windows"},
        {NTFS_STATE_DIRTY, "is marked as dirty", "run 'chkdsk /f' on it in Windows"},
    };

    *what = *cure = "?";
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        if (!(state & texts[i].bit))
            continue;
        *what = texts[i].what;
        *cure = texts[i].cure;
        return;
    }
}
