"""What an experiment calls while it runs: our control around it, the gate before it, the observation after injection.

Chaos Toolkit calls these by name, each on its own, so what they share lies in the trial's folder: `samples/` with the
requests, `clock.json` (the runner's clock, and since when the lane counts), `calls.ndjson` (every activity bracketed).
"""

from __future__ import annotations

import json
import logging
import re
import time
from pathlib import Path
from typing import Any

from chaoslib.exceptions import InterruptExecution

from smartops_chaos import workload
from smartops_chaos.clock import Clock
from smartops_chaos.model import Call, Interval, Slo
from smartops_chaos.targets import kinds
from smartops_chaos.targets.base import Lane, LaneAddress, LaneLost
from smartops_chaos.telemetry import prometheus
from smartops_chaos.timeline.health import Watch

logger = logging.getLogger("smartops_chaos")

_TICK_S = 0.1
_ALARM_EVERY_S = 0.5
_GATE_PATIENCE_S = 20.0  # to become healthy, beyond the warm-up and the hold
_ACTIVITY = re.compile(r"(gate|inject|confirm|wait|end|observe|revert)(?:-(\d+))?(?:\.\d+)?")


def requests_file(trial_dir: Path) -> Path:
    return trial_dir / "samples" / "requests.csv"


def anchor(trial_dir: Path) -> Clock:
    """Set the trial's clock and the moment from which signals of the healer count."""
    samples = trial_dir / "samples"
    samples.mkdir(parents=True, exist_ok=True)
    (samples / "calls.ndjson").unlink(missing_ok=True)
    clock = Clock.anchored()
    content = {"anchor_ns": clock.anchor_ns, "since_ns": clock.now_ns()}
    (samples / "clock.json").write_text(json.dumps(content), encoding="utf-8")
    return clock


def clock_of(trial_dir: Path) -> tuple[Clock, int]:
    """The trial's clock, and since when."""
    content = json.loads((trial_dir / "samples" / "clock.json").read_text(encoding="utf-8"))
    return Clock(content["anchor_ns"]), content["since_ns"]


def calls(trial_dir: Path) -> tuple[Call, ...]:
    """Every activity of the experiment, in order of its end; one that never ended is not ok and ends where it began."""
    file = trial_dir / "samples" / "calls.ndjson"
    begun: dict[str, int] = {}
    ended: list[Call] = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        entry = json.loads(line)
        if "begin_ns" in entry:
            begun[entry["name"]] = entry["begin_ns"]
        else:
            at = Interval(begun.pop(entry["name"], entry["end_ns"]), entry["end_ns"])
            ended.append(Call(*_kind(entry["name"]), at, entry["ok"], entry["output"], entry["error"]))
    cut = [Call(*_kind(name), Interval(at, at), False, None, "cut off") for name, at in begun.items()]
    return tuple(ended + cut)


def _kind(name: str) -> tuple[str, int]:
    match = _ACTIVITY.fullmatch(name)
    if match is None:
        return name, -1
    what = "revert" if match[1] == "end" else match[1]
    return what, int(match[2] or 0) if what in ("inject", "confirm", "revert") else -1


# ---- the control ---------------------------------------------------------------------------------------------


def before_experiment_control(
    context: Any,
    configuration: dict[str, Any],
    load: dict[str, Any] | None = None,
    **_: Any,
) -> None:
    """Start the workload. A trial's child has set the clock just before; by hand it is set here, at every run."""
    del context  # Chaos Toolkit passes the experiment by position
    trial_dir = Path(configuration["trial_dir"])
    if load is None:
        return
    samples = trial_dir / "samples"
    fresh = (samples / "clock.json").exists() and not (samples / "calls.ndjson").exists()
    clock = clock_of(trial_dir)[0] if fresh else anchor(trial_dir)
    given = dict(load)
    url = configuration["workload_url"] + given.pop("path")
    (trial_dir / "samples" / "load.json").write_text(json.dumps(given), encoding="utf-8")
    requests_file(trial_dir).unlink(missing_ok=True)
    workload.start(workload.Load(url=url, **given), requests_file(trial_dir), clock)


def after_experiment_control(context: Any, **_: Any) -> None:
    del context
    workload.stop()


def before_activity_control(context: dict[str, Any], configuration: dict[str, Any], **_: Any) -> None:
    trial_dir = Path(configuration["trial_dir"])
    if _ACTIVITY.fullmatch(context["name"]) and context["name"] != "gate":
        logger.info("phase %s", context["name"])
    _note(trial_dir, {"name": context["name"], "begin_ns": clock_of(trial_dir)[0].now_ns()})


def after_activity_control(
    context: dict[str, Any], state: dict[str, Any], configuration: dict[str, Any], **_: Any
) -> None:
    """Note the bracket. A fault that did not take effect ends the experiment: there is nothing to observe."""
    trial_dir = Path(configuration["trial_dir"])
    now_ns = clock_of(trial_dir)[0].now_ns()
    what, _part = _kind(context["name"])
    ok = state.get("status") == "succeeded" and not (what == "confirm" and state.get("output") is not True)
    error = (state.get("exception") or ["not in effect" if what == "confirm" else ""])[-1].strip() if not ok else ""
    _note(
        trial_dir,
        {"name": context["name"], "end_ns": now_ns, "ok": ok, "output": state.get("output"), "error": error},
    )
    if not ok and what in ("inject", "confirm"):
        raise InterruptExecution(f"{context['name']} failed: {error}")


