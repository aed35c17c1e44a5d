"""System under test and threats to validity: what was measured on, and what stands against each conclusion."""

from __future__ import annotations

import re
from collections.abc import Iterable

from smartops_chaos.analysis.compare import LEAST_FAMILIES
from smartops_chaos.analysis.phrases import left_out
from smartops_chaos.analysis.words import clip, count, listing, number, percent, seconds, stated_seconds
from smartops_chaos.model import Outcome, Plan
from smartops_chaos.report import lane_effect
from smartops_chaos.report.document import Block, Facts, Figure, Paragraph, Section, Text
from smartops_chaos.report.figures import loop_diagram
from smartops_chaos.report.figures.loop_diagram import Names
from smartops_chaos.report.page import Page
from smartops_chaos.report.style import both

_NAMED = 3  # faults in the diagram
_HEALERS = ("detector ", "healer")  # labels of the provenance that tell of it
_ACTION = re.compile(r"\bTHEN\s+(\w+)\s*\(")


def doubts(page: Page) -> tuple[str, ...]:
    """What makes the result weak: what the numbers say of it, and what the plan does."""
    first, rest = page.summary.warnings[:1], page.summary.warnings[1:]
    return (*first, *one_cure(page), *rest)


def one_cure(page: Page) -> Iterable[str]:
    """A policy that knows one action cannot show what detector and diagnosis are good for."""
    plan, judged = page.plan, page.judged
    faults = [c for c in plan.chaos.values() if c.parts] if plan else []
    if plan is None or len(judged) != 1 or len(faults) < 2 or any(a.reference for a in page.arms):
        return
    (arm,) = judged
    texts = [str(value) for value in plan.policies[arm.policy].settings.values()]
    actions = {action for text in texts for action in _ACTION.findall(text)}
    if len(actions) == 1:
        yield (
            f"The policy knows one action, {actions.pop()}, for all {len(faults)} faults. So the trials do not show "
            "what "
            "the detector and the diagnosis add to a healer that does the same on any alarm: "
            "an arm of reference would (`random: {healer: random}` among the models)."
        )


def section(page: Page) -> Section:
    return Section("validity", "System under test and threats to validity", tuple(_blocks(page)))


def _blocks(page: Page) -> Iterable[Block]:
    if page.plan is None:
        yield Paragraph("The trials come from a bare table. What they were measured on, it does not say.")
    else:
        shown = names(page.plan)
        svg, narrow = both(lambda: loop_diagram.diagram("fig-system", shown))
        yield Figure(
            "fig-system",
            "System under test",
            "Requests measure the outage from outside, and the healer has to end it. Blue is the harness, green what "
            "is judged, red what is injected; the arrows of the lower half are the loop of a repair.",
            " ".join(text.replace("\n", " ") + "." for text in (shown.load, shown.front, shown.service, shown.watch)),
            svg,
            ("tab-scenarios",),
            narrow=narrow,
        )
    yield Facts((*_system(page), *_threats(page)))


# ---- the system ----------------------------------------------------------------------------------------------


def names(plan: Plan) -> Names:
    rates = listing(sorted({f"{w.rate_per_s:g}/s" for w in plan.workloads.values() if w.rate_per_s}))
    load = "load of your own" if plan.analysis.slo.query else f"load generator\nopen loop, {rates}"
    levels = [clip(c.name, 16) for c in plan.chaos.values() if c.parts]
    fault = "\n".join(
        ["fault:", *levels] if len(levels) <= _NAMED else ["fault:", *levels[:2], f"{len(levels) - 2} more"]
    )
    lanes = plan.target.get("lanes", 1)
    healer = "healer\ndetect, diagnose,\ndecide, act"
    if plan.target.get("kind") == "lab":
        platform = "supervisor\nrestarts a dead\nprocess"
        replicas = count(int(plan.target.get("replicas", 1)), "replica")
        return Names(
            load,
            "gateway",
            f"ERP service\n{replicas}",
            "Prometheus, logs",
            healer,
            platform,
            fault,
            f"lane, × {lanes}, all on one machine",
        )
    platform = "Kubernetes\nrestarts and\nreplaces pods"
    return Names(load, "Service", "pods", "Prometheus,\nLoki, logs", healer, platform, fault, f"namespace, × {lanes}")


