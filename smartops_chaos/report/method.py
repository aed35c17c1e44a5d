"""The closing sections: how it was measured and decided, and how to make it again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

import pandas as pd

from smartops_chaos.analysis.phrases import GOALS
from smartops_chaos.analysis.sla import window
from smartops_chaos.analysis.summary import MomentAgreement, Summary
from smartops_chaos.analysis.words import NONE, count, k_of_n, listing, number, percent, seconds, stated_seconds
from smartops_chaos.model import FaultPart, Plan, Slo
from smartops_chaos.report import explained
from smartops_chaos.report.answer import horizons
from smartops_chaos.report.document import Block, Code, Facts, Paragraph, Section, Table, Text, col, table
from smartops_chaos.report.faults import unit
from smartops_chaos.report.page import Page

_MOST_LINES = 60  # of a setting
_HEX = tuple("0123456789abcdef")


def method(page: Page) -> Section:
    summary, plan = page.summary, page.plan
    blocks: list[Block] = [Facts(tuple(explained.method(page)))]
    if plan:
        blocks += [_plan_facts(plan, page.table, _looks(summary)), _scenarios(plan), _arms(plan), *_policies(plan)]
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
        ("Alpha", f"{number(a.alpha, 3)}, one-sided{_holm(plan)}; {looks}"),
        ("Left out", a.exclusions),
        ("Seed", str(plan.seed)),
        ("Digest of the plan", plan.digest),
    ))  # fmt: skip


def _holm(plan: Plan) -> str:
    """Only where there are several arms to correct for."""
    arms = {t.arm for t in plan.measured} - {plan.analysis.baseline}
    return f", Holm over {len(arms)} arms" if len(arms) > 1 else ""


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
    arms = len(page.judged)
    holm = f", Holm over {arms} arms" if arms > 1 else ""
    yield "Alpha", f"{number(plan.alpha, 3)}, one-sided{holm}; {_looks(page.summary)}"


def _scenarios(plan: Plan) -> Table:
    def parameters(part: FaultPart) -> str:
        return ", ".join(f"{name} = {value}{unit(part, name)}" for name, value in part.params.items())

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
            col("Parameters", lambda level: "; ".join(map(parameters, level.parts)) or NONE, grow=4),
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
        text = str(value)
        parts.append(f"{key}: in full below" if "\n" in text else f"{key} = {text}")
    return "; ".join(parts) or NONE


def _policies(plan: Plan) -> Iterable[Block]:
    """What stands on several lines, such as a policy's rules."""
    for one in (*plan.models.values(), *plan.policies.values()):
        for key, value in one.settings.items():
            lines = str(value).strip().splitlines()
            if len(lines) > 1:
                yield Paragraph(f"The setting {key} of {one.name}:")
                more = len(lines) - _MOST_LINES
                yield Code("\n".join([*lines[:_MOST_LINES], *([f"and {more} more lines"] if more > 0 else [])]))


def _calibration(summary: Summary) -> Table:
    several = any(c.n > 1 for c in summary.calibration)
    return table(
        "tab-calibration",
        "Calibration",
        summary.calibration,
        [
            col("Scenario", lambda c: f"{c.chaos} / {c.workload}", grow=1),
            col("n", lambda c: str(c.n)),
            col("Mean\ndating error" if several else "Dating\nerror", lambda c: seconds(c.error_s, sign=True)),
            *([col("Largest\ndating error", lambda c: seconds(c.worst_s, sign=True))] if several else []),
            col("Median\nuncertainty" if several else "Uncertainty", lambda c: seconds(c.width_s)),
            col("Mean\ndrain" if several else "Drain", lambda c: seconds(c.drain_s)),
            col("Not\nrecovered", lambda c: str(c.not_recovered)),
        ],
        "The harness itself ended the fault at a known second: so far is a measured recovery off.",
        (
            ("Dating error", "the recovery as measured minus the true one"),
            ("Uncertainty", "how wide the intervals of the recovery and of the fault's end are together"),
            ("Drain", "what the service needed after that second to work off its backlog; every arm's times have it"),
            ("No verdict", "rests on a scenario that did not recover, or whose error is 0.5 s beyond its uncertainty"),
        ),
    )


def _agreement(summary: Summary) -> Block:
    told = [m for m in summary.agreement if m.told]
    if all(m.alike == m.told for m in told):
        n = sum(m.told for m in told)
        return Paragraph(f"Metrics and log lines agree on all {n:,} moments of the healer: a dashboard shows the same.")
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
        f"{_alike_told(told)} At least 90 % are wanted.",
        (("Told", "trials in which log lines or metrics tell of the moment, if the healer file has rules for both"),),
    )


def _alike_told(told: Sequence[MomentAgreement]) -> str:
    alike = sum(m.alike for m in told) / sum(m.told for m in told)
    return (
        f"A dashboard of these metrics would show {percent(alike)} of the healer's moments as the log lines tell them."
    )


def again(page: Page) -> Section:
    provenance = page.provenance
    facts = tuple((label, value) for label, value in provenance.items() if label.lower() != "command")
    commands = [value for label, value in provenance.items() if label.lower() == "command"]
    blocks: list[Block] = [Facts(facts)] if facts else []
    if commands:
        matrix = commands[0].split()[2:3]
        commit = provenance.get("git commit", "")
        blocks.append(
            Paragraph(
                "In a clone of the repository"
                + (f" at commit {commit.removesuffix('-dirty')}" if commit[:1] in _HEX else "")
                + ", `./script/demo` installs the program into .venv and shows that it runs. "
                + (
                    f"{matrix[0]} has to be at hand: `smartops-chaos init` writes one, or take it from matrix/. "
                    if matrix
                    else ""
                )
                + f"The seed is in the matrix{_took(page)}. The command that makes this campaign again:"
            )
        )
        blocks += [Code(c) for c in commands]
    blocks.append(
        Paragraph("The numbers of this report are in summary.json, the trials in trials.csv, beside it.", "note")
    )
    return Section("again", "Appendix: how to make this again", tuple(blocks))


def _took(page: Page) -> str:
    """From the first trial to the last, in minutes."""
    if "started_at" not in page.table.columns:
        return ""
    begun = pd.to_datetime(page.table["started_at"], utc=True, errors="coerce").dropna()
    if len(begun) < 2:
        return ""
    minutes = max(1, round((begun.max() - begun.min()).total_seconds() / 60))
    return f". It took about {count(minutes, 'minute')} here"
