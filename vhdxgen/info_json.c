/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhdx/text.h"
#include "vhdxgen/cli.h"
#include "vhdxgen/info.h"

static json_object *headers_json(const struct vhdx_image *image)
{
    json_object *list = json_object_new_array();

    for (int i = 0; i < 2; i++) {
        const struct vhdx_header *h = &image->headers[i];
        json_object *header = json_object_new_object();

        add_number(header, "offset", i ? VHDX_HEADER_2_AT : VHDX_HEADER_1_AT);
        add_text(header, "state", vhdx_copy_name(image->header_states[i]));
        add_flag(header, "current", image->current == i);
        if (image->header_states[i] == VHDX_COPY_VALID) {
            add_number(header, "sequence_number", h->sequence);
            add_guid(header, "file_write_guid", &h->file_write);
            add_guid(header, "data_write_guid", &h->data_write);
            add_guid(header, "log_guid", &h->log_guid);
            add_number(header, "log_version", h->log_version);
            add_number(header, "version", h->version);
            add_number(header, "log_length", h->log_length);
            add_number(header, "log_offset", h->log_offset);
        }
        json_object_array_add(list, header);
    }
    return list;
}

static json_object *active_json(const struct vhdx_log *log)
{
    json_object *active = json_object_new_object();

    add_number(active, "entries", log->active_count);
    add_number(active, "writes", log->write_count);
    add_number(active, "first_sequence_number", log->active[0].sequence);
    add_number(active, "last_sequence_number", log->active[log->active_count - 1].sequence);
    add_number(active, "tail", log->active[0].at);
    add_number(active, "head", log->active[log->active_count - 1].at);
    add_number(active, "flushed_file_offset", log->flushed_file_offset);
    add_number(active, "last_file_offset", log->last_file_offset);
    return active;
}

static json_object *log_json(const struct vhdx_image *image)
{
    const struct vhdx_log *log = &image->log;
    json_object *top = json_object_new_object(), *sessions = json_object_new_array();

    add_text(top, "state", vhdx_log_state_name(image->log_state));
    add_number(top, "offset", log->offset);
    add_number(top, "length", log->length);
    json_object_object_add(top, "active", log->active_count ? active_json(log) : NULL);
    add_number(top, "session_count", log->session_count);
    for (size_t i = 0; i < log->session_count && i < VHDX_SESSIONS_MAX; i++) {
        json_object *session = json_object_new_object();

        add_guid(session, "log_guid", &log->sessions[i].guid);
        add_number(session, "entries", log->sessions[i].entries);
        add_number(session, "first_sequence_number", log->sessions[i].first);
        add_number(session, "last_sequence_number", log->sessions[i].last);
        json_object_array_add(sessions, session);
    }
    json_object_object_add(top, "sessions", sessions);
    return top;
}

static json_object *regions_json(const struct vhdx_image *image)
{
    json_object *list = json_object_new_array();

    for (size_t i = 0; i < image->region_count; i++) {
        const struct vhdx_region *r = &image->regions[i];
        json_object *region = json_object_new_object();

        add_guid(region, "guid", &r->guid);
        add_text(region, "name", vhdx_region_name(&r->guid));
        add_number(region, "offset", r->offset);
        add_number(region, "length", r->length);
        add_flag(region, "required", r->flags & VHDX_REGION_REQUIRED);
        json_object_array_add(list, region);
    }
    return list;
}

static json_object *tables_json(const struct vhdx_image *image)
{
    json_object *list = json_object_new_array();

    for (int i = 0; i < 2; i++) {
        json_object *table = json_object_new_object();

        add_number(table, "offset", i ? VHDX_REGIONS_2_AT : VHDX_REGIONS_1_AT);
        add_text(table, "state", vhdx_copy_name(image->table_states[i]));
        add_flag(table, "in_use", image->table == i);
        json_object_array_add(list, table);
    }
    return list;
}

