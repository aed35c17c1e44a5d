"""A campaign's directory. With `trial_folder` (the folders in `trials/`) the only module that knows its paths.

    results/<campaign>/campaign.json     matrix text, plan, provenance
                       events.ndjson     what the runner said, one event a line
                       look-1.json ...   the arms that a look has stopped, written once, before anybody acts on it
                       register.json     with --register: what it sets out to show, see `registration`
                       hashes.json       SHA-256 of its files, see `hash_list`; also in each trial's folder
                       .lock  .lanes/    while it runs
                       trials/<trial>/   experiment.json ledger.json journal.json log.txt samples/ record.json
                       trials/<trial>~1/ an earlier attempt, set aside and never deleted

`record.json` is written last and atomically: its presence is completion. `ledger.json` is written before injection and
says "open" until nothing of the trial is in force any more.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smartops_chaos.errors import NothingSelected, PreflightFailed, UsageError
from smartops_chaos.model import SCHEMA_VERSION, Finding, Outcome, Plan, Record, Stop
from smartops_chaos.schema.matrix import check_name
from smartops_chaos.store import folder_lock
from smartops_chaos.store.jsonfiles import (
    OTHER_VERSION,
    adapter,
    content,
    read,
    write_atomically,
)
from smartops_chaos.store.trial_folder import TrialFolder

_AGAIN = (Outcome.ABORTED,)  # a person ended it: the same command runs it again
_LOOK_AGAIN = "restore it, or begin a new campaign: what was decided cannot be decided again"
_CAMPAIGN = "campaign.json"
_LAST_EVENT = 65536  # bytes from the end of events.ndjson in which its last line is
SIMULATED = "simulated"  # in the provenance of what `plan --simulate` has made
SHARD = "shard"  # in the provenance of a campaign that was begun with --shard


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


@dataclass(frozen=True, slots=True)
class Start:
    """What was seen of the machine each time that the campaign was started, before anything of it ran."""

    at: str  # UTC, ISO 8601
    machine: dict[str, Any]  # the numbers of `run.machine.Machine`
    findings: tuple[Finding, ...]
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class CampaignFolder:
    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def typed(self) -> str:
        """As a command takes it where one is now: by its name among the results here, else by its path."""
        here = Path("results", self.name).resolve() == self.path.resolve()
        return shlex.quote(self.name if here else str(self.path))

    @property
    def lanes(self) -> Path:
        return self.path / ".lanes"

    def create(self, campaign: CampaignFile) -> None:
        (self.path / "trials").mkdir(parents=True, exist_ok=True)
        write_atomically(self._file, adapter(CampaignFile).dump_json(campaign, indent=1) + b"\n")

    def exists(self) -> bool:
        """Whether the campaign has begun."""
        return self._file.exists()

    def has_begun(self) -> bool:
        """Whether there is a trial of it; until then its file may be written anew, with what is known only by now."""
        return self.exists() and self.has_trials() and any((self.path / "trials").iterdir())

    @property
    def _file(self) -> Path:
        return self.path / _CAMPAIGN

    def read(self) -> CampaignFile:
        """Raises UsageError when the directory is no campaign, a damaged one or one of another version."""
        hint = f"{OTHER_VERSION}; if it is damaged, move the campaign's folder away"
        try:
            campaign: CampaignFile = read(self._file, CampaignFile, hint)
            check_name(campaign.plan.name)  # reports are written to a folder of this name
        except ValueError as error:
            raise UsageError(f"{self._file} cannot be read: the matrix's name: {error}", hint) from None
        except (FileNotFoundError, NotADirectoryError):
            if self.has_trials():
                hint = (
                    f"put it back from a copy; without it `smartops-chaos revert {self.path}` ends the faults, and "
                    "`revert --cluster NAMESPACE` also puts back what was set there"
                )
                raise UsageError(f"{self.path} has trials, but its campaign.json is missing", hint) from None
            raise UsageError(
                f"{self.path} is no campaign", "`smartops-chaos status` lists the campaigns here"
            ) from None
        return campaign

    def has_trials(self) -> bool:
        return (self.path / "trials").is_dir()

    def write_start(self, start: Start, *, first: bool) -> None:
        """Add it to the earlier ones; `first`: no trial of those is kept, so what disturbed them does not matter."""
        kept = () if first else self.starts()
        text = b"".join(adapter(Start).dump_json(one) + b"\n" for one in (*kept, start))
        write_atomically(self.path / "starts.ndjson", text)

    def disturbances(self) -> tuple[Finding, ...]:
        """All findings of all starts. Raises UsageError."""
        return tuple(finding for start in self.starts() for finding in start.findings)

    def starts(self) -> tuple[Start, ...]:
        """Empty for a campaign on another target than the lab, or of an earlier version. Raises UsageError."""
        file = self.path / "starts.ndjson"
        if not file.exists():
            return ()
        try:
            return tuple(adapter(Start).validate_json(line) for line in content(file).splitlines())
        except ValueError as error:
            raise UsageError(f"{file} cannot be read: {error}", "move it away: it tells only what else ran") from None

    def write_look(self, number: int, stops: tuple[Stop, ...]) -> None:
        text = adapter(LookFile).dump_json(LookFile(stops), indent=1) + b"\n"
        write_atomically(self.path / f"look-{number}.json", text)

    def looks(self) -> list[tuple[Stop, ...]]:
        """What look 1, 2, ... has stopped, as far as they are taken. Raises UsageError for a damaged file."""
        found: list[tuple[Stop, ...]] = []
        while (file := self.path / f"look-{len(found) + 1}.json").exists():
            found.append(read(file, LookFile, _LOOK_AGAIN).stops)
        return found

    def stops(self) -> tuple[Stop, ...]:
        """The arms that looks have stopped. Raises UsageError as `looks`."""
        return tuple(stop for look in self.looks() for stop in look)

    def trial(self, trial_id: str) -> TrialFolder:
        """Raises UsageError for an ID, from a file that others may have written, that would lead elsewhere."""
        if not trial_id or trial_id in (".", "..") or "/" in trial_id or "\0" in trial_id:
            raise UsageError(f"{self.path}: {trial_id!r} is no name of a trial", "somebody has changed campaign.json")
        return TrialFolder(self.path / "trials" / trial_id)

    def outcome(self, trial_id: str) -> str | None:
        """The outcome of a trial that is done: None if it is still to do. Raises UsageError for a damaged record."""
        row = self.row(trial_id)
        return None if row is None else str(row["outcome"])

    def row(self, trial_id: str) -> dict[str, Any] | None:
        """The row of a trial that is done: None if it is still to do. Raises UsageError for a damaged record."""
        row = self.trial(trial_id).row()
        return None if row is None or row["outcome"] in _AGAIN else row

    def record(self, trial_id: str) -> Record | None:
        """The record of a trial that is done: None if it is still to do. Raises UsageError for a damaged one."""
        record = self.trial(trial_id).read_record()
        return None if record is None or record.row["outcome"] in _AGAIN else record

    def _attempt(self, trial_id: str) -> int:
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
                current.rename(current.with_name(f"{trial_id}~{self._attempt(trial_id)}"))
        return self._attempt(trial_id)

    def open_ledgers(self) -> list[TrialFolder]:
        """Trials of which something may still be in force, earlier attempts included."""
        folders = sorted(one for one in (self.path / "trials").glob("*") if one.is_dir())
        return [trial for trial in map(TrialFolder, folders) if trial.is_open()]

    @property
    def events_file(self) -> Path:
        return self.path / "events.ndjson"

    def append_event(self, event: dict[str, Any]) -> None:
        file = self.events_file
        try:
            with file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(event, default=str) + "\n")
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(file)) from None

    def last_event(self) -> dict[str, Any]:
        """The last that the runner said, with `at` (UTC, ISO 8601); empty if it never did, or nobody can read it."""
        file = self.events_file
        try:
            with file.open("rb") as lines:
                lines.seek(max(0, lines.seek(0, os.SEEK_END) - _LAST_EVENT))
                told = json.loads(lines.read().splitlines()[-1])
        except (OSError, ValueError, LookupError):
            return {}
        return told if isinstance(told, dict) else {}

    def runner(self) -> int:
        """The process that runs the campaign on this machine now; 0 if none does."""
        return folder_lock.owner(self.path)

    def locked(self) -> AbstractContextManager[None]:
        """One runner a campaign. Raises PreflightFailed when there is another."""
        hint = "wait for it, or stop it with Ctrl-C in its terminal"
        return folder_lock.locked(
            self.path, "--results", lambda who: PreflightFailed(f"{self.path} is in use by process {who}", hint)
        )


def campaigns(results: Path, *, headless: bool = False) -> list[CampaignFolder]:
    """Every campaign below `results`, oldest number first; `headless`: also one whose campaign.json is missing."""
    found = {
        file.parent for name in (_CAMPAIGN, *(["trials"] if headless else [])) for file in results.glob(f"*/{name}")
    }
    return [CampaignFolder(path) for path in sorted(found, key=name_and_number)]


def name_and_number(path: Path) -> tuple[str, int]:
    """Of `nightly-12` ("nightly", 12); 0 where it has none."""
    match = re.fullmatch(r"(.*?)-(\d+)", path.name)
    return (match[1], int(match[2])) if match else (path.name, 0)


def newest(results: Path) -> Path:
    """The folder of the campaign that was begun last. Raises NothingSelected when there is none."""
    found = sorted(results.glob(f"*/{_CAMPAIGN}"), key=lambda file: file.stat().st_mtime)
    if not found:
        raise NothingSelected(f"there is no campaign in {results}", "`smartops-chaos run MATRIX` makes one")
    return found[-1].parent


def next_free(results: Path, name: str) -> CampaignFolder:
    numbered = map(name_and_number, results.glob(f"{name}-*"))
    taken = [number for known, number in numbered if known == name]
    return CampaignFolder(results / f"{name}-{max(taken, default=0) + 1}")
