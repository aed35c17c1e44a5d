"""python3 -c TEXT MARKED ID show|kill: the same as marked.sh, for containers without a shell."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator


def marked(mark: bytes) -> Iterator[tuple[int, str, str, str, str]]:
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open("/proc/" + name + "/cmdline", "rb") as file:
                if mark not in file.read():
                    continue
            with open("/proc/" + name + "/stat") as file:
                fields = file.read().rpartition(") ")[2].split()
            written = "0"
            with contextlib.suppress(OSError), open("/proc/" + name + "/fdinfo/9") as file:
                written = file.readline().split()[1]
            yield int(name), fields[0], fields[11], fields[12], written


def main() -> None:
    mark, kill = ("smartops-chaos-fault=" + sys.argv[2] + ";").encode(), sys.argv[3] == "kill"
    for attempt in range(100):
        found = list(marked(mark))
        if attempt == 0:
            for one in found:
                print(*one)
        if not kill or not found:
            return
        for one in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one[0], 9)
        time.sleep(0.01)
    sys.exit(1)


main()
