"""A month of the monitor in minutes: what it keeps on disk and in memory.

    python -m benchmarks.month_of_monitor [DAYS]

The real store, finder, sources and rules get what the probe and the recorder of a cluster would have written: 5
requests a second; every 10 s the API server's clock and a line of the healer's that a rule matches; 20 outages a day,
of which half are healed and some last beyond the horizon; an action a day for nothing. Only time is made up.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

from smartops_chaos.clock import Clock
from smartops_chaos.model import Request
from smartops_chaos.monitor import pods, probe
from smartops_chaos.monitor.campaigns import CampaignMarks
from smartops_chaos.monitor.segments import SegmentWriter
from smartops_chaos.monitor.standing import StandingMonitor
from smartops_chaos.schema import monitorfile
from smartops_chaos.store import request_log
from smartops_chaos.store.incident_book import IncidentBook

S = 10**9
DAY_S = 86_400
PER_S, STEP_S, _SAYS_EVERY_S = 5, 300, 10
FILE = """\
version: 1
namespace: shop
service: erp
healer: lab-kubernetes
url: http://127.0.0.1:9
rate: 5/s
slo: {latency: 250ms, objective: 95%, hold: 10s}
settle: 30s
horizon: 15m
cluster: {}
"""
_HEALER, _TARGET = "smartops-orchestrator", "shop/erp"
_ANOMALY = 'INFO:     10.0.0.9:1 - "POST /v1/signals/anomaly HTTP/1.1" 202 Accepted'


def outages(days: int, chance: random.Random) -> list[tuple[int, int, bool]]:
    """Begin and end in seconds, and whether the healer ends it."""
    found = []
    for day in range(days):
        at = day * DAY_S
        for _ in range(20):
            at += chance.randint(600, 3_000)
            lasts = chance.choice([20, 40, 90, 300, 1_100])
            found.append((at, at + lasts, chance.random() < 0.5))
            at += lasts
    return found


def restart(second: int) -> list[tuple[int, str]]:
    return [
        (second, f"ClosedLoopManager: executing restart on {_TARGET} (attempt=0 windowId={second})"),
        (second + 1, f"Action completed: type=restart target=Deployment {_TARGET} status=success"),
    ]


def main(days: int) -> None:
    chance = random.Random(1)
    known = outages(days, chance)
    acts = dict[int, str]()
    for begin, end, healed in known:
        acts[begin + 5] = _ANOMALY
        if healed:
            acts |= dict(restart(end - 6))
    for day in range(days):
        acts |= dict(restart(day * DAY_S + 300))  # all is well then
    bad = iter(known)
    now_bad = next(bad, None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "monitor.yaml"
        file.write_text(FILE)
        book = IncidentBook(folder / "watched")
        book.raw.mkdir(parents=True)
        clock = Clock.anchored()
        monitor = StandingMonitor(monitorfile.load(file), folder, book, clock, CampaignMarks(None))
        begin_ns = clock.now_ns()
        requests, cluster = SegmentWriter(book.raw, probe.KIND, "csv"), SegmentWriter(book.raw, pods.KIND, "ndjson")
        begun_s, largest = time.monotonic(), 0
        for step in range(days * DAY_S // STEP_S):
            sent, told = [], []
            for second in range(step * STEP_S, (step + 1) * STEP_S):
                while now_bad and second >= now_bad[1]:
                    now_bad = next(bad, None)
                status = 500 if now_bad and now_bad[0] <= second else 200
                at_ns = begin_ns + second * S
                for i in range(PER_S):
                    late, took = chance.randint(0, 300_000), chance.randint(3_000_000, 30_000_000)
                    sent.append(request_log.line(Request(at_ns + i * S // PER_S, late, took, status)))
                if second % _SAYS_EVERY_S and second not in acts:
                    continue
                text = acts.get(second, 'SIGNAL_RAW | kind=rca | data={"rankedCauses": []}')
                line = {"at": at_ns, "log": _HEALER, "uid": "pod-1", "stamp": at_ns, "text": text, "live": True}
                told += [{"at": at_ns, "server": [at_ns - S, at_ns + S, at_ns // S]}, line]
            requests.write("".join(sent))
            cluster.write("".join(json.dumps(one) + "\n" for one in told))
            monitor.turn(begin_ns + (step + 1) * STEP_S * S)
            monitor.state()
            if step % 12 == 0:
                largest = max(largest, sum(one.stat().st_size for one in book.path.rglob("*") if one.is_file()))
        memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        parts = {
            part: sum(one.stat().st_size for one in book.path.glob(pattern)) / 1e6
            for part, pattern in (
                ("requests", "raw/requests-*"),
                ("cluster", "raw/cluster-*"),
                ("lines", "raw/lines-*"),
                ("evidence", "evidence/*"),
                ("incidents", "incidents.ndjson"),
            )
        }
        print(f"{days} days in {(time.monotonic() - begun_s) / 60:.1f} minutes")
        print(f"{len(monitor.incidents)} incidents on record of {len(known)}, {len(monitor.needless)} needless actions")
        print(f"disk: {largest / 1e6:.0f} MB at most, at the end", {part: round(mb, 1) for part, mb in parts.items()})
        print(f"memory: {memory_mb:.0f} MB at most")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
