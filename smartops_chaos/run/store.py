"""A campaign's directory: the only module that knows its paths.

    results/<campaign>/campaign.json     matrix text, plan, provenance
                       events.ndjson     what the runner said, one event a line
                       look-1.json ...   the arms that a look has stopped, written once, before anybody acts on it
                       .lock  .lanes/    while it runs
                       trials/<trial>/   experiment.json ledger.json journal.json log.txt samples/ record.json
                       trials/<trial>~1/ an earlier attempt, set aside and never deleted

`record.json` is written last and atomically: its presence is completion. `ledger.json` is written before injection and
says "open" until nothing of the trial is in force any more.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from smartops_chaos.errors import PreflightFailed, UsageError
from smartops_chaos.model import SCHEMA_VERSION, Evidence, Outcome, Plan, Record, Request
from smartops_chaos.notes import requests_file
from smartops_chaos.plan.looks import Stop
from smartops_chaos.run.files import OTHER_VERSION, adapter, checked, read, to_json, try_lock, write_atomically
from smartops_chaos.workload import read as read_requests

_AGAIN = (Outcome.ABORTED,)  # a person ended it: the same command runs it again
_LOOK_AGAIN = "restore it, or begin a new campaign: what was decided cannot be decided again"
_REPEAT = "move the trial's folder away; the next run repeats the trial"
_DAMAGED = (ValueError, EOFError, zlib.error, gzip.BadGzipFile)
_DERIVE = f"`smartops-chaos derive` computes it again from the evidence; if there is none, {_REPEAT}"


@dataclass(frozen=True, slots=True)
class CampaignFile:
    matrix_file: str
    matrix_text: str
    plan: Plan
    provenance: dict[str, str]
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class LookFile:
    stops: tuple[Stop, ...]
    schema_version: int = SCHEMA_VERSION


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
                return tuple(_request(line) for line in lines)
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

    def outcome(self) -> str | None:
        """The record's outcome, at a fraction of the time of the whole record. Raises UsageError as `read_record`."""
        try:
            return str(checked(self.record, self.record.read_bytes(), _DERIVE)["row"]["outcome"])
        except FileNotFoundError:
            return None
        except (KeyError, TypeError):
            raise UsageError(f"{self.record} cannot be read: it has no outcome", _DERIVE) from None


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
        write_atomically(self.path / "campaign.json", adapter(CampaignFile).dump_json(campaign, indent=1) + b"\n")

    def read(self) -> CampaignFile:
        """Raises UsageError when the directory is no campaign, a damaged one or one of another version."""
        mend = f"{OTHER_VERSION}; if it is damaged, move the campaign's folder away"
        try:
            campaign: CampaignFile = read(self.path / "campaign.json", CampaignFile, mend)
        except (FileNotFoundError, NotADirectoryError):
            if self.has_trials():
                mend = (
                    f"put it back from a copy; without it `smartops-chaos revert {self.path}` ends the faults, and "
                    "`revert --cluster NAMESPACE` also puts back what was set there"
                )
                raise UsageError(f"{self.path} has trials, but its campaign.json is missing", mend) from None
            raise UsageError(
                f"{self.path} is no campaign", "`smartops-chaos status` lists the campaigns here"
            ) from None
        return campaign

    def has_trials(self) -> bool:
        return (self.path / "trials").is_dir()

    def write_look(self, number: int, stops: tuple[Stop, ...]) -> None:
        content = adapter(LookFile).dump_json(LookFile(stops), indent=1) + b"\n"
        write_atomically(self.path / f"look-{number}.json", content)

    def looks(self) -> list[tuple[Stop, ...]]:
        """What look 1, 2, ... has stopped, as far as they are taken. Raises UsageError for a damaged file."""
        found: list[tuple[Stop, ...]] = []
        while (file := self.path / f"look-{len(found) + 1}.json").exists():
            found.append(read(file, LookFile, _LOOK_AGAIN).stops)
        return found

    def stops(self) -> tuple[Stop, ...]:
        """The arms that looks have stopped. Raises UsageError as `looks`."""
        return tuple(stop for look in self.looks() for stop in look)

    def trial(self, trial_id: str) -> TrialDir:
        """Raises UsageError for an ID, from a file that others may have written, that would lead elsewhere."""
        if not trial_id or trial_id in (".", "..") or "/" in trial_id or "\0" in trial_id:
            raise UsageError(f"{self.path}: {trial_id!r} is no name of a trial", "somebody has changed campaign.json")
        return TrialDir(self.path / "trials" / trial_id)

    def outcome(self, trial_id: str) -> str | None:
        """The outcome of a trial that is done: None if it is still to do. Raises UsageError for a damaged record."""
        outcome = self.trial(trial_id).outcome()
        return None if outcome in _AGAIN else outcome

    def record(self, trial_id: str) -> Record | None:
        """The record of a trial that is done: None if it is still to do. Raises UsageError for a damaged one."""
        record = self.trial(trial_id).read_record()
        return None if record is None or record.row["outcome"] in _AGAIN else record

    def attempts(self, trial_id: str) -> int:
        """One more than those set aside. Found by name: a listing of thousands of trials would take its time."""
        number = 1
        while (self.path / "trials" / f"{trial_id}~{number}").exists():
            number += 1
        return number

    def set_aside(self, trial_id: str) -> int:
        """Move an earlier attempt away; the number of the attempt to come, from 1."""
        current = self.trial(trial_id).path
        if current.exists():
            with self.trial(trial_id).held():
                self.trial(trial_id).tidy()
                current.rename(current.with_name(f"{trial_id}~{self.attempts(trial_id)}"))
        return self.attempts(trial_id)

    def open_ledgers(self) -> list[TrialDir]:
        """Trials of which something may still be in force, earlier attempts included."""
        folders = sorted((self.path / "trials").glob("*"))
        return [trial for trial in map(TrialDir, folders) if trial.is_open()]

    def append_event(self, event: dict[str, Any]) -> None:
        file = self.path / "events.ndjson"
        try:
            with file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(event, default=str) + "\n")
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(file)) from None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One runner a campaign. Raises PreflightFailed when there is another."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = (self.path / ".lock").open("a+", encoding="ascii")
        except OSError as error:
            mend = "make it writable, or choose another folder with --results"
            raise PreflightFailed(f"{self.path} cannot be written: {error.strerror}", mend) from None
        with file as lock:
            if not try_lock(lock):
                lock.seek(0)
                raise PreflightFailed(
                    f"{self.path} is in use by process {lock.read().strip() or '?'}",
                    "wait for it, or stop it with Ctrl-C in its terminal",
                )
            with contextlib.suppress(OSError):  # the number is only for people; a full disk shows elsewhere
                os.ftruncate(lock.fileno(), 0)
                os.write(lock.fileno(), str(os.getpid()).encode())
            yield


def _request(line: str) -> Request:
    sched_ns, late_ns, latency_ns, status = map(int, line.split(","))
    return Request(sched_ns, late_ns, latency_ns, status)


def campaigns(results: Path, *, headless: bool = False) -> list[Store]:
    """Every campaign below `results`, oldest number first; `headless`: also one whose campaign.json is missing."""
    found = {
        file.parent
        for name in ("campaign.json", *(["trials"] if headless else []))
        for file in results.glob(f"*/{name}")
    }
    return [Store(path) for path in sorted(found, key=_number)]


def _number(path: Path) -> tuple[str, int]:
    match = re.fullmatch(r"(.*?)-(\d+)", path.name)
    return (match[1], int(match[2])) if match else (path.name, 0)


def next_free(results: Path, name: str) -> Store:
    taken = [_number(path)[1] for path in results.glob(f"{name}-*") if _number(path)[0] == name]
    return Store(results / f"{name}-{max(taken, default=0) + 1}")
