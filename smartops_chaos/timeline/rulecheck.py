"""A healer file tried on log lines: what each rule matches, line by line, and which rules match nothing. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from smartops_chaos.model import LogLine
from smartops_chaos.schema.healerfile import HealerFile, LogRule
from smartops_chaos.timeline.rules import label

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


def told(healer: HealerFile, lines: Sequence[LogLine]) -> Iterator[str]:
    """What to print. A line whose component is not known is tried with the rules of all components."""
    rules = rules_of(healer)
    counts = [0] * len(rules)
    matched = 0
    for number, line in enumerate(lines, 1):
        by = list(_matching(rules, line))
        if by:
            matched += 1
            yield f"line {number}{f' of {line.component}' if line.component else ''}: {line.text[:_SHOWN]}"
        for index, groups in by:
            counts[index] += 1
            what, rule = rules[index]
            causes = (
                [found["cause"] for found in re.finditer(healer.diagnosis.causes, line.text)]
                if (healer.diagnosis is not None and rule is healer.diagnosis)
                else []
            )
            read = "".join(f", {name}={value}" for name, value in groups.items())
            yield f"    {what}: {label(rule)}{read}{f', causes={causes}' if causes else ''}"
    yield f"{matched} of {len(lines)} lines are matched by a rule"
    for (what, rule), count in zip(rules, counts, strict=True):
        component = f" (component {rule.component})" if rule.component else ""
        if not rule.reads_lines:
            yield f"not tried, since lines do not show it: {what}: {label(rule)}"
        elif not count:
            yield f"matches nothing: {what}: {label(rule)}{component}"


def _matching(rules: Iterable[tuple[str, LogRule]], line: LogLine) -> Iterator[tuple[int, dict[str, str]]]:
    for index, (_, rule) in enumerate(rules):
        if rule.reads_lines and (not line.component or rule.concerns(line.component)):
            groups = rule.match(line.text)
            if groups is not None:
                yield index, groups
