/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The block allocation table (2.5): up to 67 million entries, read in pieces. Each entry
 * is judged on its own in the first pass. Collisions between blocks are found with a
 * bitmap of the file's MiBs; for files longer than VHDX_CHECK_WINDOW that takes a pass
 * over the table for each window with blocks in it.
 */
#include "vhdx/judge.h"

#include "common/bytes.h"
#include "common/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE       MIB                                           /* of the table, read at once */
#define WINDOWS     ((UINT64_C(1) << 63) / VHDX_CHECK_WINDOW + 8) /* at most */
#define NAMED_PAIRS 16 /* collisions for which the other block is looked up */

struct range {
    uint64_t offset, length;
};

struct bat {
    struct check *c;
    uint64_t at;      /* of the table in the file */
    uint64_t entries; /* that mean something */
    uint64_t group;   /* chunk ratio + 1: payload entries, then a bitmap entry */
    uint64_t block_size;
    struct range *structures; /* regions and log, in order of offset */
    size_t structure_count;
    uint64_t partial;  /* 1 + entry of a partially present block of this chunk, or 0 */
    uint64_t expected; /* where the next block lies if all are in order */
    uint64_t passes;   /* expected in all */
    uint64_t pass;
    uint8_t *bitmap;           /* one bit for each MiB of the window */
    uint64_t window;           /* its number */
    uint8_t used[WINDOWS / 8]; /* windows that hold blocks */
    unsigned named;
    uint8_t *piece;
};

static bool is_bitmap_entry(const struct bat *b, uint64_t index)
{
    return index % b->group == b->group - 1;
}

static uint64_t place(const struct bat *b, uint64_t index)
{
    return b->at + 8 * index;
}

/* "payload block 17" or "sector bitmap 2", for entry INDEX. */
static const char *name_entry(const struct bat *b, uint64_t index, char name[48])
{
    if (is_bitmap_entry(b, index))
        snprintf(name, 48, "sector bitmap %" PRIu64, index / b->group);
    else
        snprintf(name, 48, "payload block %" PRIu64, index - index / b->group);
    return name;
}

/*
 * The bytes of the file that an entry takes, 0 for none. Blocks whose content is
 * undefined or unmapped keep the space that they name (2.5.1.1).
 */
static uint64_t reserved_length(const struct bat *b, uint64_t index, uint64_t entry)
{
    unsigned state = entry & VHDX_BAT_STATE_MASK;

    if (is_bitmap_entry(b, index))
        return state == VHDX_BLOCK_FULLY_PRESENT ? VHDX_ALIGNMENT : 0;
    switch (state) {
    case VHDX_BLOCK_FULLY_PRESENT:
    case VHDX_BLOCK_PARTIALLY_PRESENT:
        return b->block_size;
    case VHDX_BLOCK_UNDEFINED:
    case VHDX_BLOCK_UNMAPPED:
        return entry & VHDX_BAT_OFFSET_MASK ? b->block_size : 0;
    default:
        return 0;
    }
}

/* The first structure that [OFFSET, OFFSET + LENGTH) touches, or NULL. */
static const struct range *hit_structure(const struct bat *b, uint64_t offset, uint64_t length)
{
    /* Few: two regions and the log, as a rule; and ordered, so the rest can be skipped. */
    for (size_t i = 0; i < b->structure_count && b->structures[i].offset < offset + length; i++)
        if (ranges_overlap(b->structures[i].offset, b->structures[i].length, offset, length))
            return &b->structures[i];
    return NULL;
}

static void judge_place(struct bat *b, uint64_t index, uint64_t entry, uint64_t length)
{
    struct check *c = b->c;
    uint64_t offset = entry & VHDX_BAT_OFFSET_MASK, at = place(b, index);
    const struct range *structure;
    char name[48];

    if (offset < VHDX_HEADER_SECTION) {
        REPORT(c, BAT_LOW, at, "%s lies at 0x%" PRIx64, name_entry(b, index, name), offset);
        return;
    }
    if (!range_inside(offset, length, c->view.io.size)) {
        REPORT(c, BAT_OUTSIDE, at, "%s lies at 0x%" PRIx64 " of a file of 0x%" PRIx64,
               name_entry(b, index, name), offset, c->view.io.size);
        return;
    }
    structure = hit_structure(b, offset, length);
    if (structure)
        REPORT(c, BAT_STRUCTURE, at, "%s at 0x%" PRIx64 " overlaps what lies at 0x%" PRIx64,
               name_entry(b, index, name), offset, structure->offset);
    if (!is_bitmap_entry(b, index) && vhdx_view_written(&c->view, offset, length))
        REPORT(c, LOG_TARGET_PAYLOAD, offset, "the log writes into %s", name_entry(b, index, name));
    for (uint64_t w = offset / VHDX_CHECK_WINDOW; w <= (offset + length - 1) / VHDX_CHECK_WINDOW;
         w++)
        b->used[w / 8] |= (uint8_t)(1u << w % 8);
}

