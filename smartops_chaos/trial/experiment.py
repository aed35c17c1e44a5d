"""Trial -> Chaos Toolkit experiment, and back from its journal.

The experiment is complete: `chaos validate` accepts it and `chaos run` executes it by hand against a lane whose address
is in the environment. Hypothesis = the gate, method = inject, confirm, observe, rollbacks = revert.
Every user-given part stays inside the arguments of an activity; nothing is put into a shell or evaluated.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from smartops_chaos.model import ChaosLevel, FaultPart, ReferenceHealer, Slo, Trial, Variant
from smartops_chaos.schema.clustertarget import longest_between_s
from smartops_chaos.timeline.tracing import traces_of

NAME = "smartops-chaos"
HERE = "smartops_chaos.trial.protocol"
SETTINGS = {"runtime": {"rollbacks": {"strategy": "always"}}}
STRATEGY = "before-method-only"
CLUSTER = "kubernetes"
# What says where a lane is: environment variable -> its name in an experiment's configuration. The first must be set.
LANE = {"SMARTOPS_LANE": "lane_file"}
NAMESPACE = {"SMARTOPS_NAMESPACE": "namespace", "SMARTOPS_CONTEXT": "context", "SMARTOPS_SERVICE": "service"}
_EXPIRY_MARGIN_S = 10.0  # a lasting fault outlives the observation by at least this
_PATIENCE_S = 90.0  # beyond the longest observation: reset, warm-up, gate, three false alarms
_UNDO_MARGIN_S = 30.0  # beyond the rollbacks themselves: the process, and a lane that has to be asked
_LIMIT_S = 30.0  # of an activity of a fault, where its file says nothing


@dataclass(frozen=True, slots=True)
class Job:
    """All that a trial's child needs, stored in the experiment's `extensions`: no other file is read."""

    campaign: str
    trial: Trial
    attempt: int
    target: dict[str, Any]
    lane: str
    environment: dict[str, str]
    model: Variant
    policy: Variant
    chaos: ChaosLevel  # its parts without definitions, which are the experiment itself
    rate_per_s: float
    slo: Slo
    stop_after_good_s: float
    healer: dict[str, Any]
    fault_ids: tuple[str, ...]  # made before injection: the only thing that a revert needs
    digest: str = ""
    reference: ReferenceHealer | None = None  # the trial itself takes the healer's place
    drain_s: float = 0.0  # of the scenario, by its calibration trials so far

    @property
    def wait_s(self) -> float:
        """The random wait before the gate may pass: a share of one poll period of the healer, by the trial's seed."""
        return float(self.healer["poll_s"]) * (self.trial.seed % 1000) / 1000


def expires_s(horizon_s: float, hold_s: float) -> float:
    """When the target ends a fault by itself: never within the observation."""
    return horizon_s + hold_s + _EXPIRY_MARGIN_S


def build(job: Job, parts: tuple[FaultPart, ...]) -> dict[str, Any]:
    """The experiment of a trial, plain JSON. `parts` are the chaos level's faults with their definitions."""
    configuration: dict[str, Any] = {
        **{key: {"type": "env", "key": variable, "default": ""} for variable, key in lane_names(job.target).items()},
        "trial_dir": {"type": "env", "key": "SMARTOPS_TRIAL_DIR", "default": "by-hand"},
        "workload_url": {"type": "env", "key": "SMARTOPS_WORKLOAD_URL"},
        "prometheus_base_url": {"type": "env", "key": "PROMETHEUS_BASE_URL", "default": "http://127.0.0.1:9090"},
    }
    preparations: list[dict[str, Any]] = []
    injections: list[dict[str, Any]] = []
    confirmations: list[dict[str, Any]] = []
    reverts: list[dict[str, Any]] = []
    secrets: dict[str, Any] = {}
    disputed = _disputed([configuration, *(_values(index, part, job) for index, part in enumerate(parts))])
    disputed |= _disputed([part.definition.get("secrets", {}) for part in parts])
    for index, part in enumerate(parts):
        fault = _Fault.of(index, part, job, disputed)
        configuration.update(fault.configuration)
        secrets.update(fault.secrets)
        preparations += fault.preparations
        injections += fault.injections
        confirmations += fault.confirmations
        reverts = fault.reverts + reverts
    module = job.target.get("protocol") or HERE  # a target of one's own may measure in its own way
    arguments = {"target": job.target, "load": _load(job), "limit_s": max(map(limit_s, parts), default=_LIMIT_S)}
    method = [*preparations, *injections, *confirmations]
    if job.reference and parts:
        arguments_of = {"role": job.reference, "seed": job.trial.seed, "fault_ids": list(job.fault_ids)}
        method.append({**_activity(module, "repair", {**arguments_of, "target": job.target}), "type": "action"})
    if job.trial.phase == "calibrate":
        method.append(_activity(module, "wait", {"seconds": calibration_s(job.chaos.horizon_s)}))
        method += [{**revert, "name": revert["name"].replace("revert", "end", 1)} for revert in reverts]
    never = job.chaos.horizon_s + job.slo.hold_s  # observation is over then
    method.append(
        _activity(
            module,
            "observe",
            {
                "slo": asdict(job.slo),
                "horizon_s": job.chaos.horizon_s,
                "stop_after_good_s": never if job.trial.to_horizon else job.stop_after_good_s,
            },
        )
    )
    given = [part.definition for part in parts]
    experiment: dict[str, Any] = {
        "version": "1.0.0",
        "title": f"{job.trial.id}: {_what(job)}",
        "description": f"Trial {job.trial.id} of campaign {job.campaign}: model {job.trial.model}, "
        f"policy {job.trial.policy}, workload {job.trial.workload}, repeat {job.trial.repeat}.",
        "tags": list(dict.fromkeys([NAME, job.chaos.family, *(tag for one in given for tag in one.get("tags", ()))])),
        "contributions": {aim: how for one in given for aim, how in one.get("contributions", {}).items()},
        "configuration": configuration,
        "secrets": secrets,
        "controls": [{"name": NAME, "provider": {"type": "python", "module": module, "arguments": arguments}}],
        "steady-state-hypothesis": {"title": "The service is healthy and watched", "probes": _gate(module, job)},
        "method": method,
        "rollbacks": reverts,
        "runtime": {"rollbacks": {"strategy": "always"}, "hypothesis": {"strategy": STRATEGY}},
        "extensions": [
            {"name": NAME, "job": asdict(job), "hits": [_ours(part).get("hits", []) for part in parts]},
            *(other for one in given for other in one.get("extensions", ()) if other.get("name") != NAME),
        ],
    }
    return experiment


