"""The sections about the loop: where the time goes, where it breaks, what it answered. Summary in, blocks out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from smartops_chaos.analysis.summary import ArmSummary, Share
from smartops_chaos.model import MOMENTS
from smartops_chaos.report import loop_figures
from smartops_chaos.report.answer import arm_name
from smartops_chaos.report.document import Block, Column, Figure, Paragraph, Section, Table, grouped
from smartops_chaos.report.index import Index
from smartops_chaos.report.style import Styles
from smartops_chaos.report.words import (
    NONE,
    number,
    percent,
    percent_range,
    points,
    seconds,
    seconds_range,
    share,
    tally,
    with_range,
)


def sections(arms: Sequence[ArmSummary], styles: Styles, interval: str, index: Index) -> tuple[Section, Section]:
    return (
        Section("loop", "Where the time goes and where the loop breaks", tuple(_loop(arms, styles, interval, index))),
        Section("diagnosis", "Diagnosis", tuple(_diagnosis(arms, styles, interval, index))),
    )


def _loop(arms: Sequence[ArmSummary], styles: Styles, interval: str, index: Index) -> Iterable[Block]:
    measured = [a for a in arms if any(p.mean_s is not None for p in a.phases)]
    if measured:
        yield Figure(
            "fig-phases",
            "Phases of healed trials",
            "Mean durations; medians would not add up. Healed trials only, so not the MTTR.",
            "Stacked bars. "
            + " ".join(f"{a.arm}: {', '.join(f'{p.name} {seconds(p.mean_s)}' for p in a.phases)}." for a in measured),
            loop_figures.phases(measured, styles),
            ("tab-phases",),
        )
        yield _phases(measured)
    else:
        yield Paragraph("No trial was healed with all its moments seen, so there are no phases to show.")
    if any(a.p_detected is not None or a.p_mitigated is not None for a in arms):
        yield _detection(arms, interval, index)
    else:
        yield Paragraph("No counted trial tells when the healer detected or acted.")
    if any(a.operations.actions is not None for a in arms):
        yield _operations(arms, index)
    if any(a.funnel for a in arms):
        yield Figure(
            "fig-funnel",
            "Where the loop breaks",
            "Counted trials that reached each moment of the repair. What was lost, and why, is in the next table.",
            " ".join(f"{a.arm}: {', '.join(f'{s.moment} {s.reached}' for s in a.funnel)}." for a in arms),
            loop_figures.funnel(arms, styles),
            ("tab-losses",),
        )
        lost = [
            (
                arm_name(a),
                step.moment,
                index.link(str(step.reached), a.arm, counts_as="counted", first_missed=(*MOMENTS[i + 1 :], "nothing")),
                index.link(str(sum(step.lost.values())), a.arm, counts_as="counted", first_missed=step.moment),
                tally(step.lost),
            )
            for a in arms
            for i, step in enumerate(a.funnel)
            if any(step.lost.values())
        ]
        if lost:
            losses = (
                Column("Arm", grow=2),
                Column("Moment", grow=1),
                Column("Reached", "right"),
                Column("Lost", "right"),
                Column("Why the others did not reach it", grow=4),
            )
            yield Table("tab-losses", "Losses in the loop", losses, grouped(lost))


def _phases(arms: Sequence[ArmSummary]) -> Table:
    names = [(p.name, p.start, p.end) for p in arms[0].phases]
    rows = []
    for arm in arms:
        ns = sorted({p.n for p in arm.phases})
        means = [with_range(seconds(p.mean_s), seconds(p.measuring_error_s)) for p in arm.phases]
        rows.append((arm_name(arm), " to ".join(str(n) for n in dict.fromkeys((ns[0], ns[-1]))), *means))
    columns = (Column("Arm", grow=1), Column("n", "right"), *(Column(name, "right") for name, _, _ in names))
    note = (
        "Means, in brackets the measuring error: the median width of the interval that holds the duration. "
        + "; ".join(f"{name}: {start} → {end}" for name, start, end in names)
    )
    return Table("tab-phases", "Phases of healed trials", columns, tuple(rows), f"{note}.")


def _detection(arms: Sequence[ArmSummary], interval: str, index: Index) -> Table:
    columns = (
        Column("Arm", grow=1),
        Column("n", "right"),
        Column("Detected", "right"),
        Column(f"MTTD\n({interval} interval)", "right"),
        Column("Measured\nbetween", "right"),
        Column("Mitigated", "right"),
        Column(f"MTTM\n({interval} interval)", "right"),
        Column("Measured\nbetween", "right"),
    )
    rows = [
        (
            arm_name(a),
            index.link(str(a.counted), a.arm, counts_as="counted"),
            percent(a.p_detected),
            with_range(seconds(a.ttd.rmst_s), seconds_range(a.ttd.lo, a.ttd.hi)),
            seconds_range(*a.ttd_between or (None, None)),
            percent(a.p_mitigated),
            with_range(seconds(a.ttm.rmst_s), seconds_range(a.ttm.lo, a.ttm.hi)),
            seconds_range(*a.ttm_between or (None, None)),
        )
        for a in arms
    ]
    note = (
        "MTTD and MTTM: mean time to detect and to mitigate (the first action that succeeded), over all n counted "
        "trials, RMST as above: what was not detected or not mitigated by the horizon counts as the horizon. "
        "Measured between: the mean if every moment lay at the early, or at the late, end of its interval."
    )
    return Table("tab-detection", "Time to detect and to mitigate", columns, tuple(rows), note)


def _operations(arms: Sequence[ArmSummary], index: Index) -> Table:
    columns = (
        Column("Arm", grow=1),
        Column("Closed loop\n(n)", "right"),
        Column("Actions that\nsucceeded", "right"),
        Column("Guardrail\nblocks", "right"),
        Column("Cooldown\nskips", "right"),
        Column("Relapses", "right"),
        Column("Healed, cause\nnamed right", "right"),
        Column("Healed, wrong\nor no cause", "right"),
        Column("Measured\ntrials", "right"),
    )
    rows = [
        (
            arm_name(a),
            f"{seconds(a.operations.closed_loop_s)} ({a.operations.closed_loop_n})",
            _share(a.operations.action_success),
            index.link(_count(a.operations.guardrail_blocks), a.arm, counts_as="counted", noted="guardrail block"),
            index.link(_count(a.operations.cooldown_skips), a.arm, counts_as="counted", noted="cooldown skip"),
            index.link(_count(a.operations.relapses), a.arm, counts_as="counted", noted="relapsed"),
            _share(a.operations.healed_if_right),
            _share(a.operations.healed_if_wrong),
            _share(a.operations.reliability),
        )
        for a in arms
    ]
    note = (
        "Closed loop: mean from detected to verified, in trials that have both. Healed: healed or prevented, of the "
        "incidents whose first answer was a cause of the fault, or was not. Measured trials: the fault took effect and "
        "was measured, of all recorded with a fault; at least 90 % are wanted."
    )
    return Table("tab-operations", "What the healer did, and how reliable the tests were", columns, tuple(rows), note)


def _share(found: Share | None) -> str:
    return NONE if found is None else share(found.successes, found.n)


def _count(n: int | None) -> str:
    return NONE if n is None else str(n)


def _diagnosis(arms: Sequence[ArmSummary], styles: Styles, interval: str, index: Index) -> Iterable[Block]:
    asked = [a for a in arms if a.rca.n]
    if not asked:
        yield Paragraph("No counted trial has a cause that the healer could have named, so nothing is said here.")
        return
    ranks = sorted({k for a in asked for k in a.rca.at_k if k != "1"}, key=int)
    columns = (
        Column("Arm", grow=1),
        Column("n", "right"),
        Column("Top-1", "right"),
        Column(f"{interval}\ninterval", "right"),
        *(Column(f"AC@{k}", "right") for k in ranks),
        Column("Lift\n[points]", "right"),
        Column("Macro\nrecall", "right"),
        Column("Distinct\nanswers", "right"),
    )
    rows = [
        (
            arm_name(a),
            index.link(str(a.rca.n), a.arm, diagnosis=("right", "wrong", "no answer")),
            index.link(percent(a.rca.top1), a.arm, diagnosis="right"),
            percent_range(a.rca.lo, a.rca.hi),
            *(percent(a.rca.at_k.get(k)) for k in ranks),
            points(a.rca.lift),
            percent(a.rca.macro_recall),
            number(a.rca.answers, 0),
        )
        for a in asked
    ]
    note = (
        "Against the healer file's causes of the fault; no answer is wrong. Top-1: the first cause named was right; "
        "AC@k: one of the first k. Lift: top-1 minus the best constant answer. Macro recall: mean over the causes."
        " "
        "Fewer than two distinct answers carry no diagnostic information."
    )
    yield Table("tab-rca", "Root causes", columns, tuple(rows), note)
    speaking = [a for a in asked if a.rca.answers]
    silent = [str(a.arm) for a in asked if not a.rca.answers]
    if silent:
        yield Paragraph(f"Never answered: {', '.join(silent)}.", "note")
    if speaking:
        drawn = loop_figures.confusions(speaking, styles)
        for i, svg in enumerate(drawn, 1):
            yield Figure(
                f"fig-confusion-{i}" if i > 1 else "fig-confusion",
                "Expected and answered causes" + (f", part {i} of {len(drawn)}" if len(drawn) > 1 else ""),
                "Trials in each field; right answers are framed.",
                "Confusion matrices of root causes. " + " ".join(_answers(arm) for arm in speaking),
                svg,
                ("tab-rca",),
            )


def _answers(arm: ArmSummary) -> str:
    def told(row: Mapping[str, int]) -> str:
        return ", ".join(f"{n} {answer or 'no answer'}" for answer, n in row.items() if n)

    return (
        f"{arm.arm}: " + "; ".join(f"{cause} expected: {told(row)}" for cause, row in arm.rca.confusion.items()) + "."
    )
