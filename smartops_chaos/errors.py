"""What can go wrong, and the exit code that says so.

    ChaosError                    every failure that a person can act on
    ├── UsageError          2     wrong command line
    │   └── FileProblems    2     a bad file: all problems at once, each with file:line:col
    ├── NothingSelected     3
    ├── PreflightFailed     4     a check before the first injection failed
    ├── RevertFailed        5     something is still in force: the loudest
    ├── HarnessFailed       6     trials ended in error, or too many are invalid
    └── Interrupted       130     Ctrl-C outside a campaign; in one it is a result and not an error

Exit code 1 (a target missed under `--check`) is a result, not an exception.
Only `cli.commands.main` catches ChaosError; it prints the message and the hint, never a traceback.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MISSED = 1
UNWRITTEN = 6  # of a trial's process: nothing is in force any more, but its ledger could not be written


class ChaosError(Exception):
    """`str(error)` says what happened, `hint` what to do about it."""

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(ChaosError):
    exit_code = 2


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem in a user's file; line and column count from 1, 0 = the file as a whole."""

    file: str
    line: int
    column: int
    what: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{where}: {self.what}" + (f": {self.hint}" if self.hint else "")


class FileProblems(UsageError):
    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.file, p.line, p.column)))
        super().__init__("\n".join(map(str, self.problems)))


class NothingSelected(ChaosError):
    exit_code = 3


class PreflightFailed(ChaosError):
    exit_code = 4


class RevertFailed(ChaosError):
    exit_code = 5


class HarnessFailed(ChaosError):
    exit_code = 6


class Interrupted(ChaosError):
    exit_code = 130
