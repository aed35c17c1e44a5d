"""The numbers as Prometheus' text format, for node_exporter's textfile collector. Summary in, text out.

Each number has a name of its own, its bounds `_lower_` and `_upper_` beside it; what cannot be given is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import get_args

from smartops_chaos.analysis.headlines import HEADLINES
from smartops_chaos.analysis.summary import Decision, Summary
from smartops_chaos.errors import UsageError
from smartops_chaos.model import Arm

Labels = Mapping[str, str]

# Of each headline the unit, and what it is.
_HELP = {
    "mttr": ("seconds", "Restricted mean time to recover"),
    "mttr_reduction": ("ratio", "Reduction of the mean time to recover against the baseline"),
    "auto_heal": ("ratio", "Share of incidents that ended without a person"),
    "availability": ("ratio", "Availability over the matrix's service window"),
}


def text(summary: Summary) -> str:
    """One family after another, each with its HELP and TYPE. Raises UsageError for a simulated campaign."""
    if summary.simulated:
        what = f"{summary.campaign} is simulated: a dashboard could not tell its numbers from measured ones"
        raise UsageError(what, "leave out --prometheus")
    return "".join(_families(summary))


def _families(summary: Summary) -> Iterator[str]:
    def labels(arm: Arm, **more: str) -> Labels:
        return {"campaign": summary.campaign, "model": arm.model, "policy": arm.policy, **more}

    arms = [(labels(arm.arm), arm) for arm in summary.arms]
    counted = "Trials with a confirmed fault: the denominator of everything about time."
    yield _family("trials", "Trials recorded.", [(of, arm.trials) for of, arm in arms])
    yield _family("trials_counted", counted, [(of, arm.counted) for of, arm in arms])
    for name, (unit, told) in _HELP.items():
        bounded = [(of, HEADLINES[name](summary, arm)) for of, arm in arms]
        for i, (part, bound) in enumerate((("", ""), ("_lower", ", lower bound"), ("_upper", ", upper bound"))):
            yield _family(f"{name}{part}_{unit}", f"{told}{bound}.", [(of, values[i]) for of, values in bounded])
    judged = [(labels(v.arm, target=v.target), v) for v in summary.verdicts]
    decides = "The one-sided lower confidence bound that decides a target."
    yield _family("target_ratio", "What the matrix wants at least.", [(of, v.wanted) for of, v in judged])
    yield _family("verdict_bound_ratio", decides, [(of, v.bound) for of, v in judged])
    each = [({**of, "verdict": name}, v.verdict == name) for of, v in judged for name in get_args(Decision)]
    yield _family("verdict", "1 for the verdict that holds, 0 for the others.", each)


def _family(name: str, told: str, samples: Iterable[tuple[Labels, float | None]]) -> str:
    """A gauge with its samples, but for those without a value; nothing without any."""
    full, lines = f"smartops_chaos_{name}", ""
    for labels, value in samples:
        if value is not None:
            shown = ",".join(f'{key}="{_escaped(label)}"' for key, label in labels.items())
            lines += f"{full}{{{shown}}} {float(value)!r}\n"
    return f"# HELP {full} {told}\n# TYPE {full} gauge\n{lines}" if lines else ""


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
