/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An NTFS volume with damage in its records, to the run list of a file and the volume's state.
 * What comes out must keep runs.h's promises. The volume is the file that NTFS_IMAGE names (see
 * tests/fuzz/ntfs-image); the input is a list of changes, 5 bytes each and what they write:
 *
 *   byte 0      what: a record of the MFT by its number; 254 the log, 255 the boot sector
 *   bytes 1-3   offset there
 *   byte 4      length of the bytes that follow
 */
#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "common/units.h"
#include "ntfs/reader.h"
#include "ntfs/runs.h"
#include "ntfs/state.h"
#include "tests/fuzz/packed.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define RECORD    1024
#define IMAGE_MAX (16 * MIB)
#define CHANGES   64

int LLVMFuzzerInitialize(int *argc, char ***argv);

static uint8_t *base;
static size_t size;
static int volume = -1;
static uint64_t mft, log_at;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *path = getenv("NTFS_IMAGE");
    cleanup_fd int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    struct ntfs_reader reader;
    struct ntfs_file file;
    struct stat st;

    (void)argc, (void)argv;
    if (fd < 0 || fstat(fd, &st) < 0 || (uint64_t)st.st_size > IMAGE_MAX) {
        fputs("NTFS_IMAGE names no volume\n", stderr);
        exit(77);
    }
    size = (size_t)st.st_size;
    base = malloc(size);
    volume = memfd_create("volume", MFD_CLOEXEC);
    if (!base || volume < 0 || pread_full(fd, base, size, 0) != 0 ||
        pwrite_full(volume, base, size, 0) != 0)
        abort();
    mft = get_le64(base + 48) * base[13] * get_le16(base + 11);
    if (ntfs_reader_open(&reader, volume) != 0 || ntfs_file_locate(&reader, "$LogFile", &file) != 0)
        abort();
    log_at = file.map.extents[0].backing;
    ntfs_file_free(&file);
    ntfs_reader_close(&reader);
    return 0;
}

/* Where the change goes, around the two bytes at the end of each sector that guard a record. */
static uint64_t aim(uint8_t what, uint32_t offset, size_t *length)
{
    if (what == 255)
        *length = (size_t)min_u64(*length, 512 - offset % 512);
    else
        *length = (size_t)min_u64(*length, offset % 512 < 510 ? 510 - offset % 512 : 0);
    if (what == 255)
        return offset % 512;
    if (what == 254)
        return log_at + offset % (8 * KIB);
    return mft + (uint64_t)what * RECORD + offset % RECORD;
}

struct change {
    uint64_t at;
    size_t length;
};

static size_t apply(const uint8_t *input, size_t length, struct change *changes)
{
    size_t count = 0;

    while (length > 5 && count < CHANGES) {
        uint32_t offset = input[1] | (uint32_t)input[2] << 8 | (uint32_t)input[3] << 16;
        size_t n = (size_t)min_u64(input[4], length - 5), there = n;
        uint64_t at = aim(input[0], offset, &there);

        if (there && range_inside(at, there, size)) {
            if (pwrite_full(volume, input + 5, there, at) != 0)
                abort();
            changes[count++] = (struct change){at, there};
        }
        input += 5 + n;
        length -= 5 + n;
    }
    return count;
}

static void restore(const struct change *changes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (pwrite_full(volume, base + changes[i].at, changes[i].length, changes[i].at) != 0)
            abort();
}

static void verify(const struct ntfs_reader *reader, const struct ntfs_file *file)
{
    if (!(file->obstacles & (NTFS_NOT_A_FILE | NTFS_RESIDENT)) &&
        extent_map_size(&file->map) != file->size)
        abort();
    for (size_t i = 0; i < file->map.count; i++) {
        const struct extent *e = &file->map.extents[i];

        if (e->kind == EXTENT_ZERO && !(file->obstacles & NTFS_HOLES))
            abort();
        if (e->kind == EXTENT_DEVICE && !range_inside(e->backing, e->length, reader->size))
            abort();
    }
}

static void look(const struct ntfs_reader *reader, const char *path)
{
    const char *what, *cure;
    struct ntfs_file file;

    if (ntfs_file_locate(reader, path, &file) == 0) {
        verify(reader, &file);
        if (file.obstacles)
            ntfs_obstacles_describe(file.obstacles, &what, &cure);
    }
    ntfs_file_free(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length)
{
    struct change changes[CHANGES];
    size_t count = apply(input, length, changes);
    struct ntfs_reader reader;
    unsigned state;

    if (ntfs_reader_open(&reader, volume) == 0) {
        (void)ntfs_state_read(reader.volume, &state);
        look(&reader, "/wsl/ext4.vhdx");
        look(&reader, "/small");
        ntfs_reader_close(&reader);
    }
    restore(changes, count);
    return 0;
}
