# SPDX-License-Identifier: GPL-2.0-or-later
"""Copies a file to a full volume whose free space lies in many holes, so that the copy is in many pieces.

usage: fragment.py SOURCE TARGET DIRECTORY BYTES STEP VARIANTS

The volume is filled with files in DIRECTORY, of BYTES and up to VARIANTS steps of STEP bytes more, and each second one goes.
"""
import os
import sys

source, target, directory = sys.argv[1:4]
size, step, variants = (int(word) for word in sys.argv[4:7])
names, noise = [], os.urandom(size + step * variants)
try:
    while True:
        names.append(f"{directory}/{len(names)}")
        with open(names[-1], "wb", 0) as f:
            f.write(noise[:size + step * (len(names) * 7 % variants)])
except OSError:
    pass
for name in names[::2]:
    os.unlink(name)
with open(source, "rb") as from_, open(target, "wb", 0) as to:
    while data := from_.read(1 << 20):
        to.write(data)
