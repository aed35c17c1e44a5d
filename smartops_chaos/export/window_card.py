"""The card beside a campaign's windows: how much there is of what; the words are in templates/windows.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from string import Template

from smartops_chaos.export.windows import NORMAL, UNKNOWN
from smartops_chaos.model import Plan

_SPLITS = ("train", "validation", "test")
_CARD = files("smartops_chaos.export") / "windows.md"


@dataclass
class Metric:
    series: int = 0
    samples: int = 0
    gaps: int = 0  # between two samples of a series, and how long all of them are
    span_s: float = 0.0
    gives_away: str = ""  # how it gives the answer away; empty if it does not


@dataclass
class Contents:
    """What the files hold, counted while they are written."""

    trials: Counter[tuple[str, str]] = field(default_factory=Counter)  # (family, split)
    windows: Counter[tuple[str, str]] = field(default_factory=Counter)  # (label, split)
    samples: Counter[tuple[str, str]] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)  # why -> trials
    metrics: dict[tuple[str, str], Metric] = field(default_factory=dict)  # (name, job)


def text(campaign: str, plan: Plan, contents: Contents) -> str:
    """The card in Markdown."""
    labels = sorted({label for label, _ in contents.windows}, key=lambda name: (name != NORMAL, name == UNKNOWN, name))
    families = sorted({family for family, _ in contents.trials})
    given = dict.fromkeys(
        f"`{name}` ({metric.gives_away})" for (name, _), metric in sorted(contents.metrics.items()) if metric.gives_away
    )
    return Template(_CARD.read_text(encoding="utf-8")).substitute(
        campaign=campaign,
        digest=plan.digest,
        seed=plan.seed,
        target=plan.target.get("kind", ""),
        trials=_counts("trials of the family", families, contents.trials),
        windows=_counts("windows with the label", labels, contents.windows),
        samples=_counts("samples with the label", labels, contents.samples),
        left_out=left_out(contents) or "none",
        given=", ".join(given) or "none",
    )


def left_out(contents: Contents) -> str:
    """How many trials have no windows, and why."""
    return "; ".join(f"{n} {why}" for why, n in sorted(contents.left_out.items()))


def _counts(head: str, names: Sequence[str], counts: Mapping[tuple[str, str], int]) -> str:
    lines = [f"| {head} | {' | '.join(_SPLITS)} |", "|---|" + "---:|" * len(_SPLITS)]
    lines += [f"| {name} | " + " | ".join(str(counts.get((name, s), 0)) for s in _SPLITS) + " |" for name in names]
    return "\n".join(lines)
