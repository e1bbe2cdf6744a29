# SPDX-License-Identifier: GPL-2.0-or-later
"""The alternation: raw, arm, raw, arm, ..., raw for each arm and workload, and what comes of it."""
import collections
import os
import time
from statistics import median

from . import fio, smb, stats
from .arm import ArmError, RunningArm, Target, lacks, mounts_of, of_process, peak_memory_mib
from .catalog import RAW
from .errors import IO, BenchError
from .plan import WARM_UP

FIGURES = ("mbps", "iops", "lat_us", "p99_us", "cpu_us_per_io")


class Measurement:
    """Runs sessions (plan.Session) on devices (scratch.Device, by kind) and keeps all that was seen."""

    def __init__(self, devices, repeats, logs):
        self.devices, self.repeats, self.logs = devices, repeats, logs
        self.runtime = self.progress = None
        self.runs = []  # every run of fio
        self.arms = []  # what became of each arm
        self.results = collections.defaultdict(list)  # device kind -> results, without raw's
        self.raw = collections.defaultdict(list)  # (device kind, workload) -> a list of raw runs for each session

    def log(self, session):
        return os.path.join(self.logs, f"{session.device}-{session.arm.name}.log")

    def possible(self, sessions):
        """Those whose arm this machine can run; why not is kept of the others."""
        found = []
        for session in sessions:
            why_not = session.arm and lacks(session.arm, self.log(session))
            if why_not:
                self.entry(session).update(status="skipped", reason=why_not)
            else:
                found.append(session)
        return found

    def entry(self, session):
        self.arms.append({"arm": session.arm.name, "about": session.arm.about, "role": session.arm.role,
                          "device": session.device, "status": "measured"})
        return self.arms[-1]

    def start(self, sessions, runtime, progress, limit=None):
        """LIMIT: seconds after which no further arm is begun (a machine under load is slower than planned)."""
        self.runtime, self.progress = runtime, progress
        end = time.monotonic() + limit if limit else float("inf")
        for entry in self.arms:
            self.say(entry)
        for session in sessions:
            if time.monotonic() < end or session.arm is None:
                self.session(session)
            else:
                entry = self.entry(session)
                entry.update(status="skipped", reason="the time was up: this machine is busy")
                self.say(entry)
        progress.end()

    def say(self, entry):
        why = f": {entry['reason']}" if "reason" in entry else ""
        self.progress.line(f"{entry['device']:6} {entry['arm']:20} {entry['status']}{why}")

    def session(self, session):
        device = self.devices[session.device]
        if session.arm is None:
            for workload in session.workloads:
                self.alternate(device, None, workload, None)
            return
        entry = self.entry(session)
        before = self.progress.done
        try:
            with RunningArm(session.arm, device, self.log(session)) as target:
                self.measure_arm(device, session, target, entry)
        except ArmError as error:
            entry.update(status="skipped" if error.skipped else "FAILED", reason=str(error))
        steps = len(session.workloads) * (2 * self.repeats + 1)
        self.progress.step("", steps - (self.progress.done - before))
        self.say(entry)

    def measure_arm(self, device, session, target, entry):
        entry.update(target=os.path.basename(target.path), direct=target.direct, read_only=not target.writes,
                     mount=mounts_of(target.path), commands=commands(target.pids), notes=target.notes)
        troubles = []
        for workload in session.workloads:
            if workload.writes and not target.writes or target.smb and not smb.can(workload):
                continue
            try:
                self.alternate(device, session.arm.name, workload, target)
            except fio.FioError as error:
                troubles.append(f"{workload.name}: {error}")
        entry["peak_memory_mib"] = peak_memory_mib(target.pids)
        if troubles:
            entry.update(status="FAILED", reason="; ".join(troubles))

    def alternate(self, device, arm, workload, target):
        """raw, arm, raw, ..., raw; without an arm as many raw runs."""
        if arm:
            load(workload, target, WARM_UP)
        raw, own = [self.raw_run(device, workload)], []
        for _ in range(self.repeats):
            if arm:
                self.progress.step(f"{arm} {workload.name}")
                own.append(self.keep(device, arm, workload, load(workload, target, self.runtime)))
            else:
                raw.append(self.raw_run(device, workload))
            raw.append(self.raw_run(device, workload))
        self.raw[device.kind, workload.name].append([run["mbps"] for run in raw])
        if arm:
            ratios = stats.paired_ratios([run["mbps"] for run in own], [run["mbps"] for run in raw])
            self.results[device.kind].append(result(arm, workload.name, device.kind, ratios, own))

    def raw_run(self, device, workload):
        self.progress.step(f"{RAW} {workload.name}")
        target = Target(device.path, device.raw_offset, device.region)
        try:
            return self.keep(device, RAW, workload, fio.run(workload, target, self.runtime))
        except fio.FioError as error:
            raise BenchError(IO, f"{device.path} itself: {workload.name}: {error}") from None

    def keep(self, device, arm, workload, run):
        rounded = {key: stats.rounded(run[key]) for key in FIGURES}
        self.runs.append({"device": device.kind, "arm": arm, "workload": workload.name, **rounded, "fio": run["fio"]})
        return run

    def results_of(self, kind):
        """The results on one kind of device, raw's first."""
        raw = []
        for (device, workload), groups in self.raw.items():
            if device == kind:
                runs = [run for run in self.runs
                        if (run["device"], run["arm"], run["workload"]) == (kind, RAW, workload)]
                ratios = [ratio for group in groups for ratio in stats.neighbour_ratios(group)]
                raw.append({**result(RAW, workload, kind, ratios, runs), "ratio": 1.0})
        return raw + self.results[kind]


def load(workload, target, seconds):
    return (smb if target.smb else fio).run(workload, target, seconds)


def result(arm, workload, device, ratios, runs):
    ratio, least, greatest = stats.summary(ratios)
    figures = {key: stats.rounded(median(run[key] for run in runs)) for key in FIGURES}
    return {"arm": arm, "workload": workload, "device": device, "ratio": stats.rounded(ratio),
            "ratio_min": stats.rounded(least), "ratio_max": stats.rounded(greatest), **figures, "repeats": len(runs)}


def commands(pids):
    """What the arm's processes were started with."""
    return [of_process(pid, "cmdline").replace("\0", " ").strip() for pid in pids]
