#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
What a client sees of a VHDX on a share: check.py PART SHARE USER PASSWORD DISK-SIZE PAYLOAD-OFFSET [ARGUMENT...]

Prints a line for each operation and its result; ends with 1 at the first that is not as it must be. Parts:
  properties        what is said of the file, and the FSCTLs
  sharing           two clients: share modes, byte-range locks, oplocks and leases
  refusals          everything that would destroy the file or its partition
  beside            small files beside it, made as Windows makes them
  data FROM MODEL   random reads and writes from byte FROM of the disk on; MODEL is a copy of the disk, and kept up
  flush DEVICE SHARE   a flush and a write-through reach the device; on SHARE, which has "sync always", each write
  undeletable       with an access control list that forbids deletion
  durable DEVICE DIRECTORY   durable handles, with the partition left alone, and mounted, in between
  busy              the partition is mounted: the file can be looked at, and not opened
"""
import os
import random
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from smb2 import *  # noqa: E402,F403

NAME = "ext4.vhdx"
MIB = 1 << 20
part, share_name, user, password = sys.argv[1:5]
disk_size, payload = int(sys.argv[5]), int(sys.argv[6])
arguments = sys.argv[7:]


def tell(what, result):
    print("   %-58s %s" % (what, result))


def expect(what, got, wanted):
    if got != wanted:
        sys.exit("FAIL: %s: got %r, expected %r" % (what, got, wanted))
    tell(what, got)


def allowed(what, call, *args):
    try:
        result = call(*args)
    except Refused as e:
        sys.exit("FAIL: %s: refused with %s" % (what, e))
    tell(what, "ok")
    return result


def refused(what, status, call, *args):
    """STATUS: the name, or several of which one must be it."""
    try:
        call(*args)
    except Refused as e:
        if str(e) not in status.split("|"):
            sys.exit("FAIL: %s: refused with %s instead of %s" % (what, e, status))
        tell(what, e)
        return
    sys.exit("FAIL: %s: allowed, and must not be" % what)


def connect(**more):
    return Share(share_name, user, password, **more)


def whole(handle):
    """All of the file, as one would copy it."""
    out, step = [], MIB
    for at in range(0, handle.size, step):
        out.append(handle.read(at, min(step, handle.size - at)))
    return b"".join(out)


def check_properties():
    c = connect()
    expect("dialect", hex(c.dialect), "0x300")
    h = allowed("open read/write, share read, no buffering, write-through", c.open, NAME, READ_WRITE, SHARE_READ, OPEN,
                NO_BUFFERING | WRITE_THROUGH)
    size = payload + disk_size
    expect("size", h.size, size)
    allocation, end, links, deleting, directory = struct.unpack("<QQIBBxx", h.query(1, 5))
    expect("allocation size", allocation, size)
    expect("end of file, links, delete pending, directory", (end, links, deleting, directory), (size, 1, 0, 0))
    expect("sparse, compressed, encrypted", h.attributes & (SPARSE | COMPRESSED | ENCRYPTED), 0)
    attributes, longest, length = struct.unpack_from("<III", h.query(2, 5))
    expect("file system", h.query(2, 5)[12:12 + length].decode("utf-16le"), "NTFS")
    if not attributes & 0x8:
        sys.exit("FAIL: the share keeps no access control lists")
    tell("access control lists are kept", "yes")
    logical, physical = struct.unpack_from("<II", h.query(2, 11))
    expect("sectors, logical and physical", (logical, physical), (512, 512))
    expect("allocated ranges", struct.unpack("<QQ", h.fsctl("QUERY_ALLOCATED_RANGES", struct.pack("<QQ", 0, size))), (0, size))
    expect("compression", h.fsctl("GET_COMPRESSION"), b"\0\0")
    refused("set compression", "NOT_SUPPORTED", h.fsctl, "SET_COMPRESSION", struct.pack("<H", 1))
    # Samba 4.17 says yes although the mark could not be stored, and shows it until the handle is closed.
    try:
        h.fsctl("SET_SPARSE", b"\1")
        tell("set sparse", "ok")
    except Refused as e:
        tell("set sparse", e)
    expect("sparse after that, for who opens it", c.open(NAME, READ_ATTRIBUTES).attributes & SPARSE, 0)
    allowed("set not sparse", h.fsctl, "SET_SPARSE", b"\0")
    # What Samba does not have, whatever file system is below. A later Samba may: then look again.
    for name, data in (("LMR_REQUEST_RESILIENCY", struct.pack("<II", 60000, 0)),  # required by [MS-HVRS]
                       ("FILE_LEVEL_TRIM", struct.pack("<IIQQ", 0, 1, payload + 8 * MIB, MIB)),  # optional, as the next
                       ("OFFLOAD_READ", struct.pack("<IIIIQQ", 32, 0, 0, 0, 0, MIB))):
        try:
            h.fsctl(name, data)
            tell("FSCTL " + name, "ok")
        except Refused as e:
            tell("FSCTL " + name, e)
    h.close()
    c.close()


def check_sharing():
    a, b = connect(), connect()
    h = allowed("A opens read/write, share read", a.open, NAME, READ_WRITE, SHARE_READ)
    refused("B opens read/write", "SHARING_VIOLATION", b.open, NAME, READ_WRITE)
    refused("B opens for reading, shares no writing", "SHARING_VIOLATION", b.open, NAME, READ, SHARE_READ)
    refused("B opens to delete", "SHARING_VIOLATION", b.open, NAME, DELETE)
    allowed("B opens for reading, shares all", b.open, NAME, READ).close()
    allowed("B opens for attributes", b.open, NAME, READ_ATTRIBUTES, SHARE_NONE).close()
    h.close()
    h = allowed("A opens exclusively", a.open, NAME, READ_WRITE, SHARE_NONE)
    refused("B opens for reading", "SHARING_VIOLATION", b.open, NAME, READ)
    h.close()
    h = allowed("A opens read/write, shares all", a.open, NAME, READ_WRITE)
    k = allowed("B opens read/write, shares all", b.open, NAME, READ_WRITE)
    allowed("A locks a range", h.lock, 4096, 512, 2)
    refused("B reads in it", "FILE_LOCK_CONFLICT", k.read, 4096, 16)
    refused("B writes in it", "FILE_LOCK_CONFLICT", k.write, 4600, b"x" * 16)
    refused("B locks in it", "LOCK_NOT_GRANTED", k.lock, 4600, 1, 1)
    allowed("B reads beside it", k.read, 5000, 16)
    allowed("A unlocks", h.lock, 4096, 512, 4)
    allowed("B reads", k.read, 4096, 16)
    k.close()
    h.close()
    h = allowed("A opens with a batch oplock", a.open, NAME, READ, 7, OPEN, 0, OPLOCK_BATCH)
    expect("oplock granted", h.oplock, OPLOCK_BATCH)
    expect_break(a, b, h)
    h.close()
    lease = context(b"RqLs", os.urandom(16) + struct.pack("<IIQ", 7, 0, 0))
    h = allowed("A opens with a lease (read, handle, write)", a.open, NAME, READ_WRITE, 7, OPEN, 0, OPLOCK_LEASE, [lease])
    expect("lease granted", struct.unpack_from("<16xI", h.contexts[b"RqLs"])[0], 7)
    h.close()
    a.close()
    b.close()


def expect_break(a, b, held):
    """B opens what A has an oplock on: A is told, answers, and only then is B let in."""
    pid = os.fork()
    if pid == 0:
        start = time.monotonic()
        try:
            b.open(NAME, READ).close()
        except Refused:
            os._exit(1)
        os._exit(0 if time.monotonic() - start < 20 else 2)
    told = a.smb.recvSMB(0xFFFFFFFFFFFFFFFF)
    a.smb._Connection["SequenceWindow"] += 1  # impacket takes it for an answer that cost no credit
    size, level, fid = struct.unpack_from("<HB5x16s", told["Data"])
    expect("A is told of B's open: command, oplock left", (told["Command"], level), (18, 1))
    a.request(18, struct.pack("<HBBI16s", 24, level, 0, 0, fid))
    expect("B is let in after A's answer: exit code", os.waitpid(pid, 0)[1], 0)
    b.smb._Connection["SequenceWindow"] += 2  # which the child has used


def check_refusals():
    c = connect()
    h = c.open(NAME, READ_WRITE)
    size = h.size
    for name, value in (("shorter", size - 4096), ("longer", size + MIB), ("to nothing", 0)):
        refused("set end of file: " + name, "ACCESS_DENIED|DISK_FULL", h.set_end, value)
        refused("set allocation: " + name, "ACCESS_DENIED|DISK_FULL", h.set_allocation, value)
    allowed("set end of file: as it is", h.set_end, size)
    refused("write behind the end", "DISK_FULL", h.write, size, b"x" * 512)
    refused("write over the end", "DISK_FULL", h.write, size - 512, b"x" * 1024)
    refused("read behind the end", "END_OF_FILE", h.read, size, 512)
    refused("an MBR over the file system", "IO_DEVICE_ERROR", h.write, payload, b"\0" * 510 + b"\x55\xaa")
    refused("zeros over the superblock", "IO_DEVICE_ERROR", h.write, payload + 1024, b"\0" * 1024)
    refused("zero data over the head of the disk", "IO_DEVICE_ERROR|UNEXPECTED_IO_ERROR", h.zero, payload, payload + MIB)
    refused("zero data in the metadata", "ACCESS_DENIED", h.zero, MIB, 2 * MIB)
    h.close()
    for name, disposition in (("supersede", SUPERSEDE), ("overwrite", OVERWRITE), ("overwrite or create", OVERWRITE_IF)):
        refused("open: " + name, "ACCESS_DENIED", c.open, NAME, READ_WRITE, 7, disposition)
    refused("open: create", "OBJECT_NAME_COLLISION", c.open, NAME, READ_WRITE, 7, CREATE)
    h = c.open(NAME, READ_WRITE | DELETE)
    refused("rename", "ACCESS_DENIED", h.rename, "other.vhdx")
    h.close()
    h = c.open("victim", READ_WRITE | DELETE, 7, CREATE)
    refused("rename another file over it", "ACCESS_DENIED", h.rename, NAME, True)
    h.delete_at_close()
    h.close()
    h = c.open(NAME, READ_WRITE | DELETE)
    h.delete_at_close()
    refused("delete (told at the close)", "ACCESS_DENIED", h.close)
    h = c.open(NAME, DELETE | READ, 7, OPEN, DELETE_ON_CLOSE)
    refused("open with delete-on-close (told at the close)", "ACCESS_DENIED", h.close)
    expect("the size after all that", c.open(NAME, READ).size, size)
    c.close()


def check_beside():
    c = connect()
    blob = os.urandom(70000)
    h = allowed("create with an allocation size", c.open, "shortcut.ico", READ_WRITE | DELETE, 7, CREATE, 0, 0,
                [context(b"AlSi", struct.pack("<Q", len(blob)))])
    allowed("set its end", h.set_end, len(blob))
    for at in range(0, len(blob), 32768):
        h.write(at, blob[at:at + 32768])
    h.flush()
    h.close()
    h = c.open("shortcut.ico", READ)
    expect("read back", whole(h) == blob, True)
    free = struct.unpack_from("<QQII", h.query(2, 3))
    expect("free space shown", free[1] * free[2] * free[3] > 7 * MIB, True)
    h.close()
    h = c.open("large", READ_WRITE | DELETE, 7, CREATE, DELETE_ON_CLOSE)
    refused("more than there is room for", "DISK_FULL", h.set_end, 9 * MIB)
    expect("and what it leaves", struct.unpack_from("<QQ", h.query(1, 5))[1], 0)
    h.close()
    refused("a directory", "ACCESS_DENIED", c.open, "folder", READ, 7, CREATE, 1)
    c.close()


def check_data():
    start, model_path = int(arguments[0]), arguments[1]
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    print("   SEED=%d" % seed)
    rng = random.Random(seed)
    c = connect()
    h = c.open(NAME, READ_WRITE, SHARE_READ)
    with open(model_path, "r+b") as f:
        model = bytearray(f.read())
        reads = writes = zeros = moved = 0
        end = time.monotonic() + float(os.environ.get("DATA_SECONDS", 4))
        while time.monotonic() < end or reads + writes < 50:
            length = rng.choice((1, 511, 512, 4096, 4097, 65536, 300000, MIB))
            length = rng.randint(1, length) if rng.random() < 0.5 else length
            op = rng.random()
            if op < 0.5:
                at = rng.randrange(0, disk_size - length)
                if h.read(payload + at, length) != model[at:at + length]:
                    sys.exit("FAIL: a read of %d bytes at %d of the disk is wrong (seed %d)" % (length, at, seed))
                reads += 1
            else:
                at = rng.randrange(start, disk_size - length)
                if op < 0.9:
                    data = rng.randbytes(length)
                    expect_quietly(h.write(payload + at, data), length)
                    writes += 1
                else:
                    data = bytes(length)
                    h.zero(payload + at, payload + at + length)
                    zeros += 1
                model[at:at + length] = data
            moved += length
        h.flush()
        h.close()
        f.seek(0)
        f.write(model)
    tell("%d reads, %d writes, %d zero data, %d MiB" % (reads, writes, zeros, moved // MIB), "as they must be")
    c.close()


def expect_quietly(got, wanted):
    if got != wanted:
        sys.exit("FAIL: %r bytes written of %r" % (got, wanted))


def flushes(device):
    """Flush requests that the device has completed: field 16 of the kernel's statistics."""
    with open("/sys/class/block/%s/stat" % os.path.basename(device)) as f:
        return int(f.read().split()[15])


