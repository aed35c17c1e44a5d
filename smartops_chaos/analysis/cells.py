"""Trials table -> cells: the trials of one scenario in one arm, as arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smartops_chaos.analysis import competing
from smartops_chaos.analysis.likelihood_ratio import Floats, Trials
from smartops_chaos.analysis.question import Question
from smartops_chaos.analysis.table import numbers, outcome_is, texts
from smartops_chaos.errors import UsageError
from smartops_chaos.model import Arm, Outcome, Stop

NOT_RECORDED = "not recorded"


@dataclass(frozen=True, slots=True)
class Cell:
    """Counted trials of a fault scenario in one arm. Times are from injection and at most `horizon_s`."""

    chaos: str
    workload: str
    arm: Arm
    family: str
    horizon_s: float
    weight: float
    time_s: Floats  # the scored time: 0 = never bad, horizon_s = unrecovered
    recovered: NDArray[np.bool_]  # False: still bad at the horizon
    impact_s: Floats | None  # the same from impact, but horizon_s if unrecovered; None: not in the table
    undetected_s: Floats | None  # of incidents: until they were detected or, if never, until they ended
    unmitigated_s: Floats | None  # the same to the first action on an affected object that succeeded
    bad_s: Floats | None  # bad or unknown seconds in [0, horizon_s]
    outcomes: Mapping[str, int]  # of all trials, the left out ones too
    left_out: int  # invalid, error, aborted
    not_recorded: int  # fewer than the fullest arm has in this scenario
    undetected_span: tuple[Floats, Floats] | None = None  # with the early and the late ends of the moments' intervals
    unmitigated_span: tuple[Floats, Floats] | None = None
    repeat: Floats | None = None  # of the counted trials: which block each is in; None: the table does not tell
    rarely_hurts: bool = False  # the baseline was bad in fewer than half of its trials here

    @property
    def scenario(self) -> str:
        """ "chaos / workload": the conditions that are the same for all arms."""
        return f"{self.chaos} / {self.workload}"

    @property
    def n(self) -> int:
        """Counted trials."""
        return len(self.time_s)

    @property
    def lost(self) -> int:
        """Trials whose result is not known: what a `proven` must survive in the worst case."""
        return self.left_out + self.not_recorded

    @property
    def incidents(self) -> int:
        """Counted trials whose service went bad."""
        return sum(n for outcome, n in self.outcomes.items() if Outcome(outcome).incident)

    @property
    def prevented(self) -> int:
        """Prevented incidents; where the fault rarely hurts anyway, the action was needless and prevented nothing."""
        return 0 if self.rarely_hurts else self.outcomes.get(Outcome.PREVENTED, 0)

    def sample(self, values: Floats) -> Trials:
        """Values of this cell's trials, such as `time_s`, for a mean over scenarios; at worst they are the horizon."""
        return Trials(values, self.horizon_s, self.weight)


def of_arm(cells: Sequence[Cell], arm: Arm) -> list[Cell]:
    """One arm's cells, in the order of their scenarios."""
    return [c for c in cells if c.arm == arm]


def build(table: pd.DataFrame, question: Question) -> list[Cell]:
    """The cells of all fault scenarios, sorted by scenario and arm.

    `table` has measured trials only (`summarise.measured_trials`); scenarios without a fault, the controls, have no
    cell. A planned cell without any trial is there with n = 0.

    In each scenario every arm should have as many trials as the fullest one; the difference is `not_recorded`. Raises
    UsageError if two scenarios or two arms have one name.
    """
    columns = _Columns(table)
    groups: dict[tuple[str, str], dict[Arm, NDArray[np.intp]]] = {}
    keys = ["chaos", "workload", "model", "policy"]
    for (chaos, workload, model, policy), part in table[keys].reset_index(drop=True).groupby(keys, sort=True):
        groups.setdefault((str(chaos), str(workload)), {})[Arm(str(model), str(policy))] = part.index.to_numpy(np.intp)
    for chaos, workload, arm in sorted(question.cells, key=str):
        if (chaos, workload) in groups:
            groups[chaos, workload].setdefault(arm, np.zeros(0, dtype=np.intp))
    _told_apart([f"{chaos} / {workload}" for chaos, workload in groups])
    _told_apart([str(arm) for arm in {arm for arms in groups.values() for arm in arms}])
    cells = []
    for (chaos, workload), arms in sorted(groups.items()):
        rows = np.concatenate(list(arms.values()))
        if not columns.are_of_a_fault(rows):
            continue
        known = rows[~np.isnan(columns.horizon[rows])]
        most = {a: _expected(columns.repeat, arms, question.stopped.get(a)) for a in arms}
        family = next(filter(None, columns.family[rows]), chaos) if columns.has["family"] else chaos
        found = [
            columns.cell(
                arms[arm],
                chaos=chaos,
                workload=workload,
                arm=arm,
                family=family,
                horizon_s=float(columns.horizon[known[0]]) if len(known) else 0.0,  # then there are no times
                weight=question.weights.get(chaos, 1.0),
                fullest=most[arm],
            )
            for arm in sorted(arms, key=lambda a: (a.model, a.policy))
        ]
        base = next((c for c in found if c.arm == question.baseline), None)
        rarely = base is not None and base.n > 0 and base.incidents < base.n / 2
        cells += [replace(c, rarely_hurts=rarely) for c in found]
    return cells


