"""The numbers of a campaign: what `summary.json` holds and every page of the report is made from.

None means "cannot be given", never zero. All fractions are 0 to 1; all durations are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from smartops_chaos.model import ALPHA, Arm, Goal, Reference, Sla, Slo, Stop, Targets
from smartops_chaos.timeline.calibration import Calibration

# proven: the target is met, and chance is ruled out; missed: that it is met is ruled out; between them it is only known
# on which side of the target the estimate lies. trivial: it is met whatever the healer does. See analysis.verdicts.
Decision = Literal["proven", "observed above", "observed below", "missed", "trivial", "undecidable"]


@dataclass(frozen=True, slots=True)
class Mttr:
    """RMST(tau) over the arm's scenarios, equally weighted unless the plan says otherwise."""

    rmst_s: float | None
    lo: float | None  # two-sided, 1 - 2 alpha, see analysis.likelihood_ratio
    hi: float | None
    horizon_s: float | None  # the largest of the scenarios' horizons
    median_s: float | None  # over all trials, unrecovered = infinite; None = not reached, or the horizons are unlike
    p90_s: float | None


@dataclass(frozen=True, slots=True)
class AutoHeal:
    no_human: float | None
    by_healer: float | None
    lo: float | None  # Wilson interval of no_human
    hi: float | None
    successes: int  # of no_human
    n: int  # trials with an incident, and prevented ones
    uplift: float | None  # by_healer minus the baseline's no_human
    uplift_lo: float | None  # Newcombe
    uplift_hi: float | None


@dataclass(frozen=True, slots=True)
class SlaNumbers:
    availability: float | None  # 1 - faults x mean(bad seconds) / window; None without the matrix's `sla:`
    lo: float | None
    hi: float | None
    within_trials: float | None  # descriptive: good requests / requests
    windows_kept: float | None = None  # estimated share of windows in which the target holds; the rest is their mean


@dataclass(frozen=True, slots=True)
class Rca:
    top1: float | None
    lo: float | None
    hi: float | None
    n: int
    lift: float | None  # top1 over the best constant answer, difference
    macro_recall: float | None
    at_k: dict[str, float]  # "1", "2", "3" -> AC@k
    answers: int  # distinct answers given; under two: no diagnostic information
    confusion: dict[str, dict[str, int]]  # expected cause -> answered cause ("" = none) -> trials


@dataclass(frozen=True, slots=True)
class Share:
    value: float | None
    lo: float | None  # Wilson interval
    hi: float | None
    successes: int
    n: int


@dataclass(frozen=True, slots=True)
class Race:
    """Incidents that were detected (or mitigated) before they ended; see analysis.competing."""

    n: int  # trials whose service went bad, without those in which a clock was stepped
    seen: int
    share: float
    lo: float  # Wilson interval
    hi: float
    mean_s: float | None  # of those seen; None: none was
    by_chance: float | None  # expected share that a false alarm would have hit; None: no trial without a fault


@dataclass(frozen=True, slots=True)
class Operations:
    """What the healer did in the counted trials, and what they were worth. None: the table does not say."""

    detected: Share | None  # incidents that the healer signalled before they ended
    rules: dict[str, int] | None  # policy rule that decided first -> trials; "" = none is known to have
    actions: int | None  # carried out
    action_success: Share | None  # of those
    guardrail_blocks: int | None
    cooldown_skips: int | None
    relapses: int | None  # good stretches that did not last
    relapsed: int | None  # trials with one
    late_relapses: Share | None  # trials with one after `stop_after_good`, of those that were observed on after it
    closed_loop_s: float | None  # mean, from detected to verified, in trials that have both
    closed_loop_lo_s: float | None  # Student's interval of that mean; None under two trials
    closed_loop_hi_s: float | None
    closed_loop_error_s: float | None  # median width of that duration's interval
    closed_loop_n: int
    healed_if_right: Share  # healed or prevented, of the incidents whose first answer was a cause of the fault
    healed_if_wrong: Share  # the same with a wrong answer or none
    reliability: Share  # trials whose fault took effect and was measured, of all with a fault that were recorded
    adherence: float | None  # share of the seconds from injection to the horizon within the objective
    budget_used: float | None  # share of the window's error budget that the expected faults use up; 1 = all of it


