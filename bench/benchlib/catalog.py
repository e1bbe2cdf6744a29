# SPDX-License-Identifier: GPL-2.0-or-later
"""Which arms and workloads there are: bench/arms.list and bench/fio/*.fio."""
import glob
import os
import re
import shlex
from dataclasses import dataclass

from .errors import USAGE, BenchError

BENCH = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RAW = "raw"
ROLES = ("ours", "peer", "cached", "floor", "-")


@dataclass(frozen=True)
class Arm:
    name: str
    runs: tuple  # of quick, ram, disk
    everything: bool  # the extra workloads too
    role: str  # one of ROLES
    command: tuple  # the script's path and its arguments
    about: str


@dataclass(frozen=True)
class Workload:
    name: str
    path: str
    quick: bool
    core: bool
    about: str

    @property
    def writes(self):
        return "write" in self.name or self.name.startswith("fsync")


def load_arms(path=os.path.join(BENCH, "arms.list")):
    arms = []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            fields, _, about = line.partition("#")
            words = shlex.split(fields)
            if not words:
                continue
            name, runs, workloads, role, script = words[:5]
            script = os.path.join(BENCH, "arms", script + ".sh")
            arms.append(Arm(name, tuple(runs.split(",")), workloads == "all", role, (script, *words[5:]),
                            about.strip()))
    return arms


def load_workloads(directory=os.path.join(BENCH, "fio")):
    """In the order of a report: core ones first, reads before writes, sequential before random."""
    found = []
    for path in glob.glob(os.path.join(directory, "*.fio")):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        sets = re.search(r"^; sets: (.*)$", text, re.M).group(1).split()
        about = re.search(r"\n; (.*)\n; sets:", text).group(1)
        found.append(Workload(os.path.basename(path)[:-4], path, "quick" in sets, "core" in sets, about))
    return sorted(found, key=_order)


def _order(workload):
    name = workload.name
    depth = int(re.search(r"(\d+)$", name).group(1)) if re.search(r"qd\d+$", name) else 99
    return not workload.core, "seq" not in name, "write" in name, name.startswith("fsync"), depth, name


def select(items, names, kind):
    """Those named, in the catalogue's order; NAMES may hold patterns with *."""
    chosen = set()
    for name in names:
        pattern = re.compile(".*".join(re.escape(part) for part in name.split("*")) + r"\Z")
        matches = {item.name for item in items if pattern.match(item.name)}
        if not matches and not (kind == "arm" and name == RAW):
            raise BenchError(USAGE, f"there is no {kind} {name}; --list shows them")
        chosen |= matches
    return [item for item in items if item.name in chosen]
