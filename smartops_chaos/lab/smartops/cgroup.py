"""What a container uses, as it finds it in its own cgroup file system, of either version; cAdvisor tells the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ContainerUsage:
    """Of everything in the container, not of one process."""

    cpu_s: float
    memory_bytes: int  # in use and not given up easily: cAdvisor's working set
    memory_limit_bytes: int | None


def usage(root: Path) -> ContainerUsage:
    """`root` is where the container's own cgroup is mounted. Raises OSError, ValueError when it is not."""
    if (root / "cpu.stat").exists():
        cpu_s = _field(root / "cpu.stat", "usage_usec") / 1e6
        used, limit, idle = "memory.current", "memory.max", "inactive_file"
        memory = root
    else:
        cpu_s = int((root / "cpuacct" / "cpuacct.usage").read_text()) / 1e9
        used, limit, idle = "memory.usage_in_bytes", "memory.limit_in_bytes", "total_inactive_file"
        memory = root / "memory"
    most = (memory / limit).read_text().strip()
    working = int((memory / used).read_text()) - _field(memory / "memory.stat", idle)
    return ContainerUsage(cpu_s, max(0, working), int(most) if most.isdigit() and int(most) < 1 << 60 else None)


def _field(file: Path, name: str) -> int:
    fields: Iterator[list[str]] = (line.split() for line in file.read_text().splitlines())
    return next((int(value) for key, value in fields if key == name), 0)
