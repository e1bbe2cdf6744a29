/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhdx/text.h"
#include "vhdxgen/cli.h"
#include "vhdxgen/info.h"

#include <inttypes.h>

static void print_size(const char *label, uint64_t bytes)
{
    char text[SIZE_TEXT_MAX];

    printf("%-22s%" PRIu64 " (%s)\n", label, bytes, format_size(bytes, text));
}

static void print_guid(const char *label, const struct guid *guid)
{
    char text[GUID_TEXT_MAX];

    printf("%-22s%s\n", label, guid_format(guid, text));
}

static void print_values(const struct vhdx_image *image)
{
    const struct vhdx_disk_values *v = &image->values;

    if (image->known & 1u << VHDX_VALUE_DISK_SIZE)
        print_size("virtual disk size:", v->disk_size);
    if (image->known & 1u << VHDX_VALUE_PARAMETERS)
        print_size("block size:", v->block_size);
    if (image->known & 1u << VHDX_VALUE_LOGICAL)
        printf("%-22s%" PRIu32 "\n", "logical sector:", v->logical_sector);
    if (image->known & 1u << VHDX_VALUE_PHYSICAL)
        printf("%-22s%" PRIu32 "\n", "physical sector:", v->physical_sector);
    if (image->known & 1u << VHDX_VALUE_DISK_ID)
        print_guid("virtual disk id:", &v->disk_id);
}

static void print_headers(const struct vhdx_image *image)
{
    for (int i = 0; i < 2; i++) {
        const struct vhdx_header *h = &image->headers[i];

        printf("\nheader %d at 0x%" PRIx64 ": %s%s\n", i + 1,
               (uint64_t)(i ? VHDX_HEADER_2_AT : VHDX_HEADER_1_AT),
               vhdx_copy_name(image->header_states[i]), image->current == i ? ", current" : "");
        if (image->header_states[i] != VHDX_COPY_VALID)
            continue;
        printf("  %-20s%" PRIu64 "\n", "sequence number:", h->sequence);
        print_guid("  file write guid:", &h->file_write);
        print_guid("  data write guid:", &h->data_write);
        print_guid("  log guid:", &h->log_guid);
        printf("  %-20s%u, log version %u\n", "version:", h->version, h->log_version);
        printf("  %-20s0x%" PRIx64 ", 0x%" PRIx32 " bytes\n", "log at:", h->log_offset,
               h->log_length);
    }
}

static void print_log(const struct vhdx_image *image)
{
    const struct vhdx_log *log = &image->log;

    printf("\nlog: %s\n", vhdx_log_state_name(image->log_state));
    if (log->active_count)
        printf("  to replay: %zu entries with %zu writes, sequence numbers %" PRIu64
               " (at 0x%" PRIx32 ") to %" PRIu64 " (at 0x%" PRIx32 ")\n",
               log->active_count, log->write_count, log->active[0].sequence, log->active[0].at,
               log->active[log->active_count - 1].sequence, log->active[log->active_count - 1].at);
    for (size_t i = 0; i < log->session_count && i < VHDX_SESSIONS_MAX; i++) {
        const struct vhdx_log_session *s = &log->sessions[i];
        char text[GUID_TEXT_MAX];

        printf("  session %s: %" PRIu64 " entries, sequence numbers %" PRIu64 " to %" PRIu64 "\n",
               guid_format(&s->guid, text), s->entries, s->first, s->last);
    }
    if (log->session_count > VHDX_SESSIONS_MAX)
        printf("  and entries of other sessions\n");
}

static void print_regions(const struct vhdx_image *image)
{
    printf("\nregion tables: %s (0x%" PRIx64 "), %s (0x%" PRIx64 ")\n",
           vhdx_copy_name(image->table_states[0]), (uint64_t)VHDX_REGIONS_1_AT,
           vhdx_copy_name(image->table_states[1]), (uint64_t)VHDX_REGIONS_2_AT);
    for (size_t i = 0; i < image->region_count; i++) {
        const struct vhdx_region *r = &image->regions[i];
        const char *name = vhdx_region_name(&r->guid);
        char text[GUID_TEXT_MAX];

        printf("  0x%010" PRIx64 "  0x%08" PRIx32 "  %s  %s%s\n", r->offset, r->length,
               guid_format(&r->guid, text), name ? name : "unknown",
               r->flags & VHDX_REGION_REQUIRED ? ", required" : "");
    }
}

static void print_items(const struct vhdx_image *image)
{
    printf("\nmetadata items:\n");
    for (size_t i = 0; i < image->item_count; i++) {
        const struct vhdx_item *m = &image->items[i];
        const char *name = vhdx_item_name(&m->guid);
        char text[GUID_TEXT_MAX];

        printf("  0x%08" PRIx32 "  %7" PRIu32 "  %s  %s%s%s%s\n", m->offset, m->length,
               guid_format(&m->guid, text), name ? name : "unknown",
               m->flags & VHDX_ITEM_USER ? ", user" : "",
               m->flags & VHDX_ITEM_VIRTUAL_DISK ? ", virtual disk" : "",
               m->flags & VHDX_ITEM_REQUIRED ? ", required" : "");
    }
    for (size_t i = 0; i < image->parent_count; i++)
        printf("  parent: %s = %s\n", image->parent[i].key, image->parent[i].value);
}

static void print_bat(const struct vhdx_bat_stats *s)
{
    printf("\nblock allocation table: %" PRIu64 " entries, %" PRIu64
           " payload blocks, chunk ratio %" PRIu64 "\n",
           s->entries, s->blocks, s->chunk_ratio);
    for (unsigned i = 0; i < 8; i++)
        if (s->states[i])
            printf("  %-20s%" PRIu64 "\n", vhdx_block_state_name(i), s->states[i]);
    if (s->bitmaps)
        printf("  %-20s%" PRIu64 "\n", "sector bitmaps", s->bitmaps);
    if (s->end)
        printf("  payload from 0x%" PRIx64 " to 0x%" PRIx64 "%s\n", s->first, s->end,
               s->in_order ? ", contiguous" : "");
}

int print_info_text(const char *path, const struct vhdx_image *image,
                    const struct vhdx_report *report)
{
    char creator[VHDX_TEXT_ROOM(sizeof(image->creator))];

    printf("%-22s%s\n", "file:", path);
    print_size("file size:", image->file_size);
    printf("%-22s%s\n", "kind:", vhdx_kind_name(image->kind));
    print_values(image);
    printf("%-22s%s\n", "creator:", vhdx_text(image->creator, sizeof(image->creator), creator));
    print_headers(image);
    print_log(image);
    print_regions(image);
    print_items(image);
    if (image->bat_read)
        print_bat(&image->stats);
    printf("\nfindings: %" PRIu64 " errors, %" PRIu64 " warnings; see vhdxgen check\n",
           vhdx_report_total(report, VHDX_ERROR), vhdx_report_total(report, VHDX_WARNING));
    return finish_output(EXIT_FINE);
}
