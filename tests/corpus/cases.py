# SPDX-License-Identifier: GPL-2.0-or-later
"""The should-fail corpus: each case makes a file and names the rules that must speak, and no others."""

import struct

from vhdxlib import (BAT, DISK_ID, DISK_SIZE, GIB, INCOMPLETE, KIB, LOCATOR, LOGICAL, METADATA, MIB,
                     NULL, OLD_SESSION, PARAMETERS, PHYSICAL, REQUIRED, SESSION, STRANGER, TIB,
                     USER, VIRTUAL, Entry, Image, Item, guid, locator)

CASES = []


def case(name, *rules, **image):
    """Registers the decorated function, which spoils an Image(**image)."""
    def register(edit):
        CASES.append((name, set(rules), image, edit))
        return edit
    return register


def good(name, *rules, **image):
    return case("good-" + name, *rules, **image)


def variants(choices):
    """Calls the decorated function with each choice; it registers cases itself."""
    def call(function):
        for choice in choices:
            function(choice)
        return function
    return call


# -- good files --

@variants([(1 << n, sector) for n in range(9) for sector in (512, 4096)])
def _(choice):
    mib, sector = choice

    @good(f"fixed-{mib}m-{sector}", block=mib * MIB, sector=sector, size=3 * mib * MIB)
    def _(_image):
        pass

    @good(f"partial-last-block-{mib}m-{sector}", block=mib * MIB, sector=sector,
          size=2 * mib * MIB + sector)
    def _(_image):
        pass


@good("one-sector", size=512)
def _(_image):
    pass


@good("many-chunks", size=40 * GIB, block=256 * MIB)
def _(_image):
    pass


@good("64-tib", kind="dynamic", size=64 * TIB, block=256 * MIB)
def _(_image):
    pass


@good("dynamic", kind="dynamic", size=GIB, block=32 * MIB)
def _(image):
    image.place(5, image.grow(32 * MIB))
    image.place(0, image.grow(32 * MIB))
    image.place(1, 0, state=1)
    image.place(2, 0, state=2)
    image.place(3, 0, state=3)
    image.place(4, image.grow(32 * MIB), state=3)


@good("differencing", kind="differencing", size=GIB, block=2 * MIB)
def _(image):
    image.place(7, image.grow(2 * MIB))
    image.place(9, image.grow(2 * MIB), state=7)
    image.bat[image.ratio] = image.grow(MIB) | 6


@good("empty-differencing", kind="differencing")
def _(_image):
    pass


@good("stale-metadata-table")
def _(image):
    image.meta_stale = (guid(STRANGER) + struct.pack("<IIII", 0xFFFFFFFF, 77, 0xFF, 9)) * 2


@good("stale-region-table")
def _(image):
    image.both(lambda t: setattr(t, "stale", b"\xa5" * 300))


@good("stale-bat")
def _(image):
    image.bat_stale = struct.pack("<Q", 0x500007) * 50


@good("stale-metadata-bytes")
def _(image):
    image.patches.append((image.meta_at + 0x20000, b"\x5a" * 100))


@good("user-metadata")
def _(image):
    image.items.append(Item(STRANGER, USER, b"mine"))
    image.items.append(Item(DISK_SIZE, USER, b"same GUID as a system item"))
    image.items.append(Item(LOCATOR, USER, b""))


@good("unknown-optional", "VHDX-REG-018", "VHDX-META-019")
def _(image):
    image.region(STRANGER, image.grow(MIB), MIB, 0)
    image.items.append(Item(STRANGER, 0, b"what is this"))


@good("trailing-region", size=8 * MIB)
def _(image):
    image.move_metadata(image.grow(2 * MIB), 2 * MIB)


@good("slack-behind-blocks")
def _(image):
    image.grow(3 * MIB)


@good("headers-swapped")
def _(image):
    image.headers[0].sequence = (1 << 64) - 1
    image.headers[1].sequence = 0


@good("no-log")
def _(image):
    for header in image.headers:
        header.log_length = header.log_offset = 0


@good("long-log", size=MIB)
def _(image):
    for header in image.headers:
        header.log_offset, header.log_length = image.file_size, 64 * MIB
    image.grow(64 * MIB)


@good("old-log-version-clean")
def _(image):
    image.headers[0].log_version = image.headers[1].log_version = 3


@good("null-session-rubbish-in-clean-log")
def _(image):
    entry = Entry(0, 1, 0, [spoil(image)], session=NULL)
    entry.edit = word(28, 1)
    image.log.append(entry)


