"""Which trials of a plan run: `--only chaos=pod-kill,cpu-90` and `--shard 1/3`."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from smartops_chaos.errors import NothingSelected, UsageError
from smartops_chaos.model import Plan, Trial
from smartops_chaos.schema.matrix import FACTORS
from smartops_chaos.schema.yamlfile import did_you_mean


def select(plan: Plan, only: Sequence[str], shard: str) -> tuple[Trial, ...]:
    """The trials that are left, in the plan's order.

    Levels of one factor add up, factors narrow each other. A calibration trial belongs to its scenario, whatever the
    arm; a trial that stands for several equal arms is selected by each of them. Blocks go to shards whole, in turn.
    Raises UsageError for an unknown factor or level or a bad shard, NothingSelected if no trial is left.
    """
    wanted = _parse_only(only, plan)
    index, count = _parse_shard(shard)
    arms = {trial.arm: {(trial.model, trial.policy)} for trial in plan.trials}
    for alias, stands_for in plan.same_arm.items():
        for arm, same in arms.items():
            if stands_for == f"{arm.model}/{arm.policy}":
                model, _, policy = alias.partition("/")
                same.add((model, policy))

    def fits(trial: Trial) -> bool:
        if any(getattr(trial, f) not in wanted[f] for f in ("chaos", "workload") if f in wanted):
            return False
        models, policies = wanted.get("model"), wanted.get("policy")
        return trial.phase == "calibrate" or any(
            (models is None or model in models) and (policies is None or policy in policies)
            for model, policy in arms[trial.arm]
        )

    scenarios = {(trial.chaos, trial.workload): 0 for trial in plan.trials}
    place = {scenario: i for i, scenario in enumerate(scenarios)}
    left = tuple(
        trial
        for trial in plan.trials
        if fits(trial) and (trial.block - 1 if trial.block else place[trial.chaos, trial.workload]) % count == index
    )
    if not left:
        chosen = " ".join([*(f"--only {text}" for text in only), *([f"--shard {shard}"] if shard else ())])
        raise NothingSelected(f"no trial is left by {chosen}", "`smartops-chaos plan` shows what there is")
    return left


def _parse_only(only: Sequence[str], plan: Plan) -> dict[str, set[str]]:
    levels: dict[str, Collection[str]] = {
        "chaos": plan.chaos,
        "model": plan.models,
        "policy": plan.policies,
        "workload": plan.workloads,
    }
    wanted: dict[str, set[str]] = {}
    for text in only:
        factor = ""
        for item in text.split(","):
            before, equals, name = item.strip().rpartition("=")
            factor = before.strip() if equals else factor
            if not factor:
                raise UsageError(f"--only {text}: no factor is named", "write it as --only chaos=pod-kill")
            if factor not in levels:
                raise UsageError(f"--only {text}: `{factor}` is not a factor", did_you_mean(factor, FACTORS))
            name = name.strip()
            if name not in levels[factor]:
                hint = did_you_mean(name, levels[factor])
                raise UsageError(f"--only {text}: no {factor} level is named `{name}`", hint)
            wanted.setdefault(factor, set()).add(name)
    return wanted


def _parse_shard(shard: str) -> tuple[int, int]:
    """Index from 0, and count."""
    if not shard:
        return 0, 1
    match = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", shard)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--shard {shard} is not a shard", "write 1/3 for the first of three")
    return int(match[1]) - 1, int(match[2])