static void count_payload(struct bat *b, unsigned state, uint64_t offset)
{
    struct vhdx_bat_stats *stats = &b->c->image->stats;

    stats->states[state]++;
    if (state != VHDX_BLOCK_FULLY_PRESENT && state != VHDX_BLOCK_PARTIALLY_PRESENT)
        return;
    if (stats->end == 0 || offset < stats->first)
        stats->first = offset;
    if (stats->end && offset != b->expected)
        stats->in_order = false;
    b->expected = offset + b->block_size;
    if (b->expected > stats->end)
        stats->end = b->expected;
}

static void judge_payload(struct bat *b, uint64_t index, uint64_t entry)
{
    struct check *c = b->c;
    enum vhdx_kind kind = c->image->kind;
    unsigned state = entry & VHDX_BAT_STATE_MASK;
    char name[48];

    if (state == 4 || state == 5)
        REPORT(c, BAT_STATE, place(b, index), "the state of %s is %u", name_entry(b, index, name),
               state);
    else if (state == VHDX_BLOCK_PARTIALLY_PRESENT && kind != VHDX_KIND_DIFFERENCING)
        REPORT(c, BAT_PARTIAL, place(b, index), "%s of a %s file is partially present",
               name_entry(b, index, name), vhdx_kind_name(kind));
    else if (kind == VHDX_KIND_FIXED && state != VHDX_BLOCK_FULLY_PRESENT &&
             !(entry & VHDX_BAT_OFFSET_MASK))
        REPORT(c, BAT_UNALLOCATED, place(b, index), "%s is %s and has no place",
               name_entry(b, index, name), vhdx_block_state_name(state));
    if (state == VHDX_BLOCK_PARTIALLY_PRESENT)
        b->partial = index + 1;
    count_payload(b, state, entry & VHDX_BAT_OFFSET_MASK);
}

static void judge_bitmap(struct bat *b, uint64_t index, uint64_t entry)
{
    struct check *c = b->c;
    unsigned state = entry & VHDX_BAT_STATE_MASK;
    uint64_t chunk = index / b->group;

    if (c->image->kind == VHDX_KIND_FIXED && entry)
        REPORT(c, BAT_BITMAP, place(b, index), "the entry of chunk %" PRIu64 " is 0x%" PRIx64,
               chunk, entry);
    else if (state != VHDX_BLOCK_NOT_PRESENT && state != VHDX_BLOCK_FULLY_PRESENT)
        REPORT(c, BAT_BITMAP_STATE, place(b, index), "the state of chunk %" PRIu64 " is %u", chunk,
               state);
    else if (c->image->kind == VHDX_KIND_DYNAMIC && state)
        REPORT(c, BAT_BITMAP_DYNAMIC, place(b, index), "the bitmap of chunk %" PRIu64 " is present",
               chunk);
    if (c->image->kind == VHDX_KIND_DIFFERENCING && b->partial && state != VHDX_BLOCK_FULLY_PRESENT)
        REPORT(c, BAT_BITMAP_ABSENT, place(b, index),
               "chunk %" PRIu64 " has entry %" PRIu64 " partially present", chunk, b->partial - 1);
    b->partial = 0;
    c->image->stats.bitmaps += state == VHDX_BLOCK_FULLY_PRESENT;
}

static void judge_entry(struct bat *b, uint64_t index, uint64_t entry)
{
    uint64_t length = reserved_length(b, index, entry);

    if (entry & VHDX_BAT_RESERVED_MASK)
        REPORT(b->c, BAT_RESERVED, place(b, index), "entry %" PRIu64 " is 0x%" PRIx64, index,
               entry);
    if (is_bitmap_entry(b, index))
        judge_bitmap(b, index, entry);
    else
        judge_payload(b, index, entry);
    if (length)
        judge_place(b, index, entry, length);
}

