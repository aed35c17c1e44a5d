"""Trials table + question -> Summary: the one call that turns measurements into decided numbers.

table = analysis.table.from_rows(record.row for record in records)     # or table.read(path), for a bare CSV
question = analysis.question.of_plan(plan)                             # or Question(baseline=Arm("off", "default"))
summary = analysis.summarise.summarise(table, question, campaign="quick-1")
document = analysis.summarise.to_json(summary)                         # plain dict, ready for json.dump
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smartops_chaos.analysis import competing, instrument, outlook, phases, rca, sla, verdicts, warnings
from smartops_chaos.analysis.cells import NOT_RECORDED, Cell, build, cells_by_arm, of_arm
from smartops_chaos.analysis.likelihood_ratio import Floats, interval, mean_over_scenarios
from smartops_chaos.analysis.operations import operations
from smartops_chaos.analysis.question import Question
from smartops_chaos.analysis.rates import auto_heal
from smartops_chaos.analysis.summary import AppliedPlan, ArmSummary, CellNumbers, Curve, Mttr, Summary
from smartops_chaos.analysis.survival import kaplan_meier, log_log_band, quantile
from smartops_chaos.analysis.table import is_simulated, numbers, outcome_is, rows_of, texts
from smartops_chaos.errors import UsageError
from smartops_chaos.model import Arm, Outcome
from smartops_chaos.timeline import before
from smartops_chaos.timeline.calibration import calibrations

_AT_RISK_AT = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the horizon: where the table below the curve counts


def summarise(table: pd.DataFrame, question: Question, *, campaign: str) -> Summary:
    """All numbers and verdicts of a campaign. `table` comes from `analysis.table` (validated, tidy).

    Arms are in the order: baseline, then by name. The baseline's values are shown, it is not judged.
    Raises UsageError if the baseline arm has no trial in the table.
    """
    calibration = calibrations(_rows(table[texts(table, "phase") == "calibrate"]))
    question, measured = measured_trials(table, question)
    compared = others(measured, question)
    cells = build(measured, question)
    tests, comparisons, decided = verdicts.conclude(measured, question, competitors(compared, question), cells)
    comparisons = instrument.hold_back(comparisons, cells, calibration, question.disturbed)
    decided = instrument.hold_back(decided, cells, calibration, question.disturbed)
    summaries = [_arm(question.baseline, measured, of_arm(cells, question.baseline), (), question)]
    held_against = cells_by_arm(measured, question, compared, cells)
    summaries += [_arm(arm, measured, *held_against[arm], question) for arm in compared]
    return Summary(
        campaign=campaign,
        plan=_applied(question, cells),
        excluded={str(a.arm): a.left_out for a in summaries if a.left_out},
        warnings=warnings.weaknesses(
            question,
            measured,
            cells,
            summaries,
            comparisons,
            calibration,
            outlook.repeats_needed(tests, decided, question),
            outlook.minutes_a_trial(measured),
            before.drift_warning(_with_service_time(table)),
        ),
        calibration=calibration,
        arms=tuple(summaries),
        comparisons=comparisons,
        verdicts=decided,
        simulated=is_simulated(table),
    )


def measured_trials(table: pd.DataFrame, question: Question) -> tuple[Question, pd.DataFrame]:
    """Without calibration, and without what a stopped arm did after its look.

    Arms with equal settings are one arm, by the name of the one that was run.
    """
    question, table = _one_name_an_arm(question, table)
    kept = texts(table, "phase") != "calibrate"
    for arm, stop in question.stopped.items():
        kept &= (
            (texts(table, "model") != arm.model)
            | (texts(table, "policy") != arm.policy)
            | (numbers(table, "repeat") <= stop.repeat)
        )
    return question, rows_of(table, kept)


def others(measured: pd.DataFrame, question: Question) -> list[Arm]:
    """All arms but the baseline: in the table or planned. Raises UsageError if the baseline has no trial."""
    pairs = measured[["model", "policy"]].drop_duplicates().itertuples(index=False)
    arms = sorted({Arm(*pair) for pair in pairs}, key=str)
    if question.baseline not in arms:
        known = ", ".join(f"model={a.model},policy={a.policy}" for a in arms)
        raise UsageError(f"the baseline {question.baseline} has no trial", f"arms in the table: {known or 'none'}")
    planned = {arm for _, _, arm in question.cells}
    return sorted((set(arms) | planned) - {question.baseline}, key=lambda a: (a.model, a.policy))


def competitors(arms: Sequence[Arm], question: Question) -> list[Arm]:
    """Those of them that are judged: not the ones that only show what is possible, and what chance does."""
    return [arm for arm in arms if arm not in question.references]


def _with_service_time(table: pd.DataFrame) -> list[dict[str, object]]:
    """The rows that say how long an order took before the injection: a large table without any costs nothing."""
    if "service_ms" not in table:
        return []
    known = table.loc[table["service_ms"].notna(), [c for c in before.DRIFT_COLUMNS if c in table]]
    return _rows(known)


def _rows(table: pd.DataFrame) -> list[dict[str, object]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def to_json(summary: Summary) -> dict[str, object]:
    """`summary.json`: the dataclasses as plain dicts, an arm as {"model", "policy"}; no NaN, None is null."""
    document = {field.name: _plain(getattr(summary, field.name)) for field in fields(summary)}
    document["plan"] = _plain(plan_to_json(summary.plan)) if summary.plan else {}
    return {"schema_version": document.pop("schema_version"), **document}


def _plain(value: Any) -> Any:
    """As `dataclasses.asdict`, but with 12 digits: the last ones are of the processor, which adds in its own order."""
    if isinstance(value, float):
        return float(f"{value:.12g}")
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return value


def plan_to_json(plan: AppliedPlan) -> dict[str, object]:
    """The rules as `summary.json` has them: one flat object, stopped arms by name."""
    document = asdict(plan)
    document["stopped"] = {str(s.arm): {"look": s.look, "repeat": s.repeat} for s in plan.stopped}
    frozen = document.pop("frozen") or {}
    return {**document, **frozen}


def _one_name_an_arm(question: Question, table: pd.DataFrame) -> tuple[Question, pd.DataFrame]:
    names = {_arm_of(other): _arm_of(arm) for other, arm in question.same_arm.items()}
    if not names:
        return question, table
    arms = [Arm(m, p) for m, p in zip(texts(table, "model"), texts(table, "policy"), strict=True)]
    arms = [names.get(arm, arm) for arm in arms]
    table = table.assign(model=[a.model for a in arms], policy=[a.policy for a in arms])
    cells = frozenset((chaos, workload, names.get(arm, arm)) for chaos, workload, arm in question.cells)
    return replace(question, baseline=names.get(question.baseline, question.baseline), cells=cells), table


def _arm_of(name: str) -> Arm:
    model, _, policy = name.partition("/")
    return Arm(model, policy)


def _arm(
    arm: Arm, measured: pd.DataFrame, cells: Sequence[Cell], baseline: Sequence[Cell], question: Question
) -> ArmSummary:
    """`baseline`: the cells that `cells` are held against; empty for the baseline itself."""
    alpha, looks = question.alpha, question.looks > 1
    rows = measured[(texts(measured, "model") == arm.model) & (texts(measured, "policy") == arm.policy)]
    outcome = texts(rows, "outcome")
    counted = rows_of(rows, outcome_is(outcome, lambda o: o.counted))
    detection, mitigation = competing.race(rows, "detected", alpha), competing.race(rows, "acted", alpha)
    needless = numbers(rows, "needless_actions")
    steps, aside = phases.phases(counted, alpha)
    did = operations(counted, cells, detection, question.sla, question.targets.sla, alpha)
    nothing_prevented = sum(c.outcomes.get(Outcome.PREVENTED, 0) for c in cells if c.rarely_hurts)
    return ArmSummary(
        model=arm.model,
        policy=arm.policy,
        baseline=arm == question.baseline,
        reference=question.references.get(arm),
        trials=len(rows),
        counted=len(counted),
        outcomes=dict(sorted(Counter(outcome.tolist()).items())),
        left_out=_left_out(rows, cells),
        mttr=_mttr(cells, alpha, looks),
        ttd=_until_seen([(c, c.undetected_s) for c in cells], alpha),
        ttm=_until_seen([(c, c.unmitigated_s) for c in cells], alpha),
        ttd_between=_between([(c, c.undetected_span) for c in cells]),
        ttm_between=_between([(c, c.unmitigated_span) for c in cells]),
        p_detected=detection.share if detection else None,
        p_mitigated=mitigation.share if mitigation else None,
        detection=detection,
        mitigation=mitigation,
        auto_heal=auto_heal(cells, baseline, alpha, looks=looks),
        sla=sla.availability(cells, question.sla, question.targets.sla, alpha, _good_share(counted), looks=looks),
        rca=rca.rca(counted, alpha),
        phases=steps,
        aside=aside,
        funnel=phases.funnel(counted),
        curves=_curves(cells, alpha),
        cells=tuple(_cell_numbers(c) for c in cells),
        measuring_error_s=phases.recovery_width(counted),
        false_alarms=int((outcome == Outcome.FALSE_ALARM).sum()),
        controls=int(outcome_is(outcome, lambda o: o.control).sum()),
        needless_actions=int(np.nansum(needless)) + nothing_prevented,
        contested=sum(n for flags, n in Counter(texts(rows, "flags")).items() if "contested" in flags.split(",")),
        operations=did,
    )


def _left_out(rows: pd.DataFrame, cells: Sequence[Cell]) -> dict[str, int]:
    out = rows[outcome_is(texts(rows, "outcome"), lambda o: o.left_out)]
    pairs = zip(texts(out, "outcome"), texts(out, "reason"), strict=True)
    found = Counter(f"{outcome}: {reason}" if reason else str(outcome) for outcome, reason in pairs)
    if missing := sum(c.not_recorded for c in cells):
        found[NOT_RECORDED] = missing
    return dict(sorted(found.items()))


def _mttr(cells: Sequence[Cell], alpha: float, looks: bool) -> Mttr:
    known = [c for c in cells if c.n]
    if not known:
        return Mttr(None, None, None, None, None, None)
    samples = [c.sample(c.time_s) for c in known]
    mean = mean_over_scenarios(samples)
    lo, hi = interval(samples, alpha, looks=looks)
    horizons = {c.horizon_s for c in known}
    if len(horizons) > 1:  # a trial that was watched for less time tells nothing of the rest of the longer one
        return Mttr(mean, lo, hi, max(horizons), None, None)
    km = kaplan_meier(np.concatenate([c.time_s for c in known]), np.concatenate([c.recovered for c in known]))
    return Mttr(mean, lo, hi, max(horizons), quantile(km, 0.5), quantile(km, 0.9))


def _until_seen(times: Sequence[tuple[Cell, Floats | None]], alpha: float) -> Mttr:
    """The mean time to a moment or the end of the incident. It has no quantiles: an end without it is no time to it."""
    known = [(c, t) for c, t in times if t is not None and len(t)]
    if not known:
        return Mttr(None, None, None, None, None, None)
    samples = [c.sample(t) for c, t in known]
    lo, hi = interval(samples, alpha)
    return Mttr(mean_over_scenarios(samples), lo, hi, max(c.horizon_s for c, _ in known), None, None)


def _between(spans: Sequence[tuple[Cell, tuple[Floats, Floats] | None]]) -> tuple[float, float] | None:
    """Means over the scenarios of both ends of the moments' intervals: nothing is assumed of where in them they lay."""
    known = [(c, ends) for c, ends in spans if ends is not None and len(ends[0])]
    if not known:
        return None
    earliest, latest = (mean_over_scenarios([c.sample(ends[i]) for c, ends in known]) for i in (0, 1))
    return earliest, latest


