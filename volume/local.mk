# SPDX-License-Identifier: GPL-2.0-or-later
# libvolume: -o disk: the disk around the VHDX, and the fence that guards the partition behind it.
noinst_LIBRARIES += libvolume.a
libvolume_a_SOURCES = \
	volume/fence.c volume/fence.h \
	volume/gpt.c volume/gpt.h \
	volume/layout.c volume/layout.h \
	volume/volume.c volume/volume.h \
	volume/watch.c volume/watch.h
libvolume_a_CFLAGS = $(AM_CFLAGS)
