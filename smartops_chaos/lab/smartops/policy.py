"""The policy language of SmartOps: text -> policies -> the one that answers a signal. Pure.

POLICY "name":
  WHEN anomaly.type == "error" AND anomaly.score >= 0.5
  THEN restart(service)          # or scale(service, 4)
  PRIORITY 100
"""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Value = str | float

FIELDS = ("anomaly.type", "anomaly.score", "rca.cause", "rca.probability", "k8s.replicas.current", "remediation.level")
OPERATORS: Mapping[str, Callable[[Value, Value], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}

_ACTION = re.compile(r"(restart)\(\s*service\s*\)|(scale)\(\s*service\s*,\s*(\d+)\s*\)")
# The parts of a policy in their order, with what to say where one is missing.
_PARTS = (
    (re.compile(r'POLICY\s+"([^"\n]+)"\s*:'), 'POLICY "name":'),
    (re.compile(r"WHEN\b"), "WHEN"),
    (re.compile(r"THEN\b"), "THEN, or AND with another condition"),
    (_ACTION, "restart(service) or scale(service, N)"),
    (re.compile(r"PRIORITY\s+(\d+)\b"), "PRIORITY and a whole number"),
)
_CONDITION = re.compile(r'([A-Za-z_][\w.]*)\s*(==|!=|>=|<=|>|<)\s*(?:"([^"\n]*)"|(-?\d+(?:\.\d+)?)\b)')
_AND = re.compile(r"AND\b")
_GAP = re.compile(r"(?:\s+|#[^\n]*)*")


class PolicyError(ValueError):
    """`line:column: what is wrong`."""


@dataclass(frozen=True, slots=True)
class Condition:
    field: str
    op: str
    value: Value

    def holds(self, signal: Mapping[str, Value]) -> bool:
        """False when the signal lacks the field or the two cannot be compared."""
        found = signal.get(self.field)
        if found is None or isinstance(found, str) != isinstance(self.value, str):
            return False
        return OPERATORS[self.op](found, self.value)


@dataclass(frozen=True, slots=True)
class Policy:
    name: str
    conditions: tuple[Condition, ...]
    action: str  # restart or scale
    replicas: int | None  # of a scale
    priority: int


def decide(policies: Sequence[Policy], signal: Mapping[str, Value]) -> Policy | None:
    """The matching policy of the highest priority; the first in the file among equals."""
    matching = [policy for policy in policies if all(condition.holds(signal) for condition in policy.conditions)]
    return max(matching, key=lambda policy: policy.priority, default=None)


def parse_policies(text: str) -> tuple[Policy, ...]:
    """At least one policy, each with a name of its own. Raises PolicyError."""
    reader, policies = _Reader(text), list[Policy]()
    while not policies or not reader.at_end:
        start = reader.offset
        policies.append(_policy(reader))
        if policies[-1].name in [policy.name for policy in policies[:-1]]:
            raise reader.error(start, f"there is a policy {policies[-1].name!r} already")
    return tuple(policies)


def _policy(reader: _Reader) -> Policy:
    head, when, then, action, priority = _PARTS
    name = reader.take(*head)[1]
    reader.take(*when)
    conditions = [_condition(reader)]
    while reader.take_if(_AND):
        conditions.append(_condition(reader))
    reader.take(*then)
    what = reader.take(*action)
    replicas = int(what[3]) if what[3] else None
    return Policy(name, tuple(conditions), what[1] or what[2], replicas, int(reader.take(*priority)[1]))


def _condition(reader: _Reader) -> Condition:
    start = reader.offset
    field, op, text, number = reader.take(_CONDITION, 'a condition such as anomaly.type == "error"').groups()
    if field not in FIELDS:
        close = difflib.get_close_matches(field, FIELDS, 1)
        hint = f"did you mean {close[0]}?" if close else f"use one of {', '.join(FIELDS)}"
        raise reader.error(start, f"there is no field {field!r}: {hint}")
    return Condition(field, op, float(number) if number is not None else text)


class _Reader:
    """A place in the text; gaps and comments are skipped before every part."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.offset = 0
        self._skip()

    @property
    def at_end(self) -> bool:
        return self.offset == len(self._text)

    def take_if(self, part: re.Pattern[str]) -> re.Match[str] | None:
        match = part.match(self._text, self.offset)
        if match:
            self.offset = match.end()
            self._skip()
        return match

    def take(self, part: re.Pattern[str], what: str) -> re.Match[str]:
        if match := self.take_if(part):
            return match
        rest = self._text[self.offset :].split("\n", 1)[0].strip()
        raise self.error(
            self.offset, f"expected {what}, found {rest[:40]!r}" if rest else f"expected {what} before the end"
        )

    def error(self, offset: int, what: str) -> PolicyError:
        before = self._text[:offset]
        return PolicyError(f"{before.count(chr(10)) + 1}:{offset - before.rfind(chr(10))}: {what}")

    def _skip(self) -> None:
        gap = _GAP.match(self._text, self.offset)
        self.offset = gap.end() if gap else self.offset
