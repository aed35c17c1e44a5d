"""How long a trial's record takes from its evidence: 10 minutes at 40 requests/s, 60 series at 1 s, 5,000 log lines.

python -m benchmarks.derivation [--times 20]
"""

from __future__ import annotations

import argparse
import statistics
import time

from smartops_chaos.model import (
    Call,
    ChaosLevel,
    Evidence,
    FaultFact,
    FaultPart,
    Interval,
    LogLine,
    Request,
    Series,
    Slo,
    Trial,
)
from smartops_chaos.schema.healerfile import HealerFile, load
from smartops_chaos.timeline.derive import derive

_S = 1_000_000_000
_BEGIN_NS = 1_800_000_000 * _S
_LENGTH_S = 600
_SIGNAL = 'INFO:     10.0.0.1:3 - "POST /v1/signals/anomaly HTTP/1.1" 202 Accepted'
_LEVEL = ChaosLevel("cpu", (FaultPart("cpu-stress", "cpu", True, {}, {}),), "cpu", 580.0, "measured")


def evidence(healer: HealerFile) -> Evidence:
    """The service is bad for 80 s, two of three requests, and signals come all the time."""
    requests = []
    for n in range(40 * _LENGTH_S):
        lost = 800 < n < 4000 and n % 3
        requests.append(Request(_BEGIN_NS + n * _S // 40, 100_000, -1 if lost else 30_000_000, 0 if lost else 200))
    at_ns = [_BEGIN_NS + second * _S for second in range(_LENGTH_S)]
    values = tuple(float(second // 40) for second in range(_LENGTH_S))
    names = list(healer.metrics)
    series = [
        Series(names[n % len(names)], {"instance": f"i{n % 6}", "n": str(n)}, tuple(at + n for at in at_ns), values)
        for n in range(60)
    ]
    logs = [
        LogLine(_BEGIN_NS + n * _LENGTH_S * _S // 5000, "smartops-orchestrator", f"line {n}" if n % 50 else _SIGNAL)
        for n in range(5000)
    ]
    injected = _BEGIN_NS + 10 * _S
    return Evidence(
        Trial("cpu.steady.on.default.1", "measure", "cpu", "steady", "on", "default", 1, 1, 7),
        attempt=1,
        lane="lane-1",
        started_at="2026-11-24T00:00:00Z",
        slo=Slo(0.25, 0.95, 2.0),
        horizon_s=_LEVEL.horizon_s,
        stop_after_good_s=30.0,
        requests=tuple(requests),
        observed_until_ns=at_ns[-1],
        gate_passed=True,
        calls=(Call("inject", 0, Interval(injected, injected + 1_000_000), True),),
        faults=(FaultFact(0, "fault", True, "", ("smartops-erp-simulator/1",), None, ""),),
        series=tuple(series),
        scrape_s=0.01,
        logs=tuple(logs),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    healer = load("lab")
    found = evidence(healer)
    took_s, used_s = [], []
    for _ in range(parser.parse_args().times):
        begun, used = time.perf_counter(), time.process_time()
        derive(found, healer, "benchmark", _LEVEL)
        took_s.append(time.perf_counter() - begun)
        used_s.append(time.process_time() - used)
    middle_ms, most_ms = 1000 * statistics.median(took_s), 1000 * max(took_s)
    print(f"a record from its evidence: {middle_ms:.1f} ms (median of {len(took_s)}), {most_ms:.1f} ms at most")
    print(f"{'CPU, on a machine that is shared:':>26} {1000 * statistics.median(used_s):.1f} ms; wanted: under 50 ms")


if __name__ == "__main__":
    main()
