/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "state/store.h"

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "state/directory.h"
#include "state/own_file.h"
#include "state/store_file.h"
#include "vhdx/decode.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum page_flags {
    PAGE_UNFLUSHED = 1, /* the current slot may not be on stable storage yet */
    PAGE_REWRITE = 2,   /* and may not even be in the file: the next flush writes it again */
};

struct page {
    uint8_t slot; /* the current one */
    uint8_t flags;
};

struct store {
    pthread_mutex_t lock;
    int fd; /* -1: memory only */
    char path[PATH_MAX + 80];
    uint64_t generation; /* the greatest in use */
    bool unflushed;      /* some page is */
    struct page pages[STORE_PAGES];
    uint8_t *image; /* VHDX_META_SIZE bytes; untouched zero pages take no memory */
    struct store_disk_slot scratch;
};

/* Writes PAGE of the image into the slot that may be overwritten. Locked. */
static int write_page(struct store *s, uint32_t number)
{
    struct page *page = &s->pages[number];
    uint8_t slot = page->flags & PAGE_UNFLUSHED ? page->slot : (uint8_t)(1 - page->slot);
    int err;

    store_encode_slot(number, ++s->generation, s->image + (size_t)number * STORE_PAGE, &s->scratch);
    /* From here on the slot may be torn, so this page must not be taken for flushed. */
    page->slot = slot;
    page->flags = PAGE_UNFLUSHED | PAGE_REWRITE;
    s->unflushed = true;
    err = pwrite_full(s->fd, &s->scratch, sizeof(s->scratch), store_slot_offset(number, slot));
    if (!err)
        page->flags = PAGE_UNFLUSHED;
    return err;
}

void store_read(struct store *s, void *data, size_t length, uint64_t offset)
{
    LOCK_SCOPE(&s->lock);
    memcpy(data, s->image + offset, length);
}

/* The part of a write that lies in one page: all of it happens, or none. Locked. */
static int write_within_page(struct store *s, const uint8_t *data, size_t length, uint64_t offset)
{
    uint8_t *target = s->image + offset, old[STORE_PAGE];
    int err;

    if (!memcmp(target, data, length))
        return 0; /* the same bytes; they are as durable as they were */
    memcpy(old, target, length);
    memcpy(target, data, length);
    if (s->fd < 0)
        return 0;
    err = write_page(s, (uint32_t)(offset / STORE_PAGE));
    if (err)
        memcpy(target, old, length);
    return err;
}

int store_write(struct store *s, const void *data, size_t length, uint64_t offset)
{
    const uint8_t *in = data;
    LOCK_SCOPE(&s->lock);

    while (length > 0) {
        size_t n = (size_t)min_u64(length, STORE_PAGE - offset % STORE_PAGE);
        int err = write_within_page(s, in, n, offset);

        if (err) {
            log_error("%s: cannot write the state: %s; the client was told", s->path,
                      strerror(-err));
            return err;
        }
        in += n;
        offset += n;
        length -= n;
    }
    return 0;
}

/* Brings every page to stable storage. Locked. */
static int flush_pages(struct store *s)
{
    int err = 0;

    for (uint32_t p = 0; !err && p < STORE_PAGES; p++)
        if (s->pages[p].flags & PAGE_REWRITE)
            err = write_page(s, p);
    if (!err && fdatasync(s->fd) < 0)
        err = -errno;
    for (uint32_t p = 0; p < STORE_PAGES; p++)
        if (s->pages[p].flags & PAGE_UNFLUSHED)
            s->pages[p].flags = err ? PAGE_UNFLUSHED | PAGE_REWRITE : 0;
    s->unflushed = err != 0;
    return err;
}

int store_flush(struct store *s)
{
    int err;
    LOCK_SCOPE(&s->lock);

    if (s->fd < 0 || !s->unflushed)
        return 0;
    err = flush_pages(s);
    if (err)
        log_error("%s: cannot flush the state: %s; the client was told", s->path, strerror(-err));
    return err;
}

bool store_log_is_dirty(struct store *s)
{
    struct vhdx_header header;
    LOCK_SCOPE(&s->lock);

    return vhdx_current_header((void *)(s->image + VHDX_HEADER_1_AT),
                               (void *)(s->image + VHDX_HEADER_2_AT), &header) >= 0 &&
           !guid_is_null(&header.log_guid);
}

const char *store_path(const struct store *s)
{
    return s->fd < 0 ? "(memory)" : s->path;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    close_fd(&s->fd);
    pthread_mutex_destroy(&s->lock);
    free(s->image);
    free(s);
}

