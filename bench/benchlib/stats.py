# SPDX-License-Identifier: GPL-2.0-or-later
"""The arithmetic. Pure: lists of numbers in, numbers out."""
from statistics import median


def paired_ratios(arm, raw):
    """Each run of the arm against the mean of the raw runs before and after it: len(raw) == len(arm) + 1."""
    if len(raw) != len(arm) + 1:
        raise ValueError(f"{len(arm)} runs of the arm need {len(arm) + 1} raw ones, not {len(raw)}")
    return [2 * a / (before + after) for a, before, after in zip(arm, raw, raw[1:])]


def neighbour_ratios(raw):
    """Each raw run against the mean of its neighbours: how far the device agrees with itself. Around 1."""
    if len(raw) < 3:
        return [1.0] * len(raw)
    return [2 * b / (a + c) for a, b, c in zip(raw, raw[1:], raw[2:])]


def summary(values):
    """(median, least, greatest)"""
    return median(values), min(values), max(values)


def cpu_us_per_io(busy_s, overhead_s, ios):
    """CPU time of the whole system for one I/O, without what fio needed to start and to print."""
    return max(0.0, busy_s - overhead_s) * 1e6 / ios if ios else 0.0


def rounded(value, digits=4):
    """To significant digits, for files people read."""
    return float(f"{value:.{digits}g}")


def spread(result):
    """How far the ratios of one arm and workload lie apart."""
    return result["ratio_max"] - result["ratio_min"]


def verdict(old, new, tolerance):
    """'slower', 'faster' or None: do two results differ by more than the noise?

    The noise is the wider of the two spreads, and at least TOLERANCE of the old ratio.
    """
    change = new["ratio"] - old["ratio"]
    if abs(change) <= max(spread(old), spread(new), tolerance * old["ratio"]):
        return None
    return "slower" if change < 0 else "faster"
