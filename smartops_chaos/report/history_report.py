"""The history of a matrix as a Report: whether its newest campaign differs from the one before, and all of them in a
row. In its texts a campaign of a history is a run: nights, hours or minutes may lie between two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from smartops_chaos.analysis.headlines import HEADLINES
from smartops_chaos.analysis.history import Against, CampaignInHistory, History, PlanChange
from smartops_chaos.analysis.sentences import level
from smartops_chaos.analysis.summary import ArmSummary
from smartops_chaos.analysis.words import (
    NONE,
    count,
    percent,
    probability,
    seconds,
    seconds_range,
    target_value,
    with_range,
)
from smartops_chaos.model import Goal, Targets
from smartops_chaos.report.document import Block, Box, Facts, Figure, Paragraph, Report, Section, Table, col, table
from smartops_chaos.report.figures.campaign_series import CHANGES, Unit, by_campaign
from smartops_chaos.report.page import arm_name
from smartops_chaos.report.style import Styles, arm_styles

_MADE_BY = {"git commit": "Git commit of the newest", "Images": "Images of the newest"}
_METHOD = (
    "A run is one campaign. Its numbers are those of its own report, with the same estimators and intervals; the "
    "intervals speak of the trials of that run alone. A run is incomplete if trials are missing or more than 10 % "
    "of them have no result, and has failed if none has one. Points that rise or fall by chance look like a trend, so "
    "none is drawn and none is claimed.",
    "The newest run is compared with the last whole one before it (if none is whole, with the last that has a "
    "result) by the time to recover, each run relative to its own baseline, as `smartops-chaos compare` does it: a "
    "machine that became slower as a whole cancels out, as far as the baseline's change stands out of its own scatter, "
    "but not where the baseline never recovers. Trials are exchanged between the two runs within each scenario, so p "
    "and the intervals are about these two runs only. p asks whether the mean or the usual trial differs, and is "
    "adjusted by Holm over all arms; the intervals are of the mean, and not adjusted.",
    "A difference says that two runs differ, not why. What changed between them is listed, as far as it is recorded: "
    "the plan, the git commit of the folder that the campaign was started in, images, versions and the machine.",
)
_DIGITS = 12  # digits of a digest that tell plans apart


def build(history: History) -> Report:
    campaigns = history.campaigns
    days = [night.began[:10] for night in campaigns if night.began]
    parts = [count(len(campaigns), "run"), " to ".join(dict.fromkeys((days[0], days[-1]))) if days else ""]
    sections = [
        _newest(history),
        Section("nights", "Run by run", tuple(_series(history))),
        Section("changes", "What changed", (_changes(history),)),
        Section("method", "How to read this", tuple(Paragraph(text) for text in _METHOD)),
    ]
    title = f"Self-healing history: {history.matrix}"
    return Report(title, "  ·  ".join(filter(None, (*parts, f"newest {history.newest.name}"))), tuple(sections))


# ---- the newest night ----------------------------------------------------------------------------------------


def _newest(history: History) -> Section:
    newest = history.newest
    blocks: list[Block] = [Paragraph(text, "lead") for text in sentences(history)]
    if history.against:
        blocks.append(_against(history))
    partial = [f"{n.name}: {n.state}, {n.why}." for n in history.campaigns if n.state != "complete"]
    if partial:
        blocks.append(Box("Runs without a whole result", tuple(partial), "weak"))
    if cautions := dict.fromkeys(f"{row.night}: {text}" for row in history.against for text in row.cautions):
        blocks.append(Box("Compared all the same", tuple(cautions), "weak"))
    states = Counter(night.state for night in history.campaigns)
    plans = {night.plan.digest for night in history.campaigns if night.plan}
    blocks.append(
        Facts(
            (
                ("Runs", ", ".join(f"{n} {state}" for state, n in sorted(states.items()))),
                ("Plans", "the same in all runs" if len(plans) == 1 else f"{len(plans)} different ones, see below"),
                ("Newest", f"{newest.name}, {newest.state}: {newest.recorded} of {newest.planned} trials are recorded"),
                *((told, newest.provenance[label]) for label, told in _MADE_BY.items() if label in newest.provenance),
            )
        )
    )
    return Section("newest", "The newest run", tuple(blocks))


def sentences(history: History) -> Iterable[str]:
    """Whether the newest run differs from the last whole one: a sentence for each arm."""
    newest = history.newest
    if newest.side is None:
        yield f"{newest.name}, the newest run, has no result, so nothing is compared: {newest.why}."
    elif not history.against:
        yield f"No run before {newest.name} has a result: there is nothing to compare it with."
    for row in history.against:
        yield f"{row.arm} in {newest.name}: {_in_words(row)}."


def _in_words(row: Against) -> str:
    if row.why:
        return f"nothing can be said ({row.why}) against {row.night}"
    than = "no difference shown to" if row.direction == "no difference shown" else f"{row.direction} than"
    return f"{than} {row.night} ({_change(row.slowdown.estimate)})"


def _change(value: float | None) -> str:
    return ("+" if value is not None and value > 0 else "") + percent(value)


def _against(history: History) -> Table:
    def interval(row: Against) -> str:
        lo, hi = row.slowdown.lo, row.slowdown.hi
        return NONE if lo is None and hi is None else f"{_change(lo)} to {_change(hi)}"

    return table(
        "tab-newest",
        f"{history.newest.name} against {history.against[0].night}",
        history.against,
        [
            col("Arm", lambda row: str(row.arm), grow=2),
            col("Time to\nrecover", lambda row: _change(row.slowdown.estimate)),
            col(f"{level(history.newest.summary)}\ninterval", interval),
            col("p", lambda row: probability(row.p)),
            col("Says", lambda row: row.why or row.direction, grow=2),
        ],
        "Change of the mean time to recover relative to each run's own baseline: + is slower. p: Holm over all arms.",
    )


# ---- night by night ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Measure:
    """A number of each arm, run by run, in a figure of its own."""

    id: str
    title: str
    unit: Unit
    headline: str  # of `analysis.headlines`
    target: float | None


def _measures(targets: Targets) -> Iterable[_Measure]:
    yield _Measure("mttr", "MTTR", "seconds", "mttr", None)
    yield _Measure("reduction", "MTTR reduction", "fraction", "mttr_reduction", targets.mttr_reduction)
    yield _Measure("heal", "Auto-heal rate", "fraction", "auto_heal", targets.auto_heal)
    yield _Measure("sla", "Availability", "fraction", "availability", targets.sla)


def _series(history: History) -> Iterable[Block]:
    styles = _styles(history)
    plan = next((night.plan for night in reversed(history.campaigns) if night.plan), None)
    for measure in _measures(plan.analysis.targets if plan else Targets()):
        read = HEADLINES[measure.headline]
        points = [
            {a.arm: found for a in night.summary.arms if (found := read(night.summary, a))[0] is not None}
            for night in history.campaigns
        ]
        if not any(points):
            yield Paragraph(f"{measure.title} can be given for no run.", "note")
            continue
        yield Figure(
            f"fig-{measure.id}",
            measure.title,
            f"Points with their {level(history.newest.summary)} intervals. Open: the run is incomplete; ×: no "
            "result. Above: what changed, P plan, G git commit, I images, V versions or machine; dotted: another plan.",
            f"{measure.title} of {count(len(styles), 'arm')} in {count(len(points), 'run')}; see the table.",
            by_campaign(f"fig-{measure.id}", history, styles, points, measure.unit, measure.target),
            ("tab-nights",),
        )
    yield _numbers(history)


def _styles(history: History) -> Styles:
    arms = [a for night in reversed(history.campaigns) for a in night.summary.arms]  # the newest night's come first
    return arm_styles(list(dict.fromkeys(a.arm for a in arms)), next(a.arm for a in arms if a.baseline))


def _numbers(history: History) -> Table:
    Line = tuple[int, CampaignInHistory, ArmSummary | None]

    def of_arm(read: Callable[[ArmSummary], str]) -> Callable[[Line], str]:
        return lambda line: NONE if line[2] is None else read(line[2])

    def of_target(target: Goal, headline: str) -> Callable[[Line], str]:
        """A target's value with its verdict."""

        def told(line: Line) -> str:
            _, night, arm = line
            if arm is None:
                return NONE
            value = HEADLINES[headline](night.summary, arm)[0]
            said = [v.verdict for v in night.summary.verdicts if (v.arm, v.target) == (arm.arm, target)]
            return " ".join([target_value(value, target), *said])

        return told

    return table(
        "tab-nights",
        "Numbers of each run",
        [(i, night, arm) for i, night in enumerate(history.campaigns, 1) for arm in night.summary.arms or (None,)],
        [
            col("Run", lambda line: f"{line[0]}. {line[1].name}", grow=2),
            col("Arm", lambda line: arm_name(line[2]) if line[2] else line[1].state, grow=2),
            col("Counted", of_arm(lambda a: str(a.counted))),
            col(
                f"MTTR ({level(history.newest.summary)} interval)",
                of_arm(lambda a: with_range(seconds(a.mttr.rmst_s), seconds_range(a.mttr.lo, a.mttr.hi))),
            ),
            col("Reduction", of_target("mttr_reduction", "mttr_reduction"), align="left"),
            col("Auto-heal", of_target("auto_heal", "auto_heal"), align="left"),
            col("Availability", of_target("sla", "availability"), align="left"),
        ],
        "All intervals are in history.csv, beside this report.",
        small=True,
    )


