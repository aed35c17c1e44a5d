"""What makes a result weak, each with what mends it: sentences for page 1 of the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import isnan

import pandas as pd

from smartops_chaos.analysis import instrument, sla
from smartops_chaos.analysis.cells import NOT_RECORDED, Cell
from smartops_chaos.analysis.phrases import GOALS, first_names, listing, percent, stated_percent, whole_percent
from smartops_chaos.analysis.question import Question
from smartops_chaos.analysis.summary import ArmSummary, Comparison, MomentAgreement
from smartops_chaos.analysis.table import numbers, texts
from smartops_chaos.analysis.verdicts import unexplained
from smartops_chaos.analysis.words import number
from smartops_chaos.model import FALSE_ALARMS, MOST_LOST, Goal, Outcome
from smartops_chaos.schema.units import count, spoken_duration
from smartops_chaos.timeline.calibration import TOLERANCE_S, Calibration

RUN = "smartops-chaos run MATRIX"
UNEVEN = 0.05
AGREEMENT = 0.90  # wanted of metrics and logs, over the moments that both tell
_ARMS_IN_WORDS = 2
_TRIALS_IN_WORDS = 2
OPPOSITE = -0.2  # a correlation within blocks below this is warned of
_FLAGS = {
    "conflict": "sources disagree about an event: see `smartops-chaos derive --explain TRIAL`",
    "telemetry_missing": "telemetry is missing, so phases are empty: check with `smartops-chaos doctor MATRIX`",
    "late_generator": "requests were sent late; use fewer lanes or a lower rate",
    "clock_step": "a clock was stepped during the trial: wait for time synchronisation before a campaign",
    "perhaps_before": "something was detected between two scrapes around the injection, perhaps before it, and is not "
    "counted: scrape more often, or let the healer file name a log line",
    "clock_uncertain": "a clock is known to no better than 1 s, like all that it stamped: run nearer to its host",
    "cut_short": "a person ended the trial early: run it again with `--retry aborted`",
}


def weaknesses(
    question: Question,
    measured: pd.DataFrame,
    cells: Sequence[Cell],
    arms: Sequence[ArmSummary],
    comparisons: Sequence[Comparison],
    calibration: Sequence[Calibration],
    needed: Mapping[tuple[str, Goal], int | None],
    minutes_a_trial: float | None,
    drift: str = "",
) -> tuple[str, ...]:
    """The most serious first. `needed` is from outlook.repeats_needed."""
    running = [c for c in cells if c.arm not in question.stopped]  # the others are decided
    if question.stopped and {c.arm for c in running} <= {question.baseline}:
        running = []
    return (
        *instrument.doubts(calibration),
        *_horizon(question, cells, comparisons),
        *_lost(arms, cells),
        *_why_left_out(measured),
        *_scenarios(question, cells),
        *_opposite(comparisons),
        *_outlook(needed, running, minutes_a_trial),
        *_sla(question, cells),
        *([drift] if drift else []),
        *_instrument(arms, calibration, bare=question.frozen is None),
        *_healer(arms),
        *_flags(measured),
    )


def _horizon(question: Question, cells: Sequence[Cell], comparisons: Sequence[Comparison]) -> list[str]:
    silent = unexplained(cells, question)
    never = sorted(
        {c.scenario for c in cells if c.arm == question.baseline and c.n and not c.recovered.any()},
    )
    lines = []
    if silent:
        lines.append(
            f"The horizon of {first_names(silent)} has no reason, so nothing is proven: "
            'add one, such as `horizon: {after: 30s, because: "on-call answers in 30 s"}`.'
        )
    if never:
        lines.append(
            f"The baseline never recovered in {first_names(never)}, so there the horizon decides how large a reduction "
            f"looks. {_at_horizons(question, cells, comparisons)}"
        )
    return lines


def _at_horizons(question: Question, cells: Sequence[Cell], comparisons: Sequence[Comparison]) -> str:
    """The reduction at shorter horizons too, in numbers where there is room for them."""
    deciding = [c for c in comparisons if c.decides and c.mttr_reduction.estimate is not None]
    if not deciding or len(deciding) > _ARMS_IN_WORDS:
        return "Read it at a quarter and at half of the horizon as well."
    target = question.targets.mttr_reduction
    horizons = {c.horizon_s for c in cells}
    shares = {"tau": 1.0, "tau/2": 0.5, "tau/4": 0.25}
    if len(horizons) == 1:
        where = {name: f"at {share * min(horizons):g} s" for name, share in shares.items()}
    else:
        where = {"tau": "at the whole horizon", "tau/2": "at half of it", "tau/4": "at a quarter"}
    told = []
    for one in deciding:
        found = {name: one.at_horizons[name].estimate for name in where if name in one.at_horizons}
        known = {name: value for name, value in found.items() if value is not None}
        shown = listing([f"{whole_percent(value)} {where[name]}" for name, value in known.items()])
        below = [where[name] for name, value in known.items() if value < target]
        short = f"; {listing(below)} that is below the target of {stated_percent(target)}" if below else ""
        told.append(f"That of {one.arm} is {shown}{short}.")
    free = _free_of_horizon(cells)
    if len(deciding) == len(free) == 1:
        told += _whatever_the_horizon(free[0], deciding[0])
    return " ".join(told)


def _free_of_horizon(cells: Sequence[Cell]) -> list[str]:
    """Scenarios in which every trial of every arm recovers."""
    names = dict.fromkeys(c.scenario for c in cells)
    return [n for n in names if all(c.n and c.recovered.all() for c in cells if c.scenario == n)]


def _whatever_the_horizon(scenario: str, comparison: Comparison) -> list[str]:
    r = comparison.by_scenario.get(scenario)
    if r is None or r.estimate is None:
        return []
    between = "" if r.lo is None or r.hi is None else f" ({whole_percent(r.lo)} to {whole_percent(r.hi)})"
    return [
        f"Only in {scenario}, where the baseline always recovers by itself, a longer horizon would change nothing: "
        f"{whole_percent(r.estimate)}{between}."
    ]


def _lost(arms: Sequence[ArmSummary], cells: Sequence[Cell]) -> list[str]:
    lines = []
    shares = {a.arm: _share_left_out(a) for a in arms if a.trials}
    for arm in arms:
        if shares.get(arm.arm, 0) > MOST_LOST:
            reasons = ", ".join(f"{n} {reason}" for reason, n in arm.left_out.items())
            lines.append(
                f"{percent(shares[arm.arm])} of the trials of {arm.arm} are left out ({reasons}): "
                f"`smartops-chaos doctor MATRIX`, then `{RUN} --retry error,invalid`."
            )
    if shares and max(shares.values()) - min(shares.values()) > UNEVEN:
        most, least = max(shares, key=lambda a: shares[a]), min(shares, key=lambda a: shares[a])
        lines.append(
            f"Arms lose trials unevenly ({most} {percent(shares[most])}, {least} {percent(shares[least])}): "
            "a comparison may be of what was left; find the reason before believing it."
        )
    missing = {c.scenario: c for c in cells if c.not_recorded}
    if missing:
        total = sum(c.not_recorded for c in cells)
        lines.append(
            f"{total} trial{'s are' if total > 1 else ' is'} {NOT_RECORDED} in {first_names(sorted(missing))}, where "
            f"another arm has more; they count as lost. `{RUN}` resumes the campaign."
        )
    return lines


def _why_left_out(measured: pd.DataFrame) -> list[str]:
    """The most frequent reason, in the words of one trial that has it."""
    invalid = measured[texts(measured, "outcome") == Outcome.INVALID]
    told = [pair for pair in zip(texts(invalid, "reason"), texts(invalid, "detail"), strict=True) if pair[1]]
    if not told:
        return []
    reason, n = Counter(reason for reason, _ in told).most_common(1)[0]
    return [f"Why {count(n, 'trial')} did not begin ({reason}), as one of them tells: {dict(reversed(told))[reason]}"]


def _share_left_out(arm: ArmSummary) -> float:
    left_out = sum(n for reason, n in arm.left_out.items() if reason != NOT_RECORDED)
    return left_out / arm.trials


def _scenarios(question: Question, cells: Sequence[Cell]) -> list[str]:
    lines = []
    rare = sorted({c.scenario for c in cells if c.rarely_hurts})
    if rare:
        lines.append(
            f"{first_names(rare)} rarely hurts the baseline (bad in under half of its trials), so it says little about "
            "healing: make the fault stronger or the objective stricter."
        )
    base = {c.scenario for c in cells if c.arm == question.baseline}
    for arm in sorted({c.arm for c in cells} - {question.baseline}, key=str):
        ours = {c.scenario for c in cells if c.arm == arm}
        if ours != base:
            lines.append(
                f"{arm} and the baseline are compared without {first_names(sorted(ours ^ base))}, "
                "which only one of them has: do not exclude it."
            )
    return lines


def _opposite(comparisons: Sequence[Comparison]) -> list[str]:
    return [
        f"Where {c.arm} takes longer than usual in a block, the baseline tends to take less (correlation "
        f"{number(c.block_correlation, 2)} over {c.blocks} blocks): the tests take both as independent or alike, so a "
        "`proven` may be wrong somewhat more often than stated. Do arms disturb each other? Use fewer lanes."
        for c in comparisons
        if c.decides and c.block_correlation is not None and c.block_correlation < OPPOSITE
    ]


def _outlook(
    needed: Mapping[tuple[str, Goal], int | None], cells: Sequence[Cell], minutes_a_trial: float | None
) -> list[str]:
    known = {key: n for key, n in needed.items() if n is not None}
    if not known:
        return []
    repeats = max(known.values())  # one command, which is enough for all of them
    what = [f"{GOALS[target]} of {arm}" for arm, target in known]
    more = sum(max(repeats - c.n - c.lost, 0) for c in cells)
    cost = "" if minutes_a_trial is None else f", about {spoken_duration(60 * more * minutes_a_trial)} more"
    return [
        f"Observed, not proven: {first_names(what)}. If further trials go like these, `{RUN} --repeats {repeats}` "
        f"would prove {'it' if len(what) == 1 else 'all of that'} ({more} more trials{cost})."
    ]


def _sla(question: Question, cells: Sequence[Cell]) -> list[str]:
    why = "" if question.sla is None else sla.asks_nothing(cells, question.sla, question.targets.sla)
    return (
        [f"The SLA target asks nothing: {why}. State more faults, a shorter window or a higher target."] if why else []
    )


def _instrument(arms: Sequence[ArmSummary], calibration: Sequence[Calibration], *, bare: bool) -> list[str]:
    lines = []
    if not calibration and bare:
        lines.append(
            "Nobody knows how true these times are: the table has no calibration trial, in which the harness itself "
            "ends the fault at a known second (`phase` = calibrate, with `fault_end_s` and `fault_end_by` = harness)."
        )
    elif not any(c.n for c in calibration):
        lost = sum(c.left_out for c in calibration)
        lines.append(
            f"No calibration trial counts ({lost} left out), so nothing shows how true the times are: "
            f"`smartops-chaos doctor MATRIX`, then `{RUN} --retry error,invalid`."
            if lost
            else "No calibration trial shows how true the times are: `calibrate: 1` in the matrix."
        )
    counted = [c for c in calibration if c.n]
    if counted and all(c.n == 1 for c in counted):
        lines.append(
            "Each scenario has one calibration trial. It shows that the times are true, but not how far the error "
            "varies: `calibrate: 5` in the matrix would."
        )
    for c in calibration:
        if not c.off and c.worst_s is not None and abs(c.worst_s) > (c.width_s or 0.0) + TOLERANCE_S:
            lines.append(
                f"A calibration trial of {c.chaos} / {c.workload} is off by {c.worst_s:+.1f} s, but not their mean: "
                "see `smartops-chaos derive --explain TRIAL` for it."
            )
    for arm in arms:
        error, mttr = arm.measuring_error_s, arm.mttr.rmst_s
        if error is not None and mttr is not None and error > mttr / 2:
            lines.append(
                f"The measuring error of {arm.arm} ({error:.2f} s) is more than half of its mean time to recover "
                f"({mttr:.2f} s): use a higher request rate."
            )
        for name, mean, between in (("detect", arm.ttd, arm.ttd_between), ("mitigate", arm.ttm, arm.ttm_between)):
            if mean.rmst_s and between and between[1] - between[0] > mean.rmst_s / 2:
                lines.append(
                    f"The mean time to {name} of {arm.arm} is only known to lie between {between[0]:.1f} s and "
                    f"{between[1]:.1f} s: scrape more often, or give the healer file a log line for it."
                )
    return lines


def _healer(arms: Sequence[ArmSummary]) -> list[str]:
    lines = []
    for arm in arms:
        healed = arm.outcomes.get("healed", 0)
        if arm.contested > MOST_LOST * (healed + arm.contested):
            lines.append(
                f"{arm.arm}: {arm.contested} recoveries may be the healer's or the platform's and count as the "
                f"platform's, beside {healed} healed: finer telemetry would tell them apart."
            )
        if spoiled := sum(step.lost.get(f"{Outcome.UNRECOVERED}: {FALSE_ALARMS}", 0) for step in arm.funnel):
            lines.append(
                f"{arm.arm}: its false alarms before the injection spoiled {count(spoiled, 'trial')}, which count as "
                "its failures: its detector is too sensitive, or the service is not quiet."
            )
        late = arm.operations.late_relapses
        if late and late.successes:
            lines.append(
                f"{arm.arm}: {late.successes} of {count(late.n, 'trial')} observed to the horizon went bad again after "
                "health had lasted for `stop_after_good`. In the other trials nobody would have seen that, so their "
                "times may be too short: make `stop_after_good` longer, or leave it out."
            )
        if not (arm.baseline or arm.reference) and arm.rca.n and arm.rca.answers < 2:
            lines.append(f"{arm.arm} named {_answers(arm.rca.answers)}: no diagnostic information.")
    if arms and not any(a.controls for a in arms):
        lines.append(
            "False alarms were not measured, as no trial ran without a fault: a chaos level without one (`none: {}`) "
            "would show them."
        )
    return lines


def disagreement(found: Sequence[MomentAgreement]) -> tuple[str, ...]:
    """Where metrics and log lines do not tell the same: what a dashboard of these metrics would show wrong."""
    told, alike = sum(m.told for m in found), sum(m.alike for m in found)
    if not told or alike >= AGREEMENT * told:
        return ()
    logs, metrics, apart = (
        sum(m.logs_only for m in found),
        sum(m.metrics_only for m in found),
        sum(m.apart for m in found),
    )
    return (
        f"Metrics and logs tell the same of {percent(alike / told)} of the moments that both should tell "
        f"({logs} in the logs only, {metrics} in the metrics only, {apart} at different times): "
        "see the table Agreement of metrics and logs, then `smartops-chaos derive --explain TRIAL`.",
    )


def _answers(n: int) -> str:
    return "one and the same root cause in all trials" if n else "no root cause"


def _flags(measured: pd.DataFrame) -> list[str]:
    found: Counter[str] = Counter()
    for text, trials in Counter(texts(measured, "flags")).items():
        found.update(dict.fromkeys(filter(None, text.split(",")), trials))
    told = {flag: hint for flag, hint in _FLAGS.items() if found[flag]}
    return [f"{count(found[flag], 'trial')}{_named(measured, flag)}: {hint}." for flag, hint in told.items()]


def _named(measured: pd.DataFrame, flag: str) -> str:
    """The trials that have the flag, if they are few, and how late the requests of those were that have this one."""
    if "trial" not in measured.columns:
        return ""
    rows = measured[[flag in text.split(",") for text in texts(measured, "flags")]]
    names = list(texts(rows, "trial"))
    if not names or len(names) > _TRIALS_IN_WORDS:
        return ""
    if flag == "late_generator":
        known = [(name, float(by)) for name, by in zip(names, numbers(rows, "lateness_p99_s"), strict=True)]
        late = ", 1 % of whose requests left {:.0f} ms late or later"
        names = [name if isnan(by) else name + late.format(1e3 * by) for name, by in known]
    return f" ({'; '.join(names)})"