typedef int entry_visitor(struct bat *b, uint64_t index, uint64_t entry);

static int report_progress(struct bat *b, uint64_t index)
{
    const struct check *c = b->c;

    if (c->progress && c->progress(c->opaque, b->pass * b->entries + index, b->passes * b->entries))
        return -ECANCELED;
    return 0;
}

/* Visits the entries until one visit is not 0; returns that, or -errno of reading. */
static int for_each_entry(struct bat *b, entry_visitor *visit)
{
    for (uint64_t index = 0; index < b->entries;) {
        uint64_t n = min_u64(PIECE / 8, b->entries - index);
        int err = vhdx_read(&b->c->view.io, b->piece, (size_t)(8 * n), place(b, index));

        if (!err)
            err = report_progress(b, index);
        for (uint64_t i = 0; i < n && !err; i++, index++)
            err = visit(b, index, get_le64(b->piece + 8 * i));
        if (err)
            return err;
    }
    return 0;
}

static int visit_judge(struct bat *b, uint64_t index, uint64_t entry)
{
    judge_entry(b, index, entry);
    return 0;
}

/* Whether an entry was found good enough in the first pass to have a place in the bitmap. */
static bool is_placed(const struct bat *b, uint64_t offset, uint64_t length)
{
    return length && offset >= VHDX_HEADER_SECTION &&
           range_inside(offset, length, b->c->view.io.size);
}

/* The first entry before LIMIT that overlaps [OFFSET, OFFSET + LENGTH), or LIMIT. */
static int find_partner(struct bat *b, uint64_t limit, struct range block, uint64_t *partner)
{
    cleanup_free uint8_t *piece = malloc(PIECE);

    if (!piece)
        return -ENOMEM;
    for (*partner = 0; *partner < limit;) {
        uint64_t n = min_u64(PIECE / 8, limit - *partner);
        int err = vhdx_read(&b->c->view.io, piece, (size_t)(8 * n), place(b, *partner));

        if (err)
            return err;
        for (uint64_t i = 0; i < n; i++, (*partner)++) {
            uint64_t entry = get_le64(piece + 8 * i), offset = entry & VHDX_BAT_OFFSET_MASK;
            uint64_t length = reserved_length(b, *partner, entry);

            if (is_placed(b, offset, length) &&
                ranges_overlap(offset, length, block.offset, block.length))
                return 0;
        }
    }
    return 0;
}

static int report_collision(struct bat *b, uint64_t index, struct range block)
{
    char name[48], other[48];
    uint64_t partner = index;
    int err = b->named++ < NAMED_PAIRS ? find_partner(b, index, block, &partner) : 0;

    if (err)
        return err;
    name_entry(b, index, name);
    if (partner < index)
        REPORT(b->c, BAT_COLLISION, place(b, index), "%s at 0x%" PRIx64 " overlaps %s", name,
               block.offset, name_entry(b, partner, other));
    else
        REPORT(b->c, BAT_COLLISION, place(b, index), "%s at 0x%" PRIx64 " overlaps another", name,
               block.offset);
    return 0;
}

/* Sets the bits of what the entry takes of this window; a bit that was set is a collision. */
static int visit_mark(struct bat *b, uint64_t index, uint64_t entry)
{
    const uint64_t slots = VHDX_CHECK_WINDOW / VHDX_ALIGNMENT;
    struct range block = {entry & VHDX_BAT_OFFSET_MASK, reserved_length(b, index, entry)};
    uint64_t slot, end, base = b->window * slots;
    bool collides = false;

    if (!is_placed(b, block.offset, block.length))
        return 0;
    slot = block.offset / VHDX_ALIGNMENT;
    end = min_u64(slot + block.length / VHDX_ALIGNMENT, base + slots);
    for (slot = slot > base ? slot : base; slot < end; slot++) {
        uint8_t bit = (uint8_t)(1u << slot % 8), *byte = &b->bitmap[(slot - base) / 8];

        collides |= (*byte & bit) != 0;
        *byte |= bit;
    }
    return collides ? report_collision(b, index, block) : 0;
}

