"""A campaign's directory: the only module that knows its paths.

    results/<campaign>/campaign.json     matrix text, plan, provenance
                       events.ndjson     what the runner said, one event a line
                       .lock  .lanes/    while it runs
                       trials/<trial>/   experiment.json ledger.json journal.json log.txt samples/ record.json
                       trials/<trial>~1/ an earlier attempt, set aside and never deleted

`record.json` is written last and atomically: its presence is completion. `ledger.json` is written before injection and
says "open" until nothing of the trial is in force any more.
"""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import IO, Any

from pydantic import TypeAdapter, ValidationError

from smartops_chaos.errors import ChaosError, PreflightFailed, UsageError
from smartops_chaos.model import SCHEMA_VERSION, Evidence, Outcome, Plan, Record, Request
from smartops_chaos.protocol import requests_file
from smartops_chaos.workload import read as read_requests

_AGAIN = (Outcome.ABORTED,)  # a person ended it: the same command runs it again


@dataclass(frozen=True, slots=True)
class CampaignFile:
    matrix_file: str
    matrix_text: str
    plan: Plan
    provenance: dict[str, str]
    schema_version: int = SCHEMA_VERSION


@cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def write_atomically(path: Path, content: bytes) -> None:
    """All or nothing, and on disk when this returns."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(path)


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, default=str) + "\n").encode()


def _try_lock(file: IO[str]) -> bool:
    """The lock goes with its process, however that ends, so a dead owner holds nothing."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class TrialDir:
    path: Path

    @property
    def experiment(self) -> Path:
        return self.path / "experiment.json"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    def begin(self, experiment: dict[str, Any], fault_ids: tuple[str, ...]) -> None:
        """The intent, on disk before anything is injected."""
        self.path.mkdir(parents=True)
        write_atomically(self.experiment, _json(experiment))
        write_atomically(self.path / "ledger.json", _json({"state": "open", "faults": fault_ids}))

    @contextlib.contextmanager
    def held(self, patience_s: float = 30.0) -> Iterator[None]:
        """One process at a time writes here: the child of a runner that died may still be reverting.

        Raises PreflightFailed when the other one does not end.
        """
        with (self.path / ".lock").open("a") as lock:
            deadline = time.monotonic() + patience_s
            while not _try_lock(lock):
                if time.monotonic() > deadline:
                    raise PreflightFailed(f"{self.path} is in use by another process", "end that process first")
                time.sleep(0.05)
            yield

    def close(self) -> None:
        """Nothing of this trial is in force any more."""
        ledger = json.loads((self.path / "ledger.json").read_text(encoding="utf-8"))
        write_atomically(self.path / "ledger.json", _json({**ledger, "state": "closed"}))

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
        write_atomically(self.path / "journal.json", _json(journal))

    def write_evidence(self, evidence: Evidence) -> None:
        """`samples/evidence.json.gz`, and the requests as the text they were recorded in, both compressed."""
        samples = self.path / "samples"
        samples.mkdir(exist_ok=True)
        bare = _adapter(Evidence).dump_json(replace(evidence, requests=()))
        write_atomically(samples / "evidence.json.gz", gzip.compress(bare, mtime=0))
        text = "".join(f"{r.sched_ns},{r.late_ns},{r.latency_ns},{r.status}\n" for r in evidence.requests)
        write_atomically(samples / "requests.csv.gz", gzip.compress(text.encode(), mtime=0))
        requests_file(self.path).unlink(missing_ok=True)

    def read_evidence(self) -> Evidence:
        """Raises UsageError when the trial has none."""
        file = self.path / "samples" / "evidence.json.gz"
        if not file.exists():
            raise UsageError(f"{self.path.name} has no evidence", "it ended before anything was measured")
        evidence: Evidence = _adapter(Evidence).validate_json(gzip.decompress(file.read_bytes()))
        return replace(evidence, requests=self.requests())

    def requests(self) -> tuple[Request, ...]:
        packed = self.path / "samples" / "requests.csv.gz"
        if packed.exists():
            lines = gzip.decompress(packed.read_bytes()).decode().splitlines()
            return tuple(Request(*map(int, line.split(","))) for line in lines)
        return read_requests(requests_file(self.path)) if requests_file(self.path).exists() else ()

    def write_record(self, record: Record) -> None:
        write_atomically(self.path / "record.json", _adapter(Record).dump_json(record, indent=1) + b"\n")

    def read_record(self) -> Record | None:
        """None if the trial is not complete. Raises ChaosError for a record of another version or a damaged one."""
        try:
            content = (self.path / "record.json").read_bytes()
        except FileNotFoundError:
            return None
        try:
            record: Record = _adapter(Record).validate_json(content)
        except ValidationError as error:
            raise ChaosError(
                f"{self.path / 'record.json'} cannot be read: {error.errors()[0]['msg']}",
                "move the trial's folder away; the next run repeats the trial",
            ) from None
        if record.schema_version != SCHEMA_VERSION:
            raise ChaosError(
                f"{self.path / 'record.json'} has schema_version {record.schema_version}, this is {SCHEMA_VERSION}",
                "`smartops-chaos derive` computes it again from the evidence",
            )
        return record


