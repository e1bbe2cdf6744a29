# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line, and the order of things: question, installation, build, then a process of its own that measures."""
import argparse
import datetime
import json
import os
import shutil
import signal
import subprocess
import sys

from . import catalog, chart, compare, machine, measure, plan, report, scratch, source
from .errors import INTERRUPTED, IO, UNSAFE, USAGE, BenchError

SRC = os.path.dirname(catalog.BENCH)
QUICK_BUDGET, FULL_BUDGET = 85, 25 * 60  # seconds; the rest up to 2 and 30 minutes is for making and removing
LATEST = 1.05  # no arm is begun after this part of the budget
REPEATS = 3
LIMIT = "86400"  # seconds after which a run is ended
MIB = scratch.MIB

EPILOG = """
Without SOURCE it makes loop devices of its own, RAM-backed and (in a full run) disk-backed. With SOURCE, a block device,
ALL DATA ON IT ARE LOST; it asks before, and refuses a device that is in use.

{length}

bench/run compare OLD.json NEW.json [--tolerance PERCENT] [--allow-missing] prints what changed beyond the noise.

Exit codes: 0 fine, 1 usage, 2 unsafe or in use, 4 an arm failed or an I/O error, 5 compare: something is slower, or is
not measured any more.
"""


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise BenchError(USAGE, f"{message}; see bench/run --help")


def names(text):
    return [name for name in text.split(",") if name]


def at_least(kind, least):
    def convert(text):
        value = kind(text)
        if not least <= value:
            raise argparse.ArgumentTypeError(f"must be at least {least}")
        return value

    convert.__name__ = "number"
    return convert


def length():
    """How long a full run takes when nothing is skipped, from the catalogue."""
    sessions = plan.sessions(["ram", "disk"], catalog.load_arms(), catalog.load_workloads(), False)
    runtime = plan.runtime_for(sessions, REPEATS, FULL_BUDGET)
    pairs = sum(len(session.workloads) for session in sessions)
    minutes = plan.estimate(sessions, REPEATS, runtime) / 60
    return (f"A full run with every arm: {len(sessions)} arms on two devices, {pairs} times an arm and a workload, each {REPEATS}"
            f" runs of it\nbetween {REPEATS + 1} of raw: {plan.run_count(sessions, REPEATS)} runs of {runtime} s, with what is"
            f" around them {minutes:.0f} minutes. No arm is begun after"
            f" {LATEST * FULL_BUDGET / 60:.0f} minutes,\nhowever slow the machine is, so that it ends within 30.")


def parser():
    new = Parser(prog="bench/run", description="Measures vhdxfs and its peers against the raw device.",
                 epilog=EPILOG.format(length=length()), formatter_class=argparse.RawDescriptionHelpFormatter)
    new.add_argument("source", metavar="SOURCE", nargs="?", help="a block device to overwrite")
    new.add_argument("--yes", action="store_true", help="SOURCE may be overwritten: do not ask")
    new.add_argument("--quick", action="store_true", help="under 2 minutes: few arms, RAM-backed only")
    new.add_argument("--arms", type=names, metavar="A,B", help="only these (* is a pattern); raw is always measured")
    new.add_argument("--workloads", type=names, metavar="A,B", help="only these (* is a pattern)")
    new.add_argument("--device", choices=("ram", "disk", "both"), help="which scratch devices")
    new.add_argument("--repeats", type=at_least(int, 1), metavar="N", default=REPEATS,
                     help=f"runs of each arm and workload ({REPEATS})")
    new.add_argument("--runtime", type=at_least(float, 0.1), metavar="SECONDS", help="of each run (chosen by the time there is)")
    new.add_argument("--size", type=at_least(int, 16), metavar="MIB", help="of the region that is read and written (256)")
    new.add_argument("--scratch", metavar="DIR", default="/var/tmp", help="for the disk-backed device (/var/tmp)")
    new.add_argument("--output", metavar="DIR", help="for the reports (BUILD/bench/DATE)")
    new.add_argument("--json", metavar="FILE", help="write the JSON there, too")
    new.add_argument("--install", action="store_true", help="install the programs of all arms (Debian)")
    new.add_argument("--no-build", action="store_true", help="measure the vhdxfs that is in BUILD as it is")
    new.add_argument("--list", action="store_true", help="print the arms and workloads, and end")
    return new