static int find_collisions(struct bat *b)
{
    uint64_t slots = min_u64(b->c->view.io.size, VHDX_CHECK_WINDOW) / VHDX_ALIGNMENT;
    uint64_t windows = b->c->view.io.size / VHDX_CHECK_WINDOW + 1;
    int err = 0;

    for (uint64_t w = 0; w < windows; w++)
        b->passes += b->used[w / 8] >> w % 8 & 1;
    for (b->window = 0; b->window < windows && !err; b->window++) {
        if (!(b->used[b->window / 8] >> b->window % 8 & 1))
            continue;
        /* calloc() of this size takes memory only as bits are set. */
        free(b->bitmap);
        b->bitmap = calloc((size_t)(slots / 8 + 1), 1);
        if (!b->bitmap)
            return -ENOMEM;
        b->pass++;
        err = for_each_entry(b, visit_mark);
    }
    return err;
}

static int compare_offsets(const void *a, const void *b)
{
    const struct range *left = a, *right = b;

    return left->offset < right->offset ? -1 : left->offset > right->offset;
}

static int list_structures(struct bat *b)
{
    const struct vhdx_image *image = b->c->image;
    const struct vhdx_header *h = image->current < 0 ? NULL : &image->headers[image->current];

    b->structures = calloc(image->region_count + 1, sizeof(*b->structures));
    if (!b->structures)
        return -ENOMEM;
    for (size_t i = 0; i < image->region_count; i++)
        if (image->regions[i].usable)
            b->structures[b->structure_count++] =
                (struct range){image->regions[i].offset, image->regions[i].length};
    if (h && h->log_length && range_inside(h->log_offset, h->log_length, b->c->io->size))
        b->structures[b->structure_count++] = (struct range){h->log_offset, h->log_length};
    qsort(b->structures, b->structure_count, sizeof(*b->structures), compare_offsets);
    return 0;
}

/* The numbers of 2.5; false when the metadata does not say enough. */
static bool compute_geometry(struct bat *b)
{
    const unsigned needed =
        1u << VHDX_VALUE_PARAMETERS | 1u << VHDX_VALUE_DISK_SIZE | 1u << VHDX_VALUE_LOGICAL;
    struct vhdx_image *image = b->c->image;
    struct vhdx_bat_stats *s = &image->stats;
    const struct vhdx_disk_values *v = &image->values;

    if (!image->bat || !image->bat->usable || (image->known & needed) != needed)
        return false;
    s->blocks = (v->disk_size + v->block_size - 1) / v->block_size;
    s->chunk_ratio = VHDX_SECTORS_A_CHUNK * v->logical_sector / v->block_size;
    if (image->kind == VHDX_KIND_DIFFERENCING)
        s->entries = (s->blocks + s->chunk_ratio - 1) / s->chunk_ratio * (s->chunk_ratio + 1);
    else
        s->entries = s->blocks + (s->blocks - 1) / s->chunk_ratio;
    s->in_order = true;
    b->at = image->bat->offset;
    b->group = s->chunk_ratio + 1;
    b->block_size = v->block_size;
    b->passes = 1;
    return true;
}

static int walk(struct bat *b)
{
    struct vhdx_image *image = b->c->image;
    int err = list_structures(b);

    b->piece = malloc(PIECE);
    if (err || !b->piece)
        return -ENOMEM;
    b->entries = min_u64(image->stats.entries, image->bat->length / 8);
    err = for_each_entry(b, visit_judge);
    if (err)
        return err;
    image->bat_read = true;
    return find_collisions(b);
}

int check_bat(struct check *c)
{
    struct bat *b = calloc(1, sizeof(*b));
    int err = 0;

    if (!b)
        return -ENOMEM;
    b->c = c;
    if (c->image->bat && c->image->bat->length > VHDX_MAX_BAT_SIZE)
        REPORT(c, BAT_HUGE, c->image->bat->offset, "the BAT region is 0x%" PRIx32 " long",
               c->image->bat->length);
    if (compute_geometry(b)) {
        if (c->image->bat->length / 8 < c->image->stats.entries)
            REPORT(c, BAT_SMALL, c->image->bat->offset,
                   "0x%" PRIx32 " bytes for %" PRIu64 " entries", c->image->bat->length,
                   c->image->stats.entries);
        err = walk(b);
    }
    free(b->structures);
    free(b->bitmap);
    free(b->piece);
    free(b);
    return err;
}
