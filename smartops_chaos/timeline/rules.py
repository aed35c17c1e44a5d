"""What the healer did: the healer file's rules on log lines and samples -> events, actions, diagnosis, blocks.

Which match is meant: `detected` is the first after the injection; `diagnosed` and `decided` the first at or after the
detection, in either order, since a policy may act on the anomaly alone; `acted` is the end of the first action that
succeeded on what the fault hit, `verified` its verification. An interval that begins before the injection counts for
nothing: a counter that rose between two scrapes may have risen before there was anything to detect. Nothing after the
end of observation is read, because then the harness itself puts things right.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from smartops_chaos.model import MOMENTS, Action, Call, Event, Evidence, Health, Interval, LogLine, Series, Timeline
from smartops_chaos.schema.healerfile import OF_KUBERNETES, HealerFile, LogRule, Rule
from smartops_chaos.timeline.interval import Frame, combine, fired, firings, increases, offset_of, shift

NODE_CLOCK, METRICS_CLOCK = "node", "prometheus"

OWN_CALL = "own call"

# Prometheus writes these itself, also when a scrape failed and for what is not scraped at all.
_NOT_SCRAPED = re.compile(r"up|scrape_.*|ALERTS|ALERTS_FOR_STATE")

Status = Literal["success", "failed", "skipped", "blocked", "dry_run", "running"]

# What a healer says of how a call ended; every other word means that it failed.
STATUS: dict[str, Status] = {
    "success": "success",
    "failed": "failed",
    "skipped": "skipped",
    "blocked": "blocked",
    "guardrail_blocked": "blocked",
    "dry_run": "dry_run",
    "dryrun": "dry_run",
}


@dataclass(frozen=True, slots=True)
class Match:
    at: Interval  # on the runner's clock
    stamp_ns: int  # as received
    raw: str  # the line, or the series
    groups: dict[str, str]
    samples: str = ""  # of a counter: what it was and what it became


@dataclass(frozen=True, slots=True)
class RuleMatches:
    """All that a rule matched in the evidence, in order of time; also what lies before the injection."""

    what: str  # moment, or part of an action's life, or kind of block
    rule: str
    matches: tuple[Match, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    events: dict[str, Event]
    actions: tuple[Action, ...]
    causes: tuple[str, ...]
    policy_rule: str
    blocks: dict[str, int]  # guardrail, cooldown, denied
    conflicts: tuple[str, ...]
    matches: tuple[RuleMatches, ...]
    perhaps_before: bool  # something was detected at the injection or just before it, and nothing at once after it

    def timeline(self, events: Mapping[str, Event], health: Health) -> Timeline:
        """With these events, which have the rules' own among them, in the order of a repair."""
        return Timeline(
            events={moment: events[moment] for moment in MOMENTS if moment in events},
            actions=self.actions,
            health=health,
            causes=self.causes,
            policy_rule=self.policy_rule,
            guardrail_blocks=self.blocks["guardrail"],
            cooldown_skips=self.blocks["cooldown"],
            conflicts=self.conflicts,
            perhaps_before=self.perhaps_before,
        )


def hits(target: str, objects: Iterable[str]) -> bool:
    """Whether an action on "<namespace>/<deployment>" touches one of the objects "<controller>/<pod>"."""
    deployment = target.rpartition("/")[2]
    controllers = (name.rpartition("/")[0] or name for name in objects)
    return any(one.rpartition("/")[2] == deployment for one in controllers)


