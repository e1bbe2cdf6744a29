# SPDX-License-Identifier: GPL-2.0-or-later
"""
SMB2 requests one by one, for checks that ask for what a client library would hide: share modes, leases, durable
handles, raw FSCTLs and the status of each. Impacket (python3-impacket) negotiates, authenticates and signs;
the bodies are built here, after [MS-SMB2] section 2.2.
"""
import os
import struct

from impacket.smb3 import SMB3
from impacket.smb3structs import SMB2_DIALECT_30

READ, WRITE, DELETE = 0x00120089, 0x00120116, 0x00010000
READ_WRITE = READ | WRITE
READ_ATTRIBUTES, READ_CONTROL, WRITE_DAC = 0x80, 0x20000, 0x40000
SHARE_NONE, SHARE_READ, SHARE_WRITE, SHARE_DELETE = 0, 1, 2, 4
SUPERSEDE, OPEN, CREATE, OPEN_IF, OVERWRITE, OVERWRITE_IF = range(6)
NO_BUFFERING, WRITE_THROUGH, DELETE_ON_CLOSE, NON_DIRECTORY = 0x8, 0x2, 0x1000, 0x40
OPLOCK_BATCH, OPLOCK_LEASE = 9, 0xFF
SPARSE, COMPRESSED, ENCRYPTED, READONLY = 0x200, 0x800, 0x4000, 0x1

FSCTL = {
    "SET_SPARSE": 0x900C4, "SET_ZERO_DATA": 0x980C8, "QUERY_ALLOCATED_RANGES": 0x940CF,
    "LMR_REQUEST_RESILIENCY": 0x1401D4, "FILE_LEVEL_TRIM": 0x98208, "SRV_REQUEST_RESUME_KEY": 0x140078,
    "SRV_COPYCHUNK_WRITE": 0x1480F2, "OFFLOAD_READ": 0x94264, "QUERY_FILE_REGIONS": 0x90284,
    "GET_COMPRESSION": 0x9003C, "SET_COMPRESSION": 0x9C040, "DUPLICATE_EXTENTS": 0x98344,
    "GET_INTEGRITY_INFORMATION": 0x9027C,
}

STATUS = {
    0x00000000: "OK", 0x80000005: "BUFFER_OVERFLOW", 0xC0000001: "UNSUCCESSFUL", 0xC0000008: "INVALID_HANDLE",
    0xC000000D: "INVALID_PARAMETER", 0xC0000010: "INVALID_DEVICE_REQUEST", 0xC0000011: "END_OF_FILE",
    0xC0000022: "ACCESS_DENIED", 0xC0000034: "OBJECT_NAME_NOT_FOUND", 0xC0000035: "OBJECT_NAME_COLLISION",
    0xC0000043: "SHARING_VIOLATION", 0xC0000054: "FILE_LOCK_CONFLICT", 0xC0000055: "LOCK_NOT_GRANTED",
    0xC000007F: "DISK_FULL", 0xC00000BB: "NOT_SUPPORTED", 0xC00000E9: "UNEXPECTED_IO_ERROR",
    0xC0000121: "CANNOT_DELETE", 0xC0000185: "IO_DEVICE_ERROR", 0xC00000A2: "MEDIA_WRITE_PROTECTED",
    0xC0000056: "DELETE_PENDING", 0x80000011: "DEVICE_BUSY",
}


class Refused(Exception):
    """The server answered with an error; str() is its name."""

    def __init__(self, status):
        self.status = status
        super().__init__(STATUS.get(status, "0x%08X" % status))


def context(name, data):
    """One create context, without the link to the next."""
    return struct.pack("<HHHHI", 16, len(name), 0, 24, len(data)) + name.ljust(8, b"\0") + data


