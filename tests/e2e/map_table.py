#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
What device-mapper would do with a table of linear targets, without a kernel that has it.

    map_table.py cat TABLE [DEVICE]         the disk's bytes on stdout, read from the device
    map_table.py read TABLE OFFSET LENGTH [DEVICE]   a part of them, in bytes
    map_table.py write TABLE DATA [DEVICE]  DATA written to the disk
    map_table.py same TABLE RUNS PAYLOAD    the table is what RUNS (of ntfs_craft.py) and a payload in order from
                                            byte PAYLOAD of the file on say

DEVICE is used in place of the table's.
"""

import sys


def lines(table):
    """(offset, length, device, place) in bytes; checks that the table has no gap."""
    end = 0
    with open(table, encoding="ascii") as f:
        for line in f:
            start, length, target, device, place = line.split()
            assert target == "linear" and int(start) == end and int(length) > 0, line
            end += int(length)
            yield 512 * int(start), 512 * int(length), device, 512 * int(place)


def cat(table, device=None):
    read(table, 0, 1 << 62, device)


def read(table, offset, count, device=None):
    offset, end = int(offset), int(offset) + int(count)
    for start, length, named, place in lines(table):
        skip = max(offset - start, 0)
        length = min(length, end - start) - skip
        if length <= 0:
            continue
        with open(device or named, "rb") as f:
            f.seek(place + skip)
            while length:
                data = f.read(min(length, 1 << 20))
                assert data, "the device ends before"
                sys.stdout.buffer.write(data)
                length -= len(data)


def write(table, source, device=None):
    with open(source, "rb") as data:
        for _, length, named, place in lines(table):
            with open(device or named, "r+b") as f:
                f.seek(place)
                f.write(data.read(length))


def same(table, runs, payload):
    """Sector by sector would take long for 2 TiB: both sides are merged to the same pieces first."""
    def merged(pieces):
        out = []
        for length, place in pieces:
            if out and out[-1][0] + out[-1][1] == place:
                out[-1][0] += length
            else:
                out.append([length, place])
        return [(place, length) for length, place in out]

    ours = [(length, place) for _, length, _, place in lines(table)]
    left, theirs = sum(length for length, _ in ours), []
    with open(runs, encoding="ascii") as f:
        for line in f:
            offset, length, place = (int(word) for word in line.split())
            skip = min(max(int(payload) - offset, 0), length)
            n = min(length - skip, left)
            if n > 0:
                theirs.append((n, place + skip))
                left -= n
    assert left == 0, "the file ends before the table does"
    # merged() wants the growing length in its first field
    assert merged(ours) == merged(theirs), f"{merged(ours)[:4]} ... {merged(theirs)[:4]} ..."


if __name__ == "__main__":
    verbs = {"cat": cat, "read": read, "write": write, "same": same}
    if len(sys.argv) < 3 or sys.argv[1] not in verbs:
        sys.exit(__doc__)
    verbs[sys.argv[1]](*sys.argv[2:])
