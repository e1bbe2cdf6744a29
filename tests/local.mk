# SPDX-License-Identifier: GPL-2.0-or-later
# Unit tests: a cmocka program per module.
unit_cflags = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
unit_ldadd = libvhdx.a libcommon.a $(UUID_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_extent
tests_unit_test_extent_SOURCES = tests/unit/test_extent.c
tests_unit_test_extent_CFLAGS = $(unit_cflags)
tests_unit_test_extent_LDADD = $(unit_ldadd)

check_PROGRAMS += tests/unit/test_log
tests_unit_test_log_SOURCES = tests/unit/test_log.c
tests_unit_test_log_CFLAGS = $(unit_cflags)
tests_unit_test_log_LDADD = $(unit_ldadd)

check_PROGRAMS += tests/unit/test_layout
tests_unit_test_layout_SOURCES = tests/unit/test_layout.c
tests_unit_test_layout_CFLAGS = $(unit_cflags)
tests_unit_test_layout_LDADD = $(unit_ldadd)

check_PROGRAMS += tests/unit/test_progress
tests_unit_test_progress_SOURCES = tests/unit/test_progress.c
tests_unit_test_progress_CFLAGS = $(unit_cflags)
tests_unit_test_progress_LDADD = $(unit_ldadd)

if DAEMON
# The daemon's modules. Their tests keep the log instead of printing it.
daemon_test_cflags = $(unit_cflags)
daemon_test_ldadd = $(daemon_libs) $(CMOCKA_LIBS)
daemon_test_support = tests/unit/unit.h tests/unit/log_kept.c \
	tests/unit/support.c tests/unit/support.h
shadow_sources = tests/unit/shadow.c tests/unit/shadow.h
shadow_ldflags = -Wl,--wrap=pwrite64 -Wl,--wrap=fdatasync -Wl,--wrap=fsync \
	-Wl,--wrap=posix_fadvise64

check_PROGRAMS += tests/unit/test_store
tests_unit_test_store_SOURCES = tests/unit/test_store.c $(shadow_sources) $(daemon_test_support)
tests_unit_test_store_CFLAGS = $(daemon_test_cflags)
tests_unit_test_store_LDADD = $(daemon_test_ldadd)
tests_unit_test_store_LDFLAGS = $(shadow_ldflags)

check_PROGRAMS += tests/unit/test_bat
tests_unit_test_bat_SOURCES = tests/unit/test_bat.c $(daemon_test_support)
tests_unit_test_bat_CFLAGS = $(daemon_test_cflags)
tests_unit_test_bat_LDADD = $(daemon_test_ldadd)

check_PROGRAMS += tests/unit/test_firewall
tests_unit_test_firewall_SOURCES = tests/unit/test_firewall.c $(daemon_test_support)
tests_unit_test_firewall_CFLAGS = $(daemon_test_cflags)
tests_unit_test_firewall_LDADD = $(daemon_test_ldadd)

check_PROGRAMS += tests/unit/test_guard
tests_unit_test_guard_SOURCES = tests/unit/test_guard.c \
	tests/unit/ramdisk.c tests/unit/ramdisk.h $(daemon_test_support)
tests_unit_test_guard_CFLAGS = $(daemon_test_cflags)
tests_unit_test_guard_LDADD = $(daemon_test_ldadd)

check_PROGRAMS += tests/unit/test_dos_attributes
tests_unit_test_dos_attributes_SOURCES = tests/unit/test_dos_attributes.c $(daemon_test_support)
tests_unit_test_dos_attributes_CFLAGS = $(daemon_test_cflags)
tests_unit_test_dos_attributes_LDADD = $(daemon_test_ldadd)

check_PROGRAMS += tests/unit/test_safety
tests_unit_test_safety_SOURCES = tests/unit/test_safety.c $(daemon_test_support)
tests_unit_test_safety_CFLAGS = $(daemon_test_cflags)
tests_unit_test_safety_LDADD = $(daemon_test_ldadd)

check_PROGRAMS += tests/unit/test_options
tests_unit_test_options_SOURCES = tests/unit/test_options.c $(daemon_test_support)
tests_unit_test_options_CFLAGS = $(daemon_test_cflags)
tests_unit_test_options_LDADD = $(daemon_test_ldadd)

check_PROGRAMS += tests/unit/test_datapath
tests_unit_test_datapath_SOURCES = tests/unit/test_datapath.c \
	tests/unit/ramdisk.c tests/unit/ramdisk.h $(shadow_sources) $(daemon_test_support)
tests_unit_test_datapath_CFLAGS = $(daemon_test_cflags)
tests_unit_test_datapath_LDADD = $(daemon_test_ldadd)
tests_unit_test_datapath_LDFLAGS = $(shadow_ldflags)

check_PROGRAMS += tests/unit/test_backing
tests_unit_test_backing_SOURCES = tests/unit/test_backing.c $(shadow_sources) $(daemon_test_support)
tests_unit_test_backing_CFLAGS = $(daemon_test_cflags)
tests_unit_test_backing_LDADD = $(daemon_test_ldadd)
tests_unit_test_backing_LDFLAGS = $(shadow_ldflags)

check_PROGRAMS += tests/unit/test_holders
tests_unit_test_holders_SOURCES = tests/unit/test_holders.c $(daemon_test_support)
tests_unit_test_holders_CFLAGS = $(daemon_test_cflags)
tests_unit_test_holders_LDADD = $(daemon_test_ldadd)
tests_unit_test_holders_LDFLAGS = -Wl,--wrap=fopen64

check_PROGRAMS += tests/unit/test_model
tests_unit_test_model_SOURCES = tests/unit/test_model.c $(daemon_test_support)
tests_unit_test_model_CFLAGS = $(daemon_test_cflags)
tests_unit_test_model_LDADD = $(daemon_test_ldadd)

check_PROGRAMS += tests/unit/test_metadata_sequences
tests_unit_test_metadata_sequences_SOURCES = tests/unit/test_metadata_sequences.c $(daemon_test_support)
tests_unit_test_metadata_sequences_CFLAGS = $(daemon_test_cflags)
tests_unit_test_metadata_sequences_LDADD = $(daemon_test_ldadd)

check_PROGRAMS += tests/unit/test_threads
tests_unit_test_threads_SOURCES = tests/unit/test_threads.c $(daemon_test_support)
tests_unit_test_threads_CFLAGS = $(daemon_test_cflags)
tests_unit_test_threads_LDADD = $(daemon_test_ldadd)

check_PROGRAMS += tests/unit/test_transport
tests_unit_test_transport_SOURCES = tests/unit/test_transport.c $(daemon_test_support)
tests_unit_test_transport_CFLAGS = $(daemon_test_cflags)
tests_unit_test_transport_LDADD = $(daemon_test_ldadd)

check_PROGRAMS += tests/unit/test_serve
tests_unit_test_serve_SOURCES = tests/unit/test_serve.c \
	fuse/serve.c fuse/tree.c $(daemon_test_support)
tests_unit_test_serve_CFLAGS = $(daemon_test_cflags) $(FUSE_CFLAGS)
tests_unit_test_serve_LDADD = $(daemon_test_ldadd) $(FUSE_LIBS)

check_PROGRAMS += tests/unit/test_overlay
tests_unit_test_overlay_SOURCES = tests/unit/test_overlay.c $(shadow_sources) $(daemon_test_support)
tests_unit_test_overlay_CFLAGS = $(daemon_test_cflags)
tests_unit_test_overlay_LDADD = $(daemon_test_ldadd)
tests_unit_test_overlay_LDFLAGS = $(shadow_ldflags) -Wl,--wrap=fallocate64

check_PROGRAMS += tests/unit/test_volume
tests_unit_test_volume_SOURCES = tests/unit/test_volume.c $(shadow_sources) $(daemon_test_support)
tests_unit_test_volume_CFLAGS = $(daemon_test_cflags)
tests_unit_test_volume_LDADD = $(daemon_test_ldadd)
tests_unit_test_volume_LDFLAGS = $(shadow_ldflags)

check_PROGRAMS += tests/unit/test_beside
tests_unit_test_beside_SOURCES = tests/unit/test_beside.c $(shadow_sources) $(daemon_test_support)
tests_unit_test_beside_CFLAGS = $(daemon_test_cflags)
tests_unit_test_beside_LDADD = $(daemon_test_ldadd)
tests_unit_test_beside_LDFLAGS = $(shadow_ldflags)

check_PROGRAMS += tests/unit/test_xattrs
tests_unit_test_xattrs_SOURCES = tests/unit/test_xattrs.c $(shadow_sources) $(daemon_test_support)
tests_unit_test_xattrs_CFLAGS = $(daemon_test_cflags)
tests_unit_test_xattrs_LDADD = $(daemon_test_ldadd)
tests_unit_test_xattrs_LDFLAGS = $(shadow_ldflags)
endif

# The rest of libvhdx, and the fuzz targets.
include tests/vhdx.mk