def check_flush():
    device, at = arguments[0], payload + disk_size - 4 * MIB
    c = connect()
    h = c.open(NAME, READ_WRITE)
    for what, call in (("a flush", h.flush), ("a write with the write-through flag", lambda: h.write(at, b"t" * 4096, 1))):
        h.write(at, b"w" * 4096)
        before = flushes(device)
        call()
        expect("the device is flushed by " + what, flushes(device) > before, True)
    h.close()
    c.close()
    # Samba 4.17 takes the flag of a single write, and not the option with which the file was opened.
    for share, wanted in ((share_name, None), (arguments[1], True)):
        c = Share(share, user, password)
        h = c.open(NAME, READ_WRITE, 7, OPEN, WRITE_THROUGH)
        before = flushes(device)
        h.write(at, b"w" * 4096)
        done = flushes(device) > before
        what = "the device is flushed by a write of a write-through handle, share " + share
        tell(what, done) if wanted is None else expect(what, done, wanted)
        h.close()
        c.close()


def check_undeletable():
    c = connect()
    refused("open to delete", "ACCESS_DENIED", c.open, NAME, DELETE)
    refused("open with delete-on-close", "ACCESS_DENIED", c.open, NAME, READ | DELETE, 7, OPEN, DELETE_ON_CLOSE)
    allowed("open read/write", c.open, NAME, READ_WRITE, SHARE_READ).close()
    h = allowed("create and delete another file", c.open, "other", READ_WRITE | DELETE, 7, CREATE, DELETE_ON_CLOSE)
    h.close()
    refused("it is gone", "OBJECT_NAME_NOT_FOUND", c.open, "other", READ)
    c.close()


