"""The node's HTTP surface: control API of the harness, a Kubernetes-like API for the healer, metrics and traces."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from aiohttp import web

from smartops_chaos.lab.platform.faults import BadFault, NotEnded
from smartops_chaos.lab.platform.faulttable import order_from
from smartops_chaos.lab.platform.node import LaneArm, Node
from smartops_chaos.lab.platform.pods import MEMORY_LIMIT_BYTES, Deployment
from smartops_chaos.lab.smartops.detect import DETECTORS, lacking
from smartops_chaos.lab.smartops.exposition import CONTENT_TYPE, Metrics
from smartops_chaos.lab.smartops.policy import PolicyError, parse_policies
from smartops_chaos.resources import shipped

NAMESPACE = "lab"
SERVED = "smartops-erp-simulator"
MAX_REPLICAS = 8
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refused(ValueError):
    """Answered with 400 and this text."""


class Api:
    def __init__(self, node: Node) -> None:
        self._node = node

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/state", self._state),
                web.post("/arm", self._arm),
                web.post("/reset", self._reset),
                web.post("/faults", self._inject),
                web.get("/faults", self._in_force),
                web.get("/faults/{id}", self._fault),
                web.delete("/faults/{id}", self._revert),
                web.get("/load", self._load),
                web.get("/events", self._events),
                web.get("/logs", self._logs),
                web.post("/shutdown", self._shutdown),
                web.get("/apis/deployments/{name}", self._deployment),
                web.post("/apis/deployments/{name}/restart", self._restart),
                web.post("/apis/deployments/{name}/scale", self._scale),
                web.get("/metrics", self._metrics),
                web.post("/v1/traces", self._spans),
                web.get("/api/v3/traces/{id}", self._trace),
            ]
        )
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        node = self._node
        doors = {"/apis/": node.healer_token, "/v1/": node.spans_token}
        token = next((own for path, own in doors.items() if request.path.startswith(path)), node.token)
        if request.path != "/metrics" and request.headers.get("Authorization") != f"Bearer {token}":
            return web.json_response({"error": "the token is missing or wrong"}, status=401)
        try:
            if node.resetting and request.path.startswith("/apis/"):
                return web.json_response({"error": "the lane is being reset"}, status=503)
            return await handler(request)
        except (Refused, BadFault) as error:
            return web.json_response({"error": str(error)}, status=400)
        except NotEnded as error:
            return web.json_response({"error": str(error)}, status=500)

    # ---- control -------------------------------------------------------------------------------------------

    async def _state(self, _: web.Request) -> web.Response:
        node = self._node
        state = {
            "lane": node.name,
            "pid": os.getpid(),
            "now_ns": node.now_ns(),
            "addresses": {
                "gateway": node.service.url,
                "healer": node.healer_url,
                "prometheus": node.monitor.url,
            },
            "deployments": {name: _detail(deployment) for name, deployment in node.deployments.items()},
            "arm": asdict(node.arm),
            "armed": await node.healer_says_armed(),
            "faults": node.faults.in_force(),
        }
        return web.json_response(state)

    async def _arm(self, request: web.Request) -> web.Response:
        await self._node.set_arm(arm_from(await _body(request)))
        return web.json_response({"arm": asdict(self._node.arm)})

    async def _reset(self, request: web.Request) -> web.Response:
        body = await _body(request)
        await self._node.reset(_replicas(body.get("replicas", 2)))
        return web.json_response({})

    async def _inject(self, request: web.Request) -> web.Response:
        order = order_from(await _body(request))
        async with self._node.changing:
            return web.json_response(await self._node.faults.inject(order))

    async def _in_force(self, _: web.Request) -> web.Response:
        return web.json_response({"faults": self._node.faults.in_force()})

    async def _fault(self, request: web.Request) -> web.Response:
        return web.json_response(await self._node.faults.describe(request.match_info["id"]))

    async def _revert(self, request: web.Request) -> web.Response:
        await self._node.faults.end(request.match_info["id"], "harness")
        return web.json_response(await self._node.faults.describe(request.match_info["id"]))

    async def _load(self, _: web.Request) -> web.Response:
        pods = [pod for pod in self._node.pods(SERVED) if pod.ready.is_set()]
        found = await asyncio.gather(*map(self._node.load_of, pods))
        return web.json_response(
            {"replicas": {pod.name: asdict(one) for pod, one in zip(pods, found, strict=True) if one}}
        )

    async def _events(self, request: web.Request) -> web.Response:
        since_ns = _since(request)
        return web.json_response({"events": [asdict(e) for e in self._node.events if e.at_ns >= since_ns]})

    async def _logs(self, request: web.Request) -> web.Response:
        return web.json_response({"lines": [asdict(line) for line in self._node.log.since(_since(request))]})

    async def _shutdown(self, _: web.Request) -> web.Response:
        self._node.stopping.set()
        return web.json_response({})

    # ---- what the healer may use ---------------------------------------------------------------------------

    def _named(self, request: web.Request) -> Deployment:
        name = request.match_info["name"]
        if name not in self._node.deployments:
            raise web.HTTPNotFound(text=f"there is no deployment {name}")
        return self._node.deployments[name]

    async def _deployment(self, request: web.Request) -> web.Response:
        return web.json_response(_status(self._named(request)))

    async def _restart(self, request: web.Request) -> web.Response:
        deployment = self._named(request)
        deployment.restart()
        return web.json_response(_status(deployment))

    async def _scale(self, request: web.Request) -> web.Response:
        deployment = self._named(request)
        deployment.scale(_replicas((await _body(request)).get("replicas")))
        return web.json_response(_status(deployment))

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=_metrics(self._node.deployments).encode(), headers={"Content-Type": CONTENT_TYPE})

    # ---- traces --------------------------------------------------------------------------------------------

    async def _spans(self, request: web.Request) -> web.Response:
        try:
            self._node.spans.add(await _body(request))
        except (KeyError, TypeError, AttributeError) as error:
            raise Refused(f"the body is no OTLP JSON: {error!r}") from error
        return web.json_response({})

    async def _trace(self, request: web.Request) -> web.Response:
        found = self._node.spans.trace(request.match_info["id"])
        return web.json_response(found or {"error": "no such trace"}, status=200 if found else 404)


@asynccontextmanager
async def serve(node: Node) -> AsyncIterator[None]:
    runner = web.AppRunner(Api(node).application(), access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    port: int = node.control.getsockname()[1]
    await web.TCPSite(runner, "127.0.0.1", port, reuse_port=True).start()
    try:
        yield
    finally:
        await runner.cleanup()


def arm_from(body: dict[str, Any]) -> LaneArm:
    """An empty policy means the shipped one. Raises Refused."""
    healer, detector, policy = body.get("healer"), body.get("detector"), body.get("policy", "")
    if healer not in ("on", "off"):
        raise Refused(f"healer is {healer!r}: use on or off")
    if not isinstance(detector, str) or detector not in DETECTORS:
        raise Refused(f"detector is {detector!r}: use one of {', '.join(DETECTORS)}")
    if problem := lacking(detector):
        raise Refused(problem)
    if not isinstance(policy, str):
        raise Refused("policy: a text is needed")
    text = policy if policy.strip() else shipped("matrix", "policies", "default.policy").read_text(encoding="utf-8")
    try:
        parse_policies(text)
    except PolicyError as error:
        raise Refused(f"policy: {error}") from error
    return LaneArm(healer, detector, text)


def _status(deployment: Deployment) -> dict[str, Any]:
    return {
        "name": deployment.name,
        "desired": deployment.desired,
        "ready": deployment.ready,
        "generation": deployment.generation,
        "rolled_out": deployment.rolled_out,
    }


def _detail(deployment: Deployment) -> dict[str, Any]:
    pods = [
        {
            "name": pod.name,
            "pid": pod.main.pid if pod.main else 0,
            "ready": pod.ready.is_set(),
            "restarts": pod.restarts,
            "started_ns": pod.started_ns,
        }
        for pod in deployment.pods
    ]
    return {"desired": deployment.desired, "ready": deployment.ready, "pods": pods}


def _metrics(deployments: Mapping[str, Deployment]) -> str:
    """What cAdvisor, kube-state-metrics and SmartOps tell about deployments and their pods."""
    metrics = Metrics()
    for name, deployment in deployments.items():
        labels = {"namespace": NAMESPACE, "deployment": name}
        metrics.set("kube_deployment_spec_replicas", deployment.desired, **labels)
        metrics.set("kube_deployment_status_replicas_ready", deployment.ready, **labels)
        metrics.set("smartops_k8s_deployment_desired_replicas", deployment.desired, **labels)
        metrics.set("smartops_k8s_deployment_ready_replicas", deployment.ready, **labels)
        for pod in deployment.running:
            where = {"namespace": NAMESPACE, "pod": pod.name, "container": name}
            metrics.set_counter("container_cpu_usage_seconds_total", pod.cpu_s, **where)
            metrics.set("container_memory_working_set_bytes", pod.rss_bytes, **where)
            metrics.set("container_spec_memory_limit_bytes", MEMORY_LIMIT_BYTES, **where)
    return metrics.render()


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError as error:
        raise Refused(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise Refused("the body must be a JSON object")
    return body


def _replicas(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_REPLICAS:
        raise Refused(f"replicas is {value!r}: a number from 1 to {MAX_REPLICAS} is needed")
    return value


def _since(request: web.Request) -> int:
    text = request.query.get("since_ns", "0")
    if not text.lstrip("-").isdigit():
        raise Refused(f"since_ns is {text!r}: nanoseconds since the epoch are needed")
    return int(text)
