/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhdx/image.h"

#include <stdlib.h>

void vhdx_image_free(struct vhdx_image *image)
{
    for (size_t i = 0; i < image->parent_count; i++) {
        free(image->parent[i].key);
        free(image->parent[i].value);
    }
    free(image->parent);
    free(image->items);
    free(image->regions);
    vhdx_log_free(&image->log);
    *image = (struct vhdx_image){.current = -1, .table = -1};
}

struct named_guid {
    struct guid guid;
    const char *name;
};

static const char *find_name(const struct named_guid *names, size_t count, const struct guid *guid)
{
    for (size_t i = 0; i < count; i++)
        if (guid_equal(&names[i].guid, guid))
            return names[i].name;
    return NULL;
}

const char *vhdx_region_name(const struct guid *guid)
{
    static const struct named_guid names[] = {{VHDX_REGION_BAT, "BAT"},
                                              {VHDX_REGION_METADATA, "Metadata"}};

    return find_name(names, ARRAY_SIZE(names), guid);
}

const char *vhdx_item_name(const struct guid *guid)
{
    static const struct named_guid names[] = {
        {VHDX_ITEM_FILE_PARAMETERS, "FileParameters"},
        {VHDX_ITEM_DISK_SIZE, "VirtualDiskSize"},
        {VHDX_ITEM_LOGICAL_SECTOR, "LogicalSectorSize"},
        {VHDX_ITEM_PHYSICAL_SECTOR, "PhysicalSectorSize"},
        {VHDX_ITEM_DISK_ID, "VirtualDiskId"},
        {VHDX_ITEM_PARENT_LOCATOR, "ParentLocator"},
        {VHDX_ITEM_INCOMPLETE_FILE, "IncompleteFile"},
    };

    return find_name(names, ARRAY_SIZE(names), guid);
}

const char *vhdx_kind_name(enum vhdx_kind kind)
{
    static const char *const names[] = {"unknown", "fixed", "dynamic", "differencing"};

    return names[kind];
}

const char *vhdx_copy_name(enum vhdx_copy state)
{
    static const char *const names[] = {"unread", "valid", "bad signature", "bad checksum"};

    return names[state];
}

const char *vhdx_log_state_name(enum vhdx_log_state state)
{
    static const char *const names[] = {"unknown", "none", "clean", "dirty", "corrupt"};

    return names[state];
}

const char *vhdx_block_state_name(unsigned state)
{
    static const char *const names[] = {"not-present",   "undefined",        "zero",
                                        "unmapped",      "reserved-4",       "reserved-5",
                                        "fully-present", "partially-present"};

    return names[state & 7];
}