def _good_share(counted: pd.DataFrame) -> float | None:
    requests = np.nansum(numbers(counted, "requests"))
    return float(np.nansum(numbers(counted, "good_requests")) / requests) if requests > 0 else None


def _cell_numbers(cell: Cell) -> CellNumbers:
    deviation = float(cell.time_s.std(ddof=1)) if cell.n > 1 else None
    return CellNumbers(
        chaos=cell.chaos,
        workload=cell.workload,
        counted=cell.n,
        rmst_s=float(cell.time_s.mean()) if cell.n else None,
        se_s=None if deviation is None else deviation / float(np.sqrt(cell.n)),
        outcomes=dict(cell.outcomes),
        horizon_s=cell.horizon_s,
        rarely_hurts=cell.rarely_hurts,
    )


def _curves(cells: Sequence[Cell], alpha: float) -> tuple[Curve, ...]:
    """All scenarios pooled, to the shortest of their horizons, then each one."""
    filled = [c for c in cells if c.n]
    if not filled:
        return ()
    shortest_s = min(c.horizon_s for c in filled)
    time, recovered = np.concatenate([c.time_s for c in filled]), np.concatenate([c.recovered for c in filled])
    pooled = _curve("", np.minimum(time, shortest_s), recovered & (time <= shortest_s), shortest_s, alpha)
    return pooled, *(_curve(c.scenario, c.time_s, c.recovered, c.horizon_s, alpha) for c in filled)


def _curve(scenario: str, time: Floats, event: NDArray[np.bool_], tau: float, alpha: float) -> Curve:
    km = kaplan_meier(time, event)
    lo, hi = log_log_band(km, alpha)
    at = [share * tau for share in _AT_RISK_AT]
    return Curve(
        scenario=scenario,
        time_s=tuple(km.time.tolist()),
        survival=tuple(km.survival.tolist()),
        lo=tuple(lo.tolist()),
        hi=tuple(hi.tolist()),
        at_risk_times_s=tuple(at),
        at_risk=tuple(int((time >= t).sum()) for t in at),
        censored_at_s=tuple(np.sort(time[~event]).tolist()),
    )


def _applied(question: Question, cells: Sequence[Cell]) -> AppliedPlan:
    return AppliedPlan(
        baseline=question.baseline,
        targets=question.targets,
        sla=question.sla,
        order=question.order,
        alpha=question.alpha,
        weights=dict(question.weights),
        horizons_s={c.scenario: c.horizon_s for c in cells},
        because=dict(question.because),
        same_arm=dict(question.same_arm),
        looks=question.looks,
        stopped=tuple(question.stopped.values()),
        frozen=question.frozen,
    )
