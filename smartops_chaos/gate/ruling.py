"""What a rule came to, and how an answer is taken: shared by all that judge."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from smartops_chaos.gate.asking import Answers

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


def answer_of(answers: Answers, key: str) -> Any:
    """Raises Unanswered for a question that was not asked, or not answered."""
    asked = answers.get(key)
    if asked is None:
        raise Unanswered(f"{key} was not asked")
    if asked.error:
        raise Unanswered(asked.error)
    return asked.answer
