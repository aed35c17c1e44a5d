"""The embedded lab as a target: a lane is a node process with everything below it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from smartops_chaos import lab
from smartops_chaos.clock import Clock
from smartops_chaos.errors import PreflightFailed
from smartops_chaos.lab.client import LabClient, LabError, LaneGone
from smartops_chaos.lab.platform import warmup
from smartops_chaos.lab.platform.node import ERP_BACK_OFF_S
from smartops_chaos.lab.smartops import detect, loop, orders
from smartops_chaos.lab.smartops.hands import DEPLOYMENT, LabNode
from smartops_chaos.lab.smartops.healer import POLL_S
from smartops_chaos.model import (
    RESTART_DELAY,
    Call,
    ClockOffset,
    FaultFact,
    Interval,
    LogLine,
    PlatformEvent,
    Series,
    Span,
    Variant,
)
from smartops_chaos.run import machine
from smartops_chaos.targets.base import Lane, LaneAddress, LaneEnded, LaneLoad, LaneLost, Tell, When, silent
from smartops_chaos.telemetry import alerts, prometheus, traces
from smartops_chaos.telemetry.connection import Connection

_ANSWERS_WITHIN_S = 5.0


class LabTarget:
    """`lanes` nodes, each on a core of its own: as many as the machine carries, at most so many."""

    def __init__(self, lanes: int, replicas: int, slot_s: float = orders.SLOT_S) -> None:
        self._lanes = lanes
        self._replicas = replicas
        self._slot_s = slot_s
        self._directory: Path | None = None
        self._running: dict[str, lab.LaneProcess] = {}

    def check(self) -> list[tuple[str, str]]:
        if lab.prometheus_program() is None:
            return [("the program `prometheus` is not on the PATH", "install it: sudo apt-get install prometheus")]
        return []

    def clear(self, directory: Path) -> None:
        """Lanes end with their runner, except one whose node has been stopped."""
        for file in directory.glob("*/lane.json"):
            lab.stop(file)

    def open(self, directory: Path, say: Tell = silent) -> Sequence[LaneAddress]:
        """Raises PreflightFailed where the machine does not carry a single lane, or one does not come up."""
        self.clear(directory)
        shutil.rmtree(directory, ignore_errors=True)
        self._directory = directory
        asked = self._lanes
        cpus = machine.usable_cores()
        self._lanes = min(asked, max(1, int(cpus)))
        if self._lanes < asked:
            say(f"this machine carries {_lanes(self._lanes)}, not {asked}: each wants a CPU, and there are {cpus:g}")
        while True:
            say(f"starting the lab, {_lanes(self._lanes)}: load gateway, service, healer and Prometheus of each")
            with ThreadPoolExecutor(self._lanes) as threads:
                addresses = list(threads.map(self._start, range(self._lanes)))
            shares = self._warm_up(say)
            worst = min(shares)
            if worst >= 1 - warmup.NEAR:
                return addresses
            told = f"a replica did {worst / self._slot_s:.1f} orders/s, of {1 / self._slot_s:.1f} that are set"
            self._end_all()
            if self._lanes == 1:
                raise PreflightFailed(
                    f"this machine does not carry a single lane of the lab: {told}",
                    "end what else runs on it (`top` shows that), or give it more CPU: "
                    "a lane wants one CPU, and half of another for what measures",
                )
            self._lanes -= 1
            say(f"this machine carries {_lanes(self._lanes)}, not {asked}: with {self._lanes + 1}, {told}")

    def revive(self, lane: LaneAddress) -> LaneAddress:
        process = self._running[lane.name]
        if process.process.poll() is None and _answers(process.file):
            return LaneAddress("lab", lane.name, exports(process.file))  # Prometheus may have moved
        process.stop()
        address = self._start(int(lane.name.removeprefix("lane-")) - 1)
        warmup.warm_up([self._running[lane.name]], self._replicas, self._slot_s, silent)
        return address

    def close(self) -> None:
        self._end_all()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    def restore(self, directory: Path) -> list[str]:
        """A lane ends with its runner, and everything in it."""
        del directory
        return []

    def _start(self, index: int) -> LaneAddress:
        assert self._directory is not None
        name = f"lane-{index + 1}"
        process = lab.start(
            self._directory / name,
            name=name,
            core=index,
            lanes=self._lanes,
            replicas=self._replicas,
            slot_s=self._slot_s,
        )
        self._running[name] = process
        return LaneAddress("lab", name, exports(process.file))

    def _warm_up(self, say: Tell) -> list[float]:
        try:
            return warmup.warm_up(list(self._running.values()), self._replicas, self._slot_s, say)
        except (LabError, OSError) as error:
            raise PreflightFailed(
                f"a lane was lost while it was warmed up: {error}", f"see {self._directory}"
            ) from error

    def _end_all(self) -> None:
        while self._running:
            self._running.popitem()[1].stop()


def _lanes(count: int) -> str:
    return "1 lane" if count == 1 else f"{count} lanes"


def _answers(lane_file: Path) -> bool:
    try:
        LabClient(lane_file).call("GET", "/faults", timeout_s=_ANSWERS_WITHIN_S)
    except (LabError, OSError, ValueError):
        return False
    return True


def settings(models: Iterable[Variant]) -> dict[str, str]:
    """What the lab and its healer are set to, which no matrix says; a report tells it beside the plan."""
    names = dict.fromkeys(str(model.settings.get("detector", "none")) for model in models)
    return {
        RESTART_DELAY: f"{ERP_BACK_OFF_S:g} s",
        **{f"detector {name}": detect.described(name) for name in names if detect.DETECTORS.get(name)},
        "healer's loop": (
            f"looks every {POLL_S:g} s; the same action on the same object again after {loop.COOLDOWN_S:g} s; at most "
            f"{loop.MAX_ACTIONS_PER_HOUR} actions an hour and {loop.MAX_REPLICAS} replicas; an action is verified "
            f"within {loop.VERIFY_WITHIN_S:g} s"
        ),
    }


def lacking(models: Iterable[Variant]) -> list[tuple[str, str]]:
    """What variants of the healer need that is not installed, and how to mend it."""
    words = {detect.lacking(str(model.settings.get("detector", "none"))) for model in models}
    return [(what, hint) for what, _, hint in (word.partition(": ") for word in sorted(words - {""}))]


def exports(lane_file: Path) -> dict[str, str]:
    """The environment that an experiment of a lab lane reads."""
    lane = lab.read(lane_file)
    return {
        "SMARTOPS_LANE": str(lane_file.resolve()),
        "SMARTOPS_WORKLOAD_URL": lane.gateway,
        "PROMETHEUS_BASE_URL": lane.prometheus,
    }


def mean_load(replicas: Sequence[orders.Recent]) -> LaneLoad | None:
    """Of all orders of all replicas; None without any."""
    count = sum(one.orders for one in replicas)
    if not count:
        return None
    service_s = sum(one.service_s * one.orders for one in replicas) / count
    # Within the replicas and between them.
    variance = sum((one.spread_s**2 + (one.service_s - service_s) ** 2) * one.orders for one in replicas) / count
    work_s = sum(one.work_s * one.orders for one in replicas) / count
    utilisation = sum(one.utilisation for one in replicas) / len(replicas)
    return LaneLoad(
        service_ms=round(1000 * service_s, 2),
        spread_ms=round(1000 * variance**0.5, 2),
        work_ms=round(1000 * work_s, 2),
        utilisation=round(utilisation, 3),
    )


class LabLane(Lane):
    """A lane by its address, from any process. Its node keeps all that happens, so nothing has to be recorded."""

    def __init__(self, address: LaneAddress, replicas: int) -> None:
        self.address = address
        self._client = LabClient(Path(address.environment["SMARTOPS_LANE"]))
        self._replicas = replicas
        self._prometheus = address.environment["PROMETHEUS_BASE_URL"]

    def apply(self, model: Variant, policy: Variant) -> None:
        settings = model.over(policy)
        detector = settings.get("detector", "none")
        healer = "off" if settings.get("healer") == "off" or detector == "none" else "on"
        arm = {"healer": healer, "detector": detector, "policy": settings.get("policy", "")}
        self._guard(lambda: self._client.post("/arm", arm))

    def reset(self) -> None:
        self._guard(lambda: self._client.post("/reset", {"replicas": self._replicas}, timeout_s=60))

    def armed(self) -> bool:
        return bool(self._guard(lambda: self._client.get("/state"))["armed"])

    def leaks(self) -> list[str]:
        return [fault["id"] for fault in self._guard(lambda: self._client.get("/faults"))["faults"]]

    def load(self) -> LaneLoad | None:
        replicas = self._guard(lambda: self._client.get("/load"))["replicas"]
        return mean_load([orders.Recent(**recent) for recent in replicas.values()])

    def repairable(self) -> tuple[str, ...]:
        """The service; the healer's own Deployment is no object of a repair."""
        return (f"{LabNode.namespace}/{DEPLOYMENT}",)

    def repair(self, target: str, replicas: int | None) -> None:
        path = f"/apis/deployments/{target.rpartition('/')[2]}"
        if replicas is None:
            self._guard(lambda: self._client.post(f"{path}/restart", {}))
        else:
            self._guard(lambda: self._client.post(f"{path}/scale", {"replicas": replicas}))

    def faults(self, ids: Sequence[str], calls: Sequence[Call]) -> tuple[FaultFact, ...]:
        del calls  # the node knows better
        paths = [f"/faults/{quote(fault_id, safe='')}" for fault_id in ids]
        answers = self._guard(lambda: [self._client.get(path) for path in paths])
        return tuple(_fault_fact(part, one) for part, one in enumerate(answers) if one["state"] != "unknown")

    def platform(self, since_ns: int) -> tuple[PlatformEvent, ...]:
        events = self._guard(lambda: self._client.get(f"/events?since_ns={since_ns}"))["events"]
        return tuple(
            PlatformEvent(Interval(e["at_ns"], e["at_ns"]), e["object"], e["kind"], e["cause"], e.get("detail", ""))
            for e in events
        )

    def logs(self, since_ns: int) -> tuple[LogLine, ...]:
        lines = self._guard(lambda: self._client.get(f"/logs?since_ns={since_ns}"))["lines"]
        return tuple(LogLine(line["at_ns"], line["component"], line["text"]) for line in lines)

    def series(self, names: Sequence[str], start_ns: int, end_ns: int) -> tuple[tuple[Series, ...], float]:
        return prometheus.fetch(self._prometheus, names, start_ns, end_ns)

    def alerts(self, names: Sequence[str], start_ns: int, end_ns: int) -> alerts.Alerts:
        return alerts.fetch(self._prometheus, names, start_ns, end_ns)

    def traces(self, ids: Sequence[str]) -> tuple[Span, ...]:
        """The node keeps the spans of the lane's services."""
        lane = self._guard(lambda: lab.read(Path(self.address.environment["SMARTOPS_LANE"])))
        return traces.fetch(Connection(lane.control, headers={"Authorization": f"Bearer {lane.token}"}), ids)

    def clocks(self, when: When, clock: Clock) -> tuple[ClockOffset, ...]:
        """The node stamps log lines and platform events, Prometheus its samples: two sources, two offsets."""
        before = clock.now_ns()
        node_ns = self._guard(lambda: self._client.get("/state"))["now_ns"]
        bounds = {"node": (node_ns - clock.now_ns(), node_ns - before)}
        # Without Prometheus its samples are missing too, which is said where they are fetched.
        with suppress(prometheus.PrometheusError):
            bounds["prometheus"] = prometheus.offset_ns(self._prometheus, clock)
        return tuple(ClockOffset(source, when, *found) for source, found in bounds.items())

    def _guard(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except LaneGone as gone:
            raise LaneEnded(str(gone)) from gone
        except (LabError, OSError) as error:
            raise LaneLost(str(error)) from error


def _fault_fact(part: int, answer: dict[str, Any]) -> FaultFact:
    ended = answer.get("ended_ns")
    return FaultFact(
        part=part,
        id=answer["id"],
        confirmed=bool(answer.get("confirmed")),
        effect=answer.get("effect") or "",
        objects=tuple(answer.get("objects") or ()),
        ended=Interval(ended, ended) if ended else None,
        ended_by=answer.get("ended_by") or "",
    )
