# SPDX-License-Identifier: GPL-2.0-or-later
"""The load for an arm behind an SMB server (to come)."""
from .fio import FioError


def can(_workload):
    return False


def run(_workload, _target, _seconds):
    raise FioError("no SMB client")
