/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rules that check.h judges a file by. This table is data: the manual page, the
 * tests and `vhdxgen check --list-rules` enumerate it.
 *
 * An identifier never changes its meaning and is never used again for another rule.
 * Severities: ERROR, the file breaks the standard or no exacting reader takes it;
 * WARNING, it is usable but something is damaged, left over or unwise; NOTE, a fact.
 */
#ifndef VHDX_RULES_H
#define VHDX_RULES_H

enum vhdx_severity {
    VHDX_NOTE,
    VHDX_WARNING,
    VHDX_ERROR,
};

/* X(enumerator, identifier, severity, section of [MS-VHDX], what is demanded) */
#define VHDX_RULES(X)                                                                              \
    X(FILE_SHORT, "VHDX-FILE-001", ERROR, "2.2", "the file is at least 1 MiB long")                \
    X(FILE_SIGNATURE, "VHDX-FILE-002", ERROR, "2.2.1", "the file starts with \"vhdxfile\"")        \
    X(FILE_RESERVED, "VHDX-FILE-003", WARNING, "2.2",                                              \
      "reserved bytes of the header section are zero")                                             \
    X(FILE_TAIL, "VHDX-FILE-004", NOTE, "2.1", "the file ends at a multiple of 1 MiB")             \
    X(HDR_NONE, "VHDX-HDR-001", ERROR, "2.2.2", "at least one of the two headers is valid")        \
    X(HDR_SIGNATURE, "VHDX-HDR-002", WARNING, "2.2.2", "each header starts with \"head\"")         \
    X(HDR_CHECKSUM, "VHDX-HDR-003", WARNING, "2.2.2",                                              \
      "each header's CRC-32C over its 4096 bytes holds")                                           \
    X(HDR_TWINS, "VHDX-HDR-004", WARNING, "2.2.2", "the two sequence numbers differ")              \
    X(HDR_RIVALS, "VHDX-HDR-005", ERROR, "2.2.2",                                                  \
      "headers with the same sequence number are identical")                                       \
    X(HDR_VERSION, "VHDX-HDR-006", ERROR, "2.2.2", "Version is 1")                                 \
    X(HDR_LOG_VERSION, "VHDX-HDR-007", ERROR, "2.2.2", "LogVersion is 0 where LogGuid is set")     \
    X(HDR_LOG_LENGTH, "VHDX-HDR-008", ERROR, "2.2.2", "LogLength is a multiple of 1 MiB")          \
    X(HDR_LOG_OFFSET, "VHDX-HDR-009", ERROR, "2.2.2", "LogOffset is a multiple of 1 MiB")          \
    X(HDR_LOG_ABSENT, "VHDX-HDR-010", ERROR, "2.2.2", "a LogLength of 0 goes with a null LogGuid") \
    X(HDR_LOG_LOW, "VHDX-HDR-011", ERROR, "2.2.2", "LogOffset is at least 1 MiB")                  \
    X(HDR_LOG_OUTSIDE, "VHDX-HDR-012", ERROR, "2.2.2", "the log lies inside the file")             \
    X(HDR_LOG_HUGE, "VHDX-HDR-013", ERROR, "2.2.2", "the log is at most 1 GiB long")               \
    X(HDR_RESERVED, "VHDX-HDR-014", WARNING, "2.2.2", "reserved bytes of a header are zero")       \
    X(REG_NONE, "VHDX-REG-001", ERROR, "2.2.3.1",                                                  \
      "at least one of the two region tables is valid")                                            \
    X(REG_SIGNATURE, "VHDX-REG-002", WARNING, "2.2.3.1", "each region table starts with \"regi\"") \
    X(REG_CHECKSUM, "VHDX-REG-003", WARNING, "2.2.3.1",                                            \
      "each region table's CRC-32C over its 64 KiB holds")                                         \
    X(REG_DIFFER, "VHDX-REG-004", WARNING, "2.2.3", "the two region tables are equal")             \
    X(REG_COUNT, "VHDX-REG-005", ERROR, "2.2.3.1", "EntryCount is at most 2047")                   \
    X(REG_RESERVED, "VHDX-REG-006", ERROR, "2.2.3.1", "Reserved is 0")                             \
    X(REG_FLAGS, "VHDX-REG-007", ERROR, "2.2.3.2", "flag bits 1 to 31 are zero")                   \
    X(REG_DUPLICATE, "VHDX-REG-008", ERROR, "2.2.3.2", "a region's GUID is in the table once")     \
    X(REG_OFFSET, "VHDX-REG-009", ERROR, "2.2.3.2", "FileOffset is a multiple of 1 MiB")           \
    X(REG_LENGTH, "VHDX-REG-010", ERROR, "2.2.3.2", "Length is a multiple of 1 MiB and not 0")     \
    X(REG_LOW, "VHDX-REG-011", ERROR, "2.2.3.2", "FileOffset is at least 1 MiB")                   \
    X(REG_OUTSIDE, "VHDX-REG-012", ERROR, "2.2.3.2", "the region lies inside the file")            \
    X(REG_OVERLAP, "VHDX-REG-013", ERROR, "2.2.3.2", "regions do not overlap")                     \
    X(REG_LOG, "VHDX-REG-014", ERROR, "2.2.3.2", "regions do not overlap the log")                 \
    X(REG_NO_BAT, "VHDX-REG-015", ERROR, "2.2.3.2", "there is a BAT region")                       \
    X(REG_NO_METADATA, "VHDX-REG-016", ERROR, "2.2.3.2", "there is a metadata region")             \
    X(REG_UNKNOWN, "VHDX-REG-017", ERROR, "2.2.3.2", "no unknown region is required")              \
    X(REG_OPTIONAL, "VHDX-REG-018", NOTE, "2.2.3.2", "all regions are known")                      \
    X(REG_NOT_REQUIRED, "VHDX-REG-019", WARNING, "2.2.3.2",                                        \
      "BAT and metadata regions are marked as required")                                           \
    X(META_SIGNATURE, "VHDX-META-001", ERROR, "2.6.1.1",                                           \
      "the metadata region starts with \"metadata\"")                                              \
    X(META_RESERVED, "VHDX-META-002", ERROR, "2.6.1.1", "reserved fields of the table are zero")   \
    X(META_COUNT, "VHDX-META-003", ERROR, "2.6.1.1", "EntryCount is at most 2047")                 \
    X(META_HUGE, "VHDX-META-004", ERROR, "2.6", "the metadata region is at most 128 MiB long")     \
    X(META_FLAGS, "VHDX-META-005", ERROR, "2.6.1.2", "flag bits 3 to 31 of an item are zero")      \
    X(META_RESERVED2, "VHDX-META-006", ERROR, "2.6.1.2", "Reserved2 of an item is zero")           \
    X(META_NULL, "VHDX-META-007", ERROR, "2.6.1.2", "an item's GUID is not null")                  \
    X(META_DUPLICATE, "VHDX-META-008", ERROR, "2.6.1.2",                                           \
      "the pair of ItemId and IsUser is in the table once")                                        \
    X(META_LENGTH, "VHDX-META-009", ERROR, "2.6.1.2", "an item is at most 1 MiB long")             \
    X(META_EMPTY, "VHDX-META-010", ERROR, "2.6.1.2", "Length is 0 exactly where Offset is 0")      \
    X(META_LOW, "VHDX-META-011", ERROR, "2.6.1.2", "Offset is at least 64 KiB")                    \
    X(META_OUTSIDE, "VHDX-META-012", ERROR, "2.6.1.2", "an item lies inside the metadata region")  \
    X(META_OVERLAP, "VHDX-META-013", ERROR, "2.6.1.2", "items do not overlap")                     \
    X(META_USER_REQUIRED, "VHDX-META-014", ERROR, "2.6.1.2", "no user item is required")           \
    X(META_USER_COUNT, "VHDX-META-015", ERROR, "2.6.1.2", "there are at most 1024 user items")     \
    X(META_SYSTEM_COUNT, "VHDX-META-016", ERROR, "2.6.1.2", "there are at most 1023 system items") \
    X(META_UNKNOWN, "VHDX-META-017", ERROR, "2.6.1.2", "no unknown system item is required")       \
    X(META_INCOMPLETE, "VHDX-META-018", ERROR, "2.6.1.2",                                          \
      "the file is complete (no IncompleteFile item)")                                             \
    X(META_OPTIONAL, "VHDX-META-019", NOTE, "2.6.1.2", "all system items are known")               \
    X(META_MISSING, "VHDX-META-020", ERROR, "2.6.2", "the five items of every disk are there")     \
    X(META_SIZE, "VHDX-META-021", ERROR, "2.6.2", "a known item has its exact length")             \
    X(META_VIRTUAL, "VHDX-META-022", ERROR, "2.6.2",                                               \
      "IsVirtualDisk is clear on FileParameters and ParentLocator and set on the other four")      \
    X(META_NOT_REQUIRED, "VHDX-META-023", WARNING, "2.6.2", "known items are marked as required")  \
    X(META_PARAMETERS, "VHDX-META-024", ERROR, "2.6.2.1", "bits 2 to 31 of the flags are zero")    \
    X(META_BLOCK_SIZE, "VHDX-META-025", ERROR, "2.6.2.1",                                          \
      "BlockSize is a power of two from 1 MiB to 256 MiB")                                         \
    X(META_DISK_SIZE, "VHDX-META-026", ERROR, "2.6.2.2",                                           \
      "VirtualDiskSize is above 0 and at most 64 TiB")                                             \
    X(META_DISK_SECTORS, "VHDX-META-027", ERROR, "2.6.2.2",                                        \
      "VirtualDiskSize is a multiple of LogicalSectorSize")                                        \
    X(META_LOGICAL, "VHDX-META-028", ERROR, "2.6.2.4", "LogicalSectorSize is 512 or 4096")         \
    X(META_PHYSICAL, "VHDX-META-029", ERROR, "2.6.2.5", "PhysicalSectorSize is 512 or 4096")       \
    X(META_DISK_ID, "VHDX-META-030", WARNING, "2.6.2.3", "VirtualDiskId is not null")              \
    X(PAR_MISSING, "VHDX-PAR-001", ERROR, "2.6.2.6", "a differencing file has a ParentLocator")    \
    X(PAR_UNUSED, "VHDX-PAR-002", WARNING, "2.6.2.6",                                              \
      "a file without a parent has no ParentLocator")                                              \
    X(PAR_TYPE, "VHDX-PAR-003", ERROR, "2.6.2.6.1", "LocatorType is that of VHDX")                 \
    X(PAR_MALFORMED, "VHDX-PAR-004", ERROR, "2.6.2.6.1",                                           \
      "header and entries lie inside the item, Reserved is 0, keys and values are not empty")      \
    X(PAR_DUPLICATE, "VHDX-PAR-005", ERROR, "2.6.2.6.2", "a key is in the locator once")           \
    X(PAR_LINKAGE, "VHDX-PAR-006", ERROR, "2.6.2.6.3", "parent_linkage is there and is a GUID")    \
    X(PAR_PATH, "VHDX-PAR-007", ERROR, "2.6.2.6.3",                                                \
      "relative_path, volume_path or absolute_win32_path is there")                                \
    X(BAT_SMALL, "VHDX-BAT-001", ERROR, "2.5", "the BAT region holds an entry for every block")    \
    X(BAT_RESERVED, "VHDX-BAT-002", ERROR, "2.5.1", "bits 3 to 19 of an entry are zero")           \
    X(BAT_STATE, "VHDX-BAT-003", ERROR, "2.5.1.1", "a payload block's state is 0 to 3, 6 or 7")    \
    X(BAT_PARTIAL, "VHDX-BAT-004", ERROR, "2.5.1.1",                                               \
      "only a differencing file has partially present blocks")                                     \
    X(BAT_LOW, "VHDX-BAT-005", ERROR, "2.5.1", "a block in the file starts at 1 MiB or behind it") \
    X(BAT_OUTSIDE, "VHDX-BAT-006", ERROR, "2.5.1", "a block lies inside the file, wholly")         \
    X(BAT_STRUCTURE, "VHDX-BAT-007", ERROR, "2.5.1",                                               \
      "a block does not overlap a region or the log")                                              \
    X(BAT_COLLISION, "VHDX-BAT-008", ERROR, "2.5.1", "blocks do not overlap each other")           \
    X(BAT_BITMAP, "VHDX-BAT-009", ERROR, "2.5.1.2", "sector-bitmap entries are 0 in a fixed file") \
    X(BAT_BITMAP_DYNAMIC, "VHDX-BAT-010", WARNING, "2.5.1.2",                                      \
      "sector-bitmap blocks are not present in a dynamic file")                                    \
    X(BAT_BITMAP_STATE, "VHDX-BAT-011", ERROR, "2.5.1.2",                                          \
      "a sector-bitmap block's state is 0 or 6")                                                   \
    X(BAT_BITMAP_ABSENT, "VHDX-BAT-012", ERROR, "2.5.1.2",                                         \
      "a chunk with partially present blocks has its sector bitmap")                               \
    X(BAT_UNALLOCATED, "VHDX-BAT-013", WARNING, "2.6.2.1",                                         \
      "all blocks of a fixed file are in the file")                                                \
    X(BAT_HUGE, "VHDX-BAT-014", WARNING, "2.5", "the BAT region is at most 513 MiB long")          \
    X(LOG_CORRUPT, "VHDX-LOG-001", ERROR, "2.3.2",                                                 \
      "a log whose LogGuid is set holds a valid sequence of entries")                              \
    X(LOG_DIRTY, "VHDX-LOG-002", WARNING, "2.3.3", "the file was closed (LogGuid is null)")        \
    X(LOG_TORN, "VHDX-LOG-003", NOTE, "2.3.1.1",                                                   \
      "an entry of this session is whole: length and CRC-32C hold")                                \
    X(LOG_LENGTH, "VHDX-LOG-004", ERROR, "2.3.1.1",                                                \
      "EntryLength is that of header, descriptors and data sectors")                               \
    X(LOG_SEQUENCE, "VHDX-LOG-005", ERROR, "2.3.1.1", "an entry's SequenceNumber is above 0")      \
    X(LOG_RESERVED, "VHDX-LOG-006", ERROR, "2.3.1.1", "Reserved of an entry is 0")                 \
    X(LOG_TAIL, "VHDX-LOG-007", ERROR, "2.3.1.1", "Tail is a multiple of 4 KiB inside the log")    \
    X(LOG_DESCRIPTOR, "VHDX-LOG-008", ERROR, "2.3.1.2",                                            \
      "a descriptor starts with \"desc\" or \"zero\"")                                             \
    X(LOG_DESCRIPTOR_SEQUENCE, "VHDX-LOG-009", ERROR, "2.3.1.3",                                   \
      "a descriptor carries its entry's SequenceNumber")                                           \
    X(LOG_ALIGNMENT, "VHDX-LOG-010", ERROR, "2.3.1.3",                                             \
      "FileOffset and ZeroLength are multiples of 4 KiB")                                          \
    X(LOG_TARGET_LOW, "VHDX-LOG-011", ERROR, "2.3.1.3",                                            \
      "a descriptor writes at 192 KiB or behind it")                                               \
    X(LOG_TARGET_LOG, "VHDX-LOG-012", ERROR, "2.3.1.3", "a descriptor does not write to the log")  \
    X(LOG_SECTOR, "VHDX-LOG-013", ERROR, "2.3.1.4", "a data sector starts with \"data\"")          \
    X(LOG_SECTOR_SEQUENCE, "VHDX-LOG-014", ERROR, "2.3.1.4",                                       \
      "the halves of a data sector's sequence number are its entry's")                             \
    X(LOG_TRUNCATED, "VHDX-LOG-015", ERROR, "2.3.3",                                               \
      "the file is at least FlushedFileOffset long")                                               \
    X(LOG_GROWS, "VHDX-LOG-016", WARNING, "2.3.3", "the file is at least LastFileOffset long")     \
    X(LOG_TARGET_OUTSIDE, "VHDX-LOG-017", ERROR, "2.3.1.1",                                        \
      "a descriptor writes below LastFileOffset")                                                  \
    X(LOG_TARGET_PAYLOAD, "VHDX-LOG-018", WARNING, "2.3", "the log holds metadata, not payload")   \
    X(LOG_ZERO_RESERVED, "VHDX-LOG-019", WARNING, "2.3.1.2", "Reserved of a zero descriptor is 0")

enum vhdx_rule {
#define VHDX_RULE_ENUM(name, id, severity, section, demand) VHDX_RULE_##name,
    VHDX_RULES(VHDX_RULE_ENUM)
#undef VHDX_RULE_ENUM
    VHDX_RULE_COUNT
};

struct vhdx_rule_info {
    const char *id;
    enum vhdx_severity severity;
    const char *section; /* of [MS-VHDX] v20210625 */
    const char *demand;
};

/* Indexed by enum vhdx_rule. */
extern const struct vhdx_rule_info vhdx_rules[VHDX_RULE_COUNT];

/* "note", "warning" or "error". */
const char *vhdx_severity_name(enum vhdx_severity severity);

#endif
