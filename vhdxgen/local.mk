# libvhdxgen: the format, pure: buffers and callbacks, no printing, no globals.
noinst_LIBRARIES += libvhdxgen.a
libvhdxgen_a_SOURCES = \
	vhdxgen/check.c vhdxgen/check.h vhdxgen/check_impl.h \
	vhdxgen/check_bat.c \
	vhdxgen/check_headers.c \
	vhdxgen/check_metadata.c \
	vhdxgen/check_parent.c \
	vhdxgen/check_regions.c \
	vhdxgen/decode.c vhdxgen/decode.h \
	vhdxgen/encode.c vhdxgen/encode.h \
	vhdxgen/format.h \
	vhdxgen/image.c vhdxgen/image.h \
	vhdxgen/io.h \
	vhdxgen/layout.c vhdxgen/layout.h \
	vhdxgen/log.c vhdxgen/log.h \
	vhdxgen/map.c vhdxgen/map.h \
	vhdxgen/replay.c vhdxgen/replay.h \
	vhdxgen/report.c vhdxgen/report.h \
	vhdxgen/rules.c vhdxgen/rules.h \
	vhdxgen/text.c vhdxgen/text.h \
	vhdxgen/view.c vhdxgen/view.h

# vhdxgen: the command line over it.
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
	vhdxgen/map_ntfs.c \
	vhdxgen/map_print.c vhdxgen/map_print.h \
	vhdxgen/map_source.c vhdxgen/map_source.h \
	vhdxgen/map_vhdx.c \
	vhdxgen/output.c vhdxgen/output.h \
	vhdxgen/progress.c
vhdxgen_vhdxgen_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(DEVMAPPER_CFLAGS)
vhdxgen_vhdxgen_LDADD = libvhdxgen.a
if NTFS
vhdxgen_vhdxgen_LDADD += $(ntfs_libs)
endif
vhdxgen_vhdxgen_LDADD += $(device_libs) $(DEVMAPPER_LIBS) $(UUID_LIBS) $(JSON_LIBS)
dist_man_MANS += man/vhdxgen.1
