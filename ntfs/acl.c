/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ntfs/acl.h"

#include "common/bytes.h"

#include <string.h>

enum access {
    DELETE_CHILD = 0x40,
    DELETE = 0x10000,
    ALL_ACCESS = 0x1f01ff,
};

enum ace {
    ALLOWED = 0,
    DENIED = 1,
    INHERIT = 3, /* flag: by files and directories below */
};

enum control {
    DACL_PRESENT = 0x0004,
    DACL_PROTECTED = 0x1000, /* takes over nothing from above */
    SELF_RELATIVE = 0x8000,
};

static const uint8_t everyone[] = {1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}; /* S-1-1-0 */
static const uint8_t administrators[] = {1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 32, 2, 0, 0};
/* S-1-5-32-544 */

#define HEADER   20
#define ACL      8
#define ACE_SIZE (8 + sizeof(everyone))
_Static_assert(HEADER + 2 * sizeof(administrators) + ACL + 2 * ACE_SIZE == NTFS_ACL_SIZE, "size");

static uint8_t *put_ace(uint8_t *at, uint8_t type, uint8_t flags, uint32_t mask)
{
    at[0] = type;
    at[1] = flags;
    put_le16(at + 2, ACE_SIZE);
    put_le32(at + 4, mask);
    memcpy(at + 8, everyone, sizeof(everyone));
    return at + ACE_SIZE;
}

static void describe(uint8_t *d, uint32_t denied, uint32_t granted, uint8_t inherit)
{
    const uint32_t owner = HEADER, group = owner + sizeof(administrators);
    const uint32_t dacl = group + sizeof(administrators);
    uint8_t *next = d + dacl;

    memset(d, 0, NTFS_ACL_SIZE);
    d[0] = 1; /* revision */
    put_le16(d + 2, DACL_PRESENT | DACL_PROTECTED | SELF_RELATIVE);
    put_le32(d + 4, owner);
    put_le32(d + 8, group);
    put_le32(d + 16, dacl);
    memcpy(d + owner, administrators, sizeof(administrators));
    memcpy(d + group, administrators, sizeof(administrators));
    next[0] = 2; /* revision */
    put_le16(next + 2, ACL + 2 * ACE_SIZE);
    put_le16(next + 4, 2);
    /* What is denied comes first, as Windows wants it. */
    next = put_ace(next + ACL, DENIED, 0, denied);
    put_ace(next, ALLOWED, inherit, granted);
}

void ntfs_acl_file(uint8_t descriptor[NTFS_ACL_SIZE])
{
    describe(descriptor, DELETE, ALL_ACCESS & ~(uint32_t)DELETE, 0);
}

void ntfs_acl_directory(uint8_t descriptor[NTFS_ACL_SIZE])
{
    describe(descriptor, DELETE_CHILD, ALL_ACCESS, INHERIT);
}
