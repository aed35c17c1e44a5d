"""Rules and answers -> a decision. Pure: the same answers give the same decision, today and in a year.

Each rule is `open`, `closed` or `undecidable`: one that cannot be judged for want of data is never open. Time under
test is taken out of alerts, SLO and spikes, and told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from smartops_chaos.gate import mttr, questions, workloads
from smartops_chaos.gate.asking import Answers, stamp
from smartops_chaos.gate.grid import Grid, GridLine, Stretch, gaps, increases, lines, most_within, stretches
from smartops_chaos.gate.ruling import DIGEST, Refused, RuleResult, Ruling, Unanswered, answer_of, clock_off_s
from smartops_chaos.schema.gatefile import (
    AlertsRule,
    EnvironmentRules,
    GoldenRule,
    MttrRule,
    SloRule,
    SpikesRule,
    WitnessRule,
)
from smartops_chaos.schema.units import format_duration, format_fraction, spoken_duration

_BEFORE = -1  # the slot before the window: what counters were, and who watched
_SHOWN = 3  # of a list in a sentence


@dataclass(frozen=True, slots=True)
class TestedTime:
    start_s: float
    end_s: float
    fault: str


@dataclass(frozen=True, slots=True)
class GateDecision:
    environment: str
    at_s: float
    start_s: float
    results: tuple[RuleResult, ...]
    tested: tuple[TestedTime, ...]
    tested_share: float

    @property
    def ruling(self) -> Ruling:
        """Closed if any rule is: what is known to be bad does not wait for what is not known."""
        found = {one.ruling for one in self.results}
        return "closed" if "closed" in found else "undecidable" if "undecidable" in found else "open"

    @property
    def opens_s(self) -> float | None:
        """The earliest moment at which it can be open, if nothing else happens until then; None: no rule tells."""
        return max((one.opens_s for one in self.results if one.opens_s is not None), default=None)


def slots_of(rules: EnvironmentRules) -> int:
    return round(rules.window / rules.step)


def judge(environment: str, rules: EnvironmentRules, at_s: float, answers: Answers) -> GateDecision:
    """What is decided of an environment by the answers for the window that ends at `at_s`."""
    grid = Grid(at_s, rules.step, slots_of(rules))
    told = _Told(grid, answers)
    covered: frozenset[int] = frozenset()
    try:
        witness, covered = _witness(rules.witness, told)
    except Unanswered as error:
        witness = RuleResult("witness", "undecidable", str(error))
    results = [witness]
    tested: frozenset[int] = frozenset()
    spans: tuple[TestedTime, ...] = ()
    try:
        tested, spans = _tested(rules, told)
        results += _tests(rules, grid, tested)
    except Unanswered as error:
        results.append(RuleResult("tests", "undecidable", str(error)))
    judged: list[tuple[str, Callable[[], RuleResult]]] = []
    if (of_workloads := rules.workloads) is not None:
        judged.append(("workloads", lambda: workloads.judge_workloads(of_workloads, answers, at_s)))
    if (of_alerts := rules.alerts) is not None:
        judged.append(("alerts", lambda: _alerts(of_alerts, told, tested)))
    if (of_mttr := rules.mttr) is not None:
        judged.append(("mttr", lambda: _mttr(of_mttr, rules, told)))
    if (of_slo := rules.slo) is not None:
        judged.append(("slo", lambda: _slo(of_slo, told, covered, tested)))
    if (of_golden := rules.golden) is not None:
        judged.append(("golden window", lambda: _golden(of_golden, rules, told, tested)))
    if (of_spikes := rules.spikes) is not None:
        judged.append(("spikes", lambda: _spikes(of_spikes, told, covered, tested)))
    for name, result in judged:
        try:
            results.append(result())
        except Unanswered as error:
            results.append(RuleResult(name, "undecidable", str(error)))
    share = len(tested) / grid.slots
    return GateDecision(environment, at_s, grid.start_s, tuple(results), spans, share)


@dataclass(frozen=True, slots=True)
class _Told:
    grid: Grid
    answers: Answers

    def lines(self, key: str, first: int = 0) -> tuple[GridLine, ...]:
        """Raises Unanswered."""
        try:
            return lines(self.grid, answer_of(self.answers, key), first)
        except ValidationError:
            raise Unanswered(f"{key}: the answer is none of Prometheus' `query_range`") from None

    def seen(self, key: str) -> None:
        """Raises Unanswered where a counter was never there."""
        if not self.lines(key, _BEFORE):
            raise Unanswered(
                f"the counter was never there: correct it, or write `absent_is_zero: true`: {self.query(key)}"
            )

    def query(self, key: str) -> str:
        return self.answers[key].question

    def when(self, stretch: Stretch) -> str:
        start = stamp(self.grid.end_of(stretch.first - 1))
        return f"{start} to {stamp(self.grid.end_of(stretch.last))}"

    def long(self, stretch: Stretch) -> str:
        return spoken_duration(stretch.slots * self.grid.step_s)


# ---- the witness ---------------------------------------------------------------------------------------------------


def _witness(rule: WitnessRule, told: _Told) -> tuple[RuleResult, frozenset[int]]:
    """Whether data were there, and the slots in which all of them were."""
    grid = told.grid
    watchers = {
        f"the alert {one.labels.get('alertname', '')}": set(one.values)
        for one in told.lines(questions.WATCHDOG, _BEFORE)
    }
    targets: dict[str, set[int]] = defaultdict(set)
    for line in told.lines(questions.TARGETS, _BEFORE):
        targets[line.labels.get(rule.by, "")] |= {slot for slot, value in line.values.items() if value > 0}
    problems = [] if watchers else ["the alert that always fires was never there: were the rules loaded?"]
    if not (targets or rule.wanted):
        problems.append("nothing was scraped")
    problems += [f"{rule.by} {name} was never scraped" for name in rule.wanted if name not in targets]
    watchers |= {f"{rule.by} {name}": slots for name, slots in sorted(targets.items())}
    if rule.evaluated is not None:
        watchers |= {f"the rule group {name}": _evaluated(name, told) for name in rule.groups}
    opens: list[float] = []
    for name, slots in watchers.items():
        missing = gaps(grid, slots)
        longest = max(missing, key=lambda one: one.slots, default=None)
        if longest is not None and longest.slots * grid.step_s > rule.longest_gap:
            problems.append(f"{name} has no data for {told.long(longest)}, {told.when(longest)}")
            long = [one for one in missing if one.slots * grid.step_s > rule.longest_gap]
            opens.append(grid.end_of(long[-1].last) + grid.slots * grid.step_s)
        elif (share := _seen(grid, slots)) < rule.coverage:
            problems.append(f"{name} has data in {_share(share)} of the window only")
    problems += _present(rule, told.answers)
    covered = frozenset(set.intersection(*watchers.values())) if watchers else frozenset()
    opened = max(opens, default=None)
    if problems:
        return RuleResult("witness", "undecidable", _listed(problems), opened, told.query(questions.TARGETS)), covered
    least = min(_seen(grid, slots) for slots in watchers.values())
    why = f"{len(targets)} targets and the rules were seen in {_share(least)} of the window and more"
    return RuleResult("witness", "open", why, None, told.query(questions.TARGETS)), covered


def _evaluated(group: str, told: _Told) -> set[int]:
    """The slots in which a rule group was evaluated. The metric's value is when it last was, its label `file;group`."""
    lately_s = 2 * told.grid.step_s  # an evaluation and its scrape
    return {
        slot
        for line in told.lines(questions.EVALUATED, _BEFORE)
        if line.labels.get(questions.GROUP, "").endswith(f";{group}")
        for slot, value in line.values.items()
        if value > told.grid.end_of(slot) - lately_s
    }


