# SPDX-License-Identifier: GPL-2.0-or-later
"""The device that was named: may it be overwritten? Facts, then a question, then an answer. Nothing here writes."""
import os
import stat
import subprocess
import sys

from .errors import UNSAFE, USAGE, BenchError


def refuse_unfit(path):
    """Refuses what is no block device, or is in use by anything that says so to the kernel."""
    try:
        info = os.stat(path)
    except OSError as error:
        raise BenchError(USAGE, f"{path}: {error.strerror}") from None
    if not stat.S_ISBLK(info.st_mode):
        raise BenchError(USAGE, f"{path} is not a block device; without a device a scratch loop device is made")
    try:
        # O_EXCL on a block device fails while it, or a partition of it, is mounted, swap, or held by LVM, RAID, vhdxfs.
        os.close(os.open(path, os.O_RDWR | os.O_EXCL))
    except OSError as error:
        what = "is in use: mounted, swap, held by another device or served" if error.errno == 16 else error.strerror
        raise BenchError(UNSAFE, f"{path} {what}. Nothing was written.") from None
    return info.st_rdev


def content(path):
    """What libblkid sees on it, '' when it sees nothing."""
    done = subprocess.run(["blkid", "--probe", "--output", "export", path], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    if done.returncode == 8:
        return "several signatures that contradict each other"
    facts = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    keys = ("PTTYPE", "TYPE", "LABEL", "UUID")
    return ", ".join(f"{key} {facts[key]}" for key in keys if key in facts)


def confirm(path, yes, terminal=None):
    """Returns the device's number when its content may be destroyed, and raises otherwise."""
    number = refuse_unfit(path)
    terminal = terminal or sys.stdin
    if not yes and not terminal.isatty():
        raise BenchError(UNSAFE, f"{path} was not confirmed: this is no terminal, and there is no --yes. Nothing was written.")
    size = subprocess.run(["blockdev", "--getsize64", path], capture_output=True, text=True, check=True).stdout
    print(f"""
  ALL DATA ON {path} WILL BE DESTROYED.

      size      {int(size) / 1e9:.3f} GB
      content   {content(path) or 'nothing that blkid knows'}
""", file=sys.stderr)
    if yes:
        return number
    print(f"  Type {path} to go on: ", end="", file=sys.stderr, flush=True)
    if terminal.readline().strip() != path:
        raise BenchError(UNSAFE, f"{path} was not confirmed. Nothing was written.")
    return refuse_unfit(path)
