"""Two campaigns: did an arm become slower or faster, each measured against its own baseline?

slowdown = (RMST_arm in NEW / in OLD) / (the same of the baseline) - 1, over the scenarios that all four have, at the
shorter of two horizons; the baseline's change as far as it stands out of its scatter. Direction and interval are by
permutation within scenarios (`analysis.permutation`), Holm over the arms. The direction speaks for the mean or for the
usual trial, the gate and the interval are of the mean; to rule out a slowdown, it must also be ruled out with the
trials without a result scored at their worst.

A machine that became slower as a whole slows the baseline too and cancels out, unless the baseline is at its horizon:
what never recovers cannot become slower. There the calibration's drain is the yardstick: so much longer (or shorter) as
the service itself takes to be good again after the harness has ended the fault, is taken for the machine's. A change
must then be shown with the times as they are and without that difference.

Two nights differ by more than the trials in them can tell. From five former nights of the matrix on, how much they
differ is the gate's second standard error; without them the gate is about these two nights, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from smartops_chaos.analysis.cells import Cell, of_arm
from smartops_chaos.analysis.distributions import normal_quantile, t_tail
from smartops_chaos.analysis.permutation import CellPair, Exchanges
from smartops_chaos.analysis.rates import common
from smartops_chaos.analysis.verdicts import holm
from smartops_chaos.model import LEAST_TRIALS, Arm

Direction = Literal["slower", "faster", "no difference shown", "undecidable"]
Gate = Literal["exceeded", "kept", "open", "undecidable"]

LEAST_NIGHTS = 5  # before the newest one; from so many on their variance is known well enough to be used
_SATURATED = 0.5  # a baseline of which so many trials reach the horizon does not cancel what slows the machine
_SEED = 20261129  # of the exchanges: the same two campaigns always give the same answer


@dataclass(frozen=True, slots=True)
class Side:
    """One campaign: its cells as `analysis.cells.build` makes them, and by scenario what its calibration shows."""

    name: str
    baseline: Arm
    cells: Sequence[Cell]
    drain_s: Mapping[str, float] = field(default_factory=dict)
    off: Mapping[str, str] = field(default_factory=dict)  # why nothing measured there is worth a comparison
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class Slowdown:
    """As fractions: 0.1 = a tenth slower, -0.1 = a tenth faster. Two-sided interval (1 - 2 alpha), not adjusted.

    Of the mean alone, and of these two nights: how much nights differ is not in it. None: no end up to a hundredfold
    change.
    """

    estimate: float | None
    lo: float | None
    hi: float | None


@dataclass(frozen=True, slots=True)
class ArmChange:
    arm: Arm
    old_relative: float | None  # RMST of the arm / RMST of the baseline
    new_relative: float | None
    trials_old: int  # of the arm, in the scenarios compared
    trials_new: int
    slowdown: Slowdown
    by_scenario: dict[str, Slowdown]  # descriptive
    p_different: float | None  # two-sided, H0: no change of mean or usual trial; Holm over the arms, like the others
    p_exceeded: float | None  # one-sided, H0: slowdown of the mean <= limit
    p_kept: float | None  # one-sided, H0: slowdown >= limit; also with lost trials at their worst
    direction: Direction
    gate: Gate  # exceeded: more than the limit is shown; kept: more is ruled out; open: neither
    why: str  # why nothing can be said; empty: it can
    nights: int = 0  # former nights that tell how much nights differ; 0: the gate is about these two nights only
    night_spread: float | None = None  # standard deviation between nights of the log of arm / baseline
    mind: tuple[str, ...] = ()  # what to mind: a baseline at its horizon, a direction that is not the mean's


@dataclass(frozen=True, slots=True)
class Regression:
    old: str
    new: str
    limit: float  # largest slowdown allowed, a fraction
    alpha: float  # one-sided
    arms: tuple[ArmChange, ...]
    horizons_s: dict[str, float]  # of the scenarios compared: the shorter of the two
    not_compared: dict[str, str]  # scenario or arm -> why
    cautions: tuple[str, ...]
    simulated: tuple[str, ...] = ()  # campaigns of which nothing was measured
    schema_version: int = 1


@dataclass(frozen=True, slots=True)
class _Four:
    """One scenario: the arm and the baseline in both campaigns, at the same horizon; and the trials that were lost."""

    scenario: str
    arm: CellPair
    base: CellPair
    arm_lost: tuple[int, int]  # in OLD, in NEW
    base_lost: tuple[int, int]
    drain_s: float | None  # by how much longer the service's own drain is in NEW; None: not known in both

    @property
    def saturated(self) -> bool:
        """The baseline is at its horizon: it cannot slow with the machine."""
        sides = (self.base.old, self.base.new)
        return any(float((times >= self.base.horizon_s).mean()) >= _SATURATED for times in sides)


@dataclass(frozen=True, slots=True)
class _Nights:
    """How much former nights differ, beyond the trials in them: the log of arm / baseline."""

    count: int = 0
    variance: float = 0.0


def regress(
    old: Side,
    new: Side,
    *,
    limit: float,
    alpha: float,
    nights: Sequence[Side] = (),
    unlike: Mapping[str, str] | None = None,
    cautions: Sequence[str] = (),
) -> Regression:
    """Whether each arm that both campaigns have became slower or faster, and the gate: more than `limit`, or not.

    `limit` is the largest slowdown allowed, a fraction. `nights` are campaigns of the same matrix before NEW, OLD among
    them; fewer than `LEAST_NIGHTS` are not used. `unlike` names scenarios of the same name that are not the same
    thing, with the reason: they are not compared. `cautions` are passed on. Never raises: an arm of which nothing can
    be said is `undecidable`, with why.
    """
    arms = {c.arm for c in old.cells} & {c.arm for c in new.cells} - {old.baseline, new.baseline}
    not_compared = dict(unlike or {})
    untrue = {
        scenario: f"in {side}, {why}" for side, one in (("OLD", old), ("NEW", new)) for scenario, why in one.off.items()
    }
    not_compared |= untrue
    not_compared |= _only_in_one({c.scenario for c in old.cells}, {c.scenario for c in new.cells})
    others = ({c.arm for c in side.cells} - {old.baseline, new.baseline} for side in (old, new))
    not_compared |= {f"arm {name}": why for name, why in _only_in_one(*(set(map(str, o)) for o in others)).items()}
    fours = {arm: _fours(arm, old, new, not_compared) for arm in sorted(arms, key=lambda a: (a.model, a.policy))}
    changes = [_change(arm, found, _between(nights, arm, found), limit, alpha, untrue) for arm, found in fours.items()]
    return Regression(
        old=old.name,
        new=new.name,
        limit=limit,
        alpha=alpha,
        arms=tuple(_decided(changes, alpha)),
        horizons_s={f.scenario: f.arm.horizon_s for found in fours.values() for f in found},
        not_compared=dict(sorted(not_compared.items())),
        cautions=tuple(cautions),
        simulated=tuple(side.name for side in (old, new) if side.simulated),
    )


def _only_in_one(old: set[str], new: set[str]) -> dict[str, str]:
    return dict.fromkeys(old - new, "only in OLD") | dict.fromkeys(new - old, "only in NEW")


def _fours(arm: Arm, old: Side, new: Side, not_compared: dict[str, str]) -> list[_Four]:
    """The scenarios that can be compared; notes in `not_compared` why others cannot."""
    new_arm, new_base = common(of_arm(new.cells, arm), of_arm(new.cells, new.baseline))
    old_arm, old_base = common(of_arm(old.cells, arm), of_arm(old.cells, old.baseline))
    before = {a.scenario: (a, b) for a, b in zip(old_arm, old_base, strict=True)}
    found = []
    for a, b in zip(new_arm, new_base, strict=True):
        if a.scenario not in before or a.scenario in not_compared:
            continue
        cells = (a, b, *before[a.scenario])
        few = next((i for i, c in enumerate(cells) if c.n < LEAST_TRIALS), None)
        if few is not None:
            side = "NEW" if few < 2 else "OLD"
            told = f"{cells[few].n} counted trials of {cells[few].arm} in {side}, {LEAST_TRIALS} are needed"
            not_compared[f"{a.scenario} in {arm}"] = told
            continue
        tau = min(c.horizon_s for c in cells)
        new_times, new_off, old_times, old_off = (np.minimum(c.time_s, tau) for c in cells)
        drains = [side.drain_s.get(a.scenario) for side in (old, new)]
        found.append(
            _Four(
                scenario=a.scenario,
                arm=CellPair(old_times, new_times, a.weight, tau),
                base=CellPair(old_off, new_off, a.weight, tau),
                arm_lost=(cells[2].lost, a.lost),
                base_lost=(cells[3].lost, b.lost),
                drain_s=None if drains[0] is None or drains[1] is None else drains[1] - drains[0],
            )
        )
    return found


def _change(
    arm: Arm, fours: Sequence[_Four], nights: _Nights, limit: float, alpha: float, untrue: Mapping[str, str]
) -> ArmChange:
    """Not yet adjusted for the number of arms."""
    why = _undecidable(fours, untrue)
    views = [] if why else _views(fours)
    at_limit = float(np.log1p(limit))
    different = [view.exchanges.direction() for view in views]
    p_slower, p_faster = (max((getattr(d, p) for d in different), default=1.0) for p in ("p_slower", "p_faster"))
    lost = any(sum((*f.arm_lost, *f.base_lost)) for f in fours)
    worst = [_view([_worst(f) for f in view.fours]) for view in views] if lost else []
    return ArmChange(
        arm=arm,
        old_relative=_relative(fours, "old"),
        new_relative=_relative(fours, "new"),
        trials_old=sum(len(f.arm.old) for f in fours),
        trials_new=sum(len(f.arm.new) for f in fours),
        slowdown=_slowdown(views, alpha),
        by_scenario={} if why else {f.scenario: _slowdown(_views([f]), alpha) for f in fours},
        p_different=None if why else min(1.0, 2 * min(p_slower, p_faster)),
        p_exceeded=None if why else max(_beyond(view, at_limit, nights, 1) for view in views),
        p_kept=None if why else max(_beyond(view, at_limit, nights, -1) for view in (*views, *worst)),
        direction="undecidable" if why else "slower" if p_slower < p_faster else "faster",
        gate="undecidable",
        why=why,
        nights=nights.count,
        night_spread=float(np.sqrt(nights.variance)) if nights.count else None,
        mind=tuple(_mind(f) for f in fours if f.saturated),
    )


@dataclass(frozen=True, slots=True)
class _View:
    fours: Sequence[_Four]
    exchanges: Exchanges


def _view(fours: Sequence[_Four]) -> _View:
    return _View(fours, Exchanges([f.arm for f in fours], [f.base for f in fours], _SEED))


def _views(fours: Sequence[_Four]) -> list[_View]:
    """The times as they are and, where a baseline is at its horizon, also without what the machine took longer.

    Every p is the larger one of both, each end of the interval the farther one.
    """
    views = [_view(fours)]
    if any(f.saturated and f.drain_s for f in fours):
        views.append(_view([_without_drain(f) for f in fours]))
    return views


def _slowdown(views: Sequence[_View], alpha: float) -> Slowdown:
    if not views:
        return Slowdown(None, None, None)
    estimate = _log_slowdown(views[0])
    lows, highs = zip(*(view.exchanges.interval(alpha) for view in views), strict=True)
    return Slowdown(
        estimate=None if estimate is None else float(np.expm1(estimate)),
        lo=None if None in lows else float(np.expm1(min(lows))),
        hi=None if None in highs else float(np.expm1(max(highs))),
    )


def _beyond(view: _View, limit: float, nights: _Nights, sign: int) -> float:
    """One-sided p of H0: the log slowdown is not above (`sign` 1) or not below (-1) `limit`.

    The permutation's p, read as a normal distance, tells the standard error that the trials leave; the nights' is added
    to it (both variances of two nights), with Satterthwaite's degrees of freedom.
    """
    found = view.exchanges.slowdown_is(limit)
    p = found.p_slower if sign > 0 else found.p_faster
    estimate = _log_slowdown(view)
    if not nights.count or not nights.variance or estimate is None or p >= 0.5:
        return p
    distance = sign * (estimate - limit)
    if distance <= 0:
        return max(p, 0.5)
    within = (distance / -normal_quantile(p)) ** 2
    between = 2 * nights.variance
    df = (within + between) ** 2 / (between**2 / (nights.count - 1))
    return max(p, t_tail(distance / float(np.sqrt(within + between)), df))


def _decided(changes: Sequence[ArmChange], alpha: float) -> list[ArmChange]:
    """Holm over the arms of which something can be said."""
    able = [c for c in changes if not c.why]
    adjusted = [holm([1.0 if p is None else p for p in (getattr(c, name) for c in able)]) for name in _P_VALUES]
    p_of = {c.arm: ps for c, ps in zip(able, zip(*adjusted, strict=True), strict=True)}
    found = []
    for change in changes:
        if change.why:
            found.append(change)
            continue
        different, exceeded, kept = p_of[change.arm]
        shown = different <= 2 * alpha
        found.append(
            replace(
                change,
                p_different=different,
                p_exceeded=exceeded,
                p_kept=kept,
                direction=change.direction if shown else "no difference shown",
                mind=(*change.mind, *([_OF_USUAL_TRIAL] if shown and not _mean_shows_it(change) else [])),
                gate="exceeded" if exceeded <= alpha else "kept" if kept <= alpha else "open",
            )
        )
    return found


_P_VALUES = ("p_different", "p_exceeded", "p_kept")
_OF_USUAL_TRIAL = (
    "what differs is how long a usual trial took; the mean does not show the same, since a trial that never recovered "
    "counts in it as the whole horizon"
)


def _mean_shows_it(change: ArmChange) -> bool:
    """Whether the mean's interval lies on that side of no change too, as a whole."""
    lo, hi = change.slowdown.lo, change.slowdown.hi
    return (lo is not None and lo > 0) if change.direction == "slower" else (hi is not None and hi < 0)


