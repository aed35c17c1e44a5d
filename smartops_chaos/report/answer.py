"""The first page: the answer in words, the verdicts, and what they rest on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import pandas as pd

from smartops_chaos.analysis.summary import ArmSummary, Comparison, Decision, Summary, Verdict
from smartops_chaos.model import ALPHA, Arm, Plan
from smartops_chaos.report.document import (
    Block,
    Box,
    Card,
    CardLine,
    Cards,
    Column,
    Facts,
    Link,
    Paragraph,
    Section,
    Table,
    Text,
    Tone,
)
from smartops_chaos.report.index import Index
from smartops_chaos.report.words import (
    NONE,
    count,
    listing,
    percent,
    percent_range,
    seconds,
    seconds_range,
    share,
    stated_seconds,
    tally,
    with_range,
)

TARGETS = {"mttr_reduction": "MTTR reduction", "auto_heal": "Auto-heal rate", "sla": "Availability"}
_MOST_CARDS = 5  # arms; more stand in a table, so that the first page holds what they rest on as well
MANY_ARMS = 2  # with more judged arms the reasons move from the cards to a table of their own
_TONES: dict[Decision, Tone] = {"proven": "good", "observed": "weak", "missed": "bad", "undecidable": "none"}
_ARMS_IN_WORDS = 3
_IDS_IN_WORDS = 6
_UNTOLD = "The trials table does not say."


def section(summary: Summary, plan: Plan | None, table: pd.DataFrame, index: Index) -> Section:
    blocks: list[Block] = [Paragraph(text, "lead") for text in sentences(summary, level(summary))]
    blocks.append(Cards(_cards(summary)) if len(judged(summary)) <= _MOST_CARDS else _verdicts(summary))
    if summary.warnings:
        blocks.append(Box("What makes this result weak, and what mends it", summary.warnings, "weak"))
    blocks.append(Facts(tuple(_facts(summary, plan, table, index))))
    return Section("answer", "The answer", tuple(blocks))


def level(summary: Summary) -> str:
    """The confidence level of all two-sided intervals, in words."""
    return percent(1 - 2 * one_sided(summary))


def one_sided(summary: Summary) -> float:
    """The alpha of all tests."""
    alpha = summary.plan.get("alpha")
    return alpha if isinstance(alpha, float) else ALPHA


def deciding(summary: Summary, arm: Arm) -> Comparison | None:
    return next((c for c in summary.comparisons if c.arm == arm and c.decides), None)


def arm_name(arm: ArmSummary) -> str:
    return f"{arm.arm} (baseline)" if arm.baseline else str(arm.arm)


def judged(summary: Summary) -> list[Arm]:
    return list(dict.fromkeys(v.arm for v in summary.verdicts))


def detail(value: float | None, target: str) -> str:
    """A target's value; availability with the digits that tell 99.9 % from 99.99 %."""
    return percent(value, 3 if target == "sla" else 0)


# ---- the answer in words -------------------------------------------------------------------------------------


def sentences(summary: Summary, interval: str) -> Iterable[str]:
    """The answer for each arm, best first. `interval`: the confidence level in words."""
    baseline = next((a for a in summary.arms if a.baseline), None)
    others = [a for a in summary.arms if not a.baseline]
    if baseline is None:
        return
    if not others:
        if baseline.mttr.rmst_s is not None:
            between = with_range(seconds(baseline.mttr.rmst_s), seconds_range(baseline.mttr.lo, baseline.mttr.hi))
            yield f"With {baseline.arm} the service recovers after {between} on average. {_healing(baseline)}"
        yield "Only one arm was measured, so nothing can be said about how much better another one is."
        return
    others.sort(key=lambda a: _estimate(summary, a.arm), reverse=True)
    for arm in others[:_ARMS_IN_WORDS]:
        yield f"{_recovery(summary, arm, baseline, interval)} {_healing(arm)}"
    more = len(others) - _ARMS_IN_WORDS
    closing = f"The tables below hold {count(more, 'further arm')}. " if more > 0 else ""
    horizons = sorted({c.horizon_s for a in summary.arms for c in a.cells})
    if len(horizons) == 1:
        closing += f"In these means a trial that did not recover counts as {stated_seconds(horizons[0])}, the horizon."
    elif horizons:
        closing += "In these means a trial that did not recover counts as the horizon of its scenario."
    if closing:
        yield closing.strip()