def compare_main(words):
    new = Parser(prog="bench/run compare", description="Prints what changed between two runs beyond the noise.")
    new.add_argument("old", metavar="OLD.json")
    new.add_argument("new", metavar="NEW.json")
    new.add_argument("--tolerance", type=at_least(float, 0), metavar="PERCENT", default=5,
                     help="changes below this count as noise, however small the spread (5)")
    new.add_argument("--allow-missing", action="store_true",
                     help="an arm or workload of OLD that NEW skipped or was not asked for is no regression (one that FAILED is)")
    options = new.parse_args(words)
    return compare.compare(options.old, options.new, options.tolerance / 100, options.allow_missing)


def show_catalog():
    for arm in catalog.load_arms():
        print(f"{arm.name:22} {arm.about}")
    print()
    for workload in catalog.load_workloads():
        print(f"{workload.name:22} {workload.about}")


# --- before the measurement ---------------------------------------------------------------------------------------------


def shell(text, *words):
    """A line for bash, with the functions of tests/packages.sh."""
    code = subprocess.run(["bash", "-c", f'set -euo pipefail; . "$0/tests/packages.sh"; {text}', SRC, *words],
                          stdin=subprocess.DEVNULL, check=False).returncode
    if code:
        raise BenchError(IO, "that failed; see above")


def prepare(options):
    """Everything that needs the caller's terminal, network or whole system."""
    if options.install:
        shell('packages_ensure "${packages_build[@]}" "${packages_run[@]}" fio')
        # One by one: what a release does not have costs an arm, not the run.
        shell('for name in "${packages_bench[@]}"; do packages_ensure "$name" || true; done')
    if not shutil.which("fio"):
        raise BenchError(IO, "fio is not installed; --install installs it and the programs of all arms")
    vhdxfs = os.path.join(options.build, "fuse", "vhdxfs")
    if not options.no_build:
        print(f"Building in {options.build}", file=sys.stderr)
        shell('build_vhdxfs "$0" "$1"', options.build)
        if any(session.arm and session.arm.role == "floor" for session in make_plan(options)):
            # In a directory of its own: that program must never be taken for the real one.
            shell('build_vhdxfs "$0" "$1/null" CPPFLAGS=-DNULL_BACKING', options.build)
    if not os.access(vhdxfs, os.X_OK):
        raise BenchError(IO, f"there is no {vhdxfs}")
    try:  # now, not after half an hour
        os.makedirs(options.output, exist_ok=True)
        if options.json:
            open(options.json, "a", encoding="utf-8").close()
    except OSError as error:
        raise BenchError(USAGE, f"{error.filename}: {error.strerror}") from None


def start(options):
    """Asks and prepares; then the same program measures, in namespaces where nothing outlives it."""
    if os.geteuid() != 0:
        raise BenchError(USAGE, "it attaches loop devices and mounts: run it as root (sudo bench/run)")
    options.build = os.path.abspath(os.environ.get("BUILD") or os.path.join(SRC, "build"))
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    options.output = os.path.abspath(options.output or os.path.join(options.build, "bench", stamp))
    if options.source and options.device:
        raise BenchError(USAGE, "--device is about scratch devices: give either that or SOURCE")
    options.number = source.confirm(options.source, options.yes) if options.source else None
    prepare(options)
    # The death of this process, even by SIGKILL, is the end of the measurement.
    inner = ["setpriv", "--pdeathsig", "TERM", os.path.join(SRC, "tests", "isolate"), LIMIT,
             sys.executable, os.path.join(catalog.BENCH, "run"), "--inside", json.dumps(vars(options))]
    environ = dict(os.environ, SRC=SRC, BUILD=options.build)
    child = subprocess.Popen(inner, env=environ)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: child.terminate())
    code = child.wait()
    give_back(options.output)
    if code == 0:
        print(f"The reports are in {options.output}: report.html, report.md, results.md, results.json")
    return code if code >= 0 else INTERRUPTED


def give_back(path):
    """Under sudo, the reports belong to who asked for them."""
    owner = int(os.environ.get("SUDO_UID", 0))
    if owner:
        subprocess.run(["chown", "-R", "--no-dereference", f"{owner}:{os.environ.get('SUDO_GID', owner)}", path], check=False)


# --- the measurement -----------------------------------------------------------------------------------------------------


def inside(options):
    def interrupted(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGHUP, interrupted)
    try:
        with scratch.Scratch(options.scratch) as devices:
            return run(options, devices)
    except KeyboardInterrupt:
        raise BenchError(INTERRUPTED, "interrupted; all is undone") from None