def _undecidable(fours: Sequence[_Four], untrue: Mapping[str, str]) -> str:
    if not fours and untrue:
        return next(iter(untrue.values()))
    if not fours:
        return f"no scenario has {LEAST_TRIALS} counted trials of this arm and of the baseline in both campaigns"
    for side, base in (("NEW", [f.base.new for f in fours]), ("OLD", [f.base.old for f in fours])):
        if not any(times.any() for times in base):
            return f"the service was never bad in the baseline of {side}: there is no time to compare with"
    if not any(f.arm.new.any() or f.arm.old.any() for f in fours):
        return "the service was never bad with this arm, in neither campaign: there is no time to compare"
    pairs = [pair for f in fours for pair in (f.arm, f.base)]
    if all((pair.new >= pair.horizon_s).all() and (pair.old >= pair.horizon_s).all() for pair in pairs):
        return "no trial of either campaign recovered by the horizon: there is nothing to compare"
    return ""


def _mean(pairs: Sequence[CellPair], side: Literal["old", "new"]) -> float:
    total = sum(p.weight for p in pairs)
    return float(sum(p.weight * getattr(p, side).mean() for p in pairs)) / total if total else 0.0


def _relative(fours: Sequence[_Four], side: Literal["old", "new"]) -> float | None:
    base = _mean([f.base for f in fours], side)
    return _mean([f.arm for f in fours], side) / base if base > 0 else None


