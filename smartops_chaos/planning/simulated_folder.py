"""A simulated campaign as a folder like that of a measured one: its plan, its records, and what its looks decided.

So `report`, `compare` and `status` take it as they take a campaign, and its targets are decided by its own plan. Its
provenance and each of its rows say that it is simulated.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from smartops_chaos.errors import UsageError
from smartops_chaos.model import COLUMNS, Plan, Record, Stop
from smartops_chaos.plan.look_schedule import spared
from smartops_chaos.store.campaign_folder import SIMULATED, CampaignFile, CampaignFolder

MOST_RECORDS = 20_000  # files; a larger campaign is a table


def write(plan: Plan, matrix: Path, truth: Path, columns: Mapping[str, Any], stops: Sequence[Stop], out: Path) -> None:
    """Raises UsageError if `out` is there already, or for more trials than `MOST_RECORDS`."""
    store, trials = CampaignFolder(out), columns["trial"]
    if out.exists():
        raise UsageError(f"{out} is there already", "give --out another name")
    if len(trials) > MOST_RECORDS:
        hint = f"at most {MOST_RECORDS}: give --out a name that ends in .csv or .parquet"
        raise UsageError(f"{len(trials)} trials are too many for a folder", hint)
    told = f"times drawn from {truth.name} (`plan --simulate`); nothing was measured"
    store.create(CampaignFile(shlex.quote(str(matrix)), matrix.read_text(encoding="utf-8"), plan, {SIMULATED: told}))
    left_out = spared(plan, stops)
    for at, name in enumerate(trials):
        if name in left_out:
            continue
        folder = store.trial(name)
        folder.path.mkdir(parents=True)
        row = dict.fromkeys(COLUMNS) | {column: _value(values, at) for column, values in columns.items()}
        folder.write_record(Record(row | {"campaign": store.name}, None))
    for number in range(1, max((stop.look for stop in stops), default=0) + 1):
        store.write_look(number, tuple(stop for stop in stops if stop.look == number))


def _value(values: Any, at: int) -> str | int | float | None:
    """The cell of a column, which is one value for all trials or one for each; None = not seen."""
    one = values if isinstance(values, str | float | int) else values[at]
    one = one.item() if hasattr(one, "item") else one
    return None if isinstance(one, float) and one != one else one
