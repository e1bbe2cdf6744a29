# libvhdxgen: the format, pure: buffers and callbacks, no printing, no globals.
noinst_LIBRARIES += libvhdxgen.a
libvhdxgen_a_SOURCES = \
	vhdxgen/decode.c vhdxgen/decode.h \
	vhdxgen/encode.c vhdxgen/encode.h \
	vhdxgen/format.h \
	vhdxgen/layout.c vhdxgen/layout.h

# vhdxgen: the command line over it.
bin_PROGRAMS += vhdxgen/vhdxgen
vhdxgen_vhdxgen_SOURCES = vhdxgen/main.c
vhdxgen_vhdxgen_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS)
vhdxgen_vhdxgen_LDADD = libvhdxgen.a libcommon.a $(UUID_LIBS) $(JSON_LIBS)
dist_man_MANS += man/vhdxgen.1
