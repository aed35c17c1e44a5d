"""The first page: the answer in words, the verdicts, and what they rest on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from smartops_chaos.analysis.phrases import left_out
from smartops_chaos.analysis.sentences import sentences
from smartops_chaos.analysis.summary import Summary, Verdict
from smartops_chaos.analysis.words import (
    NONE,
    TARGETS,
    count,
    k_of_n,
    listing,
    percent,
    seconds,
    stated_seconds,
    target_value,
)
from smartops_chaos.model import Arm, Goal, Plan
from smartops_chaos.report import many_arms, naive
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
_UNTOLD = "The trials table does not say."


def section(page: Page) -> Section:
    blocks: list[Block] = [Paragraph(text, "lead") for text in sentences(page.summary)]
    several = len(page.judged) >= SEVERAL_ARMS
    if several and (advice := many_arms.recommendation(page.summary)):
        blocks.append(Paragraph(advice, "lead"))
    if several:
        blocks += many_arms.arms_and_faults(page)
    blocks.append(Cards(_cards(page)) if len(page.judged) <= _MOST_CARDS else _verdicts(page))
    if page.summary.warnings:
        blocks.append(_weak(page.summary.warnings))
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
            lines = (CardLine("no arm to judge", NONE, "undecidable", "none", ""),)
        wanted = f"target: at least {percent(verdicts[0].wanted)}" if verdicts else "not judged"
        cards.append(Card(title, wanted, lines))
    return tuple(cards)


def _card_line(page: Page, verdict: Verdict, with_why: bool) -> CardLine:
    value = target_value(verdict.value, verdict.target)
    why = verdict.why if with_why else ""
    arm = next((a for a in page.arms if a.arm == verdict.arm), None)
    if with_why and arm and verdict.value is not None and (other := naive.told(page, arm, verdict.target)):
        why = f"{why}. {other}"
    if verdict.at_worst is not None and verdict.at_best is not None and verdict.at_worst != verdict.at_best:
        ends = (target_value(end, verdict.target) for end in (verdict.at_worst, verdict.at_best))
        why = f"{why}; " * bool(why) + "{} to {} if all lost trials had gone badly, or well".format(*ends)
    return CardLine(str(verdict.arm), value, verdict.verdict, TONES[verdict.verdict], why)


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
    arms, columns = page.arms, page.table
    trials, counted = sum(a.trials for a in arms), sum(a.counted for a in arms)
    controls = sum(a.controls for a in arms)
    text = f"{count(trials, 'trial')} in {count(len(arms), 'arm')}; {counted} with a confirmed fault count"
    yield "Trials", text + (f", {controls} without a fault are controls." if controls else ".")
    yield "Left out", page.index.link(left_out(page.summary.excluded), counts_as="left out")
    yield "Horizon", "; ".join(horizons(page.plan, page.table)) or NONE
    yield "Calibration", _calibration(page.summary)
    widths = _by_arm({str(a.arm): seconds(a.measuring_error_s) for a in arms if a.measuring_error_s is not None})
    unmeasured = _UNTOLD if "recovered_lo_s" not in columns else "No recovery was seen."
    yield "Measuring error", f"{widths}, the median width of where a recovery lies." if widths else unmeasured
    yield "Contested", _contested(page) if "flags" in columns else _UNTOLD
    alarms = _by_arm({str(a.arm): k_of_n(a.false_alarms, a.controls) for a in arms if a.controls})
    yield "False alarms", f"{alarms}, of trials without a fault." if alarms else "No trial without a fault was run."
    needless = _by_arm({str(a.arm): str(a.needless_actions) for a in arms if a.needless_actions})
    untold = _UNTOLD if "needless_actions" not in columns else "None."
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


def horizons(plan: Plan | None, trials: pd.DataFrame) -> list[str]:
    """Such as "12 s for pod-kill, because: ...": one entry for each horizon and reason."""
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
        reason = f"because: {because}" if because else "without a stated reason"
        texts.append(f"{stated_seconds(horizon)}{where}, {reason}")
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
    if not n:
        return "None: in no trial do healer and platform overlap."
    text = f"{count(n, 'trial')} counted as platform, since healer and platform cannot be told apart"
    rows = page.index.find(noted="contested", counts_as=("counted", "control", "left out"))
    if not rows:
        return f"{text}."
    named: list[str | Link] = [f"{text}: "]
    for row in rows[:_IDS_IN_WORDS]:
        named += [page.index.trial(row), ", "]
    return (*named[:-1], f" and {len(rows) - _IDS_IN_WORDS} others." if len(rows) > _IDS_IN_WORDS else ".")
