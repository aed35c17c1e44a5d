"""The closing sections: how it was measured and decided, and how to make it again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict

import pandas as pd

from smartops_chaos.analysis.phrases import GOALS
from smartops_chaos.analysis.sla import window
from smartops_chaos.analysis.summary import MomentAgreement, Summary
from smartops_chaos.analysis.words import NONE, k_of_n, listing, number, percent, seconds, stated_seconds
from smartops_chaos.model import FaultPart, Plan, Slo
from smartops_chaos.report.answer import horizons
from smartops_chaos.report.document import Block, Code, Facts, Paragraph, Section, Table, Text, col, table
from smartops_chaos.report.page import Page

_OWN_LOAD = (
    "A trial is one fault injected into one healthy lane of the target, under a load that is not ours. A query is "
    "asked at a fixed rate; a value is good if it is at least what the SLO says, and bad if it is less, not a "
    "number, or absent. The service counts as recovered at the first good value from which every observed window "
    "of length H has good values alone; a relapse moves it. A change lies up to the query's lag before the value "
    "that shows it. The same function decides, before the injection, that the lane is healthy."
)
_METHOD = (
    "A trial is one fault injected into one healthy lane of the target while an open loop sends requests at a "
    "fixed rate. A request is good if a good answer arrives within the SLO's latency of its scheduled time. The "
    "service has recovered if from some good request on every observed window of length H holds the objective; a "
    "relapse moves it. It became bad, and good, when the rate of bad requests changed: the change point of their "
    "binomial likelihood, with the likelihood interval (2 log units) as its width. The same windows decide, before the "
    "injection, that the lane is healthy.",
    "A trial is left out only for what is no arm's fault: a harness that failed, a service that was not healthy before "
    "the injection, a fault that was not in effect. If the healer signals or acts three times before the injection, "
    "its false alarms have spoiled the trial: that counts as unrecovered, undetected and undiagnosed in its arm.",
    "Every moment is an interval: a scraped metric flips between two samples, an own call lies between two "
    "readings of the clock. Durations are differences of such intervals, shown by their midpoints, and each mean "
    "carries the median width as its measuring error.",
    "Healed means that an executed action on an affected object ended before recovery began, and that no affected"
    " replica was made ready by the platform alone in between, to stay so until the outage was over. Where the "
    "intervals overlap so that both are possible, the trial counts as platform and is contested. That is "
    "bookkeeping; that a healer causes a better result follows only from the comparison with the baseline, whose "
    "trials ran in the same blocks in random order.",
    "The reduction is 1 minus the ratio of the weighted sums of RMST over the scenarios that both arms have. "
    "Times lie between 0 and τ, few trials do not show the one in fifty that never recovers, and then a t test "
    "proves what is not so. The test used assumes nothing but those bounds: of all laws of the times by which the"
    " target is not met, and by which unseen trials may be the worst, it takes the one that makes the trials seen"
    " likeliest. p is how much less likely that is than the trials' own shares (empirical likelihood, Owen 2001),"
    " over all scenarios together. Without a failure it is the exact test of Clopper and Pearson. The interval "
    "holds the reductions that the same test does not reject. That p errs on the safe side is checked, not "
    "proven: over all laws of two points on the border, computed exactly (benchmarks/borders.py), a false proven "
    "came in at most 0.93 of the level in every design tried with 1, 2 and 6 scenarios and 1, 4 and 12 arms.",
    "A target is proven if the hypothesis that it is not met is rejected one-sided at α. An arm's targets are "
    "tested in the order of the matrix, each at full α until one is not proven; arms share α by Holm, whose unit "
    "is the arm. All conditions enter p before that: a reason for each horizon, for auto-heal more than the "
    "baseline ends by itself, and the trials without a result counted at their worst. Missed: that it is met is "
    "ruled out, by Holm over all targets and arms. Between the two, observed above or below says where the "
    "estimate lies, no more. Trivial: met whatever the healer does. For which shorter horizons a reduction is "
    "proven too is tried from τ downwards until one fails: an order fixed beforehand, so each at full level, a "
    "statement beside the targets. The test takes arm and baseline as independent or alike within a block; their "
    "correlation is in the table of reductions.",
    "In a calibration trial the harness ends the fault at a known second. The recovery as measured minus the true one "
    "is the dating error. What the service needs to work off its backlog is told apart from it, as drain.",
)


def method(page: Page) -> Section:
    summary, plan = page.summary, page.plan
    measured = _OWN_LOAD if plan and plan.analysis.slo.query else _METHOD[0]
    blocks: list[Block] = [Paragraph(text) for text in (measured, *_METHOD[1:])]
    if plan:
        blocks += [_plan_facts(plan, page.table, _looks(summary)), _scenarios(plan), _arms(plan)]
    else:
        blocks.append(Facts(tuple(_asked(page))))
    return Section("method", "Appendix: method and analysis plan", tuple(blocks))


def instrument(summary: Summary) -> Iterable[Block]:
    """How true the times are, and how far a dashboard would show the same."""
    if summary.calibration:
        yield _calibration(summary)
    if any(m.told for m in summary.agreement):
        yield _agreement(summary)


def _looks(summary: Summary) -> str:
    plan = summary.plan
    if plan is None or plan.looks == 1:
        return "one look, at the end"
    told = (
        f"{plan.looks} looks at equal shares of the repeats, decided by e values, p = 1/e, which hold at every look "
        "(Ville 1939; Waudby-Smith and Ramdas 2024), as do the intervals, which are wider for it"
    )
    ends = [f"{s.arm} at look {s.look}, by the first {s.repeat} repeats" for s in plan.stopped]
    return f"{told}; decided before the end: {', '.join(ends) or 'no arm'}"


def _plan_facts(plan: Plan, trials: pd.DataFrame, looks: str) -> Facts:
    a = plan.analysis
    sla = f"{a.sla.faults:g} faults in {window(a.sla)}" if a.sla else "not stated"
    weights = ", ".join(f"{name} {w:g}" for name, w in a.weights.items()) or "equal"
    return Facts((
        ("Analysis plan", "Frozen in the campaign before the first trial."),
        ("Baseline", str(a.baseline)),
        ("Targets", f"MTTR reduction {percent(a.targets.mttr_reduction)}, auto-heal rate "
                    f"{percent(a.targets.auto_heal)}, availability {percent(a.targets.sla)}"),
        ("Service level objective (SLO)", f"{_slo(a.slo)}, over windows of H = {stated_seconds(a.slo.hold_s)}"),
        ("Horizon τ", "; ".join(horizons(plan, trials)) or NONE),
        ("Observation", "to τ + H"
                        + (f", or until the service has been good for {stated_seconds(a.stop_after_good_s)}"
                           if a.stop_after_good_s < max(c.horizon_s for c in plan.chaos.values()) else "")
                        + ("; a random fifth of the blocks to τ + H, to see late relapses"
                           if any(t.to_horizon for t in plan.trials) else "")),
        ("Service level agreement (SLA)", sla),
        ("Weights of scenarios", weights),
        ("Order of the targets", ", then ".join(GOALS[goal] for goal in a.order)),
        ("Alpha", f"{number(a.alpha, 3)}, one-sided, Holm over arms; {looks}"),
        ("Left out", a.exclusions),
        ("Seed", str(plan.seed)),
        ("Digest of the plan", plan.digest),
    ))  # fmt: skip


def _slo(slo: Slo) -> str:
    if slo.query:
        asked = f"asked every {stated_seconds(slo.every_s)}, with a lag of up to {stated_seconds(slo.lag_s)}"
        return f"{slo.query} is at least {slo.at_least:g}, {asked}"
    return f"{percent(slo.objective)} of the requests within {number(slo.latency_s * 1e3, 0)}\u00a0ms"


def _asked(page: Page) -> Iterable[tuple[str, Text]]:
    """By what a bare table was judged: what was given with it, and what else was supposed."""
    yield "Analysis plan", "None: the trials come from a bare table. It was judged by the following."
    if (plan := page.summary.plan) is None:
        return
    targets = asdict(plan.targets)
    yield "Baseline", str(plan.baseline)
    yield "Targets", listing([f"{name} {percent(targets[goal])}" for goal, name in GOALS.items()])
    yield "Horizon τ", "; ".join(horizons(None, page.table)) or NONE
    yield "Service level agreement (SLA)", f"{plan.sla.faults:g} faults in {window(plan.sla)}" if plan.sla else "none"
    yield "Weights of scenarios", listing([f"{name} {w:g}" for name, w in plan.weights.items()]) or "equal"
    yield "Order of the targets", ", then ".join(GOALS[goal] for goal in plan.order)
    yield "Alpha", f"{number(plan.alpha, 3)}, one-sided, Holm over arms; {_looks(page.summary)}"


def _scenarios(plan: Plan) -> Table:
    def parameters(part: FaultPart) -> str:
        return ", ".join(f"{name} = {value}" for name, value in part.params.items())

    def kind(part: FaultPart) -> str:
        return "lasting" if part.lasting else "momentary"

    loads = ", ".join(f"{w.name} {w.rate_per_s:g}/s" for w in plan.workloads.values())
    return table(
        "tab-scenarios",
        "Chaos levels",
        plan.chaos.values(),
        [
            col("Chaos", lambda level: level.name, grow=2),
            col("Fault", lambda level: " + ".join(part.fault for part in level.parts) or "no fault", grow=2),
            col("Parameters (SI units)", lambda level: "; ".join(map(parameters, level.parts)) or NONE, grow=4),
            col("Family", lambda level: level.family, grow=1),
            col("Kind", lambda level: "; ".join(map(kind, level.parts)) or NONE, align="left"),
            col("Horizon", lambda level: stated_seconds(level.horizon_s)),
        ],
        " ".join([f"Workloads: {loads}.", *_untouched(plan)]),
    )


def _untouched(plan: Plan) -> list[str]:
    """What faults leave alone, as their files say it."""
    parts = {part.fault: part for level in plan.chaos.values() for part in level.parts}
    said = {
        fault: extension["untouched"]
        for fault, part in parts.items()
        for extension in part.definition.get("extensions", ())
        if extension.get("untouched")
    }
    return [f"Not touched by {fault}: {what}." for fault, what in said.items()]


def _arms(plan: Plan) -> Table:
    variants = [("model", v) for v in plan.models.values()] + [("policy", v) for v in plan.policies.values()]
    note = "".join(f"{a} and {b} have equal settings and ran once. " for a, b in plan.same_arm.items() if a != b)
    return table(
        "tab-levels",
        "Levels of the arms",
        variants,
        [
            col("Factor", lambda one: one[0], align="left"),
            col("Level", lambda one: one[1].name, grow=1),
            col("Settings", lambda one: _settings(one[1].settings), grow=4),
        ],
        note.strip(),
    )


def _settings(settings: Mapping[str, object]) -> str:
    parts = []
    for key, value in settings.items():
        text = " ".join(str(value).split())
        parts.append(f"{key} = {text if len(text) <= 160 else text[:159] + '…'}")
    return "; ".join(parts) or NONE


def _calibration(summary: Summary) -> Table:
    return table(
        "tab-calibration",
        "Calibration",
        summary.calibration,
        [
            col("Scenario", lambda c: f"{c.chaos} / {c.workload}", grow=1),
            col("n", lambda c: str(c.n)),
            col("Mean dating error", lambda c: seconds(c.error_s, sign=True)),
            col("Worst", lambda c: seconds(c.worst_s, sign=True)),
            col("Median width", lambda c: seconds(c.width_s)),
            col("Mean drain", lambda c: seconds(c.drain_s)),
            col("Not recovered", lambda c: str(c.not_recovered)),
        ],
        "The harness itself ended the fault at a known second. Dating error: the recovery as measured minus the true "
        "one. Drain: what the service needed after that second to work off its backlog; it is in every arm's times. No "
        "verdict rests on a scenario whose dating error exceeds its width by 0.5 s, or that did not recover.",
    )


def _agreement(summary: Summary) -> Table:
    told = [m for m in summary.agreement if m.told]
    columns = zip(*((m.alike, m.logs_only, m.metrics_only, m.apart) for m in told), strict=True)
    return table(
        "tab-agreement",
        "Agreement of metrics and logs",
        [*told, MomentAgreement("all", *map(sum, columns))],
        [
            col("Moment", lambda m: m.moment, grow=1),
            col("Told", lambda m: str(m.told)),
            col("Alike", lambda m: k_of_n(m.alike, m.told)),
            col("Logs only", lambda m: str(m.logs_only)),
            col("Metrics only", lambda m: str(m.metrics_only)),
            col("At different times", lambda m: str(m.apart)),
        ],
        "Trials in which a moment was told by log lines or by metrics, where the healer file has rules for both and "
        "all telemetry was there: how far a dashboard of these metrics shows what happened. At least 90 % are wanted.",
    )


def again(provenance: Mapping[str, str]) -> Section:
    facts = tuple((label, value) for label, value in provenance.items() if label.lower() != "command")
    commands = [value for label, value in provenance.items() if label.lower() == "command"]
    blocks: list[Block] = [Facts(facts)] if facts else []
    if commands:
        blocks += [Paragraph("The command that makes this campaign again:"), *(Code(c) for c in commands)]
    blocks.append(
        Paragraph("The numbers of this report are in summary.json, the trials in trials.csv, beside it.", "note")
    )
    return Section("again", "Appendix: how to make this again", tuple(blocks))
