"""How much the numbers depend on H, how long health must last to count: the same trials derived again with another H.

H must leave enough requests in a window, and fit into what was observed after a recovery, so half and one and a half
times the plan's H are tried where the requests allow it.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace

from smartops_chaos.analysis import table
from smartops_chaos.analysis.cells import build, cells_by_arm
from smartops_chaos.analysis.compare import estimate
from smartops_chaos.analysis.likelihood_ratio import mean_over_scenarios
from smartops_chaos.analysis.question import Question
from smartops_chaos.analysis.rates import common
from smartops_chaos.analysis.summarise import measured_trials
from smartops_chaos.analysis.summary import HoldNumbers
from smartops_chaos.model import Evidence, Plan
from smartops_chaos.schema.healerfile import HealerFile
from smartops_chaos.timeline.derive import derive
from smartops_chaos.timeline.health import window_state

SHARES = (0.5, 1.0, 1.5)
MOST_TRIALS = 400  # derived again: a large campaign is judged by its first repeats


def chosen(plan: Plan, done: Container[str]) -> list[str]:
    """Trials to derive again: all that were measured, or those of the first repeats."""
    found: list[str] = []
    for repeat in sorted({t.repeat for t in plan.measured}):
        more = [t.id for t in plan.measured if t.repeat == repeat and t.id in done]
        if found and len(found) + len(more) > MOST_TRIALS:
            break
        found += more
    return found


def holds(plan: Plan) -> list[float]:
    """The plan's H and the others that its requests allow, in seconds; empty if there is none but H."""
    slo = plan.analysis.slo
    slowest = min(w.rate_per_s for w in plan.workloads.values())
    found = [
        share * slo.hold_s
        for share in SHARES
        if share == 1
        or (
            share * slo.hold_s <= plan.analysis.stop_after_good_s
            and window_state(int(share * slo.hold_s * slowest), 0, slo) == "good"
        )
    ]
    return found if len(found) > 1 else []


def sensitivity(
    plan: Plan, healer: HealerFile, evidence: Sequence[Evidence], question: Question
) -> tuple[HoldNumbers, ...]:
    """Each arm's MTTR and reduction for each H. Pure: `evidence` is what was recorded in the trials chosen."""
    evidence = [e for e in evidence if e.requests]
    lengths = holds(plan) if evidence else []
    rows = {
        hold_s: [
            derive(replace(e, slo=replace(e.slo, hold_s=hold_s)), healer, plan.name, plan.chaos[e.trial.chaos]).row
            for e in evidence
        ]
        for hold_s in lengths
    }
    found = []
    for hold_s in lengths:
        asked, measured = measured_trials(table.from_rows(rows[hold_s]), question)
        arms = sorted({c.arm for c in build(measured, asked) if c.n}, key=str)
        for arm, sides in cells_by_arm(measured, asked, list(dict.fromkeys([asked.baseline, *arms]))).items():
            ours, base = ([c for c in cells if c.n] for cells in sides)
            both = common(ours, base)
            trials = [i for i, e in enumerate(evidence) if e.trial.arm == arm]
            changed = sum(rows[hold_s][i]["outcome"] != rows[plan.analysis.slo.hold_s][i]["outcome"] for i in trials)
            found.append(
                HoldNumbers(
                    hold_s=hold_s,
                    model=arm.model,
                    policy=arm.policy,
                    rmst_s=mean_over_scenarios([c.sample(c.time_s) for c in ours]) if ours else None,
                    reduction=None if arm == asked.baseline else estimate(*both),
                    trials=len(trials),
                    other_outcomes=changed,
                )
            )
    return tuple(found)
