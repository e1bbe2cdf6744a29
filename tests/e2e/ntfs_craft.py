#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
Reads and spoils NTFS volumes for tests. It knows only what it needs and shares no code with
libntfs-3g, so it is a second opinion on run lists as well.

    ntfs_craft.py IMAGE runs NAME             "offset length place" of each run, in bytes
    ntfs_craft.py IMAGE reparse NAME          "yes" if it is a reparse point
    ntfs_craft.py IMAGE flag NAME FLAG...     set file attributes: sparse compressed encrypted reparse
    ntfs_craft.py IMAGE data-flag NAME FLAG   also in the header of the data attribute, as it should be
    ntfs_craft.py IMAGE initialized NAME N    bytes that count as written
    ntfs_craft.py IMAGE place NAME SIZE [BYTE LENGTH]...   move to these places, and grow
    ntfs_craft.py IMAGE move NAME             its last cluster to another place, as a defragmenter does
    ntfs_craft.py IMAGE hole NAME             a hole in the middle, without the sparse flag
    ntfs_craft.py IMAGE beyond NAME           its last run leaves the volume
    ntfs_craft.py IMAGE free NAME             its clusters are free in $Bitmap
    ntfs_craft.py IMAGE volume dirty|chkdsk   flags of $Volume
    ntfs_craft.py IMAGE log clean|unclean|cached   restart pages in place of an empty log
    ntfs_craft.py IMAGE oem TEXT              the boot sector's OEM name

