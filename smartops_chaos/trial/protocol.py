"""What an experiment calls while it runs: our control around it, the gate before it, the observation after injection.

Chaos Toolkit calls these by name, each on its own, so what they share lies in the trial's folder: see
`store.trial_folder`.
"""

from __future__ import annotations

import copy
import logging
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chaoslib import substitute
from chaoslib.exceptions import ActivityFailed, InterruptExecution
from chaoslib.hypothesis import within_tolerance

from smartops_chaos.clock import Clock
from smartops_chaos.model import ReferenceHealer, Slo
from smartops_chaos.schema.healerfile import LogRule
from smartops_chaos.store import request_log
from smartops_chaos.store.request_log import RequestTail
from smartops_chaos.store.trial_folder import TrialFolder
from smartops_chaos.targets import kinds
from smartops_chaos.targets.base import Lane, LaneAddress, LaneLoad, LaneLost
from smartops_chaos.telemetry import prometheus
from smartops_chaos.timeline.before import last_window, unhealthy
from smartops_chaos.timeline.health import Watch
from smartops_chaos.trial import reference, workload
from smartops_chaos.trial.activities import calls, failure, is_ours, what_and_part
from smartops_chaos.trial.experiment import lane_names
from smartops_chaos.trial.slo_query import good

logger = logging.getLogger("smartops_chaos")

_TICK_S = 0.1
_ALARM_EVERY_S = 0.5
_GATE_PATIENCE_S = 20.0  # to become healthy, beyond the warm-up and the hold
_LOAD_PATIENCE_S = 3.0  # beyond the longest answer: without any request on record for so long there is no load
_WATCHFUL = ("gate", "wait", "observe")  # these end by themselves
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGIO)


# ---- the control ---------------------------------------------------------------------------------------------


def before_experiment_control(
    context: Any,
    configuration: dict[str, Any],
    target: dict[str, Any] | None = None,
    load: dict[str, Any] | None = None,
    **_: Any,
) -> None:
    """Start the recording and the workload. A trial's child has set the clock just before; by hand it is set here."""
    del context  # Chaos Toolkit passes the experiment by position
    if load is None or target is None:
        return
    trial = _trial(configuration)
    clock = trial.clock()[0] if trial.has_unused_clock() else trial.start_clock()
    given = dict(load)
    path = given.pop("path")
    url = configuration["prometheus_base_url" if given.get("query") else "workload_url"]
    trial.write_load(given)
    kinds.connect(target, _address(target, configuration)).watch(trial.samples, clock)
    workload.start(workload.Load(url=url, path=path, **given), trial.requests_file, clock)


def after_experiment_control(context: Any, **_: Any) -> None:
    del context
    workload.stop()


def before_rollback_control(context: Any, **_: Any) -> None:
    """Block stop signals while rollbacks run.

    A pending Ctrl-C is delivered afterwards; a rollback that hangs ends at its own time limit (SIGALRM).
    """
    del context
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)


def after_rollback_control(context: Any, **_: Any) -> None:
    del context
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)


def before_activity_control(
    context: dict[str, Any], configuration: dict[str, Any], limit_s: float = 0, **_: Any
) -> None:
    """Note the beginning. An activity that is not ours and does not return within `limit_s` fails."""
    if context["name"] not in _WATCHFUL and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGALRM, _too_long(context["name"], limit_s))
        signal.setitimer(signal.ITIMER_REAL, limit_s)
    if is_ours(context["name"]) and context["name"] != "gate":
        logger.info("phase %s", context["name"])
    trial = _trial(configuration)
    trial.note({"name": context["name"], "begin_ns": trial.clock()[0].now_ns()})