def cells_by_arm(
    measured: pd.DataFrame, question: Question, arms: Sequence[Arm], built: list[Cell] | None = None
) -> dict[Arm, tuple[list[Cell], list[Cell]]]:
    """For each arm its cells and the baseline's.

    If an interim look stopped the arm, both are cut at that look's repeat, so that like is compared with like.
    `measured` is what `summarise.measured_trials` gives, `built` what `build` makes of it, if it is at hand.
    """
    found: dict[int | None, list[Cell]] = {None: build(measured, question) if built is None else built}
    for repeat in {stop.repeat for stop in question.stopped.values()}:
        found[repeat] = build(measured[numbers(measured, "repeat") <= repeat], question)
    pairs = {}
    for arm in arms:
        stop = question.stopped.get(arm)
        cells = found[stop.repeat if stop else None]
        pairs[arm] = of_arm(cells, arm), of_arm(cells, question.baseline)
    return pairs


def _told_apart(names: Sequence[str]) -> None:
    """Of a foreign table: numbers are kept and shown by these names, so two things of one name would be mixed."""
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"`{twice[0]}` is the name of two scenarios or arms", "rename the levels that contain ` / `")


def _expected(repeat: Floats, arms: Mapping[Arm, NDArray[np.intp]], stop: Stop | None) -> int:
    """As many trials as the fullest arm has, up to the look that stopped this one."""
    return max(len(rows) if stop is None else int((repeat[rows] <= stop.repeat).sum()) for rows in arms.values())


class _Columns:
    """The table's columns as arrays, each looked up once."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.outcome = texts(table, "outcome")
        self.family = texts(table, "family")
        self.horizon = numbers(table, "horizon_s")
        self.repeat = numbers(table, "repeat")
        self.time = numbers(table, "time_s")
        self.counted = outcome_is(self.outcome, lambda o: o.counted)
        self.bad_to_the_end = outcome_is(self.outcome, lambda o: o in (Outcome.UNRECOVERED, Outcome.HARMED))
        self.control = outcome_is(self.outcome, lambda o: o.control) | (self.family == "none")
        self.impact = np.where(self.time == 0, 0.0, numbers(table, "ttr_impact_s"))
        self.detected, self.acted = competing.moment(table, "detected"), competing.moment(table, "acted")
        self.raced = competing.incidents(table) & competing.dated(table)
        self.bad = numbers(table, "bad_seconds") + np.nan_to_num(numbers(table, "unknown_seconds"))
        self.has = {c: c in table for c in ("family", "ttr_impact_s", "detected_lo_s", "acted_lo_s", "bad_seconds")}

    def are_of_a_fault(self, rows: NDArray[np.intp]) -> bool:
        """A scenario without any result may still be one of a fault, if all its trials were left out."""
        return bool(self.counted[rows].any() or not self.control[rows].any())

    def cell(
        self,
        rows: NDArray[np.intp],
        *,
        chaos: str,
        workload: str,
        arm: Arm,
        family: str,
        horizon_s: float,
        weight: float,
        fullest: int,
    ) -> Cell:
        counted = rows[self.counted[rows]]
        outcomes = Counter(self.outcome[rows].tolist())
        time = self.time[counted]
        unrecovered = self.bad_to_the_end[counted] & (time >= horizon_s)
        impact, repeat = self.impact[counted], self.repeat[counted]
        impacts_known = self.has["ttr_impact_s"] and not np.isnan(impact).any()

        def until(values: Floats) -> Floats:
            return np.clip(np.where(np.isnan(values), horizon_s, values), 0, horizon_s)

        def before_end(bounds: tuple[Floats, Floats]) -> tuple[Floats, tuple[Floats, Floats]]:
            raced = rows[self.raced[rows]]
            lo, hi, over = bounds[0][raced], bounds[1][raced], self.time[raced]
            middle, early, late = (np.fmin(seen, over) for seen in ((lo + hi) / 2, lo, hi))  # NaN, never: the end
            return middle, (early, late)

        undetected_s, undetected_span = before_end(self.detected)
        unmitigated_s, unmitigated_span = before_end(self.acted)

        return Cell(
            chaos=chaos,
            workload=workload,
            arm=arm,
            family=family,
            horizon_s=horizon_s,
            weight=weight,
            time_s=time,
            recovered=~unrecovered,
            impact_s=until(np.where(unrecovered, horizon_s, impact)) if impacts_known else None,
            undetected_s=undetected_s if self.has["detected_lo_s"] else None,
            unmitigated_s=unmitigated_s if self.has["acted_lo_s"] else None,
            bad_s=until(self.bad[counted]) if self.has["bad_seconds"] else None,
            outcomes=dict(sorted(outcomes.items())),
            left_out=sum(n for outcome, n in outcomes.items() if Outcome(outcome).left_out),
            not_recorded=max(0, fullest - len(rows)),
            repeat=repeat if len(np.unique(repeat)) == len(repeat) and not np.isnan(repeat).any() else None,
            undetected_span=undetected_span if self.has["detected_lo_s"] else None,
            unmitigated_span=unmitigated_span if self.has["acted_lo_s"] else None,
        )
