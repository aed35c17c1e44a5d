"""Several campaigns of one matrix, one after another: what changed between them, and whether the newest one differs.

The newest campaign is compared with the last whole one before it, arm by arm, as `analysis.regression` compares two
campaigns; if none before it is whole, with the last one that has a result. No trend is estimated: campaigns differ by
more than the trials in them can tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from smartops_chaos.analysis import likeness
from smartops_chaos.analysis.regression import Direction, Side, Slowdown, regress
from smartops_chaos.analysis.summary import Summary
from smartops_chaos.model import ALPHA, Arm, Plan

State = Literal["complete", "incomplete", "failed"]
Kind = Literal["plan", "git", "images", "versions"]

_KINDS: dict[str, Kind] = {"git commit": "git", "Images": "images"}
_OF_ONE_NIGHT = ("command", "started", "shard", "Requests", "plan")  # of a campaign's provenance: not its versions
_LIMIT = 0.10  # that `regress` asks for; nothing here depends on it


@dataclass(frozen=True, slots=True)
class CampaignInHistory:
    """One of several campaigns. Without a result `summary` has no arms and `side` is None; `why` says what lacks."""

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
class PlanChange:
    """Something that made the numbers and is not as it was in the campaign before."""

    kind: Kind
    what: str


@dataclass(frozen=True, slots=True)
class Against:
    """An arm of the newest campaign against a former one, `night`. `p` is adjusted by Holm, `slowdown` is not."""

    arm: Arm
    night: str
    slowdown: Slowdown
    p: float | None
    direction: Direction
    why: str  # why nothing can be said; empty: it can
    cautions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class History:
    matrix: str
    campaigns: tuple[CampaignInHistory, ...]  # oldest first
    changes: tuple[tuple[PlanChange, ...], ...]  # of each night, against the one before
    against: tuple[Against, ...]
    schema_version: int = 1

    @property
    def newest(self) -> CampaignInHistory:
        return self.campaigns[-1]


def history(matrix: str, campaigns: Sequence[CampaignInHistory]) -> History:
    """`campaigns` of one matrix, the oldest first; at least one."""
    known = [night for night in campaigns if night.plan is not None]
    before = dict(zip([n.name for n in known[1:]], known, strict=False))
    changes = tuple(changed(before[n.name], n) if n.name in before else () for n in campaigns)
    return History(matrix, tuple(campaigns), changes, tuple(_against(campaigns)))


# ---- what changed --------------------------------------------------------------------------------------------


def changed(before: CampaignInHistory, now: CampaignInHistory) -> tuple[PlanChange, ...]:
    """What made the numbers, as far as it is known and differs."""
    found = [PlanChange("plan", what) for what in _plan_changes(before.plan, now.plan)]
    labels = dict.fromkeys([*before.provenance, *now.provenance])
    for label in labels:
        was, is_now = before.provenance.get(label, ""), now.provenance.get(label, "")
        if was != is_now and label not in _OF_ONE_NIGHT:
            kind = _KINDS.get(label, "versions")
            found.append(PlanChange(kind, f"{label}: {_differing(was, is_now)}"))
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


# ---- the newest against a former one -------------------------------------------------------------------------


def _against(campaigns: Sequence[CampaignInHistory]) -> list[Against]:
    *former, new = campaigns
    measured = [campaign for campaign in reversed(former) if campaign.side is not None]
    old = next((campaign for campaign in measured if campaign.state == "complete"), measured[0] if measured else None)
    if old is None or old.side is None or new.side is None:
        return []
    plans = [campaign.plan for campaign in (old, new) if campaign.plan is not None]
    cautions = likeness.cautions(*plans) if len(plans) == 2 else ()
    found = regress(
        old.side,
        new.side,
        limit=_LIMIT,
        alpha=new.plan.analysis.alpha if new.plan else ALPHA,
        nights=[night.side for night in former if night.side is not None],
        unlike=likeness.unlike(*plans) if len(plans) == 2 else {},
    )
    known = {change.arm: change for change in found.arms}
    rows = []
    for arm in dict.fromkeys(c.arm for c in new.side.cells if c.arm != new.side.baseline):
        if change := known.get(arm):
            told = (*cautions, *change.mind)
            row = Against(arm, old.name, change.slowdown, change.p_different, change.direction, change.why, told)
        else:
            nothing = Slowdown(None, None, None)
            row = Against(arm, old.name, nothing, None, "undecidable", f"{old.name} has no such arm", cautions)
        rows.append(row)
    return rows
