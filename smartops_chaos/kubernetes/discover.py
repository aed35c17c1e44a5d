"""`init --from-cluster NAMESPACE`: look what is there, and write a matrix for it that `doctor` passes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from chaoslib.exceptions import ActivityFailed

from smartops_chaos.errors import PreflightFailed
from smartops_chaos.kubernetes import victims
from smartops_chaos.kubernetes.cluster import IN_CLUSTER, Cluster, ClusterError, Gone, connect, path, proxy
from smartops_chaos.kubernetes.controller import Controller
from smartops_chaos.resources import shipped
from smartops_chaos.schema import healerfile
from smartops_chaos.schema.healerfile import HealerFile
from smartops_chaos.schema.starter import SCHEMA, schema_text

_TARGET = re.compile(r"^# A namespace is enough.*?(?=^factors:)", re.MULTILINE | re.DOTALL)
_POLICY_FILE = re.compile(r"\{file: ([^}]+)\}")
# What a telemetry store of each kind answers with `success`.
_STORES = {"prometheus": "/api/v1/query?query=up", "loki": "/loki/api/v1/labels"}


@dataclass(frozen=True, slots=True)
class FoundSystem:
    """What a namespace holds."""

    namespace: str
    context: str
    healer: HealerFile
    replicas: int  # of the service under attack
    stores: dict[str, dict[str, Any]]  # prometheus, loki -> address
    tools: tuple[str, ...]  # sh, python3 in the service's pods

    def files(self) -> dict[str, str]:
        """Path below the new folder -> text."""
        own = "matrix/smartops.yaml" if self.healer.name == "smartops" else ""
        text = shipped(*own.split("/")).read_text(encoding="utf-8") if own else _GENERIC
        matrix = _TARGET.sub(lambda _: self._target(), text)
        if not own:
            levels = {"# FAULTS\n": "".join(self._faults()), "# LEVELS\n": self._levels(), "BASELINE": self._baseline()}
            for mark, lines in levels.items():
                matrix = matrix.replace(mark, lines)
        policies = {name: shipped("matrix", *name.split("/")) for name in _POLICY_FILE.findall(matrix)}
        return {
            "matrix.yaml": matrix.replace(" matrix/smartops.yaml", " matrix.yaml"),
            **{name: file.read_text(encoding="utf-8") for name, file in policies.items()},
            SCHEMA: schema_text(),
        }

    def _target(self) -> str:
        assert self.healer.kubernetes is not None
        lines = [
            "# As `init --from-cluster` found it.",
            "target:",
            "  kind: kubernetes",
            f"  healer: {self.healer.name}",
            *([f"  context: {json.dumps(self.context)}"] if self.context else []),
            f"  lanes: [{{namespace: {self.namespace}}}]",
            f"  allow: [{self.namespace}] # the only namespaces that may be touched",
        ]
        for name, address in self.stores.items():
            inside = ", ".join(f"{key}: {value}" for key, value in address.items())
            lines.append(f"  {name}: {{{inside}}}")
        declared = self.healer.kubernetes.reset.replicas.get(self.healer.kubernetes.service)
        if self.replicas != declared:
            lines.append(f"  replicas: {{{self.healer.kubernetes.service}: {self.replicas}}}")
        return "\n".join([*lines, "", ""])

    def _faults(self) -> Iterator[str]:
        if "python3" in self.tools or "sh" in self.tools:
            yield "    cpu: {fault: cpu-stress, load: 100%, workers: 8} # inside the pod's CPU limit\n"
        if "python3" in self.tools:
            yield "    leak: {fault: memory-leak, size: 1GiB, rate: 16MiB} # until the pod's memory limit\n"

    def _levels(self) -> str:
        values = ", ".join(f"{name}: {allowed}" for name, allowed in self.healer.settings.items())
        known = f"    # What a level may set: {values.replace(chr(39), '')}\n"
        off = "    off: {healer: off}\n" if self._baseline() == "off" else ""
        return known + off + "    as-it-is: {}\n"

    def _baseline(self) -> str:
        return "off" if "off" in self.healer.settings.get("healer", ()) else "as-it-is"


_GENERIC = """\
# yaml-language-server: $schema=./matrix.schema.json
#
#   smartops-chaos doctor matrix.yaml            what is missing, and which fault drivers work there
#   smartops-chaos doctor --rbac matrix.yaml     the roles that it needs
#   smartops-chaos run matrix.yaml --report
version: 1
name: first # campaigns are results/first-1, results/first-2, ...

