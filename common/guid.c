/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/guid.h"

#include <errno.h>
#include <string.h>
#include <uuid/uuid.h>

/* The namespace for identities that are no UUIDs. Never change it: identities hang on it. */
static const uuid_t project_namespace = {0x0c, 0x2f, 0x7a, 0x1e, 0x93, 0x5d, 0x4b, 0x06,
                                         0xa8, 0x41, 0x6e, 0xd1, 0x55, 0x0b, 0x9c, 0x37};

/* The one swap between RFC 4122's order and Microsoft's; it is its own inverse. */
static void swap_order(const uint8_t from[16], uint8_t to[16])
{
    static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

    for (int i = 0; i < 16; i++)
        to[i] = from[order[i]];
}

bool guid_equal(const struct guid *a, const struct guid *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

bool guid_is_null(const struct guid *guid)
{
    static const struct guid null;

    return guid_equal(guid, &null);
}

const char *guid_format(const struct guid *guid, char text[GUID_TEXT_MAX])
{
    uuid_t uuid;

    swap_order(guid->b, uuid);
    uuid_unparse_lower(uuid, text);
    return text;
}

int guid_parse(const char *text, struct guid *guid)
{
    uuid_t uuid;

    if (uuid_parse(text, uuid) != 0)
        return -EINVAL;
    swap_order(uuid, guid->b);
    return 0;
}

struct guid guid_random(void)
{
    struct guid guid;
    uuid_t uuid;

    uuid_generate_random(uuid);
    swap_order(uuid, guid.b);
    return guid;
}

struct guid guid_derive(const char *identity, const char *name)
{
    struct guid guid;
    uuid_t ns, uuid;

    if (uuid_parse(identity, ns) != 0)
        uuid_generate_sha1(ns, project_namespace, identity, strlen(identity));
    uuid_generate_sha1(uuid, ns, name, strlen(name));
    swap_order(uuid, guid.b);
    return guid;
}
