"""How the healer reads pods that come and go; the real thing is in tests/cluster."""

from __future__ import annotations

from kubernetes_healer import Counters, Totals, counters

from smartops_chaos.lab.smartops import detect
from smartops_chaos.lab.smartops.exposition import BUCKETS_S, Metrics

LENGTH = len(BUCKETS_S) + 1


def pod(requests: float, errors: float = 0, cpu_s: float = 0) -> Counters:
    return Counters(requests, errors, (requests,) * LENGTH, cpu_s, 0.25)


def test_a_pod_counts_from_its_second_look_on() -> None:
    totals = Totals()
    assert totals.add(1, {"a": pod(1000, 10, 50)}).requests == 0
    seen = totals.add(2, {"a": pod(1020, 11, 50.5), "b": pod(7)})
    assert (seen.requests, seen.errors, seen.buckets[-1], seen.cpu_s) == (20, 1, 20, {"a": 0.5, "b": 0})


def test_what_the_service_has_done_never_falls() -> None:
    totals = Totals()
    totals.add(1, {"a": pod(100, 0, 9), "b": pod(100, 0, 9)})
    totals.add(2, {"a": pod(110, 0, 10), "b": pod(110, 0, 10)})
    gone = totals.add(3, {"a": pod(120, 0, 11)})
    assert (gone.requests, gone.cpu_s, gone.memory) == (30, {"a": 2}, {"a": 0.25})
    restarted = totals.add(4, {"a": pod(3, 0, 0.1)})  # a new container in the same pod
    assert (restarted.requests, restarted.cpu_s) == (30, {"a": 2})
    again = totals.add(5, {"a": pod(13, 0, 0.6), "b": pod(115, 0, 10.5)})  # which had not answered for a while
    assert (again.requests, again.cpu_s["b"]) == (45, 1.5)
    assert detect.window([gone, again], 2) is not None


def test_an_exposition_is_read_as_the_erp_writes_it() -> None:
    metrics = Metrics()
    nothing = counters(metrics.render())
    assert nothing == Counters(0, 0, (0,) * LENGTH, 0, 0)
    metrics.inc("erp_simulator_requests_total", 5, method="POST", endpoint="/simulate/load")
    metrics.inc("erp_simulator_requests_total", 9, method="GET", endpoint="/healthz")
    metrics.inc("erp_simulator_errors_total", 2, endpoint="/simulate/load")
    metrics.observe("erp_simulator_load_duration_seconds", 0.03)
    metrics.set_counter("container_cpu_usage_seconds_total", 1.25)
    metrics.set("container_memory_working_set_bytes", 96e6)
    metrics.set("container_spec_memory_limit_bytes", 128e6)
    found = counters(metrics.render())
    assert (found.requests, found.errors, found.buckets[:3], found.buckets[-1], found.cpu_s) == (
        5,
        2,
        (0, 0, 1),
        1,
        1.25,
    )
    assert found.memory == 0.75
