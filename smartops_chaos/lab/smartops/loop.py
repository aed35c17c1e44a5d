"""The healer's closed loop: signal -> policy -> brakes -> action -> verification, one signal after the other.

Log lines and metrics have the forms of SmartOps' orchestrator, so that the same rules read both.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from smartops_chaos.lab.smartops import spans
from smartops_chaos.lab.smartops.exposition import Metrics
from smartops_chaos.lab.smartops.hands import Hands

COOLDOWN_S = 30.0
MAX_ACTIONS_PER_HOUR = 6
MAX_REPLICAS = 8
RETRY_AFTER_S = (1.0, 2.0)
VERIFY_WITHIN_S = 15.0
VERIFY_POLL_S = 0.1
QUEUE_LENGTH = 100

_LOOP = logging.getLogger("smartops.closed_loop")
_POLICY = logging.getLogger("smartops.policy_client")
_RUNNER = logging.getLogger("smartops.orchestrator.action_runner")

Target = tuple[str, str, str]  # namespace, deployment, action


class Brakes:
    """Cooldown per target and guardrails over all: what keeps a loop from doing harm by haste."""

    def __init__(self) -> None:
        self._last: dict[Target, float] = {}
        self._actions: list[float] = []

    def guardrail(self, replicas: int | None, now_s: float) -> str:
        """The reason to refuse, or ''."""
        if replicas is not None and replicas > MAX_REPLICAS:
            return "max_replicas"
        recent = [at for at in self._actions if now_s - at < 3600]
        return "max_actions_per_hour" if len(recent) >= MAX_ACTIONS_PER_HOUR else ""

    def cooling_s(self, target: Target, now_s: float) -> float | None:
        """Seconds since the last such action, if that is too recent."""
        elapsed = now_s - self._last.get(target, float("-inf"))
        return elapsed if elapsed < COOLDOWN_S else None

    def acted(self, target: Target, now_s: float) -> None:
        self._last[target] = now_s
        self._actions.append(now_s)


@dataclass(frozen=True)
class Signal:
    kind: str  # anomaly or rca
    data: dict[str, Any]  # as posted, with defaults
    trace: spans.Context | None = None  # who has posted it

    @property
    def deployment(self) -> str:
        service = self.data.get("service") or "erp-simulator"
        return str(service) if str(service).startswith("smartops-") else f"smartops-{service}"

    @property
    def fields(self) -> dict[str, Any]:
        """What a policy can ask about it."""
        if self.kind == "anomaly":
            return {"anomaly.type": str(self.data["type"]), "anomaly.score": self.data["score"]}
        first = self.data["rankedCauses"][0]
        return {"rca.cause": first["cause"], "rca.probability": first["probability"]}


@dataclass
class ClosedLoop:
    cluster: Hands
    evaluate: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]  # asks the policy engine; raises OSError
    metrics: Metrics
    tracer: spans.Tracer
    brakes: Brakes = field(default_factory=Brakes)
    _queue: asyncio.Queue[Signal] = field(default_factory=lambda: asyncio.Queue(QUEUE_LENGTH))

    def submit(self, signal: Signal) -> bool:
        """Accept a signal without waiting for those before it; False when the queue is full."""
        try:
            self._queue.put_nowait(signal)
        except asyncio.QueueFull:
            self._count_signal(signal, "dropped_queue_full")
            return False
        self._count_signal(signal, "accepted")
        self.metrics.set("orchestrator_closed_loop_queue_depth", self._queue.qsize())
        return True

    async def run(self) -> None:
        self.metrics.set("orchestrator_closed_loop_queue_depth", 0)  # its absence means: no orchestrator
        while True:
            signal = await self._queue.get()
            self.metrics.set("orchestrator_closed_loop_queue_depth", self._queue.qsize())
            begin = time.monotonic()
            with self.tracer.span(f"closed loop: {signal.kind}", below=signal.trace):
                await self._process(signal)
            self.metrics.observe("orchestrator_closed_loop_duration_seconds", time.monotonic() - begin)

    async def _process(self, signal: Signal) -> None:
        kind = "AnomalySignal" if signal.kind == "anomaly" else "RcaSignal"
        _LOOP.info("SIGNAL_RAW | kind=%s | type=%s | data=%r", signal.kind, kind, signal.data)
        self._count_signal(signal, "processed")
        try:
            await self._answer(signal)
        except OSError as error:
            self._count_signal(signal, "policy_error")
            _LOOP.error("Policy Engine error: %s", error)

    async def _answer(self, signal: Signal) -> None:
        replicas = (await self.cluster.status(signal.deployment)).desired
        fields = {**signal.fields, "k8s.replicas.current": replicas, "remediation.level": 0}
        payload = {"service": signal.data.get("service"), "signal": fields}
        _POLICY.warning("POLICY_ENGINE payload=%s", json.dumps(payload))
        with self.tracer.span("ask the policy engine"):
            verdict = await self.evaluate(payload)
        _POLICY.warning("POLICY_ENGINE_RESPONSE=%s", json.dumps(verdict))
        if verdict["decision"] != "action":
            self._outcome(signal, "deny", verdict["reason"])
            self._count_signal(signal, "policy_denied")
            _LOOP.info("ClosedLoopManager: policy denied execution (%s)", verdict["reason"])
            return
        self._outcome(signal, "allow", "allowed")
        plan: Mapping[str, Any] = verdict["action_plan"]
        action, wanted = plan["type"], plan.get("scale", {}).get("replicas")
        if not self._blocked(signal, action, wanted):
            await self._execute(signal, action, wanted)

    def _blocked(self, signal: Signal, action: str, wanted: int | None) -> bool:
        target, now_s = (self.cluster.namespace, signal.deployment, action), time.monotonic()
        if reason := self.brakes.guardrail(wanted, now_s):
            self.metrics.inc("orchestrator_closed_loop_guardrail_blocks_total", type=action, reason=reason)
            self._count_action(action, "skipped", "GUARDRAIL")
            _LOOP.warning("ClosedLoopManager: guardrail %s for %s, skipping action", reason, target)
            return True
        if (elapsed := self.brakes.cooling_s(target, now_s)) is not None:
            self.metrics.inc("orchestrator_closed_loop_cooldown_skips_total", type=action)
            self._count_action(action, "skipped", "COOLDOWN")
            text = "ClosedLoopManager: cooldown active for %s (elapsed=%.2fs < %.0fs), skipping action"
            _LOOP.info(text, target, elapsed, COOLDOWN_S)
            return True
        return False

    async def _execute(self, signal: Signal, action: str, wanted: int | None) -> None:
        namespace = self.cluster.namespace
        target, where = (namespace, signal.deployment, action), f"{namespace}/{signal.deployment}"
        window, begin, verified = signal.data["windowId"], time.monotonic(), "EXCEPTION"
        for attempt in range(len(RETRY_AFTER_S) + 1):
            if attempt:
                wait_s = RETRY_AFTER_S[attempt - 1]
                self.metrics.inc("orchestrator_closed_loop_retries_total", type=action)
                _LOOP.info("ClosedLoopManager: scheduling retry for %s in %.0fs", target, wait_s)
                await asyncio.sleep(wait_s)
            _LOOP.info("ClosedLoopManager: executing %s on %s (attempt=%d windowId=%s)", action, where, attempt, window)
            attempt_begin = time.monotonic()
            try:
                with self.tracer.span(f"act: {action} {where}"):
                    generation = await self._call(action, signal.deployment, wanted, attempt)
                self.brakes.acted(target, time.monotonic())
                with self.tracer.span(f"verify: {action} {where}"):
                    verified = "SUCCESS" if await self._verify(signal.deployment, generation) else "TIMEOUT"
            except OSError as error:
                verified = "EXCEPTION"
                _LOOP.error("ClosedLoopManager: exception during execute_action: %s", error)
            if verified == "SUCCESS":
                text = "ClosedLoopManager: action %s on %s verified successfully in %.2fs"
                _LOOP.info(text, action, where, time.monotonic() - attempt_begin)
                break
        took_s = time.monotonic() - begin
        self._count_action(action, "success" if verified == "SUCCESS" else "failed", verified)
        self.metrics.observe("orchestrator_closed_loop_action_duration_seconds", took_s)
        result = "SUCCESS" if verified == "SUCCESS" else "FAILED"
        text = (
            "CLOSED_LOOP_SUMMARY | service=%s | action=%s | namespace=%s | duration=%.2fs | result=%s | attempt=%d "
            "| windowId=%s"
        )
        _LOOP.info(text, signal.deployment, action, namespace, took_s, result, attempt + 1, window)

    async def _call(self, action: str, deployment: str, wanted: int | None, attempt: int) -> int:
        """The platform's call; returns the generation to wait for. Raises OSError."""
        namespace = self.cluster.namespace
        what = f"type={action} target=Deployment {namespace}/{deployment}"
        _RUNNER.info("Executing action: %s attempt=%d/%d", what, attempt + 1, len(RETRY_AFTER_S) + 1)
        begin = time.monotonic()
        if action == "scale":
            generation = await self.cluster.scale(deployment, wanted or 1)
        else:
            generation = await self.cluster.restart(deployment)
        text = "Action completed: %s status=success duration=%.2fs attempts=%d"
        _RUNNER.info(text, what, time.monotonic() - begin, attempt + 1)
        labels = {"source": f"actions_execute_{action}", "namespace": namespace, "deployment": deployment}
        labels |= {"action_type": action, "status": "success"}
        self.metrics.inc("smartops_orchestrator_actions_total", 1, dry_run="false", **labels)
        self.metrics.set("smartops_orchestrator_last_action_timestamp", time.time(), **labels)
        return generation

    async def _verify(self, deployment: str, generation: int) -> bool:
        """Whether the rollout finished in time."""
        deadline = time.monotonic() + VERIFY_WITHIN_S
        while time.monotonic() < deadline:
            status = await self.cluster.status(deployment)
            if status.rolled_out and status.generation >= generation:
                return True
            await asyncio.sleep(VERIFY_POLL_S)
        return False

    def _count_signal(self, signal: Signal, result: str) -> None:
        self.metrics.inc("orchestrator_closed_loop_signals_total", kind=signal.kind, result=result)

    def _count_action(self, action: str, status: str, verified: str) -> None:
        name = "orchestrator_closed_loop_actions_total"
        self.metrics.inc(name, type=action, status=status, verification_status=verified)

    def _outcome(self, signal: Signal, decision: str, reason: str) -> None:
        name = "orchestrator_closed_loop_policy_outcomes_total"
        self.metrics.inc(name, kind=signal.kind, decision=decision, reason=reason)
