"""The lab's SmartOps in one process: detector, diagnosis, policy engine, orchestrator.

`python -m smartops_chaos.lab.smartops.healer --port N --detector NAME --policy FILE --node URL --gateway URL`, with the
token of both in LAB_TOKEN. On a cluster `platform/lab/programs/kubernetes_healer.py` runs it.
The parts talk to each other over HTTP, as in a SmartOps installation, so every signal is a request that can be seen.
It knows of the target only what it scrapes.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from smartops_chaos.lab.smartops import detect, spans
from smartops_chaos.lab.smartops.exposition import CONTENT_TYPE, Metrics
from smartops_chaos.lab.smartops.hands import DEPLOYMENT, SERVICE, Hands, LabNode, fetch_json
from smartops_chaos.lab.smartops.loop import ClosedLoop, Signal
from smartops_chaos.lab.smartops.policy import Policy, decide, parse_policies

POLL_S = 0.5
DIAGNOSIS_SPAN_S = 1.0
_KEEP = 100
LINE = (
    "%(asctime)s %(levelname)s [%(name)s] [%(filename)s:%(lineno)d] [trace_id=%(trace_id)s span_id=%(span_id)s "
    "resource.service.name=smartops-orchestrator trace_sampled=%(sampled)s] - %(message)s"
)
_QUIET = ("/healthz", "/metrics")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class AnomalyType(StrEnum):
    LATENCY = "latency"
    ERROR = "error"
    RESOURCE = "resource"
    OTHER = "other"


class Healer:
    def __init__(
        self,
        own_url: str,
        token: str,
        detector: str,
        policies: tuple[Policy, ...],
        cluster: Hands,
        client: aiohttp.ClientSession,
    ) -> None:
        """With a `token` only those who have it can post."""
        make = detect.DETECTORS[detector]
        self.metrics = Metrics()
        self.tracer = spans.Tracer("smartops-orchestrator")
        self.watch = detect.DetectorWatch(make()) if make else None
        self.loop = ClosedLoop(cluster, self._ask_policy_engine, self.metrics, self.tracer)
        self.anomalies: deque[dict[str, Any]] = deque(maxlen=_KEEP)
        self.rcas: deque[dict[str, Any]] = deque(maxlen=_KEEP)
        self.audit: deque[dict[str, Any]] = deque(maxlen=_KEEP)
        self._cluster = cluster
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._own_url, self._policies, self._client, self._detector = own_url, policies, client, detector
        self._samples: deque[detect.ServiceSample] = deque(maxlen=20)
        self._undiagnosed: tuple[str, detect.Window | None, spans.Context | None] | None = None
        self.metrics.set("smartops_detector_armed", 0)

    # ---- detection and diagnosis ---------------------------------------------------------------------------

    async def poll(self) -> None:
        """Look, detect, diagnose, every POLL_S for ever."""
        due = time.monotonic()
        while True:
            due = max(due + POLL_S, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
            try:
                self._samples.append(await self._cluster.look())
                await self._diagnose()
                await self._detect()
            except OSError as error:
                logging.getLogger("smartops.detect").warning("scrape or signal failed: %s", error)

    async def _detect(self) -> None:
        if self.watch is None:
            return
        begin_ns = time.time_ns()
        finding = self.watch.see(detect.window(self._samples, detect.WINDOW_S))
        self.metrics.set("smartops_detector_armed", int(self.watch.armed))
        if finding is not None:
            window_id = uuid.uuid4().hex[:12]
            signal = {"windowId": window_id, "service": SERVICE, "isAnomaly": True, "score": finding.score}
            signal |= {"type": finding.kind, "modelVersion": self._detector}
            with self.tracer.span(f"detect: {finding.kind}", begin_ns=begin_ns):
                self._undiagnosed = (window_id, detect.window(self._samples, DIAGNOSIS_SPAN_S), spans.here())
                await self._post("/v1/signals/anomaly", signal)

    async def _diagnose(self) -> None:
        """One answer to each anomaly, a poll later, from the last second before it: later the cure shows too."""
        if self._undiagnosed is None:
            return
        begin_ns = time.time_ns()
        (window_id, seen, anomaly), self._undiagnosed = self._undiagnosed, None
        ranked = detect.diagnose(seen) if seen else [("Unknown Failure", 1.0)]
        causes = [{"svc": SERVICE, "cause": cause, "probability": round(p, 3)} for cause, p in ranked]
        signal = {
            "windowId": window_id,
            "service": SERVICE,
            "rankedCauses": causes,
            "confidence": round(ranked[0][1], 3),
        }
        with self.tracer.span(f"diagnose: {ranked[0][0]}", begin_ns=begin_ns, below=anomaly):
            await self._post("/v1/signals/rca", signal)

    # ---- HTTP ----------------------------------------------------------------------------------------------

    def application(self) -> web.Application:
        app = web.Application(middlewares=[_access_log, self._guard])
        app.add_routes(
            [
                web.post("/v1/signals/anomaly", self._anomaly),
                web.post("/v1/signals/rca", self._rca),
                web.get("/v1/signals/recent", self._recent),
                web.post("/v1/policy/evaluate", self._evaluate),
                web.get("/v1/policy/audit/latest", self._latest),
                web.get("/v1/detector", self._armed),
                web.get("/healthz", self._healthz),
                web.get("/metrics", self._metrics),
            ]
        )
        return app

    async def _anomaly(self, request: web.Request) -> web.Response:
        try:
            body = await request.json()
            data = {
                "windowId": str(body["windowId"]),
                "service": str(body["service"]),
                "isAnomaly": bool(body["isAnomaly"]),
                "score": float(body["score"]),
                "type": AnomalyType(body["type"]),
            }
        except (KeyError, ValueError, TypeError) as error:
            return web.json_response({"detail": f"bad anomaly: {error!r}"}, status=422)
        return self._accept(request, "anomaly", data | _optional(body, "modelVersion", "tsRange"), self.anomalies)

    async def _rca(self, request: web.Request) -> web.Response:
        try:
            body = await request.json()
            causes = [
                {"svc": str(c["svc"]), "cause": str(c["cause"]), "probability": float(c["probability"])}
                for c in body["rankedCauses"]
            ]
            data = {"windowId": str(body["windowId"]), "service": body.get("service"), "rankedCauses": causes,
                    "confidence": float(body["confidence"])}  # fmt: skip
            if not causes:
                raise ValueError("rankedCauses is empty")
        except (KeyError, ValueError, TypeError) as error:
            return web.json_response({"detail": f"bad rca: {error!r}"}, status=422)
        return self._accept(request, "rca", data | _optional(body, "explanation", "modelVersion"), self.rcas)

    def _accept(
        self, request: web.Request, kind: str, data: dict[str, Any], recent: deque[dict[str, Any]]
    ) -> web.Response:
        signal = Signal(kind, data, spans.parent(request.headers.get("traceparent")))
        if not self.loop.submit(signal):
            return web.json_response({"detail": "the queue is full"}, status=503)
        recent.append(signal.data)
        return web.json_response({"status": "accepted"}, status=202)

    async def _recent(self, request: web.Request) -> web.Response:
        limit = int(request.query.get("limit", "10"))
        newest = {"anomalies": list(self.anomalies)[-limit:], "rcas": list(self.rcas)[-limit:]}
        return web.json_response({"limit": limit, **newest})

    async def _evaluate(self, request: web.Request) -> web.Response:
        begin_ns = time.time_ns()
        asked = await request.json()
        policy = decide(self._policies, asked["signal"])
        verdict: dict[str, Any] = {"ts_utc": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"}
        if policy is None:
            verdict |= {"decision": "no_action", "reason": "no policy matched"}
        else:
            plan: dict[str, Any] = {
                "type": policy.action,
                "dry_run": False,
                "verify": True,
                "target": {"kind": "Deployment", "namespace": self._cluster.namespace, "name": DEPLOYMENT},
            }
            if policy.replicas is not None:
                plan["scale"] = {"replicas": policy.replicas}
            verdict |= {"decision": "action", "policy": policy.name, "priority": policy.priority,
                        "guardrail_reason": "allowed", "action_plan": plan}  # fmt: skip
        self.audit.append({**verdict, **asked})
        if parent := spans.parent(request.headers.get("traceparent")):
            self.tracer.served(f"decide: {verdict.get('policy', verdict['decision'])}", parent, begin_ns, ok=True)
        return web.json_response(verdict)

    async def _latest(self, request: web.Request) -> web.Response:
        events = list(self.audit)[-int(request.query.get("n", "10")) :]
        return web.json_response({"ok": True, "returned": len(events), "events": events})

    async def _armed(self, _: web.Request) -> web.Response:
        return web.json_response({"armed": self.watch is not None and self.watch.armed})

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self.metrics.render().encode(), headers={"Content-Type": CONTENT_TYPE})

    async def _ask_policy_engine(self, payload: dict[str, Any]) -> dict[str, Any]:
        return await self._post("/v1/policy/evaluate", payload)

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        at = spans.here()
        headers = self._headers | (at.headers if at else {})
        return await fetch_json(self._client.post(self._own_url + path, json=body, headers=headers))

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        wanted = self._headers.get("Authorization")
        if request.method != "GET" and wanted and request.headers.get("Authorization") != wanted:
            return web.json_response({"detail": "the token is missing or wrong"}, status=401)
        return await handler(request)


@web.middleware
async def _access_log(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """As uvicorn writes it, on stdout and without a time; but not for the probes and scrapes of every second."""
    answer = await handler(request)
    if request.path not in _QUIET and request.transport is not None:
        host, port = request.transport.get_extra_info("peername")[:2]
        print(f'INFO:     {host}:{port} - "{request.method} {request.path} HTTP/1.1" {answer.status} {answer.reason}')
    return answer


def _optional(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: body.get(name) for name in names} | {"metadata": body.get("metadata", {})}


async def serve(options: argparse.Namespace, hands: Callable[[aiohttp.ClientSession], Hands]) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as client:
        policies = parse_policies(options.policy.read_text(encoding="utf-8"))
        own_url = f"http://127.0.0.1:{options.port}"
        healer = Healer(own_url, _token(), options.detector, policies, hands(client), client)
        runner = web.AppRunner(healer.application(), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, options.host, options.port, reuse_port=True).start()
        await asyncio.gather(healer.loop.run(), healer.poll())


def _token() -> str:
    return os.environ.get("LAB_TOKEN", "")


def add_options(options: argparse.ArgumentParser) -> None:
    """Those that the healer has wherever it works."""
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--detector", choices=detect.DETECTORS, required=True)
    options.add_argument("--policy", type=Path, required=True)


def run(options: argparse.Namespace, hands: Callable[[aiohttp.ClientSession], Hands]) -> None:
    """Until the process is ended; `hands` makes what it works with, in the running event loop."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=LINE)
    logging.getLogger().handlers[0].addFilter(spans.TracedLines())
    asyncio.run(serve(options, hands))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    add_options(options)
    options.add_argument("--node", required=True)
    options.add_argument("--gateway", required=True)
    given = options.parse_args()
    run(given, lambda client: LabNode(given.node, given.gateway, _token(), client))


if __name__ == "__main__":
    main()