def _log_slowdown(view: _View) -> float | None:
    """ln(1 + slowdown); None if a mean is 0."""
    pairs = [[f.arm for f in view.fours], [f.base for f in view.fours]]
    return view.exchanges.estimate if all(_mean(those, side) for those in pairs for side in ("old", "new")) else None


def _mind(four: _Four) -> str:
    where = f"{four.scenario}: the baseline is at its horizon, so what slows the machine as a whole does not cancel out"
    if four.drain_s is None:
        return f"{where}, and no calibration of both campaigns tells how fast the service itself was"
    longer = "longer" if four.drain_s > 0 else "shorter"
    drain = "as long in NEW as in OLD" if abs(four.drain_s) < 0.05 else f"{abs(four.drain_s):.1f} s {longer} in NEW"
    return (
        f"{where}; after the end of a fault the service itself needed {drain} (calibration), which is taken for the "
        "machine's"
    )


def _without_drain(four: _Four) -> _Four:
    """NEW's times of the arm without what the service itself took longer; unrecovered and never bad stay so."""
    if not four.saturated or not four.drain_s:
        return four
    new, tau = four.arm.new, four.arm.horizon_s
    moved = np.where((new > 0) & (new < tau), np.clip(new - four.drain_s, 0.0, tau), new)
    return replace(four, arm=replace(four.arm, new=moved))


