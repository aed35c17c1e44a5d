"""The numbers as Prometheus' text format, for node_exporter's textfile collector. Summary in, text out.

Each number has a name of its own, its bounds `_lower_` and `_upper_` beside it; what cannot be given is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar, get_args

from smartops_chaos.analysis.summary import Decision, Summary
from smartops_chaos.model import Arm

_Subject = TypeVar("_Subject")
_Labelled = Sequence[tuple[Mapping[str, str], _Subject]]  # what samples are about, with the labels of each
_Bounded = tuple[float | None, float | None, float | None]  # value, lower and upper bound


def text(summary: Summary) -> str:
    """One family after another, each with its HELP and TYPE."""
    return "".join(_families(summary))


def _families(summary: Summary) -> Iterable[str]:
    def labels(arm: Arm, **more: str) -> Mapping[str, str]:
        return {"campaign": summary.campaign, "model": arm.model, "policy": arm.policy, **more}

    arms = [(labels(a.arm), a) for a in summary.arms]
    compared = [(labels(a.arm), c.mttr_reduction) for a in summary.arms if (c := summary.deciding(a.arm))]
    judged = [(labels(v.arm, target=v.target), v) for v in summary.verdicts]
    possible = [({**of, "verdict": name}, v.verdict == name) for of, v in judged for name in get_args(Decision)]
    yield _family("trials", "Trials recorded.", arms, lambda a: a.trials)
    yield _family(
        "trials_counted",
        "Trials with a confirmed fault: the denominator of everything about time.",
        arms,
        lambda a: a.counted,
    )
    yield _bounded(
        "mttr", "seconds", "Restricted mean time to recover", arms, lambda a: (a.mttr.rmst_s, a.mttr.lo, a.mttr.hi)
    )
    yield _bounded(
        "mttr_reduction",
        "ratio",
        "Reduction of the mean time to recover against the baseline",
        compared,
        lambda r: (r.estimate, r.lo, r.hi),
    )
    yield _bounded(
        "auto_heal",
        "ratio",
        "Share of incidents that ended without a person",
        arms,
        lambda a: (a.auto_heal.no_human, a.auto_heal.lo, a.auto_heal.hi),
    )
    yield _bounded(
        "availability",
        "ratio",
        "Availability over the matrix's service window",
        arms,
        lambda a: (a.sla.availability, a.sla.lo, a.sla.hi),
    )
    yield _family("target_ratio", "What the matrix wants at least.", judged, lambda v: v.wanted)
    yield _family(
        "verdict_bound_ratio",
        "The one-sided lower confidence bound that decides a target.",
        judged,
        lambda v: v.bound,
    )
    yield _family("verdict", "1 for the verdict that holds, 0 for the others.", possible, float)


def _bounded(
    name: str, unit: str, told: str, subjects: _Labelled[_Subject], read: Callable[[_Subject], _Bounded]
) -> str:
    """Three families: a value and its bounds."""
    return (
        _family(f"{name}_{unit}", f"{told}.", subjects, lambda subject: read(subject)[0])
        + _family(f"{name}_lower_{unit}", f"{told}, lower bound.", subjects, lambda subject: read(subject)[1])
        + _family(f"{name}_upper_{unit}", f"{told}, upper bound.", subjects, lambda subject: read(subject)[2])
    )


def _family(name: str, told: str, subjects: _Labelled[_Subject], read: Callable[[_Subject], float | None]) -> str:
    """A gauge with a sample for each subject that has a value; nothing without any."""
    full = f"smartops_chaos_{name}"
    samples = ""
    for labels, subject in subjects:
        if (value := read(subject)) is not None:
            shown = ",".join(f'{key}="{_escaped(label)}"' for key, label in labels.items())
            samples += f"{full}{{{shown}}} {float(value)!r}\n"
    return f"# HELP {full} {told}\n# TYPE {full} gauge\n{samples}" if samples else ""


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