@dataclass(frozen=True, slots=True)
class HoldNumbers:
    """One arm if health had to last for another time than H to count."""

    hold_s: float
    model: str
    policy: str
    rmst_s: float | None
    reduction: float | None  # None for the baseline
    trials: int
    other_outcomes: int  # trials whose outcome differs from that with H


@dataclass(frozen=True, slots=True)
class MomentAgreement:
    """Trials in which a moment was told that metrics and log lines both tell of: by whom, and whether alike."""

    moment: str
    alike: int
    logs_only: int
    metrics_only: int
    apart: int  # both, but their intervals do not meet

    @property
    def told(self) -> int:
        return self.alike + self.logs_only + self.metrics_only + self.apart


@dataclass(frozen=True, slots=True)
class Phase:
    """A step of the repair in healed trials; the means of all steps add up to the mean time of these trials."""

    name: str  # "detect": injected -> detected, "diagnose", "decide", "act", "recover"
    start: str  # or the last moment before it that is on the path, see analysis.phases
    end: str
    mean_s: float | None  # over all trials of `recover`, 0 where the step was not on the path; None: in none it was
    lo_s: float | None  # Student's interval of the mean; None under two trials
    hi_s: float | None
    n: int  # trials in which the step was on the path; of `recover` all
    measuring_error_s: float | None  # median interval width


@dataclass(frozen=True, slots=True)
class AsideMoment:
    """A moment of the same trials on which their recovery did not wait."""

    moment: str
    mean_s: float  # since the injection
    n: int


@dataclass(frozen=True, slots=True)
class FunnelStep:
    moment: str
    reached: int
    lost: dict[str, int]  # why those that reached the step before did not reach this one -> trials


@dataclass(frozen=True, slots=True)
class Curve:
    """Kaplan-Meier of "not yet recovered". One entry a step, starting at 0."""

    scenario: str  # "chaos / workload"; "" = all scenarios of the arm pooled
    time_s: tuple[float, ...]
    survival: tuple[float, ...]
    lo: tuple[float, ...]
    hi: tuple[float, ...]
    at_risk_times_s: tuple[float, ...]
    at_risk: tuple[int, ...]
    censored_at_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class CellNumbers:
    """One scenario in one arm: what the estimates are made of."""

    chaos: str
    workload: str
    counted: int
    rmst_s: float | None
    se_s: float | None
    outcomes: dict[str, int]
    horizon_s: float
    rarely_hurts: bool  # the baseline's SLI went bad in fewer than half of its trials here


@dataclass(frozen=True, slots=True)
class ArmSummary:
    model: str
    policy: str
    baseline: bool
    reference: Reference | None  # None: a competitor, or the baseline
    trials: int
    counted: int  # confirmed injections of a fault: the denominator of everything about time
    outcomes: dict[str, int]
    left_out: dict[str, int]  # reason -> trials (invalid, error, aborted)
    mttr: Mttr
    ttd: Mttr  # mean time for which an incident went on undetected: to its detection or, without one, to its end
    ttm: Mttr  # the same to the first action on an affected object that succeeded
    ttd_between: tuple[float, float] | None  # the mean if each moment lay at the early, or at the late, end
    ttm_between: tuple[float, float] | None
    p_detected: float | None  # `detection.share`
    p_mitigated: float | None
    detection: Race | None  # None: the table does not tell, or there was no incident
    mitigation: Race | None
    auto_heal: AutoHeal
    sla: SlaNumbers
    rca: Rca
    phases: tuple[Phase, ...]
    aside: tuple[AsideMoment, ...]
    funnel: tuple[FunnelStep, ...]
    curves: tuple[Curve, ...]
    cells: tuple[CellNumbers, ...]
    measuring_error_s: float | None  # median width of the recovery interval
    false_alarms: int  # of control trials, with their number
    controls: int
    needless_actions: int
    contested: int
    operations: Operations

    @property
    def arm(self) -> Arm:
        return Arm(self.model, self.policy)