def read(evidence: Evidence, healer: HealerFile, frame: Frame) -> Reading:
    """Everything that the rules find between the injection and the end of observation."""
    source = _Source(evidence, frame.until_ns, healer.trace)
    found: list[RuleMatches] = []
    moments: dict[str, list[RuleMatches]] = {}
    for moment, rules in healer.moments:
        moments[moment] = [RuleMatches(moment, label(rule), source.find(rule)) for rule in rules]
        found += moments[moment]

    steps = [RuleMatches(step, label(rule), source.find(rule)) for step, rules in healer.actions for rule in rules]
    lives = _lives(steps, frame.injected.lo_ns)
    blocks: dict[str, int] = {}
    for kind, rules in healer.blocks:
        lines = [RuleMatches(kind, label(rule), source.find(rule)) for rule in rules]
        blocks[kind] = sum(1 for one in lines for _ in _since(one, frame.injected.lo_ns))
        found += lines
    found += steps

    events: dict[str, Event] = {}
    conflicts: list[str] = []

    def add(moment: str, after_ns: int, own: tuple[str, Match] | None = None) -> int:
        sources = [own] if own else []
        sources += _sources(moments[moment], after_ns, frame.injected.lo_ns)
        if not sources:
            return after_ns
        events[moment], clash = _event(moment, sources, after_ns)
        conflicts.extend(clash)
        return events[moment].at.lo_ns

    ours = _own_repairs(evidence.calls)
    if ours:
        lives += ours
        found.append(RuleMatches("action", OWN_CALL, tuple(life.start for life in ours)))
    begun = ours[0].told(ours[0].start) if ours else None
    detected_ns = add("detected", frame.injected.lo_ns, begun)
    add("diagnosed", detected_ns)
    add("decided", detected_ns, begun)
    objects = {name for fact in evidence.faults for name in fact.objects}
    done = [life for life in lives if life.status == "success"]
    first = next((life for life in done if not objects or hits(life.target, objects)), None)
    if first or not done:
        acted_ns = add(
            "acted", first.start.at.lo_ns if first else detected_ns, first.told(first.end) if first else None
        )
        add("verified", acted_ns, first.told(first.verified) if first else None)

    causes: tuple[str, ...] = ()
    if healer.diagnosis is not None:
        answers = RuleMatches("diagnosis", label(healer.diagnosis), source.find(healer.diagnosis))
        found.append(answers)
        if line := next(_since(answers, detected_ns), None):
            causes = healer.diagnosis.causes_in(line.raw)
    policy = events["decided"].detail.get("policy", "") if "decided" in events else ""
    actions = tuple(life.action() for life in lives)
    doubtful = [
        match.at
        for one in moments["detected"]
        for match in _since(one, frame.injected.lo_ns)
        if match.at.lo_ns < frame.injected.lo_ns
    ]
    seen = events["detected"].at if "detected" in events else None
    perhaps_before = any(seen is None or at.hi_ns < seen.lo_ns for at in doubtful)
    return Reading(events, actions, causes, policy, blocks, tuple(conflicts), tuple(found), perhaps_before)


