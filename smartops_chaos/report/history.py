"""The history of a matrix as a Report."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from smartops_chaos.analysis.history import Against, History, Night, Which, arm_nights
from smartops_chaos.analysis.sentences import level as level_of
from smartops_chaos.analysis.words import (
    NONE,
    count,
    listing,
    percent,
    probability,
    seconds,
    seconds_range,
    with_range,
)
from smartops_chaos.model import Targets
from smartops_chaos.report.document import Block, Box, Column, Facts, Figure, Paragraph, Report, Section, Table, grouped
from smartops_chaos.report.figures.campaign_series import LETTERS, Read, Unit, by_night
from smartops_chaos.report.style import Styles, arm_styles

_WHICH: dict[Which, str] = {"before": "the one before", "median": "the median", "best": "the best so far"}
_MADE_BY = {"git commit": "Git commit of the newest", "Images": "Images of the newest"}
_METHOD = (
    "A night is one campaign. Its numbers are those of its own report, with the same estimators and intervals; the "
    "intervals speak of the trials of that night alone. A night is incomplete if trials are missing or more than 10 % "
    "of them have no result, and has failed if none has one. Points that rise or fall by chance look like a trend, so "
    "none is drawn and none is claimed.",
    "The newest night is compared by the time to recover, each night relative to its own baseline, as `smartops-chaos "
    "compare` does it: a machine that became slower as a whole cancels out. The intervals are not adjusted; p is, by "
    "Holm over all rows. Median and best are chosen by the reduction of the MTTR among complete nights that measured "
    "the same thing. The best of k nights owes something to luck, so its p counts k-fold.",
    "A difference says that two nights differ, not why. What changed between them is listed, as far as it is recorded: "
    "the plan, the git commit of the folder that the campaign was started in, images, versions and the machine.",
)
_DIGITS = 12  # digits of a digest that tell plans apart


@dataclass(frozen=True)
class _Measure:
    id: str
    title: str
    unit: Unit
    read: Read
    target: float | None


def build(history: History) -> Report:
    nights = history.nights
    days = [night.began[:10] for night in nights if night.began]
    parts = [count(len(nights), "night"), " to ".join(dict.fromkeys((days[0], days[-1]))) if days else ""]
    sections = [_newest(history), _nights(history), _changes(history)]
    sections.append(Section("method", "How to read this", tuple(Paragraph(text) for text in _METHOD)))
    title = f"Self-healing history: {history.matrix}"
    return Report(title, "  ·  ".join(filter(None, (*parts, f"newest {history.newest.name}"))), tuple(sections))


# ---- the newest night ----------------------------------------------------------------------------------------


def _newest(history: History) -> Section:
    blocks: list[Block] = [Paragraph(text, "lead") for text in sentences(history)]
    if history.against:
        blocks.append(_against(history))
    partial = [f"{n.name}: {n.state}, {n.why}." for n in history.nights if n.state != "complete"]
    if partial:
        blocks.append(Box("Nights without a whole result", tuple(partial), "weak"))
    if cautions := dict.fromkeys(f"{row.night}: {text}" for row in history.against for text in row.cautions):
        blocks.append(Box("Compared all the same", tuple(cautions), "weak"))
    states = Counter(night.state for night in history.nights)
    plans = {night.plan.digest for night in history.nights if night.plan}
    newest = history.newest
    recorded = f"{newest.recorded} of {newest.planned} trials are recorded"
    made_by = [(told, newest.provenance[label]) for label, told in _MADE_BY.items() if label in newest.provenance]
    facts = (
        ("Nights", ", ".join(f"{n} {state}" for state, n in sorted(states.items()))),
        ("Plans", "the same in all nights" if len(plans) == 1 else f"{len(plans)} different ones, see below"),
        ("Newest", f"{newest.name}, {newest.state}: {recorded}"),
        *made_by,
    )
    blocks.append(Facts(facts))
    return Section("newest", "The newest night", tuple(blocks))


def sentences(history: History) -> Iterable[str]:
    """Whether the newest night differs from the former ones: for each arm, in words."""
    newest = history.newest
    if newest.side is None:
        yield f"{newest.name}, the newest night, has no result, so nothing is compared: {newest.why}."
        return
    if not history.against:
        yield f"No night before {newest.name} has a result: there is nothing to compare it with."
    for arm in dict.fromkeys(row.arm for row in history.against):
        found: defaultdict[str, list[str]] = defaultdict(list)
        for row in history.against:
            if row.arm == arm:
                change = row.slowdown.estimate
                found[_in_words(row)].append(_called(row, *([] if change is None else [_percent(change)])))
        told = "; ".join(f"{words} {listing(nights)}" for words, nights in found.items())
        yield f"{arm} in {newest.name}: {told}."


def _called(row: Against, *more: str) -> str:
    return f"{row.night} ({', '.join([listing(_WHICH[which] for which in row.which), *more])})"


def _in_words(row: Against) -> str:
    if row.why:
        return f"nothing can be said ({row.why}) against"
    return "no difference shown to" if row.direction == "no difference shown" else f"{row.direction} than"


def _percent(change: float | None) -> str:
    return ("+" if change is not None and change > 0 else "") + percent(change)


def _against(history: History) -> Table:
    rows = [
        (
            str(row.arm),
            _called(row),
            _percent(row.slowdown.estimate),
            _range(row),
            probability(row.p),
            row.why or row.direction,
        )
        for row in history.against
    ]
    columns = (
        Column("Arm", grow=2),
        Column("Against", grow=3),
        Column("Time to\nrecover", "right"),
        Column(f"{level_of(history.newest.summary)}\ninterval", "right"),
        Column("p", "right"),
        Column("Says", grow=2),
    )
    note = (
        "Change of the mean time to recover relative to each night's own baseline: + is slower. p: Holm over all rows; "
        "the best night's counts as often as there were nights to choose from."
    )
    return Table("tab-newest", f"{history.newest.name} against former nights", columns, grouped(rows), note)


def _range(row: Against) -> str:
    lo, hi = row.slowdown.lo, row.slowdown.hi
    return NONE if lo is None and hi is None else f"{_percent(lo)} to {_percent(hi)}"


# ---- night by night ------------------------------------------------------------------------------------------


def _nights(history: History) -> Section:
    styles = _styles(history)
    level = level_of(history.newest.summary)
    blocks: list[Block] = []
    for measure in _measures(history):
        known = [a for night in history.nights for a in arm_nights(night) if measure.read(a)[0] is not None]
        if not known:
            blocks.append(Paragraph(f"{measure.title} can be given for no night.", "note"))
            continue
        caption = (
            f"Points with their {level} intervals. Open: the night is incomplete; ×: no result. Above: what changed, "
            "P plan, G git commit, I images, V versions or machine; dotted: another plan."
        )
        alt = f"{measure.title} of {count(len(styles), 'arm')} in {count(len(history.nights), 'night')}; see the table."
        svg = by_night(f"fig-{measure.id}", history, styles, measure.read, measure.unit, measure.target)
        blocks.append(Figure(f"fig-{measure.id}", measure.title, caption, alt, svg, ("tab-nights",)))
    blocks.append(_numbers(history, level))
    return Section("nights", "Night by night", tuple(blocks), new_page=True)


def _styles(history: History) -> Styles:
    found = [a for night in reversed(history.nights) for a in arm_nights(night)]  # the newest night's come first
    baseline = next(a.arm for a in found if a.baseline)
    return arm_styles(list(dict.fromkeys(a.arm for a in found)), baseline)


def _measures(history: History) -> tuple[_Measure, ...]:
    plan = next((night.plan for night in reversed(history.nights) if night.plan), None)
    targets = plan.analysis.targets if plan else Targets()
    return (
        _Measure("mttr", "MTTR", "seconds", lambda a: (a.mttr_s, a.mttr_lo_s, a.mttr_hi_s), None),
        _Measure(
            "reduction",
            "MTTR reduction",
            "fraction",
            lambda a: (a.mttr_reduction, a.mttr_reduction_lo, a.mttr_reduction_hi),
            targets.mttr_reduction,
        ),
        _Measure(
            "heal",
            "Auto-heal rate",
            "fraction",
            lambda a: (a.auto_heal, a.auto_heal_lo, a.auto_heal_hi),
            targets.auto_heal,
        ),
        _Measure(
            "sla",
            "Availability",
            "fraction",
            lambda a: (a.availability, a.availability_lo, a.availability_hi),
            targets.sla,
        ),
    )


def _numbers(history: History, level: str) -> Table:
    rows = [
        (
            f"{i}. {night.name}",
            f"{a.arm} (baseline)" if a.baseline else str(a.arm),
            str(a.counted),
            with_range(seconds(a.mttr_s), seconds_range(a.mttr_lo_s, a.mttr_hi_s)),
            _with_verdict(percent(a.mttr_reduction), a.mttr_reduction_verdict),
            _with_verdict(percent(a.auto_heal), a.auto_heal_verdict),
            _with_verdict(percent(a.availability, 3), a.availability_verdict),
        )
        if a
        else (f"{i}. {night.name}", night.state, *[NONE] * 5)
        for i, night in enumerate(history.nights, 1)
        for a in arm_nights(night) or (None,)
    ]
    columns = (
        Column("Night", grow=2),
        Column("Arm", grow=2),
        Column("Counted", "right"),
        Column(f"MTTR ({level} interval)", "right"),
        Column("Reduction"),
        Column("Auto-heal"),
        Column("Availability"),
    )
    note = "All intervals are in history.csv, beside this report."
    return Table("tab-nights", "Numbers of each night", columns, tuple(rows), note, small=True)


def _with_verdict(value: str, verdict: str) -> str:
    return f"{value} {verdict}" if verdict else value


# ---- what changed --------------------------------------------------------------------------------------------


def _changes(history: History) -> Section:
    rows = [
        (
            f"{i}. {night.name}",
            night.began.replace("T", " ").removesuffix("Z")[:16] or NONE,
            night.state,
            f"{night.recorded} of {night.planned}" if night.plan else NONE,
            _left_out(night),
            night.provenance.get("git commit", NONE),
            night.plan.digest[:_DIGITS] if night.plan else NONE,
            "\n".join(f"{LETTERS[change.kind]} {change.what}" for change in changes) or NONE,
        )
        for i, (night, changes) in enumerate(zip(history.nights, history.changes, strict=True), 1)
    ]
    columns = (
        Column("Night", grow=2),
        Column("Began, UTC"),
        Column("State"),
        Column("Trials", "right"),
        Column("Left out", "right"),
        Column("Git", grow=1),
        Column("Plan", grow=1),
        Column("Changed since the night before", grow=4),
    )
    note = "Left out: trials without a result (invalid, error, aborted). Plan: the beginning of its digest."
    table = Table("tab-changes", "What each night ran", columns, tuple(rows), note, small=True)
    return Section("changes", "What changed", (table,))


def _left_out(night: Night) -> str:
    return str(sum(sum(reasons.values()) for reasons in night.summary.excluded.values())) if night.side else NONE
