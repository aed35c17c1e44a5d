"""Whether a campaign is whole: nothing in force, nothing lost or doubled, the numbers those of the stored evidence."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from smartops_chaos import api
from smartops_chaos.analysis.summarise import to_json
from smartops_chaos.model import Outcome
from smartops_chaos.run import status, verification
from smartops_chaos.store.campaign_folder import CampaignFolder, campaigns

MARK = "SMARTOPS_CHAOS_MARK"  # variable in the environment of a runner, and so of everything below it
_GONE_WITHIN_S = 15.0


def recorded(results: Path) -> bool:
    """Whether the one campaign there has a record for every trial."""
    found = campaigns(results)
    return bool(found) and all(found[-1].record(trial.id) for trial in found[-1].read().plan.trials)


def outcomes(results: Path) -> Counter[str]:
    stores = campaigns(results)
    records = [stores[-1].record(trial.id) for trial in stores[-1].read().plan.trials] if stores else []
    return Counter(str(record.row["outcome"]) for record in records if record is not None)


def marked(mark: str) -> list[int]:
    """Processes below a runner that was started with that mark; zombies have no environment and do not count."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"{MARK}={mark}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found


def examine(results: Path, mark: str) -> list[str]:
    """Everything that is not as it must be."""
    problems = _left(mark)
    stores = campaigns(results)
    if len(stores) != 1:
        return [*problems, f"{len(stores)} campaigns instead of one: {[store.name for store in stores]}"]
    store = stores[0]
    problems += [f"{trial.path.name} may be in force" for trial in store.open_ledgers()]
    rows = []
    for trial in store.read().plan.trials:
        record = store.record(trial.id)
        if record is None:
            problems.append(f"{trial.id} was lost")
            continue
        rows.append(record.row)
        if record.row["trial"] != trial.id:
            problems.append(f"{trial.id} has the record of {record.row['trial']}")
        if record.row["outcome"] in (Outcome.ERROR, Outcome.INVALID) and not record.row["reason"]:
            problems.append(f"{trial.id} is {record.row['outcome']} without a reason")
    folders = {path.name.partition("~")[0] for path in (store.path / "trials").iterdir()}
    if strangers := folders - {trial.id for trial in store.read().plan.trials}:
        problems.append(f"folders of no trial: {sorted(strangers)}")
    if halves := [str(path.relative_to(store.path)) for path in store.path.rglob(".*.[0-9]*")]:
        problems.append(f"half-written files: {halves}")
    problems += [f"does not verify: {problem}" for problem in verification.verify(store).problems]
    return problems + _numbers(store, rows)


def _left(mark: str) -> list[str]:
    deadline = time.monotonic() + _GONE_WITHIN_S
    while (left := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    told = []
    for pid in left:
        with suppress(OSError):
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            told.append(f"process {pid} is left: {command[:150]}")
    for pid in left:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    return told


def _numbers(store: CampaignFolder, rows: list[dict[str, str | int | float | None]]) -> list[str]:
    """`derive` gives the same bytes, and the report needs nothing but the records."""
    problems = []
    _, changed, failed = status.derive_all(store)
    problems += failed
    if changed:
        problems.append(f"derived otherwise than recorded: {changed}")
    if not any(row["time_s"] is not None for row in rows):
        return problems
    with tempfile.TemporaryDirectory() as name:
        bare = Path(name) / store.name
        for file in (store.path / "campaign.json", *store.path.glob("trials/*/record.json")):
            target = bare / file.relative_to(store.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
        alone, beside = (to_json(api.load(path).summary) for path in (bare, store.path))
        if {**alone, "holds": ()} != {**beside, "holds": ()}:  # other windows than the plan's need the requests
            problems.append("the report is another one without the evidence")
    return problems
