# SPDX-License-Identifier: GPL-2.0-or-later
"""The devices: one that was named, or loop devices made here, RAM-backed and disk-backed."""
import os
import shutil
import subprocess
import tempfile

from .errors import IO, BenchError

MIB = 1 << 20
AREA_EXTRA = 192 * MIB  # what a file system needs beside the region: journal, tables, and the VHDX's own headers


class Device:
    """path, and how its space is used: [0, area) for file systems, [raw_offset, raw_offset + region) for the rest."""

    def __init__(self, kind, path, region, scratch, about):
        self.kind, self.path, self.region, self.scratch, self.about = kind, path, region, scratch, about
        self.area = region + AREA_EXTRA
        self.raw_offset = self.area

    @staticmethod
    def space(region):
        return 2 * region + AREA_EXTRA


def command(*words):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(IO, f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip()


def file_system(path):
    return command("stat", "--file-system", "--format=%T", path)


def available_memory():
    with open("/proc/meminfo", encoding="ascii") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))


def ram_needed(region):
    """Memory for the RAM-backed device, with what arms keep beside it (overlays, caches) and some to live on."""
    return 2 * Device.space(region) + 256 * MIB


def fitting_region(wanted, kinds):
    """WANTED, or less on a small machine."""
    while "ram" in kinds and wanted > 32 * MIB and ram_needed(wanted) > available_memory():
        wanted //= 2
    return wanted


class LoopDevice:
    """A loop device that the kernel detaches with the last close, ours included, however we end."""

    def __init__(self, file, *options):
        self.path = command("losetup", "--find", "--show", *options, file)
        self.descriptor = os.open(self.path, os.O_RDONLY)
        command("losetup", "--detach", self.path)  # it is open, so this means: with the last close

    def is_direct(self):
        """Whether it goes round the page cache of its file: asked for, the kernel may still have declined."""
        with open(f"/sys/block/{os.path.basename(self.path)}/loop/dio", encoding="ascii") as file:
            return file.read().strip() == "1"

    def close(self):
        os.close(self.descriptor)


def write_out(path, size):
    """Every block allocated and written: no first touch is left for what is measured."""
    block = bytes(MIB)
    with open(path, "wb", buffering=0, opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        for _ in range(size // MIB):
            file.write(block)
        os.fsync(file.fileno())


class Scratch:
    """Makes devices and removes them. A context manager."""

    def __init__(self, directory):
        self.disk_directory = directory
        self.undo = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        while self.undo:
            self.undo.pop()()

    def directory(self, parent):
        path = tempfile.mkdtemp(prefix="vhdxfs-bench.", dir=parent)
        os.chmod(path, 0o711)  # smbd's user passes through; the image is root's
        self.undo.append(lambda: shutil.rmtree(path))
        return path

    def loop(self, kind, directory, region, options, about):
        size = Device.space(region)
        image = os.path.join(directory, "disk.img")
        write_out(image, size)
        loop = LoopDevice(image, *options)
        os.unlink(image)  # the loop device keeps it, and its space is free again however we end
        self.undo.append(loop.close)
        if "--direct-io=on" in options and not loop.is_direct():
            raise BenchError(IO, f"{directory}: its file system has no direct I/O for a loop device; say --scratch with another")
        return Device(kind, loop.path, region, directory, f"{size // MIB} MiB loop device on {about}")

    def ram(self, region):
        if available_memory() < ram_needed(region):
            raise BenchError(IO, f"the RAM-backed device needs {ram_needed(region) // MIB} MiB of free memory;"
                                 " say --size or --device disk")
        directory = self.directory(None)
        command("mount", "-t", "tmpfs", "-o", f"size={2 * Device.space(region)},mode=711", "vhdxfs-bench", directory)
        self.undo.append(lambda: command("umount", "--lazy", directory))
        return self.loop("ram", directory, region, (), "tmpfs")

    def disk(self, region):
        directory = self.directory(self.disk_directory)
        kind = file_system(directory)
        if kind in ("tmpfs", "ramfs"):
            raise BenchError(IO, f"{self.disk_directory} is in memory; say --scratch with a directory on a disk")
        about = f"{kind} in {self.disk_directory}, direct I/O"
        return self.loop("disk", directory, region, ("--direct-io=on",), about)

    def named(self, path, region):
        size = int(command("blockdev", "--getsize64", path))
        space = Device.space(region)
        if size < space:
            raise BenchError(IO, f"{path} has {size // MIB} MiB; {space // MIB} are needed, or fewer with --size")
        return Device("source", path, region, self.directory(None), f"{path}, {size // MIB} MiB")
