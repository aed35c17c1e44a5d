"""Who answers whom, asked from inside of pods: by an ephemeral container, which has the pod's own address and labels.

    ask(api, [("smartops-dev", "smartops-orchestrator-7d9f")], {"api": Door("10.96.0.1", 443)})
    -> {("smartops-dev", "smartops-orchestrator-7d9f"): {"api": "open"}}

A door is `open`, `silent` (nothing comes back: so a network policy refuses) or `shut` (somebody says no: the policies
let it pass, and nobody listens).
"""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from kubernetes import client

from tests.conftest import until

IMAGE = "localhost/smartops-chaos-lab:1"
RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
# A first packet that is lost comes again after one second, and after three.
PROGRAM = """
import asyncio, json, sys
NAME = b"".join(bytes([len(part)]) + part for part in b"kubernetes.default.svc.cluster.local".split(b".")) + bytes(1)
QUESTION = bytes([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]) + NAME + bytes([0, 1, 0, 1])
class Answer(asyncio.DatagramProtocol):
    def __init__(self):
        self.came = asyncio.get_running_loop().create_future()
    def datagram_received(self, data, address):
        self.came.done() or self.came.set_result(data)
async def ask(host, port, udp):
    try:
        async with asyncio.timeout(5):
            if not udp:
                (await asyncio.open_connection(host, port))[1].close()
                return "open"
            loop = asyncio.get_running_loop()
            sender, answer = await loop.create_datagram_endpoint(Answer, remote_addr=(host, port))
            while not answer.came.done():
                sender.sendto(QUESTION)
                await asyncio.wait([answer.came], timeout=1)
            return "open"
    except ConnectionRefusedError:
        return "shut"
    except OSError:
        return "silent"
async def main():
    doors = json.loads(sys.argv[1])
    states = await asyncio.gather(*(ask(*door) for door in doors.values()))
    print(json.dumps(dict(zip(doors, states))))
asyncio.run(main())
"""


class Door(NamedTuple):
    host: str
    port: int
    udp: bool = False


Pod = tuple[str, str]  # namespace and name


def ask(api: client.ApiClient, pods: Sequence[Pod], doors: Mapping[str, Door]) -> dict[Pod, dict[str, str]]:
    """Every pod tries every door, all at once."""
    core, name = client.CoreV1Api(api), f"probe-{uuid.uuid4().hex[:6]}"
    command = ["python3", "-c", PROGRAM, json.dumps(doors)]
    one = {"name": name, "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": command}
    for namespace, pod in pods:
        body = {"spec": {"ephemeralContainers": [{**one, "securityContext": RESTRICTED}]}}
        core.patch_namespaced_pod_ephemeralcontainers(pod, namespace, body)

    def answer(namespace: str, pod: str) -> dict[str, str] | None:
        found: Any = core.read_namespaced_pod(pod, namespace).status.ephemeral_container_statuses or []
        if not [state for state in found if state.name == name and state.state.terminated]:
            return None
        told = core.read_namespaced_pod_log(pod, namespace, container=name, _preload_content=False).data
        return dict(json.loads(told))

    return {pod: until(lambda pod=pod: answer(*pod), 240, pause_s=0.3) for pod in pods}


def ask_outside(name: str, doors: Mapping[str, Door]) -> dict[str, str]:
    """The same from a network namespace of this machine."""
    command = ["ip", "netns", "exec", name, sys.executable, "-c", PROGRAM, json.dumps(doors)]
    return dict(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


SERVER = """
import selectors, socket, sys
ready = selectors.DefaultSelector()
for port in map(int, sys.argv[1:]):
    ready.register(socket.create_server(("", port)), selectors.EVENT_READ)
while True:
    for key, _ in ready.select(): key.fileobj.accept()[0].close()
"""


@contextmanager
def outside(*ports: int) -> Iterator[tuple[str, str]]:
    """Somebody beyond the node, whom no policy can name, listening at some ports: its network namespace and address.

    The node must be this machine, and the user root.
    """
    name, near, far = "smartops-outside", "10.244.255.1", "10.244.255.2"
    _ip("netns", "add", name)
    try:
        _ip("link", "add", "smartops-out", "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("addr", "add", f"{near}/30", "dev", "smartops-out")
        _ip("link", "set", "smartops-out", "up")
        _ip("-n", name, "addr", "add", f"{far}/30", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        _ip("-n", name, "route", "add", "default", "via", near)
        command = ["ip", "netns", "exec", name, sys.executable, "-c", SERVER, *map(str, ports)]
        server = subprocess.Popen(command)
        try:
            yield name, far
        finally:
            server.terminate()
            server.wait()
    finally:
        _ip("netns", "delete", name)  # its end of the cable goes with it, and so the other one


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
