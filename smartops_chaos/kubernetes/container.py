"""Programs inside a running container, through the exec API: what finds, measures and ends a fault's processes."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal, TypeVar
from urllib.parse import urlencode

import websocket
from kubernetes.stream import ws_client

from smartops_chaos.kubernetes.cluster import ASK_FOR_ROLES, Cluster, ClusterError, Gone, path
from smartops_chaos.telemetry.connection import hidden

T = TypeVar("T")
LIMIT_S = 20.0  # of one program: a container whose CPU time is taken answers slowly
_SENT = re.compile(r"\?command=[^\s\"]*")  # an API server that does not reach its node repeats the whole program
_KILLED = re.compile(r"exit code 137\b")  # 128 and the number of SIGKILL
_NO_PROGRAM = re.compile(r"not found|no such file|permission denied", re.IGNORECASE)
_SAID = 600  # characters of a refusal
_HERTZ = 100  # a clock tick of /proc, the same on every Linux


class NoProgram(ClusterError):
    """The container has no such program."""


class ProgramKilled(ClusterError):
    """The program got a SIGKILL: its container ended while it ran, or has no memory left."""


@dataclass(frozen=True, slots=True)
class FaultProcess:
    """A living process of a fault."""

    pid: int
    cpu_s: float
    written: int  # bytes that it holds in memory


@dataclass(frozen=True, slots=True)
class Container:
    """One container of one pod. It is another one after a restart, which `container_id` shows."""

    namespace: str
    pod: str
    name: str
    container_id: str = ""

    def run(self, cluster: Cluster, *command: str, limit_s: float = LIMIT_S) -> str:
        """Standard output of a program that succeeded.

        Raises NoProgram, ProgramKilled, Gone when there is no such pod, ClusterError with what the program or the
        cluster said.
        """
        cluster.compare(self.namespace)
        query = [("command", word) for word in command]
        query += [("container", self.name), ("stdout", "true"), ("stderr", "true")]
        configuration = cluster.api.configuration
        exec_path = f"{path(self.namespace, 'pods', self.pod)}/exec?{urlencode(query)}"
        url = re.sub(r"^http", "ws", configuration.host) + exec_path
        try:
            client: Any = ws_client.WSClient(configuration, url, cluster.headers(), capture_all=False)  # type: ignore[no-untyped-call]
        except websocket.WebSocketBadStatusException as error:
            raise self._refused(error, cluster.headers()) from error
        except (websocket.WebSocketException, OSError) as error:
            raise ClusterError(f"exec in pod {self.pod}: the API server does not answer: {error}") from error
        try:
            client.sock.settimeout(limit_s)
            client.run_forever(timeout=limit_s)
            if client.is_open():
                raise ClusterError(f"exec in pod {self.pod}: `{command[0]}` has not ended within {limit_s:.0f} s")
            out, err, status = (str(client.read_channel(channel)) for channel in (1, 2, ws_client.ERROR_CHANNEL))
        except (websocket.WebSocketException, OSError) as error:
            raise ClusterError(f"exec in pod {self.pod}: the connection broke: {error}") from error
        finally:
            client.close()
        succeeded, message = _status(status)
        if succeeded:
            return out
        told = _SENT.sub("", f"{err.strip()} {message}".strip())
        if _NO_PROGRAM.search(message):
            raise NoProgram(f"pod {self.pod}: container {self.name} has no {command[0]}: {told}")
        killed = _KILLED.search(message)
        raise (ProgramKilled if killed else ClusterError)(f"exec in pod {self.pod}: {told}")

    def _refused(self, error: websocket.WebSocketBadStatusException, credentials: Mapping[str, str]) -> ClusterError:
        body: Any = error.resp_body or b""
        try:
            told = str(json.loads(body)["message"])
        except (ValueError, KeyError, TypeError):
            told = str(error)
        told = hidden(_SENT.sub("", told), credentials.values())[:_SAID]
        if error.status_code == 404:
            return Gone(told, 404)
        if error.status_code == 403:
            told += f"; {ASK_FOR_ROLES}"
        return ClusterError(f"exec in pod {self.pod}: {told}", error.status_code)

    def tools(self, cluster: Cluster) -> tuple[str, ...]:
        """Which of sh and python3 are in it."""
        found = []
        for tool, command in (("sh", ":"), ("python3", "pass")):
            try:
                self.run(cluster, tool, "-c", command)
            except NoProgram:
                continue
            found.append(tool)
        return tuple(found)

    def marked(self, cluster: Cluster, fault_id: str, doing: Literal["show", "kill"] = "show") -> list[FaultProcess]:
        """The processes of a fault, before they are killed if that is what is to be done. Raises ClusterError."""
        programs = (("sh", "marked.sh"), ("python3", "marked.py"))
        for tool, program in programs:
            with suppress(NoProgram):
                out = self.run(cluster, tool, "-c", text(program), "marked", fault_id, doing)
                break
        else:
            return []  # without a program that could run one, no fault can be in it
        try:
            return [
                FaultProcess(int(pid), (int(user) + int(system)) / _HERTZ, int(written))
                for pid, state, user, system, written in map(str.split, out.splitlines())
                if state not in ("Z", "X")
            ]
        except ValueError:
            raise ClusterError(f"pod {self.pod}: what lists the fault's processes said {out[:200]!r}") from None


def _status(text: str) -> tuple[bool, str]:
    """Whether a program has succeeded by the API server's last word on it, and what that says."""
    try:
        answer = json.loads(text or '{"status": "Failure", "message": "the container ended"}')
        return answer["status"] == "Success", str(answer.get("message", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return False, f"how it ended cannot be read: {text[:200]!r}"


def word(fault_id: str) -> str:
    """The word in a command line by which a fault's processes are known."""
    return f"smartops-chaos-fault={fault_id};"


def text(program: str) -> str:
    """A program of inside/."""
    return files("smartops_chaos.inside").joinpath(program).read_text(encoding="utf-8")


def each_within(within_s: float, found: Iterable[T], is_so: Callable[[T], bool]) -> bool:
    """Whether `is_so` comes true of one after the other before the time is over, asking again and again."""
    deadline = time.monotonic() + within_s
    for one in found:
        while not is_so(one):
            if not until(deadline):
                return False
    return True


def until(deadline: float, pause_s: float = 0.1) -> bool:
    """Sleep a little; False when the (monotonic) deadline is over."""
    if time.monotonic() > deadline:
        return False
    time.sleep(pause_s)
    return True
