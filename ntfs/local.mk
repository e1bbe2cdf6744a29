# SPDX-License-Identifier: GPL-2.0-or-later
# libntfs: NTFS: what libntfs-3g knows, and no other folder includes its headers; and the little of the format that is read
# without it.
noinst_LIBRARIES += libntfs.a
libntfs_a_SOURCES = \
	ntfs/geometry.c ntfs/geometry.h \
	ntfs/record.c ntfs/record.h
if NTFS
libntfs_a_SOURCES += \
	ntfs/acl.c ntfs/acl.h \
	ntfs/build.c ntfs/build.h \
	ntfs/error.c ntfs/error.h \
	ntfs/mkntfs.c ntfs/mkntfs.h \
	ntfs/reader.c ntfs/reader.h \
	ntfs/runs.c ntfs/runs.h \
	ntfs/state.c ntfs/state.h
else
libntfs_a_SOURCES += ntfs/build_none.c
endif
libntfs_a_CFLAGS = $(AM_CFLAGS) $(NTFS_CFLAGS)