class _Source:
    """The evidence, prepared once for all rules."""

    def __init__(self, evidence: Evidence, until_ns: int, trace: str | None) -> None:
        self._trace = re.compile(trace) if trace else None
        self._series = evidence.series
        self._alert_rules = {rule.name: rule for rule in evidence.alert_rules}
        self._scrape_ns = round(evidence.scrape_s * 1e9)
        self._metrics_offset = offset_of(evidence.clocks, METRICS_CLOCK)
        self._log_offset = offset_of(evidence.clocks, NODE_CLOCK)
        self._until_ns = until_ns
        self._lines: dict[str | None, list[LogLine]] = {None: sorted(evidence.logs, key=lambda line: line.at_ns)}
        for line in self._lines[None]:
            self._lines.setdefault(line.component, []).append(line)
        self._lines[None] = [line for line in self._lines[None] if not line.component.startswith(OF_KUBERNETES)]
        self._scrapes: dict[tuple[str, str], list[int]] = {}

    def find(self, rule: Rule | LogRule) -> tuple[Match, ...]:
        if rule.reads_lines:
            found = self._in_logs(rule)
        elif isinstance(rule, Rule) and rule.alert is not None:
            found = self._in_alerts(rule.alert, rule.labels)
        else:
            found = self._in_series(rule)
        return tuple(sorted((m for m in found if m.at.lo_ns <= self._until_ns), key=lambda m: (m.at.hi_ns, m.at.lo_ns)))

    def _in_logs(self, rule: LogRule) -> Iterable[Match]:
        for line in self._lines.get(rule.component, ()):
            if (groups := rule.match(line.text)) is not None:
                at = shift(Interval(line.at_ns, line.at_ns + max(0, line.cut_ns - 1)), self._log_offset)
                yield Match(at, line.at_ns, line.text, groups | self._trace_in(line.text))

    def _trace_in(self, line: str) -> dict[str, str]:
        """The ID of the trace that the line belongs to; of zeros alone means none (W3C Trace Context, 3.2.2.3)."""
        found = self._trace.search(line) if self._trace else None
        return {"trace": found["trace"]} if found and found["trace"].strip("0") else {}

    def _in_series(self, rule: Rule | LogRule) -> Iterable[Match]:
        if not isinstance(rule, Rule):
            return
        for series in self._series:
            if series.name == rule.increase and rule.labels.items() <= series.labels.items():
                for stamp_ns, at in increases(series, self._scrapes_of(series), self._scrape_ns):
                    samples = _samples(series, stamp_ns)
                    yield Match(shift(at, self._metrics_offset), stamp_ns, _shown(series), {}, samples)

    def _in_alerts(self, name: str, labels: Mapping[str, str]) -> Iterable[Match]:
        rule = self._alert_rules.get(name)
        wanted = {**labels, "alertname": name, "alertstate": "firing"}
        for series in self._series:
            if rule is not None and series.name == "ALERTS" and wanted.items() <= series.labels.items():
                for stamp_ns in firings(series, rule):
                    at = fired(stamp_ns, rule, self._scrape_ns)
                    yield Match(shift(at, self._metrics_offset), stamp_ns, _shown(series), {})

    def _scrapes_of(self, series: Series) -> list[int]:
        """Stamps at which the same process was scraped; they show where `series` was absent, and not just missed."""
        process = process_of(series)
        if process not in self._scrapes:
            stamps: set[int] = set()
            for other in self._series:
                if process_of(other) != process:
                    continue
                if not _NOT_SCRAPED.fullmatch(other.name):
                    stamps.update(other.at_ns)
                elif other.name == "up":
                    stamps.update(at for at, value in zip(other.at_ns, other.values, strict=True) if value == 1)
            self._scrapes[process] = sorted(stamps)
        return self._scrapes[process]


def process_of(series: Series) -> tuple[str, str]:
    """Job and instance: what was scraped."""
    return series.labels.get("job", ""), series.labels.get("instance", "")


def _samples(series: Series, stamp_ns: int) -> str:
    """ "2 -> 3": the sample before, if there is one, and the one that shows the increase."""
    i = bisect_left(series.at_ns, stamp_ns)
    return f"{f'{series.values[i - 1]:g}' if i else 'absent'} -> {series.values[i]:g}"


def _shown(series: Series) -> str:
    return f"{series.name}{{{', '.join(f'{key}={value}' for key, value in sorted(series.labels.items()))}}}"


def label(rule: Rule | LogRule) -> str:
    if rule.reads_lines:
        fields = ", ".join(f"{field}: {pattern}" for field, pattern in rule.fields.items())
        return "log " + " ".join(part for part in (rule.log or "", f"{{{fields}}}" if fields else "") if part)
    assert isinstance(rule, Rule)
    labels = ", ".join(f"{key}={value}" for key, value in rule.labels.items())
    return f"alert {rule.alert}{{{labels}}}" if rule.alert else f"increase of {rule.increase}{{{labels}}}"


def metrics_told(source: str) -> bool:
    """Of one of an event's sources: whether samples told it, and not a log line."""
    return not source.startswith("log ")


def _since(rule: RuleMatches, from_ns: int) -> Iterator[Match]:
    return (match for match in rule.matches if match.at.hi_ns >= from_ns)


