# libntfs: all that knows libntfs-3g. No other folder includes its headers.
noinst_LIBRARIES += libntfs.a
libntfs_a_SOURCES = \
	ntfs/error.c ntfs/error.h \
	ntfs/reader.c ntfs/reader.h \
	ntfs/runs.c ntfs/runs.h \
	ntfs/state.c ntfs/state.h
libntfs_a_CFLAGS = $(AM_CFLAGS) $(NTFS_CFLAGS)
ntfs_libs = libntfs.a libcommon.a $(NTFS_LIBS)
