# SPDX-License-Identifier: GPL-2.0-or-later
# libstate: what outlives the daemon: the VHDX metadata, extended attributes, and the small files beside the VHDX.
noinst_LIBRARIES += libstate.a
libstate_a_SOURCES = \
	state/as_vhdx.c state/as_vhdx.h \
	state/beside.c state/beside.h \
	state/directory.c state/directory.h \
	state/own_file.c state/own_file.h \
	state/store.c state/store.h \
	state/store_file.c state/store_file.h \
	state/xattrs.c state/xattrs.h
libstate_a_CFLAGS = $(AM_CFLAGS)
