/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parent locator of a differencing file (2.6.2.6). The parent itself is not looked at. */
#include "vhdx/judge.h"

#include "common/bytes.h"
#include "common/cleanup.h"
#include "vhdx/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static char *take_text(const uint8_t *in, size_t bytes)
{
    char *out = malloc(VHDX_TEXT_ROOM(bytes));

    return out ? vhdx_text(in, bytes, out) : NULL;
}

/* Takes entry I over. 0 (the entry may be bad, and is reported then) or -ENOMEM. */
static int take_entry(struct check *c, const uint8_t *item, uint32_t length, uint64_t at,
                      unsigned i)
{
    const struct vhdx_disk_parent_entry *disk =
        (const void *)(item + sizeof(struct vhdx_disk_parent_locator));
    struct vhdx_parent_entry *out = &c->image->parent[c->image->parent_count];
    uint32_t key, value;
    uint16_t key_length, value_length;

    disk += i;
    key = get_le32(disk->key_offset);
    value = get_le32(disk->value_offset);
    key_length = get_le16(disk->key_length);
    value_length = get_le16(disk->value_length);
    if (!key || !value || !key_length || !value_length || !range_inside(key, key_length, length) ||
        !range_inside(value, value_length, length)) {
        REPORT(c, PAR_MALFORMED, at + (uint64_t)((const uint8_t *)disk - item),
               "entry %u: key 0x%x bytes at 0x%" PRIx32 ", value 0x%x bytes at 0x%" PRIx32
               " of 0x%" PRIx32,
               i, key_length, key, value_length, value, length);
        return 0;
    }
    out->key = take_text(item + key, key_length);
    out->value = take_text(item + value, value_length);
    c->image->parent_count++;
    return out->key && out->value ? 0 : -ENOMEM;
}

static const char *find_value(const struct vhdx_image *image, const char *key)
{
    for (size_t i = 0; i < image->parent_count; i++)
        if (strcmp(image->parent[i].key, key) == 0)
            return image->parent[i].value;
    return NULL;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(((const struct vhdx_parent_entry *)a)->key,
                  ((const struct vhdx_parent_entry *)b)->key);
}

/* Sorts by key: twins become neighbours, and the order in the file means nothing. */
static void judge_keys(struct check *c, uint64_t at)
{
    struct vhdx_image *image = c->image;

    if (image->parent_count)
        qsort(image->parent, image->parent_count, sizeof(*image->parent), compare_keys);
    for (size_t i = 1; i < image->parent_count; i++)
        if (strcmp(image->parent[i - 1].key, image->parent[i].key) == 0)
            REPORT(c, PAR_DUPLICATE, at, "\"%.100s\" is there twice", image->parent[i].key);
}

/* With or without braces, as Windows writes it. */
static bool is_guid_text(const char *text)
{
    char inner[GUID_TEXT_MAX];
    struct guid guid;
    size_t length = strlen(text);

    if (length == 38 && text[0] == '{' && text[37] == '}')
        text++, length -= 2;
    if (length != sizeof(inner) - 1)
        return false;
    memcpy(inner, text, length);
    inner[length] = 0;
    return guid_parse(inner, &guid) == 0;
}

static void judge_values(struct check *c, uint64_t at)
{
    const char *linkage = find_value(c->image, "parent_linkage");

    if (!linkage)
        REPORT(c, PAR_LINKAGE, at, "parent_linkage is missing");
    else if (!is_guid_text(linkage))
        REPORT(c, PAR_LINKAGE, at, "parent_linkage is \"%.100s\"", linkage);
    if (!find_value(c->image, "relative_path") && !find_value(c->image, "volume_path") &&
        !find_value(c->image, "absolute_win32_path"))
        REPORT(c, PAR_PATH, at, "no path is there");
}

static int judge_locator(struct check *c, const uint8_t *item, uint32_t length, uint64_t at)
{
    static const struct guid type = VHDX_PARENT_LOCATOR_TYPE;
    const struct vhdx_disk_parent_locator *head = (const void *)item;
    unsigned count = get_le16(head->key_value_count);
    char text[GUID_TEXT_MAX];
    int err = 0;

    if (!guid_equal(&head->locator_type, &type)) {
        REPORT(c, PAR_TYPE, at, "LocatorType is %s", guid_format(&head->locator_type, text));
        return 0;
    }
    if (get_le16(head->reserved))
        REPORT(c, PAR_MALFORMED, at + 16, "Reserved is 0x%x", get_le16(head->reserved));
    if (sizeof(*head) + count * sizeof(struct vhdx_disk_parent_entry) > length) {
        REPORT(c, PAR_MALFORMED, at + 18, "%u entries do not fit into 0x%" PRIx32 " bytes", count,
               length);
        return 0;
    }
    c->image->parent = calloc(count + 1u, sizeof(*c->image->parent));
    if (!c->image->parent)
        return -ENOMEM;
    for (unsigned i = 0; i < count && !err; i++)
        err = take_entry(c, item, length, at, i);
    if (err)
        return err;
    judge_keys(c, at);
    judge_values(c, at);
    return 0;
}

int check_parent(struct check *c, const struct vhdx_item *locator)
{
    cleanup_free uint8_t *item = malloc(locator->length);
    uint64_t at = c->image->metadata->offset + locator->offset;
    int err;

    if (!item)
        return -ENOMEM;
    err = vhdx_read(&c->view.io, item, locator->length, at);
    if (err)
        return err;
    if (locator->length < sizeof(struct vhdx_disk_parent_locator)) {
        REPORT(c, PAR_MALFORMED, at, "the item has %" PRIu32 " bytes", locator->length);
        return 0;
    }
    return judge_locator(c, item, locator->length, at);
}
