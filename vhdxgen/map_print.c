/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhdxgen/map_print.h"

#include "common/cleanup.h"
#include "common/units.h"
#include "device/source.h"
#include "vhdxgen/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define DM_INIT_TARGETS  256  /* drivers/md/dm-init.c: DM_MAX_TARGETS */
#define COMMAND_LINE_MAX 2048 /* of the whole command line, on x86 and arm64 */

static void print_lines(FILE *to, const struct map_source *s, const char *device,
                        const char *between)
{
    for (size_t i = 0; i < s->disk.count; i++) {
        const struct extent *e = &s->disk.extents[i];

        fprintf(to, "%s%" PRIu64 " %" PRIu64 " linear %s %" PRIu64, i ? between : "",
                e->offset / MAP_SECTOR, e->length / MAP_SECTOR, device, e->backing / MAP_SECTOR);
    }
}

/* Words in a table end at blanks, lines of a command line at commas and semicolons. */
static int check_device_name(const char *device, struct failure *failure)
{
    if (*device && !device[strcspn(device, " \t\n\\,;\"'")])
        return 0;
    return failed(failure, EXIT_USAGE, -EINVAL,
                  "\"%s\" has characters that a table cannot hold; give the device another name "
                  "with --device",
                  device);
}

static int print_dmsetup(const struct map_source *s, const char *device, struct failure *failure)
{
    int err = check_device_name(device, failure);

    if (err)
        return err;
    print_lines(stdout, s, device, "\n");
    putchar('\n');
    return 0;
}

static int print_losetup(const struct map_source *s, const char *device, bool read_only,
                         struct failure *failure)
{
    const struct extent *e = &s->disk.extents[0];

    if (s->disk.count != 1)
        return failed(failure, EXIT_INVALID_IMAGE, -EINVAL,
                      "%s lies in %zu pieces on the disk, and a loop device takes one; use "
                      "--format=dmsetup, or defragment the file in Windows (defrag; contig)",
                      s->spec, s->disk.count);
    printf("losetup --find --show --offset=%" PRIu64 " --sizelimit=%" PRIu64 "%s%s %s\n",
           e->backing, e->length, s->logical_sector > MAP_SECTOR ? " --sector-size=4096" : "",
           read_only ? " --read-only" : "", device);
    return 0;
}

/* Documentation/admin-guide/device-mapper/dm-init.rst: name,uuid,minor,flags,table[,table...] */
static int write_cmdline(const struct map_source *s, const char *device,
                         const struct map_output *output, char **text, size_t *length)
{
    char uuid[MAP_UUID_MAX];
    FILE *to = open_memstream(text, length);

    if (!to)
        return -ENOMEM;
    fprintf(to, "dm-mod.create=\"%s,%s,,%s,", output->name, map_uuid(s, uuid),
            output->read_only ? "ro" : "rw");
    print_lines(to, s, device, ",");
    fputc('"', to);
    return fclose(to) == 0 ? 0 : -ENOMEM;
}

static int print_cmdline(const struct map_source *s, const char *device,
                         const struct map_output *output, struct failure *failure)
{
    cleanup_free char *text = NULL;
    size_t length = 0;
    int err = check_device_name(device, failure);

    if (err)
        return err;
    err = write_cmdline(s, device, output, &text, &length);
    if (err)
        return failed(failure, EXIT_IO_ERROR, err, "%s: %s", s->spec, strerror(-err));
    if (s->disk.count > DM_INIT_TARGETS || length >= COMMAND_LINE_MAX)
        return failed(failure, EXIT_INVALID_IMAGE, -E2BIG,
                      "%s lies in %zu pieces on the disk: %zu bytes of command line, and the "
                      "kernel takes %d in all; map it from the initramfs with --activate, or "
                      "defragment the file in Windows",
                      s->spec, s->disk.count, length, COMMAND_LINE_MAX - 1);
    puts(text);
    return 0;
}

static json_object *list_extents(const struct map_source *s)
{
    json_object *list = json_object_new_array();

    for (size_t i = 0; i < s->disk.count; i++) {
        json_object *extent = json_object_new_object();

        add_number(extent, "offset", s->disk.extents[i].offset);
        add_number(extent, "length", s->disk.extents[i].length);
        add_number(extent, "device_offset", s->disk.extents[i].backing);
        json_object_array_add(list, extent);
    }
    return list;
}

static void print_as_json(const struct map_source *s, const char *device)
{
    json_object *top = json_object_new_object();
    char uuid[MAP_UUID_MAX];

    add_number(top, "schema", 1);
    add_text(top, "source", s->spec);
    add_text(top, "device", device);
    add_text(top, "path", s->inside);
    add_number(top, "device_size", s->device_size);
    add_number(top, "device_sector_size", s->sector_size);
    add_number(top, "file_size", s->file_size);
    add_number(top, "file_runs", s->run_count);
    add_number(top, "virtual_disk_size", extent_map_size(&s->disk));
    add_number(top, "block_size", s->block_size);
    add_number(top, "logical_sector_size", s->logical_sector);
    add_guid(top, "virtual_disk_id", &s->disk_id);
    add_text(top, "mapping_uuid", map_uuid(s, uuid));
    add_flag(top, "contiguous", s->disk.count == 1);
    json_object_object_add(top, "extents", list_extents(s));
    print_json(top);
}

int map_print(const struct map_source *s, enum map_format format, const struct map_output *output,
              struct failure *failure)
{
    const char *device = output->device ? output->device : s->device;
    char part_uuid[64], early_name[80];

    switch (format) {
    case MAP_DMSETUP:
        return print_dmsetup(s, device, failure);
    case MAP_LOSETUP:
        return print_losetup(s, device, output->read_only, failure);
    case MAP_CMDLINE:
        /* The kernel's own name for a partition does not depend on the order of disks. */
        source_part_uuid(s->device, part_uuid, sizeof(part_uuid));
        snprintf(early_name, sizeof(early_name), "PARTUUID=%s", part_uuid);
        if (!output->device && s->is_block && *part_uuid)
            device = early_name;
        return print_cmdline(s, device, output, failure);
    case MAP_JSON:
        print_as_json(s, device);
        return 0;
    }
    return -EINVAL;
}
