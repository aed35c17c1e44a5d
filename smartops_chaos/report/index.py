"""The trials behind the numbers: which of them a report lists, which it shows in full, and links that lead to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smartops_chaos.analysis import phases, rca
from smartops_chaos.analysis.table import numbers, outcome_is, texts
from smartops_chaos.analysis.words import NONE, plain
from smartops_chaos.model import Arm, Outcome
from smartops_chaos.report.document import Facet, Link, Text

TABLE = "tab-trials"
MOST_ROWS = 10_000
MOST_SHOWN = 48
_LOOKED_AT = MOST_SHOWN * 2 // 3  # places for suspect trials among those shown in full
_SUSPECT_OUTCOMES = (Outcome.HARMED, Outcome.FALSE_ALARM, Outcome.UNRECOVERED)
# Counts of a trial that are worth a word, and the word.
_NOTED = {
    "actions_failed": "action failed",
    "needless_actions": "needless action",
    "guardrail_blocks": "guardrail block",
    "cooldown_skips": "cooldown skip",
}

Row = Mapping[str, object]


@dataclass(frozen=True)
class Index:
    """The listed trials in the table's order. `places` are their positions in the whole table, from 0."""

    rows: tuple[Row, ...] = ()
    places: tuple[int, ...] = ()
    facets: tuple[Facet, ...] = ()
    shown: tuple[int, ...] = ()  # of `rows`, those that are shown in full
    whole: int = 0  # trials in the whole table
    _having: Mapping[tuple[str, str], NDArray[np.bool_]] = field(default_factory=dict)

    def find(self, arm: Arm | None = None, **show: str | tuple[str, ...]) -> list[int]:
        """The rows that have one of the wanted values in every facet; by the facet's name."""
        found = np.ones(len(self.rows), dtype=bool)
        for name, wanted in _wanted(arm, show):
            has = [self._having[name, value] for value in wanted if (name, value) in self._having]
            found &= np.any(has, axis=0) if has else False
        return np.flatnonzero(found).tolist()

    def link(self, text: str, arm: Arm | None = None, **show: str | tuple[str, ...]) -> Text:
        """A number that leads to the trials behind it; only the number where none is listed."""
        return (Link(text, TABLE, _wanted(arm, show)),) if self.find(arm, **show) else text

    def trial(self, row: int) -> Link:
        """A trial's name that leads to its picture and evidence, or else to its line."""
        return Link(name(self.rows[row]), card_id(row) if row in self.shown else row_id(row))


def row_id(row: int) -> str:
    return f"trial-{row + 1}"


def card_id(row: int) -> str:
    return f"shown-{row + 1}"


def name(row: Row) -> str:
    """A trial's ID, or its levels in a table that has none."""
    return str(row.get("trial") or " · ".join(str(row[level]) for level in ("chaos", "workload", "model", "policy")))


def index(table: pd.DataFrame, baseline: Arm | None) -> Index:
    """All trials, or those that say most if there are very many."""
    order = _by_interest(table, baseline)
    places = np.sort(order[:MOST_ROWS])
    listed = table.iloc[places]
    facets = _facets(listed)
    having: dict[tuple[str, str], NDArray[np.bool_]] = {}
    for facet in facets:
        for i, values in enumerate(facet.values):
            for value in values:
                having.setdefault((facet.name, value), np.zeros(len(places), dtype=bool))[i] = True
    shown = np.searchsorted(places, np.sort(order[:MOST_SHOWN])).tolist()
    return Index(tuple(_rows(listed)), tuple(places.tolist()), facets, tuple(shown), len(table), having)