def join_contexts(contexts):
    out = b""
    for i, body in enumerate(contexts):
        last = i + 1 == len(contexts)
        body = body if last else body.ljust((len(body) + 4 + 7) // 8 * 8 - 4, b"\0")
        out += struct.pack("<I", 0 if last else len(body) + 4) + body
    return out


def split_contexts(data):
    found = {}
    while data:
        after, name_at, name_size, _, data_at, data_size = struct.unpack_from("<IHHHHI", data)
        found[data[name_at:name_at + name_size]] = data[data_at:data_at + data_size]
        if not after:
            break
        data = data[after:]
    return found


class Connection(SMB3):
    def __init__(self, host, dialect, client_guid):
        self.guid = client_guid or os.urandom(16)
        super().__init__(host, host, preferredDialect=dialect, timeout=30)

    # The negotiation sends it, inside of the constructor, which makes it up.
    @property
    def ClientGuid(self):
        return self.guid

    @ClientGuid.setter
    def ClientGuid(self, _):
        pass


class Share:
    """One connection, one session, one tree."""

    def __init__(self, share, user, password, host="127.0.0.1", dialect=SMB2_DIALECT_30, client_guid=None):
        self.smb = Connection(host, dialect, client_guid)
        self.smb.login(user, password)
        self.tree = self.smb.connectTree(share)

    @property
    def dialect(self):
        return self.smb.getDialect()

    def request(self, command, body, charge=1):
        packet = self.smb.SMB_PACKET()
        packet["Command"], packet["TreeID"], packet["CreditCharge"], packet["Data"] = command, self.tree, charge, body
        answer = self.smb.recvSMB(self.smb.sendSMB(packet))
        if answer["Status"]:
            raise Refused(answer["Status"])
        return answer["Data"]

    def open(self, name, access, share=SHARE_READ | SHARE_WRITE | SHARE_DELETE, disposition=OPEN, options=0,
             oplock=0, contexts=(), attributes=0):
        path = name.encode("utf-16le")
        blob = join_contexts(list(contexts))
        padded = path.ljust((len(path) + 7) // 8 * 8, b"\0")
        body = struct.pack("<HBBIQQIIIIIHHII", 57, 0, oplock, 2, 0, 0, access, attributes, share, disposition, options,
                           120, len(path), 120 + len(padded) if blob else 0, len(blob))
        return Handle(self, self.request(5, body + (padded + blob or b"\0")))

    def drop(self):
        """The cable is pulled: no logoff, no close."""
        self.smb._NetBIOSSession.get_socket().close()

    def close(self):
        self.smb.logoff()
        self.drop()

    def breaks(self):
        """Oplock and lease breaks that came in between the answers so far."""
        return [p for i, p in self.smb._Connection["OutstandingResponses"].items() if i == 0xFFFFFFFFFFFFFFFF]


class Handle:
    def __init__(self, share, answer):
        self.share = share
        (_, self.oplock, _, self.action, self.allocation, self.size, self.attributes, _, self.id, at,
         size) = struct.unpack_from("<HBBI32xQQII16sII", answer)
        self.contexts = split_contexts(answer[at - 64:at - 64 + size]) if size else {}

    def read(self, offset, length):
        body = struct.pack("<HBBIQ16sIIIHHB", 49, 80, 0, length, offset, self.id, 0, 0, 0, 0, 0, 0)
        answer = self.share.request(8, body, max(1, (length + 65535) // 65536))
        at, size = answer[2], struct.unpack_from("<I", answer, 4)[0]
        return answer[at - 64:at - 64 + size]

    def write(self, offset, data, flags=0):
        body = struct.pack("<HHIQ16sIIHHI", 49, 112, len(data), offset, self.id, 0, 0, 0, 0, flags) + data
        answer = self.share.request(9, body, max(1, (len(data) + 65535) // 65536))
        return struct.unpack_from("<I", answer, 4)[0]

    def flush(self):
        self.share.request(7, struct.pack("<HHI16s", 24, 0, 0, self.id))

    def close(self):
        self.share.request(6, struct.pack("<HHI16s", 24, 0, 0, self.id))

    def lock(self, offset, length, flags):
        """FLAGS: 1 shared, 2 exclusive, 4 unlock; always "fail immediately"."""
        body = struct.pack("<HHI16sQQII", 48, 1, 0, self.id, offset, length, flags | (0 if flags & 4 else 0x10), 0)
        self.share.request(10, body)

    def query(self, kind, level, size=65536):
        """KIND: 1 file, 2 file system, 3 security."""
        body = struct.pack("<HBBIHHIII16s", 41, kind, level, size, 0, 0, 0, 7 if kind == 3 else 0, 0, self.id) + b"\0"
        answer = self.share.request(16, body)
        at, size = struct.unpack_from("<HI", answer, 2)
        return answer[at - 64:at - 64 + size]

    def set(self, level, data, kind=1, additional=0):
        self.share.request(17, struct.pack("<HBBIHHI16s", 33, kind, level, len(data), 96, 0, additional, self.id) + data)

    def fsctl(self, name, data=b"", size=65536):
        body = struct.pack("<HHI16sIIIIIIII", 57, 0, FSCTL[name], self.id, 120, len(data), 0, 0, 0, size, 1, 0)
        answer = self.share.request(11, body + (data or b"\0"), max(1, (size + 65535) // 65536))
        at, size = struct.unpack_from("<II", answer, 32)
        return answer[at - 64:at - 64 + size] if size else b""

    def zero(self, start, end):
        self.fsctl("SET_ZERO_DATA", struct.pack("<QQ", start, end))

    def rename(self, to, replace=False):
        path = to.encode("utf-16le")
        self.set(10, struct.pack("<B7xQI", replace, 0, len(path)) + path)

    def set_end(self, size):
        self.set(20, struct.pack("<Q", size))

    def set_allocation(self, size):
        self.set(19, struct.pack("<Q", size))

    def delete_at_close(self):
        self.set(13, b"\1")
