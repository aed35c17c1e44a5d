"""The appendix: the listed trials as rows, the chosen ones in full. Index, records and requests in, blocks out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from smartops_chaos.model import Arm, Plan, Record, Request
from smartops_chaos.report import pictures
from smartops_chaos.report.document import Block, Column, Exhibit, Gallery, Link, Paragraph, Section, Table, Text
from smartops_chaos.report.index import TABLE, Index, Row, exhibit_id, name, row_id
from smartops_chaos.report.style import Styles
from smartops_chaos.report.words import NONE, clip, count, number, plain, seconds

_MOST_PRINTED = 250  # rows: some five pages
_LINES, _LETTERS = 120, 600  # of a trial's evidence, and of one line in it
_REQUESTS = (
    "Dots: good requests; crosses: bad ones, and on the uppermost line those without a good answer. Dashed: the "
    "latency that the SLO allows; "
)
_VALUES = (
    "Dots: good values of the SLO's query, as high as Prometheus took to answer it; crosses on the uppermost line: "
    "bad ones. Dashed: how long an answer is waited for; "
)
_CAPTION = (
    "dotted: the horizon; shaded: the fault in force. Lines with names: the moments of the repair, in grey where they "
    "are known to lie. The mark before the name is the arm's, as in all figures."
)
_EVIDENCE = (
    "The log lines and samples that each rule matched: in report.html below each of these trials, and for every trial "
    "by `smartops-chaos derive CAMPAIGN --explain TRIAL`."
)


def section(
    index: Index,
    plan: Plan | None,
    records: Mapping[str, Record],
    requests: Callable[[str], Sequence[Request]],
    explain: Callable[[str], str],
    styles: Styles,
) -> Section:
    shown = _exhibits(index, plan, records, requests, explain, styles)
    blocks: list[Block] = [_listing(index, {exhibit.id for exhibit in shown})]
    if shown:
        blocks += [Paragraph(_EVIDENCE, "note"), Gallery("gallery", "Trials in full", _caption(index, plan), shown)]
    return Section("trials", "Every trial", tuple(blocks))


def _caption(index: Index, plan: Plan | None) -> str:
    caption = (_VALUES if plan and plan.analysis.slo.query else _REQUESTS) + _CAPTION
    if len(index.shown) == index.whole:
        return caption
    return caption + (
        f" Shown are {len(index.shown)} of {count(index.whole, 'trial')}: first, in turn from every cell and to no "
        "more than two thirds, those that want a look (contested, sources in conflict, an uncertain clock, harmed, "
        "false alarms, unrecovered other than in the baseline), then the first repeats of every cell."
    )


def _listing(index: Index, exhibits: set[str]) -> Table:
    def cell(row: Row, column: str) -> str:
        value = row.get(column)
        if isinstance(value, float):
            return f"{value:g}"
        return NONE if value is None or value == "" else str(value)

    def time(row: Row, moment: str) -> str:
        ends = [pictures.as_number(row.get(f"{moment}_{end}_s")) for end in ("lo", "hi")]
        return NONE if None in ends else number(sum(e for e in ends if e is not None) / 2, 2)

    rows: list[tuple[Text, ...]] = []
    for i, row in enumerate(index.rows):
        reason, outcome = cell(row, "reason"), plain(cell(row, "outcome"))
        rows.append((
            str(index.places[i] + 1),
            (Link(name(row), exhibit_id(i)),) if exhibit_id(i) in exhibits else name(row),
            outcome if reason == NONE else f"{outcome}: {plain(reason)}",
            number(pictures.as_number(row.get("time_s")), 2),
            *(time(row, moment) for moment in ("impacted", "detected", "acted", "recovered")),
            cell(row, "actions"),
            cell(row, "flags").replace(",", ", "),
        ))  # fmt: skip
    columns = (
        Column("#", "right"),
        Column("Trial", grow=5),
        Column("Outcome", grow=4),
        Column("Time\n[s]", "right"),
        Column("Impacted\n[s]", "right"),
        Column("Detected\n[s]", "right"),
        Column("Acted\n[s]", "right"),
        Column("Recovered\n[s]", "right"),
        Column("Actions", "right"),
        Column("Flags", grow=2),
    )
    note = "Seconds since injection, midpoints. Time: what is scored. –: does not count, or was not seen."
    if len(index.rows) < index.whole:
        note += f" {len(index.rows):,} of {index.whole:,} trials are listed; all are in trials.csv."
    printed = None if len(index.rows) <= _MOST_PRINTED else index.shown
    if printed is not None:
        note += (
            f" On paper only {len(printed)}: those that want a look, then the first repeats; report.html lists "
            f"{len(index.rows):,}, trials.csv has all."
        )
    ids = tuple(row_id(i) for i in range(len(rows)))
    return Table(TABLE, "All trials", columns, tuple(rows), note, True, index.facets, ids, printed)


def _arm(row: Row) -> Arm:
    return Arm(str(row["model"]), str(row["policy"]))


def _exhibits(
    index: Index,
    plan: Plan | None,
    records: Mapping[str, Record],
    requests: Callable[[str], Sequence[Request]],
    explain: Callable[[str], str],
    styles: Styles,
) -> tuple[Exhibit, ...]:
    """Arms side by side, as they are compared; calibration last."""
    order = {arm: i for i, arm in enumerate(styles)}

    def key(i: int) -> tuple[object, ...]:
        row = index.rows[i]
        levels = (str(row["chaos"]), str(row["workload"]))
        return row.get("phase") == "calibrate", *levels, pictures.as_number(row.get("repeat")) or 0, order[_arm(row)]

    chosen = {i: _picture(index.rows[i], plan, records, requests) for i in sorted(index.shown, key=key)}
    drawn = [picture for picture in chosen.values() if picture]
    scale = pictures.scale(drawn) if drawn else None
    found = []
    for i, picture in chosen.items():
        row = index.rows[i]
        evidence = _bounded(explain(str(row.get("trial", ""))))
        svg = pictures.draw_trial(exhibit_id(i), picture, styles, scale) if picture and scale else ""
        if svg or evidence:
            found.append(Exhibit(exhibit_id(i), name(row), _outcome(row), _alt(row, picture), svg, evidence))
    return tuple(found)


def _outcome(row: Row) -> str:
    time = pictures.as_number(row.get("time_s"))
    return plain(str(row["outcome"])) + (f", {seconds(time)}" if time is not None else "")


def _alt(row: Row, picture: pictures.Picture | None) -> str:
    moments = picture.moments.items() if picture else ()
    told = ", ".join(f"{moment} at {seconds((lo + hi) / 2)}" for moment, (lo, hi) in moments)
    return f"{name(row)}: {_outcome(row)}. {told or 'No moment was seen'}."


def _bounded(text: str) -> str:
    """No trial's evidence makes a report large."""
    lines = [clip(line, _LETTERS) for line in text.splitlines()]
    more = len(lines) - _LINES
    return "\n".join([*lines[:_LINES], *([f"and {more} more lines"] if more > 0 else [])])


def _picture(
    row: Row,
    plan: Plan | None,
    records: Mapping[str, Record],
    requests: Callable[[str], Sequence[Request]],
) -> pictures.Picture | None:
    trial = str(row.get("trial", ""))
    record = records.get(trial)
    sent = requests(trial) if record else ()
    if plan is None or record is None or not sent:
        return None
    injected = record.timeline.events.get("injected") if record.timeline else None
    moments, end_s = pictures.moments(row), pictures.as_number(row.get("fault_end_s"))
    return pictures.Picture(
        title=("calibration: " if row.get("phase") == "calibrate" else "")
        + f"{row['chaos']} / {row['workload']} · {_arm(row)} · {pictures.as_number(row.get('repeat')) or 0:g}",
        outcome=_outcome(row),
        arm=_arm(row),
        moments={"injected": (0.0, 0.0), **moments} if injected else moments,
        fault_end_s=end_s if injected and plan.chaos[str(row["chaos"])].parts else 0.0,
        horizon_s=pictures.as_number(row.get("horizon_s")) or 0.0,
        latency_s=plan.analysis.slo.latency_s,
        injected_ns=injected.at.mid_ns if injected else sent[0].sched_ns,
        requests=sent,
    )
