# SPDX-License-Identifier: GPL-2.0-or-later
# Tests of libvhdx, and every fuzz target; see also tests/corpus and tests/fuzz.
check_PROGRAMS += tests/unit/test_check
tests_unit_test_check_SOURCES = tests/unit/test_check.c tests/unit/memory.c tests/unit/memory.h
tests_unit_test_check_CFLAGS = $(unit_cflags)
tests_unit_test_check_LDFLAGS = -Wl,--wrap=malloc,--wrap=calloc,--wrap=reallocarray
tests_unit_test_check_LDADD = $(unit_ldadd)

check_PROGRAMS += tests/unit/test_map
tests_unit_test_map_SOURCES = tests/unit/test_map.c tests/unit/memory.c tests/unit/memory.h \
	vhdxgen/fiemap.c
tests_unit_test_map_CFLAGS = $(unit_cflags)
tests_unit_test_map_LDADD = libvhdx.a libdevice.a libcommon.a $(UUID_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_replay
tests_unit_test_replay_SOURCES = tests/unit/test_replay.c tests/unit/memory.c tests/unit/memory.h
tests_unit_test_replay_CFLAGS = $(unit_cflags)
tests_unit_test_replay_LDADD = $(unit_ldadd)

check_PROGRAMS += tests/unit/test_text
tests_unit_test_text_SOURCES = tests/unit/test_text.c
tests_unit_test_text_CFLAGS = $(unit_cflags)
tests_unit_test_text_LDADD = $(unit_ldadd)

# Fuzz targets, over the committed corpus; tests/fuzz/build makes the real fuzzers.
fuzz_sources = tests/fuzz/packed.c tests/fuzz/packed.h tests/fuzz/replay_main.c
fuzz_ldadd = libvhdx.a libcommon.a $(UUID_LIBS)

check_PROGRAMS += tests/fuzz/corpus_check
tests_fuzz_corpus_check_SOURCES = tests/fuzz/fuzz_check.c $(fuzz_sources)
tests_fuzz_corpus_check_LDADD = $(fuzz_ldadd)

check_PROGRAMS += tests/fuzz/corpus_metadata
tests_fuzz_corpus_metadata_SOURCES = tests/fuzz/fuzz_metadata.c $(fuzz_sources)
tests_fuzz_corpus_metadata_LDADD = $(fuzz_ldadd)

check_PROGRAMS += tests/fuzz/corpus_replay
tests_fuzz_corpus_replay_SOURCES = tests/fuzz/fuzz_replay.c $(fuzz_sources)
tests_fuzz_corpus_replay_LDADD = $(fuzz_ldadd)

if DAEMON
check_PROGRAMS += tests/fuzz/corpus_state
tests_fuzz_corpus_state_SOURCES = tests/fuzz/fuzz_state.c $(fuzz_sources)
tests_fuzz_corpus_state_LDADD = liboverlay.a libvolume.a libstate.a libntfs.a $(fuzz_ldadd)

check_PROGRAMS += tests/fuzz/corpus_watch
tests_fuzz_corpus_watch_SOURCES = tests/fuzz/fuzz_watch.c $(fuzz_sources)
tests_fuzz_corpus_watch_LDADD = libvolume.a libstate.a libntfs.a $(fuzz_ldadd)
endif

check_PROGRAMS += tests/fuzz/corpus_map
tests_fuzz_corpus_map_SOURCES = tests/fuzz/fuzz_map.c vhdxgen/fiemap.c $(fuzz_sources)
tests_fuzz_corpus_map_LDADD = libvhdx.a libdevice.a libcommon.a $(UUID_LIBS)

EXTRA_DIST += tests/coverage tests/fuzz/build tests/fuzz/corpus tests/fuzz/fuzz_runs.c tests/fuzz/ntfs-image \
	tests/corpus/cases.py tests/corpus/corpus.py tests/corpus/vhdxlib.py

# Not a test by itself: tests/e2e/vhdxgen-create.sh runs it on what create makes.
EXTRA_PROGRAMS += tests/corpus/reencode
tests_corpus_reencode_SOURCES = tests/corpus/reencode.c
tests_corpus_reencode_LDADD = $(fuzz_ldadd)
