# SPDX-License-Identifier: GPL-2.0-or-later
"""The load for an arm behind an SMB server: smbload.py in the server's network, with fio's job file as its orders.

No SMB engine of fio is packaged, and not every kernel has cifs. smbload.py uses Samba's client library, which waits for
each request: so only the direct workloads with one request a job can be compared.
"""
import json
import os
import re

from .fio import FioError, busy_seconds, spawn
from .stats import cpu_us_per_io

LOAD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "smbload.py")
PYTHON = "/usr/bin/python3"  # python3-samba is the distribution's: its Python, whatever comes first in PATH
UNITS = {"k": 1 << 10, "m": 1 << 20}


def orders(workload):
    """{option: value} of a job file."""
    with open(workload.path, encoding="utf-8") as file:
        return dict(re.findall(r"^(\w+)=(\S+)$", file.read(), re.M))


def can(workload):
    job = orders(workload)
    return job.get("iodepth") == "1" and not {"direct", "fsync"} & set(job)


def run(workload, target, seconds):
    job = orders(workload)
    size = int(job["bs"][:-1]) * UNITS[job["bs"][-1].lower()]
    settings = {"file": os.path.basename(target.path), "offset": target.offset, "size": target.size, "block": size,
                "random": job["rw"].startswith("rand"), "write": "write" in job["rw"],
                "jobs": int(job.get("numjobs", 1)), "seconds": seconds}
    command = ["nsenter", f"--net=/proc/{target.smb}/ns/net", PYTHON, "-B", LOAD, json.dumps(settings)]
    busy = busy_seconds()
    out, _err = spawn(command, dict(os.environ), seconds)
    busy = busy_seconds() - busy
    seen = json.loads(out)
    if not seen["ios"]:
        raise FioError("not one request was finished")
    ios = seen["ios"]
    return {
        "mbps": ios * size / seen["seconds"] / 1e6,
        "iops": ios / seen["seconds"],
        "lat_us": seen["mean_us"],
        "p99_us": seen["p99_us"],
        "cpu_us_per_io": cpu_us_per_io(busy, seen["overhead"], ios),
        "fio": {"error": 0, "smbload": {**settings, **seen}},
    }
