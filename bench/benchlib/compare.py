# SPDX-License-Identifier: GPL-2.0-or-later
"""bench/run compare OLD.json NEW.json: what changed beyond the noise, and what is not there any more."""
import json

from .errors import SLOWER, USAGE, BenchError
from .stats import verdict

FIELDS = ("ratio", "ratio_min", "ratio_max")


def load(path):
    """({(device, arm, workload): result}, {(device, arm): what became of it}) of a file that --json or --output wrote."""
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
        groups = [document["results"], *(other["results"] for other in document.get("other_devices", []))]
        results = {(entry.get("device", ""), entry["arm"], entry["workload"]): entry for group in groups for entry in group}
        for entry in results.values():
            for field in FIELDS:
                entry[field] = float(entry[field])
        arms = {(entry["device"], entry["arm"]): entry for entry in document.get("arms", [])}
    except OSError as error:
        raise BenchError(USAGE, f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BenchError(USAGE, f"{path} is no result of bench/run: {error!r}") from None
    return results, arms


def line(key, old, new, word):
    def text(entry):
        return f"{entry['ratio']:.2f} ({entry['ratio_min']:.2f}-{entry['ratio_max']:.2f})"

    device, arm, workload = key
    change = 100 * (new["ratio"] / old["ratio"] - 1) if old["ratio"] else 0.0
    return f"{word:7} {device:6} {arm:20} {workload:20} {text(old):18} -> {text(new):18} {change:+.0f} %"


def gone(old, old_arms, new, new_arms):
    """[(word, device, arm, text)] for each arm that was measured and is not, or not with all that it was measured with.

    The word: FAILED, skipped (with its reason), or missing: nobody asked for it.
    """
    found = []
    for device, arm in dict.fromkeys(key[:2] for key in old):
        lost = [key[2] for key in old if key[:2] == (device, arm) and key not in new]
        entry = new_arms.get((device, arm), {})
        status = entry.get("status", "measured")
        failed_anew = status == "FAILED" and old_arms.get((device, arm), {}).get("status") != "FAILED"
        if not lost and not failed_anew:
            continue
        whole = all(key[:2] != (device, arm) for key in new)
        what = "all of it" if whole else ", ".join(lost) or "its end"
        word = "missing" if status == "measured" else status
        found.append((word, device, arm, what + (f": {entry['reason']}" if "reason" in entry else "")))
    return found


def compare(old_path, new_path, tolerance, allow_missing=False):
    """Prints the report; returns the exit code. ALLOW_MISSING: only what FAILED counts of what is not there any more."""
    old, old_arms = load(old_path)
    new, new_arms = load(new_path)
    both = [key for key in old if key in new]
    lost = gone(old, old_arms, new, new_arms)
    if not both and not any((device, arm) in new_arms for _, device, arm, _ in lost):
        raise BenchError(USAGE, f"{old_path} and {new_path} have no arm and workload on the same kind of device in common")
    found = [(key, verdict(old[key], new[key], tolerance)) for key in both]
    for word in ("slower", "faster"):
        for key, what in found:
            if what == word:
                print(line(key, old[key], new[key], word))
    for word, device, arm, what in lost:
        print(f"{word:7} {device:6} {arm:20} {what}")
    added = sorted({f"{arm} on {device}" for device, arm, _ in new} - {f"{arm} on {device}" for device, arm, _ in old})
    if added:
        print(f"new: {', '.join(added)}")
    slower = sum(what == "slower" for _, what in found)
    faster = sum(what == "faster" for _, what in found)
    print(f"{len(both)} compared: {slower} slower, {faster} faster, {len(both) - slower - faster} the same within the noise;"
          f" {len(lost)} arms lost results")
    return SLOWER if slower or any(word == "FAILED" or not allow_missing for word, *_ in lost) else 0
