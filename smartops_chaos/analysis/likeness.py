"""Two plans: which of their scenarios are the same thing, and what else differs that a reader must know."""

from __future__ import annotations

from smartops_chaos.model import ChaosLevel, Plan, Slo
from smartops_chaos.schema.units import format_duration, format_fraction, format_rate

UNKNOWN = "A bare trials table does not say what its levels mean: the same names are taken for the same things."


def unlike(old: Plan, new: Plan) -> dict[str, str]:
    """Scenarios of the same name ("chaos / workload") that are not the same thing -> why."""
    found = {}
    for chaos in old.chaos.keys() & new.chaos.keys():
        for workload in old.workloads.keys() & new.workloads.keys():
            rates = [plan.workloads[workload].rate_per_s for plan in (old, new)]
            if _faults(old.chaos[chaos]) != _faults(new.chaos[chaos]):
                found[f"{chaos} / {workload}"] = "another fault, or the same with other parameters"
            elif rates[0] != rates[1]:
                found[f"{chaos} / {workload}"] = (
                    f"the workload was {format_rate(rates[0])}, now {format_rate(rates[1])}"
                )
    return found


def cautions(old: Plan, new: Plan) -> tuple[str, ...]:
    """What is compared all the same, in sentences."""
    lines = []
    before, now = old.analysis, new.analysis
    if before.slo != now.slo:
        told = [f"{_good(s)}, hold {format_duration(s.hold_s)}" for s in (before.slo, now.slo)]
        lines.append(f"`slo` was {told[0]} and is {told[1]}: healthy means another thing in each campaign.")
    for name in sorted(old.chaos.keys() & new.chaos.keys()):
        horizons = [plan.chaos[name].horizon_s for plan in (old, new)]
        if horizons[0] != horizons[1]:
            lines.append(
                f"The horizon of {name} was {format_duration(horizons[0])} and is {format_duration(horizons[1])}: "
                f"times are cut at {format_duration(min(horizons))} in both."
            )
    if before.stop_after_good_s != now.stop_after_good_s:
        lines.append("`stop_after_good` differs: a later relapse may be seen in one campaign and not in the other.")
    if old.target.get("kind") != new.target.get("kind") or old.target.get("replicas") != new.target.get("replicas"):
        lines.append("The target differs: another kind, or another number of replicas.")
    if before.weights != now.weights:
        lines.append("The weights of the scenarios differ: those of NEW are used.")
    if before.baseline != now.baseline:
        lines.append(f"The baseline was {before.baseline} and is {now.baseline}: each arm is seen relative to its own.")
    changed = [
        f"{factor} {name}"
        for factor, was, now_is in (("model", old.models, new.models), ("policy", old.policies, new.policies))
        for name in sorted(was.keys() & now_is.keys())
        if was[name].settings != now_is[name].settings
    ]
    if changed:
        lines.append(f"The settings of {', '.join(changed)} have changed: their arms are what is compared.")
    return tuple(lines)


def _faults(level: ChaosLevel) -> list[tuple[str, dict[str, float | int | str | bool]]]:
    return [(part.fault, part.params) for part in level.parts]


def _good(slo: Slo) -> str:
    if slo.query:
        return f"{slo.query} at least {slo.at_least:g}"
    return f"{format_duration(slo.latency_s)}, {format_fraction(slo.objective)}"
