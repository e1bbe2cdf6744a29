# SPDX-License-Identifier: GPL-2.0-or-later
"""bench/run compare OLD.json NEW.json: what changed beyond the noise."""
import json

from .errors import SLOWER, USAGE, BenchError
from .stats import verdict

FIELDS = ("ratio", "ratio_min", "ratio_max")


def load(path):
    """{(device, arm, workload): result} of a file that --json or --output wrote."""
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
        groups = [document["results"], *(other["results"] for other in document.get("other_devices", []))]
        results = {(entry.get("device", ""), entry["arm"], entry["workload"]): entry for group in groups for entry in group}
        for entry in results.values():
            for field in FIELDS:
                entry[field] = float(entry[field])
    except OSError as error:
        raise BenchError(USAGE, f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BenchError(USAGE, f"{path} is no result of bench/run: {error!r}") from None
    return results


def line(key, old, new, word):
    def text(entry):
        return f"{entry['ratio']:.2f} ({entry['ratio_min']:.2f}-{entry['ratio_max']:.2f})"

    device, arm, workload = key
    change = 100 * (new["ratio"] / old["ratio"] - 1) if old["ratio"] else 0.0
    return f"{word:7} {device:6} {arm:20} {workload:20} {text(old):18} -> {text(new):18} {change:+.0f} %"


def compare(old_path, new_path, tolerance):
    """Prints the report; returns the exit code."""
    old, new = load(old_path), load(new_path)
    both = [key for key in old if key in new]
    if not both:
        raise BenchError(USAGE, f"{old_path} and {new_path} have no arm and workload on the same kind of device in common")
    found = [(key, verdict(old[key], new[key], tolerance)) for key in both]
    for word in ("slower", "faster"):
        for key, what in found:
            if what == word:
                print(line(key, old[key], new[key], word))
    for title, here, there in (("not in the new one", old, new), ("new", new, old)):
        missing = sorted({f"{arm} on {device}" for device, arm, _ in here} - {f"{arm} on {device}" for device, arm, _ in there})
        if missing:
            print(f"{title}: {', '.join(missing)}")
    slower = sum(what == "slower" for _, what in found)
    faster = sum(what == "faster" for _, what in found)
    print(f"{len(both)} compared: {slower} slower, {faster} faster, {len(both) - slower - faster} the same within the noise")
    return SLOWER if slower else 0