def _system(page: Page) -> Iterable[tuple[str, Text]]:
    plan = page.plan
    if plan is None:
        return
    lanes = plan.target.get("lanes")
    many = f", {count(int(lanes), 'lane')}: so many trials ran at a time" if isinstance(lanes, int) else ""
    if plan.target.get("kind") == "lab":
        yield (
            "System under test",
            f"The embedded lab{many}. Each lane is a gateway, {plan.target.get('replicas', '')} replicas of a small "
            "ERP, a healer and a Prometheus. All of them are processes on this machine, and each lane's ERP is bound "
            "to a core.",
        )
        yield "What is real", listing(_real(plan)) + "."
        yield "What is emulated", "\n".join(_emulated(page, plan))
    else:
        yield "System under test", f"Kind {plan.target.get('kind', '')}{many}."
        yield "What is real", "The cluster, the application, its healer and its telemetry."
    loads = [f"{w.name} {w.rate_per_s:g}/s" for w in plan.workloads.values()]
    yield "Load", f"{listing(loads)}, sent on schedule whatever the answers."
    titles = [f"{c.name}: {_what(plan, c.name)}" for c in plan.chaos.values() if c.parts]
    yield "Faults", "\n".join(titles)
    if healer := _healer(page):
        yield "Healer", "\n".join(healer)


def _families(plan: Plan) -> set[str]:
    return {part.family for level in plan.chaos.values() for part in level.parts}


def _real(plan: Plan) -> list[str]:
    """On the lab."""
    families = _families(plan)
    return [
        "Processes" + (" and their deaths" if "pod" in families else ""),
        *(["CPU load"] if "cpu" in families else []),
        *(["memory that fills"] if "memory" in families else []),
        "requests and their answers",
        "clocks",
        "Prometheus and its scrapes",
        "log lines",
        "the healer's decisions",
    ]


def _emulated(page: Page, plan: Plan) -> Iterable[str]:
    """On the lab."""
    network = [c.name for c in plan.chaos.values() if any(part.family == "network" for part in c.parts)]
    if network:
        yield f"The network ({listing(network)}): the gateway holds back or drops the requests to one replica."
    slowed = [
        f"{c.name}, by the factor {part.params['slowdown']:g}"
        for c in plan.chaos.values()
        for part in c.parts
        if isinstance(part.params.get("slowdown"), int | float)
    ]
    if slowed:
        yield f"How far a replica's own work gives way to a CPU load ({'; '.join(slowed)}): that factor is set."
    delay_s = page.restart_delay_s
    if delay_s is None:
        yield (
            "The platform: a supervisor restarts processes as Kubernetes restarts containers. After how long, this "
            "campaign has not noted."
        )
    else:
        yield (
            f"The platform: a supervisor restarts a dead process after {stated_seconds(delay_s)}. Kubernetes restarts "
            "a container at once the first time, then after 10 s, 20 s and so on, up to 5 "
            f"minutes.{hangs_on_delay(page, delay_s)}"
        )
    yield "The healer: a small SmartOps in one process, with the same log lines and metrics."