# -- good files whose log is dirty: what it brings is needed for the rest to be right --

def needs_log(image):
    """Breaks the table in the file; only a whole replay mends it."""
    page = image.bat_page()
    image.patches.append((image.bat_at, b"\x07" + bytes(4095)))
    return image.bat_at, page


def spoil(image):
    """A write that must never be applied."""
    return image.meta_at, b"\xff" * 4096


DIRTY = "VHDX-LOG-002"


@good("log-one-entry", DIRTY)
def _(image):
    image.dirty(Entry(0, 10, 0, [needs_log(image)]))


@good("log-empty-entry", DIRTY)
def _(image):
    image.dirty(Entry(0, 1, 0))


@good("log-wrapped", DIRTY)
def _(image):
    page = needs_log(image)
    image.dirty(Entry(MIB - 12288, 100, MIB - 12288, [(image.bat_at, 4096)]),
                Entry(MIB - 8192, 101, MIB - 12288, [spoil(image), page]),
                Entry(4096, 102, MIB - 12288, [(image.meta_at, image.metadata_page())]))


@good("log-127-descriptors", DIRTY)
def _(image):
    first = needs_log(image)
    image.dirty(Entry(0, 5, 0, [(image.bat_at + 4096 * (i + 1), 4096) for i in range(126)] +
                      [first]))


@good("log-300-data-sectors", DIRTY, size=256 * MIB, sector=512)
def _(image):
    for header in image.headers:
        header.log_offset, header.log_length = image.file_size, 2 * MIB
    image.grow(2 * MIB)
    page = needs_log(image)
    image.dirty(Entry(MIB, 5, MIB, [(image.meta_at + 0x40000 + 4096 * i, bytes([i % 255 + 1]) * 4096)
                                    for i in range(150)] + [page]))


@good("log-tail-inside-run", DIRTY)
def _(image):
    page = needs_log(image)
    image.dirty(Entry(0, 20, 0, [spoil(image)]), Entry(8192, 21, 8192, [page]),
                Entry(16384, 22, 8192, [(image.bat_at + 4096, 8192)]))


@good("log-later-write-wins", DIRTY)
def _(image):
    page = needs_log(image)
    image.dirty(Entry(0, 1, 0, [(image.bat_at, b"\x05" * 4096), page]),
                Entry(12288, 2, 0, [spoil(image), (image.meta_at, image.metadata_page())]))


@good("log-stale-session", DIRTY)
def _(image):
    page = needs_log(image)
    image.dirty(Entry(0, 7, 0, [page]),
                Entry(8192, 900, 8192, [spoil(image)], session=OLD_SESSION),
                Entry(16384, 901, 8192, [spoil(image)], session=OLD_SESSION))


