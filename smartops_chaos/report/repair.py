"""The sections about the loop of a repair: where the time goes, where the loop breaks, which causes it named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from smartops_chaos.analysis.summary import ArmSummary, FunnelStep, Mttr, Race, Share
from smartops_chaos.analysis.words import (
    NONE,
    k_of_n,
    number,
    percent,
    percent_range,
    points,
    seconds,
    seconds_range,
    tally,
    with_range,
)
from smartops_chaos.model import MOMENTS
from smartops_chaos.report.document import Block, Figure, Filling, Paragraph, Section, Table, Text, col, table
from smartops_chaos.report.figures import repair_steps
from smartops_chaos.report.page import Page, arm_name

_FEW_ARMS = 5  # whose funnels stand beside each other in a figure that is no page


def sections(page: Page) -> tuple[Section, Section]:
    return (
        Section("loop", "Where the time goes and where the loop breaks", tuple(_loop(page))),
        Section("diagnosis", "Diagnosis", tuple(_diagnosis(page))),
    )


def _loop(page: Page) -> Iterable[Block]:
    arms = page.arms
    measured = [a for a in arms if any(p.mean_s is not None for p in a.phases)]
    if measured:
        yield Figure(
            "fig-phases",
            "Steps of healed trials",
            "Mean durations in the order of the steps; together they are the mean time of these trials, which is not "
            "the MTTR, since that counts all trials. Ticks: moments on which the recovery did not wait.",
            "Stacked bars. " + " ".join(map(_steps_told, measured)),
            repair_steps.phases(measured, page.styles),
            ("tab-phases",),
        )
    else:
        yield Paragraph("No trial was healed with all its moments seen, so there are no phases to show.")
    if len(arms) <= _FEW_ARMS:
        yield from _funnel(page)
    if any(any(step.lost.values()) for a in arms for step in a.funnel):
        yield _losses(page)


def _funnel(page: Page) -> Iterable[Figure]:
    arms = page.arms
    if any(a.funnel for a in arms):
        yield Figure(
            "fig-funnel",
            "Where the loop breaks",
            "Counted trials that reached each moment of the repair by the healer; hatched: those that the "
            "platform ended "
            "by itself. What was lost, and why, is in the table of losses.",
            " ".join(f"{a.arm}: {', '.join(f'{s.moment} {s.reached}' for s in a.funnel)}." for a in arms),
            repair_steps.funnel(arms, page.styles),
            ("tab-losses",) if any(any(step.lost.values()) for a in arms for step in a.funnel) else (),
        )


def more(page: Page) -> Iterable[Block]:
    """What the appendix adds: the numbers of the steps, of detection, and of what the healer did."""
    arms = page.arms
    measured = [a for a in arms if any(p.mean_s is not None for p in a.phases)]
    if len(arms) > _FEW_ARMS:
        yield from _funnel(page)
    if measured:
        yield _phases(measured)
    if any(a.detection or a.mitigation for a in arms):
        yield _detection(page)
    else:
        yield Paragraph("No incident tells whether and when the healer detected or acted.")
    if any(a.operations.actions is not None for a in arms):
        yield _operations(page)


def _steps_told(arm: ArmSummary) -> str:
    steps = [f"{p.name} {seconds(p.mean_s)}" for p in arm.phases if p.mean_s is not None]
    beside = [f"{one.moment} at {seconds(one.mean_s)}" for one in arm.aside]
    return f"{arm.arm}: {', '.join(steps)}" + (f"; beside the path {', '.join(beside)}." if beside else ".")


def _phases(arms: Sequence[ArmSummary]) -> Table:
    def phase(i: int) -> Filling[ArmSummary]:
        def mean(arm: ArmSummary) -> str:
            return with_range(seconds(arm.phases[i].mean_s), seconds(arm.phases[i].measuring_error_s))

        return col(arms[0].phases[i].name, mean)

    def beside(arm: ArmSummary) -> str:
        return ", ".join(f"{one.moment} {seconds(one.mean_s)} (n = {one.n})" for one in arm.aside) or NONE

    ends = "; ".join(f"{p.name}: to {p.end}" for p in arms[0].phases)
    return table(
        "tab-phases",
        "Steps of healed trials",
        arms,
        [
            col("Arm", arm_name, grow=1),
            col("n", lambda a: str(a.phases[-1].n)),
            *map(phase, range(len(arms[0].phases))),
            col("Sum", lambda a: seconds(sum(p.mean_s or 0.0 for p in a.phases))),
            col("Beside\nthe path", beside),
        ],
        "Means over the n healed trials whose detection and action are on record; without those in which a clock was "
        f"stepped. In brackets the measuring error: the median width of the interval that holds the duration. {ends}; "
        "each from the step before. A diagnosis after the decision is no step of that trial, as nothing waited for it.",
    )


def _detection(page: Page) -> Table:
    def seen(race: Race | None) -> str:
        return NONE if race is None else with_range(k_of_n(race.seen, race.n), percent_range(race.lo, race.hi))

    def chance(race: Race | None) -> str:
        return NONE if race is None else percent(race.by_chance)

    def mean(race: Race | None) -> str:
        return NONE if race is None else seconds(race.mean_s)

    def until(to: Mttr, between: tuple[float, float] | None) -> str:
        return with_range(seconds(to.rmst_s), seconds_range(*between or (None, None)))

    return table(
        "tab-detection",
        "Time to detect and to mitigate",
        page.arms,
        [
            col("Arm", arm_name, grow=1),
            col(f"Detected\n({page.level} interval)", lambda a: seen(a.detection)),
            col("By\nchance", lambda a: chance(a.detection)),
            col("MTTD", lambda a: mean(a.detection)),
            col("Undetected\n(between)", lambda a: until(a.ttd, a.ttd_between)),
            col(f"Mitigated\n({page.level} interval)", lambda a: seen(a.mitigation)),
            col("By\nchance", lambda a: chance(a.mitigation)),
            col("MTTM", lambda a: mean(a.mitigation)),
            col("Unmitigated\n(between)", lambda a: until(a.ttm, a.ttm_between)),
        ],
        "Of all incidents, those that were detected, or mitigated by an action on an affected object, before they "
        "ended; one that ended by itself before that needed no detection. By chance: what the false alarms in trials "
        "without a fault would have hit. MTTD, MTTM: mean time of those that were. Undetected, unmitigated: mean time "
        "of all incidents until that or their end; in brackets if all moments lay at the early, or the late, end of "
        "their intervals. Trials in which a clock was stepped are left out.",
        small=True,
    )


def _operations(page: Page) -> Table:
    def share(value: Share | None) -> str:
        return NONE if value is None else k_of_n(value.successes, value.n)

    def late(value: Share | None) -> str:
        if value is None:
            return NONE
        return with_range(k_of_n(value.successes, value.n), percent_range(value.lo, value.hi))

    def noted(arm: ArmSummary, n: int | None, word: str) -> Text:
        return page.index.link(NONE if n is None else str(n), arm.arm, counts_as="counted", noted=word)

    return table(
        "tab-operations",
        "What the healer did, and how reliable the tests were",
        page.arms,
        [
            col("Arm", arm_name, grow=1),
            col("Closed loop\n(n)", lambda a: f"{seconds(a.operations.closed_loop_s)} ({a.operations.closed_loop_n})"),
            col("Actions that\nsucceeded", lambda a: share(a.operations.action_success)),
            col("Guardrail\nblocks", lambda a: noted(a, a.operations.guardrail_blocks, "guardrail block")),
            col("Cooldown\nskips", lambda a: noted(a, a.operations.cooldown_skips, "cooldown skip")),
            col("Relapses", lambda a: noted(a, a.operations.relapses, "relapsed")),
            col("Late\nrelapses", lambda a: late(a.operations.late_relapses)),
            col("Healed, cause\nnamed right", lambda a: share(a.operations.healed_if_right)),
            col("Healed, wrong\nor no cause", lambda a: share(a.operations.healed_if_wrong)),
            col("Measured\ntrials", lambda a: share(a.operations.reliability)),
        ],
        "Closed loop: mean from detected to verified, in trials that have both. Healed: healed or prevented, of the "
        "incidents whose first answer was a cause of the fault, or was not. Late relapses: trials that went bad again "
        "when health had lasted for `stop_after_good`, of those in which that could be seen, as a random fifth of the "
        f"blocks is observed to the horizon ({page.level} interval). Measured trials: the fault took effect and was "
        "measured, of all recorded with a fault; at least 90 % are wanted.",
        small=True,
    )


def _losses(page: Page) -> Table:
    Loss = tuple[ArmSummary, FunnelStep]

    def reached(loss: Loss) -> Text:
        arm, step = loss
        later = (*MOMENTS[MOMENTS.index(step.moment) + 1 :], "nothing")
        return page.index.link(str(step.reached), arm.arm, counts_as="counted", first_missed=later)

    def lost(loss: Loss) -> Text:
        arm, step = loss
        n = sum(step.lost.values())
        return page.index.link(str(n), arm.arm, counts_as="counted", first_missed=step.moment)

    return table(
        "tab-losses",
        "Losses in the loop",
        [(arm, step) for arm in page.arms for step in arm.funnel if any(step.lost.values())],
        [
            col("Arm", lambda loss: arm_name(loss[0]), grow=2),
            col("Moment", lambda loss: loss[1].moment, grow=1),
            col("Reached", reached),
            col("Lost", lost),
            col("Why the others did not reach it", lambda loss: tally(loss[1].lost), grow=4),
        ],
        group=True,
    )


# ---- diagnosis -----------------------------------------------------------------------------------------------


def _diagnosis(page: Page) -> Iterable[Block]:
    asked = [a for a in page.arms if a.rca.n]
    if not asked:
        yield Paragraph("No counted trial has a cause that the healer could have named, so nothing is said here.")
        return
    yield _causes(page, asked)
    speaking = [a for a in asked if a.rca.answers]
    silent = [str(a.arm) for a in asked if not a.rca.answers]
    if silent:
        yield Paragraph(f"Never answered: {', '.join(silent)}.", "note")
    if speaking:
        drawn = repair_steps.confusions(speaking, page.styles)
        for i, svg in enumerate(drawn, 1):
            yield Figure(
                f"fig-confusion-{i}" if i > 1 else "fig-confusion",
                "Expected and answered causes" + (f", part {i} of {len(drawn)}" if len(drawn) > 1 else ""),
                "Trials in each field; right answers are framed.",
                "Confusion matrices of root causes. " + " ".join(_answers(arm) for arm in speaking),
                svg,
                ("tab-rca",),
            )


def _causes(page: Page, arms: Sequence[ArmSummary]) -> Table:
    link = page.index.link

    def among_first(k: str) -> Filling[ArmSummary]:
        return col(f"AC@{k}", lambda a: percent(a.rca.at_k.get(k)))

    return table(
        "tab-rca",
        "Root causes",
        arms,
        [
            col("Arm", arm_name, grow=1),
            col("n", lambda a: link(str(a.rca.n), a.arm, diagnosis=("right", "wrong", "no answer"))),
            col("Top-1", lambda a: link(percent(a.rca.top1), a.arm, diagnosis="right")),
            col(f"{page.level}\ninterval", lambda a: percent_range(a.rca.lo, a.rca.hi)),
            *map(among_first, sorted({k for a in arms for k in a.rca.at_k if k != "1"}, key=int)),
            col("Lift\n[points]", lambda a: points(a.rca.lift)),
            col("Macro\nrecall", lambda a: percent(a.rca.macro_recall)),
            col("Distinct\nanswers", lambda a: number(a.rca.answers, 0)),
        ],
        "Against the healer file's causes of the fault; a missing answer counts as wrong. Top-1: the first "
        "cause named was right; "
        "AC@k: one of the first k. Lift: top-1 minus the best constant answer. Macro recall: mean over the causes. "
        "Fewer than two distinct answers carry no diagnostic information.",
    )


def _answers(arm: ArmSummary) -> str:
    def told(row: Mapping[str, int]) -> str:
        return ", ".join(f"{n} {answer or 'no answer'}" for answer, n in row.items() if n)

    return (
        f"{arm.arm}: " + "; ".join(f"{cause} expected: {told(row)}" for cause, row in arm.rca.confusion.items()) + "."
    )