def _wanted(arm: Arm | None, show: Mapping[str, str | tuple[str, ...]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    of_arm = {"model": arm.model, "policy": arm.policy} if arm else {}
    return tuple((n, (v,) if isinstance(v, str) else v) for n, v in {**of_arm, **show}.items())


def _by_interest(table: pd.DataFrame, baseline: Arm | None) -> NDArray[np.int_]:
    """Positions, those to look at first: suspect trials of each cell in turn, then of each cell the first repeats.

    Suspect ones have no more than two thirds of the places of the trials shown in full.
    """
    outcome, flags = texts(table, "outcome"), texts(table, "flags")
    flagged = np.array([bool(text) for text in flags.tolist()], dtype=bool)
    off = np.zeros(len(table), dtype=bool)
    if baseline is not None:
        off = (texts(table, "model") == baseline.model) & (texts(table, "policy") == baseline.policy)
    usual = off & (outcome == Outcome.UNRECOVERED)  # without a healer nothing else is to be expected
    suspect = flagged | (np.isin(outcome, _SUSPECT_OUTCOMES) & ~usual)
    trials = pd.DataFrame({"suspect": suspect, "unflagged": ~flagged, "repeat": numbers(table, "repeat")})
    trials["place"] = np.arange(len(table))
    trials["cell"] = table.groupby(["chaos", "workload", "model", "policy"], sort=False).ngroup().to_numpy()
    trials["calibration"] = texts(table, "phase") == "calibrate"
    # Within its cell each trial gets a turn, flagged ones and early repeats first. Taking all first turns, then all
    # second ones, goes round the cells, so that no cell with many suspect trials pushes the others out.
    trials = trials.sort_values(["unflagged", "repeat", "place"], kind="stable")
    trials["turn"] = trials.groupby(["cell", "suspect"], sort=False).cumcount()
    first = trials[trials["suspect"]].sort_values(["turn", "unflagged", "place"], kind="stable")["place"][:_LOOKED_AT]
    others = trials[~trials["place"].isin(first)]
    rest = others.sort_values(["calibration", "turn", "place"], kind="stable")["place"]
    return np.concatenate([first.to_numpy(), rest.to_numpy()])


def _facets(table: pd.DataFrame) -> tuple[Facet, ...]:
    outcome, phase = texts(table, "outcome"), texts(table, "phase", "measure")
    measured = phase != "calibrate"
    counted = measured & outcome_is(outcome, lambda o: o.counted)
    use = np.full(len(table), "calibration", dtype=object)
    use[counted] = "counted"
    use[measured & outcome_is(outcome, lambda o: o.control)] = "control"
    use[measured & outcome_is(outcome, lambda o: o.left_out)] = "left out"
    missed = np.full(len(table), "", dtype=object)
    missed[counted] = [moment or "nothing" for moment in phases.missed(table[counted])]
    asked, rank = rca.ranks(table)
    answered = texts(table, "rca_top1")
    diagnosis = np.where(rank == 1, "right", np.where(answered == "", "no answer", "wrong")).astype(object)
    diagnosis[~(asked & counted)] = ""
    flags = texts(table, "flags").tolist()
    counts = {word: numbers(table, column) > 0 for column, word in _NOTED.items()}
    noted = tuple(
        (*(plain(flag) for flag in flags[i].split(",") if flag), *(word for word, has in counts.items() if has[i]))
        for i in range(len(table))
    )
    single: dict[str, Iterable[object]] = {
        **{level: texts(table, level) for level in ("chaos", "workload", "model", "policy")},
        "counts_as": use,
        "outcome": [plain(o) for o in outcome.tolist()],
        "reason": [reason or NONE for reason in texts(table, "reason").tolist()],
        "first_missed": missed,
        "diagnosis": diagnosis,
        "expected_cause": np.where(counted, texts(table, "rca_expected"), ""),
        "answered_cause": np.where(counted, answered, ""),
        "policy_rule": texts(table, "policy_rule"),
    }
    facets = [Facet(n, tuple((str(v),) if v else () for v in values)) for n, values in single.items()]
    return (*facets, Facet("noted", noted))


def _rows(table: pd.DataFrame) -> list[Row]:
    """Row by row, None for what is missing."""
    columns = [str(column) for column in table.columns]
    values = table.astype(object).where(table.notna(), None).itertuples(index=False, name=None)
    return [dict(zip(columns, row, strict=True)) for row in values]