def _estimate(summary: Summary, arm: Arm) -> float:
    comparison = deciding(summary, arm)
    value = comparison.mttr_reduction.estimate if comparison else None
    return float("-inf") if value is None else value


def _recovery(summary: Summary, arm: ArmSummary, baseline: ArmSummary, interval: str) -> str:
    comparison = deciding(summary, arm.arm)
    if comparison is None or comparison.mttr_reduction.estimate is None:
        why = f": {comparison.why}" if comparison and comparison.why else ""
        return (
            f"How much {arm.arm} changes the time to recover against {baseline.arm} cannot be said{why}".rstrip(".")
            + "."
        )
    reduction = comparison.mttr_reduction
    value = reduction.estimate or 0.0
    text = (
        f"With {arm.arm} the service recovers after {seconds(arm.mttr.rmst_s)} on average, "
        f"with {baseline.arm} after {seconds(comparison.baseline_rmst_s)}: "
        + (f"{percent(abs(value))} {'less' if value > 0 else 'more'}" if value else "no difference")
    )
    if reduction.lo is not None and reduction.hi is not None:
        text += f" ({interval} interval of the reduction: {percent_range(reduction.lo, reduction.hi)})"
    return f"{text}{_stop(summary, arm.arm)}."


def _stop(summary: Summary, arm: Arm) -> str:
    stopped = summary.plan.get("stopped")
    stop = stopped.get(str(arm)) if isinstance(stopped, Mapping) else None
    return f", decided at look {stop['look']} after {stop['repeat']} repeats" if stop else ""


def _healing(arm: ArmSummary) -> str:
    heal = arm.auto_heal
    if not heal.n or heal.no_human is None:
        return "No trial had an incident to heal."
    text = f"{share(heal.successes, heal.n)} incidents ended without a person"
    if heal.lo is not None and heal.hi is not None:
        text += f" ({percent(heal.no_human)}, {percent_range(heal.lo, heal.hi)})"
    if heal.by_healer is not None:
        text += f", {percent(heal.by_healer)} of all by an action of the healer"
    return text + "."


# ---- verdicts ------------------------------------------------------------------------------------------------


def _cards(summary: Summary) -> tuple[Card, ...]:
    with_why = len(judged(summary)) <= MANY_ARMS
    cards = []
    for target, title in TARGETS.items():
        verdicts = [v for v in summary.verdicts if v.target == target]
        lines = tuple(_card_line(v, with_why) for v in verdicts)
        if not lines:
            lines = (CardLine("no arm to judge", NONE, "undecidable", "none", ""),)
        wanted = f"target: at least {percent(verdicts[0].wanted)}" if verdicts else "not judged"
        cards.append(Card(title, wanted, lines))
    return tuple(cards)


def _verdicts(summary: Summary) -> Table:
    wanted = {v.target: percent(v.wanted) for v in summary.verdicts}
    targets = [target for target in TARGETS if target in wanted]
    said = {(str(v.arm), str(v.target)): f"{detail(v.value, v.target)}, {v.verdict}" for v in summary.verdicts}
    rows = [(str(arm), *(said.get((str(arm), target), NONE) for target in targets)) for arm in judged(summary)]
    columns = [Column(f"{TARGETS[target]}\nat least {wanted[target]}", "right") for target in targets]
    return Table("tab-targets", "Targets", (Column("Arm", grow=1), *columns), tuple(rows))


def _card_line(verdict: Verdict, with_why: bool) -> CardLine:
    return CardLine(
        str(verdict.arm),
        detail(verdict.value, verdict.target),
        verdict.verdict,
        _TONES[verdict.verdict],
        verdict.why if with_why else "",
    )


# ---- what it rests on ----------------------------------------------------------------------------------------


