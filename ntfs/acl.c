/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ntfs/acl.h"

#include "common/bytes.h"
#include "common/units.h"

#include <string.h>

enum access {
    LIST = 0x1,
    DELETE_CHILD = 0x40,
    DELETE = 0x10000,
    ALL_ACCESS = 0x1f01ff,
};

enum ace_type {
    ALLOWED = 0,
    DENIED = 1,
};

enum ace_flags {
    INHERITED = 3, /* by files and directories below */
    NOT_PROPAGATED = 4,
};

enum control {
    DACL_PRESENT = 0x0004,
    DACL_PROTECTED = 0x1000, /* takes over nothing from above */
    SELF_RELATIVE = 0x8000,
};

static const uint8_t everyone[12] = {1, 1, 0, 0, 0, 0, 0, 1}; /* S-1-1-0 */
static const uint8_t nobody[12] = {1, 1};                     /* S-1-0-0 */
static const uint8_t administrators[] = {1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 32, 2, 0, 0};

struct ace {
    enum ace_type type;
    uint8_t flags;
    uint32_t mask;
    const uint8_t *sid; /* 12 bytes */
};

#define HEADER   20
#define ACL      8
#define ACE_SIZE (8 + sizeof(everyone))
_Static_assert(HEADER + 2 * sizeof(administrators) + ACL + 3 * ACE_SIZE <= NTFS_ACL_MAX, "room");

static void put_ace(uint8_t *at, const struct ace *ace)
{
    at[0] = (uint8_t)ace->type;
    at[1] = ace->flags;
    put_le16(at + 2, ACE_SIZE);
    put_le32(at + 4, ace->mask);
    memcpy(at + 8, ace->sid, sizeof(everyone));
}

static size_t describe(uint8_t *d, const struct ace *aces, uint16_t count)
{
    const uint32_t owner = HEADER, group = owner + sizeof(administrators);
    const uint32_t dacl = group + sizeof(administrators);
    const uint16_t size = (uint16_t)(ACL + count * ACE_SIZE);

    memset(d, 0, NTFS_ACL_MAX);
    d[0] = 1; /* revision */
    put_le16(d + 2, DACL_PRESENT | DACL_PROTECTED | SELF_RELATIVE);
    put_le32(d + 4, owner);
    put_le32(d + 8, group);
    put_le32(d + 16, dacl);
    memcpy(d + owner, administrators, sizeof(administrators));
    memcpy(d + group, administrators, sizeof(administrators));
    d[dacl] = 2; /* revision */
    put_le16(d + dacl + 2, size);
    put_le16(d + dacl + 4, count);
    for (uint16_t i = 0; i < count; i++)
        put_ace(d + dacl + ACL + i * ACE_SIZE, &aces[i]);
    return dacl + size;
}

/* In both: what is denied comes first, as Windows wants it. */
size_t ntfs_acl_file(uint8_t descriptor[NTFS_ACL_MAX])
{
    const struct ace aces[] = {{DENIED, 0, DELETE, everyone},
                               {ALLOWED, 0, ALL_ACCESS & ~(uint32_t)DELETE, everyone}};

    return describe(descriptor, aces, ARRAY_SIZE(aces));
}

size_t ntfs_acl_directory(uint8_t descriptor[NTFS_ACL_MAX])
{
    const struct ace aces[] = {{DENIED, 0, DELETE_CHILD, everyone},
                               {ALLOWED, INHERITED, ALL_ACCESS, everyone},
                               {ALLOWED, NOT_PROPAGATED, LIST, nobody}};

    return describe(descriptor, aces, ARRAY_SIZE(aces));
}
