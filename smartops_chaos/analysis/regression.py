"""Two campaigns: did an arm become slower or faster, each measured against its own baseline?

slowdown = (RMST_arm / RMST_baseline in NEW) / (the same in OLD) - 1, over the scenarios that all four have, at the
shorter of two horizons. A machine or a cluster that became slower as a whole slows the baseline too and cancels out.

Its interval is by the delta method on the logarithm with Satterthwaite's degrees of freedom. Each end is the farthest
of five: the plain interval's, and those of four in which half a pseudo-trial stands in one of the four cells' places
(see analysis.estimate). Holm over the arms. To rule out a slowdown, it must also be ruled out with the trials without a
result scored at their worst.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from smartops_chaos.analysis.cells import Cell, of_arm
from smartops_chaos.analysis.estimate import (
    Estimate,
    Sample,
    log_ratio,
    margin,
    mean_over_scenarios,
    t_tail,
    weighted_difference,
)
from smartops_chaos.analysis.rates import common
from smartops_chaos.analysis.verdicts import holm
from smartops_chaos.model import LEAST_TRIALS, Arm

Direction = Literal["slower", "faster", "no difference shown", "undecidable"]
Gate = Literal["exceeded", "kept", "open", "undecidable"]

# Of one trial: half of what a proof takes. Rare failures are as hidden in the old campaign as in the new one, and equal
# campaigns are called different in at most 5 % with it (benchmarks/statistics.py); with a whole one slowdowns hide.
_PSEUDO_TRIAL = 0.5


@dataclass(frozen=True, slots=True)
class Side:
    """One campaign: its cells as `analysis.cells.build` makes them."""

    name: str
    baseline: Arm
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Slowdown:
    """As fractions: 0.1 = a tenth slower, -0.1 = a tenth faster. Two-sided interval (1 - 2 alpha), not adjusted."""

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
    p_different: float | None  # two-sided, H0: no change; Holm over the arms, like the others
    p_exceeded: float | None  # one-sided, H0: slowdown <= limit
    p_kept: float | None  # one-sided, H0: slowdown >= limit; also with lost trials at their worst
    direction: Direction
    gate: Gate  # exceeded: more than the limit is shown; kept: more is ruled out; open: neither
    why: str  # why nothing can be said; empty: it can


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
    schema_version: int = 1


@dataclass(frozen=True, slots=True)
class _Four:
    """One scenario: the arm and the baseline in both campaigns, at the same horizon."""

    scenario: str
    new_arm: Sample
    new_base: Sample
    old_arm: Sample
    old_base: Sample
    lost: tuple[int, int, int, int]  # trials without a result, in this order


def regress(
    old: Side,
    new: Side,
    *,
    limit: float,
    alpha: float,
    unlike: Mapping[str, str] | None = None,
    cautions: Sequence[str] = (),
) -> Regression:
    """Whether each arm that both campaigns have became slower or faster, and the gate: more than `limit`, or not.

    `limit` is the largest slowdown allowed, a fraction. `unlike` names scenarios of the same name that are not the same
    thing, with the reason: they are not compared. `cautions` are passed on. Never raises: an arm of which nothing can
    be said is `undecidable`, with why.
    """
    arms = {c.arm for c in old.cells} & {c.arm for c in new.cells} - {old.baseline, new.baseline}
    not_compared = dict(unlike or {})
    not_compared |= _only_in_one({c.scenario for c in old.cells}, {c.scenario for c in new.cells})
    others = ({c.arm for c in side.cells} - {old.baseline, new.baseline} for side in (old, new))
    not_compared |= {f"arm {name}": why for name, why in _only_in_one(*(set(map(str, o)) for o in others)).items()}
    fours = {arm: _fours(arm, old, new, not_compared) for arm in sorted(arms, key=lambda a: (a.model, a.policy))}
    changes = [_change(arm, found, limit, alpha) for arm, found in fours.items()]
    return Regression(
        old=old.name,
        new=new.name,
        limit=limit,
        alpha=alpha,
        arms=tuple(_decided(changes, alpha)),
        horizons_s={f.scenario: f.new_arm.worst for found in fours.values() for f in found},
        not_compared=dict(sorted(not_compared.items())),
        cautions=tuple(cautions),
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
        new_arm_s, new_base_s, old_arm_s, old_base_s = (Sample(np.minimum(c.time_s, tau), a.weight, tau) for c in cells)
        lost = (a.lost, b.lost, cells[2].lost, cells[3].lost)
        found.append(_Four(a.scenario, new_arm_s, new_base_s, old_arm_s, old_base_s, lost))
    return found


def _change(arm: Arm, fours: Sequence[_Four], limit: float, alpha: float) -> ArmChange:
    """Not yet adjusted for the number of arms."""
    new_arm, new_base, old_arm, old_base = _means(fours)
    why = _undecidable(fours)
    one_sided = {} if why else {m: _p_above(fours, m) for m in (0.0, limit)}
    p_faster = None if why else _p_below(fours, 0.0)
    p_kept = None if why else max(_p_below(fours, limit), _p_below([_worst(f) for f in fours], limit))
    return ArmChange(
        arm=arm,
        old_relative=_relative(old_arm, old_base),
        new_relative=_relative(new_arm, new_base),
        trials_old=sum(len(f.old_arm.values) for f in fours),
        trials_new=sum(len(f.new_arm.values) for f in fours),
        slowdown=Slowdown(None, None, None) if why else _slowdown(fours, alpha),
        by_scenario={} if why else {f.scenario: _slowdown([f], alpha) for f in fours},
        p_different=None if p_faster is None else min(1.0, 2 * min(one_sided[0.0], p_faster)),
        p_exceeded=one_sided.get(limit),
        p_kept=p_kept,
        direction="undecidable",
        gate="undecidable",
        why=why,
    )


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
        slower = (change.slowdown.lo or 0.0) > 0
        found.append(
            replace(
                change,
                p_different=different,
                p_exceeded=exceeded,
                p_kept=kept,
                direction=("slower" if slower else "faster") if different <= 2 * alpha else "no difference shown",
                gate="exceeded" if exceeded <= alpha else "kept" if kept <= alpha else "open",
            )
        )
    return found


_SIDES = ("new_arm", "new_base", "old_arm", "old_base")
_P_VALUES = ("p_different", "p_exceeded", "p_kept")


def _undecidable(fours: Sequence[_Four]) -> str:
    if not fours:
        return f"no scenario has {LEAST_TRIALS} counted trials of this arm and of the baseline in both campaigns"
    for side, base in (("NEW", [f.new_base for f in fours]), ("OLD", [f.old_base for f in fours])):
        if not any(s.values.any() for s in base):
            return f"the service was never bad in the baseline of {side}: there is no time to compare with"
    if not any(f.new_arm.values.any() or f.old_arm.values.any() for f in fours):
        return "the service was never bad with this arm, in neither campaign: there is no time to compare"
    samples = [s for f in fours for s in (f.new_arm, f.new_base, f.old_arm, f.old_base)]
    if all((s.values >= s.worst).all() for s in samples):
        return "no trial of either campaign recovered by the horizon: there is nothing to compare"
    return ""


def _means(fours: Sequence[_Four]) -> list[Estimate]:
    return [mean_over_scenarios([getattr(f, side) for f in fours]) for side in _SIDES]


def _relative(arm: Estimate, base: Estimate) -> float | None:
    return arm.mean / base.mean if base.mean > 0 else None


def _log_slowdown(means: Sequence[Estimate]) -> Estimate | None:
    """ln(1 + slowdown); None if a mean is 0."""
    new_arm, new_base, old_arm, old_base = means
    if any(not m.mean > 0 for m in means):
        return None
    return weighted_difference(log_ratio(new_arm, new_base), log_ratio(old_arm, old_base), 1.0)


def _candidates(fours: Sequence[_Four], *, slow: bool) -> list[Estimate]:
    """Those that exist: plain, and with a pseudo-trial in each of the four in turn, for a slower or a faster arm."""
    found = [_log_slowdown(_means(fours))]
    for side, high in (("new_arm", slow), ("new_base", not slow), ("old_arm", not slow), ("old_base", slow)):
        samples = [getattr(f, side) for f in fours]
        worst = [s if high else replace(s, worst=0.0) for s in samples]
        means = dict(zip(_SIDES, _means(fours), strict=True))
        means[side] = mean_over_scenarios(worst, pseudo=_PSEUDO_TRIAL)
        found.append(_log_slowdown(list(means.values())))
    return [e for e in found if e is not None]


def _slowdown(fours: Sequence[_Four], alpha: float) -> Slowdown:
    plain = _log_slowdown(_means(fours))
    lows = [e.mean - margin(e, alpha) for e in _candidates(fours, slow=False)]
    highs = [e.mean + margin(e, alpha) for e in _candidates(fours, slow=True)]
    return Slowdown(
        estimate=None if plain is None else float(np.expm1(plain.mean)),
        lo=float(np.expm1(min(lows))) if lows else None,
        hi=float(np.expm1(max(highs))) if highs else None,
    )


def _p_above(fours: Sequence[_Four], limit: float) -> float:
    """One-sided p of H0: slowdown <= limit."""
    return max((_tail(e, np.log1p(limit), 1) for e in _candidates(fours, slow=False)), default=1.0)


def _p_below(fours: Sequence[_Four], limit: float) -> float:
    """One-sided p of H0: slowdown >= limit."""
    return max((_tail(e, np.log1p(limit), -1) for e in _candidates(fours, slow=True)), default=1.0)


def _tail(estimate: Estimate, limit: float, sign: int) -> float:
    if estimate.has_no_error:
        return (
            0.0 if sign * (estimate.mean - limit) > 0 else 1.0
        )  # beside it stands one with a pseudo-trial, which has one
    return t_tail(sign * (estimate.mean - limit) / float(np.sqrt(estimate.variance)), estimate.df)


def _worst(four: _Four) -> _Four:
    """Lost trials: unrecovered in NEW's arm and OLD's baseline, never bad in the other two."""

    def filled(sample: Sample, lost: int, value: float) -> Sample:
        return replace(sample, values=np.append(sample.values, np.full(lost, value)))

    tau = four.new_arm.worst
    return replace(
        four,
        new_arm=filled(four.new_arm, four.lost[0], tau),
        new_base=filled(four.new_base, four.lost[1], 0.0),
        old_arm=filled(four.old_arm, four.lost[2], 0.0),
        old_base=filled(four.old_base, four.lost[3], tau),
    )
