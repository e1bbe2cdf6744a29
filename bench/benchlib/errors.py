# SPDX-License-Identifier: GPL-2.0-or-later
"""Exit codes, as those of the other programs (0 fine, 1 usage, 2 unsafe or in use, 4 I/O), and one of our own."""

USAGE, UNSAFE, IO, SLOWER, INTERRUPTED = 1, 2, 4, 5, 130


class BenchError(Exception):
    """Ends the program with a message and a code."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code
