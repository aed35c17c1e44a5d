"""The method, a topic at a time: a plain sentence, a formula, and a number of this campaign."""

from __future__ import annotations

from collections.abc import Iterable

from smartops_chaos.analysis.phrases import GOALS, p_value
from smartops_chaos.analysis.sla import window
from smartops_chaos.analysis.summary import ArmSummary
from smartops_chaos.analysis.words import listing, number, percent, percent_range, seconds, stated_seconds
from smartops_chaos.report.many_arms import fastest_first
from smartops_chaos.report.page import Page

_FEW_SCENARIOS = 4  # of which a mean is written out


def method(page: Page) -> Iterable[tuple[str, str]]:
    """Topics with their text, a line each for sentence, formula and number."""
    best = next((a for arm in fastest_first(page) for a in page.arms if a.arm == arm), None)
    yield "What a trial is", _trial(page)
    yield "When the service is healthy", _healthy(page)
    yield (
        "Which trials count",
        "A trial is left out only for what is no arm's fault: the harness failed, the service was not healthy before "
        "the injection, or the fault had no effect. If the healer signals or acts three times before the injection, "
        "its false alarms have spoiled the trial. That counts as a failure of its arm.",
    )
    yield (
        "How exact times are",
        "Every moment is an interval. A metric changes between two scrapes, and a call of ours lies between two "
        "readings of the clock. A duration is the difference of the middles of two intervals. Each mean carries the "
        "median width of these intervals as its measuring error.",
    )
    yield (
        "Who ended the outage",
        "It was the healer if its action on an affected object was over before the recovery began, and if no "
        "affected replica became ready by the platform alone in between. If the intervals overlap so that both are "
        "possible, the trial is contested and counts for the platform. That is bookkeeping. That the healer is the "
        "cause follows only from the comparison with the baseline, whose trials ran in the same blocks in random "
        "order.",
    )
    yield "MTTR", _mttr(page)
    yield "Reduction", _reduction(page, best)
    yield "How chance is judged", _chance(page, best)
    yield "Auto-heal rate", _heal(page, best)
    yield "Availability", _availability(page, best)
    yield "Several targets and arms", _several(page)
    yield (
        "Calibration",
        "In a calibration trial we end the fault ourselves at a known second.\n"
        "dating error = recovery as measured − recovery as it was\n"
        "What the service needs to work off its backlog is told apart from it, as drain.",
    )


def _trial(page: Page) -> str:
    slo = page.plan.analysis.slo if page.plan else None
    if slo and slo.query:
        return (
            "A trial is one fault, injected into one healthy lane under a load that is not ours. A query is asked at a "
            f"fixed rate. A value is good if it is at least {slo.at_least:g}, and bad if it is less, no number, or "
            "absent."
        )
    within = f"within {number(slo.latency_s * 1e3, 0)}\u00a0ms" if slo else "within the latency of the SLO"
    return (
        "A trial is one fault, injected into one healthy lane while requests are sent at a fixed rate, whatever the "
        f"answers. A request is good if a good answer arrives {within} of the moment for which it was scheduled."
    )


def _healthy(page: Page) -> str:
    slo = page.plan.analysis.slo if page.plan else None
    if slo and slo.query:
        return (
            f"It is healthy if all values in every window of H = {stated_seconds(slo.hold_s)} are good. It has "
            "recovered at the first good value from which that holds to the end of the observation; a relapse moves "
            "the recovery."
        )
    share = percent(slo.objective) if slo else "the objective"
    hold = f" of H = {stated_seconds(slo.hold_s)}" if slo else " of length H"
    return (
        f"It is healthy if in every window{hold} at least {share} of the requests are good. It has recovered at the "
        "first good request from which that holds to the end of the observation; a relapse moves the recovery. When "
        "exactly it became bad, and good again, is where the rate of bad requests changes: the moment that makes the "
        "answers seen likeliest (binomial likelihood; its interval goes down by 2 in the logarithm)."
    )


def _mttr(page: Page) -> str:
    told = [
        "The mean time to recover counts every trial; one that never recovered counts as the horizon τ.",
        "MTTR = mean over the scenarios of the mean of min(time, τ)",
    ]
    baseline = page.summary.baseline
    cells = [c for c in baseline.cells if c.rmst_s is not None] if baseline else []
    if baseline and 1 < len(cells) <= _FEW_SCENARIOS and not (page.summary.plan and page.summary.plan.weights):
        sum_ = " + ".join(number(c.rmst_s, 2) for c in cells)
        told.append(f"Here, {baseline.arm}: ({sum_}) / {len(cells)} = {seconds(baseline.mttr.rmst_s)}.")
    return "\n".join(told)


