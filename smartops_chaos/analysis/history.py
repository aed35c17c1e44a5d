"""Several campaigns of one matrix, one after another: what changed between them, and whether the newest one differs.

A night is one campaign. Of the former nights three are compared with the newest, for each arm: the last one measured,
the median and the best one by reduction of the MTTR. Median and best are chosen among complete nights that measured the
same thing. Each comparison is `analysis.regression`'s; Holm over all of them. The best of k nights owes something to
luck, so its p counts k-fold. No trend is estimated: nights differ by more than the trials in them can tell.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from smartops_chaos.analysis import likeness
from smartops_chaos.analysis.regression import Direction, Side, Slowdown, regress
from smartops_chaos.analysis.summary import Summary
from smartops_chaos.analysis.verdicts import holm
from smartops_chaos.model import ALPHA, Arm, Plan

State = Literal["complete", "incomplete", "failed"]
Kind = Literal["plan", "git", "images", "versions"]
Which = Literal["before", "median", "best"]

_KINDS: dict[str, Kind] = {"git commit": "git", "Images": "images"}
_OF_ONE_NIGHT = ("command", "started", "shard", "Requests", "plan")  # of a campaign's provenance: not its versions
_LIMIT = 0.10  # that `regress` asks for; nothing here depends on it


@dataclass(frozen=True, slots=True)
class Night:
    """One campaign. Without a result `summary` has no arms and `side` is None; `why` says what is missing."""

    name: str
    began: str  # UTC, ISO 8601; empty = not known
    plan: Plan | None  # None: its campaign.json cannot be read
    provenance: Mapping[str, str]
    planned: int
    recorded: int
    summary: Summary
    side: Side | None
    why: str = ""  # what a whole result lacks; empty: complete

    @property
    def state(self) -> State:
        return "failed" if self.side is None else "incomplete" if self.why else "complete"


@dataclass(frozen=True, slots=True)
class ArmNight:
    """One arm in one night: fractions and seconds, two-sided intervals at 2 alpha; None = cannot be given."""

    model: str
    policy: str
    baseline: bool
    counted: int
    mttr_s: float | None
    mttr_lo_s: float | None
    mttr_hi_s: float | None
    mttr_reduction: float | None
    mttr_reduction_lo: float | None
    mttr_reduction_hi: float | None
    auto_heal: float | None
    auto_heal_lo: float | None
    auto_heal_hi: float | None
    availability: float | None
    availability_lo: float | None
    availability_hi: float | None
    mttr_reduction_verdict: str  # empty: not judged
    auto_heal_verdict: str
    availability_verdict: str

    @property
    def arm(self) -> Arm:
        return Arm(self.model, self.policy)


@dataclass(frozen=True, slots=True)
class Change:
    kind: Kind
    what: str


@dataclass(frozen=True, slots=True)
class Against:
    """The newest night against a former one. `slowdown` is not adjusted, `p` is."""

    arm: Arm
    night: str
    which: tuple[Which, ...]
    slowdown: Slowdown
    p: float | None
    direction: Direction
    why: str  # why nothing can be said; empty: it can
    cautions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class History:
    matrix: str
    nights: tuple[Night, ...]  # oldest first
    changes: tuple[tuple[Change, ...], ...]  # of each night, against the one before
    against: tuple[Against, ...]
    schema_version: int = 1

    @property
    def newest(self) -> Night:
        return self.nights[-1]


def history(matrix: str, nights: Sequence[Night]) -> History:
    """`nights` oldest first, at least one."""
    known = [night for night in nights if night.plan is not None]
    before = dict(zip([n.name for n in known[1:]], known, strict=False))
    changes = tuple(changed(before[n.name], n) if n.name in before else () for n in nights)
    return History(matrix, tuple(nights), changes, tuple(_against(nights)))


def arm_nights(night: Night) -> tuple[ArmNight, ...]:
    verdicts = {(v.arm, v.target): v.verdict for v in night.summary.verdicts}
    reductions = {c.arm: c.mttr_reduction for c in night.summary.comparisons if c.decides}
    found = []
    for a in night.summary.arms:
        reduction = reductions.get(a.arm)
        found.append(
            ArmNight(
                a.model,
                a.policy,
                a.baseline,
                a.counted,
                *(a.mttr.rmst_s, a.mttr.lo, a.mttr.hi),
                *((reduction.estimate, reduction.lo, reduction.hi) if reduction else (None, None, None)),
                *(a.auto_heal.no_human, a.auto_heal.lo, a.auto_heal.hi),
                *(a.sla.availability, a.sla.lo, a.sla.hi),
                *(verdicts.get((a.arm, target), "") for target in ("mttr_reduction", "auto_heal", "sla")),
            )
        )
    return tuple(found)


# ---- what changed --------------------------------------------------------------------------------------------


def changed(before: Night, now: Night) -> tuple[Change, ...]:
    """What made the numbers, as far as it is known and differs."""
    found = [Change("plan", what) for what in _plan_changes(before.plan, now.plan)]
    labels = dict.fromkeys([*before.provenance, *now.provenance])
    for label in labels:
        was, is_now = before.provenance.get(label, ""), now.provenance.get(label, "")
        if was != is_now and label not in _OF_ONE_NIGHT:
            kind = _KINDS.get(label, "versions")
            found.append(Change(kind, f"{label}: {_differing(was, is_now)}"))
    return tuple(found)


def _differing(was: str, is_now: str) -> str:
    """Of lists, such as the images, only what is not in both."""
    old, new = was.split("; "), is_now.split("; ")
    gone = "; ".join(one for one in old if one not in new) or "nothing"
    return f"{gone} → {'; '.join(one for one in new if one not in old) or 'nothing'}"


def _plan_changes(old: Plan | None, new: Plan | None) -> Iterable[str]:
    if old is None or new is None or old.digest == new.digest:
        return
    told = [*(f"{name}: {why}" for name, why in sorted(likeness.unlike(old, new).items()))]
    told += likeness.cautions(old, new)
    for what, was, is_now in (
        ("scenarios", _scenarios(old), _scenarios(new)),
        ("arms", _arms(old), _arms(new)),
    ):
        if is_now - was:
            told.append(f"new {what}: {', '.join(sorted(is_now - was))}")
        if was - is_now:
            told.append(f"{what} no longer there: {', '.join(sorted(was - is_now))}")
    repeats = [max((t.repeat for t in plan.measured), default=0) for plan in (old, new)]
    if repeats[0] != repeats[1]:
        told.append(f"repeats: {repeats[0]} → {repeats[1]}")
    if old.seed != new.seed:
        told.append(f"seed: {old.seed} → {new.seed}")
    if old.analysis.targets != new.analysis.targets or old.analysis.sla != new.analysis.sla:
        told.append("the targets or the SLA differ")
    if old.healer != new.healer:
        told.append("the healer file differs")
    yield from told or [f"plan: {old.digest[:12]} → {new.digest[:12]}"]


def _scenarios(plan: Plan) -> set[str]:
    return {f"{t.chaos} / {t.workload}" for t in plan.measured}


def _arms(plan: Plan) -> set[str]:
    return {str(t.arm) for t in plan.measured}


def same_thing(old: Plan | None, new: Plan | None) -> bool:
    """Whether two plans measure the same: they differ at most in seed, repeats, targets and words."""
    if old is None or new is None:
        return False
    return not likeness.unlike(old, new) and not likeness.cautions(old, new) and _scenarios(old) == _scenarios(new)


# ---- the newest against the former ---------------------------------------------------------------------------


def _against(nights: Sequence[Night]) -> Iterable[Against]:
    *former, newest = nights
    measured = [night for night in former if night.side is not None]
    if newest.side is None or not measured:
        return ()
    alpha = newest.plan.analysis.alpha if newest.plan else ALPHA
    arms = dict.fromkeys(c.arm for c in newest.side.cells if c.arm != newest.side.baseline)
    rows: list[Against] = []
    ps: list[float] = []
    for arm in arms:
        chosen, choices = _references(arm, measured, newest)
        for i, which in chosen.items():
            row = _compared(arm, measured[i], newest, which, alpha)
            rows.append(row)
            if row.p is not None:
                ps.append(min(1.0, row.p * (choices if which == ("best",) else 1)))
    adjusted = iter(holm(ps))
    return [row if row.p is None else _decided(row, next(adjusted), alpha) for row in rows]


def _references(arm: Arm, measured: Sequence[Night], newest: Night) -> tuple[dict[int, tuple[Which, ...]], int]:
    """Places in `measured` -> what each is; and among how many the best was chosen."""
    reductions = []
    for i, night in enumerate(measured):
        found = next((a.mttr_reduction for a in arm_nights(night) if a.arm == arm), None)
        if night.state == "complete" and found is not None and same_thing(night.plan, newest.plan):
            reductions.append((found, i))
    ordered = [i for _, i in sorted(reductions)]
    which: defaultdict[int, tuple[Which, ...]] = defaultdict(tuple)
    which[len(measured) - 1] += ("before",)
    if len(ordered) > 2:
        which[ordered[(len(ordered) - 1) // 2]] += ("median",)
    if len(ordered) > 1:
        which[ordered[-1]] += ("best",)
    return which, len(ordered)


def _compared(arm: Arm, old: Night, new: Night, which: tuple[Which, ...], alpha: float) -> Against:
    """With the plain p; Holm comes over all rows."""
    plans = [night.plan for night in (old, new) if night.plan is not None]
    found = regress(
        _only(old.side, arm),
        _only(new.side, arm),
        limit=_LIMIT,
        alpha=alpha,
        unlike=likeness.unlike(*plans) if len(plans) == 2 else {},
    )
    cautions = likeness.cautions(*plans) if len(plans) == 2 else ()
    if not found.arms:
        nothing = Slowdown(None, None, None)
        return Against(arm, old.name, which, nothing, None, "undecidable", f"{old.name} has no such arm", cautions)
    (change,) = found.arms
    return Against(
        arm, old.name, which, change.slowdown, change.p_different, change.direction, change.why, tuple(cautions)
    )


def _only(side: Side | None, arm: Arm) -> Side:
    if side is None:
        raise ValueError("a night without a result has nothing to compare")
    return replace(side, cells=[c for c in side.cells if c.arm in (arm, side.baseline)])


def _decided(row: Against, p: float, alpha: float) -> Against:
    shown: Direction = "slower" if (row.slowdown.lo or 0.0) > 0 else "faster"
    return replace(row, p=p, direction=shown if p <= 2 * alpha else "no difference shown")
