# SPDX-License-Identifier: GPL-2.0-or-later
# libdaemon: all of vhdxfs but the files that talk to libfuse, so that tests can link it.
noinst_LIBRARIES += libdaemon.a
libdaemon_a_SOURCES = \
	fuse/daemon.c fuse/daemon.h \
	fuse/dos_attributes.c fuse/dos_attributes.h \
	fuse/mountpoint.c fuse/mountpoint.h \
	fuse/options.c fuse/options.h \
	fuse/pace.h \
	fuse/ring.c fuse/ring.h \
	fuse/slots.c fuse/slots.h \
	fuse/wire.c fuse/wire.h \
	fuse/workers.c fuse/workers.h
libdaemon_a_CFLAGS = $(AM_CFLAGS) $(URING_CFLAGS)
daemon_libs = libdaemon.a libexport.a libvolume.a liboverlay.a libstate.a libntfs.a libdevice.a libvhdx.a libcommon.a \
	$(NTFS_LIBS) $(BLKID_LIBS) $(EXT2FS_LIBS) $(UUID_LIBS) $(URING_LIBS)

# vhdxfs: the daemon.
sbin_PROGRAMS += fuse/vhdxfs
fuse_vhdxfs_SOURCES = \
	fuse/ending.c fuse/ending.h \
	fuse/libfuse.h \
	fuse/main.c \
	fuse/operations.c fuse/operations.h \
	fuse/privileges.c fuse/privileges.h \
	fuse/serve.c fuse/serve.h \
	fuse/beside_operations.c fuse/beside_operations.h \
	fuse/transport.c fuse/transport.h \
	fuse/tree.c fuse/tree.h \
	fuse/xattr_operations.c fuse/xattr_operations.h
fuse_vhdxfs_CFLAGS = $(AM_CFLAGS) $(FUSE_CFLAGS) $(CAP_CFLAGS) $(SECCOMP_CFLAGS)
fuse_vhdxfs_LDADD = $(daemon_libs) $(FUSE_LIBS) $(CAP_LIBS) $(SECCOMP_LIBS)
dist_man_MANS += man/vhdxfs.8
