/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state store: the few MiB in front of the BAT (identifier, headers, region tables,
 * log, metadata region), which clients write and expect to find again.
 *
 * Durability, before anything else
 * --------------------------------
 * What is promised. store_write() returns 0 when the bytes are in the state file, though
 * perhaps only in the kernel's cache: they survive the death of this process, not that of the
 * machine. store_flush() returns 0 when all that was written before is on stable storage. The
 * export flushes the device first and this store second, so metadata that says "done" never
 * becomes durable before the payload it speaks of.
 *
 * All or nothing. Clients treat 4 KiB of metadata as they treat a sector: after a crash they
 * expect the old or the new content (a VHDX header half written would still be caught by its
 * checksum, but a sector of the log or of the metadata region has no second copy to fall back
 * to). A file system does not promise that for a 4 KiB page of a file. So each page has two
 * slots in the file, each with a generation number and checksums, in blocks of its own. The
 * slot that is on stable storage is never overwritten: a write goes to the other one, again and
 * again until a flush has made it stable; from then on the roles are changed. On loading, the
 * valid slot with the greatest generation counts. A torn slot is not valid; then the other one
 * is, and it holds what was last flushed.
 *
 * Creation. The file is written under another name, with every page valid in its first slot
 * and its whole room allocated, flushed, and then renamed; the directory is flushed. A crash
 * leaves the old state or the new one. Because the room is there, a full file system cannot
 * make later writes fail.
 *
 * Damage. Since every page has a valid slot from creation on, a page without one, a header
 * whose checksum does not hold, or a file of the wrong size is damage. It is refused, because the
 * lost page may be the log of a file that Windows has not closed. With STORE_RESET the old
 * file is set aside under another name and a new one made with the same identity.
 *
 * Errors. When a write fails, the memory image keeps the old content and the client gets
 * the error. When a flush fails, the kernel may have dropped the pages it could not write and
 * would call the next flush a success: so they are written again by the next flush. On a file
 * system that is or becomes read-only the state cannot be opened: the start fails, or the client's
 * open does, until it is writable again. With STORE_READ_ONLY it is read there as elsewhere.
 *
 * Binding. The header names the partition (identity), its size and geometry. A state that
 * belongs to another partition is refused. If the size has changed, the state is made anew
 * with the same identity, unless a VHDX log in it waits to be replayed: that log describes the
 * disk of the old size, so it is refused.
 *
 * The file (all offsets in bytes, numbers little-endian):
 *   0      header, 4 KiB, written once
 *   8192   slots: page p, slot s at 8192 + (2 p + s) * 8192: 4 KiB descriptor, 4 KiB content
 */
#ifndef STATE_STORE_H
#define STATE_STORE_H

#include "common/failure.h"
#include "vhdx/layout.h"

#include <stdbool.h>

#define STORE_PAGE 4096

struct store;

enum store_flags {
    STORE_READ_ONLY = 1, /* nothing is written: an existing state is read, writes stay in memory */
    STORE_RESET = 2,     /* set an existing state aside, whatever is wrong with it */
};

/*
 * Opens the state of the partition IDENTITY, of geometry LAYOUT, in DIRECTORY (made if it is not
 * there, mode 0700; it must belong to the caller and be writable by nobody else; links are
 * not followed). The state is locked until store_close(); with STORE_READ_ONLY only while it is
 * read, which is here.
 *
 * Returns 0 and *STORE; -EBUSY when another process has it; -EUCLEAN when it is damaged;
 * -ESTALE when it belongs to another partition, or to another size with a log to be
 * replayed; or another -errno. FAILURE says which file, why, and the cure.
 */
int store_open(struct store **store, const char *directory, const char *identity,
               const struct vhdx_layout *layout, unsigned flags, struct failure *failure);

/*
 * The same, only to see whether it can be opened (and, if need be, made or set aside): it is closed
 * again. Logs it when a VHDX log in it waits to be replayed.
 */
int store_try(const char *directory, const char *identity, const struct vhdx_layout *layout,
              unsigned flags, struct failure *failure);

/* Frees the store. What was written since the last flush is left to the kernel. */
void store_close(struct store *store);

/* [offset, offset + length) must lie inside VHDX_META_SIZE. Reading cannot fail. */
void store_read(struct store *store, void *data, size_t length, uint64_t offset);
int store_write(struct store *store, const void *data, size_t length, uint64_t offset);
int store_flush(struct store *store);

/* Whether the VHDX log in the store waits to be replayed by a client. */
bool store_log_is_dirty(struct store *store);

/* The state file's path, or "(memory)". */
const char *store_path(const struct store *store);

#endif