def after_activity_control(
    context: dict[str, Any],
    state: dict[str, Any],
    configuration: dict[str, Any],
    secrets: dict[str, Any] | None = None,
    **_: Any,
) -> None:
    """Note the bracket. A fault that did not take effect ends the experiment: there is nothing to observe."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    trial = _trial(configuration)
    now_ns = trial.clock()[0].now_ns()
    what, _part = what_and_part(context["name"])
    output = state.get("output")
    judged = what == "confirm" or (what in ("inject", "revert") and "tolerance" in context)
    if judged and state.get("status") == "succeeded":
        error = _outside(context.get("tolerance", True), output, configuration, secrets)
    else:
        error = failure(state)
    trial.note({"name": context["name"], "end_ns": now_ns, "ok": not error, "output": output, "error": error})
    if error and what in ("prepare", "inject", "confirm"):
        raise InterruptExecution(f"{context['name']} failed: {error}")


def _outside(tolerance: Any, output: Any, configuration: dict[str, Any], secrets: dict[str, Any] | None) -> str:
    """Why an answer is not what a fault file expects; empty if it is.

    Chaos Toolkit swallows whatever a control raises, so what cannot be compared has to become a reason here.
    """
    tolerance = copy.deepcopy(tolerance)
    if isinstance(tolerance, str):
        tolerance = substitute(tolerance, configuration, secrets)
    elif isinstance(tolerance, dict) and tolerance.get("type") == "probe":
        tolerance["provider"].setdefault("arguments", {})  # Chaos Toolkit puts the answer there
    told = f"the answer {str(output)[:200]} is not within the tolerance {str(tolerance)[:200]}"
    try:
        return "" if within_tolerance(tolerance, output, configuration, secrets) else told
    except Exception as error:  # of a comparison or a function that is not ours
        return f"{told}: {type(error).__name__}: {error}"


def _too_long(name: str, limit_s: float) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise ActivityFailed(f"{name} did not return within {limit_s:g} s")

    return fail


# ---- the activities ------------------------------------------------------------------------------------------


def gate(
    slo: dict[str, Any],
    settle_s: float,
    target: dict[str, Any],
    alarms: list[dict[str, Any] | str],
    steady: str,
    configuration: dict[str, Any],
) -> bool:
    """Wait until the service has been healthy for H, the healer's warm-up is over and its detector armed.

    False when the healer signalled or acted meanwhile (a false alarm), or when health did not come.
    """
    trial = _trial(configuration)
    clock, since_ns = trial.clock()
    lane = kinds.connect(target, _address(target, configuration))
    goal = Slo(**slo)
    sight = _Sight(trial, goal)
    logger.info("phase warm-up")
    start_ns = clock.now_ns()
    ready_ns = start_ns + int(max(settle_s, goal.hold_s + goal.latency_s) * 1e9)
    deadline_ns = ready_ns + int(_GATE_PATIENCE_S * 1e9)
    next_look_ns = 0
    while True:
        now_ns = clock.now_ns()
        sight.look()
        if now_ns >= next_look_ns or now_ns >= ready_ns:
            next_look_ns = now_ns + int(_ALARM_EVERY_S * 1e9)
            if line := alarm(lane, since_ns, alarms):
                logger.warning("false alarm before injection: %s", line)
                return False
        healthy = now_ns >= ready_ns and sight.watch.good_for(goal.hold_s, now_ns)
        if healthy and lane.armed() and (not steady or _watched(configuration["prometheus_base_url"], steady)):
            _note_load(trial, lane)
            return True
        if now_ns > deadline_ns:
            load = _note_load(trial, lane)
            window = last_window(request_log.read(trial.requests_file), goal, now_ns)
            why = unhealthy(window, goal, load.utilisation if load else None)
            logger.warning("not begun after %.0f s: %s", (now_ns - start_ns) / 1e9, why)
            return False
        time.sleep(_TICK_S)


def _note_load(trial: TrialFolder, lane: Lane) -> LaneLoad | None:
    """Ask the lane how busy it is and note that. A target of one's own may be older than this question."""
    load = lane.load() if hasattr(lane, "load") else None
    trial.write_lane_load(asdict(load) if load else None)
    return load


def _watched(url: str, query: str) -> bool:
    """A fresh Prometheus scrapes only after a while; without it the next probe would find nothing."""
    try:
        return good(prometheus.instant(url, query), 1)
    except prometheus.PrometheusError:
        return False


def alarm(lane: Lane, since_ns: int, rules: list[dict[str, Any] | str]) -> str:
    """The healer's first line since then that a rule means; empty if there is none. A text is a rule's pattern."""
    read = [LogRule.model_validate({"log": rule} if isinstance(rule, str) else rule) for rule in rules]
    for line in lane.logs(since_ns):
        if any(rule.concerns(line.component) and rule.match(line.text) is not None for rule in read):
            return line.text
    return ""


def wait(seconds: float, configuration: dict[str, Any]) -> bool:
    """Until `seconds` after the last injection: the known moment at which a calibration trial ends its fault."""
    trial = _trial(configuration)
    clock, _ = trial.clock()
    left_s = (_zero_ns(trial, clock) - clock.now_ns()) / 1e9 + seconds
    time.sleep(max(0.0, left_s))
    return True