def _seen(grid: Grid, slots: set[int]) -> float:
    """Which share of the window they are."""
    return len(slots - {_BEFORE}) / grid.slots


class _Rule(TypedDict, total=False):
    name: str
    health: str
    lastError: str


class _Group(TypedDict, total=False):
    name: str
    rules: list[_Rule]


class _Groups(TypedDict):
    groups: list[_Group]


_GROUPS = TypeAdapter(_Groups)


def _present(rule: WitnessRule, answers: Answers) -> list[str]:
    """What only the present tells: nothing of a moment in the past."""
    if questions.CLOCK not in answers:
        return []
    problems = []
    offset = float(answer_of(answers, questions.CLOCK))
    if abs(offset) > rule.clock:
        problems.append(f"Prometheus' clock is off by {offset:+.0f} s: set the clocks")
    try:
        groups = _GROUPS.validate_python(answer_of(answers, questions.RULES))["groups"]
    except ValidationError:
        raise Unanswered("Prometheus does not tell its rules: check the address") from None
    loaded = {group.get("name", ""): group.get("rules", []) for group in groups}
    for wanted in rule.groups:
        if wanted not in loaded:
            problems.append(f"the rule group {wanted} is not loaded: {_listed(sorted(loaded)) or 'no group is'}")
        for one in loaded.get(wanted, []):
            if one.get("health") != "ok":
                said = one.get("lastError") or one.get("health") or "not evaluated yet"
                problems.append(f"the rule {one.get('name', '')} is not healthy: {said}")
    return problems


