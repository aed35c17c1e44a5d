"""The first page: the answer in words, the verdicts, and what they rest on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from smartops_chaos.analysis.phrases import left_out
from smartops_chaos.analysis.sentences import sentences
from smartops_chaos.analysis.sla import most_faults, window
from smartops_chaos.analysis.summary import ArmSummary, Decision, Summary, Verdict
from smartops_chaos.analysis.words import (
    NONE,
    TARGETS,
    count,
    k_of_n,
    listing,
    percent,
    percent_range,
    seconds,
    stated_seconds,
    target_value,
)
from smartops_chaos.model import Arm, Goal, Plan
from smartops_chaos.report import many_arms, naive, purpose, validity
from smartops_chaos.report.document import (
    Block,
    Box,
    Card,
    CardLine,
    Cards,
    Chip,
    Facts,
    Filling,
    Link,
    Paragraph,
    Section,
    Table,
    Text,
    col,
    table,
)
from smartops_chaos.report.page import MANY_ARMS, SEVERAL_ARMS, TONES, Page

_MOST_CARDS = 5  # arms; more stand in a table, so that the first page holds what they rest on as well
_IDS_IN_WORDS = 6
_MEANING: Mapping[Decision, str] = {
    "proven": "Proven means: shown at the level of {0}. Were the target not met, fewer than 1 of {1} campaigns would "
    "end with so good a result.",
    "missed": "Missed means: that the target is met is ruled out at the level of {0}.",
    "observed above": "Observed above means: the estimate meets the target, but chance is not ruled out.",
    "observed below": "Observed below means: the estimate is short of the target, but chance is not ruled out.",
    "trivial": "Trivial means: the target is met whatever a healer does.",
    "undecidable": "Undecidable means: the trials cannot say it, for the reason given.",
}
_UNTOLD = "The trials table does not say."


def section(page: Page) -> Section:
    told = [*sentences(page.summary)]
    told.insert(1 if page.summary.simulated else 0, " ".join(purpose.sentences(page)))  # after: nothing was measured
    blocks: list[Block] = [Paragraph(text, "lead") for text in told if text]
    several = len(page.judged) >= SEVERAL_ARMS
    if several and (advice := many_arms.recommendation(page.summary)):
        blocks.append(Paragraph(advice, "lead"))
    if several:
        blocks += many_arms.arms_and_faults(page)
    blocks.append(Cards(_cards(page)) if len(page.judged) <= _MOST_CARDS else _verdicts(page))
    if meaning := [text for word, text in _MEANING.items() if any(v.verdict == word for v in page.summary.verdicts)]:
        blocks.append(Paragraph(" ".join(meaning).format(percent(page.summary.alpha, 1), _one_of(page)), "note"))
    if weak := validity.doubts(page):
        blocks.append(_weak(weak))
    if several:
        blocks += many_arms.against_each_other(page)
    blocks.append(Facts(tuple(_facts(page))))
    return Section("answer", "The answer", tuple(blocks))


def _weak(warnings: Sequence[str]) -> Box:
    """All that makes the result weak, and first the one command that mends most."""
    commands = [
        command for text in warnings for command in text.split("`")[1::2] if command.startswith("smartops-chaos ")
    ]
    runs = [c for c in commands if " --repeats " in c] or [c for c in commands if c.startswith("smartops-chaos run ")]
    best = (runs or commands or [""])[-1 if runs and " --repeats " in runs[-1] else 0]
    first = (f"Run this first: `{best}`",) if best else ()
    return Box("What makes this result weak, and what mends it", (*first, *warnings), "weak")


# ---- verdicts ------------------------------------------------------------------------------------------------


def _cards(page: Page) -> tuple[Card, ...]:
    with_why = len(page.judged) <= MANY_ARMS
    cards = []
    for target, title in TARGETS.items():
        verdicts = [v for v in page.summary.verdicts if v.target == target]
        lines = tuple(_card_line(page, v, with_why) for v in verdicts)
        if not lines:
            lines = (CardLine("no arm to judge", NONE, "undecidable", "none", ()),)
        wanted = f"target: at least {percent(verdicts[0].wanted)}" if verdicts else "not judged"
        cards.append(Card(title, wanted, lines))
    return tuple(cards)


def _card_line(page: Page, verdict: Verdict, with_why: bool) -> CardLine:
    value = target_value(verdict.value, verdict.target)
    arm = next((a for a in page.arms if a.arm == verdict.arm), None)
    lines: list[tuple[str, str]] = []
    if with_why and arm and verdict.value is not None and verdict.says:
        lines.append(("Measured", _measured(page, arm, verdict)))
        lines.append(("Certainty", certainty(page, arm, verdict)))
        if other := naive.told(page, arm, verdict.target):
            lines.append(("Beware", other))
    elif with_why:
        lines.append(("Why", verdict.why))
    if verdict.at_worst is not None and verdict.at_best is not None and verdict.at_worst != verdict.at_best:
        ends = (target_value(end, verdict.target) for end in (verdict.at_worst, verdict.at_best))
        lines.append(("Lost trials", "{} if all of them had gone badly, {} if well.".format(*ends)))
    return CardLine(str(verdict.arm), value, verdict.verdict, TONES[verdict.verdict], tuple(lines))


def _measured(page: Page, arm: ArmSummary, verdict: Verdict) -> str:
    """What was counted or timed, beside the baseline."""
    baseline, plan = page.summary.baseline, page.summary.plan
    if verdict.target == "mttr_reduction":
        comparison = page.summary.deciding(arm.arm)
        return (
            f"{seconds(arm.mttr.rmst_s)}; the baseline {seconds(comparison.baseline_rmst_s if comparison else None)}."
        )
    if verdict.target == "auto_heal":
        told = f"{k_of_n(arm.auto_heal.successes, arm.auto_heal.n)} incidents ended without a person"
        return told + (
            f"; in the baseline {k_of_n(baseline.auto_heal.successes, baseline.auto_heal.n)}." if baseline else "."
        )
    sla = plan.sla if plan else None
    if sla is None:
        return f"{verdict.says}."
    told = f"{percent(verdict.value, 3)} with {sla.faults:g} such faults in {window(sla)}"
    told += (
        f"; the baseline {percent(baseline.sla.availability, 3)}." if baseline and baseline.sla.availability else "."
    )
    return f"{told}{_kept_up_to(page, arm, verdict.wanted)}"


def _kept_up_to(page: Page, arm: ArmSummary, wanted: float) -> str:
    """Up to how many faults the target holds, so that a reader may doubt the number that the plan expects."""
    plan, baseline = page.summary.plan, page.summary.baseline
    if plan is None or plan.sla is None or plan.sla.repair_s:
        return ""
    most = most_faults(arm.sla.availability, plan.sla, wanted)
    if most is None:
        return ""
    told = f" On average it keeps {percent(wanted)} up to {most:,} such faults in {window(plan.sla)}"
    theirs = most_faults(baseline.sla.availability, plan.sla, wanted) if baseline else None
    return told + (f"; the baseline up to {theirs:,}." if theirs is not None else ".")


def certainty(page: Page, arm: ArmSummary, verdict: Verdict) -> str:
    """The interval, and what the verdict says of chance."""
    comparison = page.summary.deciding(arm.arm)
    between = NONE
    if verdict.target == "mttr_reduction" and comparison:
        between = percent_range(comparison.mttr_reduction.lo, comparison.mttr_reduction.hi)
    elif verdict.target == "auto_heal":
        between = percent_range(arm.auto_heal.lo, arm.auto_heal.hi)
    elif verdict.target == "sla":
        between = percent_range(arm.sla.lo, arm.sla.hi, 3)
    told = [f"{page.level} interval {between}"] if between != NONE else []
    rest = verdict.why.removeprefix(verdict.says).lstrip(";, ").removeprefix("but ")
    told += [text[:1].upper() + text[1:] for text in rest.split("; ") if text]
    return (
        " ".join(f"{text.rstrip('.')}." for text in told)
        .replace("p = ", "p\u00a0=\u00a0")
        .replace("p < ", "p\u00a0<\u00a0")
    )


def _one_of(page: Page) -> str:
    return f"{1 / page.summary.alpha:g}"


def _verdicts(page: Page) -> Table:
    """The same as cards for many arms: a row for each."""
    verdicts = {(v.arm, v.target): v for v in page.summary.verdicts}
    wanted = {v.target: percent(v.wanted) for v in page.summary.verdicts}

    # Figure spaces before shorter values: the verdicts stand below each other.
    width = {t: max(len(target_value(v.value, t)) for v in verdicts.values() if v.target == t) for t in wanted}

    def target_column(target: Goal) -> Filling[Arm]:
        def told(arm: Arm) -> Text:
            verdict = verdicts.get((arm, target))
            if verdict is None:
                return NONE
            return (
                f"{target_value(verdict.value, target):\u2007>{width[target]}} ",
                Chip(verdict.verdict, TONES[verdict.verdict]),
            )

        return col(f"{TARGETS[target]}\nat least {wanted[target]}", told, align="left")

    columns: list[Filling[Arm]] = [
        col("Arm", str, grow=1),
        *(target_column(target) for target in TARGETS if target in wanted),
    ]
    return table("tab-targets", "Targets", many_arms.fastest_first(page), columns)


# ---- what it rests on ----------------------------------------------------------------------------------------


def _facts(page: Page) -> Iterable[tuple[str, Text]]:
    """What was not found at all shares a row."""
    arms, columns = page.arms, page.table
    yield "Trials", _trials(page)
    excluded = any(n for reasons in page.summary.excluded.values() for n in reasons.values())
    contested, needless = sum(a.contested for a in arms), sum(a.needless_actions for a in arms)
    if excluded:
        yield "Left out", page.index.link(left_out(page.summary.excluded), counts_as="left out")
    yield "Horizon", "; ".join(horizons(page.plan, page.table)) or NONE
    yield "Calibration", _calibration(page.summary)
    widths = _by_arm({str(a.arm): seconds(a.measuring_error_s) for a in arms if a.measuring_error_s is not None})
    unmeasured = _UNTOLD if "recovered_lo_s" not in columns else "No recovery was seen."
    told = "The moment of a recovery is known to lie in an interval. Its width (median)"
    yield "Measuring error", f"{told}: {widths}." if widths else unmeasured
    if watched := _watched(page):
        yield "Watched on", watched
    if contested or "flags" not in columns:
        yield "Contested", _contested(page) if "flags" in columns else _UNTOLD
    alarms = _by_arm({str(a.arm): k_of_n(a.false_alarms, a.controls) for a in arms if a.controls})
    yield "False alarms", f"{alarms}, of trials without a fault." if alarms else "No trial without a fault was run."
    if needless and "needless_actions" in columns:
        by_arm = _by_arm({str(a.arm): str(a.needless_actions) for a in arms if a.needless_actions})
        yield "Needless actions", f"{by_arm}."
    elif "needless_actions" not in columns:
        yield "Needless actions", _UNTOLD
    none = [
        *(["trials that were left out"] if not excluded else []),
        *(["trials in which it is doubtful who ended the outage"] if not contested and "flags" in columns else []),
        *(["needless actions"] if not needless and "needless_actions" in columns else []),
    ]
    if none:
        yield "There were no", f"{listing(none)}."


def _trials(page: Page) -> str:
    arms = page.arms
    each = {a.trials for a in arms}
    measured, counted = sum(a.trials for a in arms), sum(a.counted for a in arms)
    calibration = sum(c.n + c.left_out for c in page.summary.calibration)
    controls = sum(a.controls for a in arms)
    where = f"in {count(len(arms), 'arm')}"
    if len(each) == 1 and len(arms) > 1:
        where = f"{each.pop()} in each of {count(len(arms), 'arm')}"
    told = f"{count(measured, 'trial')} measured ({where})."
    if calibration:
        told = (
            f"{count(measured + calibration, 'trial')}: {measured} measured ({where}), {calibration} for calibration."
        )
    told += " All measured ones" if counted == measured else f" {counted} of the measured ones"
    told += " have a confirmed fault, and count."
    return told + (f" {controls} ran without a fault and show false alarms." if controls else "")


def _watched(page: Page) -> str:
    """How long the trials of a healer were watched after they had recovered."""
    frozen = page.summary.plan.frozen if page.summary.plan else None
    late = {str(a.arm): a.operations.late_relapses for a in page.arms if page.has_healer(a)}
    known = {arm: share for arm, share in late.items() if share and share.n}
    if frozen is None or not known:
        return ""
    told = [
        f"{arm}: of {count(share.n, 'trial')} that went on to the horizon {share.successes or 'none'} went bad again "
        f"({page.level} interval {percent_range(share.lo, share.hi)})"
        for arm, share in list(known.items())[:_MOST_CARDS]
    ]
    return f"A trial ends when health has lasted {stated_seconds(frozen.stop_after_good_s)}. {'; '.join(told)}."


def _by_arm(told: Mapping[str, str]) -> str:
    """Once where they are alike; "" without any."""
    if len(told) > 1 and len(set(told.values())) == 1:
        return f"{next(iter(told.values()))} in each of {len(told)} arms"
    return "; ".join(f"{arm}: {text}" for arm, text in told.items())


def horizons(plan: Plan | None, trials: pd.DataFrame) -> list[str]:
    """Such as "12 s for pod-kill (stated reason: ...)": one entry for each horizon and reason."""
    groups: defaultdict[tuple[float, str], list[str]] = defaultdict(list)
    if plan:
        for name, chaos in plan.chaos.items():
            if chaos.parts:
                groups[chaos.horizon_s, chaos.because].append(name)
    else:
        faults = trials[~trials["outcome"].isin(["clean", "false_alarm"])]
        for key, horizon in faults.groupby("chaos", sort=True)["horizon_s"].first().items():
            groups[float(horizon), ""].append(str(key))
    texts = []
    for (horizon, because), names in groups.items():
        where = f" for {listing(names)}" if len(groups) > 1 else ""
        reason = f"stated reason: {because}" if because else "without a stated reason"
        texts.append(f"{stated_seconds(horizon)}{where} ({reason})")
    return texts


def _calibration(summary: Summary) -> str:
    n = sum(c.n for c in summary.calibration)
    if not n:
        return "No calibration trial counts: nothing shows here that the instrument tells the truth."
    told = []
    if known := [c for c in summary.calibration if c.error_s is not None]:
        weights = [(c, c.n - c.not_recovered) for c in known]
        error = sum((c.error_s or 0.0) * back for c, back in weights) / sum(back for _, back in weights)
        worst = max((c.worst_s or 0.0 for c in known), key=abs)
        told.append(f"dating error {seconds(error, sign=True)} on average, {seconds(worst, sign=True)} at worst")
    if drains := [c.drain_s for c in known if c.drain_s is not None]:
        told.append(f"the service needed up to {seconds(max(drains))} more to work off its backlog")
    lost = sum(c.not_recovered for c in summary.calibration)
    told.append(f"{lost} did not recover" if lost else "all recovered")
    return f"In {count(n, 'trial')} the harness itself ended the fault: {'; '.join(told)}."


def _contested(page: Page) -> Text:
    n = sum(a.contested for a in page.arms)
    text = f"{count(n, 'trial')} counted as the platform's, since it is doubtful who ended the outage"
    rows = page.index.find(noted="contested", counts_as=("counted", "control", "left out"))
    if not rows:
        return f"{text}."
    named: list[str | Link] = [f"{text}: "]
    for row in rows[:_IDS_IN_WORDS]:
        named += [page.index.trial(row), ", "]
    return (*named[:-1], f" and {len(rows) - _IDS_IN_WORDS} others." if len(rows) > _IDS_IN_WORDS else ".")