NAME is the last part of a path; only one file may have it.
"""

import struct
import sys

STANDARD_INFORMATION, FILE_NAME, VOLUME_INFORMATION, DATA = 0x10, 0x30, 0x70, 0x80
FILE_FLAGS = {"sparse": 0x200, "reparse": 0x400, "compressed": 0x800, "encrypted": 0x4000}
DATA_FLAGS = {"sparse": 0x8000, "compressed": 0x0001, "encrypted": 0x4000}
REFERENCE = (1 << 48) - 1  # the number in a reference to a record
VOLUME_FLAGS = {"dirty": 0x0001, "chkdsk": 0x4000}


def u16(b, at):
    return struct.unpack_from("<H", b, at)[0]


def u32(b, at):
    return struct.unpack_from("<I", b, at)[0]


def u64(b, at):
    return struct.unpack_from("<Q", b, at)[0]


def protect(block, sequence=1):
    """Multi-sector protection: the last two bytes of each sector become the sequence number."""
    block = bytearray(block)
    at, count = u16(block, 4), u16(block, 6)
    struct.pack_into("<H", block, at, sequence)
    for i in range(1, count):
        block[at + 2 * i:at + 2 * i + 2] = block[512 * i - 2:512 * i]
        struct.pack_into("<H", block, 512 * i - 2, sequence)
    return bytes(block)


def unprotect(block):
    block = bytearray(block)
    at, count = u16(block, 4), u16(block, 6)
    for i in range(1, count):
        assert block[512 * i - 2:512 * i] == block[at:at + 2], "torn record"
        block[512 * i - 2:512 * i] = block[at + 2 * i:at + 2 * i + 2]
    return block


def decode_runs(pairs):
    """Mapping pairs to (clusters, lcn); lcn is None for a hole."""
    runs, at, lcn = [], 0, 0
    while pairs[at]:
        n_length, n_offset = pairs[at] & 15, pairs[at] >> 4
        length = int.from_bytes(pairs[at + 1:at + 1 + n_length], "little", signed=True)
        if n_offset:
            start = at + 1 + n_length
            lcn += int.from_bytes(pairs[start:start + n_offset], "little", signed=True)
        runs.append((length, lcn if n_offset else None))
        at += 1 + n_length + n_offset
    return runs


def encode_number(value):
    for n in range(1, 9):
        if -(1 << 8 * n - 1) <= value < 1 << 8 * n - 1:
            return value.to_bytes(n, "little", signed=True)
    raise ValueError(value)


def encode_runs(runs):
    out, last = b"", 0
    for length, lcn in runs:
        count = encode_number(length)
        delta = b"" if lcn is None else encode_number(lcn - last)
        out += bytes([len(delta) << 4 | len(count)]) + count + delta
        last = last if lcn is None else lcn
    return out + b"\0"


class Volume:
    def __init__(self, path):
        self.file = open(path, "r+b")
        boot = self.pread(0, 512)
        self.sector = u16(boot, 11)
        per = boot[13]
        self.cluster = self.sector * (per if per <= 128 else 1 << 256 - per)
        size = struct.unpack_from("<b", boot, 64)[0]
        self.record_size = size * self.cluster if size > 0 else 1 << -size
        self.clusters = u64(boot, 40) * self.sector // self.cluster
        self.mft = [(1 << 40, u64(boot, 48))]  # until record 0 has told
        runs = self.runs(0)
        self.mft = runs
        self.records = sum(n for n, _ in runs) * self.cluster // self.record_size

    def pread(self, at, n):
        self.file.seek(at)
        return self.file.read(n)

    def pwrite(self, at, data):
        self.file.seek(at)
        self.file.write(data)

    def place(self, runs, offset):
        for length, lcn in runs:
            if offset < length * self.cluster:
                return lcn * self.cluster + offset
            offset -= length * self.cluster
        raise ValueError("behind the end")

    def record(self, number):
        return unprotect(self.pread(self.place(self.mft, number * self.record_size), self.record_size))

    def write_record(self, number, record):
        data = protect(record, u16(record, u16(record, 4)) % 0xfffe + 1)
        self.pwrite(self.place(self.mft, number * self.record_size), data)
        mirror = self.runs(1)[0][1] * self.cluster
        if number < 4:
            self.pwrite(mirror + number * self.record_size, data)

    def attributes(self, record):
        at = u16(record, 20)
        while u32(record, at) != 0xffffffff:
            yield at, u32(record, at), u32(record, at + 4)
            at += u32(record, at + 4)

    def attribute(self, record, kind):
        for at, this, length in self.attributes(record):
            if this == kind and record[at + 9] == 0:
                return at, length
        raise ValueError(f"no attribute 0x{kind:x}")

    def in_use(self):
        for number in range(self.records):
            raw = self.pread(self.place(self.mft, number * self.record_size), self.record_size)
            if raw[:4] == b"FILE" and u16(raw, 22) & 1:
                yield number, unprotect(raw)

    def find(self, name):
        found = []
        for number, record in self.in_use():
            for at, kind, _ in self.attributes(record):
                value = at + u16(record, at + 20)
                if kind != FILE_NAME or record[at + 8]:
                    continue
                text = bytes(record[value + 66:value + 66 + 2 * record[value + 64]]).decode("utf-16le")
                base = u64(record, 32) & REFERENCE or number  # the name may be in an extension record
                if text == name and base not in found:
                    found.append(base)
        assert len(found) == 1, f"{name}: records {found}"
        return found[0]

    def runs(self, number):
        """Of all the file's data attributes, also those in extension records."""
        parts = []
        records = [self.record(number)]
        if number > 15:
            records += [r for _, r in self.in_use() if u64(r, 32) & REFERENCE == number]
        for record in records:
            for at, kind, _ in self.attributes(record):
                if kind == DATA and record[at + 9] == 0:
                    assert record[at + 8], "resident"
                    parts.append((u64(record, at + 16), decode_runs(record[at + u16(record, at + 32):])))
        return [run for _, part in sorted(parts) for run in part]

    def set_runs(self, number, runs, size=None):
        """Only for files whose data attribute, the last one, lies in the base record."""
        record = self.record(number)
        at, length = self.attribute(record, DATA)
        pairs = at + u16(record, at + 32)
        encoded = encode_runs(runs)
        encoded += bytes(-(pairs - at + len(encoded)) % 8)
        tail = record[at + length:u32(record, 24)]
        record[pairs:pairs + len(encoded)] = encoded
        end = pairs + len(encoded)
        assert end + len(tail) <= self.record_size - 8, "the run list does not fit"
        record[end:end + len(tail)] = tail
        struct.pack_into("<I", record, at + 4, end - at)
        struct.pack_into("<I", record, 24, end + len(tail))
        clusters = sum(n for n, _ in runs)
        struct.pack_into("<Q", record, at + 24, clusters - 1)
        struct.pack_into("<Q", record, at + 40, clusters * self.cluster)
        if size is not None:
            struct.pack_into("<QQ", record, at + 48, size, size)
        self.write_record(number, record)

    def mark(self, runs, used):
        bitmap = self.runs(6)
        for length, lcn in runs:
            first, end = lcn // 8, (lcn + length + 7) // 8
            at = self.place(bitmap, first)
            bits = bytearray(self.pread(at, end - first))
            if used and lcn % 8 == 0 and length % 8 == 0:
                assert not any(bits), "clusters are taken"
                bits = b"\xff" * len(bits)
            else:
                for i in range(lcn - first * 8, lcn - first * 8 + length):
                    bits[i // 8] = bits[i // 8] & ~(1 << i % 8) | used << i % 8
            self.pwrite(at, bits)


def show_runs(volume, name):
    offset = 0
    for length, lcn in volume.runs(volume.find(name)):
        place = "hole" if lcn is None else lcn * volume.cluster
        print(offset, length * volume.cluster, place)
        offset += length * volume.cluster


def set_flags(volume, name, *flags):
    number = volume.find(name)
    record = volume.record(number)
    at, _ = volume.attribute(record, STANDARD_INFORMATION)
    value = at + u16(record, at + 20)
    for flag in flags:
        struct.pack_into("<I", record, value + 32, u32(record, value + 32) | FILE_FLAGS[flag])
    volume.write_record(number, record)


def show_reparse(volume, name):
    record = volume.record(volume.find(name))
    at, _ = volume.attribute(record, STANDARD_INFORMATION)
    flags = u32(record, at + u16(record, at + 20) + 32)
    print("yes" if flags & FILE_FLAGS["reparse"] else "no")


def set_data_flag(volume, name, flag):
    set_flags(volume, name, flag)
    number = volume.find(name)
    record = volume.record(number)
    at, length = volume.attribute(record, DATA)
    struct.pack_into("<H", record, at + 12, DATA_FLAGS[flag])
    if flag != "encrypted":  # then the header has a compression unit, and the size on the disk at its end
        end, pairs = u32(record, 24), u16(record, at + 32)
        assert pairs == 64
        record[at + pairs + 8:end + 8] = record[at + pairs:end]
        struct.pack_into("<HH", record, at + 32, pairs + 8, 4)
        struct.pack_into("<Q", record, at + pairs, u64(record, at + 40))
        struct.pack_into("<I", record, at + 4, length + 8)
        struct.pack_into("<I", record, 24, end + 8)
    volume.write_record(number, record)


def set_initialized(volume, name, count):
    number = volume.find(name)
    record = volume.record(number)
    at, _ = volume.attribute(record, DATA)
    struct.pack_into("<Q", record, at + 56, int(count))
    volume.write_record(number, record)


def place(volume, name, size, *numbers):
    """The file must be non-resident; the clusters it had stay marked, the new ones get marked."""
    number = volume.find(name)
    values = [int(n) // volume.cluster for n in numbers]
    runs = list(zip(values[1::2], values[::2]))
    volume.mark(runs, 1)
    volume.set_runs(number, runs, int(size))


def move(volume, name):
    number = volume.find(name)
    *rest, (length, lcn) = volume.runs(number)
    bitmap = volume.runs(6)
    free = next(n for n in range(volume.clusters)
                if not volume.pread(volume.place(bitmap, n // 8), 1)[0] >> n % 8 & 1)
    last = lcn + length - 1
    volume.pwrite(free * volume.cluster, volume.pread(last * volume.cluster, volume.cluster))
    volume.mark([(1, free)], 1)
    volume.set_runs(number, rest + [(length - 1, lcn), (1, free)])
    volume.mark([(1, last)], 0)


def punch(volume, name):
    number = volume.find(name)
    (length, lcn), *rest = volume.runs(number)
    assert length > 16
    middle = length * 3 // 4
    volume.set_runs(number, [(middle, lcn), (1, None), (length - middle - 1, lcn + middle + 1)] + rest)


def leave(volume, name):
    number = volume.find(name)
    *rest, (length, _) = volume.runs(number)
    volume.set_runs(number, rest + [(length, volume.clusters - length // 2)])


def set_free(volume, name):
    volume.mark(volume.runs(volume.find(name)), 0)


def set_volume(volume, flag):
    record = volume.record(3)
    at, _ = volume.attribute(record, VOLUME_INFORMATION)
    value = at + u16(record, at + 20)
    struct.pack_into("<H", record, value + 10, u16(record, value + 10) | VOLUME_FLAGS[flag])
    volume.write_record(3, record)


def set_log(volume, state):
    """A restart page as Windows leaves it: one client, and whether it has gone (logfile.h)."""
    log = volume.runs(2)
    size = log[0][0] * volume.cluster
    clean = state != "unclean"
    page = bytearray(4096)
    page[:4] = b"RSTR"
    struct.pack_into("<HHQIIHHH", page, 4, 0x1e, 9, 0, 4096, 4096, 0x30, 0 if state == "cached" else 1,
                     2 if state == "cached" else 1)
    struct.pack_into("<QHHHHIHHQIHHII", page, 0x30, 0x1000, 1, 0 if clean else 0xffff,
                     0xffff if clean else 0, 2 if clean else 0, 67 - size.bit_length(), 0x40 + 160, 0x40, size,
                     0x28, 0x30, 0x40, 1, 0)
    struct.pack_into("<QQHHH6xI8s", page, 0x70, 0, 0x1000, 0xffff, 0xffff, 1, 8, "NTFS".encode("utf-16le"))
    at = log[0][1] * volume.cluster
    volume.pwrite(at, protect(page) * 2)


def set_oem(volume, text):
    volume.pwrite(3, text.encode().ljust(8)[:8])


VERBS = {"runs": show_runs, "reparse": show_reparse, "flag": set_flags, "data-flag": set_data_flag, "initialized": set_initialized,
         "place": place, "move": move, "hole": punch, "beyond": leave, "free": set_free, "volume": set_volume,
         "log": set_log, "oem": set_oem}

if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[2] not in VERBS:
        sys.exit(__doc__)
    the_volume = Volume(sys.argv[1])
    VERBS[sys.argv[2]](the_volume, *sys.argv[3:])
    the_volume.file.close()
