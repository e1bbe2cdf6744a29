# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes VHDX files field by field, right or wrong. Shares no code with libvhdx."""

import struct
import uuid

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40

BAT = "2dc27766-f623-4200-9d64-115e9bfd4a08"
METADATA = "8b7ca206-4790-4b9a-b8fe-575f050f886e"
PARAMETERS = "caa16737-fa36-4d43-b3b6-33f0aa44e76b"
DISK_SIZE = "2fa54224-cd1b-4876-b211-5dbed83bf4b8"
LOGICAL = "8141bf1d-a96f-4709-ba47-f233a8faab5f"
PHYSICAL = "cda348c7-445d-4471-9cc9-e9885251c556"
DISK_ID = "beca12ab-b2e6-4523-93ef-c309e000c746"
LOCATOR = "a8d35f2d-b30b-454d-abf7-d3d84834ab0c"
INCOMPLETE = "71cc85f0-1b69-4e28-9558-c3bf83ae75d3"
LOCATOR_TYPE = "b04aefb7-d19e-4a81-b789-25b8e9445913"
NULL = "00000000-0000-0000-0000-000000000000"
SESSION = "11111111-2222-4333-8444-555555555555"
OLD_SESSION = "99999999-2222-4333-8444-555555555555"
STRANGER = "deadbeef-0000-4000-8000-000000000001"

USER, VIRTUAL, REQUIRED = 1, 2, 4


def guid(text):
    return uuid.UUID(text).bytes_le


def _crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _crc_table()
_known = {}


def crc32c(data):
    data = bytes(data)
    if data not in _known:
        crc = 0xFFFFFFFF
        for byte in data:
            crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
        _known[data] = crc ^ 0xFFFFFFFF
    return _known[data]


def sealed(data, at=4):
    """DATA with the checksum over all of it at offset AT."""
    data = bytearray(data)
    data[at:at + 4] = bytes(4)
    struct.pack_into("<I", data, at, crc32c(data))
    return data


class Header:
    def __init__(self, sequence):
        self.signature = b"head"
        self.sequence = sequence
        self.file_write = "aaaaaaaa-0000-4000-8000-000000000001"
        self.data_write = "aaaaaaaa-0000-4000-8000-000000000002"
        self.log_guid = NULL
        self.log_version, self.version = 0, 1
        self.log_length, self.log_offset = MIB, MIB
        self.reserved = b""

    def encode(self):
        data = struct.pack("<4sIQ", self.signature, 0, self.sequence)
        data += guid(self.file_write) + guid(self.data_write) + guid(self.log_guid)
        data += struct.pack("<HHIQ", self.log_version, self.version, self.log_length,
                            self.log_offset)
        return sealed((data + self.reserved).ljust(4096, b"\0"))


class Table:
    """A region table; entries are [guid, offset, length, flags]."""

    def __init__(self):
        self.entries = []
        self.count = None
        self.reserved = 0
        self.stale = b""

    def encode(self):
        count = len(self.entries) if self.count is None else self.count
        data = struct.pack("<4sIII", b"regi", 0, count, self.reserved)
        for entry in self.entries:
            data += guid(entry[0]) + struct.pack("<QII", *entry[1:])
        return sealed((data + self.stale).ljust(64 * KIB, b"\0"))


class Item:
    def __init__(self, name, flags, value, offset=None, length=None):
        self.guid, self.flags, self.value = name, flags, value
        self.offset, self.length, self.reserved2 = offset, length, 0


class Entry:
    """A log entry; writes are (file offset, 4096 bytes) or (file offset, length of zeros)."""

    def __init__(self, at, sequence, tail, writes=(), session=SESSION, flushed=0, last=0):
        self.at, self.sequence, self.tail = at, sequence, tail
        self.writes, self.session = list(writes), session
        self.flushed, self.last = flushed, last
        self.edit = None    # called with the bytes before the checksum is made
        self.damage = None  # and after it

    def encode(self):
        count = len(self.writes)
        area = (64 + 32 * count + 4095) // 4096 * 4096
        head, sectors = b"", b""
        for offset, data in self.writes:
            if isinstance(data, int):
                head += struct.pack("<4sIQQQ", b"zero", 0, data, offset, self.sequence)
                continue
            head += b"desc" + data[-4:] + data[:8] + struct.pack("<QQ", offset, self.sequence)
            sectors += b"data" + struct.pack("<I", self.sequence >> 32) + data[8:-4]
            sectors += struct.pack("<I", self.sequence & 0xFFFFFFFF)
        length = area + len(sectors)
        data = struct.pack("<4sIIIQII", b"loge", 0, length, self.tail, self.sequence, count, 0)
        data += guid(self.session) + struct.pack("<QQ", self.flushed, self.last) + head
        data = bytearray(data.ljust(area, b"\0") + sectors)
        if self.edit:
            self.edit(data)
        data = sealed(data)
        if self.damage:
            self.damage(data)
        return data


def locator(pairs, kind=LOCATOR_TYPE, reserved=0):
    """The value of a ParentLocator item."""
    head = guid(kind) + struct.pack("<HH", reserved, len(pairs))
    at, text = 20 + 12 * len(pairs), b""
    for key, value in pairs:
        key, value = key.encode("utf-16le"), value.encode("utf-16le")
        head += struct.pack("<IIHH", at, at + len(key), len(key), len(value))
        at += len(key) + len(value)
        text += key + value
    return head + text