def _lasting(told: _Told, line: GridLine) -> set[int]:
    """The slots in which something is above 0: what is when nobody evaluates rules any more, is until somebody does."""
    found = {slot for slot, value in line.values.items() if value > 0}
    evaluated = {slot for one in told.lines(questions.WATCHDOG) for slot in one.values}
    for gap in gaps(told.grid, evaluated | found):
        if gap.first - 1 in found:
            found |= set(range(gap.first, gap.last + 1))
    return found - {_BEFORE}


# ---- tests ---------------------------------------------------------------------------------------------------------


def _tested(rules: EnvironmentRules, told: _Told) -> tuple[frozenset[int], tuple[TestedTime, ...]]:
    """The slots under test, with the time after it; and from when to when which fault was in force."""
    if rules.tests is None:
        return frozenset(), ()
    after = -(-rules.after_test // told.grid.step_s)
    slots: set[int] = set()
    spans = []
    for line in told.lines(questions.TESTS, _BEFORE):
        for one in stretches(_lasting(told, line)):
            spans.append(
                TestedTime(
                    told.grid.end_of(one.first - 1), told.grid.end_of(one.last), line.labels.get("fault", "a fault")
                )
            )
            slots |= set(range(one.first, min(one.last + int(after), told.grid.slots - 1) + 1))
    return frozenset(slots), tuple(sorted(spans, key=lambda one: (one.start_s, one.fault)))


def _tests(rules: EnvironmentRules, grid: Grid, tested: frozenset[int]) -> list[RuleResult]:
    if not tested:
        return []
    share = len(tested) / grid.slots
    if grid.slots - 1 in tested:
        until = f"wait for its end and {format_duration(rules.after_test)}"
        return [RuleResult("tests", "undecidable", f"a test is under way or has just ended: {until}")]
    told = f"{_share(share)} of the window were under test and are taken out"
    if share > rules.max_tested:
        return [RuleResult("tests", "undecidable", f"{told}: at most {format_fraction(rules.max_tested)} may be")]
    return [RuleResult("tests", "open", told)]


# ---- rules ---------------------------------------------------------------------------------------------------------


def _alerts(rule: AlertsRule, told: _Told, tested: frozenset[int]) -> RuleResult:
    grid = told.grid
    window_s = grid.slots * grid.step_s
    bad: list[str] = []
    opens: list[float] = []
    for line in sorted(told.lines(questions.ALERTS, _BEFORE), key=lambda one: sorted(one.labels.items())):
        severity = line.labels.get(questions.SEVERITY, "")
        name = f"{line.labels.get('alertname', '')} ({severity or 'no severity'})"
        for one in stretches(_lasting(told, line) - tested):
            lasted = one.slots * grid.step_s
            if one.last == grid.slots - 1 and severity in rule.now:
                bad.append(f"{name} is firing since {stamp(grid.end_of(one.first - 1))}")
                opens.append(grid.at_s + grid.step_s)
            elif severity in rule.never:
                bad.append(f"{name} fired for {told.long(one)}, {told.when(one)}")
            elif severity in (*rule.now, *rule.never) and lasted > rule.persistent:
                bad.append(f"{name} fired for {told.long(one)} in one stretch, {told.when(one)}")
            else:
                continue
            if severity in rule.never or lasted > rule.persistent:
                opens.append(grid.end_of(one.last) + window_s)
    if bad:
        return RuleResult("alerts", "closed", _listed(bad), max(opens), told.query(questions.ALERTS))
    why = f"none of {' or '.join(rule.now)} is firing; in the window none of {' or '.join(rule.never)} fired"
    return RuleResult("alerts", "open", why, None, told.query(questions.ALERTS))


def _mttr(rule: MttrRule, rules: EnvironmentRules, told: _Told) -> RuleResult:
    """From a campaign of the digests that run; without one, from the gauge, which is no way around a forged one."""
    try:
        if (asked := told.answers.get(questions.CAMPAIGN)) and asked.error:
            raise Refused(f"a campaign cannot be read, so it may be the one that counts: {asked.error}")
        found = _digests(rules, told)
        return mttr.judge_campaign(rule, answer_of(told.answers, questions.CAMPAIGN), found, told.grid.at_s)
    except Refused:
        raise
    except Unanswered as error:
        if rule.gauge is None:
            raise
        oldest = told.grid.slots - 1 - round(rules.witness.longest_gap / told.grid.step_s)
        newest = [(max(line.values), line) for line in told.lines(questions.GAUGE) if line.values]
        values = [line.values[slot] for slot, line in newest if slot >= oldest]
        query = told.query(questions.GAUGE)
        if not values:
            raise Unanswered(f"{error}; and the gauge has no value: {query}") from None
        return mttr.judge_gauge(rule, max(values), str(error), query)


def _slo(rule: SloRule, told: _Told, covered: frozenset[int], tested: frozenset[int]) -> RuleResult:
    total, errors = (
        sum(more for slot, more in increases(told.lines(key, _BEFORE), covered).items() if slot not in tested)
        for key in (questions.TOTAL, questions.ERRORS)
    )
    query = told.query(questions.ERRORS)
    if not rule.absent_is_zero:
        told.seen(questions.ERRORS)
    if total < rule.min_requests:
        return RuleResult(
            "slo", "undecidable", f"{total:.0f} requests were seen, {rule.min_requests} are wanted", None, query
        )
    kept = 1 - errors / total
    why = f"{100 * kept:.3f} % of {total:.0f} requests were good, {format_fraction(rule.at_least)} are wanted"
    return RuleResult("slo", "open" if kept >= rule.at_least - 1e-12 else "closed", why, None, query)


def _spikes(rule: SpikesRule, told: _Told, covered: frozenset[int], tested: frozenset[int]) -> RuleResult:
    grid = told.grid
    if not rule.absent_is_zero:
        told.seen(questions.SPIKES)
    grown = increases(told.lines(questions.SPIKES, _BEFORE), covered)
    untested = {slot: more for slot, more in grown.items() if slot not in tested}
    most, last = most_within(untested, max(1, round(rule.within / grid.step_s)))
    span = format_duration(rule.within)
    query = told.query(questions.SPIKES)
    if most > rule.at_most:
        until = stamp(grid.end_of(last))
        why = f"{most:.0f} anomalies within {span} until {until}, at most {rule.at_most} are allowed"
        return RuleResult("spikes", "closed", why, grid.end_of(last) + grid.slots * grid.step_s, query)
    return RuleResult("spikes", "open", f"at most {most:.0f} anomalies within {span}", None, query)


def _golden(rule: GoldenRule, rules: EnvironmentRules, told: _Told, tested: frozenset[int]) -> RuleResult:
    """Whether the whole window lies after the last change of a version or of a release."""
    grid = told.grid
    window_s = grid.slots * grid.step_s
    changes: list[tuple[float, str]] = []
    for i, one in enumerate(rule.versions):
        key = f"{questions.VERSIONS} {i}"
        found = told.lines(key)
        if not found:
            raise Unanswered(f"no version is known: {told.query(key)} gives nothing")
        changes += version_changes(grid, found, one.of, one.version, rules.witness.longest_gap, tested)
    if rule.release:
        changes += workloads.release_changes(answer_of(told.answers, questions.RELEASE), grid.at_s)
    query = told.query(f"{questions.VERSIONS} 0") if rule.versions else told.query(questions.RELEASE)
    late_s = clock_off_s(told.answers)
    if not changes or (last := max(changes))[0] + late_s <= grid.start_s:
        return RuleResult("golden window", "open", f"nothing has changed since {stamp(grid.start_s)}", None, query)
    why = f"{last[1]} at {stamp(last[0])}, {spoken_duration(round(grid.at_s - last[0]))} ago"
    return RuleResult(
        "golden window", "closed", f"{why}: {format_duration(window_s)} are wanted", last[0] + late_s + window_s, query
    )


def version_changes(
    grid: Grid,
    found: Sequence[GridLine],
    of: str,
    version: str,
    longest_gap_s: float,
    tested: frozenset[int] = frozenset(),
) -> list[tuple[float, str]]:
    """When the versions of something changed within the window, and what.

    That a pod is away for a moment is no change; that something came, went for longer than `longest_gap_s`, or had
    another version before, is one. What comes and goes in time under test, such as a fault's own container, is none; a
    version that is another one after it, is. Raises Unanswered where an edge of the window is not covered at all.
    """
    patience = round(longest_gap_s / grid.step_s)
    at_end = grid.slots - 1 - patience
    known = {slot for line in found for slot in line.values}
    for one in gaps(grid, known):
        if one.slots > patience and (one.first == 0 or one.last == grid.slots - 1):
            span = f"{stamp(grid.end_of(one.first - 1))} to {stamp(grid.end_of(one.last))}"
            raise Unanswered(f"which versions ran from {span} is not known")
    seen: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for line in found:
        if line.values:
            seen[line.labels.get(of, "")][line.labels.get(version, "")] |= set(line.values)
    changes: list[tuple[float, str]] = []
    for name, versions in sorted(seen.items()):
        if set.union(*versions.values()) <= tested:
            continue
        last = {one: max(slots) for one, slots in versions.items()}
        running = [one for one in last if last[one] >= at_end]
        if not running:
            changes.append((grid.end_of(max(last.values())), f"{name} was taken away"))
            continue
        final = max(running, key=lambda one: (last[one], one))
        first = min(versions[final])
        others = [one for one in last if one != final and not (versions[one] <= tested and min(versions[one]) > first)]
        gone = max((last[one] for one in others), default=-1)
        changed = max(gone + 1 if gone >= 0 else 0, first)
        if changed > 0:
            other = "changed to" if gone >= 0 else "came with"
            changes.append((grid.end_of(changed - 1), f"{name} {other} {short(final)}"))
    return changes


def running(rules: EnvironmentRules, at_s: float, answers: Answers) -> Mapping[str, frozenset[str]]:
    """The digests that run at the moment that is judged, by container; none where that is not known."""
    try:
        return _digests(rules, _Told(Grid(at_s, rules.step, slots_of(rules)), answers))
    except Unanswered:
        return {}


def _digests(rules: EnvironmentRules, told: _Told) -> Mapping[str, frozenset[str]]:
    """The digests that run at the end of the window, by container: by the API server, if it was asked; else by series.

    Raises Unanswered.
    """
    if questions.STATE in told.answers and not told.answers[questions.STATE].error:
        return workloads.digests(answer_of(told.answers, questions.STATE))
    found: dict[str, set[str]] = defaultdict(set)
    at_end = told.grid.slots - 1 - round(rules.witness.longest_gap / told.grid.step_s)
    for i, one in enumerate(rules.golden.versions if rules.golden else ()):
        for line in told.lines(f"{questions.VERSIONS} {i}"):
            digest = DIGEST.search(line.labels.get(one.version, ""))
            if digest and line.values and max(line.values) >= at_end:
                found[line.labels.get(one.of, "")].add(digest[0])
    return {name: frozenset(all_of) for name, all_of in found.items()}


def short(version: str) -> str:
    """A digest as people compare it."""
    digest = DIGEST.search(version)
    return digest[0][:19] if digest else version[:70]


def _share(value: float) -> str:
    """Rounded down: 99.99 % is not all."""
    return f"{int(1000 * value) / 10:g} %"


def _listed(texts: list[str]) -> str:
    more = len(texts) - _SHOWN
    return "; ".join(texts[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