def _worst(four: _Four) -> _Four:
    """Lost trials: unrecovered in NEW's arm and OLD's baseline, never bad in the other two."""

    def filled(pair: CellPair, lost: tuple[int, int], old_s: float, new_s: float) -> CellPair:
        old, new = np.append(pair.old, np.full(lost[0], old_s)), np.append(pair.new, np.full(lost[1], new_s))
        return replace(pair, old=old, new=new)

    tau = four.arm.horizon_s
    return replace(
        four, arm=filled(four.arm, four.arm_lost, 0.0, tau), base=filled(four.base, four.base_lost, tau, 0.0)
    )


# ---- how much nights differ ----------------------------------------------------------------------------------


def _between(nights: Sequence[Side], arm: Arm, fours: Sequence[_Four]) -> _Nights:
    """The variance between nights of the log of arm / baseline over these scenarios, less what their trials explain.

    By the method of moments (DerSimonian and Laird 1986 without weights): the variance of the nights' logs minus the
    mean of their sampling variances, not below 0. A change of the code between them makes it larger, never smaller.
    """
    logs, errors = [], []
    for night in nights:
        found = _night(night, arm, {f.scenario: f.arm.horizon_s for f in fours})
        if found is not None:
            logs.append(found[0])
            errors.append(found[1])
    if len(logs) < LEAST_NIGHTS:
        return _Nights()
    return _Nights(len(logs), max(0.0, float(np.var(logs, ddof=1)) - float(np.mean(errors))))


def _night(side: Side, arm: Arm, horizons_s: Mapping[str, float]) -> tuple[float, float] | None:
    """A night's log of arm / baseline with its sampling variance (delta method); None if it lacks a scenario."""
    ours, theirs = common(of_arm(side.cells, arm), of_arm(side.cells, side.baseline))
    kept = [(a, b) for a, b in zip(ours, theirs, strict=True) if a.scenario in horizons_s]
    if len(kept) < len(horizons_s) or any(c.n < 2 for pair in kept for c in pair):
        return None
    means, variances = np.zeros(2), np.zeros(2)
    for a, b in kept:
        for i, cell in enumerate((a, b)):
            times = np.minimum(cell.time_s, horizons_s[a.scenario])
            means[i] += a.weight * times.mean()
            variances[i] += a.weight**2 * times.var(ddof=1) / len(times)
    if not means.all():
        return None
    return float(np.log(means[0] / means[1])), float((variances / means**2).sum())
