# SPDX-License-Identifier: GPL-2.0-or-later
# vhdxgen: the tool, a command line over libvhdx, libntfs and libdevice.
bin_PROGRAMS += vhdxgen/vhdxgen
vhdxgen_vhdxgen_SOURCES = \
	vhdxgen/cli.c vhdxgen/cli.h \
	vhdxgen/cmd_check.c \
	vhdxgen/cmd_create.c \
	vhdxgen/cmd_dump.c \
	vhdxgen/cmd_info.c \
	vhdxgen/cmd_map.c \
	vhdxgen/cmd_replay.c \
	vhdxgen/dump.h \
	vhdxgen/dump_log.c \
	vhdxgen/dump_tables.c \
	vhdxgen/fiemap.c vhdxgen/fiemap.h \
	vhdxgen/info.h \
	vhdxgen/info_json.c \
	vhdxgen/info_text.c \
	vhdxgen/main.c \
	vhdxgen/map_activate.c vhdxgen/map_activate.h \
	vhdxgen/map_build.c vhdxgen/map_build.h \
	vhdxgen/map_ntfs.c \
	vhdxgen/map_print.c vhdxgen/map_print.h \
	vhdxgen/map_source.c vhdxgen/map_source.h \
	vhdxgen/map_vhdx.c \
	vhdxgen/output.c vhdxgen/output.h
vhdxgen_vhdxgen_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(DEVMAPPER_CFLAGS)
vhdxgen_vhdxgen_LDADD = libvhdx.a libntfs.a libdevice.a libcommon.a \
	$(NTFS_LIBS) $(BLKID_LIBS) $(DEVMAPPER_LIBS) $(UUID_LIBS) $(JSON_LIBS)
dist_man_MANS += man/vhdxgen.1
