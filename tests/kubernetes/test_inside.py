"""The programs that faults run inside containers, as real processes here: they act, are found, and end."""

from __future__ import annotations

import http.server
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smartops_chaos.kubernetes.container import text, word

SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]
FINDERS = [*SHELLS, "python3"]


def in_shell(shell: str) -> list[str]:
    return [shell, *(["sh"] if shell == "busybox" else []), "-c"]


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def find(finder: str, fault_id: str, doing: str) -> list[list[str]]:
    program = (
        [sys.executable, "-c", text("marked.py")] if finder == "python3" else [*in_shell(finder), text("marked.sh")]
    )
    return [line.split() for line in run(*program, "marked", fault_id, doing).splitlines()]


def alive(fault_id: str) -> bool:
    return any(state not in "ZX" for _, state, *_ in find("python3", fault_id, "show"))


def wait(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in 20 s"
        time.sleep(0.05)


@pytest.fixture
def fault_id() -> Iterator[str]:
    made = f"test.{uuid.uuid4().hex}.0"
    yield made
    find("python3", made, "kill")


def start_python(fault_id: str, seconds: float, *rest: str) -> None:
    run(sys.executable, "-c", text("stress.py"), word(fault_id), str(seconds), *rest)


def cpu_ticks(finder: str, fault_id: str) -> int:
    return sum(int(user) + int(system) for _, _, user, system, _ in find(finder, fault_id, "show"))


@pytest.mark.parametrize("finder", FINDERS)
def test_busy_processes_are_measured_and_killed(finder: str, fault_id: str) -> None:
    start_python(fault_id, 60, "cpu", "2", "1.0")
    wait(lambda: cpu_ticks(finder, fault_id) >= 10)
    assert len(find(finder, fault_id, "kill")) == 3  # two that work and the one that waits for them
    assert not alive(fault_id)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_alone_is_enough_for_cpu_stress(shell: str, fault_id: str) -> None:
    run(*in_shell(shell), text("stress.sh"), word(fault_id), "60", "2")
    wait(lambda: cpu_ticks(shell, fault_id) >= 10)
    assert len(find(shell, fault_id, "kill")) == 3
    assert not alive(fault_id)


@pytest.mark.parametrize("shell", SHELLS)
def test_shell_processes_end_by_themselves(shell: str, fault_id: str) -> None:
    run(*in_shell(shell), text("stress.sh"), word(fault_id), "1", "2")
    wait(lambda: not alive(fault_id))


@pytest.mark.parametrize("kind", [("cpu", "2", "0.5"), ("memory", "1048576", "1e9")])
def test_python_processes_end_by_themselves(kind: tuple[str, ...], fault_id: str) -> None:
    start_python(fault_id, 0.5, *kind)
    wait(lambda: not alive(fault_id))


@pytest.mark.parametrize("finder", FINDERS)
def test_memory_grows_to_its_size_and_belongs_to_no_process(finder: str, fault_id: str) -> None:
    size = 48 * 2**20
    start_python(fault_id, 60, "memory", str(size), "1e9")
    wait(lambda: find(finder, fault_id, "show")[0][4] == str(size))
    (pid, *_), *_ = find(finder, fault_id, "show")
    rss_kb = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    assert int(rss_kb.split()[1]) * 1024 < size / 2
    find(finder, fault_id, "kill")
    assert not alive(fault_id)


@pytest.mark.parametrize("finder", FINDERS)
def test_another_fault_is_left_alone(finder: str, fault_id: str) -> None:
    other = f"{fault_id}0"  # one ID is the beginning of the other
    start_python(other, 60, "cpu", "1", "0.1")
    wait(lambda: alive(other))
    try:
        assert find(finder, fault_id, "kill") == []
        assert alive(other)
    finally:
        find("python3", other, "kill")


def test_a_part_of_the_load_leaves_the_rest_of_the_time(fault_id: str) -> None:
    start_python(fault_id, 60, "cpu", "1", "0.2")
    wait(lambda: cpu_ticks("python3", fault_id) >= 10)
    wait(lambda: all(state == "S" for _, state, *_ in find("python3", fault_id, "show")))


def test_a_mode_is_switched_off_in_time(fault_id: str) -> None:
    asked: list[str] = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.send_response(503 if len(asked) == 1 else 200)  # the first answer of a sick server may be no
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = str(server.server_address[1])
        run(sys.executable, "-c", text("switch_off.py"), word(fault_id), "0.1", port, "/chaos/error-burst/disable")
        wait(lambda: len(asked) == 2 and not alive(fault_id))
        server.shutdown()
    assert asked == ["/chaos/error-burst/disable"] * 2