def hangs_on_delay(page: Page, delay_s: float) -> str:
    """Below which delay of the platform the healer would gain nothing, where the platform ends every outage."""
    baseline, judged = page.summary.baseline, page.judged
    arm = next((a for a in page.arms if [a.arm] == judged), None)
    if baseline is None or arm is None:
        return ""
    ours = {(c.chaos, c.workload): c.rmst_s for c in arm.cells}
    for cell in baseline.cells:
        mean_s, own_s = cell.rmst_s, ours.get((cell.chaos, cell.workload))
        alone = cell.counted and cell.outcomes.get(Outcome.PLATFORM) == cell.counted
        if not alone or mean_s is None or own_s is None or not delay_s < mean_s:
            continue
        limit_s = own_s - (mean_s - delay_s)
        return (
            f" So in {cell.chaos} the result hangs on this wait: of the {seconds(mean_s)} of {baseline.arm}, "
            f"{stated_seconds(delay_s)} are the wait"
            + (f", and with one under {seconds(limit_s)} {arm.arm} would gain nothing there." if limit_s > 0 else ".")
        )
    return ""


def _healer(page: Page) -> list[str]:
    """Its settings as the campaign has noted them."""
    told = [f"{label}: {text}." for label, text in page.provenance.items() if label.startswith(_HEALERS)]
    if any(label.startswith("detector zscore") for label in page.provenance):
        told.append(
            "A z-score is the distance of a value from the mean of what was learnt, in standard deviations: "
            "z = (x − mean) / deviation."
        )
    return told


def _what(plan: Plan, name: str) -> str:
    level = plan.chaos[name]
    said = [str(part.definition.get("title", "")) or part.fault for part in level.parts]
    return f"{' and '.join(said)}, horizon {stated_seconds(level.horizon_s)}"


# ---- the threats ---------------------------------------------------------------------------------------------


def _threats(page: Page) -> Iterable[tuple[str, str]]:
    yield "Construct: do the numbers mean what they are called?", _construct(page)
    yield "Internal: is the healer the cause?", _internal(page)
    yield "External: does it hold elsewhere?", _external(page)
    yield "Statistical: could it be chance?", _statistical(page)


def _construct(page: Page) -> str:
    told = ["Recovery is what a client sees, not what a dashboard says."]
    if dated := typical_width(page):
        told.append(dated)
    known = [c for c in page.summary.calibration if c.worst_s is not None]
    if known:
        worst = max((c.worst_s or 0.0 for c in known), key=abs)
        n = sum(c.n for c in known)
        told.append(
            f"In {count(n, 'calibration trial')} we ended the fault at a known second: the recovery was off by "
            f"{seconds(worst, sign=True)} at worst."
        )
    else:
        told.append("No calibration trial counts, so the dating is not checked.")
    told.append("MTTR counts a trial without recovery as the horizon, so the horizon decides the size of a reduction.")
    if silent := [c.name for c in (page.plan.chaos.values() if page.plan else ()) if c.parts and not c.because]:
        told.append(f"The horizon of {listing(silent)} has no reason, so nothing is proven.")
    moments = [m for m in page.summary.agreement if m.told]
    if moments:
        share = sum(m.alike for m in moments) / sum(m.told for m in moments)
        told.append(f"Metrics and logs agree on {percent(share)} of the healer's moments.")
    return "\n".join(told)


def typical_width(page: Page) -> str:
    """How exactly a recovery is dated, in a sentence; "" where the table does not tell."""
    errors = [a.measuring_error_s for a in page.arms if a.measuring_error_s is not None]
    if not errors:
        return ""
    told = f"A recovery is typically dated to {seconds(max(errors))} (the median of the less exact arm"
    rows = page.counted
    if not {"recovered_lo_s", "recovered_hi_s"} <= set(rows.columns):
        return f"{told})."
    return f"{told}; the largest of all is {seconds(float((rows['recovered_hi_s'] - rows['recovered_lo_s']).max()))})."


