"""One trial's directory, or one attempt's; `store` has that of the campaign, and says what is in it."""

from __future__ import annotations

import contextlib
import gzip
import json
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from smartops_chaos.errors import PreflightFailed, UsageError
from smartops_chaos.model import Evidence, Record, Request
from smartops_chaos.store.jsonfiles import adapter, checked, read, to_json, try_lock, write_atomically
from smartops_chaos.store.notes import requests_file
from smartops_chaos.trial.workload import parse
from smartops_chaos.trial.workload import read as read_requests

_REPEAT = "move the trial's folder away; the next run repeats the trial"
_DAMAGED = (ValueError, EOFError, zlib.error, gzip.BadGzipFile)
_DERIVE = f"`smartops-chaos derive` computes it again from the evidence; if there is none, {_REPEAT}"


def warm() -> None:
    """Build what reads and writes a trial's files, which takes longer than to use it: the fork server does it once."""
    for kind in (Evidence, Record):
        adapter(kind)


@dataclass(frozen=True, slots=True)
class TrialDir:
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

    def begin(self, experiment: dict[str, Any], fault_ids: tuple[str, ...]) -> None:
        """The intent, on disk before anything is injected."""
        self.path.mkdir(parents=True)
        write_atomically(self.experiment, to_json(experiment))
        write_atomically(self.path / "ledger.json", to_json({"state": "open", "faults": fault_ids}))

    @contextlib.contextmanager
    def held(self, patience_s: float = 30.0) -> Iterator[None]:
        """One process at a time writes here: the child of a runner that died may still be reverting.

        Raises PreflightFailed when the other one does not end.
        """
        with (self.path / ".lock").open("a") as lock:
            deadline = time.monotonic() + patience_s
            while not try_lock(lock):
                if time.monotonic() > deadline:
                    raise PreflightFailed(f"{self.path} is in use by another process", "end that process first")
                time.sleep(0.05)
            yield

    def tidy(self) -> None:
        """Remove what a writer that was killed has left half-written; nobody else may write here by now."""
        for half in self.path.rglob(".*.[0-9]*"):
            half.unlink(missing_ok=True)

    def close(self) -> None:
        """Nothing of this trial is in force any more."""
        ledger = json.loads((self.path / "ledger.json").read_text(encoding="utf-8"))
        write_atomically(self.path / "ledger.json", to_json({**ledger, "state": "closed"}))

    def is_open(self) -> bool:
        """Whether something may be in force; a ledger that cannot be read counts as open."""
        try:
            return bool(json.loads((self.path / "ledger.json").read_text(encoding="utf-8"))["state"] != "closed")
        except FileNotFoundError:
            return False  # the intent was never complete, so nothing was injected
        except (ValueError, KeyError):
            return True

    def read_experiment(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.experiment.read_text(encoding="utf-8"))
        return content

    def write_journal(self, journal: Any) -> None:
        write_atomically(self.path / "journal.json", to_json(journal))

    def write_evidence(self, evidence: Evidence) -> None:
        """`samples/evidence.json.gz`, and the requests as the text they were recorded in, both compressed."""
        samples = self.path / "samples"
        samples.mkdir(exist_ok=True)
        bare = adapter(Evidence).dump_json(replace(evidence, requests=()))
        write_atomically(samples / "evidence.json.gz", gzip.compress(bare, mtime=0))
        text = "".join(f"{r.sched_ns},{r.late_ns},{r.latency_ns},{r.status}\n" for r in evidence.requests)
        write_atomically(samples / "requests.csv.gz", gzip.compress(text.encode(), mtime=0))
        requests_file(self.path).unlink(missing_ok=True)

    def has_evidence(self) -> bool:
        return (self.path / "samples" / "evidence.json.gz").exists()

    def read_evidence(self) -> Evidence:
        """Raises UsageError when the trial has none, or none that can be read."""
        file = self.path / "samples" / "evidence.json.gz"
        try:
            evidence: Evidence = adapter(Evidence).validate_json(gzip.decompress(file.read_bytes()))
            return replace(evidence, requests=self.requests())
        except FileNotFoundError:
            raise UsageError(f"{self.path.name} has no evidence", "it ended before anything was measured") from None
        except _DAMAGED as error:
            raise UsageError(f"{file} cannot be read: {error}", _REPEAT) from None

    def requests(self) -> tuple[Request, ...]:
        """Raises UsageError when they are damaged."""
        packed = self.path / "samples" / "requests.csv.gz"
        if packed.exists():
            try:
                lines = gzip.decompress(packed.read_bytes()).decode().splitlines()
                return tuple(map(parse, lines))
            except _DAMAGED as error:
                raise UsageError(f"{packed} cannot be read: {error}", _REPEAT) from None
        return read_requests(requests_file(self.path)) if requests_file(self.path).exists() else ()

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
            row: dict[str, Any] = checked(self.record, self.record.read_bytes(), _DERIVE)["row"]
            row["outcome"]
        except FileNotFoundError:
            return None
        except (KeyError, TypeError):
            raise UsageError(f"{self.record} cannot be read: it has no outcome", _DERIVE) from None
        return row