def repair(
    role: ReferenceHealer, seed: int, fault_ids: list[str], target: dict[str, Any], configuration: dict[str, Any]
) -> list[dict[str, Any]]:
    """Take the healer's place: what was done, of which `timeline.rules` makes the moments of the repair."""
    trial = _trial(configuration)
    lane = kinds.connect(target, _address(target, configuration))
    hit = [name for fact in lane.faults(fault_ids, calls(trial)) for name in fact.objects]
    there = lane.repairable()
    if not there:
        raise ActivityFailed("no object may be acted on: this target has no reset that would undo it")
    done = reference.choose(role, seed, hit, there)
    for one in done:
        lane.repair(one.target, one.replicas)
    return [asdict(one) for one in done]


def observe(
    slo: dict[str, Any], horizon_s: float, stop_after_good_s: float, configuration: dict[str, Any]
) -> dict[str, Any]:
    """Watch to the horizon and H beyond it, or until health has come back and lasted for `stop_after_good_s`."""
    trial = _trial(configuration)
    clock, _ = trial.clock()
    goal = Slo(**slo)
    sight = _Sight(trial, goal)
    zero_ns = _zero_ns(trial, clock)
    # A request is judged once its own deadline is over, so the last window is complete that much later.
    end_ns = zero_ns + int((horizon_s + goal.hold_s + goal.latency_s + _TICK_S) * 1e9)
    while True:
        now_ns = clock.now_ns()
        sight.look()
        if sight.watch.impacted(zero_ns, now_ns) and sight.watch.lasted(stop_after_good_s, now_ns):
            return {"until_ns": now_ns, "early": True}
        if now_ns >= end_ns:
            return {"until_ns": now_ns, "early": False}
        time.sleep(_TICK_S)


def query(query: str, configuration: dict[str, Any]) -> dict[str, Any]:
    """As chaosprometheus' probe of that name, through the API server of a cluster too."""
    return {"data": prometheus.instant(configuration["prometheus_base_url"], query)}


def at_least(lowest: float, value: dict[str, Any] | None = None) -> bool:
    """Tolerance of a Prometheus query: every sample of its answer is at least `lowest`, and there is one."""
    return good((value or {}).get("data", {}), lowest)


class _Sight:
    """What users saw so far."""

    def __init__(self, trial: TrialFolder, slo: Slo) -> None:
        load = trial.read_load()
        self.watch = Watch(slo, load["rate_per_s"])
        self._tail = RequestTail(trial.requests_file)
        self._patience_s = load["timeout_s"] + 1 / load["rate_per_s"] + _LOAD_PATIENCE_S
        self._last_s = time.monotonic()
        self._asks = "Prometheus has answered no query" if load.get("query") else "the workload has recorded nothing"

    def look(self) -> None:
        """Raises RuntimeError when there is no load any more: then nobody can say what users would have seen."""
        alive = workload.running()  # asked first: what it wrote before it ended is read all the same
        if found := self._tail.read():
            self.watch.add(found)
            self._last_s = time.monotonic()
        if not alive:
            raise RuntimeError("the workload has ended before the trial")
        if not found and time.monotonic() - self._last_s > self._patience_s:
            raise RuntimeError(f"{self._asks} for {self._patience_s:.0f} s: it hangs, or the disk is full")


def _trial(configuration: dict[str, Any]) -> TrialFolder:
    return TrialFolder(Path(configuration["trial_dir"]))


def _zero_ns(trial: TrialFolder, clock: Clock) -> int:
    """The moment of the last injection, from which the horizon counts; now for a control trial, which has none."""
    injected = [call.at.mid_ns for call in calls(trial) if call.what == "inject" and call.ok]
    return max(injected, default=clock.now_ns())


def _address(target: dict[str, Any], configuration: dict[str, Any]) -> LaneAddress:
    names = lane_names(target)
    needed = next(iter(names))
    if not configuration.get(names[needed]):
        raise LaneLost(f"{needed} is not set: export what `smartops-chaos lab up` prints, or name the namespace")
    common = {
        "PROMETHEUS_BASE_URL": "prometheus_base_url",
        "SMARTOPS_WORKLOAD_URL": "workload_url",
        "SMARTOPS_TRIAL_DIR": "trial_dir",
    }
    given = {variable: configuration.get(key) or "" for variable, key in (names | common).items()}
    return LaneAddress(target["kind"], "", given)
