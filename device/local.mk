# SPDX-License-Identifier: GPL-2.0-or-later
# libdevice: the partition below: which device a name means, who holds it, and, for the daemon, what it is, whether it may
# be served, and how it is taken, read and written. Without libblkid no tags.
noinst_LIBRARIES += libdevice.a
libdevice_a_SOURCES = \
	device/holders.c device/holders.h \
	device/source.c device/source.h
if DAEMON
libdevice_a_SOURCES += \
	device/backing.c device/backing.h \
	device/claim.c device/claim.h \
	device/disk.h \
	device/footprint.c device/footprint.h \
	device/null_disk.c device/null_disk.h \
	device/probe.c device/probe.h \
	device/safety.c device/safety.h
endif
libdevice_a_CFLAGS = $(AM_CFLAGS) $(BLKID_CFLAGS) $(EXT2FS_CFLAGS)
