"""The appendix: every trial as a row, and as a picture unless there are too many. Table and requests in, blocks out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from smartops_chaos.model import MOMENTS, Arm, Plan, Record, Request
from smartops_chaos.report import pictures
from smartops_chaos.report.document import Block, Column, Figure, Section, Table
from smartops_chaos.report.style import Styles
from smartops_chaos.report.words import NONE, number, plain, seconds

_PER_FIGURE = 2 * pictures.COLUMNS  # half a page: small enough to leave no large gaps
_MOST_PICTURES = 120
_CAPTION = (
    "Dots: good requests; crosses: bad ones, and on the uppermost line those without a good answer. Dashed: the "
    "latency that the SLO allows; dotted: the horizon; shaded: the fault in force. Lines with names: the moments of "
    "the repair, in grey where they are known to lie. The mark before the name is the arm's, as in all figures."
)

Row = Mapping[str, object]


def section(
    plan: Plan | None,
    table: pd.DataFrame,
    records: Mapping[str, Record],
    requests: Callable[[str], Sequence[Request]],
    styles: Styles,
) -> Section:
    rows = _rows(table)
    blocks: list[Block] = [_listing(rows)]
    # Arms side by side, as they are compared; the table keeps the order in which the trials ran.
    order = {arm: i for i, arm in enumerate(styles)}
    rows.sort(
        key=lambda r: (
            r.get("phase") == "calibrate",
            *(str(r[name]) for name in ("chaos", "workload")),
            _number(r.get("repeat")) or 0,
            order[_arm(r)],
        )
    )
    chosen = _chosen(rows)
    shown = [p for p in (_picture(row, plan, records, requests) for row in chosen) if p]
    left_out = (
        f" {len(chosen)} of {len(rows)} trials are shown: the first repeats, and up to half of them for a flag."
        if len(chosen) < len(rows)
        else ""
    )
    for i in range(0, len(shown), _PER_FIGURE):
        some = shown[i : i + _PER_FIGURE]
        figure_id = f"fig-pictures-{i // _PER_FIGURE + 1}"
        blocks.append(
            Figure(
                figure_id,
                f"Pictures of trials, part {i // _PER_FIGURE + 1} of {-(-len(shown) // _PER_FIGURE)}",
                _CAPTION + left_out if i == 0 else "",
                " ".join(f"{p.title}: {p.outcome}." for p in some),
                pictures.sheet(figure_id, some, styles, pictures.scale(shown)),
            )
        )
    return Section("trials", "Every trial", tuple(blocks), new_page=True)


def _chosen(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """The trials that get a picture, in their order: all of them, or those that say most."""
    if len(rows) <= _MOST_PICTURES:
        return rows
    by_repeat = sorted(range(len(rows)), key=lambda i: _number(rows[i].get("repeat")) or 0)
    flagged = [i for i in by_repeat if rows[i].get("flags")][: _MOST_PICTURES // 2]
    kept = set(flagged)
    for i in by_repeat:
        if len(kept) == _MOST_PICTURES:
            break
        kept.add(i)
    return [rows[i] for i in sorted(kept)]


def _listing(trials: Sequence[Row]) -> Table:
    def cell(row: Row, name: str) -> str:
        value = row.get(name)
        if isinstance(value, float):
            return f"{value:g}"
        return NONE if value is None or value == "" else str(value)

    def time(row: Row, name: str) -> str:
        ends = [_number(row.get(f"{name}_{end}_s")) for end in ("lo", "hi")]
        return NONE if None in ends else number(sum(e for e in ends if e is not None) / 2, 2)

    rows = []
    for i, row in enumerate(trials, 1):
        name = cell(row, "trial")
        if name == NONE:
            name = " · ".join(cell(row, factor) for factor in ("chaos", "workload", "model", "policy"))
        reason = cell(row, "reason")
        outcome = plain(cell(row, "outcome"))
        rows.append((
            str(i),
            name,
            outcome if reason == NONE else f"{outcome}: {plain(reason)}",
            number(_number(row.get("time_s")), 2),
            *(time(row, moment) for moment in ("impacted", "detected", "acted", "recovered")),
            cell(row, "actions"),
            cell(row, "flags").replace(",", ", "),
        ))  # fmt: skip
    columns = (
        Column("#", "right"),
        Column("Trial", grow=6),
        Column("Outcome", grow=3),
        Column("Time", "right"),
        Column("Impacted", "right"),
        Column("Detected", "right"),
        Column("Acted", "right"),
        Column("Recovered", "right"),
        Column("Actions", "right"),
        Column("Flags", grow=2),
    )
    note = "Seconds since injection, midpoints. Time: what is scored. –: does not count, or was not seen."
    return Table("tab-trials", "All trials", columns, tuple(rows), note, small=True)


def _arm(row: Row) -> Arm:
    return Arm(str(row["model"]), str(row["policy"]))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _rows(table: pd.DataFrame) -> list[dict[str, object]]:
    """Row by row, None for what is missing."""
    columns = [str(name) for name in table.columns]
    values = table.astype(object).where(table.notna(), None).itertuples(index=False, name=None)
    return [dict(zip(columns, row, strict=True)) for row in values]


def _picture(
    row: Row,
    plan: Plan | None,
    records: Mapping[str, Record],
    requests: Callable[[str], Sequence[Request]],
) -> pictures.Picture | None:
    name = str(row.get("trial", ""))
    record = records.get(name)
    sent = requests(name) if record else ()
    if plan is None or record is None or not sent:
        return None
    injected = record.timeline.events.get("injected") if record.timeline else None
    moments = {}
    for moment in MOMENTS[1:]:
        lo, hi = _number(row.get(f"{moment}_lo_s")), _number(row.get(f"{moment}_hi_s"))
        if lo is not None and hi is not None:
            moments[moment] = (lo, hi)
    time = _number(row.get("time_s"))
    return pictures.Picture(
        title=("calibration: " if row.get("phase") == "calibrate" else "")
        + f"{row['chaos']} / {row['workload']} · {_arm(row)} · {_number(row.get('repeat')) or 0:g}",
        outcome=plain(str(row["outcome"])) + (f", {seconds(time)}" if time is not None else ""),
        arm=_arm(row),
        moments={"injected": (0.0, 0.0), **moments} if injected else moments,
        fault_end_s=_number(row.get("fault_end_s")) if injected and plan.chaos[str(row["chaos"])].parts else 0.0,
        horizon_s=_number(row.get("horizon_s")) or 0.0,
        latency_s=plan.analysis.slo.latency_s,
        injected_ns=injected.at.mid_ns if injected else sent[0].sched_ns,
        requests=sent,
    )
