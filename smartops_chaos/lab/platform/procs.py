"""Child processes that cannot outlive their parent, and what /proc says about a process. Linux only."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """What a process has used so far; a zombie keeps its CPU time until it is reaped."""

    cpu_s: float
    rss_bytes: int
    started_ticks: int  # since boot: with the pid it names a process for ever
    zombie: bool


def usage(pid: int) -> ProcessUsage | None:
    """None if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return ProcessUsage(ticks / _TICKS_PER_S, int(fields[21]) * _PAGE_BYTES, int(fields[19]), fields[0] == "Z")


def module(name: str, *arguments: str) -> list[str]:
    """The command of one of the lab's own programs, such as `platform.main` or `smartops.erp`."""
    return [sys.executable, "-m", f"smartops_chaos.lab.{name}", *arguments]


def prometheus_program() -> str | None:
    """Its path: beside this Python, where set-up may have put it, also if that environment is not activated."""
    beside = Path(sys.executable).parent
    return shutil.which("prometheus", path=f"{beside}{os.pathsep}{os.environ.get('PATH', os.defpath)}")


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment, in which the same package is found also when it is not installed."""
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH", ""))))
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **extra}


def hold_port() -> socket.socket:
    """A free loopback port, bound but not listening.

    Nobody else can take it and connections are refused, until a child listens on it with SO_REUSEPORT: no race, and the
    same address after a restart.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind(("127.0.0.1", 0))
    return held


class Process:
    """A child of an asyncio process, leader of its own process group or member of another's.

    It gets SIGKILL when its parent dies. `exited` is set as soon as it ends; by then its whole group has been killed
    and its CPU time is in `cpu_s`.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        group: int = 0,
        extra_environment: Mapping[str, str] | None = None,
        output: IO[bytes] | int | None = None,
    ) -> None:
        """`output` takes stdout and stderr; subprocess.PIPE keeps them apart, for `stdout` and `stderr`.

        Raises OSError when the program cannot be started, subprocess.SubprocessError when `group` has gone.
        """
        parent = os.getpid()
        libc = ctypes.CDLL(None)

        def prepare() -> None:
            # The kernel sends this when the thread ends that has forked, not only when the process does; so children
            # are started by the event loop's thread, which lives as long as the process.
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            os.setpgid(0, group)
            if os.getppid() != parent:  # it died before the line above could tell
                os._exit(1)

        streams = subprocess.DEVNULL if output is None else output
        self._popen = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=streams,
            stderr=streams,
            env=environment(extra_environment or {}),
            preexec_fn=prepare,
        )
        self.pid = self._popen.pid
        self.stdout, self.stderr = self._popen.stdout, self._popen.stderr
        self.exited = asyncio.Event()
        self._leads = group == 0
        self._last_cpu_s = 0.0
        self._pidfd = os.pidfd_open(self.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._reap)

    @property
    def running(self) -> bool:
        return not self.exited.is_set()

    @property
    def cpu_s(self) -> float:
        """CPU seconds of this process alone, so far or for ever."""
        if self.running and (now := usage(self.pid)):
            self._last_cpu_s = now.cpu_s
        return self._last_cpu_s

    @property
    def rss_bytes(self) -> int:
        found = usage(self.pid) if self.running else None
        return found.rss_bytes if found else 0

    @property
    def returncode(self) -> int | None:
        """As in subprocess: negative for a signal, None while it runs."""
        return self._popen.returncode

    def send_signal(self, number: int) -> None:
        """To it alone, not to its group."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL to the group that it leads, or to it alone. Await `exited` to know that it is gone."""
        if self.running:
            self._signal()

    def _signal(self) -> None:
        with suppress(ProcessLookupError):
            (os.killpg if self._leads else os.kill)(self.pid, signal.SIGKILL)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        _ = self.cpu_s  # the zombie still tells
        if self._leads:
            self._signal()  # the zombie still keeps the group's number from being used again
        self._popen.wait()
        self.exited.set()
