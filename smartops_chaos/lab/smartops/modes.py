"""The ERP's own fault switches, with the names of SmartOps' simulator. A mode ends with its process."""

from __future__ import annotations

import random
import re
import time

MODES = ("memory_leak", "cpu_spike", "latency_jitter", "error_burst")
LEAK_BYTES = (100_000, 1_000_000)  # by request
SPIKE_S = 0.5
JITTER_S = (0.0, 1.0)
ERROR_SHARE = 0.4

_SWITCH = re.compile(r"/chaos/([a-z-]+)/(enable|disable)")


class Modes:
    def __init__(self) -> None:
        self.on = dict.fromkeys(MODES, False)
        self.leaked_bytes = 0
        self._leak: list[bytes] = []

    def switch(self, path: str) -> dict[str, str | bool] | None:
        """Obey `/chaos/MODE/enable` or `/disable`; None if that is no such path."""
        found = _SWITCH.fullmatch(path)
        mode = found[1].replace("-", "_") if found else ""
        if found is None or mode not in self.on:
            return None
        self.on[mode] = found[2] == "enable"
        return {"mode": mode, "enabled": self.on[mode]}

    def arrive(self) -> bool:
        """Let a request suffer what befalls it before its work; whether it fails."""
        if self.on["latency_jitter"]:
            time.sleep(random.uniform(*JITTER_S))
        if self.on["memory_leak"]:
            size = random.randint(*LEAK_BYTES)
            self._leak.append(b"x" * size)
            self.leaked_bytes += size
        return self.on["error_burst"] and random.random() < ERROR_SHARE

    def burn(self) -> None:
        """The work that a spike adds to each request."""
        until = time.perf_counter() + (SPIKE_S if self.on["cpu_spike"] else 0)
        while time.perf_counter() < until:
            pass
