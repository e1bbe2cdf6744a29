# SPDX-License-Identifier: GPL-2.0-or-later
# libexport: one partition shown as files: the data path, what guards it, and all the layers below together.
noinst_LIBRARIES += libexport.a
libexport_a_SOURCES = \
	export/datapath.c export/datapath.h \
	export/export.c export/export.h \
	export/firewall.c export/firewall.h \
	export/guard.c export/guard.h \
	export/start.c export/start.h
libexport_a_CFLAGS = $(AM_CFLAGS)
