"""The folder of one trial, or of one attempt at it; `campaign_folder` has the folders around it.

    experiment.json ledger.json journal.json log.txt record.json .lock
    samples/clock.json            the runner's clock, and since when signals of the healer count
            load.json             what the workload was told
            before.json           how busy the service was when the gate ended
            calls.ndjson          each activity when it begins and when it ends
            requests.csv(.gz)     every request; packed when the trial is over
            cluster.ndjson(.gz)   on a cluster: what its API server said; written and read by `kubernetes` alone
            evidence.json.gz      all that a record is derived from, but for the requests

Chaos Toolkit calls activities by name, each on its own: through these files they, the control around them and the
trial's process know of each other, also when a person runs `chaos run` by hand.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import signal
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from smartops_chaos import processes
from smartops_chaos.clock import Clock
from smartops_chaos.errors import PreflightFailed, UsageError
from smartops_chaos.model import Evidence, Record, Request
from smartops_chaos.store import request_log
from smartops_chaos.store.jsonfiles import (
    adapter,
    checked,
    content,
    lockable,
    read,
    sync_folder,
    to_json,
    try_lock,
    unpacked,
    write_atomically,
)

_SIGNATURE = 100  # characters that are read of a lock file
_LARGEST_LEDGER = 2**20
_BY_HAND = (
    "without it nobody knows how its faults end: on a cluster `smartops-chaos revert --cluster NAMESPACE` ends them by "
    "their marks; then remove the trial's folder"
)
_REPEAT = "move the trial's folder away; the next run repeats the trial"
_DAMAGED = (ValueError, EOFError, zlib.error, gzip.BadGzipFile)
_DERIVE = f"`smartops-chaos derive` computes it again from the evidence; if there is none, {_REPEAT}"


def warm() -> None:
    """Build what reads and writes a trial's files, which takes longer than to use it: the fork server does it once."""
    for kind in (Evidence, Record):
        adapter(kind)


