/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Of "vhdxgen map": the VHDX in the file. What cannot be mapped safely is refused here. */
#include "vhdxgen/map_source.h"

#include "common/progress.h"
#include "common/units.h"
#include "vhdx/check.h"
#include "vhdx/map.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct first_error {
    char text[400];
};

static void keep_first_error(void *opaque, const struct vhdx_finding *f)
{
    struct first_error *first = opaque;
    const struct vhdx_rule_info *rule = &vhdx_rules[f->rule];

    if (rule->severity == VHDX_ERROR && !*first->text)
        snprintf(first->text, sizeof(first->text), "%s at 0x%" PRIx64 ": %s", rule->id, f->offset,
                 f->found);
}

static int check(const struct map_source *s, const struct vhdx_io *io, struct vhdx_image *image,
                 struct failure *failure)
{
    struct progress progress;
    struct vhdx_check_options options = {.progress = progress_show, .opaque = &progress};
    struct first_error first = {""};
    struct vhdx_report report = {.finding = keep_first_error, .opaque = &first, .limit = 1};
    uint64_t errors;
    int err;

    progress_begin(&progress, "checking", false);
    err = vhdx_check(io, &options, &report, image);
    progress_end(&progress);
    if (err)
        return failed(failure, EXIT_IO_ERROR, err, "%s: %s", s->spec, strerror(-err));
    if (!image->signature)
        return failed(failure, EXIT_INVALID_IMAGE, -EINVAL, "%s is not a VHDX file", s->spec);
    errors = vhdx_report_total(&report, VHDX_ERROR);
    if (!errors)
        return 0;
    return failed(failure, EXIT_INVALID_IMAGE, -EINVAL,
                  "%s is a damaged VHDX: %s%s; 'vhdxgen check' on the file, with its volume "
                  "mounted read-only, tells all",
                  s->spec, first.text, errors > 1 ? " (and more)" : "");
}

static bool has_parent(const struct vhdx_image *image)
{
    const struct guid locator = VHDX_ITEM_PARENT_LOCATOR;

    for (size_t i = 0; i < image->item_count; i++)
        if (guid_equal(&image->items[i].guid, &locator))
            return true;
    return false;
}

static int judge_kind(const struct map_source *s, const struct vhdx_image *image,
                      struct failure *failure)
{
    if (image->kind == VHDX_KIND_DIFFERENCING || has_parent(image))
        return failed(failure, EXIT_INVALID_IMAGE, -EINVAL,
                      "%s is a differencing VHDX or has a parent: a part of its data lies in "
                      "another file; merge the two in Windows (Merge-VHD), to a fixed file",
                      s->spec);
    if (image->kind != VHDX_KIND_FIXED)
        return failed(failure, EXIT_INVALID_IMAGE, -EINVAL,
                      "%s is a %s VHDX, whose blocks get their places as they are written; convert "
                      "it to a fixed one (in Windows: Convert-VHD -VHDType Fixed; here: qemu-img "
                      "convert to raw, then vhdxgen create --from)",
                      s->spec, vhdx_kind_name(image->kind));
    return 0;
}

static int judge_log(const struct map_source *s, const struct vhdx_image *image,
                     struct failure *failure)
{
    if (image->log_state != VHDX_LOG_DIRTY)
        return 0;
    return failed(failure, EXIT_UNSAFE, -EBUSY,
                  "%s was not closed by its last user: its log waits to be replayed. Attach and "
                  "detach it once in Windows (Mount-VHD, then Dismount-VHD; or start and "
                  "shut down the WSL or VM that uses it); or mount the volume here and run "
                  "'vhdxgen replay' on a copy first, then on the file",
                  s->spec);
}

static int judge_blocks(const struct map_source *s, const struct vhdx_image *image,
                        struct failure *failure)
{
    const struct vhdx_bat_stats *stats = &image->stats;

    for (unsigned state = 0; state < ARRAY_SIZE(stats->states); state++)
        if (state != VHDX_BLOCK_FULLY_PRESENT && stats->states[state])
            return failed(failure, EXIT_INVALID_IMAGE, -EINVAL,
                          "%s: %" PRIu64 " of its %" PRIu64 " blocks are %s instead of "
                          "fully-present, so what lies at their places does not count; write the "
                          "whole disk once (vhdxgen create --from makes such a file)",
                          s->spec, stats->states[state], stats->blocks,
                          vhdx_block_state_name(state));
    return 0;
}

static int judge_sectors(const struct map_source *s, const struct vhdx_image *image,
                         struct failure *failure)
{
    uint32_t sector = image->values.logical_sector;

    if (sector >= s->sector_size && image->values.disk_size % s->sector_size == 0)
        return 0;
    return failed(failure, EXIT_INVALID_IMAGE, -EINVAL,
                  "%s is a disk with sectors of %u bytes, and %s has sectors of %u: a smaller "
                  "write is impossible there; make a VHDX with the device's sectors (New-VHD "
                  "-LogicalSectorSizeBytes %u; vhdxgen create --logical-sector=%u)",
                  s->spec, sector, s->device, s->sector_size, s->sector_size, s->sector_size);
}

static int judge_image(const struct map_source *s, const struct vhdx_image *image,
                       struct failure *failure)
{
    int err = judge_kind(s, image, failure);

    if (!err)
        err = judge_log(s, image, failure);
    if (!err)
        err = judge_blocks(s, image, failure);
    if (!err)
        err = judge_sectors(s, image, failure);
    return err;
}

/* The file systems answer for this, but the device is what gets written. */
static int judge_places(const struct map_source *s, struct failure *failure)
{
    for (size_t i = 0; i < s->disk.count; i++) {
        const struct extent *e = &s->disk.extents[i];

        if (e->backing % s->sector_size || e->length % s->sector_size)
            return failed(failure, EXIT_INVALID_IMAGE, -EINVAL,
                          "%s: %" PRIu64 " bytes at %" PRIu64 " of %s are not whole sectors of %u",
                          s->spec, e->length, e->backing, s->device, s->sector_size);
        if (!range_inside(e->backing, e->length, s->device_size))
            return failed(failure, EXIT_INVALID_IMAGE, -ENXIO,
                          "%s: it reaches behind the end of %s; is the image or partition cut "
                          "off?",
                          s->spec, s->device);
    }
    return 0;
}

static int make_map(struct map_source *s, const struct vhdx_io *io, const struct vhdx_image *image,
                    struct failure *failure)
{
    uint64_t block;
    int err = vhdx_map_disk(io, image, &s->file, &s->disk, &block);

    if (err == -ENODATA)
        return failed(failure, EXIT_INVALID_IMAGE, err,
                      "%s: the file has a hole in block %" PRIu64
                      " of the disk; make a plain copy (cp --sparse=never) and map that",
                      s->spec, block);
    if (err == -EINVAL || err == -ERANGE)
        return failed(failure, EXIT_INVALID_IMAGE, err, "%s: block %" PRIu64 " cannot be mapped",
                      s->spec, block);
    if (err)
        return failed(failure, EXIT_IO_ERROR, err, "%s: %s", s->spec, strerror(-err));
    return judge_places(s, failure);
}

int map_read_vhdx(struct map_source *s, const struct vhdx_io *io, struct failure *failure)
{
    struct vhdx_image image = {0};
    int err = check(s, io, &image, failure);

    if (!err)
        err = judge_image(s, &image, failure);
    if (!err) {
        s->disk_id = image.values.disk_id;
        s->block_size = image.values.block_size;
        s->logical_sector = image.values.logical_sector;
        err = make_map(s, io, &image, failure);
    }
    vhdx_image_free(&image);
    return err;
}
