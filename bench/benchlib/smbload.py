# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads or writes a file of the share //127.0.0.1/bench for some seconds; each job is a process with a connection.

One argument, JSON: file, offset, size (the region, bytes), block, random, write, jobs, seconds.
Prints JSON: ios, seconds, mean_us, p99_us, overhead (CPU seconds of ours outside of the load).
"""
import json
import os
import random
import sys
import time

from samba.credentials import DONT_USE_KERBEROS, Credentials
from samba.samba3 import libsmb_samba_internal as libsmb
from samba.samba3 import param

USER, PASSWORD = "nobody", "secret"  # tests/samba/lib.sh
READ_WRITE = 0x1 | 0x2  # FILE_READ_DATA, FILE_WRITE_DATA
OPEN, SHARE_ALL = 1, 7


def connect():
    parameters = param.get_context()
    parameters.load("/dev/null")
    parameters.set("client signing", "if_required")
    credentials = Credentials()
    credentials.guess(parameters)
    credentials.set_username(USER)
    credentials.set_password(PASSWORD)
    credentials.set_kerberos_state(DONT_USE_KERBEROS)
    return libsmb.Conn("127.0.0.1", "bench", parameters, credentials)


def offsets(order, index):
    """Without an end: sequential jobs start evenly spread over the region, as they go round."""
    blocks = order["size"] // order["block"]
    place = index * blocks // order["jobs"]
    draw = random.Random()
    while True:
        yield order["offset"] + (draw.randrange(blocks) if order["random"] else place) * order["block"]
        place = (place + 1) % blocks


def job(order, index, ready, go):
    """Latencies in seconds, the seconds it ran and the CPU time of that."""
    connection = connect()
    handle = connection.create(order["file"], DesiredAccess=READ_WRITE, CreateDisposition=OPEN, ShareAccess=SHARE_ALL)
    data, latencies, places = os.urandom(order["block"]), [], offsets(order, index)
    os.write(ready, b"r")
    os.read(go, 1)
    cpu, start = time.process_time(), time.monotonic()
    now, end = start, start + order["seconds"]
    while now < end:
        place = next(places)
        if order["write"]:
            connection.write(handle, data, place)
        elif len(connection.read(handle, place, order["block"])) != order["block"]:
            raise SystemExit("a short read")
        before, now = now, time.monotonic()
        latencies.append(now - before)
    cpu = time.process_time() - cpu
    connection.close(handle)
    return latencies, now - start, cpu


def fork_jobs(order):
    """[(latencies, seconds, cpu), ...]; all start at once."""
    (ready_in, ready), (go, go_out) = os.pipe(), os.pipe()
    readers = []
    for index in range(order["jobs"]):
        reader, writer = os.pipe()
        if os.fork() == 0:
            try:
                with os.fdopen(writer, "w") as out:
                    json.dump(job(order, index, ready, go), out)
                os._exit(0)
            except BaseException as error:  # whatever it is, this process must not go on as the parent
                print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
                os._exit(1)
        os.close(writer)
        readers.append(reader)
    os.close(ready)
    started = 0
    while started < order["jobs"]:
        part = os.read(ready_in, 64)
        if not part:
            raise SystemExit("a job did not start")
        started += len(part)
    os.write(go_out, b"g" * order["jobs"])
    found = [json.load(os.fdopen(reader)) for reader in readers]
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return found


def main():
    order = json.loads(sys.argv[1])
    found = fork_jobs(order)
    latencies = sorted(latency for times, _, _ in found for latency in times)
    usage = os.times()
    total = usage.user + usage.system + usage.children_user + usage.children_system
    print(json.dumps({
        "ios": len(latencies),
        "seconds": max(seconds for _, seconds, _ in found),
        "mean_us": sum(latencies) / len(latencies) * 1e6,
        "p99_us": latencies[min(len(latencies) - 1, len(latencies) * 99 // 100)] * 1e6,
        "overhead": max(0.0, total - sum(cpu for _, _, cpu in found)),
    }))


if __name__ == "__main__":
    main()
