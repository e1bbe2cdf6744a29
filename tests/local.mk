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
