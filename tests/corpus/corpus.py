#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
Makes the corpus of good and spoiled VHDX files, and compares verdicts.

    corpus.py generate DIR          make every file and DIR/MANIFEST
    corpus.py verify VHDXGEN DIR    compare `VHDXGEN check` with the manifest
    corpus.py rules VHDXGEN         every rule must have a case that breaks just it
    corpus.py compare VHDXGEN DIR   print what qemu-img, vhdiinfo, 7zz and VHDXGEN make of the files
    corpus.py dirty FILE            a file with a long log to be replayed
    corpus.py pack DIR SEEDS        small ones as seeds for the fuzzers (tests/fuzz/packed.h)

"Just it" allows for the companions that cannot be avoided: see COMPANIONS.
"""

import json
import os
import shutil
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cases import CASES  # noqa: E402
from vhdxlib import Entry, Image  # noqa: E402

# A rule that cannot speak without another one: no valid header means two bad ones; an entry of
# the log is judged in a log that is dirty; an unknown region or item is a note of its own.
COMPANIONS = {
    "VHDX-HDR-001": {"VHDX-HDR-003"},
    "VHDX-REG-001": {"VHDX-REG-003"},
    "VHDX-REG-013": {"VHDX-REG-018"},
    "VHDX-REG-014": {"VHDX-REG-018"},
    "VHDX-META-016": {"VHDX-META-019"},
}


def companions(rule):
    return COMPANIONS.get(rule, {"VHDX-LOG-002"} if rule.startswith("VHDX-LOG") else set())


def generate(directory):
    names = set()
    with open(os.path.join(directory, "MANIFEST"), "w", encoding="ascii") as manifest:
        for name, rules, arguments, edit in CASES:
            if name in names:
                sys.exit(f"two cases are named {name}")
            names.add(name)
            image = Image(**arguments)
            edit(image)
            image.write(os.path.join(directory, name + ".vhdx"))
            print(name, ",".join(sorted(rules)) or "-", sep="\t", file=manifest)
    print(f"{len(CASES)} files")


def read_manifest(directory):
    with open(os.path.join(directory, "MANIFEST"), encoding="ascii") as manifest:
        for line in manifest:
            name, rules = line.rstrip("\n").split("\t")
            yield name, set() if rules == "-" else set(rules.split(","))


def severities(program):
    out = subprocess.run([program, "check", "--list-rules", "--output=json"], check=True,
                         stdout=subprocess.PIPE).stdout
    return {r["rule"]: r["severity"] for r in json.loads(out)}


def verify(program, directory):
    severity = severities(program)
    wrong = files = 0
    for name, rules in read_manifest(directory):
        path = os.path.join(directory, name + ".vhdx")
        run = subprocess.run([program, "check", "--output=json", path], stdout=subprocess.PIPE,
                             check=False)
        invalid = any(severity[r] == "error" for r in rules)
        files += 1
        if run.returncode not in (0, 3):
            print(f"{name}: exit status {run.returncode}")
            wrong += 1
            continue
        report = json.loads(run.stdout)
        found = set(report["counts"])
        if found != rules or run.returncode != (3 if invalid else 0):
            wrong += 1
            print(f"{name}: exit status {run.returncode}; missing {sorted(rules - found)}, "
                  f"not expected {sorted(found - rules)}")
            for finding in report["findings"]:
                print("   ", finding["rule"], hex(finding["offset"]), finding["found"])
    print(f"{files} files, {wrong} judged wrongly")
    return 1 if wrong else 0


def rules_covered(program):
    missing = []
    for rule in severities(program):
        if not any(rule in rules and rules <= {rule} | companions(rule)
                   for _, rules, _, _ in CASES):
            missing.append(rule)
    for rule in missing:
        print(f"no case breaks just {rule}")
    unknown = {r for _, rules, _, _ in CASES for r in rules} - set(severities(program))
    for rule in unknown:
        print(f"no such rule: {rule}")
    print(f"{len(severities(program))} rules, {len(missing)} without a case")
    return 1 if missing or unknown else 0


READERS = {
    "qemu-img": lambda path: [["qemu-img", "check", "-q", "-f", "vhdx", path]],
    "vhdiinfo": lambda path: [["vhdiinfo", path]],
    "7zz": lambda path: [["7zz", "l", "-tvhdx", path]],
}


def accepts(commands):
    return all(subprocess.run(c, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              check=False).returncode == 0 for c in commands)


def compare(program, directory):
    """One line a file, + accepted, - rejected; then the sums. A dirty log is a class of its own:
    a reader that cannot replay in memory has to reject it."""
    severity = severities(program)
    readers = {name: make for name, make in READERS.items() if shutil.which(name)}
    readers["vhdxgen"] = lambda path: [[program, "check", "-q", path]]
    classes = {"spoiled": [], "good": [], "good, log to replay": []}
    print("".join(f"{name:>10}" for name in readers), " file and rules")
    for name, rules in read_manifest(directory):
        path = os.path.join(directory, name + ".vhdx")
        verdicts = {reader: accepts(make(path)) for reader, make in readers.items()}
        bad = any(severity[r] == "error" for r in rules)
        classes["spoiled" if bad else "good, log to replay" if "VHDX-LOG-002" in rules
                else "good"].append(verdicts)
        print("".join(f"{'+' if verdicts[r] else '-':>10}" for r in readers), "", name,
              ",".join(sorted(rules)))
    for title, files in classes.items():
        for reader in readers:
            took = sum(v[reader] for v in files)
            print(f"{title}, {len(files)} files: {reader} accepts {took}, rejects "
                  f"{len(files) - took}")
    return 0


def dirty(path):
    image = Image(size=64 << 20)
    for header in image.headers:
        header.log_offset, header.log_length = image.grow(32 << 20), 32 << 20
    image.move_metadata(image.grow(48 << 20), 48 << 20)
    at, tail = 0, 0
    for sequence in range(1, 61):
        writes = [(image.meta_at + (1 << 20) + 4096 * ((sequence * 61 + 7 * i) % 8000),
                   bytes([sequence, i]) * 2048) for i in range(100)]
        entry = Entry(at, sequence, tail, writes, last=image.file_size)
        image.dirty(entry)
        at += 4096 * 101
    image.write(path)


def runs(data, gap=16):
    """The parts of DATA between runs of GAP zeros or more, as (offset, bytes)."""
    at, part = 0, b""
    for i in range(0, len(data), gap):
        piece = data[i:i + gap]
        if piece.strip(b"\0"):
            if not part:
                at = i
            part += piece
        elif part:
            yield at, part.rstrip(b"\0")
            part = b""
    if part:
        yield at, part.rstrip(b"\0")


def pack(directory, seeds):
    for target in ("check", "replay", "metadata"):
        os.makedirs(os.path.join(seeds, target), exist_ok=True)
    for name, rules in read_manifest(directory):
        path = os.path.join(directory, name + ".vhdx")
        size = os.path.getsize(path)
        if size > 16 << 20:
            continue
        with open(path, "rb") as f:
            data = f.read()
        # Checksums that are meant to be wrong must stay so.
        flags = 0 if any("HDR-001" in r or r in ("VHDX-HDR-003", "VHDX-REG-003", "VHDX-LOG-003")
                         for r in rules) else 7
        packed = struct.pack("<BH", flags, size // 4096)
        for at, part in runs(data):
            for i in range(0, len(part), 0xffff):
                piece = part[i:i + 0xffff]
                packed += struct.pack("<I", at + i)[:3] + struct.pack("<H", len(piece)) + piece
        if len(packed) > 20000:
            continue
        targets = ["check"] + (["replay"] if "-LOG-" in "".join(rules) else [])
        for target in targets:
            with open(os.path.join(seeds, target, name), "wb") as f:
                f.write(packed)
        if name.startswith(("meta-", "par-", "good-")) and size >= 3 << 20:
            region = data[2 << 20:3 << 20]
            table = region[:1 << 16].rstrip(b"\0")
            with open(os.path.join(seeds, "metadata", name), "wb") as f:
                f.write(struct.pack("<H", len(table)) + table + region[1 << 16:].rstrip(b"\0"))


def main():
    match sys.argv[1:]:
        case ["generate", directory]:
            return generate(directory)
        case ["verify", program, directory]:
            return verify(program, directory)
        case ["compare", program, directory]:
            return compare(program, directory)
        case ["dirty", path]:
            return dirty(path)
        case ["pack", directory, seeds]:
            return pack(directory, seeds)
        case ["rules", program]:
            return rules_covered(program)
    print(__doc__, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