def lane_names(target: dict[str, Any]) -> dict[str, str]:
    """The variables of a target's lanes, and their names in an experiment's configuration."""
    return NAMESPACE if target["kind"] == CLUSTER else LANE


def calibration_s(horizon_s: float) -> float:
    """Seconds after injection at which the harness itself ends the fault of a calibration trial."""
    return round(min(horizon_s / 3, 30.0), 3)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a trial's process may take, in seconds; beyond that it counts as hung."""

    trial_s: float  # all of it
    undo_s: float  # its rollbacks, by whomever they are played


def limits(content: dict[str, Any]) -> Limits:
    """By nothing but a trial's experiment, so that its child, its parent and whoever undoes it later agree.

    Raises KeyError, TypeError or ValueError for one that was damaged.
    """
    longest_s = max(
        (float(one["provider"].get("arguments", {}).get("limit_s", 0)) for one in content["controls"]), default=0
    )

    def sum_s(activities: list[dict[str, Any]]) -> float:
        pauses = [one.get("pauses") or {} for one in activities]
        return sum((longest_s or _LIMIT_S) + float(p.get("before", 0)) + float(p.get("after", 0)) for p in pauses)

    undo_s = sum_s(content["rollbacks"]) + _UNDO_MARGIN_S
    job = content["extensions"][0]["job"]
    target, chaos = job["target"], job["chaos"]
    own = [one for one in content["method"] if one["name"] not in ("observe", "wait")]
    observed_s = 4 * float(job["healer"]["warm_up_s"]) + float(chaos["horizon_s"]) + float(job["slo"]["hold_s"])
    if any(one["name"] == "repair" for one in own):
        observed_s += float(chaos["horizon_s"])  # a reference healer waits before it acts
    between_s = 4 * longest_between_s(target)
    return Limits(_PATIENCE_S + observed_s + between_s + sum_s(own) + undo_s, undo_s)


def limit_s(part: FaultPart) -> float:
    """How long each activity of a fault may take: seconds."""
    return float(_ours(part).get("limit_s", _LIMIT_S))


def _ours(part: FaultPart) -> dict[str, Any]:
    """The block of a fault file that is meant for us."""
    ours = [extension for extension in part.definition.get("extensions", ()) if extension.get("name") == NAME]
    return ours[0] if ours else {}


def undo(experiment: dict[str, Any], done: Collection[str] = ()) -> dict[str, Any]:
    """The same experiment reduced to its rollbacks: what any other process plays to undo a trial.

    Those in `done`, by their names, have succeeded already.
    """
    kept = ("title", "description", "configuration", "secrets", "controls", "rollbacks", "extensions")
    reduced = copy.deepcopy({key: experiment[key] for key in kept if key in experiment})
    for control in reduced.get("controls", ()):
        control["provider"]["arguments"].pop("load", None)  # nobody is measured
    left = [one for one in reduced.get("rollbacks", ()) if one["name"] not in done]
    return {**reduced, "method": [], "rollbacks": left}


def _values(index: int, part: FaultPart, job: Job) -> dict[str, Any]:
    """A fault file's configuration with this trial's values in it."""
    ours = {
        "fault_id": job.fault_ids[index],
        "seed": job.trial.seed % 2**31 + index,
        "expires_s": expires_s(job.chaos.horizon_s, job.slo.hold_s),
    }
    return {**part.definition.get("configuration", {}), **part.params, **ours}


