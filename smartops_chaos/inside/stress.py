"""Takes CPU time or memory inside the container in which it is run, and ends by itself.

    python3 -c TEXT MARK SECONDS cpu WORKERS LOAD
    python3 -c TEXT MARK SECONDS memory BYTES BYTES_PER_SECOND

It returns at once, with its work going on in a session of its own; MARK in the command line is how it is found again.
Memory is kept in a file without a name or place: it counts for the container's limit but for no process, so what the
kernel kills at the limit is the largest process of the container, as if that one had leaked.
"""

import os
import sys
import time

PERIOD_S = 0.1
CHUNK = bytes(1 << 20)
FILE = 9  # whoever measures reads how much was written in /proc/PID/fdinfo/9


def detach() -> None:
    if os.fork():
        os._exit(0)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)


def burn(end: float, load: float) -> None:
    while time.monotonic() < end:
        begun = time.monotonic()
        while time.monotonic() - begun < load * PERIOD_S:
            pass
        if load < 1:
            time.sleep(max(0.0, begun + PERIOD_S - time.monotonic()))


def cpu(end: float, workers: int, load: float) -> None:
    for _ in range(workers):
        if os.fork() == 0:
            burn(end, load)
            os._exit(0)
    for _ in range(workers):
        os.wait()


def memory(end: float, size: int, rate: float) -> None:
    os.dup2(os.memfd_create("leak"), FILE)
    begun, written = time.monotonic(), 0
    while time.monotonic() < end:
        due = min(size, rate * (time.monotonic() - begun))
        if written < due:
            written += os.write(FILE, CHUNK[: int(min(len(CHUNK), size - written))])
        else:
            time.sleep(0.05)


def main() -> None:
    seconds, kind, first, second = float(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5]
    if kind == "memory" and not hasattr(os, "memfd_create"):
        sys.exit("python3 in this container is older than 3.8")
    detach()
    end = time.monotonic() + seconds
    if kind == "cpu":
        cpu(end, int(first), float(second))
    else:
        memory(end, int(first), float(second))


main()
