# SPDX-License-Identifier: GPL-2.0-or-later
"""An arm while it is up: its script runs until we close its standard input."""
import os
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass, field

SETUP_LIMIT = 180  # seconds to make an arm
TEARDOWN_LIMIT = 90
END = b"\0\n\0"  # of an offer


class ArmError(Exception):
    """The arm cannot be measured. skipped: because this machine lacks something, rather than because it failed."""

    def __init__(self, skipped, reason):
        super().__init__(reason)
        self.skipped = skipped


@dataclass
class Target:
    path: str
    offset: int
    size: int
    direct: bool = True
    writes: bool = True
    smb: int = 0  # the process of an SMB server; 0: path is a file to open
    pids: list = field(default_factory=list)
    notes: list = field(default_factory=list)


def parse_offer(data, size):
    path, offset, *rest = data.decode().split("\0")[:-2]
    target = Target(path, int(offset), size)
    for item in rest:
        key, _, value = item.partition("=")
        if key in ("direct", "writes"):
            setattr(target, key, value != "no")
        elif key == "smb":
            target.smb = int(value)
        elif key == "pid":
            target.pids.append(int(value))
        elif key == "note":
            target.notes.extend([value] if value else [])
        else:
            raise ArmError(False, f"offers an unknown {key}")
    return target


def lacks(arm, log):
    """Why this machine cannot run the arm; '' when it can. Its script runs to its "begin" and makes nothing."""
    environ = dict(os.environ, ARM_PROBE="1")
    with open(log, "ab") as file:
        code = subprocess.run(["bash", *arm.command], env=environ, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                              timeout=SETUP_LIMIT, check=False).returncode
    return reason(log) if code == 77 else ""


def reason(log):
    """The last line it said, and of a failure the one before bash's own account of it."""
    with open(log, encoding="utf-8", errors="replace") as lines:
        said = [line.strip() for line in lines if line.strip()]
    own = [line for line in said if not line.startswith(("FAIL: line", "cleanup failed"))]
    return (own or said or ["it said nothing"])[-1][:300]


class RunningArm:
    """A context manager. Its value is the Target."""

    def __init__(self, arm, device, log):
        self.arm, self.device, self.log = arm, device, log
        self.child = None

    def __enter__(self):
        reply, theirs = os.pipe()
        environ = dict(os.environ, DEVICE=self.device.path, AREA=str(self.device.area),
                       RAW_OFFSET=str(self.device.raw_offset), REGION=str(self.device.region),
                       TMPDIR=self.device.scratch, ARM_REPLY=str(theirs))
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(["bash", *self.arm.command], env=environ, stdin=subprocess.PIPE, stdout=log,
                                          stderr=log, pass_fds=[theirs], start_new_session=True)
        os.close(theirs)
        try:
            data = read_offer(reply, self.child)
            if not data.endswith(END):
                code = self.child.wait(TEARDOWN_LIMIT)
                raise ArmError(code == 77, reason(self.log))
            return parse_offer(data, self.device.region)
        except BaseException:
            self.end()
            raise
        finally:
            os.close(reply)

    def __exit__(self, kind, _value, _traceback):
        code = self.end()
        if code and kind is None:
            raise ArmError(False, f"its end failed: {reason(self.log)}")

    def end(self):
        """Closes its standard input and waits; its exit code."""
        self.child.stdin.close()
        try:
            return self.child.wait(TEARDOWN_LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(self.child.pid, signal.SIGTERM)
            try:
                return self.child.wait(TEARDOWN_LIMIT)
            except subprocess.TimeoutExpired:
                os.killpg(self.child.pid, signal.SIGKILL)
                return self.child.wait()


def read_offer(descriptor, child):
    """Until the offer is complete or the script has ended."""
    data, end = b"", time.monotonic() + SETUP_LIMIT
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while not data.endswith(END):
            ended = child.poll() is not None
            if selector.select(0 if ended else 0.5):
                part = os.read(descriptor, 65536)
                if not part:
                    break
                data += part
            elif ended:
                break
            elif time.monotonic() > end:
                raise ArmError(False, f"not ready after {SETUP_LIMIT} s")
    return data


def of_process(pid, name):
    """A file of /proc about one of the arm's processes, which must be alive."""
    try:
        with open(f"/proc/{pid}/{name}", encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        raise ArmError(False, f"its process {pid} has ended") from None


def peak_memory_mib(pids):
    """The greatest resident sizes of the arm's processes, added up; None when it has no process."""
    lines = [line for pid in pids for line in of_process(pid, "status").splitlines()]
    return round(sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024, 1) if pids else None


def mounts_of(path):
    """'type source options' of the mount PATH lies on."""
    best, answer = "", ""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            left, _, right = line.partition(" - ")
            point = left.split()[4].encode().decode("unicode_escape")
            if (path == point or path.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
                kind, source, options = right.split()[:3]
                best, answer = point, f"{kind} {source} {left.split()[5]},{options}"
    return answer
