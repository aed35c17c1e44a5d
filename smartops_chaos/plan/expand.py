"""matrix.yaml -> Plan: the product of the factors, minus `exclude`, plus `include`, in its random order.

    plan = load_plan(Path("matrix/quick.yaml"), only=["chaos=pod-kill"], repeats=5, shard="1/2")

Order: calibration trials first; then round after round, each holding every scenario once as a block, blocks shuffled
within a round and arms within a block by the matrix's seed. So a campaign that ends early, or looks at its numbers
before its end, is balanced, and more repeats only append: ids, seeds, blocks and order of the earlier rounds stay.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import product, starmap
from pathlib import Path
from typing import Any

from smartops_chaos.errors import FileProblems, UsageError
from smartops_chaos.model import (
    GOALS,
    REFERENCE_HEALERS,
    AnalysisPlan,
    Arm,
    ChaosLevel,
    FaultPart,
    Plan,
    Sla,
    Targets,
    Trial,
)
from smartops_chaos.plan import crosschecks
from smartops_chaos.plan.crosschecks import CellNames
from smartops_chaos.plan.levels import Levels, resolve
from smartops_chaos.plan.select import select
from smartops_chaos.schema import clustertarget, healerfile, partial_matrix, yamlfile
from smartops_chaos.schema.healerfile import HealerFile
from smartops_chaos.schema.matrix import FACTORS, MOST_REPEATS, Matrix, Selector
from smartops_chaos.schema.targetspec import OTHER_KIND, KubernetesTargetSpec, kind

WATCHED_EVERY = 5  # blocks of a scenario: of these one is observed to the horizon, to see late relapses


def load_plan(path: Path, *, only: Sequence[str] = (), repeats: int | None = None, shard: str = "") -> Plan:
    """Read a matrix and all that it refers to.

    `only` selects trials ("chaos=pod-kill", "model=off,zscore"), `repeats` replaces the matrix's, `shard` ("1/3") keeps
    every third block. The digest is the same for every selection and shard of one matrix.
    Raises FileProblems with all problems of the files, UsageError, NothingSelected.
    """
    if repeats is not None and not 1 <= repeats <= MOST_REPEATS:
        raise UsageError(f"repeats is {repeats}", f"use 1 to {MOST_REPEATS}")
    found = partial_matrix.parse(yamlfile.read(path))
    if found.target is None and kind(found.document.data.get("target")) == OTHER_KIND:
        found.whole()  # all other checks depend on the healer file, which a target of one's own has to name
    healer, driver = _healer(found.document, path.parent)
    levels = resolve(found, driver, healer.settings, path.parent)
    crosschecks.check(found, levels)
    clustertarget.check(found, healer.kubernetes)
    matrix = found.whole()
    if repeats is not None:
        matrix = matrix.model_copy(update={"repeats": repeats})
    left = cells(matrix)
    crosschecks.check_cells(found, matrix, left)
    found.whole()
    plan = expand(matrix, levels, healer.model_dump(mode="json"), left)
    for name, count in Counter(trial.id for trial in plan.trials).items():
        if count > 1:
            found.refuse(
                ("factors",), f"two trials would be called {name}", "rename a level that has a dot", at_key=True
            )
    found.whole()
    return replace(plan, trials=select(plan, only, shard))


def _healer(document: yamlfile.Document, folder: Path) -> tuple[HealerFile, str]:
    """The healer under test, and the driver whose faults have a name; a target of one's own has fault files alone.

    Read even where the target is not in order otherwise: its settings are needed to check the levels.
    """
    target = document.data.get("target")
    if not isinstance(target, dict) or kind(target) not in ("kubernetes", OTHER_KIND):
        return healerfile.load("lab"), "lab"
    name = str(target.get("healer") or "smartops")
    is_shipped = re.fullmatch(r"[A-Za-z0-9_-]+", name)
    try:
        healer = healerfile.load(name if is_shipped else str(folder / name))
    except FileProblems as error:
        if any(problem.line for problem in error.problems):
            raise
        what = error.problems[0]  # of the file as a whole: said where the matrix names it
        raise FileProblems([document.problem(("target", "healer"), what.what, what.hint)]) from None
    return healer, "kubernetes" if kind(target) == "kubernetes" else ""


def _target(matrix: Matrix, healer: Mapping[str, Any], levels: Levels) -> dict[str, Any]:
    if isinstance(matrix.target, KubernetesTargetSpec):
        parts = [part for level in levels.chaos.values() for part in level.parts]
        attacked = [str(part.params["deployment"]) for part in parts if part.params.get("deployment")]
        return clustertarget.options(matrix.target, healer, attacked)
    return matrix.target.model_dump()


def cells(matrix: Matrix) -> list[CellNames]:
    """The product minus `exclude` plus `include`, in the order of the file."""
    factors = matrix.factors
    names = [list(getattr(factors, factor)) for factor in FACTORS]
    excluded = {_pattern(selector) for selector in matrix.exclude}
    masks = {tuple(bool(name) for name in pattern) for pattern in excluded}
    wanted = {
        tuple(name or only[0] for name, only in zip(_pattern(selector), names, strict=True))
        for selector in matrix.include
    }

    def left(cell: CellNames) -> bool:
        return cell in wanted or not any(
            tuple(name if keep else "" for name, keep in zip(cell, mask, strict=True)) in excluded for mask in masks
        )

    return [cell for cell in starmap(CellNames, product(*names)) if left(cell)]


def expand(matrix: Matrix, levels: Levels, healer: Mapping[str, Any], left: Sequence[CellNames]) -> Plan:
    """The whole plan. Pure: everything that it refers to is in `levels` and `healer`."""
    baseline = crosschecks.baseline(matrix)
    stands_for = equal_arms(levels, [Arm(model, policy) for _, _, model, policy in left], baseline)
    blocks: dict[tuple[str, str], list[Arm]] = {}  # scenario -> its arms, each once
    for chaos, workload, model, policy in left:
        arm = stands_for[Arm(model, policy)]
        arms = blocks.setdefault((chaos, workload), [])
        if arm not in arms:
            arms.append(arm)
    trials = [
        _trial(f"calibration.{chaos}.{workload}.{n}", "calibrate", (chaos, workload), baseline, n, 0, matrix.seed)
        for chaos, workload in blocks
        if _can_be_ended(matrix, levels.chaos[chaos].parts)
        for n in range(1, matrix.calibrate + 1)
    ]
    order = random.Random(matrix.seed)
    block = 0
    for repeat in range(1, matrix.repeats + 1):
        scenarios = list(blocks)
        order.shuffle(scenarios)
        for scenario in scenarios:
            arms = list(blocks[scenario])
            order.shuffle(arms)
            block += 1
            watched = bool(levels.chaos[scenario[0]].parts) and _is_watched(matrix, scenario, repeat)
            for arm in arms:
                name = ".".join((*scenario, arm.model, arm.policy, str(repeat)))
                trial = _trial(name, "measure", scenario, arm, repeat, block, matrix.seed)
                trials.append(replace(trial, to_horizon=watched))
    analysis = _analysis(matrix, levels.chaos, baseline)
    healer = {**healer, "warm_up_s": _warm_up_s(healer, levels, stands_for.values())}
    plan = Plan(
        name=matrix.name,
        target=_target(matrix, healer, levels),
        healer=healer,
        chaos=levels.chaos,
        models=levels.models,
        policies=levels.policies,
        workloads=levels.workloads,
        trials=tuple(trials),
        same_arm={_key(a): _key(b) for a, b in stands_for.items() if a != b},
        analysis=analysis,
        seed=matrix.seed,
        digest="",
    )
    return replace(plan, digest=digest(plan))


def equal_arms(levels: Levels, arms: Sequence[Arm], baseline: Arm) -> dict[Arm, Arm]:
    """Each arm and the one that stands for it: the first with equal settings, the baseline before all others.

    With the healer off, or the trial in its place, a policy has no effect, so its settings do not count then. What is
    `same_as` another is meant to run beside it.
    """
    first: dict[str, Arm] = {}
    stands_for: dict[Arm, Arm] = {}
    for arm in dict.fromkeys((baseline, *arms)):
        model, policy = levels.models[arm.model], levels.policies[arm.policy]
        merged = model.over(policy)
        if (healer := merged.get("healer")) in ("off", *REFERENCE_HEALERS):
            merged = {**model.settings, "healer": healer}
        merged.pop("file", None)  # the text counts, not where it came from
        again = [variant.name for variant in (model, policy) if variant.same_as]
        stands_for[arm] = first.setdefault(json.dumps([merged, again], sort_keys=True), arm)
    return stands_for


def _warm_up_s(healer: Mapping[str, Any], levels: Levels, arms: Iterable[Arm]) -> float:
    """The longest warm-up that an arm of the matrix needs: all arms wait as long, or they would not be compared."""
    needed = [float(healer["warm_up_s"])]
    for arm in arms:
        settings = levels.models[arm.model].over(levels.policies[arm.policy])
        for name, by_value in healer.get("warm_up_for", {}).items():
            if settings.get("healer") != "off":
                needed.append(float(by_value.get(str(settings.get(name)), 0)))
    return max(needed)


def _is_watched(matrix: Matrix, scenario: tuple[str, str], repeat: int) -> bool:
    """Whether a block is observed to the horizon though trials may stop earlier: by chance one repeat in five.

    All arms of a block are observed alike, or one would show relapses that the others hide.
    """
    five, number = divmod(repeat - 1, WATCHED_EVERY)
    name = f"{matrix.seed}/{'.'.join(scenario)}/{five}/watched"
    return matrix.stop_after_good is not None and _random(name) % WATCHED_EVERY == number


def _random(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")


def as_before(plan: Plan) -> Plan:
    """As versions planned it that let every trial stop early: an unfinished campaign of theirs goes on like that."""
    plan = replace(plan, trials=tuple(replace(trial, to_horizon=False) for trial in plan.trials))
    return replace(plan, digest=digest(plan))


def digest(plan: Plan) -> str:
    """SHA-256 of everything that changes what trials do or what is concluded from them; not of names and lanes."""
    data = asdict(plan)
    del data["digest"], data["name"], data["target"]["lanes"]
    if data["analysis"]["looks"] == 1:
        del data["analysis"]["looks"]  # as before there were looks
    if data["analysis"]["order"] == GOALS:
        del data["analysis"]["order"]  # as before targets had an order
    if not data["analysis"]["slo"]["query"]:
        for key in ("query", "at_least", "every_s", "lag_s"):
            del data["analysis"]["slo"][key]  # as before there were queries
    if data["analysis"]["sla"] and not data["analysis"]["sla"]["repair_s"]:
        del data["analysis"]["sla"]["repair_s"]  # as before a repair could be said
    for trial in data["trials"]:
        if not trial["to_horizon"]:
            del trial["to_horizon"]  # as before some were observed longer
    for variants in (data["models"], data["policies"]):
        for variant in variants.values():
            variant["settings"].pop("file", None)
            if not variant["same_as"]:
                del variant["same_as"]  # as before an arm could run twice
    return hashlib.sha256(json.dumps(data, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def _analysis(matrix: Matrix, chaos: Mapping[str, ChaosLevel], baseline: Arm) -> AnalysisPlan:
    slo = matrix.slo.slo()
    never = max(level.horizon_s for level in chaos.values()) + slo.hold_s  # every trial is observed to its end
    return AnalysisPlan(
        baseline=baseline,
        slo=slo,
        stop_after_good_s=never if matrix.stop_after_good is None else matrix.stop_after_good,
        targets=Targets(**matrix.targets.model_dump()),
        sla=None if matrix.sla is None else Sla(matrix.sla.window, matrix.sla.faults, matrix.sla.repair),
        weights=dict(matrix.weights),
        looks=matrix.looks,
        order=matrix.targets.order,
    )


def _can_be_ended(matrix: Matrix, parts: Sequence[FaultPart]) -> bool:
    """Whether the harness can end the fault at a second of its own: a pod killed on a cluster comes back by itself."""
    on_cluster = isinstance(matrix.target, KubernetesTargetSpec)
    return any(part.lasting for part in parts) if on_cluster else bool(parts)


def _trial(name: str, phase: Any, scenario: tuple[str, str], arm: Arm, repeat: int, block: int, seed: int) -> Trial:
    chaos, workload = scenario
    return Trial(name, phase, chaos, workload, arm.model, arm.policy, repeat, block, _random(f"{seed}/{name}"))


def _pattern(selector: Selector) -> tuple[str, ...]:
    return tuple(getattr(selector, factor) for factor in FACTORS)


def _key(arm: Arm) -> str:
    return f"{arm.model}/{arm.policy}"
