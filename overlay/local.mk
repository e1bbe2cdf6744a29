# SPDX-License-Identifier: GPL-2.0-or-later
# liboverlay: -o cow: the copy-on-write disk, its file, and what becomes of it.
noinst_LIBRARIES += liboverlay.a
liboverlay_a_SOURCES = \
	overlay/commit.c overlay/commit.h \
	overlay/cow.c overlay/cow.h \
	overlay/overlay.c overlay/overlay.h \
	overlay/overlay_file.c overlay/overlay_file.h \
	overlay/overlay_open.c overlay/overlay_open.h
liboverlay_a_CFLAGS = $(AM_CFLAGS)