@dataclass(frozen=True, slots=True)
class Store:
    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def lanes(self) -> Path:
        return self.path / ".lanes"

    def create(self, campaign: CampaignFile) -> None:
        (self.path / "trials").mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / "campaign.json", _adapter(CampaignFile).dump_json(campaign, indent=1) + b"\n")

    def read(self) -> CampaignFile:
        """Raises UsageError when the directory is no campaign, or one of another version."""
        try:
            content = (self.path / "campaign.json").read_bytes()
            campaign: CampaignFile = _adapter(CampaignFile).validate_json(content)
        except FileNotFoundError:
            raise UsageError(
                f"{self.path} is no campaign", "`smartops-chaos status` lists the campaigns here"
            ) from None
        except ValidationError as error:
            what = error.errors()[0]
            where = ".".join(map(str, what["loc"]))
            raise UsageError(f"{self.path / 'campaign.json'} cannot be read: {where}: {what['msg']}") from None
        if campaign.schema_version != SCHEMA_VERSION:
            raise UsageError(
                f"{self.path} has schema_version {campaign.schema_version}, this program reads {SCHEMA_VERSION}",
                "use the version of smartops-chaos that made it; campaign.json names it",
            )
        return campaign

    def trial(self, trial_id: str) -> TrialDir:
        return TrialDir(self.path / "trials" / trial_id)

    def record(self, trial_id: str) -> Record | None:
        """The record that counts: None if the trial is still to do."""
        record = self.trial(trial_id).read_record()
        return None if record is None or record.row["outcome"] in _AGAIN else record

    def attempts(self, trial_id: str) -> int:
        return 1 + sum(1 for _ in (self.path / "trials").glob(f"{trial_id}~*"))

    def set_aside(self, trial_id: str) -> int:
        """Move an earlier attempt away; the number of the attempt to come, from 1."""
        current = self.trial(trial_id).path
        if current.exists():
            with self.trial(trial_id).held():
                current.rename(current.with_name(f"{trial_id}~{self.attempts(trial_id)}"))
        return self.attempts(trial_id)

    def open_ledgers(self) -> list[TrialDir]:
        """Trials of which something may still be in force, earlier attempts included."""
        folders = sorted((self.path / "trials").glob("*"))
        return [trial for trial in map(TrialDir, folders) if trial.is_open()]

    def append_event(self, event: dict[str, Any]) -> None:
        with (self.path / "events.ndjson").open("a", encoding="utf-8") as out:
            out.write(json.dumps(event, default=str) + "\n")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One runner a campaign. Raises PreflightFailed when there is another."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("a+", encoding="ascii") as lock:
            if not _try_lock(lock):
                lock.seek(0)
                raise PreflightFailed(
                    f"{self.path} is in use by process {lock.read().strip() or '?'}",
                    "wait for it, or stop it with Ctrl-C in its terminal",
                )
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield


def campaigns(results: Path) -> list[Store]:
    """Every campaign below `results`, oldest number first."""
    found = [file.parent for file in results.glob("*/campaign.json")]
    return [Store(path) for path in sorted(found, key=_number)]


def _number(path: Path) -> tuple[str, int]:
    match = re.fullmatch(r"(.*?)-(\d+)", path.name)
    return (match[1], int(match[2])) if match else (path.name, 0)


def next_free(results: Path, name: str) -> Store:
    taken = [_number(path)[1] for path in results.glob(f"{name}-*") if _number(path)[0] == name]
    return Store(results / f"{name}-{max(taken, default=0) + 1}")