def make_plan(options):
    """Sessions, and the kinds of devices they need."""
    workloads = catalog.load_workloads()
    if options.workloads:
        workloads = catalog.select(workloads, options.workloads, "workload")
    elif options.quick:
        workloads = [workload for workload in workloads if workload.quick]
    arms = catalog.load_arms()
    if options.arms:
        arms = catalog.select(arms, options.arms, "arm")
    kinds = {"ram": ["ram"], "disk": ["disk"], "both": ["ram", "disk"], None: ["ram"] if options.quick else ["ram", "disk"]}
    devices = ["source"] if options.source else kinds[options.device]
    if not arms:
        return [plan.Session(device, None, tuple(workloads)) for device in devices]
    if options.source or options.quick:  # the sets of arms are named after what they are for
        stand_in = "quick" if options.quick else "ram"
        return [plan.Session(device, session.arm, session.workloads) for device in devices
                for session in plan.sessions([stand_in], arms, workloads, bool(options.arms))]
    return plan.sessions(devices, arms, workloads, bool(options.arms))


def make_devices(options, kinds, maker):
    region = options.size * MIB if options.size else scratch.fitting_region(128 * MIB if options.quick else 256 * MIB, kinds)
    if options.source:
        if os.stat(options.source).st_rdev != options.number:
            raise BenchError(UNSAFE, f"{options.source} is another device now than the one that was confirmed")
        return {"source": maker.named(options.source, region)}
    return {kind: getattr(maker, kind)(region) for kind in kinds}


def run(options, maker):
    sessions = make_plan(options)
    devices = make_devices(options, dict.fromkeys(session.device for session in sessions), maker)
    logs = os.path.join(options.output, "logs")
    os.makedirs(logs, exist_ok=True)
    measured = measure.Measurement(devices, options.repeats, logs)
    sessions = measured.possible(sessions)
    budget = QUICK_BUDGET if options.quick else FULL_BUDGET
    runtime = options.runtime or plan.runtime_for(sessions, options.repeats, budget)
    seconds = plan.estimate(sessions, options.repeats, runtime)
    progress = plan.Progress(plan.run_count(sessions, options.repeats), seconds)
    progress.line(f"{len(sessions)} arms, {progress.total} runs of {runtime} s: about {plan.clock(seconds)}")
    before = machine.load()
    measured.start(sessions, runtime, progress, None if options.runtime else LATEST * budget)
    write(options, document(options, measured, devices, runtime, (before, machine.load())))
    return IO if any(arm["status"] == "FAILED" for arm in measured.arms) else 0


def document(options, measured, devices, runtime, load):
    """What is written as JSON. bench/README describes it."""
    kinds = [{"device": {"kind": kind, "about": device.about}, "results": measured.results_of(kind)}
             for kind, device in devices.items()]
    return {
        "format": 1,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "settings": {"quick": options.quick, "repeats": options.repeats, "runtime_s": runtime,
                     "region_mib": next(iter(devices.values())).region // MIB},
        "device": kinds[0]["device"],
        "results": kinds[0]["results"],
        "other_devices": kinds[1:],
        "arms": measured.arms,
        "workloads": {workload.name: workload.about for workload in catalog.load_workloads()},
        "standard": [workload.name for workload in catalog.load_workloads() if workload.quick],
        "machine": machine.facts(),
        "versions": machine.versions(options.build),
        "load": load,
        "runs": measured.runs,
    }


def write(options, doc):
    """results.json, report.md, results.md, a chart for each device, report.html; and the file of --json."""
    def save(path, text):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    text = json.dumps(doc, separators=(",", ":")) + "\n"
    for path in filter(None, (os.path.join(options.output, "results.json"), options.json)):
        save(path, text)
    charts = {}
    for device, results in report.devices(doc):
        path = os.path.join(options.output, f"chart-{device['kind']}.svg")
        trouble = chart.draw(path, results)
        if trouble:
            print(f"no chart: {trouble}", file=sys.stderr)
            break
        with open(path, encoding="utf-8") as file:
            charts[device["kind"]] = file.read()
    save(os.path.join(options.output, "report.md"), report.markdown(doc))
    save(os.path.join(options.output, "results.md"), report.figures(doc))
    save(os.path.join(options.output, "report.html"), report.page(doc, charts))
    for device, results in report.devices(doc):
        print(f"\n{device['kind']}: ratio to raw (CPU us per I/O)\n" + report.plain(*report.overview(results)))
        head, rows = report.summary(doc, results)
        if rows:
            print("\n" + report.aligned([head, *rows]))


def main(words):
    try:
        if words[:1] == ["compare"]:
            return compare_main(words[1:])
        if words[:1] == ["--inside"]:
            return inside(argparse.Namespace(**json.loads(words[1])))
        options = parser().parse_args(words)
        if options.list:
            show_catalog()
            return 0
        make_plan(options)  # a wrong name is an error before anything is asked
        return start(options)
    except BenchError as error:
        print(f"bench/run: {error}", file=sys.stderr)
        return error.code
