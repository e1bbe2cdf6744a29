# SPDX-License-Identifier: GPL-2.0-or-later
"""Facts about this machine and its programs, for whoever reads the figures elsewhere. What is unknown is left out."""
import os
import re
import subprocess

from .catalog import BENCH

# Kernel settings that decide what a FUSE data path can do.
SETTINGS = {
    "fuse enable_uring": "/sys/module/fuse/parameters/enable_uring",
    "fs.fuse.max_pages_limit": "/proc/sys/fs/fuse/max_pages_limit",
    "kernel.io_uring_disabled": "/proc/sys/kernel/io_uring_disabled",
}
PROGRAMS = {
    "fio": ("fio", "--version"),
    "qemu-storage-daemon": ("qemu-storage-daemon", "--version"),
    "nbdkit": ("nbdkit", "--version"),
    "nbdfuse": ("nbdfuse", "--version"),
    "xmount": ("xmount", "--version"),
    "smbd": ("smbd", "--version"),
    "ntfs-3g": ("ntfs-3g", "--version"),
    "gnuplot": ("gnuplot", "--version"),
}


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def output(*words):
    """Both streams of a command; '' when it is not there or fails."""
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout + done.stderr).strip()


def field(text, key):
    found = re.search(rf"^{key}\s*[:=]\s*\"?(.*?)\"?$", text, re.M)
    return found.group(1) if found else ""


def facts():
    memory = int(field(read("/proc/meminfo"), "MemTotal").split()[0]) // 1024
    found = {
        "processor": field(read("/proc/cpuinfo"), "model name"),
        "processors": os.sysconf("SC_NPROCESSORS_ONLN"),
        "memory_mib": memory,
        "virtualization": output("systemd-detect-virt"),
        "kernel": " ".join(os.uname()[i] for i in (0, 2, 4)),
        "distribution": field(read("/etc/os-release"), "PRETTY_NAME"),
    }
    found.update((name, read(path)) for name, path in SETTINGS.items())
    return {key: value for key, value in found.items() if value != ""}


def load():
    return float(read("/proc/loadavg").split()[0])


def version_of(words):
    found = re.search(r"\d+\.\d+[\w.+~-]*", output(*words))
    return found.group(0) if found else ""


def libraries(program):
    """The shared libraries a program is linked with, by the versions in their files' names."""
    found = {}
    for name, path in re.findall(r"^\s*(\S+)\.so\S* => (/\S+)", output("ldd", program), re.M):
        version = re.search(r"\.so\.(\S+)$", os.path.realpath(path))
        if version and re.match(r"lib(fuse|uring|blkid|ext2fs|c$)", name):
            found[name] = version.group(1)
    libc = output("getconf", "GNU_LIBC_VERSION")
    return {**found, **({"libc": libc.split()[-1]} if libc else {})}


def versions(build):
    vhdxfs = os.path.join(build, "fuse", "vhdxfs")
    found = {"vhdxfs": output(vhdxfs, "--version").replace("vhdxfs ", "", 1)}
    found.update((f"{name} (vhdxfs)", value) for name, value in libraries(vhdxfs).items())
    found.update((name, version_of(words)) for name, words in PROGRAMS.items())
    found["source"] = output("git", "-c", "safe.directory=*", "-C", BENCH, "describe", "--always", "--dirty", "--tags")
    return {key: value for key, value in found.items() if value}
