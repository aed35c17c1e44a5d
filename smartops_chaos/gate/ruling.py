"""What a rule came to, and how an answer is taken: shared by all that judge."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from smartops_chaos.gate.asking import Answers
from smartops_chaos.gate.questions import CLOCK

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
Ruling = Literal["open", "closed", "undecidable"]


@dataclass(frozen=True, slots=True)
class RuleResult:
    rule: str
    ruling: Ruling
    why: str
    opens_s: float | None = None  # before this moment the rule cannot be open, seconds since the epoch
    query: str = ""  # by which it was decided


class Unanswered(Exception):
    """A question that has no usable answer; the text says why."""


class Refused(Unanswered):
    """Evidence that is there and does not count, such as a forged record: nothing else may take its place."""


def answer_of(answers: Answers, key: str) -> Any:
    """Raises Unanswered for a question that was not asked, or not answered."""
    asked = answers.get(key)
    if asked is None:
        raise Unanswered(f"{key} was not asked")
    if asked.error:
        raise Unanswered(asked.error)
    return asked.answer


def clock_off_s(answers: Answers) -> float:
    """By how much a moment that another clock has stamped may be later than it says, in Prometheus' time."""
    asked = answers.get(CLOCK)
    return abs(asked.answer or 0.0) if asked else 0.0
