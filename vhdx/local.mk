# SPDX-License-Identifier: GPL-2.0-or-later
# libvhdx: the format, pure: buffers and callbacks, no printing, no globals.
noinst_LIBRARIES += libvhdx.a
libvhdx_a_SOURCES = \
	vhdx/bat.c vhdx/bat.h \
	vhdx/check.c vhdx/check.h \
	vhdx/check_bat.c \
	vhdx/check_headers.c \
	vhdx/check_metadata.c \
	vhdx/check_parent.c \
	vhdx/check_regions.c \
	vhdx/decode.c vhdx/decode.h \
	vhdx/encode.c vhdx/encode.h \
	vhdx/format.h \
	vhdx/image.c vhdx/image.h \
	vhdx/io.h \
	vhdx/judge.h \
	vhdx/layout.c vhdx/layout.h \
	vhdx/log.c vhdx/log.h \
	vhdx/map.c vhdx/map.h \
	vhdx/replay.c vhdx/replay.h \
	vhdx/report.c vhdx/report.h \
	vhdx/rules.c vhdx/rules.h \
	vhdx/text.c vhdx/text.h \
	vhdx/view.c vhdx/view.h
