"""The appendix: the listed trials as rows, the chosen ones in full."""

from __future__ import annotations

from dataclasses import replace

from smartops_chaos.analysis.load import CampaignData
from smartops_chaos.analysis.words import NONE, clip, count, ended, number, plain, seconds
from smartops_chaos.model import Arm, Plan
from smartops_chaos.report.document import (
    Block,
    Filling,
    Gallery,
    Keys,
    Link,
    Paragraph,
    Section,
    Table,
    Text,
    TrialCard,
    col,
    table,
)
from smartops_chaos.report.figures import trial_picture
from smartops_chaos.report.figures.trial_picture import as_number
from smartops_chaos.report.index import TABLE, Index, Row, card_id, name, row_id
from smartops_chaos.report.page import Page

_MOST_PRINTED = 250  # rows: some five pages
_PICTURES_PRINTED = 16  # two pages
_LINES, _LETTERS = 120, 600  # of a trial's evidence, and of one line in it
_VALUES: Keys = (
    ("Dot", "a good value of the SLO's query, as high as Prometheus took to answer it"),
    ("Cross", "a bad value, on the uppermost line"),
    ("Dashed, dotted", "how long an answer is waited for, the horizon"),
)
_KEYS: Keys = (
    ("Shaded", "the fault is in force; a service can recover before it ends, if nobody asks the replica that is hit"),
    ("Line with a name", "a moment of the repair; grey: the interval in which it is known to lie"),
    ("Zero", "the middle of the call that injects; what takes effect during that call shows before zero"),
)
_EVIDENCE = (
    "The log lines and samples that each rule matched: in report.html below each of these trials, and for every trial "
    "by `smartops-chaos derive CAMPAIGN --explain TRIAL`."
)


def section(page: Page, data: CampaignData) -> Section:
    """`data` has the records and requests that single trials are drawn from; they are read one by one."""
    index = page.index
    shown = _cards(page, data)
    blocks: list[Block] = [_listing(index, {card.id for card in shown})]
    if shown:
        blocks += [
            Paragraph(_EVIDENCE, "note"),
            Gallery("gallery", "Trials in full", _caption(index), shown, _keys(page.plan)),
        ]
    return Section("trials", "Appendix: every trial", tuple(blocks))


def _keys(plan: Plan | None) -> Keys:
    return (*(_VALUES if plan and plan.analysis.slo.query else trial_picture.REQUESTS), *_KEYS)


def _caption(index: Index) -> str:
    """Which trials are shown, here and on paper."""
    told = [f"{len(index.shown)} of {count(index.whole, 'trial')}"]
    if len(index.shown) < index.whole:
        told.append(
            "those that want a look (any flag, harmed, false alarms, unrecovered other than in the baseline), in turn "
            "from every cell and to no more than two thirds, then the first repeats of every cell"
        )
    if len(index.shown) > _PICTURES_PRINTED:
        told.append(
            f"on paper {_PICTURES_PRINTED} of them, flagged ones, then of each arm and fault the median and the longest"
        )
    return f"{'; '.join(told)}."


def _listing(index: Index, cards: set[str]) -> Table:
    """A line for each listed trial; a trial that is shown in full has a link to its card."""

    def text(row: Row, column: str) -> str:
        value = row.get(column)
        if isinstance(value, float):
            return f"{value:g}"
        return NONE if value is None or value == "" else str(value)

    def linked_name(i: int) -> Text:
        return (Link(name(rows[i]), card_id(i)),) if card_id(i) in cards else name(rows[i])

    def outcome(i: int) -> str:
        reason, told = text(rows[i], "reason"), plain(text(rows[i], "outcome"))
        if _ended_by_us(rows[i]):
            return "ended by the harness"
        return told if reason == NONE else ended(text(rows[i], "outcome"), reason)

    def at(moment: str) -> Filling[int]:
        def middle(i: int) -> str:
            ends = [as_number(rows[i].get(f"{moment}_{end}_s")) for end in ("lo", "hi")]
            return NONE if None in ends else number(sum(e for e in ends if e is not None) / 2, 2)

        return col(f"{moment.capitalize()}\n[s]", middle)

    rows = index.rows
    note = "Seconds since injection, midpoints. Time: what is scored. –: does not count, or was not seen."
    if len(rows) < index.whole:
        note += f" {len(rows):,} of {index.whole:,} trials are listed; all are in trials.csv."
    printed = None if len(rows) <= _MOST_PRINTED else index.shown
    if printed is not None:
        note += (
            f" On paper only {len(printed)}: those that want a look, then the first repeats; report.html lists "
            f"{len(rows):,}, trials.csv has all."
        )
    listed = table(
        TABLE,
        "All trials",
        range(len(rows)),
        [
            col("#", lambda i: str(index.places[i] + 1)),
            col("Trial", linked_name, grow=5),
            col("Outcome", outcome, grow=4),
            col("Time\n[s]", lambda i: number(as_number(rows[i].get("time_s")), 2)),
            *map(at, ("impacted", "detected", "acted", "recovered")),
            col("Actions", lambda i: text(rows[i], "actions")),
            col("Flags", lambda i: plain(text(rows[i], "flags")).replace(",", ", "), grow=2),
        ],
        note,
        small=True,
    )
    return replace(listed, facets=index.facets, ids=tuple(map(row_id, range(len(rows)))), on_paper=printed)