def _facts(summary: Summary, plan: Plan | None, table: pd.DataFrame, index: Index) -> Iterable[tuple[str, Text]]:
    arms = summary.arms
    trials, counted = sum(a.trials for a in arms), sum(a.counted for a in arms)
    controls = sum(a.controls for a in arms)
    text = f"{count(trials, 'trial')} in {count(len(arms), 'arm')}; {counted} with a confirmed fault count"
    yield "Trials", text + (f", {controls} without a fault are controls." if controls else ".")
    yield "Left out", index.link(left_out(summary), counts_as="left out")
    yield "Horizon", "; ".join(horizons(plan, table)) or NONE
    yield "Calibration", _calibration(summary)
    widths = _by_arm({str(a.arm): seconds(a.measuring_error_s) for a in arms if a.measuring_error_s is not None})
    unmeasured = _UNTOLD if "recovered_lo_s" not in table else "No recovery was seen."
    yield "Measuring error", f"{widths}, the median width of where a recovery lies." if widths else unmeasured
    yield "Contested", _contested(arms, index) if "flags" in table else _UNTOLD
    alarms = _by_arm({str(a.arm): share(a.false_alarms, a.controls) for a in arms if a.controls})
    yield "False alarms", f"{alarms}, of trials without a fault." if alarms else "No trial without a fault was run."
    needless = _by_arm({str(a.arm): str(a.needless_actions) for a in arms if a.needless_actions})
    untold = _UNTOLD if "needless_actions" not in table else "None."
    yield "Needless actions", f"{needless}." if needless else untold
    models, policies, orchestrator = (
        Link(f"the owner of the {part}", f"{owner}-owner")
        for part, owner in (("models", "model"), ("policies", "policy"), ("orchestrator", "orchestrator"))
    )
    yield "Go on to", ("what ", models, ", ", policies, " and ", orchestrator, " should take from this.")


def _by_arm(told: Mapping[str, str]) -> str:
    """Once where they are alike; "" without any."""
    if len(told) > 1 and len(set(told.values())) == 1:
        return f"{next(iter(told.values()))} in each of {len(told)} arms"
    return "; ".join(f"{arm}: {text}" for arm, text in told.items())


def left_out(summary: Summary) -> str:
    parts = [f"{arm}: {tally(reasons)}" for arm, reasons in summary.excluded.items() if any(reasons.values())]
    return "; ".join(parts) + "." if parts else "No trial."


def horizons(plan: Plan | None, table: pd.DataFrame) -> list[str]:
    """Such as "12 s for pod-kill, because: ...": one entry for each horizon and reason."""
    groups: defaultdict[tuple[float, str], list[str]] = defaultdict(list)
    if plan:
        for name, chaos in plan.chaos.items():
            if chaos.parts:
                groups[chaos.horizon_s, chaos.because].append(name)
    else:
        faults = table[~table["outcome"].isin(["clean", "false_alarm"])]
        for key, horizon in faults.groupby("chaos", sort=True)["horizon_s"].first().items():
            groups[float(horizon), ""].append(str(key))
    texts = []
    for (horizon, because), names in groups.items():
        where = f" for {listing(names)}" if len(groups) > 1 else ""
        texts.append(
            f"{stated_seconds(horizon)}{where}, " + (f"because: {because}" if because else "without a stated reason")
        )
    return texts


def _calibration(summary: Summary) -> str:
    known = [c for c in summary.calibration if c.error_s is not None]
    n = sum(c.n for c in known)
    if not n:
        return "No calibration trial: nothing shows here that the instrument tells the truth."
    error = sum((c.error_s or 0.0) * c.n for c in known) / n
    worst = max((c.worst_s or 0.0 for c in known), key=abs)
    return (
        f"Measured minus true: {seconds(error, sign=True)} on average, {seconds(worst, sign=True)} at worst, "
        f"in {count(n, 'trial')} in which the harness itself ended the fault."
    )


def _contested(arms: tuple[ArmSummary, ...], index: Index) -> Text:
    n = sum(a.contested for a in arms)
    if not n:
        return "None: in no trial do healer and platform overlap."
    text = f"{count(n, 'trial')} counted as platform, since healer and platform cannot be told apart"
    found = index.find(noted="contested", counts_as=("counted", "control", "left out"))
    if not found:
        return f"{text}."
    named: list[str | Link] = [f"{text}: "]
    for row in found[:_IDS_IN_WORDS]:
        named += [index.trial(row), ", "]
    return (*named[:-1], f" and {len(found) - _IDS_IN_WORDS} others." if len(found) > _IDS_IN_WORDS else ".")
