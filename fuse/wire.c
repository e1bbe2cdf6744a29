/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuse/wire.h"

#include "common/units.h"

#include <linux/fuse.h>
#include <string.h>

#ifndef FOPEN_PARALLEL_DIRECT_WRITES
#define FOPEN_PARALLEL_DIRECT_WRITES (1 << 6)
#endif

_Static_assert(sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in) == WIRE_BEFORE_WRITE,
               "protocol");
_Static_assert(sizeof(struct fuse_out_header) == WIRE_BEFORE_REPLY, "protocol");
_Static_assert(sizeof(struct fuse_open_out) <= WIRE_PAYLOAD_MAX, "protocol");
_Static_assert(sizeof(struct fuse_write_out) <= WIRE_PAYLOAD_MAX, "protocol");

/* Memory of the message is aligned for the protocol's structures by those who made it; not here. */
#define TAKE(into, from, length, at)                                                               \
    ((length) >= (at) + sizeof(*(into)) &&                                                         \
     (memcpy((into), (const uint8_t *)(from) + (at), sizeof(*(into))), true))

#define BODY sizeof(struct fuse_in_header)

static enum wire_kind parse_read(const void *message, size_t length, uint32_t max,
                                 struct wire_request *r)
{
    struct fuse_read_in in;

    if (!TAKE(&in, message, length, BODY) || in.size > max)
        return WIRE_BROKEN;
    r->offset = in.offset;
    r->size = in.size;
    return WIRE_READ;
}

static enum wire_kind parse_write(const void *message, size_t length, uint32_t max,
                                  struct wire_request *r)
{
    struct fuse_write_in in;

    if (!TAKE(&in, message, length, BODY) || in.size > max ||
        length < WIRE_BEFORE_WRITE + (size_t)in.size)
        return WIRE_BROKEN;
    r->offset = in.offset;
    r->size = in.size;
    r->flags = in.flags;
    return WIRE_WRITE;
}

static enum wire_kind parse_open(const void *message, size_t length, struct wire_request *r)
{
    struct fuse_open_in in;

    if (!TAKE(&in, message, length, BODY))
        return WIRE_BROKEN;
    r->flags = in.flags;
    return WIRE_OPEN;
}

bool wire_parse(const void *message, size_t length, uint32_t max, struct wire_request *r)
{
    struct fuse_in_header head;

    if (!TAKE(&head, message, length, 0) || head.len != length)
        return false;
    *r = (struct wire_request){
        .kind = WIRE_OTHER, .unique = head.unique, .inode = head.nodeid, .opcode = head.opcode};
    switch (head.opcode) {
    case FUSE_READ:
        r->kind = parse_read(message, length, max, r);
        break;
    case FUSE_WRITE:
        r->kind = parse_write(message, length, max, r);
        break;
    case FUSE_OPEN:
        r->kind = parse_open(message, length, r);
        break;
    case FUSE_INTERRUPT: /* no request here can be cut short */
        r->kind = WIRE_IGNORE;
        break;
    case FUSE_INIT:
    case FUSE_GETATTR:
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
        r->kind = WIRE_SHORT;
        break;
    }
    return true;
}

#define NAME(opcode) [FUSE_##opcode] = #opcode

const char *wire_name(uint32_t opcode)
{
    static const char *const names[] = {
        NAME(LOOKUP),      NAME(FORGET),      NAME(GETATTR),  NAME(SETATTR),        NAME(READLINK),
        NAME(SYMLINK),     NAME(MKNOD),       NAME(MKDIR),    NAME(UNLINK),         NAME(RMDIR),
        NAME(RENAME),      NAME(LINK),        NAME(OPEN),     NAME(READ),           NAME(WRITE),
        NAME(STATFS),      NAME(RELEASE),     NAME(FSYNC),    NAME(SETXATTR),       NAME(GETXATTR),
        NAME(LISTXATTR),   NAME(REMOVEXATTR), NAME(FLUSH),    NAME(INIT),           NAME(OPENDIR),
        NAME(READDIR),     NAME(RELEASEDIR),  NAME(FSYNCDIR), NAME(GETLK),          NAME(SETLK),
        NAME(SETLKW),      NAME(ACCESS),      NAME(CREATE),   NAME(INTERRUPT),      NAME(BMAP),
        NAME(DESTROY),     NAME(IOCTL),       NAME(POLL),     NAME(BATCH_FORGET),   NAME(FALLOCATE),
        NAME(READDIRPLUS), NAME(RENAME2),     NAME(LSEEK),    NAME(COPY_FILE_RANGE)};

    return opcode < ARRAY_SIZE(names) && names[opcode] ? names[opcode] : "?";
}

void wire_put_reply(uint8_t head[WIRE_BEFORE_REPLY], uint64_t unique, int err, size_t length)
{
    struct fuse_out_header out = {
        .len = (uint32_t)(WIRE_BEFORE_REPLY + length), .error = err, .unique = unique};

    memcpy(head, &out, sizeof(out));
}

size_t wire_put_written(uint8_t payload[WIRE_PAYLOAD_MAX], size_t size)
{
    struct fuse_write_out out = {.size = (uint32_t)size};

    memcpy(payload, &out, sizeof(out));
    return sizeof(out);
}

size_t wire_put_opened(uint8_t payload[WIRE_PAYLOAD_MAX])
{
    struct fuse_open_out out = {.open_flags = FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES};

    memcpy(payload, &out, sizeof(out));
    return sizeof(out);
}