def _arm(row: Row) -> Arm:
    return Arm(str(row["model"]), str(row["policy"]))


def _cards(page: Page, data: CampaignData) -> tuple[TrialCard, ...]:
    """Arms side by side, as they are compared; calibration last."""
    order = {arm: i for i, arm in enumerate(page.styles)}
    rows = page.index.rows

    def key(i: int) -> tuple[object, ...]:
        row = rows[i]
        levels = (str(row["chaos"]), str(row["workload"]))
        return row.get("phase") == "calibrate", *levels, as_number(row.get("repeat")) or 0, order[_arm(row)]

    chosen = {i: _picture(rows[i], data) for i in sorted(page.index.shown, key=key)}
    drawn = [picture for picture in chosen.values() if picture]
    scale = trial_picture.scale(drawn) if drawn else None
    printed = _printed(page.index)
    cards = []
    for i, picture in chosen.items():
        row = rows[i]
        evidence = _bounded(data.explain(str(row.get("trial", ""))))
        svg = trial_picture.draw_trial(card_id(i), picture, page.styles, scale) if picture and scale else ""
        if svg or evidence:
            cards.append(
                TrialCard(card_id(i), name(row), _outcome(row), _alt(row, picture), svg, evidence, i in printed)
            )
    return tuple(cards)


def _printed(index: Index) -> set[int]:
    """Of those shown in full, the ones for paper: first the flagged, then of each cell the median, then its longest."""
    cells: dict[tuple[object, ...], list[int]] = {}
    for i in index.shown:
        if (row := index.rows[i]).get("phase") != "calibrate" and as_number(row.get("time_s")) is not None:
            cells.setdefault((row["chaos"], row["workload"], row["model"], row["policy"]), []).append(i)
    ordered = [sorted(cell, key=lambda i: as_number(index.rows[i].get("time_s")) or 0.0) for cell in cells.values()]
    flagged = [i for i in index.shown if index.rows[i].get("flags")]
    wanted = [*flagged, *(cell[(len(cell) - 1) // 2] for cell in ordered), *(cell[-1] for cell in ordered)]
    return set(list(dict.fromkeys(wanted))[:_PICTURES_PRINTED])


def _ended_by_us(row: Row) -> bool:
    """A calibration trial in which nobody but the harness ended the fault: that is what it is for."""
    return row.get("phase") == "calibrate" and row.get("fault_end_by") == "harness" and row.get("reason") == "no-action"


def _outcome(row: Row) -> str:
    time = as_number(row.get("time_s"))
    return ("ended by the harness" if _ended_by_us(row) else plain(str(row["outcome"]))) + (
        f", {seconds(time)}" if time is not None else ""
    )


def _alt(row: Row, picture: trial_picture.Picture | None) -> str:
    moments = picture.moments.items() if picture else ()
    told = ", ".join(f"{moment} at {seconds((lo + hi) / 2)}" for moment, (lo, hi) in moments)
    return f"{name(row)}: {_outcome(row)}. {told or 'No moment was seen'}."


def _bounded(text: str) -> str:
    """No trial's evidence makes a report large."""
    lines = [clip(line, _LETTERS) for line in text.splitlines()]
    more = len(lines) - _LINES
    return "\n".join([*lines[:_LINES], *([f"and {more} more lines"] if more > 0 else [])])


def _picture(row: Row, data: CampaignData) -> trial_picture.Picture | None:
    trial, plan = str(row.get("trial", "")), data.plan
    record = data.records.get(trial)
    sent = data.requests(trial) if record else ()
    if plan is None or record is None or not sent:
        return None
    injected = record.timeline.events.get("injected") if record.timeline else None
    moments, end_s = trial_picture.moments(row), as_number(row.get("fault_end_s"))
    return trial_picture.Picture(
        title=("calibration: " if row.get("phase") == "calibrate" else "")
        + f"{row['chaos']} / {row['workload']} · {_arm(row)} · {as_number(row.get('repeat')) or 0:g}",
        outcome=_outcome(row),
        arm=_arm(row),
        moments={"injected": (0.0, 0.0), **moments} if injected else moments,
        fault_end_s=end_s if injected and plan.chaos[str(row["chaos"])].parts else 0.0,
        horizon_s=as_number(row.get("horizon_s")) or 0.0,
        latency_s=plan.analysis.slo.latency_s,
        injected_ns=injected.at.mid_ns if injected else sent[0].sched_ns,
        requests=sent,
    )