/* Takes PAGE from whichever of its two slots is valid and newer. */
static int load_page(struct store *s, uint32_t number, const struct store_disk_slot slots[2])
{
    bool found = false;
    uint64_t best = 0;

    for (uint8_t i = 0; i < 2; i++) {
        uint64_t generation;

        if (!store_decode_slot(&slots[i], number, &generation) || (found && generation <= best))
            continue;
        found = true;
        best = generation;
        s->pages[number] = (struct page){.slot = i};
    }
    if (!found)
        return -EUCLEAN;
    if (best > s->generation)
        s->generation = best;
    if (!is_zero(slots[s->pages[number].slot].content, STORE_PAGE)) /* keep zero pages untouched */
        memcpy(s->image + (size_t)number * STORE_PAGE, slots[s->pages[number].slot].content,
               STORE_PAGE);
    return 0;
}

static int load_pages(struct store *s, int fd)
{
    cleanup_free struct store_disk_slot *slots = malloc(2 * 32 * sizeof(*slots));
    int err = slots ? 0 : -ENOMEM;

    for (uint32_t p = 0; !err && p < STORE_PAGES; p += 32) {
        err = pread_full(fd, slots, 2 * 32 * sizeof(*slots), store_slot_offset(p, 0));
        for (uint32_t i = 0; !err && i < 32; i++)
            err = load_page(s, p + i, slots + (size_t)2 * i);
    }
    return err == -ENODATA ? -EUCLEAN : err;
}
_Static_assert(STORE_PAGES % 32 == 0, "pages are loaded 32 at a time");

/* The disk that the metadata region itself describes must be the one of the binding. */
static int check_image(const struct store *s, const struct store_binding *binding)
{
    struct vhdx_disk_values values;
    struct vhdx_header header;
    struct vhdx_identity identity = vhdx_identity_derive(binding->identity);

    if (vhdx_current_header((void *)(s->image + VHDX_HEADER_1_AT),
                            (void *)(s->image + VHDX_HEADER_2_AT), &header) < 0)
        return -EUCLEAN;
    /* A log that waits for replay may hold better pages than these. */
    if (!guid_is_null(&header.log_guid))
        return 0;
    if (vhdx_decode_metadata(s->image + VHDX_METADATA_AT, VHDX_METADATA_SIZE, &values) < 0 ||
        values.disk_size != binding->disk_size || values.block_size != binding->block_size ||
        values.logical_sector != binding->logical_sector ||
        !guid_equal(&values.disk_id, &identity.disk_id))
        return -EUCLEAN;
    return 0;
}

/* Reads header and pages of FD. Returns 0, -EUCLEAN for damage, or -errno. */
static int load(struct store *s, int fd, struct store_binding *binding)
{
    struct store_disk_header header;
    struct stat st;
    int err = fstat(fd, &st) < 0 ? -errno : 0;

    if (!err && (uint64_t)st.st_size != STORE_FILE_SIZE)
        err = -EUCLEAN;
    if (!err)
        err = pread_full(fd, &header, sizeof(header), 0);
    if (!err)
        err = store_decode_header(&header, binding);
    if (!err)
        err = load_pages(s, fd);
    if (!err)
        err = check_image(s, binding);
    return err == -ENODATA ? -EUCLEAN : err;
}

/* Writes header and pages to a new file FD. */
static int save_all(struct store *s, int fd, const struct store_binding *binding)
{
    struct store_disk_header header;
    int err = -posix_fallocate(fd, 0, (off_t)STORE_FILE_SIZE);

    store_encode_header(binding, &header);
    if (!err)
        err = pwrite_full(fd, &header, sizeof(header), 0);
    for (uint32_t p = 0; !err && p < STORE_PAGES; p++) {
        s->pages[p] = (struct page){0};
        store_encode_slot(p, 1, s->image + (size_t)p * STORE_PAGE, &s->scratch);
        err = pwrite_full(fd, &s->scratch, sizeof(s->scratch), store_slot_offset(p, 0));
    }
    s->generation = 1;
    return err ? err : fsync(fd) < 0 ? -errno : 0;
}

static void generate(struct store *s, const struct store_binding *binding,
                     const struct vhdx_layout *layout)
{
    struct vhdx_identity identity = vhdx_identity_derive(binding->identity);

    memset(s->image, 0, VHDX_META_SIZE);
    vhdx_encode_meta(layout, &identity, s->image);
}