def _sources(rules: Sequence[RuleMatches], after_ns: int, injected_ns: int) -> list[tuple[str, Match]]:
    """Of each rule the first match at or after `after_ns`, but for what may have been before the injection.

    Where another rule tells more exactly that it was after it, the doubtful one speaks of the same and adds nothing.
    """
    firsts = [(one, next(_since(one, after_ns), None)) for one in rules]
    told_ns = min((match.at.lo_ns for _, match in firsts if match and match.at.lo_ns >= injected_ns), default=None)
    found = []
    for one, match in firsts:
        if match and match.at.lo_ns < injected_ns:
            if told_ns is not None and told_ns <= match.at.hi_ns:
                continue
            match = next((later for later in _since(one, after_ns) if later.at.lo_ns >= injected_ns), None)
        if match:
            found.append((one.rule, match))
    return found


def _event(moment: str, sources: Sequence[tuple[str, Match]], after_ns: int) -> tuple[Event, list[str]]:
    """All sources of a moment as one event, and what they contradict each other in. No source dates it too early."""
    spans = [Interval(max(match.at.lo_ns, after_ns), max(match.at.hi_ns, after_ns)) for _, match in sources]
    at, clash = combine(spans)
    detail = {name: value for _, match in sources for name, value in match.groups.items()}
    first = sources[0][1]
    event = Event(moment, at, tuple(rule for rule, _ in sources), f"{first.stamp_ns} {first.raw}", detail)
    if not clash:
        return event, []
    told = " but ".join(
        f"{rule} says {span.lo_ns} to {span.hi_ns}" for (rule, _), span in zip(sources, spans, strict=True)
    )
    return event, [f"{moment}: {told}"]


@dataclass(slots=True)
class _Life:
    """An action while its lines are read."""

    kind: str
    target: str
    start: Match
    end: Match | None = None
    verified: Match | None = None
    status: Status = "running"
    source: str = "log of the action"

    def told(self, match: Match | None) -> tuple[str, Match] | None:
        """A moment of this action as a source of an event."""
        return (self.source, match) if match else None

    def action(self) -> Action:
        end, verified = (None if match is None else match.at for match in (self.end, self.verified))
        return Action(self.kind, self.target, self.start.at, end, verified, self.status)


def _own_repairs(calls: Iterable[Call]) -> list[_Life]:
    """What the trial itself did in an arm of reference (`trial.reference`), between two readings of our own clock."""
    lives = []
    for call in calls:
        for one in call.output or () if call.what == "repair" and call.ok else ():
            what = f"{one['kind']} {one['target']}"
            start, end = (Match(Interval(ns, ns), ns, what, {}) for ns in (call.at.lo_ns, call.at.hi_ns))
            lives.append(_Life(one["kind"], one["target"], start, end, None, "success", OWN_CALL))
    return lives


def _lives(steps: Sequence[RuleMatches], from_ns: int) -> list[_Life]:
    """The actions since `from_ns`. `end` is set only where the call succeeded, whatever its verification said."""
    lives: list[_Life] = []
    lines = [(match, order, one.what) for order, one in enumerate(steps) for match in _since(one, from_ns)]
    for match, _, step in sorted(lines, key=lambda line: (line[0].stamp_ns, line[1])):
        kind, target = match.groups.get("kind"), match.groups.get("target")
        same = [life for life in lives if kind in (None, life.kind) and target in (None, life.target)]
        if step == "start" or (step == "end" and not [life for life in same if life.status == "running"]):
            same = [_Life(str(kind), str(target), match)]
            lives += same
        if step == "end":
            life = next(life for life in reversed(same) if life.status == "running")
            life.status = STATUS.get(match.groups["status"].lower(), "failed")
            if life.status == "success":
                life.end = match
        elif step == "verified" and same and same[-1].end:
            same[-1].verified = same[-1].verified or match
        elif step in ("failed", "blocked") and same:
            same[-1].status = "failed" if step == "failed" else "blocked"
    return lives
