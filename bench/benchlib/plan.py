# SPDX-License-Identifier: GPL-2.0-or-later
"""What will run, how long each run may take, and how far we are."""
import sys
import time
from dataclasses import dataclass

FIO_OVERHEAD = 0.28  # seconds around each run: fio's start and end
WARM_UP = 0.2  # seconds of load before an arm's first measured run of a workload
SETUP = 3.0  # seconds to make an arm and to undo it


@dataclass(frozen=True)
class Session:
    """One arm on one device, alternating with raw."""

    device: str
    arm: object
    workloads: tuple


def sessions(devices, arms, workloads, named):
    """NAMED: the arms were named on the command line, so they run on every device and with every workload."""
    plan = []
    for device in devices:
        for arm in arms:
            if not named and device not in arm.runs:
                continue
            chosen = [w for w in workloads if named or arm.everything or w.core]
            if chosen:
                plan.append(Session(device, arm, tuple(chosen)))
    return plan


def run_count(plan, repeats):
    return sum(len(session.workloads) for session in plan) * (2 * repeats + 1)


def runtime_for(plan, repeats, budget):
    """Seconds for each run of fio, so that the whole stays within BUDGET seconds."""
    runs = run_count(plan, repeats)
    if not runs:
        return 1.0
    warm_ups = runs / (2 * repeats + 1)
    fixed = runs * FIO_OVERHEAD + warm_ups * (WARM_UP + FIO_OVERHEAD) + len(plan) * SETUP
    return max(0.2, min(2.0, round((budget - fixed) / runs, 2)))


def estimate(plan, repeats, runtime):
    runs = run_count(plan, repeats)
    warm_ups = runs / (2 * repeats + 1)
    return runs * (runtime + FIO_OVERHEAD) + warm_ups * (WARM_UP + FIO_OVERHEAD) + len(plan) * SETUP


def clock(seconds):
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Progress:
    """A bar with the time left on a terminal; elsewhere a line for each arm. Counts runs of fio."""

    WIDTH = 24

    def __init__(self, total, seconds, stream=sys.stderr):
        self.total, self.stream, self.done, self.text = max(total, 1), stream, 0, ""
        self.start, self.estimate = time.monotonic(), seconds
        self.terminal = stream.isatty()

    def line(self, text):
        """A line that stays."""
        if self.terminal:
            self.stream.write("\r\033[K")
        print(text, file=self.stream, flush=True)
        self.draw()

    def step(self, text, count=1):
        self.done += count
        self.text = text
        self.draw()

    def left(self):
        """The first guess is the plan's; what was measured replaces it bit by bit."""
        part = min(self.done / self.total, 1.0)
        passed = time.monotonic() - self.start
        measured = passed / part * (1 - part) if part else self.estimate
        return part * measured + (1 - part) * max(self.estimate - passed, 0)

    def draw(self):
        if not self.terminal:
            return
        full = min(self.WIDTH, self.WIDTH * self.done // self.total)
        bar = "#" * full + "." * (self.WIDTH - full)
        text = f"[{bar}] {100 * self.done // self.total:3d} %  {clock(self.left())} left  {self.text}"
        self.stream.write("\r\033[K" + text[:118])
        self.stream.flush()

    def end(self):
        if self.terminal:
            self.stream.write("\r\033[K")
            self.stream.flush()
