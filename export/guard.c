/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "export/guard.h"

#include "common/clock.h"
#include "common/log.h"
#include "export/firewall.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* A write that is not done yet. */
struct change {
    struct disk *disk;
    const uint8_t *data; /* NULL: zeros */
    uint64_t from, to;   /* bytes of the disk */
};

bool guard_concerns(const struct guard *guard, uint64_t offset, uint64_t length)
{
    uint64_t size = guard->layout->disk_size;

    if (guard->off || !length || size < UINT64_C(2) * FIREWALL_HEAD)
        return false;
    return offset < GUARD_REACH || size - offset - length < GUARD_REACH;
}

static bool touches(const struct change *c, uint64_t at, uint64_t size)
{
    return ranges_overlap(c->from, c->to - c->from, at, size);
}

/* Reads the bytes at AT of the disk, and lays the change over a copy of them. */
static int before_and_after(const struct change *c, uint64_t at, size_t size, uint8_t *before,
                            uint8_t *after)
{
    uint64_t from = c->from > at ? c->from : at, to = min_u64(c->to, at + size);
    int err = disk_read(c->disk, before, size, at);

    if (err)
        return err;
    memcpy(after, before, size);
    if (from >= to)
        return 0;
    if (c->data)
        memcpy(after + (from - at), c->data + (from - c->from), to - from);
    else
        memset(after + (from - at), 0, to - from);
    return 0;
}

/*
 * Zeros over descriptors. Only what is zeros is compared to what is there, so that ordinary
 * updates cost no read. 4 KiB at a time: what is written at once may hold other descriptors, too.
 */
static int judge_blanking(const struct change *c, const struct firewall_table *t, const char **what)
{
    uint64_t end = min_u64(c->to, min_u64(t->at + t->size, GUARD_REACH)), next;
    uint64_t unit = min_u64(t->block, 4096);
    uint8_t before[4096];
    int err = 0;

    for (uint64_t at = c->from > t->at ? c->from : t->at; !err && !*what && at < end; at = next) {
        next = min_u64(round_down(at, unit) + unit, end);
        if (c->data && !is_zero(c->data + (at - c->from), next - at))
            continue;
        err = disk_read(c->disk, before, next - at, at);
        if (!err)
            *what = firewall_judge_blanking(before, next - at);
    }
    return err;
}

static int judge_table(const struct change *c, const struct firewall_table *t, uint64_t disk_size,
                       const char **what)
{
    uint8_t before[FIREWALL_DESCRIPTOR], after[FIREWALL_DESCRIPTOR];

    if (touches(c, t->at, FIREWALL_DESCRIPTOR)) {
        int err = before_and_after(c, t->at, FIREWALL_DESCRIPTOR, before, after);

        if (err)
            return err;
        *what = firewall_judge_descriptor(before, after, disk_size / t->block);
    }
    return *what ? 0 : judge_blanking(c, t, what);
}

static int judge_entry(const struct change *c, uint64_t at, const struct vhdx_layout *layout,
                       const char **what)
{
    uint8_t before[FIREWALL_ENTRY], after[FIREWALL_ENTRY];
    int err;

    if (!touches(c, at, FIREWALL_ENTRY))
        return 0;
    err = before_and_after(c, at, FIREWALL_ENTRY, before, after);
    if (!err)
        *what = firewall_judge_entry(before, after, layout->disk_size / layout->logical_sector);
    return err;
}

static int judge_head(const struct change *c, const struct vhdx_layout *layout, const char **what)
{
    uint8_t before[FIREWALL_HEAD], after[FIREWALL_HEAD];
    uint64_t entries = UINT64_C(2) * layout->logical_sector;
    struct firewall_table table;
    int err = before_and_after(c, 0, FIREWALL_HEAD, before, after);

    if (err || !firewall_is_ext(before))
        return err;
    if (c->from < FIREWALL_HEAD)
        *what = firewall_judge_head(before, after, c->from, min_u64(c->to, FIREWALL_HEAD),
                                    layout->logical_sector);
    if (!*what && firewall_table(before, &table) &&
        range_inside(table.at, table.block, layout->disk_size))
        err = judge_table(c, &table, layout->disk_size, what);
    /* Below that they would lie in the superblock, which has its rule. */
    if (!err && !*what && entries >= FIREWALL_HEAD)
        err = judge_entry(c, entries, layout, what);
    return err;
}

static int judge_tail(const struct change *c, const struct vhdx_layout *layout, const char **what)
{
    uint32_t sector = layout->logical_sector;
    uint64_t last = layout->disk_size - sector;
    uint8_t before[4096], after[4096];
    int err = 0;

    if (last > FIREWALL_ENTRIES)
        err = judge_entry(c, last - FIREWALL_ENTRIES, layout, what);
    if (err || *what || c->to <= last)
        return err;
    err = before_and_after(c, last, sector, before, after);
    if (!err)
        *what = firewall_judge_tail(after, last / sector);
    return err;
}

static uint64_t now(void)
{
    return monotonic_ns() / 1000000;
}

static int refuse(struct guard *g, const struct change *c, const char *what)
{
    g->until = g->latch ? now() + g->latch : 0;
    g->told = false;
    log_error("refused a write of %" PRIu64 " bytes at byte %" PRIu64
              " of the disk: it would %s; whoever means it mounts with -o nofirewall",
              c->to - c->from, c->from, what);
    return -EIO;
}

static int refuse_more(struct guard *g, const struct change *c)
{
    g->until = now() + g->latch;
    if (!g->told)
        log_error("refused %" PRIu64 " bytes at byte %" PRIu64
                  " as well, right after the write that was refused: the first and the last MiB of "
                  "the disk cannot be written until nothing has tried to for %u s",
                  c->to - c->from, c->from, (g->latch + 999) / 1000);
    g->told = true;
    return -EIO;
}

int guard_judge(struct guard *g, const uint8_t *data, uint64_t offset, uint64_t length)
{
    const struct change c = {.disk = g->disk, .data = data, .from = offset, .to = offset + length};
    const char *what = NULL;
    int err = 0;

    if (!guard_concerns(g, offset, length))
        return 0;
    if (g->until && now() < g->until)
        return refuse_more(g, &c);
    if (offset < GUARD_REACH)
        err = judge_head(&c, g->layout, &what);
    if (!err && !what)
        err = judge_tail(&c, g->layout, &what);
    return what ? refuse(g, &c, what) : err;
}
