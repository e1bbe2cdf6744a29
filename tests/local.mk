# Unit tests: a cmocka program per module.
unit_cflags = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
unit_ldadd = libvhdxgen.a libcommon.a $(UUID_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_extent
tests_unit_test_extent_SOURCES = tests/unit/test_extent.c
tests_unit_test_extent_CFLAGS = $(unit_cflags)
tests_unit_test_extent_LDADD = $(unit_ldadd)

check_PROGRAMS += tests/unit/test_layout
tests_unit_test_layout_SOURCES = tests/unit/test_layout.c
tests_unit_test_layout_CFLAGS = $(unit_cflags)
tests_unit_test_layout_LDADD = $(unit_ldadd)

if DAEMON
# The daemon's modules. Their tests keep the log instead of printing it.
daemon_test_cflags = $(unit_cflags)
daemon_test_ldadd = $(daemon_libs) $(CMOCKA_LIBS)
daemon_test_support = tests/unit/unit.h tests/unit/log_kept.c \
	tests/unit/support.c tests/unit/support.h

check_PROGRAMS += tests/unit/test_store
tests_unit_test_store_SOURCES = tests/unit/test_store.c \
	tests/unit/shadow.c tests/unit/shadow.h $(daemon_test_support)
tests_unit_test_store_CFLAGS = $(daemon_test_cflags)
tests_unit_test_store_LDADD = $(daemon_test_ldadd)
tests_unit_test_store_LDFLAGS = -Wl,--wrap=pwrite64 -Wl,--wrap=fdatasync -Wl,--wrap=fsync \
	-Wl,--wrap=posix_fadvise64

check_PROGRAMS += tests/unit/test_overlay
tests_unit_test_overlay_SOURCES = tests/unit/test_overlay.c \
	tests/unit/shadow.c tests/unit/shadow.h $(daemon_test_support)
tests_unit_test_overlay_CFLAGS = $(daemon_test_cflags)
tests_unit_test_overlay_LDADD = $(daemon_test_ldadd)
tests_unit_test_overlay_LDFLAGS = -Wl,--wrap=pwrite64 -Wl,--wrap=fdatasync -Wl,--wrap=fsync \
	-Wl,--wrap=posix_fadvise64 -Wl,--wrap=fallocate64
endif
