"""The sections about the loop of a repair: where the time goes, where the loop breaks, which causes it named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from smartops_chaos.analysis.summary import ArmSummary, FunnelStep, Mttr, Race, Share
from smartops_chaos.analysis.table import texts
from smartops_chaos.analysis.words import (
    NONE,
    count,
    ended,
    k_of_n,
    number,
    percent,
    percent_range,
    points,
    seconds,
    seconds_range,
    stated_seconds,
    tally,
    with_range,
)
from smartops_chaos.model import MOMENTS
from smartops_chaos.report.document import Block, Figure, Filling, Paragraph, Section, Table, Text, col, table
from smartops_chaos.report.figures import repair_steps
from smartops_chaos.report.page import Page, arm_name
from smartops_chaos.report.style import both

_ARMS_IN_WORDS = 3
STEPS = {  # in words
    "detect": "Detection",
    "diagnose": "Diagnosis",
    "decide": "Decision",
    "act": "Action",
    "recover": "Recovery after the action",
}
_FEW_ARMS = 5  # whose funnels stand beside each other in a figure that is no page


def sections(page: Page) -> tuple[Section, Section]:
    return (
        Section("loop", "Where the time goes and where the loop breaks", tuple(_loop(page))),
        Section("diagnosis", "Diagnosis", tuple(_diagnosis(page))),
    )


def healers(page: Page) -> list[ArmSummary]:
    """The arms in which a healer runs: only they can detect, decide and act."""
    return [a for a in page.arms if page.has_healer(a)]


def _any_lost(arms: Sequence[ArmSummary]) -> bool:
    return any(any(step.lost.values()) for a in arms for step in a.funnel)


def _longest_told(arms: Sequence[ArmSummary]) -> str:
    """The longest step of each arm, for a few arms."""
    told = []
    for arm in arms[:_ARMS_IN_WORDS]:
        longest = max(arm.phases, key=lambda p: p.mean_s or 0.0)
        whole = sum(p.mean_s or 0.0 for p in arm.phases)
        step = STEPS.get(longest.name, longest.name)
        told.append(f"{step} with {arm.arm}, {seconds(longest.mean_s)} of {seconds(whole)}")
    more = len(arms) - len(told)
    rest = f"; {count(more, 'more arm')} below" if more else ""
    return f"The longest step of a repair: {'; '.join(told)}{rest}."


def _not_mttr(arms: Sequence[ArmSummary]) -> str:
    """That is the MTTR only where every trial that counts was healed."""
    alike = all(a.phases[-1].n == a.counted for a in arms)
    return (
        ", here equal to the MTTR since all trials were healed" if alike else ", not the MTTR, which counts all trials"
    )


def _lost_told(arms: Sequence[ArmSummary]) -> str:
    if not _any_lost(arms):
        return "No trial was lost on the way from injection to recovery."
    lost = [(sum(s.lost.values()), a, s.moment) for a in arms for s in a.funnel]
    n, arm, moment = max(lost, key=lambda one: one[0])
    return f"Most is lost with {arm.arm} before the moment {moment}: {n} of {count(arm.counted, 'trial')}."


def _loop(page: Page) -> Iterable[Block]:
    arms = page.arms
    measured = [a for a in arms if any(p.mean_s is not None for p in a.phases)]
    if measured:
        svg, narrow = both(lambda: repair_steps.phases(measured, page.styles))
        yield Figure(
            "fig-phases",
            "Steps of healed trials",
            _longest_told(measured),
            "Stacked bars. " + " ".join(map(_steps_told, measured)),
            svg,
            ("tab-phases",),
            (
                ("Bar", f"the mean time of a step; together the mean of the healed trials{_not_mttr(measured)}"),
                *([("Tick", "a moment for which the recovery did not wait")] if any(a.aside for a in measured) else []),
            ),
            narrow=narrow,
        )
    else:
        yield Paragraph("No trial was healed with all its moments seen, so there are no phases to show.")
    if len(arms) <= _FEW_ARMS:
        yield from _funnel(page)
    if _any_lost(healers(page)):
        yield _losses(page)


def _funnel(page: Page) -> Iterable[Block]:
    """Where nothing was lost a sentence says all that eight equal bars would."""
    arms = healers(page)
    if not any(a.funnel for a in arms):
        return
    if not _any_lost(arms):
        yield Paragraph(_lost_told(arms))
    else:
        svg, narrow = both(lambda: repair_steps.funnel(arms, page.styles))
        yield Figure(
            "fig-funnel",
            "Where the loop breaks",
            _lost_told(arms),
            " ".join(f"{a.arm}: {', '.join(f'{s.moment} {s.reached}' for s in a.funnel)}." for a in arms),
            svg,
            ("tab-losses",),
            (("Bar", "counted trials that reached the moment"), ("Hatched", "trials that the platform ended")),
            narrow=narrow,
        )


def more(page: Page) -> Iterable[Block]:
    """What the appendix adds: the numbers of the steps, of detection, and of what the healer did."""
    arms = page.arms
    measured = [a for a in arms if any(p.mean_s is not None for p in a.phases)]
    if len(arms) > _FEW_ARMS:
        yield from _funnel(page)
    if measured:
        yield _phases(measured)
    if any(a.detection or a.mitigation for a in healers(page)):
        yield _detection(page)
    else:
        yield Paragraph("No incident tells whether and when the healer detected or acted.")
    if any(a.operations.actions is not None for a in healers(page)):
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

    ends = ", ".join(f"{p.name} to {p.end}" for p in arms[0].phases)
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
        "Means over the healed trials whose detection and action are on record.",
        (
            ("Steps", f"each from the one before: {ends}"),
            ("In brackets", "the measuring error: the median width of the interval that holds the duration"),
            ("Beside the path", "moments for which nothing waited, such as a diagnosis after the decision"),
            ("n", "without trials in which a clock was stepped"),
        ),
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
        healers(page),
        [
            col("Arm", arm_name, grow=1),
            col(f"Detected\n({page.level} interval)", lambda a: seen(a.detection)),
            col("By\nchance", lambda a: chance(a.detection)),
            col("MTTD", lambda a: mean(a.detection)),
            col("Time undetected\n(between)", lambda a: until(a.ttd, a.ttd_between)),
            col(f"Mitigated\n({page.level} interval)", lambda a: seen(a.mitigation)),
            col("By\nchance", lambda a: chance(a.mitigation)),
            col("MTTM", lambda a: mean(a.mitigation)),
            col("Time unmitigated\n(between)", lambda a: until(a.ttm, a.ttm_between)),
        ],
        "How many incidents the healer noticed and acted on, and when.",
        (
            ("Detected", "noticed before the incident ended"),
            ("Mitigated", "a successful action on an affected object before it ended"),
            ("MTTD, MTTM", "mean time to the detection, to that action, of the incidents that had one"),
            ("Time undetected, unmitigated", "over all incidents, to that moment or to their end"),
            ("Between", "if every moment lay at the early, or at the late end of its interval"),
            *(
                [("By chance", "how many the false alarms in trials without a fault would have hit")]
                if any(a.controls for a in healers(page))
                else []
            ),
        ),
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
        healers(page),
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
        "Actions, relapses and trials that could be measured, of each arm with a healer.",
        (
            ("Closed loop", "mean time from detected to verified"),
            ("Relapses", "trials in which health did not last"),
            (
                "Late relapses",
                f"after health had lasted{_stop_after(page)}, of those watched on ({page.level} interval)",
            ),
            ("Healed, cause named right", "of the incidents whose first named cause was a cause of the fault"),
            ("Measured trials", "their fault took effect; at least 90 % are wanted"),
        ),
        small=True,
    )


def _stop_after(page: Page) -> str:
    return f" for {stated_seconds(page.plan.analysis.stop_after_good_s)}" if page.plan else ""


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
        [(arm, step) for arm in healers(page) for step in arm.funnel if any(step.lost.values())],
        [
            col("Arm", lambda loss: arm_name(loss[0]), grow=2),
            col("Moment", lambda loss: loss[1].moment, grow=1),
            col("Reached", reached),
            col("Lost", lost),
            col("Why the others did not reach it", lambda loss: _why(loss[1].lost), grow=4),
        ],
        "Each line is a moment that some trials did not reach, though they had reached the one before.",
        group=True,
    )


def _why(lost: Mapping[str, int]) -> str:
    told: dict[str, int] = {}
    for key, n in lost.items():
        outcome, _, reason = key.partition(": ")
        told[ended(outcome, reason)] = told.get(ended(outcome, reason), 0) + n
    return tally(told)


# ---- diagnosis -----------------------------------------------------------------------------------------------


def _diagnosis(page: Page) -> Iterable[Block]:
    asked = [a for a in healers(page) if a.rca.n]
    if not asked:
        yield Paragraph("No counted trial has a cause that the healer could have named, so nothing is said here.")
        return
    if told := " ".join(filter(None, (use_of_diagnosis(page, a) for a in asked))):
        yield Paragraph(told)
    yield _causes(page, asked)
    speaking = [a for a in asked if a.rca.answers]
    silent = [str(a.arm) for a in asked if not a.rca.answers]
    if silent:
        yield Paragraph(f"Never answered: {', '.join(silent)}.", "note")
    if speaking and any(a.rca.top1 != 1.0 for a in speaking):  # else the diagonal says no more than the table
        drawn = repair_steps.confusions(speaking, page.styles)
        for i, svg in enumerate(drawn, 1):
            yield Figure(
                f"fig-confusion-{i}" if i > 1 else "fig-confusion",
                "Expected and answered causes" + (f", part {i} of {len(drawn)}" if len(drawn) > 1 else ""),
                f"{_right_told(speaking)} Each field is a number of trials; right answers are framed.",
                "Confusion matrices of root causes. " + " ".join(_answers(arm) for arm in speaking),
                svg,
                ("tab-rca",),
            )


def use_of_diagnosis(page: Page, arm: ArmSummary) -> str:
    """Whether the healer's action waited for the diagnosis, from the trials that have both moments."""
    rows = page.counted
    columns = ["acted_lo_s", "acted_hi_s", "diagnosed_lo_s", "diagnosed_hi_s"]
    if not set(columns) <= set(rows.columns):
        return ""
    own = rows[(texts(rows, "model") == arm.model) & (texts(rows, "policy") == arm.policy)][columns].dropna()
    if own.empty:
        return ""
    before = int((own["acted_hi_s"] < own["diagnosed_lo_s"]).sum())
    if not before:
        return ""
    both = count(len(own), "trial")
    where = f"all {both}" if before == len(own) else f"{before} of {both}"
    return (
        f"With {arm.arm} the action was over before the diagnosis in {where}: there the diagnosis had no part in the "
        "repair."
    )


def _right_told(arms: Sequence[ArmSummary]) -> str:
    told = [f"{percent(a.rca.top1)} with {a.arm}" for a in arms[:_ARMS_IN_WORDS]]
    more = len(arms) - len(told)
    return f"The first named cause was right in {', '.join(told)}{f' ({more} more arms are shown)' if more else ''}."


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
        _right_told(arms),
        (
            ("Right", "the healer file names the answer as a cause of the fault; a missing answer is wrong"),
            ("Top-1, AC@k", "the first named cause was right; one of the first k was"),
            ("Lift", "top-1 minus what the best constant answer would reach"),
            ("Macro recall", "the share of right answers for each cause, and the mean of these"),
            ("Distinct answers", "fewer than two tell nothing"),
        ),
    )


def _answers(arm: ArmSummary) -> str:
    def told(row: Mapping[str, int]) -> str:
        return ", ".join(f"{n} {answer or 'no answer'}" for answer, n in row.items() if n)

    return (
        f"{arm.arm}: " + "; ".join(f"{cause} expected: {told(row)}" for cause, row in arm.rca.confusion.items()) + "."
    )
