"""Hash lists: SHA-256 of every file of a trial and of a campaign, so that a later change shows.

    results/<campaign>/hashes.json                 at the end of each run; it also has the hash of each trial's list
                       trials/<trial>/hashes.json  at the end of the trial

The list of a trial names the registration that was there when the trial ended: a plan that was registered afterwards is
in none. A list tells of accidents and of second thoughts; against somebody who writes the lists anew stands the
statement that is signed over them (`smartops-chaos attest`).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from smartops_chaos.errors import UsageError
from smartops_chaos.model import SCHEMA_VERSION
from smartops_chaos.store.campaign_folder import CampaignFolder
from smartops_chaos.store.jsonfiles import OTHER_VERSION, adapter, content, read, write_atomically

HASHES = "hashes.json"
STATEMENTS = ("statement.json", "statement.dsse.json")  # about the list, so they cannot be in it
_PASSING = (".lock", ".lanes")  # while it runs
_HALF = re.compile(r"\..+\.\d+")  # what `write_atomically` had not finished; it is removed before the next attempt
_TRIALS = "trials"


@dataclass(frozen=True, slots=True)
class HashList:
    files: dict[str, str] = field(default_factory=dict)  # path below the list's folder -> SHA-256 in hex
    registration: str = ""  # SHA-256 of the campaign's register.json when the list was written; empty without one
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class HashDifferences:
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    added: tuple[str, ...]


def seal_trial(folder: Path, registration: str) -> None:
    """Write the list of a trial whose process has ended."""
    _write(folder, HashList({name: sha256(folder / name) for name in _files(folder)}, registration))


def seal_campaign(store: CampaignFolder, registration: str) -> None:
    """Write the list of a campaign that nobody is running: of its own files, and of the lists of its trials.

    A trial that was cut off before it had a list gets one now.
    """
    for folder in trial_folders(store):
        if not (folder / HASHES).exists():
            seal_trial(folder, registration)
    own = list(_files(store.path, below_trials=False))
    lists = [f"{_TRIALS}/{one.name}/{HASHES}" for one in trial_folders(store) if (one / HASHES).is_file()]
    _write(store.path, HashList({name: sha256(store.path / name) for name in [*own, *lists]}, registration))


def unseal_campaign(store: CampaignFolder) -> None:
    """While it runs there is no list of the whole; the lists of its trials stay."""
    (store.path / HASHES).unlink(missing_ok=True)


def read_list(folder: Path) -> HashList | None:
    """None without one. Raises UsageError for one that cannot be read."""
    try:
        found: HashList = read(folder / HASHES, HashList, OTHER_VERSION)
    except FileNotFoundError:
        return None
    return found


def trial_folders(store: CampaignFolder) -> list[Path]:
    """Those of all trials and of earlier attempts."""
    return sorted(one for one in (store.path / _TRIALS).glob("*") if one.is_dir() and not one.is_symlink())


def differences(folder: Path, listed: HashList, *, of_campaign: bool) -> HashDifferences:
    """What is not as listed. `of_campaign`: its trials' files have lists of their own.

    A link counts as changed: what it leads to is not the campaign's.
    """
    present = set(_files(folder, below_trials=not of_campaign))
    if of_campaign:
        present |= {name for name in listed.files if name.startswith(f"{_TRIALS}/") and (folder / name).exists()}
    return HashDifferences(
        missing=tuple(sorted(set(listed.files) - present)),
        changed=tuple(name for name in sorted(set(listed.files) & present) if _of(folder / name) != listed.files[name]),
        added=tuple(sorted(present - set(listed.files))),
    )


def sha256(path: Path) -> str:
    """In hex. Raises as `jsonfiles.content`."""
    return hashlib.sha256(content(path)).hexdigest()


def _of(path: Path) -> str:
    try:
        return sha256(path)
    except (UsageError, OSError):
        return ""


def _files(folder: Path, *, below_trials: bool = True) -> Iterator[str]:
    """Below a folder, by relative path in order, without the lists' own and what is there only while it runs."""
    for where, inside, names in os.walk(folder):
        left_out = _PASSING if below_trials else (*_PASSING, _TRIALS)
        inside[:] = sorted(name for name in inside if name not in left_out)
        links = [name for name in inside if (Path(where) / name).is_symlink()]
        at = Path(where).relative_to(folder)
        for name in sorted([*names, *links]):
            if name in _PASSING or _HALF.fullmatch(name) or (at == Path() and name in (HASHES, *STATEMENTS)):
                continue
            yield (at / name).as_posix()


def _write(folder: Path, found: HashList) -> None:
    write_atomically(folder / HASHES, adapter(HashList).dump_json(found, indent=1) + b"\n")