class Image:
    """A whole file; everything in it can be changed until write()."""

    def __init__(self, kind="fixed", size=4 * MIB, block=MIB, sector=512):
        self.kind, self.size, self.block, self.sector = kind, size, block, sector
        self.signature, self.creator = b"vhdxfile", "corpus"
        self.blocks = -(-size // block)
        self.ratio = (1 << 23) * sector // block
        self.entries = self.blocks + (self.blocks - 1) // self.ratio
        if kind == "differencing":
            self.entries = -(-self.blocks // self.ratio) * (self.ratio + 1)
        self.headers = [Header(1), Header(2)]
        self.meta_at, self.meta_length = 2 * MIB, MIB
        self.bat_at = 3 * MIB
        self.bat_length = max(MIB, -(-8 * self.entries // MIB) * MIB)
        self.payload = self.bat_at + self.bat_length
        self.bat = [0] * self.entries
        self.bat_stale = b""
        self.file_size = self.payload
        if kind == "fixed":
            for b in range(self.blocks):
                self.place(b, self.payload + b * block)
            self.file_size = self.payload + self.blocks * block
        self.tables = [Table(), Table()]
        for table in self.tables:
            table.entries = [[BAT, self.bat_at, self.bat_length, 1],
                             [METADATA, self.meta_at, self.meta_length, 1]]
        flags = {"fixed": 1, "dynamic": 0, "differencing": 2}[kind]
        self.items = [
            Item(PARAMETERS, REQUIRED, struct.pack("<II", block, flags)),
            Item(DISK_SIZE, REQUIRED | VIRTUAL, struct.pack("<Q", size)),
            Item(LOGICAL, REQUIRED | VIRTUAL, struct.pack("<I", sector)),
            Item(PHYSICAL, REQUIRED | VIRTUAL, struct.pack("<I", 4096)),
            Item(DISK_ID, REQUIRED | VIRTUAL, guid("cccccccc-0000-4000-8000-000000000003")),
        ]
        if kind == "differencing":
            self.items.append(Item(LOCATOR, REQUIRED, locator([
                ("parent_linkage", "{cccccccc-0000-4000-8000-000000000009}"),
                ("relative_path", ".\\parent.vhdx")])))
        self.meta_signature, self.meta_count = b"metadata", None
        self.meta_reserved, self.meta_reserved2 = 0, bytes(20)
        self.meta_stale = b""
        self.log = []
        self.patches = []

    # -- shorthand for the cases --

    def index(self, block):
        return block + block // self.ratio

    def place(self, block, offset, state=6):
        self.bat[self.index(block)] = offset | state

    def item(self, name):
        return next(i for i in self.items if i.guid == name)

    def value(self, name, value):
        self.item(name).value = value

    def both(self, edit):
        for table in self.tables:
            edit(table)

    def move_metadata(self, offset, length=None):
        self.meta_at = offset
        self.meta_length = length or self.meta_length

        def edit(table):
            table.entries[1][1:3] = [self.meta_at, self.meta_length]
        self.both(edit)

    def region(self, name, offset, length, flags):
        self.both(lambda t: t.entries.append([name, offset, length, flags]))

    def grow(self, length):
        """Appends LENGTH bytes to the file and answers where they begin."""
        self.file_size += length
        return self.file_size - length

    def dirty(self, *entries):
        for header in self.headers:
            header.log_guid = SESSION
        self.log += entries

    def bat_page(self, page=0):
        """4 KiB of the table as it should be, for log entries that bring it."""
        data = b"".join(struct.pack("<Q", e) for e in self.bat)
        return data[4096 * page:4096 * (page + 1)].ljust(4096, b"\0")

    def metadata_page(self):
        """The first 4 KiB of the metadata region as it should be."""
        return self.encode_metadata()[0][1].ljust(4096, b"\0")[:4096]

    # -- bytes --

    def encode_metadata(self):
        count = len(self.items) if self.meta_count is None else self.meta_count
        table = struct.pack("<8sHH", self.meta_signature, self.meta_reserved, count)
        table += self.meta_reserved2
        values, at = [], 0x10000
        for item in self.items:
            length = len(item.value) if item.length is None else item.length
            offset = at if item.offset is None else item.offset
            if not length and item.offset is None:
                offset = 0
            if item.offset is None:
                at += length
            table += guid(item.guid) + struct.pack("<IIII", offset, length, item.flags,
                                                   item.reserved2)
            if item.value:
                values.append((self.meta_at + offset, item.value))
        return [(self.meta_at, table + self.meta_stale)] + values

    def encode_log(self):
        base, length = self.headers[1].log_offset, self.headers[1].log_length
        parts = []
        for entry in self.log:
            data = entry.encode()
            for i in range(0, len(data), 4096):
                parts.append((base + (entry.at + i) % length, data[i:i + 4096]))
        return parts

    def parts(self):
        yield 0, self.signature + self.creator.encode("utf-16le").ljust(512, b"\0")
        yield 64 * KIB, self.headers[0].encode()
        yield 128 * KIB, self.headers[1].encode()
        yield 192 * KIB, self.tables[0].encode()
        yield 256 * KIB, self.tables[1].encode()
        yield from self.encode_metadata()
        yield self.bat_at, b"".join(struct.pack("<Q", e) for e in self.bat) + self.bat_stale
        yield from self.encode_log()
        yield from self.patches

    def write(self, path):
        with open(path, "wb") as f:
            for offset, data in self.parts():
                if data.strip(b"\0"):
                    f.seek(offset)
                    f.write(data)
                elif offset < f.seek(0, 2):
                    f.seek(offset)
                    f.write(data)
            f.truncate(self.file_size)