def _disputed(mappings: Sequence[dict[str, Any]]) -> set[str]:
    """Names that stand for different values in one experiment. The others stay: a function may read them by name."""
    written: dict[str, set[str]] = {}
    for mapping in mappings:
        for name, value in mapping.items():
            written.setdefault(name, set()).add(json.dumps(value, sort_keys=True))
    return {name for name, values in written.items() if len(values) > 1}


@dataclass(frozen=True, slots=True)
class _Fault:
    configuration: dict[str, Any]
    secrets: dict[str, Any]
    preparations: list[dict[str, Any]]
    injections: list[dict[str, Any]]
    confirmations: list[dict[str, Any]]
    reverts: list[dict[str, Any]]

    @staticmethod
    def of(index: int, part: FaultPart, job: Job, disputed: set[str]) -> _Fault:
        """A fault file's activities with this trial's values, renamed so that several faults fit in one experiment."""
        definition = copy.deepcopy(part.definition)
        several = len(job.chaos.parts) > 1
        given, secrets = _values(index, part, job), definition.get("secrets", {})
        names = {key: f"f{index}_{key}" if key in disputed else key for key in (*given, *secrets)}

        def renamed(name: str) -> list[dict[str, Any]]:
            source = definition["rollbacks"] if name == "revert" else definition["method"]
            wanted = source if name == "revert" else [a for a in source if a["name"] == name]
            return [
                {**_rename(activity, names), "name": _name(name, index if several else None, number, len(wanted))}
                for number, activity in enumerate(wanted)
            ]

        return _Fault(
            {names[key]: _rename(value, names) for key, value in given.items()},
            {names[key]: _rename(value, names) for key, value in secrets.items()},
            renamed("prepare"),
            renamed("inject"),
            renamed("confirm"),
            renamed("revert"),
        )


def _name(what: str, part: int | None, number: int, count: int) -> str:
    name = what if part is None else f"{what}-{part}"
    return name if count == 1 else f"{name}.{number}"


def _rename(value: Any, names: dict[str, str]) -> Any:
    """Put the new names where a fault file's own configuration or secrets are meant: ${key}, and `secrets: [key]`."""
    if isinstance(value, str):
        for old, new in names.items():
            value = value.replace("${" + old + "}", "${" + new + "}")
        return value
    if isinstance(value, list):
        return [_rename(item, names) for item in value]
    if isinstance(value, dict):
        put = {key: _rename(item, names) for key, item in value.items()}
        if value.get("type") in ("python", "process", "http") and isinstance(value.get("secrets"), list):
            put["secrets"] = [names.get(name, name) for name in value["secrets"]]
        return put
    return value


def _gate(module: str, job: Job) -> list[dict[str, Any]]:
    watched = {
        "type": "probe",
        "name": "prometheus",
        "tolerance": {
            "type": "probe",
            "name": "the service is up and watched",
            "provider": {"type": "python", "module": HERE, "func": "at_least", "arguments": {"lowest": 1}},
        },
        "provider": {
            "type": "python",
            # The extension knows no credentials, which the way through a cluster's API server needs.
            "module": module if job.target["kind"] == CLUSTER else "chaosprometheus.probes",
            "func": "query",
            "arguments": {"query": job.healer["steady"]},
        },
    }
    moments, actions = job.healer.get("moments", {}), job.healer.get("actions", {})
    alarms = [
        {key: rule[key] for key in ("log", "fields", "component") if rule.get(key)}
        for rule in (*moments.get("detected", ()), *actions.get("start", ()))
        if rule.get("log") or rule.get("fields")
    ]
    arguments = {
        "slo": asdict(job.slo),
        "settle_s": round(float(job.healer["warm_up_s"]) + job.wait_s, 3),
        "target": job.target,
        "alarms": alarms,
        "steady": job.healer["steady"],
    }
    gate = _activity(module, "gate", arguments)
    return [{**gate, "tolerance": True}, *([watched] if job.healer["steady"] else ())]


def _load(job: Job) -> dict[str, Any]:
    request = job.healer["workload"]
    longest_s = 120 + float(job.healer["warm_up_s"]) + job.chaos.horizon_s + job.slo.hold_s
    return {
        "method": request["method"],
        "path": request["path"],
        "body": request.get("body"),
        "timeout_s": request["timeout_s"],
        "good_within_s": job.slo.latency_s,
        "rate_per_s": job.rate_per_s,
        "limit_s": longest_s,
        "query": job.slo.query,  # Chaos Toolkit fills in `${namespace}`
        "at_least": job.slo.at_least,
        "traces": traces_of(job.trial.id, job.attempt),
    }


def _activity(module: str, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    provider = {"type": "python", "module": module, "func": name, "arguments": arguments}
    return {"type": "probe", "name": name, "provider": provider}


def _what(job: Job) -> str:
    faults = " and ".join(part.fault for part in job.chaos.parts) or "no fault"
    return f"{faults} under {job.trial.model}"