def _internal(page: Page) -> str:
    told = ["Arms ran in random order within blocks, on the same lane, each trial after a reset and a health check."]
    if page.plan is None:
        told = ["In which order the arms ran, and whether the service was healthy before, the table does not say."]
    if beside := lane_effect.told(page):
        told.append(beside)
    lost = sum(sum(reasons.values()) for reasons in page.summary.excluded.values())
    if lost:
        told.append(
            f"Left out: {left_out(page.summary.excluded)} A proven target holds with these {lost} at their worst."
        )
    else:
        told.append("No trial was left out.")
    contested = sum(a.contested for a in page.arms)
    if contested:
        told.append(
            f"In {count(contested, 'trial')} it is doubtful who ended the outage; they count as the platform's."
        )
    elif "flags" in page.table.columns:
        told.append("In no trial is it doubtful who ended the outage.")
    known = [c.block_correlation for c in page.summary.comparisons if c.decides and c.block_correlation is not None]
    if known:
        least = number(min(known), 2)
        who = "Arm and baseline correlate" if len(known) == 1 else "The arms correlate with the baseline"
        told.append(
            f"{who} within blocks by {least}{'' if len(known) == 1 else ' or more'}; well below 0, arms would disturb "
            "each other."
        )
    return "\n".join(told)


def _external(page: Page) -> str:
    scenarios = {(c.chaos, c.workload) for a in page.arms for c in a.cells}
    told = [f"The verdicts are about these {count(len(scenarios), 'scenario')} and no other."]
    if page.plan and page.plan.target.get("kind") == "lab":
        told.append(
            "The lab says how this healer and this method behave. It says nothing about the times that a SmartOps on a "
            "cluster would need: there image pulls, schedulers and networks come on top."
        )
    families = {c.family for c in (page.plan.chaos.values() if page.plan else ()) if c.parts}
    if families:
        told.append(families_told(len(families)))
    told.append(
        "Faults are injected one trial at a time into a healthy service; outages in production overlap and last."
    )
    if cured := _cured_by_restart(page):
        told.append(cured)
    return "\n".join(told)


def _cured_by_restart(page: Page) -> str:
    """On the lab, faults of which a restart is the cure, though in reality it need not be."""
    plan = page.plan
    if plan is None or plan.target.get("kind") != "lab" or "network" not in _families(plan):
        return ""
    names = [c.name for c in plan.chaos.values() if any(part.family == "network" for part in c.parts)]
    return (
        f"Here a new replica is free of the fault, also in {listing(names)}; in reality a slow network is not cured "
        "by a restart."
    )


def families_told(found: int) -> str:
    """Whether the result can be said of faults that were not tried, and why so many families are needed."""
    measured = f"{count(found, 'fault family', 'fault families')} {'was' if found == 1 else 'were'} measured"
    if found >= LEAST_FAMILIES:
        return f"{measured}, which is enough to speak about faults like them."
    return (
        f"{measured}. To speak about faults like them takes {LEAST_FAMILIES}: with fewer, one family that was not "
        "tried could turn the result round."
    )


def _statistical(page: Page) -> str:
    counted = [a.counted for a in page.arms if not a.reference]
    told = []
    if counted:
        told.append(f"{min(counted)} to {max(counted)} trials count in an arm." if min(counted) != max(counted)
                    else f"{counted[0]} trials count in each arm.")  # fmt: skip
    told.append(
        "The tests assume nothing about the times but that they lie between 0 and the horizon. The chance of a false "
        f"proven, over {_tested(page)}, is held at {percent(page.summary.alpha, 1)}, one-sided; that is checked by "
        "exact computation, not proven by mathematics (see the method)."
    )
    if waiting := sum(v.verdict.startswith("observed") for v in page.summary.verdicts):
        are = "is" if waiting == 1 else "are"
        told.append(f"{count(waiting, 'target')} {are} only observed: more trials would be needed to decide.")
    looks = page.summary.plan.looks if page.summary.plan else 1
    told.append(
        "There was one look at the data, at the end." if looks == 1 else f"{looks} looks, paid for by e values."
    )
    return "\n".join(told)


def _tested(page: Page) -> str:
    """What shares the level: targets in a fixed order, and arms by Holm where there are several."""
    arms = len(page.judged)
    return "all targets" if arms < 2 else f"all targets and {arms} arms (by Holm)"
