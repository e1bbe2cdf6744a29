/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decodes a fixed VHDX file to values, encodes those again, and compares all bytes in front
 * of the payload. Exit status 0: they are the same.
 */
#include "common/cleanup.h"
#include "common/io.h"
#include "vhdx/check.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

static int read_fd(void *opaque, void *data, size_t length, uint64_t offset)
{
    return pread_full(*(int *)opaque, data, length, offset);
}

/* The layout and identity that IMAGE's values stand for; false when they stand for none. */
static int values_of(const struct vhdx_image *image, struct vhdx_layout *layout,
                     struct vhdx_identity *identity)
{
    const struct vhdx_params params = {
        .disk_size = image->values.disk_size,
        .block_size = image->values.block_size,
        .logical_sector = image->values.logical_sector,
        .physical_sector = image->values.physical_sector,
    };

    if (image->current < 0 || image->kind != VHDX_KIND_FIXED)
        return 0;
    identity->file_write = image->headers[image->current].file_write;
    identity->data_write = image->headers[image->current].data_write;
    identity->disk_id = image->values.disk_id;
    return vhdx_layout_init(layout, &params, NULL) == 0;
}

static int compare(int fd, const struct vhdx_layout *layout, const struct vhdx_identity *identity)
{
    size_t length = (size_t)layout->payload_offset;
    cleanup_free uint8_t *made = calloc(1, length), *there = malloc(length);

    vhdx_encode_meta(layout, identity, made);
    vhdx_bat_read(layout, 0, made + VHDX_BAT_AT, (size_t)layout->bat_size);
    if (pread_full(fd, there, length, 0) != 0)
        return 1;
    for (size_t i = 0; i < length; i++)
        if (made[i] != there[i]) {
            printf("byte 0x%zx is %02x, and %02x when made again\n", i, there[i], made[i]);
            return 1;
        }
    printf("0x%zx bytes are the same\n", length);
    return 0;
}

int main(int argc, char **argv)
{
    cleanup_fd int fd = argc == 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
    struct vhdx_report report = {0};
    struct vhdx_identity identity;
    struct vhdx_layout layout;
    struct vhdx_image image;
    struct vhdx_io io = {.read = read_fd, .opaque = &fd};
    struct stat st;
    int differs = 1;

    if (fd < 0 || fstat(fd, &st) < 0) {
        perror("reencode");
        return 1;
    }
    io.size = (uint64_t)st.st_size;
    if (vhdx_check(&io, NULL, &report, &image) == 0 && values_of(&image, &layout, &identity) &&
        layout.file_size == io.size)
        differs = compare(fd, &layout, &identity);
    vhdx_image_free(&image);
    return differs;
}
