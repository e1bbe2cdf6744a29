/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Of "vhdxgen map DEVICE:PATH": the volume's state and the file's run list. */
#include <config.h>

#include "vhdxgen/map_source.h"

#include "common/units.h"

#include <errno.h>
#include <string.h>

#ifdef WITH_NTFS

#include "ntfs/reader.h"
#include "ntfs/runs.h"
#include "ntfs/state.h"

static int refuse_volume(const struct map_source *s, int err, struct failure *failure)
{
    switch (err) {
    case -EMEDIUMTYPE:
        return failed(failure, EXIT_INVALID_IMAGE, err,
                      "%s has no NTFS; name the partition with the volume (lsblk -f lists them)",
                      s->device);
    case -EKEYREJECTED:
        return failed(failure, EXIT_INVALID_IMAGE, err,
                      "%s is encrypted with BitLocker; a VHDX on it cannot be mapped, so put it on "
                      "another volume, or decrypt this one (manage-bde -off)",
                      s->device);
    case -EUCLEAN:
        return failed(failure, EXIT_UNSAFE, err,
                      "%s: its NTFS is damaged; run 'chkdsk /f' on it in Windows", s->device);
    default:
        return failed(failure, EXIT_IO_ERROR, err, "%s: cannot read its NTFS: %s", s->device,
                      strerror(-err));
    }
}

static int judge_state(const struct map_source *s, const struct ntfs_reader *reader,
                       struct failure *failure)
{
    const char *what, *cure;
    unsigned state;
    int err = ntfs_state_read(reader->volume, &state);

    if (err && !reader->read_error && err != -ENOMEM)
        err = -EUCLEAN;
    if (err)
        return refuse_volume(s, err, failure);
    if (!state)
        return 0;
    ntfs_state_describe(state, &what, &cure);
    return failed(failure, EXIT_UNSAFE, -EBUSY, "%s %s; %s", s->device, what, cure);
}

static int refuse_runs(const struct map_source *s, int err, struct failure *failure)
{
    if (err == -ENOENT)
        return failed(failure, EXIT_USAGE, err, "%s: there is no %s on that volume", s->device,
                      s->inside);
    if (err == -EUCLEAN)
        return failed(failure, EXIT_UNSAFE, err,
                      "%s: the volume's record of it is damaged; run 'chkdsk /f' in Windows",
                      s->spec);
    return failed(failure, EXIT_IO_ERROR, err, "%s: %s", s->spec, strerror(-err));
}

static int take_runs(struct map_source *s, const struct ntfs_reader *reader, struct ntfs_file *file,
                     struct failure *failure)
{
    const char *what, *cure;
    int err = ntfs_file_locate(reader, s->inside, file);

    if (err)
        return refuse_runs(s, err, failure);
    if (file->obstacles) {
        ntfs_obstacles_describe(file->obstacles, &what, &cure);
        return failed(failure, EXIT_INVALID_IMAGE, -EINVAL, "%s %s; %s", s->spec, what, cure);
    }
    s->file = file->map;
    file->map = (struct extent_map)EXTENT_MAP_INIT;
    s->file_size = file->size;
    s->run_count = file->run_count;
    return 0;
}

int map_read_ntfs(struct map_source *s, struct failure *failure)
{
    struct ntfs_file file = {.map = EXTENT_MAP_INIT};
    struct ntfs_reader reader;
    int err = ntfs_reader_open(&reader, s->fd);

    if (err)
        return refuse_volume(s, err, failure);
    if (!s->is_block) /* an image has the sectors of the disk it was made for */
        s->sector_size = reader.sector_size;
    err = judge_state(s, &reader, failure);
    if (!err)
        err = take_runs(s, &reader, &file, failure);
    ntfs_file_free(&file);
    ntfs_reader_close(&reader);
    return err;
}

#else

int map_read_ntfs(struct map_source *s, struct failure *failure)
{
    return failed(failure, EXIT_IO_ERROR, -EOPNOTSUPP,
                  "%s: this vhdxgen was built without libntfs-3g, which reads NTFS volumes; build "
                  "it with libntfs-3g (ntfs-3g-dev), or mount the volume with the kernel's ntfs3 "
                  "and name the file",
                  s->spec);
}

#endif