# A namespace is enough
factors:
  chaos:
    pod-kill: {fault: pod-kill}
# FAULTS
  model:
# LEVELS
  workload:
    steady: {rate: 20/s}

repeats: 3 # `plan` says how many it takes to prove something
baseline: {model: BASELINE}
slo: {latency: 500ms, objective: 95%, hold: 3s}
horizon: {after: 60s, because: ""} # say why a person would have to step in then; without a reason nothing is proven
stop_after_good: 10s
targets: {mttr_reduction: 40%, auto_heal: 90%, sla: 99%}
seed: 20261124
"""


def look(namespace: str, context: str = "") -> FoundSystem:
    """Raises PreflightFailed when the namespace or a healer that fits cannot be found."""
    try:
        cluster = connect(context)
        cluster.identify(namespace)
        there = Controller.listed(cluster, namespace)
        healer = _healer(namespace, set(there))
        assert healer.kubernetes is not None
        replicas = Controller.read(cluster, namespace, healer.kubernetes.service).replicas
        stores = {kind: found for kind in _STORES if (found := store(cluster, namespace, kind))}
        named = "" if cluster.context == IN_CLUSTER else cluster.context  # whatever is the current one when it runs
        return FoundSystem(namespace, named, healer, replicas, stores, _tools(cluster, namespace, healer))
    except Gone as error:
        raise PreflightFailed(
            f"there is no namespace {namespace}: {error}", "name one that `kubectl get namespaces` lists"
        ) from error
    except ClusterError as error:
        raise PreflightFailed(str(error), "`kubectl get namespaces` has to work first") from error


def _healer(namespace: str, there: set[str]) -> HealerFile:
    """The shipped healer most of whose Deployments are there, and all that it cannot do without."""
    fits: list[tuple[int, HealerFile]] = []
    for file in sorted(shipped("healers").glob("*.yaml")):
        healer = healerfile.load(file.stem)
        block = healer.kubernetes
        # One without components is for any service, and says nothing of what is there.
        if block is not None and block.components and set(block.controllers()) - set(block.optional) <= there:
            fits.append((len(set(block.controllers()) & there), healer))
    if not fits:
        raise PreflightFailed(
            f"no shipped healer file fits {namespace}, which has: {', '.join(sorted(there)) or 'no Deployment'}",
            f"`smartops-chaos attach {namespace}` begins one, which a matrix's `target.healer` names",
        )
    return max(fits, key=lambda one: one[0])[1]


def store(cluster: Cluster, namespace: str, kind: str) -> dict[str, Any] | None:
    """The address of a Service that answers as a Prometheus or Loki does; the namespace's own is preferred."""
    services: list[dict[str, Any]] = []
    for place in (path(namespace, "services"), "/api/v1/services"):
        with suppress(ClusterError):  # nobody needs to be allowed to look everywhere
            services += cluster.items(place)
    question, _, query = _STORES[kind].partition("?")
    asked = dict(parse_qsl(query))
    for service in services:
        meta = service["metadata"]
        if kind not in meta["name"] and kind not in str(meta.get("labels")):
            continue
        for port in service["spec"].get("ports", ()):
            there = proxy(meta["namespace"], "services", meta["name"], port["port"], question)
            with suppress(ClusterError, ValueError, KeyError, TypeError):
                if cluster.request("GET", there, query=asked, patience_s=0)["status"] == "success":
                    elsewhere = {"namespace": meta["namespace"]} if meta["namespace"] != namespace else {}
                    return {"service": meta["name"], **elsewhere, "port": port["port"]}
    return None


def _tools(cluster: Cluster, namespace: str, healer: HealerFile) -> tuple[str, ...]:
    assert healer.kubernetes is not None
    service = healer.kubernetes.service
    with suppress(ClusterError, ActivityFailed):
        (chosen,) = victims.choose(cluster, namespace, service, 0)
        return chosen.container.tools(cluster)
    return ()