def _note(trial_dir: Path, entry: dict[str, Any]) -> None:
    with (trial_dir / "samples" / "calls.ndjson").open("a", encoding="utf-8") as out:
        out.write(json.dumps(entry, default=str) + "\n")


# ---- the activities ------------------------------------------------------------------------------------------


def gate(
    slo: dict[str, float],
    settle_s: float,
    target: dict[str, Any],
    alarms: list[str],
    steady: str,
    configuration: dict[str, Any],
) -> bool:
    """Wait until the service has been healthy for H, the healer's warm-up is over and its detector armed.

    False when the healer signalled or acted meanwhile (a false alarm), or when health did not come.
    """
    trial_dir = Path(configuration["trial_dir"])
    clock, since_ns = clock_of(trial_dir)
    lane = kinds.connect(target, _address(target, configuration))
    goal = Slo(**slo)
    watch, tail = _watch(trial_dir, goal)
    logger.info("phase warm-up")
    start_ns = clock.now_ns()
    ready_ns = start_ns + int(max(settle_s, goal.hold_s + goal.latency_s) * 1e9)
    deadline_ns = ready_ns + int(_GATE_PATIENCE_S * 1e9)
    next_look_ns = 0
    while True:
        now_ns = clock.now_ns()
        watch.add(tail.read())
        if now_ns >= next_look_ns or now_ns >= ready_ns:
            next_look_ns = now_ns + int(_ALARM_EVERY_S * 1e9)
            if line := alarm(lane, since_ns, alarms):
                logger.warning("false alarm before injection: %s", line)
                return False
        healthy = now_ns >= ready_ns and watch.good_for(goal.hold_s, now_ns)
        if healthy and lane.armed() and _watched(configuration["prometheus_base_url"], steady):
            return True
        if now_ns > deadline_ns:
            logger.warning("not healthy within %.0f s", (now_ns - start_ns) / 1e9)
            return False
        time.sleep(_TICK_S)


def _watched(url: str, query: str) -> bool:
    """A fresh Prometheus scrapes only after a while; without it the next probe would find nothing."""
    try:
        return at_least(1, {"data": prometheus.instant(url, query)})
    except prometheus.PrometheusError:
        return False


def alarm(lane: Lane, since_ns: int, patterns: list[str]) -> str:
    """The healer's first line since then that matches a pattern; empty if there is none."""
    for line in lane.logs(since_ns):
        if any(re.search(pattern, line.text) for pattern in patterns):
            return line.text
    return ""


def wait(seconds: float, configuration: dict[str, Any]) -> bool:
    """Until `seconds` after the last injection: the known moment at which a calibration trial ends its fault."""
    trial_dir = Path(configuration["trial_dir"])
    clock, _ = clock_of(trial_dir)
    left_s = (_zero_ns(trial_dir, clock) - clock.now_ns()) / 1e9 + seconds
    time.sleep(max(0.0, left_s))
    return True


def observe(
    slo: dict[str, float], horizon_s: float, stop_after_good_s: float, configuration: dict[str, Any]
) -> dict[str, Any]:
    """Watch to the horizon and H beyond it, or until health has come back and lasted for `stop_after_good_s`."""
    trial_dir = Path(configuration["trial_dir"])
    clock, _ = clock_of(trial_dir)
    goal = Slo(**slo)
    watch, tail = _watch(trial_dir, goal)
    zero_ns = _zero_ns(trial_dir, clock)
    # A request is judged once its own deadline is over, so the last window is complete that much later.
    end_ns = zero_ns + int((horizon_s + goal.hold_s + goal.latency_s + _TICK_S) * 1e9)
    while True:
        now_ns = clock.now_ns()
        watch.add(tail.read())
        if watch.impacted(zero_ns, now_ns) and watch.good_for(stop_after_good_s, now_ns):
            return {"until_ns": now_ns, "early": True}
        if now_ns >= end_ns:
            return {"until_ns": now_ns, "early": False}
        if not workload.running():
            raise RuntimeError("the workload has ended before the observation: nobody can say what users saw")
        time.sleep(_TICK_S)


def at_least(lowest: float, value: dict[str, Any] | None = None) -> bool:
    """Tolerance of a Prometheus query: every sample of its answer is at least `lowest`, and there is one."""
    result = (value or {}).get("data", {}).get("result", [])
    return bool(result) and all(float(one["value"][1]) >= lowest for one in result)


def _watch(trial_dir: Path, slo: Slo) -> tuple[Watch, workload.Tail]:
    rate = json.loads((trial_dir / "samples" / "load.json").read_text(encoding="utf-8"))["rate_per_s"]
    return Watch(slo, rate), workload.Tail(requests_file(trial_dir))


def _zero_ns(trial_dir: Path, clock: Clock) -> int:
    injected = [call.at.mid_ns for call in calls(trial_dir) if call.what == "inject" and call.ok]
    return max(injected, default=clock.now_ns())


def _address(target: dict[str, Any], configuration: dict[str, Any]) -> LaneAddress:
    names = {"SMARTOPS_LANE": "lane_file", "PROMETHEUS_BASE_URL": "prometheus_base_url"}
    missing = [variable for variable, key in names.items() if not configuration.get(key)]
    if missing:
        raise LaneLost(f"{', '.join(missing)} is not set: export what `smartops-chaos lab up` prints")
    return LaneAddress(target["kind"], "", {variable: configuration[key] for variable, key in names.items()})
