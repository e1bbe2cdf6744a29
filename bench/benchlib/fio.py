# SPDX-License-Identifier: GPL-2.0-or-later
"""One run of fio, with the CPU time of the whole system beside it."""
import json
import os
import resource
import subprocess

from .stats import cpu_us_per_io

HANG = 60  # seconds beyond its runtime after which a run of fio counts as hung


class FioError(Exception):
    """fio failed; the message is its own."""


def busy_seconds():
    """CPU time that all processors have spent on anything but idling, waiting for I/O and other guests (steal)."""
    with open("/proc/stat", encoding="ascii") as stat:
        user, nice, system, _idle, _iowait, irq, softirq = (int(n) for n in stat.readline().split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def children_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def spawn(command, environ, seconds):
    """Its two outputs. The child has a session of its own: a signal for us does not reach it, so it is ended here."""
    with subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, start_new_session=True) as child:
        try:
            out, err = child.communicate(timeout=seconds + HANG)
        except BaseException as error:
            if child.poll() is None:
                child.kill()
                child.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise FioError(f"hung: no end after {seconds + HANG:.0f} s") from None
            raise
    if child.returncode != 0:
        lines = [line for line in (err + "\n" + out).splitlines() if line.strip() and not line.startswith("{")]
        raise FioError((lines or [f"exit code {child.returncode}"])[0][:300])
    return out, err


def run(workload, target, seconds):
    """Runs a job file on TARGET (see arm.Target). Returns a dictionary: what is reported, and fio's own report."""
    environ = dict(os.environ, BENCH_TARGET=target.path.replace(":", r"\:"), BENCH_OFFSET=str(target.offset),
                   BENCH_SIZE=str(target.size), BENCH_RUNTIME=f"{int(seconds * 1000)}ms",
                   BENCH_DIRECT="1" if target.direct else "0")
    busy, children = busy_seconds(), children_seconds()
    out, err = spawn(["fio", "--output-format=json", "--eta=never", workload.path], environ, seconds)
    busy, children = busy_seconds() - busy, children_seconds() - children
    job = json.loads(out[out.index("{"):])["jobs"][0]
    if job["error"]:
        raise FioError(f"error {job['error']}: {os.strerror(job['error'])}")
    if not job["read"]["total_ios"] + job["write"]["total_ios"]:
        raise FioError((err.strip() or "not one request was finished")[:300])
    return digest(job, busy, children)


def digest(job, busy, children):
    """BUSY: CPU seconds of the system; CHILDREN: of fio itself. What fio used beside its load is not the arm's."""
    side = job["write" if job["write"]["total_ios"] else "read"]
    load = (job["usr_cpu"] + job["sys_cpu"]) / 100 * job["job_runtime"] / 1000
    percentiles = side["clat_ns"].get("percentile", {})
    return {
        "mbps": side["bw_bytes"] / 1e6,
        "iops": side["iops"],
        "lat_us": side["lat_ns"]["mean"] / 1000,
        "p99_us": percentiles.get("99.000000", side["clat_ns"]["max"]) / 1000,
        "cpu_us_per_io": cpu_us_per_io(busy, max(0.0, children - load), side["total_ios"]),
        "fio": trimmed(job),
    }


def trimmed(job):
    """fio's report without the directions that did nothing and without options we know."""
    return {key: value for key, value in job.items()
            if key != "job options" and not (isinstance(value, dict) and value.get("total_ios") == 0)}
