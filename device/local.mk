# libdevice: which device a name means, and who holds it; for the daemon and for vhdxgen. Without libblkid no tags.
noinst_LIBRARIES += libdevice.a
libdevice_a_SOURCES = \
	device/holders.c device/holders.h \
	device/source.c device/source.h
libdevice_a_CFLAGS = $(AM_CFLAGS) $(BLKID_CFLAGS)
device_libs = libdevice.a libcommon.a $(BLKID_LIBS)
