# SPDX-License-Identifier: GPL-2.0-or-later
# common: no knowledge of VHDX, of devices or of FUSE.
noinst_LIBRARIES += libcommon.a
libcommon_a_SOURCES = \
	common/bytes.h \
	common/cleanup.h \
	common/clock.h \
	common/crc32c.c common/crc32c.h \
	common/extent.c common/extent.h \
	common/failure.c common/failure.h \
	common/guid.c common/guid.h \
	common/io.c common/io.h \
	common/log.c common/log.h \
	common/progress.c common/progress.h \
	common/rwlock.h \
	common/units.c common/units.h
libcommon_a_CFLAGS = $(AM_CFLAGS) $(UUID_CFLAGS)
