/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <config.h>

#include "device/source.h"

#include "common/cleanup.h"
#include "common/units.h"
#include "device/holders.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#ifdef WITH_BLKID
#include <blkid/blkid.h>
#endif

/* The distinct devices found so far; more than a few are not needed to say "ambiguous". */
struct candidates {
    char *paths[4];
    size_t count;
};

static void candidates_free(struct candidates *c)
{
    for (size_t i = 0; i < c->count; i++)
        free(c->paths[i]);
}

static bool same_device(const char *a, const char *b)
{
    struct stat one, two;

    return !strcmp(a, b) || (stat(a, &one) == 0 && stat(b, &two) == 0 && same_object(&one, &two));
}

/* Adds PATH with its links resolved, unless it names a device that is there already. */
static int candidates_add(struct candidates *c, const char *path)
{
    cleanup_free char *real = realpath(path, NULL);

    if (!real)
        return -errno;
    for (size_t i = 0; i < c->count; i++)
        if (same_device(c->paths[i], real))
            return 0;
    if (c->count < ARRAY_SIZE(c->paths))
        c->paths[c->count++] = steal_pointer(&real);
    return 0;
}

static int choose(struct candidates *c, const char *spec, char **path, struct failure *failure)
{
    if (c->count == 0)
        return failed(failure, EXIT_USAGE, -ENODEV,
                      "%s: no such device or file; lsblk -f lists the devices there are", spec);
    if (c->count > 1)
        return failed(failure, EXIT_USAGE, -EEXIST,
                      "%s: ambiguous: it matches %s and %s%s; name one of them by its path", spec,
                      c->paths[0], c->paths[1], c->count > 2 ? " and others" : "");
    *path = steal_pointer(&c->paths[0]);
    return 0;
}

bool source_is_tag(const char *spec)
{
    static const char *const tags[] = {"UUID=", "LABEL=", "PARTUUID=", "PARTLABEL="};

    for (size_t i = 0; i < ARRAY_SIZE(tags); i++)
        if (!strncmp(spec, tags[i], strlen(tags[i])))
            return true;
    return false;
}

#ifdef WITH_BLKID
static bool split_tag(const char *spec, char **name, char **value)
{
    return source_is_tag(spec) && blkid_parse_tag_string(spec, name, value) == 0;
}

/*
 * Adds all devices with the tag. A device that another one is stacked on (a path of a
 * multipath device, a leg of a mirror) shows the same tag, but is not the one meant.
 */
static int find_tag(struct candidates *c, const char *name, const char *value)
{
    blkid_dev_iterate iterate;
    blkid_cache cache = NULL;
    blkid_dev device;
    int err = 0;

    if (blkid_get_cache(&cache, "/dev/null") < 0) /* no cache file: look at the devices */
        return -EIO;
    blkid_probe_all(cache);
    iterate = blkid_dev_iterate_begin(cache);
    blkid_dev_set_search(iterate, name, value);
    while (!err && blkid_dev_next(iterate, &device) == 0) {
        const char *found = blkid_dev_devname(device);
        struct stat st;

        if (stat(found, &st) == 0 && (!holders_stacked(st.st_rdev) || holders_mapped(st.st_rdev)))
            err = candidates_add(c, found);
    }
    blkid_dev_iterate_end(iterate);
    blkid_put_cache(cache);
    return err;
}
#else
static bool split_tag(const char *spec, char **name, char **value)
{
    *name = source_is_tag(spec) ? strndup(spec, strcspn(spec, "=")) : NULL;
    *value = NULL;
    return *name;
}

static int find_tag(struct candidates *c, const char *name, const char *value)
{
    (void)c, (void)name, (void)value;
    return -EOPNOTSUPP; /* built without libblkid: only paths */
}
#endif

static int find_pattern(struct candidates *c, const char *pattern)
{
    glob_t found = {0};
    int err = 0, status = glob(pattern, 0, NULL, &found);

    if (status == GLOB_NOSPACE)
        err = -ENOMEM;
    for (size_t i = 0; !err && status == 0 && i < found.gl_pathc; i++)
        err = candidates_add(c, found.gl_pathv[i]);
    globfree(&found);
    return err;
}

int source_resolve(const char *spec, char **path, struct failure *failure)
{
    __attribute__((cleanup(candidates_free))) struct candidates c = {0};
    char *name = NULL, *value = NULL;
    int err;

    if (split_tag(spec, &name, &value)) {
        err = find_tag(&c, name, value);
    } else {
        /* A path wins over a pattern: names may hold brackets. */
        err = candidates_add(&c, spec);
        if (err && err != -EACCES)
            err = find_pattern(&c, spec);
    }
    free(name);
    free(value);
    if (err == -EACCES)
        return failed(failure, EXIT_IO_ERROR, err, "%s: permission denied; run as root", spec);
    if (err == -EOPNOTSUPP)
        return failed(failure, EXIT_IO_ERROR, err,
                      "%s: built without libblkid, so name the device by its path", spec);
    if (err)
        return failed(failure, EXIT_IO_ERROR, err, "%s: cannot search for it: %s", spec,
                      strerror(-err));
    return choose(&c, spec, path, failure);
}

#ifdef WITH_BLKID
static void look_up_part_uuid(blkid_probe probe, char *text, size_t size)
{
    const char *value;

    blkid_probe_enable_superblocks(probe, 0);
    blkid_probe_enable_partitions(probe, 1);
    blkid_probe_set_partitions_flags(probe, BLKID_PARTS_ENTRY_DETAILS);
    if (blkid_do_safeprobe(probe) == 0 &&
        blkid_probe_lookup_value(probe, "PART_ENTRY_UUID", &value, NULL) == 0)
        snprintf(text, size, "%s", value);
}

void source_part_uuid(const char *path, char *text, size_t size)
{
    blkid_probe probe = blkid_new_probe_from_filename(path);

    *text = '\0';
    if (probe)
        look_up_part_uuid(probe, text, size);
    blkid_free_probe(probe);
}
#else
void source_part_uuid(const char *path, char *text, size_t size)
{
    (void)path, (void)size;
    *text = '\0';
}
#endif