@good("log-greater-sequence-wins", DIRTY)
def _(image):
    page = needs_log(image)
    image.dirty(Entry(0, 7, 0, [spoil(image)]), Entry(MIB // 2, 5000, MIB // 2, [page]))


@good("log-run-without-its-tail", DIRTY)
def _(image):
    # The greatest number belongs to an entry whose Tail was lost: the run before it counts.
    page = needs_log(image)
    image.dirty(Entry(0, 7, 0, [page]), Entry(16384, 9, 8192, [spoil(image)]))


@good("log-torn-head", DIRTY, "VHDX-LOG-003")
def _(image):
    entry = Entry(8192, 8, 0, [spoil(image)])
    entry.damage = lambda data: data.__setitem__(slice(4096, 8192), bytes(4096))
    image.dirty(Entry(0, 7, 0, [needs_log(image)]), entry)


@good("log-mends-region-tables", DIRTY)
def _(image):
    right = image.tables[0].encode()
    image.patches += [(192 * KIB, b"\xee" * 128 * KIB)]
    writes = [(base + i, bytes(right[i:i + 4096])) for base in (192 * KIB, 256 * KIB)
              for i in range(0, 64 * KIB, 4096)]
    image.dirty(Entry(0, 1, 0, writes))


@good("log-flushed-offset-zero", DIRTY)
def _(image):
    image.dirty(Entry(0, 1, 0, [needs_log(image)], flushed=0, last=image.file_size))


@good("log-sequence-near-the-end", DIRTY)
def _(image):
    end = (1 << 64) - 1
    image.dirty(Entry(0, end - 1, 0, [needs_log(image)]), Entry(8192, end, 0))


@good("log-dynamic-sector-bitmap", DIRTY, kind="differencing", size=GIB, block=2 * MIB)
def _(image):
    image.place(9, image.grow(2 * MIB), state=7)
    bitmap = image.grow(MIB)
    image.bat[image.ratio] = bitmap | 6
    image.dirty(Entry(0, 1, 0, [(bitmap, b"\x0f" * 4096)]))


# -- file --

@variants([0, 1, 512 * KIB, MIB - 1])
def _(size):
    @case(f"file-short-{size}", "VHDX-FILE-001")
    def _(image):
        image.file_size = size


@case("file-signature", "VHDX-FILE-002")
def _(image):
    image.signature = b"vhdxFile"


@case("file-no-vhdx-at-all", "VHDX-FILE-002", "VHDX-HDR-001", "VHDX-HDR-002")
def _(image):
    image.patches.append((0, b"\xaa" * MIB))


@variants([600, 65 * KIB + 4096, 150 * KIB, 330 * KIB, MIB - 1])
def _(offset):
    @case(f"file-reserved-{offset}", "VHDX-FILE-003")
    def _(image):
        image.patches.append((offset, b"\1"))


@case("file-tail", "VHDX-FILE-004")
def _(image):
    image.grow(512)


# -- headers --

def damage(offset):
    return lambda image: image.patches.append((offset, b"\xff"))


@case("hdr-none-checksum", "VHDX-HDR-001", "VHDX-HDR-003")
def _(image):
    damage(64 * KIB + 100)(image)
    damage(128 * KIB + 4095)(image)


@case("hdr-none-signature", "VHDX-HDR-001", "VHDX-HDR-002")
def _(image):
    damage(64 * KIB)(image)
    damage(128 * KIB + 3)(image)


@variants([0, 1])
def _(copy):
    case(f"hdr-signature-{copy}", "VHDX-HDR-002")(damage(64 * KIB * (copy + 1)))
    # Every field is under the checksum, and so is the last reserved byte.
    for offset in (4, 8, 16, 32, 48, 64, 66, 68, 72, 79, 80, 4095):
        case(f"hdr-checksum-{copy}-{offset}", "VHDX-HDR-003")(
            damage(64 * KIB * (copy + 1) + offset))

    @case(f"hdr-reserved-{copy}", "VHDX-HDR-014")
    def _(image):
        image.headers[copy].reserved = bytes(4000) + b"\1"


@case("hdr-twins", "VHDX-HDR-004")
def _(image):
    image.headers[1].sequence = image.headers[0].sequence


@case("hdr-rivals", "VHDX-HDR-005")
def _(image):
    image.headers[1].sequence = image.headers[0].sequence
    image.headers[1].data_write = STRANGER


@variants([0, 2])
def _(version):
    @case(f"hdr-version-{version}", "VHDX-HDR-006")
    def _(image):
        image.headers[1].version = version


@case("hdr-log-version", "VHDX-HDR-007")
def _(image):
    image.headers[1].log_version = 1
    image.dirty(Entry(0, 1, 0))


@case("hdr-log-length", "VHDX-HDR-008")
def _(image):
    image.headers[1].log_length = 512 * KIB


@case("hdr-log-offset", "VHDX-HDR-009")
def _(image):
    image.headers[1].log_offset = image.grow(2 * MIB) + 4096


@case("hdr-log-absent", "VHDX-HDR-010")
def _(image):
    image.headers[1].log_length = 0
    image.headers[1].log_guid = SESSION


@case("hdr-log-low", "VHDX-HDR-011")
def _(image):
    image.headers[1].log_offset = 0


@variants([TIB, (1 << 64) - MIB])
def _(offset):
    @case(f"hdr-log-outside-{offset}", "VHDX-HDR-012")
    def _(image):
        image.headers[1].log_offset = offset


@case("hdr-log-half-outside", "VHDX-HDR-012")
def _(image):
    image.headers[1].log_offset = image.grow(MIB)
    image.headers[1].log_length = 2 * MIB


@case("hdr-log-huge", "VHDX-HDR-013")
def _(image):
    image.headers[1].log_offset = image.grow(GIB + MIB)
    image.headers[1].log_length = GIB + MIB


# -- region tables --

@case("reg-none-checksum", "VHDX-REG-001", "VHDX-REG-003")
def _(image):
    damage(192 * KIB + 60000)(image)
    damage(256 * KIB + 20)(image)


@case("reg-none-signature", "VHDX-REG-001", "VHDX-REG-002")
def _(image):
    damage(192 * KIB)(image)
    damage(256 * KIB)(image)


@variants([0, 1])
def _(copy):
    case(f"reg-signature-{copy}", "VHDX-REG-002")(damage((192 + 64 * copy) * KIB))
    for offset in (4, 8, 12, 16, 40, 44, 65535):
        case(f"reg-checksum-{copy}-{offset}", "VHDX-REG-003")(
            damage((192 + 64 * copy) * KIB + offset))


@case("reg-differ", "VHDX-REG-004")
def _(image):
    image.tables[1].stale = b"\1"


@variants([2048, 0xFFFFFFFF])
def _(count):
    @case(f"reg-count-{count}", "VHDX-REG-005")
    def _(image):
        image.both(lambda t: setattr(t, "count", count))


@case("reg-reserved", "VHDX-REG-006")
def _(image):
    image.both(lambda t: setattr(t, "reserved", 1))


@variants([2, 1 << 31])
def _(bit):
    @case(f"reg-flags-{bit}", "VHDX-REG-007")
    def _(image):
        image.both(lambda t: t.entries[0].__setitem__(3, 1 | bit))


@case("reg-duplicate", "VHDX-REG-008")
def _(image):
    image.region(BAT, image.grow(MIB), MIB, 1)


@case("reg-offset", "VHDX-REG-009")
def _(image):
    image.move_metadata(image.grow(2 * MIB) + 4096)


@case("reg-length", "VHDX-REG-010")
def _(image):
    image.move_metadata(image.grow(2 * MIB), MIB + 4096)


@case("reg-length-zero", "VHDX-REG-010")
def _(image):
    image.both(lambda t: t.entries[1].__setitem__(2, 0))


@case("reg-low", "VHDX-REG-011")
def _(image):
    image.both(lambda t: t.entries[1].__setitem__(1, 0))


@variants([TIB, (1 << 64) - MIB])
def _(offset):
    @case(f"reg-outside-{offset}", "VHDX-REG-012")
    def _(image):
        image.both(lambda t: t.entries[1].__setitem__(1, offset))


@case("reg-half-outside", "VHDX-REG-012")
def _(image):
    image.move_metadata(image.grow(MIB), 2 * MIB)


@case("reg-overlap", "VHDX-REG-013", "VHDX-REG-018")
def _(image):
    image.region(STRANGER, image.bat_at, MIB, 0)


@case("reg-log", "VHDX-REG-014", "VHDX-REG-018")
def _(image):
    image.region(STRANGER, MIB, MIB, 0)


@case("reg-no-bat", "VHDX-REG-015")
def _(image):
    image.both(lambda t: t.entries.pop(0))


@case("reg-no-metadata", "VHDX-REG-016")
def _(image):
    image.both(lambda t: t.entries.pop(1))


@case("reg-empty", "VHDX-REG-015", "VHDX-REG-016")
def _(image):
    image.both(lambda t: t.entries.clear())


@case("reg-unknown", "VHDX-REG-017")
def _(image):
    image.region(STRANGER, image.grow(MIB), MIB, 1)


@case("reg-optional", "VHDX-REG-018")
def _(image):
    image.region(STRANGER, image.grow(MIB), MIB, 0)


@variants([0, 1])
def _(which):
    @case(f"reg-not-required-{which}", "VHDX-REG-019")
    def _(image):
        image.both(lambda t: t.entries[which].__setitem__(3, 0))


# -- metadata --

@case("meta-signature", "VHDX-META-001")
def _(image):
    image.meta_signature = b"metadatA"


@case("meta-reserved", "VHDX-META-002")
def _(image):
    image.meta_reserved = 1


@case("meta-reserved2", "VHDX-META-002")
def _(image):
    image.meta_reserved2 = bytes(19) + b"\1"


@variants([2048, 65535])
def _(count):
    @case(f"meta-count-{count}", "VHDX-META-003")
    def _(image):
        image.meta_count = count


@case("meta-huge", "VHDX-META-004")
def _(image):
    image.move_metadata(image.grow(129 * MIB), 129 * MIB)


@variants([8, 1 << 31])
def _(bit):
    @case(f"meta-flags-{bit}", "VHDX-META-005")
    def _(image):
        image.item(DISK_ID).flags |= bit


@case("meta-reserved2-of-item", "VHDX-META-006")
def _(image):
    image.item(LOGICAL).reserved2 = 1


@case("meta-null", "VHDX-META-007")
def _(image):
    image.items.append(Item(NULL, USER, b"nobody"))


@case("meta-duplicate", "VHDX-META-008")
def _(image):
    image.items.append(Item(DISK_SIZE, REQUIRED | VIRTUAL, struct.pack("<Q", 8 * MIB)))


@case("meta-duplicate-user", "VHDX-META-008")
def _(image):
    image.items += [Item(STRANGER, USER, b"one"), Item(STRANGER, USER, b"two")]


@case("meta-length", "VHDX-META-009")
def _(image):
    image.move_metadata(image.grow(4 * MIB), 4 * MIB)
    image.items.append(Item(STRANGER, USER, b"", offset=0x20000, length=MIB + 1))


@case("meta-empty-length", "VHDX-META-010")
def _(image):
    image.items.append(Item(STRANGER, USER, b"", offset=0x20000, length=0))


@case("meta-empty-offset", "VHDX-META-010")
def _(image):
    image.items.append(Item(STRANGER, USER, b"", offset=0, length=8))


@case("meta-low", "VHDX-META-011")
def _(image):
    image.items.append(Item(STRANGER, USER, b"", offset=0xFFFF, length=8))


@variants([(MIB - 7, 8), (0xFFFFFFFF, 1), (0x10040, MIB)])
def _(extent):
    @case(f"meta-outside-{extent[0]}", "VHDX-META-012")
    def _(image):
        image.items.append(Item(STRANGER, USER, b"", offset=extent[0], length=extent[1]))


@case("meta-overlap", "VHDX-META-013")
def _(image):
    image.items.append(Item(STRANGER, USER, b"", offset=0x10024, length=16))


@case("meta-user-required", "VHDX-META-014")
def _(image):
    image.items.append(Item(STRANGER, USER | REQUIRED, b"mine"))


def strangers(count, flags):
    return [Item(f"deadbeef-0000-4000-8000-{i:012x}", flags, b"") for i in range(count)]


@case("meta-user-count", "VHDX-META-015")
def _(image):
    image.items += strangers(1025, USER)


@good("1024-user-items")
def _(image):
    image.items += strangers(1024, USER)


@case("meta-system-count", "VHDX-META-016", "VHDX-META-019")
def _(image):
    image.items += strangers(1019, 0)


@case("meta-unknown", "VHDX-META-017")
def _(image):
    image.items.append(Item(STRANGER, REQUIRED, b"what"))


@case("meta-incomplete", "VHDX-META-018")
def _(image):
    image.items.append(Item(INCOMPLETE, REQUIRED, b"\0"))


@case("meta-optional", "VHDX-META-019")
def _(image):
    image.items.append(Item(STRANGER, 0, b"what"))


@variants([("parameters", PARAMETERS), ("size", DISK_SIZE), ("logical", LOGICAL),
           ("physical", PHYSICAL), ("id", DISK_ID)])
def _(choice):
    name, which = choice

    @case(f"meta-missing-{name}", "VHDX-META-020")
    def _(image):
        image.items.remove(image.item(which))

    @case(f"meta-size-{name}", "VHDX-META-021")
    def _(image):
        image.item(which).value += b"\0"

    @case(f"meta-virtual-{name}", "VHDX-META-022")
    def _(image):
        image.item(which).flags ^= VIRTUAL

    @case(f"meta-not-required-{name}", "VHDX-META-023")
    def _(image):
        image.item(which).flags ^= REQUIRED


@variants([4, 1 << 31])
def _(bit):
    @case(f"meta-parameters-{bit}", "VHDX-META-024")
    def _(image):
        image.value(PARAMETERS, struct.pack("<II", MIB, 1 | bit))


@variants([0, 512 * KIB, 3 * MIB, 512 * MIB, MIB + 1])
def _(size):
    @case(f"meta-block-size-{size}", "VHDX-META-025")
    def _(image):
        image.value(PARAMETERS, struct.pack("<II", size, 1))


@variants([0, 64 * TIB + 512, (1 << 64) - 512])
def _(size):
    @case(f"meta-disk-size-{size}", "VHDX-META-026")
    def _(image):
        image.value(DISK_SIZE, struct.pack("<Q", size))


@case("meta-disk-sectors", "VHDX-META-027")
def _(image):
    image.value(DISK_SIZE, struct.pack("<Q", 4 * MIB - 256))


@case("meta-disk-sectors-4096", "VHDX-META-027", sector=4096)
def _(image):
    image.value(DISK_SIZE, struct.pack("<Q", 4 * MIB - 512))


@variants([0, 1, 1024, 2048, 8192])
def _(size):
    @case(f"meta-logical-{size}", "VHDX-META-028")
    def _(image):
        image.value(LOGICAL, struct.pack("<I", size))

    @case(f"meta-physical-{size}", "VHDX-META-029")
    def _(image):
        image.value(PHYSICAL, struct.pack("<I", size))


@case("meta-disk-id", "VHDX-META-030")
def _(image):
    image.value(DISK_ID, bytes(16))


# -- parent locator --

LINKAGE = ("parent_linkage", "{cccccccc-0000-4000-8000-000000000009}")
PATH = ("absolute_win32_path", "\\\\?\\C:\\parent.vhdx")


@case("par-missing", "VHDX-PAR-001", kind="differencing")
def _(image):
    image.items.remove(image.item(LOCATOR))


@case("par-unused", "VHDX-PAR-002", kind="dynamic")
def _(image):
    image.items.append(Item(LOCATOR, REQUIRED, locator([LINKAGE, PATH])))


@case("par-type", "VHDX-PAR-003", kind="differencing")
def _(image):
    image.value(LOCATOR, locator([LINKAGE, PATH], kind=STRANGER))


@case("par-reserved", "VHDX-PAR-004", kind="differencing")
def _(image):
    image.value(LOCATOR, locator([LINKAGE, PATH], reserved=1))


@case("par-cut-short", "VHDX-PAR-004", kind="differencing")
def _(image):
    image.value(LOCATOR, locator([LINKAGE, PATH])[:19])


@case("par-too-many-entries", "VHDX-PAR-004", kind="differencing")
def _(image):
    value = bytearray(locator([LINKAGE, PATH]))
    value[18:20] = b"\xff\xff"
    image.value(LOCATOR, bytes(value))


@variants([(20, "<I", 0), (20, "<I", 0xFFFFFFF0), (24, "<I", 5000), (28, "<H", 0), (30, "<H", 0xFFFF)])
def _(field):
    @case(f"par-entry-{field[0]}-{field[2]}", "VHDX-PAR-004", kind="differencing")
    def _(image):
        value = bytearray(locator([("spare", "x"), LINKAGE, PATH]))
        struct.pack_into(field[1], value, field[0], field[2])
        image.value(LOCATOR, bytes(value))


@case("par-duplicate", "VHDX-PAR-005", kind="differencing")
def _(image):
    image.value(LOCATOR, locator([LINKAGE, PATH, PATH]))


@case("par-no-linkage", "VHDX-PAR-006", kind="differencing")
def _(image):
    image.value(LOCATOR, locator([PATH]))


@variants(["", "x", "{cccccccc-0000-4000-8000-00000000000}", "cccccccc+0000-4000-8000-000000000009"])
def _(text):
    @case(f"par-bad-linkage-{len(text)}", "VHDX-PAR-006" if text else "VHDX-PAR-004",
          *([] if text else ["VHDX-PAR-006"]), kind="differencing")
    def _(image):
        image.value(LOCATOR, locator([("parent_linkage", text), PATH]))


@good("linkage-without-braces", kind="differencing")
def _(image):
    image.value(LOCATOR, locator([("parent_linkage", LINKAGE[1].strip("{}")),
                                  ("parent_linkage2", LINKAGE[1]), PATH]))


@case("par-path", "VHDX-PAR-007", kind="differencing")
def _(image):
    image.value(LOCATOR, locator([LINKAGE]))


# -- block allocation table --

@case("bat-small", "VHDX-BAT-001", kind="dynamic", size=256 * GIB)
def _(image):
    image.both(lambda t: t.entries[0].__setitem__(2, MIB))


@variants([3, 10, 19])
def _(bit):
    @case(f"bat-reserved-{bit}", "VHDX-BAT-002")
    def _(image):
        image.bat[2] |= 1 << bit


@case("bat-reserved-in-bitmap-entry", "VHDX-BAT-002", kind="differencing", size=9 * GIB,
      block=256 * MIB)
def _(image):
    image.bat[image.ratio] = 1 << 5


@variants([(kind, state) for kind in ("fixed", "dynamic", "differencing") for state in (4, 5)])
def _(choice):
    kind, state = choice

    @case(f"bat-state-{state}-{kind}", "VHDX-BAT-003", kind=kind)
    def _(image):
        image.place(1, image.payload + MIB if kind == "fixed" else 0, state=state)


@case("bat-partial-fixed", "VHDX-BAT-004")
def _(image):
    image.place(1, image.payload + MIB, state=7)


@case("bat-partial-dynamic", "VHDX-BAT-004", kind="dynamic")
def _(image):
    image.place(1, image.grow(MIB), state=7)


@case("bat-low", "VHDX-BAT-005")
def _(image):
    image.place(3, 0)


@variants([1, 2])
def _(missing):
    @case(f"bat-outside-{missing}", "VHDX-BAT-006", block=4 * MIB, size=8 * MIB)
    def _(image):
        image.file_size -= missing * MIB


@case("bat-ends-inside-last-block", "VHDX-BAT-006", "VHDX-FILE-004")
def _(image):
    image.file_size -= 512


@case("bat-far-outside", "VHDX-BAT-006")
def _(image):
    image.place(0, (1 << 64) - MIB)


@case("bat-unmapped-outside", "VHDX-BAT-006", kind="dynamic")
def _(image):
    image.place(0, TIB, state=3)


@variants([("log", 1), ("metadata", 2), ("bat", 3)])
def _(choice):
    @case(f"bat-structure-{choice[0]}", "VHDX-BAT-007")
    def _(image):
        image.place(0, choice[1] * MIB)


@case("bat-structure-undefined", "VHDX-BAT-007", kind="dynamic")
def _(image):
    image.place(0, 2 * MIB, state=1)


@case("bat-collision", "VHDX-BAT-008")
def _(image):
    image.place(3, image.payload)


@case("bat-collision-half", "VHDX-BAT-008", block=2 * MIB, size=8 * MIB)
def _(image):
    image.place(3, image.payload + MIB)


@case("bat-collision-unmapped", "VHDX-BAT-008", kind="dynamic")
def _(image):
    image.place(0, image.grow(MIB))
    image.place(1, image.payload, state=3)


@case("bat-collision-bitmap", "VHDX-BAT-008", kind="differencing")
def _(image):
    image.place(0, image.grow(MIB))
    image.bat[image.ratio] = image.payload | 6


@case("bat-bitmap-fixed", "VHDX-BAT-009", size=17 * 256 * MIB, block=256 * MIB)
def _(image):
    image.bat[image.ratio] = image.grow(MIB) | 6


@case("bat-bitmap-offset-only-fixed", "VHDX-BAT-009", size=17 * 256 * MIB, block=256 * MIB)
def _(image):
    image.bat[image.ratio] = image.grow(MIB)


@case("bat-bitmap-dynamic", "VHDX-BAT-010", kind="dynamic", size=17 * 256 * MIB, block=256 * MIB)
def _(image):
    image.bat[image.ratio] = image.grow(MIB) | 6


@variants([1, 2, 3, 4, 5, 7])
def _(state):
    @case(f"bat-bitmap-state-{state}", "VHDX-BAT-011", kind="differencing")
    def _(image):
        image.bat[image.ratio] = state


@case("bat-bitmap-absent", "VHDX-BAT-012", kind="differencing")
def _(image):
    image.place(1, image.grow(MIB), state=7)


@variants([0, 1, 2, 3])
def _(state):
    @case(f"bat-unallocated-{state}", "VHDX-BAT-013")
    def _(image):
        image.place(2, 0, state=state)


@case("bat-huge", "VHDX-BAT-014", kind="dynamic")
def _(image):
    at = image.grow(514 * MIB)
    image.bat_at = at
    image.both(lambda t: t.entries[0].__setitem__(slice(1, 3), [at, 514 * MIB]))


# -- log: a good entry first, so that only the bad one speaks; and once without it --

@case("log-corrupt", "VHDX-LOG-001")
def _(image):
    image.dirty()


@case("log-only-other-sessions", "VHDX-LOG-001")
def _(image):
    image.dirty(Entry(0, 1, 0, session=OLD_SESSION))


@case("log-tail-lost", "VHDX-LOG-001")
def _(image):
    image.dirty(Entry(4096, 2, 0), Entry(8192, 3, 0))


@case("log-gap", "VHDX-LOG-001")
def _(image):
    image.dirty(Entry(0, 1, 8192), Entry(4096, 3, 0))


def word(offset, value, form="<I"):
    return lambda data: struct.pack_into(form, data, offset, value)


BAD_ENTRIES = [
    ("torn-checksum", "VHDX-LOG-003", None, word(4, 1)),
    ("torn-byte", "VHDX-LOG-003", None, word(5000, 1)),
    ("torn-length-odd", "VHDX-LOG-003", word(8, 8193), None),
    ("torn-length-zero", "VHDX-LOG-003", word(8, 0), None),
    ("torn-length-huge", "VHDX-LOG-003", word(8, 0x80000000), None),
    ("count", "VHDX-LOG-004", word(24, 0), None),
    ("count-huge", "VHDX-LOG-004", word(24, 0xFFFFFFFF), None),
    ("sequence-zero", "VHDX-LOG-005", word(16, 0, "<Q"), None),
    ("reserved", "VHDX-LOG-006", word(28, 1), None),
    ("tail-odd", "VHDX-LOG-007", word(12, 512), None),
    ("tail-outside", "VHDX-LOG-007", word(12, MIB), None),
    ("descriptor", "VHDX-LOG-008", word(64, 0x21212121), None),
    ("descriptor-sequence", "VHDX-LOG-009", word(88, 1, "<Q"), None),
    ("alignment", "VHDX-LOG-010", word(80, 3 * MIB + 512, "<Q"), None),
    ("target-header", "VHDX-LOG-011", word(80, 64 * KIB, "<Q"), None),
    ("target-identifier", "VHDX-LOG-011", word(80, 0, "<Q"), None),
    ("target-log", "VHDX-LOG-012", word(80, 2 * MIB - 4096, "<Q"), None),
    ("sector", "VHDX-LOG-013", word(4096, 0x21212121), None),
    ("sector-high", "VHDX-LOG-014", word(4100, 1), None),
    ("sector-low", "VHDX-LOG-014", word(8188, 1), None),
]


@variants(BAD_ENTRIES)
def _(choice):
    name, rule, edit, spoiled = choice

    def bad(image, at, tail):
        entry = Entry(at, 50, tail, [spoil(image)])
        entry.edit, entry.damage = edit, spoiled
        return entry

    @case(f"log-entry-{name}", DIRTY, rule)
    def _(image):
        image.dirty(Entry(0, 49, 0), bad(image, 4096, 0))

    @case(f"log-sole-entry-{name}", "VHDX-LOG-001", rule)
    def _(image):
        image.dirty(bad(image, 0, 0))


@case("log-zero-length-odd", DIRTY, "VHDX-LOG-010")
def _(image):
    image.dirty(Entry(0, 1, 0), Entry(4096, 2, 0, [(3 * MIB, 4095)]))


@case("log-zero-into-log", DIRTY, "VHDX-LOG-012")
def _(image):
    image.dirty(Entry(0, 1, 0), Entry(4096, 2, 0, [(MIB - 4096, 8192)]))


@case("log-zero-without-end", DIRTY, "VHDX-LOG-017")
def _(image):
    image.dirty(Entry(0, 1, 0), Entry(4096, 2, 0, [(4 * MIB, (1 << 64) - 4096)]))


@case("log-truncated", DIRTY, "VHDX-LOG-015")
def _(image):
    image.dirty(Entry(0, 1, 0, flushed=image.file_size + MIB))


@case("log-grows", DIRTY, "VHDX-LOG-016")
def _(image):
    image.dirty(Entry(0, 1, 0, last=image.file_size + MIB))


@good("log-grows-for-a-block", DIRTY, "VHDX-LOG-016", kind="dynamic")
def _(image):
    image.place(0, image.file_size)
    image.dirty(Entry(0, 1, 0, [needs_log(image)], last=image.file_size + MIB))


@case("log-target-outside", DIRTY, "VHDX-LOG-017")
def _(image):
    image.dirty(Entry(0, 1, 0, [(image.file_size, b"x" * 4096)]))


@case("log-target-payload", DIRTY, "VHDX-LOG-018")
def _(image):
    image.dirty(Entry(0, 1, 0, [(image.payload + MIB, b"x" * 4096)]))


@case("log-zero-reserved", DIRTY, "VHDX-LOG-019")
def _(image):
    entry = Entry(0, 1, 0, [(image.meta_at + 0x80000, 4096)])
    entry.edit = word(68, 1)
    image.dirty(entry)