@dataclass(frozen=True, slots=True)
class TrialFolder:
    path: Path

    @property
    def experiment(self) -> Path:
        return self.path / "experiment.json"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def record(self) -> Path:
        return self.path / "record.json"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def requests_file(self) -> Path:
        """Where the workload writes while the trial runs, in the form of `request_log`."""
        return self.samples / "requests.csv"

    def begin(self, experiment: dict[str, Any], fault_ids: tuple[str, ...]) -> None:
        """The intent, on disk before anything is injected."""
        self.path.mkdir(parents=True)
        write_atomically(self.experiment, to_json(experiment))
        write_atomically(self.path / "ledger.json", to_json({"state": "open", "faults": fault_ids}))
        for folder in (self.path, self.path.parent):
            sync_folder(folder)

    @contextlib.contextmanager
    def held(self, patience_s: float = 30.0) -> Iterator[None]:
        """One process at a time writes here: the child of a runner that died may still be reverting.

        One that was suspended is woken up, or it would never end. Raises PreflightFailed when the other one does not
        end, and for a lock that is none.
        """
        try:
            lock = lockable(self.path / ".lock")
        except OSError as error:
            what = f"{self.path / '.lock'} cannot be used: {error.strerror}"
            raise PreflightFailed(what, "remove it, if it is not yours") from None
        with lock:
            deadline = time.monotonic() + patience_s
            while not try_lock(lock):
                lock.seek(0)
                holder = processes.running(lock.read(_SIGNATURE))
                if holder and processes.stopped(holder):
                    with contextlib.suppress(OSError):
                        os.kill(holder, signal.SIGCONT)
                if time.monotonic() > deadline:
                    who = f"process {holder}" if holder else "another process"
                    raise PreflightFailed(f"{self.path} is in use by {who}", "end that process first")
                time.sleep(0.05)
            with contextlib.suppress(OSError):  # a full disk shows elsewhere
                os.ftruncate(lock.fileno(), 0)
                os.write(lock.fileno(), processes.signature().encode())
            yield

    def tidy(self) -> None:
        """Remove what a writer that was killed has left half-written; nobody else may write here by now."""
        for half in self.path.rglob(".*.[0-9]*"):
            half.unlink(missing_ok=True)

    def close(self) -> None:
        """Nothing of this trial is in force any more. What was there before need not be readable for that."""
        try:
            known = self._ledger() or {}
        except FileNotFoundError:
            known = {}
        write_atomically(self.path / "ledger.json", to_json({**known, "state": "closed"}))

    def is_open(self) -> bool:
        """Whether something may be in force; a ledger that cannot be read counts as open, and so does one that is
        gone from a trial that had begun."""
        try:
            ledger = self._ledger()
        except FileNotFoundError:
            # Without a ledger nothing was injected: it is written before. Unless it was lost since.
            return self._calls_file.exists() and not self.record.exists()
        return ledger is None or ledger.get("state") != "closed"

    def _ledger(self) -> dict[str, Any] | None:
        """None for one that cannot be read. Raises FileNotFoundError."""
        try:
            found = from_json(content(self.path / "ledger.json", _LARGEST_LEDGER))
        except FileNotFoundError:
            raise
        except (ValueError, UsageError, OSError):
            return None
        return found if isinstance(found, dict) else None

    def read_experiment(self) -> dict[str, Any]:
        """Raises UsageError for one that cannot be read."""
        try:
            return checked(self.experiment, content(self.experiment), _BY_HAND)
        except FileNotFoundError:
            raise UsageError(f"{self.experiment} is missing", _BY_HAND) from None

    def start_clock(self) -> Clock:
        """Set the trial's clock, and from now on count signals of the healer; earlier notes are forgotten."""
        self.samples.mkdir(parents=True, exist_ok=True)
        self._calls_file.unlink(missing_ok=True)
        clock = Clock.anchored()
        told = {"anchor_ns": clock.anchor_ns, "since_ns": clock.now_ns()}
        self._clock_file.write_text(json.dumps(told), encoding="utf-8")
        return clock

    def clock(self) -> tuple[Clock, int]:
        """The trial's clock, and since when signals of the healer count, in its nanoseconds."""
        told = json.loads(self._clock_file.read_text(encoding="utf-8"))
        return Clock(told["anchor_ns"]), told["since_ns"]

    def has_unused_clock(self) -> bool:
        """Whether the clock was set and no activity has begun since."""
        return self._clock_file.exists() and not self._calls_file.exists()

    def note(self, entry: dict[str, Any]) -> None:
        """Add what the control has to say of an activity."""
        with self._calls_file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(entry, default=str) + "\n")

    def notes(self) -> list[dict[str, Any]]:
        """All notes since `start_clock`; a last line without its end was cut off while it was written."""
        text = self._calls_file.read_text(encoding="utf-8") if self._calls_file.exists() else ""
        return [json.loads(line) for line in text.split("\n")[:-1]]

    def write_load(self, load: dict[str, Any]) -> None:
        """What the workload is told; requests of an earlier start of it are forgotten."""
        self._load_file.write_text(json.dumps(load), encoding="utf-8")
        self.requests_file.unlink(missing_ok=True)

    def read_load(self) -> dict[str, Any]:
        load: dict[str, Any] = json.loads(self._load_file.read_text(encoding="utf-8"))
        return load

    def write_lane_load(self, load: dict[str, Any] | None) -> None:
        """How busy the service was when the gate ended, as the lane tells; None where it cannot tell."""
        self._lane_load_file.write_text(json.dumps(load), encoding="utf-8")

    def lane_load(self) -> dict[str, Any]:
        """What was written so; empty where the lane could not tell, or no gate was reached."""
        file = self._lane_load_file
        return (json.loads(file.read_text(encoding="utf-8")) or {}) if file.exists() else {}

    @property
    def _lane_load_file(self) -> Path:
        return self.samples / "before.json"

    @property
    def _clock_file(self) -> Path:
        return self.samples / "clock.json"

    @property
    def _calls_file(self) -> Path:
        return self.samples / "calls.ndjson"

    @property
    def _load_file(self) -> Path:
        return self.samples / "load.json"

    def write_journal(self, journal: Any) -> None:
        write_atomically(self.path / "journal.json", to_json(journal))

    def write_evidence(self, evidence: Evidence) -> None:
        """`samples/evidence.json.gz`, and the requests as the text they were recorded in, both compressed."""
        self.samples.mkdir(exist_ok=True)
        bare = adapter(Evidence).dump_json(replace(evidence, requests=()))
        write_atomically(self.samples / "evidence.json.gz", gzip.compress(bare, mtime=0))
        text = "".join(map(request_log.line, evidence.requests))
        write_atomically(self.samples / "requests.csv.gz", gzip.compress(text.encode(), mtime=0))
        self.requests_file.unlink(missing_ok=True)

    def has_evidence(self) -> bool:
        return (self.samples / "evidence.json.gz").exists()

    def read_evidence(self) -> Evidence:
        """Raises UsageError when the trial has none, or none that can be read."""
        file = self.samples / "evidence.json.gz"
        try:
            evidence: Evidence = adapter(Evidence).validate_json(unpacked(file))
            return replace(evidence, requests=self.requests())
        except FileNotFoundError:
            raise UsageError(f"{self.path.name} has no evidence", "it ended before anything was measured") from None
        except _DAMAGED as error:
            raise UsageError(f"{file} cannot be read: {error}", _REPEAT) from None

    def requests(self) -> tuple[Request, ...]:
        """Raises UsageError when they are damaged."""
        packed = self.samples / "requests.csv.gz"
        if packed.exists():
            try:
                lines = unpacked(packed).decode().splitlines()
                return tuple(map(request_log.parse, lines))
            except _DAMAGED as error:
                raise UsageError(f"{packed} cannot be read: {error}", _REPEAT) from None
        return request_log.read(self.requests_file) if self.requests_file.exists() else ()

    def write_record(self, record: Record) -> None:
        write_atomically(self.record, adapter(Record).dump_json(record, indent=1) + b"\n")

    def read_record(self) -> Record | None:
        """None if the trial is not complete. Raises UsageError for a record of another version or a damaged one."""
        try:
            record: Record = read(self.record, Record, _DERIVE)
        except FileNotFoundError:
            return None
        return record

    def record_bytes(self) -> bytes:
        """Empty without a record."""
        return self.record.read_bytes() if self.record.exists() else b""

    def row(self) -> dict[str, Any] | None:
        """The record's row, at a fraction of the time of the whole record; None if the trial is not complete.

        Raises UsageError as `read_record`.
        """
        try:
            row: dict[str, Any] = checked(self.record, content(self.record), _DERIVE)["row"]
            row["outcome"]
        except FileNotFoundError:
            return None
        except (KeyError, TypeError):
            raise UsageError(f"{self.record} cannot be read: it has no outcome", _DERIVE) from None
        return row
