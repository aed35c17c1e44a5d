"""What the harness costs on a cluster: a campaign on many namespaces at once, each with a service of one small pod.

    python -m benchmarks.cluster_lanes [--lanes 20] [--repeats 20] [--image localhost/smartops-chaos-lab:1]

On the cluster of KUBECONFIG, in namespaces of its own, which are deleted at the end. The image needs python3. CPU is
that of the runner and all its descendants, the workload of 2 requests per second and lane among them. A lane is
watched, recorded, reset and its pod killed as in any campaign; no healer acts, so every trial lasts to its horizon.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.scale import adopt_orphans, command, cpu_s
from smartops_chaos.kubernetes.cluster import Cluster, connect, path

_PREFIX = "smartops-chaos-bench"
_WEB = """
import http.server
class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", 8000), Server).serve_forever()
"""
_HEALER = """\
version: 1
name: nobody
poll: 1s
warm_up: 2s
workload: {method: GET, path: /, timeout: 2s}
settings: {healer: [on, off]}
moments: {detected: [{log: sick, component: web}]}
kubernetes:
  service: web
  workload: {service: web, port: 8000}
  components: [web]
  settings: {healer: {on: [{deployment: web, env: {HEALER: "1"}}], off: [{deployment: web, env: {HEALER: "0"}}]}}
  reset: {replicas: {web: 1}, restart: [web]}
"""
_MATRIX = """\
version: 1
name: lanes
target: {kind: kubernetes, healer: healer.yaml, lanes: [LANES], allow: [ALLOW]}
factors:
  chaos: {kill: {fault: pod-kill}, none: {}}
  model: {off: {healer: off}}
  workload: {slow: {rate: 2/s}}
repeats: REPEATS
calibrate: 0
baseline: {model: off}
slo: {latency: 1s, objective: 50%, hold: 2s}
horizon: {after: 20s}
"""


@contextmanager
def namespaces(here: Cluster, names: list[str], image: str) -> Iterator[None]:
    """Each with the service in it; they go at the end. Raises ClusterError."""
    try:
        for name in names:
            here.request("POST", "/api/v1/namespaces", body={"metadata": {"name": name}})
            here.request("POST", path(name, "deployments"), body=_deployment(image))
            spec = {"selector": {"app": "web"}, "ports": [{"port": 8000}]}
            here.request("POST", path(name, "services"), body={"metadata": {"name": "web"}, "spec": spec})
        for name in names:
            while not here.request("GET", path(name, "deployments", "web"))["status"].get("availableReplicas"):
                time.sleep(0.5)
        yield
    finally:
        for name in names:
            here.request("DELETE", f"/api/v1/namespaces/{name}")


def _deployment(image: str) -> dict[str, Any]:
    probe = {"tcpSocket": {"port": 8000}, "periodSeconds": 1}
    container = {"name": "main", "image": image, "command": ["python3", "-c", _WEB], "readinessProbe": probe}
    spec = {"terminationGracePeriodSeconds": 1, "containers": [container]}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": spec}
    return {"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lanes", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=20, help="of two trials")
    parser.add_argument("--image", default="localhost/smartops-chaos-lab:1")
    options = parser.parse_args()
    adopt_orphans()
    names = [f"{_PREFIX}-{os.getpid()}-{number}" for number in range(1, options.lanes + 1)]
    with namespaces(connect(), names, options.image), tempfile.TemporaryDirectory() as folder:
        lanes = ", ".join(f"{{namespace: {name}}}" for name in names)
        matrix = _MATRIX.replace("LANES", lanes).replace("ALLOW", ", ".join(names))
        Path(folder, "m.yaml").write_text(matrix.replace("REPEATS", str(options.repeats)), encoding="utf-8")
        Path(folder, "healer.yaml").write_text(_HEALER, encoding="utf-8")
        used_s, begun = cpu_s(), time.monotonic()
        code = subprocess.run(command("run", "m.yaml"), cwd=folder).returncode
        took_s, used_s = time.monotonic() - begun, cpu_s() - used_s
        trials = len(list(Path(folder).glob("results/*/trials/*/record.json")))
    print(f"{trials} trials on {options.lanes} namespaces in {took_s:.0f} s, exit code {code}")
    print(f"{used_s:.1f} s of CPU: {used_s / took_s:.2f} cores, {used_s / max(trials, 1):.2f} s a trial")


if __name__ == "__main__":
    main()
