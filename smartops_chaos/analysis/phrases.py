"""Names, counts and numbers as the sentences of verdicts and warnings say them.

These sentences go to a terminal and into `summary.json` as well as on a page, so a number and its unit are joined by a
plain space. Pages format their own numbers with `analysis.words`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from smartops_chaos.model import Goal

NONE = "–"  # what cannot be given; never 0
GOALS: Mapping[Goal, str] = {"mttr_reduction": "MTTR reduction", "auto_heal": "auto-heal rate", "sla": "availability"}
_NAMES_IN_A_SENTENCE = 3


def percent(fraction: float) -> str:
    """0.423 -> "42.3 %", with a true minus sign."""
    return f"{100 * fraction:.1f} %".replace("-", "−")


def whole_percent(fraction: float) -> str:
    """An estimate in a sentence that has several: 0.634 -> "63 %"."""
    return f"{100 * fraction:.0f} %".replace("-", "−")


def stated_percent(fraction: float) -> str:
    """A percentage that somebody has set, not measured: 0.4 -> "40 %"."""
    return f"{100 * fraction:g} %"


def confidence_level(alpha: float) -> str:
    """Of the two-sided intervals that belong to one-sided tests at `alpha`: 0.025 -> "95 %"."""
    return f"{100 * (1 - 2 * alpha):g} %"


def p_value(p: float) -> str:
    """0.0123 -> "p = 0.0123"."""
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.4f}"


def plain(name: str) -> str:
    """`no_effect` -> "no effect"; only for words of this program, never for a user's names."""
    return name.replace("_", " ")


def listing(items: Iterable[str]) -> str:
    """Such as "a, b and c"."""
    *head, last = list(items) or [NONE]
    return f"{', '.join(head)} and {last}" if head else last


def first_names(names: Sequence[str]) -> str:
    """The same for many names, of which a sentence says three: "a, b, c and 4 more"."""
    more = len(names) - _NAMES_IN_A_SENTENCE
    return listing([*names[:_NAMES_IN_A_SENTENCE], *([f"{more} more"] if more > 0 else [])])


def tally(counts: Mapping[str, int]) -> str:
    """Such as "3 undetected, 1 denied", the largest first."""
    kept = sorted(((n, name) for name, n in counts.items() if n), key=lambda pair: (-pair[0], pair[1]))
    return ", ".join(f"{n} {plain(name)}" for n, name in kept) or NONE


def left_out(excluded: Mapping[str, Mapping[str, int]]) -> str:
    """`Summary.excluded`, arm -> reason -> trials, as a sentence."""
    parts = [f"{arm}: {tally(reasons)}" for arm, reasons in excluded.items() if any(reasons.values())]
    return "; ".join(parts) + "." if parts else "No trial."