@dataclass(frozen=True, slots=True)
class Reduction:
    estimate: float | None
    lo: float | None  # two-sided, 1 - 2 alpha, by inversion of the test that decides, see analysis.likelihood_ratio
    hi: float | None
    p: float | None  # one-sided, H0: reduction <= target, also with the lost trials at their worst
    p_adjusted: float | None  # of that target, after those before it in the sequence, Holm over the arms
    at_worst: float | None = None  # the estimate if every lost trial had gone badly for the arm
    at_best: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    arm: Arm
    baseline: Arm
    baseline_rmst_s: float | None  # of the trials that count here: up to a look, if one has stopped the arm
    scope: Literal["these-scenarios", "faults-like-these"]
    decides: bool
    mttr_reduction: Reduction
    from_impact: Reduction  # an estimate; unrecovered = the whole horizon, so a later impact gains nothing
    at_horizons: dict[str, Reduction]  # "tau/4", "tau/2": estimates; "tau"
    by_scenario: dict[str, Reduction]  # "chaos / workload", descriptive
    verdict: Decision
    why: str
    shares: dict[str, float]  # "chaos / workload" -> its share of the baseline's weighted mean time
    block_correlation: float | None  # of the arm's and the baseline's times in the same block; None: not known
    blocks: int  # of which that is
    proven_from: float | None  # proven for every horizon from this share of the stated ones on; None: not proven
    proven_from_s: float | None  # the same in seconds, where the horizons are alike


@dataclass(frozen=True, slots=True)
class Verdict:
    target: Goal
    arm: Arm
    wanted: float
    value: float | None
    bound: float | None  # the one-sided lower confidence bound that decides, before Holm
    verdict: Decision
    why: str
    at_worst: float | None = None  # the value if the trials without a result had gone badly
    at_best: float | None = None
    says: str = ""  # the estimate as a clause, with which `why` begins where there is one


@dataclass(frozen=True, slots=True)
class FrozenPlan:
    """What else a campaign has frozen before its first trial; a bare trials table says nothing of it."""

    slo: Slo
    stop_after_good_s: float
    exclusions: str
    seed: int
    digest: str


@dataclass(frozen=True, slots=True)
class AppliedPlan:
    """The rules by which a summary was computed and decided."""

    baseline: Arm
    targets: Targets
    sla: Sla | None
    order: tuple[Goal, ...]  # of the targets: one is decided if those before it are proven
    alpha: float  # one-sided
    weights: dict[str, float]  # by chaos level; absent = 1
    horizons_s: dict[str, float]  # "chaos / workload" -> seconds
    because: dict[str, str]  # chaos level -> why this horizon
    same_arm: dict[str, str]  # "model/policy" -> "model/policy" that was run in its place
    looks: int  # decisions, the one at the end included
    stopped: tuple[Stop, ...]  # arms that were decided before the end
    frozen: FrozenPlan | None


@dataclass(frozen=True, slots=True)
class Summary:
    campaign: str
    plan: AppliedPlan | None  # None: the campaign has no result
    excluded: dict[str, dict[str, int]]  # arm -> reason -> trials
    warnings: tuple[str, ...]  # what makes this result weak, each with a hint
    calibration: tuple[Calibration, ...]
    arms: tuple[ArmSummary, ...]
    comparisons: tuple[Comparison, ...]
    verdicts: tuple[Verdict, ...]
    holds: tuple[HoldNumbers, ...] = ()  # sensitivity to H; empty: no requests are at hand
    agreement: tuple[MomentAgreement, ...] = ()  # of metrics and logs; empty: no telemetry is at hand
    simulated: bool = False  # drawn by `plan --simulate`: nothing was measured
    schema_version: int = 1

    @property
    def alpha(self) -> float:
        """One-sided, of all verdicts together; intervals are two-sided at 1 - 2 alpha."""
        return self.plan.alpha if self.plan else ALPHA

    @property
    def baseline(self) -> ArmSummary | None:
        return next((a for a in self.arms if a.baseline), None)

    def deciding(self, arm: Arm) -> Comparison | None:
        """The comparison with the baseline that decides the MTTR target of an arm; None for the baseline itself."""
        return next((c for c in self.comparisons if c.arm == arm and c.decides), None)

    def stop(self, arm: Arm) -> Stop | None:
        """The interim look that has decided the arm, if one has."""
        return next((s for s in self.plan.stopped if s.arm == arm), None) if self.plan else None
