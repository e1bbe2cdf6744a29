# libntfs: all that knows libntfs-3g. No other folder includes its headers. (What needs only its format, geometry.c and
# record.c, is in the daemon's library: that is there without libntfs-3g, too.)
noinst_LIBRARIES += libntfs.a
libntfs_a_SOURCES = \
	ntfs/acl.c ntfs/acl.h \
	ntfs/build.c ntfs/build.h \
	ntfs/error.c ntfs/error.h \
	ntfs/mkntfs.c ntfs/mkntfs.h \
	ntfs/reader.c ntfs/reader.h \
	ntfs/runs.c ntfs/runs.h \
	ntfs/state.c ntfs/state.h
libntfs_a_CFLAGS = $(AM_CFLAGS) $(NTFS_CFLAGS)
ntfs_libs = libntfs.a libcommon.a $(NTFS_LIBS)