# ---- what changed --------------------------------------------------------------------------------------------


def _changes(history: History) -> Table:
    Line = tuple[int, CampaignInHistory, tuple[PlanChange, ...]]

    def left_out(line: Line) -> str:
        _, night, _ = line
        return str(sum(sum(why.values()) for why in night.summary.excluded.values())) if night.side else NONE

    def recorded(line: Line) -> str:
        return f"{line[1].recorded} of {line[1].planned}" if line[1].plan else NONE

    def changes(line: Line) -> str:
        return "\n".join(f"{CHANGES[change.kind]} {change.what}" for change in line[2]) or NONE

    return table(
        "tab-changes",
        "What each run ran",
        list(zip(range(1, len(history.campaigns) + 1), history.campaigns, history.changes, strict=True)),
        [
            col("Run", lambda line: f"{line[0]}. {line[1].name}", grow=2),
            col("Began, UTC", lambda line: line[1].began.replace("T", " ")[:16] or NONE, align="left"),
            col("State", lambda line: line[1].state, align="left"),
            col("Trials", recorded),
            col("Left out", left_out),
            col("Git", lambda line: line[1].provenance.get("git commit", NONE), grow=1),
            col("Plan", lambda line: line[1].plan.digest[:_DIGITS] if line[1].plan else NONE, grow=1),
            col("Changed since the run before", changes, grow=4),
        ],
        "Left out: trials without a result (invalid, error, aborted). Plan: the beginning of its digest.",
        small=True,
    )
