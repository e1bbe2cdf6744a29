# SPDX-License-Identifier: GPL-2.0-or-later
# Helpers of the end-to-end and guest tests; "make check" builds them.
EXTRA_PROGRAMS += tests/tools/storm tests/tools/replay-log tests/tools/poke
CLEANFILES = $(EXTRA_PROGRAMS)
check-local: $(EXTRA_PROGRAMS)

tests_tools_storm_SOURCES = tests/tools/storm.c \
	tests/tools/lanes.c tests/tools/lanes.h \
	tests/tools/oracle.c tests/tools/oracle.h
tests_tools_storm_CFLAGS = $(AM_CFLAGS) -pthread
tests_tools_storm_LDADD = libvhdx.a libcommon.a $(UUID_LIBS)

tests_tools_replay_log_SOURCES = tests/tools/replay-log.c
tests_tools_replay_log_LDADD = libcommon.a $(UUID_LIBS)

tests_tools_poke_SOURCES = tests/tools/poke.c
tests_tools_poke_LDADD = libcommon.a $(UUID_LIBS)