def _reduction(page: Page, best: ArmSummary | None) -> str:
    told = [
        "The reduction compares an arm with the baseline over the scenarios that both have.",
        "reduction = 1 − MTTR of the arm / MTTR of the baseline",
    ]
    comparison = page.summary.deciding(best.arm) if best else None
    if best and comparison and comparison.mttr_reduction.estimate is not None:
        ours, theirs = number(best.mttr.rmst_s, 2), number(comparison.baseline_rmst_s, 2)
        told.append(f"Here, {best.arm}: 1 − {ours} / {theirs} = {percent(comparison.mttr_reduction.estimate)}.")
    return "\n".join(told)


def _chance(page: Page, best: ArmSummary | None) -> str:
    told = [
        "A time lies between 0 and τ; nothing else is assumed. Few trials do not show the one in fifty that never "
        "recovers, so a t test would prove too much. The test looks at all distributions of times with which the "
        "target is not met, and one trial that was not seen may be the worst possible. Of these it takes the one "
        "that makes the trials seen likeliest (empirical likelihood, Owen 2001).",
        "p = likelihood of the trials under that distribution / likelihood under their own shares",
    ]
    comparison = page.summary.deciding(best.arm) if best else None
    r = comparison.mttr_reduction if comparison else None
    if best and r and r.p_adjusted is not None and r.lo is not None:
        told.append(
            f"Here, {best.arm}: {p_value(r.p_adjusted)}. The interval, {percent_range(r.lo, r.hi)}, holds all "
            "reductions that the same test does not reject."
        )
    told.append(
        "That this errs on the safe side is checked, not proven. Over all distributions of two values at the border, "
        "computed exactly (benchmarks/borders.py), a false proven came in at most 0.93 of the level, in every design "
        "that was tried with 1, 2 and 6 scenarios and 1, 4 and 12 arms."
    )
    return "\n".join(told)


def _heal(page: Page, best: ArmSummary | None) -> str:
    told = [
        "The rate is the share of incidents that ended without a person; to be proven it must also exceed what ends by "
        "itself in the baseline.",
        "rate = incidents that ended without a person / all incidents",
    ]
    verdict = next((v for v in page.summary.verdicts if best and (v.arm, v.target) == (best.arm, "auto_heal")), None)
    if best and verdict and best.auto_heal.n:
        k, n, wanted = best.auto_heal.successes, best.auto_heal.n, verdict.wanted
        if k == n and not best.left_out and 0 < wanted < 1:
            chance = wanted**n
            said = f"{chance:.4f}" if chance >= 1e-4 else f"{chance:.0e}"
            told.append(
                f"Here, {best.arm}: {k} of {n}. Were the true rate {percent(wanted)}, so many successes in a row "
                f"would have the chance {wanted:g}^{n} = {said} (exact test of Clopper and Pearson)."
            )
        else:
            told.append(f"Here, {best.arm}: {k} / {n} = {percent(best.auto_heal.no_human)}.")
    return "\n".join(told)


def _availability(page: Page, best: ArmSummary | None) -> str:
    sla = page.summary.plan.sla if page.summary.plan else None
    told = [
        "The share of a service window that is good, if so many faults come in it as the plan expects and each costs "
        "what it cost in the trials.",
        "availability = 1 − faults × mean bad seconds of a fault / length of the window",
    ]
    if best and sla and best.sla.availability is not None:
        bad_s = (1 - best.sla.availability) * sla.window_s / sla.faults
        told.append(
            f"Here, {best.arm}: 1 − {sla.faults:g} × {number(bad_s, 3)} s / {sla.window_s:,.0f} s = "
            f"{percent(best.sla.availability, 3)} (window: {window(sla)})."
        )
    return "\n".join(told)


def _several(page: Page) -> str:
    plan, arms = page.summary.plan, len(page.judged)
    alpha = percent(page.summary.alpha, 1)
    order = f" ({listing([GOALS[goal] for goal in plan.order])})" if plan else ""
    told = [
        f"A target is proven if p is at most {alpha}. The targets of an arm are tested in the order of the "
        f"matrix{order}, until one is not proven. So a later p is never smaller than an earlier one, and the chance "
        "of any false proven stays the same.",
    ]
    if arms > 1:
        told.append(
            f"The {arms} arms share the {alpha} by Holm's procedure: the smallest p is multiplied by {arms}, the next "
            f"by {arms - 1}, and so on."
        )
    told.append(
        "Before that, all conditions enter p: each horizon needs a reason, and trials without a result count at "
        "their worst. Missed: that the target is met is ruled out in the same way. Observed above or below only says "
        "where the estimate lies. Trivial: the target is met whatever the healer does. Shorter horizons are tried "
        "from τ downwards until one fails, so each has the full level."
    )
    return "\n".join(told)