static json_object *items_json(const struct vhdx_image *image)
{
    json_object *list = json_object_new_array();

    for (size_t i = 0; i < image->item_count; i++) {
        const struct vhdx_item *m = &image->items[i];
        json_object *item = json_object_new_object();

        add_guid(item, "guid", &m->guid);
        add_text(item, "name", vhdx_item_name(&m->guid));
        add_number(item, "offset", m->offset);
        add_number(item, "length", m->length);
        add_flag(item, "user", m->flags & VHDX_ITEM_USER);
        add_flag(item, "virtual_disk", m->flags & VHDX_ITEM_VIRTUAL_DISK);
        add_flag(item, "required", m->flags & VHDX_ITEM_REQUIRED);
        json_object_array_add(list, item);
    }
    return list;
}

static json_object *bat_json(const struct vhdx_image *image)
{
    const struct vhdx_bat_stats *s = &image->stats;
    json_object *bat = json_object_new_object(), *states = json_object_new_object();

    add_number(bat, "entries", s->entries);
    add_number(bat, "payload_blocks", s->blocks);
    add_number(bat, "chunk_ratio", s->chunk_ratio);
    for (unsigned i = 0; i < 8; i++)
        if (s->states[i] || (i != 4 && i != 5))
            add_number(states, vhdx_block_state_name(i), s->states[i]);
    json_object_object_add(bat, "states", states);
    add_number(bat, "sector_bitmaps", s->bitmaps);
    add_number(bat, "payload_offset", s->first);
    add_number(bat, "payload_end", s->end);
    add_flag(bat, "contiguous", s->in_order);
    return bat;
}

static json_object *parent_json(const struct vhdx_image *image)
{
    json_object *parent = json_object_new_object();

    for (size_t i = 0; i < image->parent_count; i++)
        add_text(parent, image->parent[i].key, image->parent[i].value);
    return parent;
}

static void add_values(json_object *top, const struct vhdx_image *image)
{
    const struct vhdx_disk_values *v = &image->values;

    add_text(top, "kind", vhdx_kind_name(image->kind));
    if (image->known & 1u << VHDX_VALUE_DISK_SIZE)
        add_number(top, "virtual_disk_size", v->disk_size);
    if (image->known & 1u << VHDX_VALUE_PARAMETERS) {
        add_number(top, "block_size", v->block_size);
        add_flag(top, "leave_blocks_allocated", v->file_flags & VHDX_LEAVE_ALLOCATED);
        add_flag(top, "has_parent", v->file_flags & VHDX_HAS_PARENT);
    }
    if (image->known & 1u << VHDX_VALUE_LOGICAL)
        add_number(top, "logical_sector_size", v->logical_sector);
    if (image->known & 1u << VHDX_VALUE_PHYSICAL)
        add_number(top, "physical_sector_size", v->physical_sector);
    if (image->known & 1u << VHDX_VALUE_DISK_ID)
        add_guid(top, "virtual_disk_id", &v->disk_id);
}

int print_info_json(const char *path, const struct vhdx_image *image,
                    const struct vhdx_report *report)
{
    json_object *top = json_object_new_object();
    char creator[VHDX_TEXT_ROOM(sizeof(image->creator))];

    add_number(top, "schema", 1);
    add_text(top, "file", path);
    add_number(top, "file_size", image->file_size);
    add_values(top, image);
    add_text(top, "creator", vhdx_text(image->creator, sizeof(image->creator), creator));
    json_object_object_add(top, "headers", headers_json(image));
    json_object_object_add(top, "log", log_json(image));
    json_object_object_add(top, "region_tables", tables_json(image));
    json_object_object_add(top, "regions", regions_json(image));
    json_object_object_add(top, "metadata_items", items_json(image));
    json_object_object_add(top, "bat", image->bat_read ? bat_json(image) : NULL);
    json_object_object_add(top, "parent", image->parent_count ? parent_json(image) : NULL);
    add_number(top, "errors", vhdx_report_total(report, VHDX_ERROR));
    add_number(top, "warnings", vhdx_report_total(report, VHDX_WARNING));
    return print_json(top);
}
