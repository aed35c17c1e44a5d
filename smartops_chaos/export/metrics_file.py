"""The numbers as Prometheus' text format, for node_exporter's textfile collector. Summary in, text out.

Each number has a name of its own, its bounds `_lower_` and `_upper_` beside it; what cannot be given is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import get_args

from smartops_chaos.analysis.sentences import deciding
from smartops_chaos.analysis.summary import Decision, Summary

Sample = tuple[Mapping[str, str], float | None]


def text(summary: Summary) -> str:
    """One family after another, each with its HELP and TYPE."""
    return "".join(_family(summary.campaign, name, told, samples) for name, told, samples in _families(summary))


def _families(summary: Summary) -> Iterable[tuple[str, str, list[Sample]]]:
    arms = [({"model": a.model, "policy": a.policy}, a) for a in summary.arms]
    reductions = [
        ({"model": c.arm.model, "policy": c.arm.policy}, c.mttr_reduction)
        for a in summary.arms
        if (c := deciding(summary, a.arm)) is not None
    ]
    yield "trials", "Trials recorded.", [(labels, a.trials) for labels, a in arms]
    yield (
        "trials_counted",
        "Trials with a confirmed fault: the denominator of everything about time.",
        [(labels, a.counted) for labels, a in arms],
    )
    yield from _bounded(
        "mttr",
        "seconds",
        "Restricted mean time to recover",
        [(labels, (a.mttr.rmst_s, a.mttr.lo, a.mttr.hi)) for labels, a in arms],
    )
    yield from _bounded(
        "mttr_reduction",
        "ratio",
        "Reduction of the mean time to recover against the baseline",
        [(labels, (r.estimate, r.lo, r.hi)) for labels, r in reductions],
    )
    yield from _bounded(
        "auto_heal",
        "ratio",
        "Share of incidents that ended without a person",
        [(labels, (a.auto_heal.no_human, a.auto_heal.lo, a.auto_heal.hi)) for labels, a in arms],
    )
    yield from _bounded(
        "availability",
        "ratio",
        "Availability over the matrix's service window",
        [(labels, (a.sla.availability, a.sla.lo, a.sla.hi)) for labels, a in arms],
    )
    judged = [({"model": v.arm.model, "policy": v.arm.policy, "target": v.target}, v) for v in summary.verdicts]
    yield "target_ratio", "What the matrix wants at least.", [(labels, v.wanted) for labels, v in judged]
    yield (
        "verdict_bound_ratio",
        "The one-sided lower confidence bound that decides a target.",
        [(labels, v.bound) for labels, v in judged],
    )
    yield (
        "verdict",
        "1 for the verdict that holds, 0 for the others.",
        [({**labels, "verdict": d}, float(v.verdict == d)) for labels, v in judged for d in get_args(Decision)],
    )


def _bounded(
    name: str, unit: str, told: str, found: list[tuple[dict[str, str], tuple[float | None, ...]]]
) -> Iterable[tuple[str, str, list[Sample]]]:
    for i, (infix, which) in enumerate((("", ""), ("_lower", ", lower bound"), ("_upper", ", upper bound"))):
        yield f"{name}{infix}_{unit}", f"{told}{which}.", [(labels, values[i]) for labels, values in found]


def _family(campaign: str, name: str, told: str, samples: list[Sample]) -> str:
    full = f"smartops_chaos_{name}"
    lines = [f"# HELP {full} {told}", f"# TYPE {full} gauge"]
    for labels, value in samples:
        if value is not None:
            shown = ",".join(f'{key}="{_escaped(label)}"' for key, label in {"campaign": campaign, **labels}.items())
            lines.append(f"{full}{{{shown}}} {float(value)!r}")
    return "\n".join(lines) + "\n" if len(lines) > 2 else ""


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