def device_free(device):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if subprocess.run(["wipefs", "--all", "--no-act", device], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0:
            return True
        time.sleep(0.02)
    return False


def reconnect(kind, device, between):
    guid, client, key = os.urandom(16), os.urandom(16), os.urandom(16)
    lease = [context(b"RqLs", key + struct.pack("<IIQ", 7, 0, 0))] if kind == "lease" else []
    oplock = OPLOCK_LEASE if kind == "lease" else OPLOCK_BATCH
    at, text = payload + disk_size - 2 * MIB, os.urandom(4096)
    c = connect(client_guid=client)
    h = c.open(NAME, READ_WRITE, SHARE_READ, OPEN, 0, oplock, [context(b"DH2Q", struct.pack("<II8x", 60000, 0) + guid)] + lease)
    expect("durable handle granted with a " + kind, b"DH2Q" in h.contexts, True)
    h.write(at, text)
    c.drop()
    expect("cut off: the partition is given back", device_free(device), True)
    between()
    c = connect(client_guid=client)
    try:
        h = c.open(NAME, READ_WRITE, SHARE_READ, OPEN, 0, oplock, [context(b"DH2C", h.id + guid + bytes(4))] + lease)
        expect("what was written", h.read(at, 4096) == text, True)
        h.close()
    finally:
        c.drop()


def check_durable():
    device, directory = arguments

    def mounted():
        subprocess.check_call(["mount", device, directory])
        with open(os.path.join(directory, "written-by-linux"), "a") as f:
            f.write("x")
        subprocess.check_call(["umount", directory])

    for kind in ("batch oplock", "lease"):
        kind = kind.split()[0]
        reconnect(kind, device, lambda: None)
        tell("comes back, nobody was there in between (%s)" % kind, "goes on")
        refused("comes back after Linux has written (%s)" % kind, "OBJECT_NAME_NOT_FOUND", reconnect, kind, device, mounted)


def check_busy():
    c = connect()
    allowed("look at the attributes", c.open, NAME, READ_ATTRIBUTES).close()
    allowed("read the access control list", c.open, NAME, READ_CONTROL).query(3, 0)
    refused("open for reading", "ACCESS_DENIED|SHARING_VIOLATION|DEVICE_BUSY", c.open, NAME, READ)
    refused("open read/write", "ACCESS_DENIED|SHARING_VIOLATION|DEVICE_BUSY", c.open, NAME, READ_WRITE)
    c.close()


globals()["check_" + part]()
