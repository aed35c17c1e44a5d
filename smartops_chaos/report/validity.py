"""System under test and threats to validity: what was measured on, and what stands against each conclusion."""

from __future__ import annotations

from collections.abc import Iterable

from smartops_chaos.analysis.phrases import left_out
from smartops_chaos.analysis.words import clip, count, listing, number, percent, seconds, stated_seconds
from smartops_chaos.model import Plan
from smartops_chaos.report.document import Block, Facts, Figure, Paragraph, Section, Text
from smartops_chaos.report.figures import loop_diagram
from smartops_chaos.report.figures.loop_diagram import Names
from smartops_chaos.report.page import Page

_NAMED = 3  # faults in the diagram


def section(page: Page) -> Section:
    return Section("validity", "System under test and threats to validity", tuple(_blocks(page)))


def _blocks(page: Page) -> Iterable[Block]:
    if page.plan is None:
        yield Paragraph("The trials come from a bare table. What they were measured on, it does not say.")
    else:
        shown = names(page.plan)
        yield Figure(
            "fig-system",
            "System under test",
            "Blue: the harness; green: what is judged; red: what is injected. The arrows of the lower half "
            "are the loop "
            "of the repair.",
            " ".join(text.replace("\n", " ") + "." for text in (shown.load, shown.front, shown.service, shown.watch)),
            loop_diagram.diagram("fig-system", shown),
            ("tab-scenarios",),
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
            "Target",
            f"The embedded lab{many}. Each lane is a gateway, {plan.target.get('replicas', '')} replicas of a "
            f"small ERP, a "
            "healer and a Prometheus, all of them processes on this machine.",
        )
        yield (
            "What is real",
            "Processes and their deaths, CPU and memory load, requests and their answers, clocks, Prometheus and its "
            "scrapes, log lines, the healer's decisions.",
        )
        emulated = [c.name for c in plan.chaos.values() if any(part.family == "network" for part in c.parts)]
        yield (
            "What is emulated",
            (f"Network delay and loss ({listing(emulated)}): the gateway holds or drops requests. " if emulated else "")
            + "The platform: a supervisor restarts processes as Kubernetes would restart pods. The healer is small.",
        )
    else:
        yield "Target", f"Kind {plan.target.get('kind', '')}{many}."
        yield "What is real", "The cluster, the application, its healer and its telemetry."
    loads = [f"{w.name} {w.rate_per_s:g}/s" for w in plan.workloads.values()]
    yield "Load", f"{listing(loads)}, sent on schedule whatever the answers."
    titles = [f"{c.name}: {_what(plan, c.name)}" for c in plan.chaos.values() if c.parts]
    yield "Faults", "\n".join(titles)


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
    errors = [a.measuring_error_s for a in page.arms if a.measuring_error_s is not None]
    if errors:
        told.append(f"It is dated to {seconds(max(errors))} at worst (median width of an arm).")
    known = [c for c in page.summary.calibration if c.worst_s is not None]
    if known:
        worst = max((c.worst_s or 0.0 for c in known), key=abs)
        n = sum(c.n for c in known)
        told.append(f"{count(n, 'calibration trial')} with a known end: off by {seconds(worst, sign=True)} at worst.")
    else:
        told.append("No calibration trial counts, so the dating is not checked.")
    told.append("MTTR counts a trial without recovery as the horizon, so the horizon decides the size of a reduction.")
    if silent := [c.name for c in (page.plan.chaos.values() if page.plan else ()) if c.parts and not c.because]:
        told.append(f"The horizon of {listing(silent)} has no reason, so nothing is proven.")
    moments = [m for m in page.summary.agreement if m.told]
    if moments:
        share = sum(m.alike for m in moments) / sum(m.told for m in moments)
        told.append(f"Metrics and logs agree on {percent(share)} of the healer's moments.")
    return " ".join(told)


def _internal(page: Page) -> str:
    told = ["Arms ran in random order within blocks, on the same lane, each trial after a reset and a health check."]
    told.append(f"Left out: {left_out(page.summary.excluded)}")
    if lost := sum(sum(reasons.values()) for reasons in page.summary.excluded.values()):
        told.append(f"A proven target holds with these {lost} counted at their worst.")
    contested = sum(a.contested for a in page.arms)
    told.append(
        f"In {count(contested, 'trial')} healer and platform cannot be told apart; they count as platform."
        if contested
        else "In no trial do healer and platform overlap."
    )
    known = [c.block_correlation for c in page.summary.comparisons if c.decides and c.block_correlation is not None]
    if known:
        told.append(
            f"Arm and baseline correlate within blocks by {number(min(known), 2)} or more (below 0 is a warning)."
        )
    return " ".join(told)


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
        told.append(f"{count(len(families), 'fault family', 'fault families')}; six are needed to speak about others.")
    told.append(
        "Faults are injected one trial at a time into a healthy service; outages in production overlap and last."
    )
    return " ".join(told)


def _statistical(page: Page) -> str:
    counted = [a.counted for a in page.arms if not a.reference]
    told = []
    if counted:
        told.append(f"{min(counted)} to {max(counted)} trials count in an arm." if min(counted) != max(counted)
                    else f"{counted[0]} trials count in each arm.")  # fmt: skip
    told.append(
        "The tests assume nothing about the times but that they lie between 0 and the horizon; the error of "
        "all targets and "
        f"arms together is at most {percent(page.summary.alpha, 1)}, one-sided (Holm; targets in a fixed order)."
    )
    if waiting := sum(v.verdict.startswith("observed") for v in page.summary.verdicts):
        told.append(f"{count(waiting, 'target')} are only observed: more trials would be needed to decide them.")
    looks = page.summary.plan.looks if page.summary.plan else 1
    told.append(
        "There was one look at the data, at the end." if looks == 1 else f"{looks} looks, paid for by e values."
    )
    return " ".join(told)
