"""A healer file tried on log lines: what each rule matches, line by line, and which rules match nothing. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from smartops_chaos.model import LogLine
from smartops_chaos.schema.healerfile import HealerFile, LogRule
from smartops_chaos.timeline.rules import STATUS, label

# What stands before a line in files of `kubectl logs --timestamps --prefix` and of the container runtime.
_PREFIX = re.compile(
    r"(?:\[pod/[^\]]+\] )?(?:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d) (?:(?:stdout|stderr) [FP] )?)?"
)
_SHOWN = 300  # characters of a line


def rules_of(healer: HealerFile) -> list[tuple[str, LogRule]]:
    """Every rule of a healer file with what it tells, in the order of the file."""
    found = [(moment, rule) for moment, rules in healer.moments for rule in rules]
    listed: list[tuple[str, LogRule]] = [*found]
    listed += [(f"action {step}", rule) for step, rules in healer.actions for rule in rules]
    if healer.diagnosis is not None:
        listed.append(("diagnosis", healer.diagnosis))
    return [*listed, *((f"block {kind}", rule) for kind, rules in healer.blocks for rule in rules)]


def lines_of(text: str, component: str = "") -> list[LogLine]:
    """A file of log lines, without what `kubectl logs` or the container runtime has put before each; `at_ns` counts."""
    return [
        LogLine(number, component, line[prefix.end() :] if (prefix := _PREFIX.match(line)) else line)
        for number, line in enumerate(text.splitlines(), 1)
    ]


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of it, in sentences to print."""

    matches: tuple[str, ...]  # each line that a rule matches, and below it what was read
    counted: str
    doubts: tuple[str, ...]  # what a rule matches, but a trial would not read as it is meant
    silent: tuple[str, ...]  # rules that match no line
    untried: tuple[str, ...]  # rules that samples tell of

    def sentences(self) -> Iterator[str]:
        yield from self.matches
        yield self.counted
        yield from (f"WRONG: {one}" for one in self.doubts)
        yield from (f"matches nothing: {one}" for one in self.silent)
        yield from (f"not tried, since only samples show it: {one}" for one in self.untried)


def check(healer: HealerFile, lines: Sequence[LogLine]) -> Tried:
    """A line whose component is not known is tried with the rules of all components."""
    rules = rules_of(healer)
    counts = [0] * len(rules)
    matches: list[str] = []
    doubts: list[str] = []
    matched = 0
    for number, line in enumerate(lines, 1):
        by = list(_matching(rules, line))
        if by:
            matched += 1
            by_whom = f" of {line.component}" if line.component else ""
            matches.append(f"line {number}{by_whom}: {line.text[:_SHOWN]}")
        for index, groups in by:
            counts[index] += 1
            what, rule = rules[index]
            read = "".join(f", {name}={value}" for name, value in groups.items())
            causes = healer.diagnosis.causes_in(line.text) if rule is healer.diagnosis and healer.diagnosis else ()
            matches.append(f"    {what}: {label(rule)}{read}{f', causes={list(causes)}' if causes else ''}")
            if rule is healer.diagnosis and not causes:
                doubts.append(
                    f"line {number}: the rule of `diagnosis` matches it, but `causes` finds no cause in it. It is "
                    "searched in the line as it was written: mind its quotation marks and blanks"
                )
            status = groups.get("status", "")
            if what == "action end" and status.lower() not in STATUS:
                doubts.append(
                    f"line {number}: status={status} counts as failed. Known are {', '.join(STATUS)}: let the group "
                    "`status` read one of them, or say `means: {status: success}` where a line stands for success"
                )
    silent, untried = [], []
    for (what, rule), count in zip(rules, counts, strict=True):
        told = f"{what}: {label(rule)}{f' (component {rule.component})' if rule.component else ''}"
        if not rule.reads_lines:
            untried.append(told)
        elif not count:
            silent.append(told)
    counted = f"{matched} of {len(lines)} lines are matched by a rule"
    return Tried(tuple(matches), counted, tuple(doubts), tuple(silent), tuple(untried))


def _matching(rules: Iterable[tuple[str, LogRule]], line: LogLine) -> Iterator[tuple[int, dict[str, str]]]:
    for index, (_, rule) in enumerate(rules):
        if rule.reads_lines and (not line.component or rule.concerns(line.component)):
            groups = rule.match(line.text)
            if groups is not None:
                yield index, groups
