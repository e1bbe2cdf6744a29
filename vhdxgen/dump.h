/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Raw structures, decoded line by line, for people who debug. */
#ifndef VHDXGEN_DUMP_H
#define VHDXGEN_DUMP_H

#include "vhdx/image.h"
#include "vhdx/io.h"

/* Each prints one structure as it lies in the file, sound or not. 0 or -errno of reading. */
int dump_identifier(const struct vhdx_io *io, const struct vhdx_image *image);
int dump_header_1(const struct vhdx_io *io, const struct vhdx_image *image);
int dump_header_2(const struct vhdx_io *io, const struct vhdx_image *image);
int dump_regions_1(const struct vhdx_io *io, const struct vhdx_image *image);
int dump_regions_2(const struct vhdx_io *io, const struct vhdx_image *image);
int dump_metadata(const struct vhdx_io *io, const struct vhdx_image *image);
int dump_bat(const struct vhdx_io *io, const struct vhdx_image *image);
int dump_log(const struct vhdx_io *io, const struct vhdx_image *image);

/* "0x<offset>  <name>  " and what FORMAT makes. */
void dump_line(uint64_t offset, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void dump_guid(uint64_t offset, const char *name, const struct guid *guid);
/* Bytes that should be ASCII. */
void dump_ascii(uint64_t offset, const char *name, const uint8_t *bytes, size_t length);

#endif