/* Makes a new state and puts it in the place of whatever is there. */
static int create(struct store *s, const struct state_dir *dir, const struct store_binding *binding,
                  const struct vhdx_layout *layout, struct failure *failure)
{
    cleanup_fd int fd = -1;
    int err = 0;

    generate(s, binding, layout);
    fd = state_dir_create(dir);
    if (fd < 0)
        err = fd;
    if (!err)
        err = save_all(s, fd, binding);
    if (!err)
        err = state_dir_publish(dir);
    if (err) {
        state_dir_abandon(dir);
        return failed(failure, EXIT_IO_ERROR, err,
                      "%s: cannot make the state file: %s; free some space or name another "
                      "directory with -o state=",
                      dir->path, strerror(-err));
    }
    log_info("new state for partition %s in %s", binding->identity, dir->path);
    s->fd = steal_fd(&fd);
    return 0;
}

static int damaged(const struct state_dir *dir, int err, struct failure *failure)
{
    if (err != -EUCLEAN)
        return failed(failure, EXIT_IO_ERROR, err, "%s: cannot read the state: %s", dir->path,
                      strerror(-err));
    return failed(
        failure, EXIT_UNSAFE, err,
        "%s: the state is damaged; restore it from a backup, or give --reset-state to set "
        "it aside and start with a new one (the partition itself is not touched)",
        dir->path);
}

/* Takes over the existing state FD, or makes a new one when that is right. */
static int adopt(struct store *s, const struct state_dir *dir, int *fd,
                 const struct store_binding *wanted, const struct vhdx_layout *layout,
                 unsigned flags, struct failure *failure)
{
    struct store_binding found;
    int err = flags & STORE_READ_ONLY ? 0 : own_file_settle(*fd);

    if (!err)
        err = load(s, *fd, &found);
    if (err)
        return damaged(dir, err, failure);
    if (strcmp(found.identity, wanted->identity) != 0)
        return failed(failure, EXIT_UNSAFE, -ESTALE,
                      "%s belongs to partition %s, not to %s; move it away, or give --reset-state",
                      dir->path, found.identity, wanted->identity);
    if (!store_same_geometry(&found, wanted)) {
        if (store_log_is_dirty(s))
            return failed(
                failure, EXIT_UNSAFE, -ESTALE,
                "%s: the partition's size or geometry has changed while the VHDX log in "
                "the state waits to be replayed (a client did not close the file); restore "
                "the old size and open the file once, or give --reset-state to drop the log",
                dir->path);
        log_warning("%s: the partition's size or geometry has changed; making the state anew",
                    dir->path);
        if (flags & STORE_READ_ONLY) {
            generate(s, wanted, layout);
            return 0;
        }
        return create(s, dir, wanted, layout, failure);
    }
    if (flags & STORE_READ_ONLY)
        return 0;
    s->fd = steal_fd(fd);
    return 0;
}

static int open_in(struct store *s, const struct state_dir *dir, const struct store_binding *wanted,
                   const struct vhdx_layout *layout, unsigned flags, struct failure *failure)
{
    bool read_only = flags & STORE_READ_ONLY;
    cleanup_fd int fd = state_dir_open(dir, read_only, failure);

    if (fd < 0 && fd != -ENOENT)
        return fd;
    if (fd >= 0 && flags & STORE_RESET && !read_only) {
        int err = state_dir_set_aside(dir, failure);

        return err ? err : create(s, dir, wanted, layout, failure);
    }
    if (fd >= 0)
        return adopt(s, dir, &fd, wanted, layout, flags, failure);
    if (!read_only)
        return create(s, dir, wanted, layout, failure);
    generate(s, wanted, layout);
    return 0;
}

int store_open(struct store **store, const char *directory, const char *identity,
               const struct vhdx_layout *layout, unsigned flags, struct failure *failure)
{
    struct store_binding wanted = store_binding_of(identity, layout);
    cleanup_state_dir struct state_dir dir = STATE_DIR_INIT;
    struct store *s = calloc(1, sizeof(*s));
    int err;

    if (!s)
        return -ENOMEM;
    s->fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    s->image = calloc(1, VHDX_META_SIZE);
    err = s->image ? state_dir_enter(&dir, directory, identity, flags & STORE_READ_ONLY, failure)
                   : -ENOMEM;
    snprintf(s->path, sizeof(s->path), "%s", dir.path);
    if (!err)
        err = open_in(s, &dir, &wanted, layout, flags, failure);
    else if (err == -ENOENT && flags & STORE_READ_ONLY) {
        generate(s, &wanted, layout);
        err = 0;
    }
    if (err) {
        store_close(s);
        return err;
    }
    *store = s;
    return 0;
}

int store_try(const char *directory, const char *identity, const struct vhdx_layout *layout,
              unsigned flags, struct failure *failure)
{
    struct store *s;
    int err = store_open(&s, directory, identity, layout, flags, failure);

    if (err)
        return err;
    if (store_log_is_dirty(s))
        log_warning("%s: the VHDX log waits to be replayed by the next client that opens it",
                    s->path);
    store_close(s);
    return 0;
}
