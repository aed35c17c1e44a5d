"""What all sections of a campaign's report are made from, in one value, so that each takes one argument."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from smartops_chaos.analysis.cells import Cell
from smartops_chaos.analysis.load import CampaignData, side
from smartops_chaos.analysis.sentences import level
from smartops_chaos.analysis.summary import ArmSummary, Decision, Summary
from smartops_chaos.analysis.table import outcome_is, texts
from smartops_chaos.model import RESTART_DELAY, Arm, Plan, Targets
from smartops_chaos.report import index
from smartops_chaos.report.document import Tone
from smartops_chaos.report.index import Index
from smartops_chaos.report.style import Styles, arm_styles

SEVERAL_ARMS = 2  # judged ones: from here on they are also compared with each other
TONES: Mapping[Decision, Tone] = {
    "proven": "good",
    "observed above": "weak",
    "observed below": "weak",
    "missed": "bad",
    "trivial": "none",
    "undecidable": "none",
}
MANY_ARMS = 2  # with more judged arms the reasons of verdicts move from the cards to a table of their own


@dataclass(frozen=True)
class Page:
    """A campaign as the sections see it.

    `styles` is how each arm looks, the same in all figures. `index` knows the trials behind the numbers: it makes
    numbers into links; an empty one leaves them plain.
    """

    summary: Summary
    plan: Plan | None  # None: a bare trials table
    table: pd.DataFrame  # a row for each trial
    styles: Styles
    index: Index = field(default_factory=Index)
    provenance: Mapping[str, str] = field(default_factory=dict)
    cells: Sequence[Cell] = ()  # the trials of each arm and scenario, where several arms are compared with each other

    @property
    def arms(self) -> tuple[ArmSummary, ...]:
        return self.summary.arms

    @property
    def level(self) -> str:
        """The confidence level of all two-sided intervals, such as "95 %"."""
        return level(self.summary)

    @property
    def targets(self) -> Targets:
        """Those of the plan; without one, those that the verdicts were measured against."""
        if self.plan:
            return self.plan.analysis.targets
        return Targets(**{v.target: v.wanted for v in self.summary.verdicts})

    @property
    def restart_delay_s(self) -> float | None:
        """How long the platform waits before it restarts what has died; None where the campaign has not noted it."""
        return float(told.split()[0]) if (told := self.provenance.get(RESTART_DELAY, "")) else None

    @property
    def judged(self) -> list[Arm]:
        """The arms that have verdicts: all but the baseline."""
        return list(dict.fromkeys(v.arm for v in self.summary.verdicts))

    def has_healer(self, arm: ArmSummary) -> bool:
        """Whether a healer runs in it: not if its settings switch it off, nor in a baseline where none ever showed."""
        if self.plan and arm.model in self.plan.models and arm.policy in self.plan.policies:
            settings = self.plan.models[arm.model].over(self.plan.policies[arm.policy])
            if str(settings.get("healer")).lower() in ("off", "false"):
                return False
        detected, actions = arm.operations.detected, arm.operations.actions
        return bool(not arm.baseline or (detected and detected.successes) or actions or arm.auto_heal.by_healer)

    @property
    def counted(self) -> pd.DataFrame:
        """The rows of the table that are scored: a confirmed fault, and no calibration."""
        rows = self.table[self.table["time_s"].notna() & outcome_is(texts(self.table, "outcome"), lambda o: o.counted)]
        return rows[rows["phase"] != "calibrate"] if "phase" in rows.columns else rows


def page(data: CampaignData, *, appendix: bool = True) -> Page:
    """Without `appendix` no trial is listed, so no number is a link."""
    baseline = baseline_of(data.summary)
    listed = index.index(data.table, baseline) if appendix else Index()
    competing = len({v.arm for v in data.summary.verdicts}) >= SEVERAL_ARMS
    cells = side(data).cells if competing else ()
    return Page(data.summary, data.plan, data.table, styles_of(data), listed, data.provenance, cells)


def styles_of(data: CampaignData) -> Styles:
    """A style for every arm that was measured, also for one of which no trial counts."""
    table = data.table
    seen = dict.fromkeys(Arm(str(m), str(p)) for m, p in zip(table["model"], table["policy"], strict=True))
    arms = list(dict.fromkeys([*(a.arm for a in data.summary.arms), *seen]))
    return arm_styles(arms, baseline_of(data.summary) or arms[0]) if arms else {}


def baseline_of(summary: Summary) -> Arm | None:
    return summary.baseline.arm if summary.baseline else None


def arm_name(arm: ArmSummary) -> str:
    if arm.reference:
        return f"{arm.arm} (reference)"
    return f"{arm.arm} (baseline)" if arm.baseline else str(arm.arm)
