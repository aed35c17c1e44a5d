"""Raw samples from real Prometheus servers, on blocks with known stamps and known flips."""

from __future__ import annotations

import random
from typing import Any

import pytest
from pydantic import TypeAdapter

from smartops_chaos.clock import Clock
from smartops_chaos.model import Series
from smartops_chaos.telemetry import prometheus

START_S = 1_700_000_000
MS = 1_000_000


def stamp_ns(seconds: float) -> int:
    return round((START_S + seconds) * 1000) * MS


@pytest.fixture(scope="module")
def url(stored: Any) -> str:
    lines = [f'signals_total{{kind="anomaly",namespace="ours"}} 1 {START_S + 0.25 + n}' for n in range(3, 6)]
    lines += [f'other_total{{kind="anomaly",namespace="ours"}} 1 {START_S + 0.25 + n}' for n in range(6)]
    lines += [f'other_total{{kind="anomaly",namespace="theirs"}} 1 {START_S + 0.25 + n}' for n in range(6)]
    lines += [f"temperature NaN {START_S + 0.25}", f"temperature +Inf {START_S + 1.25}"]
    lines += [f"up {int(n != 4)} {START_S + 0.25 + n}" for n in range(6)]
    lines += [f"scrape_duration_seconds {9 if n == 4 else 0.001 * (n + 1)} {START_S + 0.25 + n}" for n in range(6)]
    return str(stored(lines))


def test_samples_come_with_the_stamps_as_stored(url: str) -> None:
    names = ("signals_total", "absent_total")
    series, scrape_s = prometheus.fetch(url, names, stamp_ns(0), stamp_ns(10))
    found = {one.name: one for one in series}
    assert set(found) == {"signals_total", "up"}
    assert found["signals_total"].labels == {"kind": "anomaly", "namespace": "ours"}
    assert found["signals_total"].at_ns == tuple(stamp_ns(n + 0.25) for n in (3, 4, 5))
    assert found["up"].values == (1, 1, 1, 1, 0, 1)
    assert scrape_s == 0.006  # the failed scrape took 9 s, and brought nothing


def test_what_another_namespace_counts_is_not_ours(url: str) -> None:
    """A Prometheus of a whole cluster: another healer's anomaly would be taken for a detection."""
    asked = ("other_total", "up")
    whole, _ = prometheus.fetch(url, asked, stamp_ns(0), stamp_ns(10))
    assert sorted(one.labels.get("namespace", "") for one in whole) == ["", "ours", "theirs"]
    ours, _ = prometheus.fetch(url, asked, stamp_ns(0), stamp_ns(10), namespaces=["ours", "its-operator"])
    assert sorted(one.labels.get("namespace", "") for one in ours) == ["", "ours"]


def test_what_is_no_number_can_be_stored(url: str) -> None:
    series, _ = prometheus.fetch(url, ("temperature",), stamp_ns(0), stamp_ns(10))
    stored = TypeAdapter(tuple[Series, ...])
    assert repr(stored.validate_json(stored.dump_json(series))) == repr(series)


def test_a_name_is_matched_as_it_is_written(url: str) -> None:
    assert prometheus.fetch(url, ("signals.total", 'a"b', "a\\b"), stamp_ns(0), stamp_ns(10)) == ((), 0.0)
    found = prometheus.raw(url, prometheus.selector({"__name__": ["up"], "a": ['x"\\\n']}), 0, 5000)
    assert found == ()


def test_the_offset_of_a_clock_on_this_machine_encloses_zero(url: str) -> None:
    low, high = prometheus.offset_ns(url, Clock.anchored())
    assert low <= 0 <= high
    shifted = Clock(Clock.anchored().anchor_ns - 750 * MS)
    low, high = prometheus.offset_ns(url, shifted)
    assert low <= 750 * MS <= high


def test_a_refusal_and_a_dead_server_are_errors(url: str) -> None:
    with pytest.raises(prometheus.PrometheusError, match=r"refused sum\(: .*parse error"):
        prometheus.instant(url, "sum(")
    with pytest.raises(prometheus.PrometheusError, match="does not answer"):
        prometheus.instant("http://127.0.0.1:9", "1")


def test_half_an_answer_is_none(serve: Any, answer: Any) -> None:
    """Thanos answers with what it has and a warning."""
    body = '{"status": "success", "data": {"resultType": "matrix", "result": []}, "warnings": ["no store"]}'
    with (
        serve(lambda _: answer(body)) as url,
        pytest.raises(prometheus.PrometheusError, match="in part only: no store"),
    ):
        prometheus.fetch(url, ("a",), 0, 10**9)
    with serve(lambda _: answer("[]")) as url, pytest.raises(prometheus.PrometheusError, match="not answer like Prom"):
        prometheus.fetch(url, ("a",), 0, 10**9)


@pytest.mark.parametrize("offset_ms", [0, 1, 250, 999])
def test_pages_neither_lose_nor_double_a_sample(offset_ms: int, monkeypatch: Any, paged: Any) -> None:
    """A page's border falls on samples, just before and just after them; some pages are empty."""
    every, _ = paged
    monkeypatch.setattr(prometheus, "_PAGE_MS", 2_000)
    after = START_S * 1000 + offset_ms
    found = prometheus.raw(every, prometheus.selector({"__name__": ["dense"]}), after, after + 40_000)
    stamps = [START_S * 1000 + n for n in range(0, 60_000, 250) if not 10_000 <= n < 17_000]
    wanted = [at for at in stamps if after < at <= after + 40_000]
    assert len(found) == 2
    for one in found:
        assert [at // MS for at in one.at_ns] == wanted
        assert list(one.values) == [(at - START_S * 1000) / 250 for at in wanted]


def test_a_page_too_large_for_the_server_is_halved(paged: Any) -> None:
    every, tight = paged
    query = prometheus.selector({"__name__": ["dense"]})
    window = START_S * 1000 - 1, START_S * 1000 + 60_000
    assert prometheus.raw(tight, query, *window) == prometheus.raw(every, query, *window)
    with pytest.raises(prometheus.PrometheusError, match="too many samples"):
        prometheus.instant(tight, "dense[1m] @ 1700000060")


@pytest.fixture(scope="module")
def paged(stored: Any) -> tuple[str, str]:
    """240 samples a minute in each of two series, with a hole; and the same where only 60 may be loaded at once."""
    lines = [
        f'dense{{pod="{pod}"}} {n // 250} {START_S + n / 1000:.3f}'
        for pod in "ab"
        for n in range(0, 60_000, 250)
        if not 10_000 <= n < 17_000
    ]
    return stored(lines), stored(lines, "--query.max-samples=60")


@pytest.fixture(scope="module")
def stories(stored: Any) -> tuple[str, list[dict[str, Any]]]:
    """Counters of scraped processes whose true increases are known, with everything that can happen to a scrape."""
    chance = random.Random(7)
    lines: list[str] = []
    truth: list[dict[str, Any]] = []
    for n in range(60):
        kind = ("flip", "born", "reset", "missed", "vanished", "slow")[n % 6]
        period = chance.choice([1.0, 5.0, 15.0])
        duration = chance.uniform(0.5, 0.9) * min(period, 2.0) if kind == "slow" else chance.uniform(0.001, 0.02)
        phase = chance.uniform(0, period)
        flip = chance.uniform(20 * period, 30 * period)
        labels = f'job="j",instance="i{n}"'
        missed = set()
        if kind == "missed":
            missed = {chance.randrange(18, 32) for _ in range(8)}
        if kind == "vanished":  # the target is gone for a while, before, at or after the flip
            first = chance.randrange(18, 30)
            missed = set(range(first, first + 5))
        reset = chance.uniform(5 * period, 15 * period) if kind == "reset" else None
        counts, ups, durations = [], [], []
        for scrape in range(45):
            at = round(phase + scrape * period, 3)
            stamp = f"{START_S + at:.3f}"
            read_at = at + chance.uniform(0, duration)
            ups.append(f"up{{{labels}}} {int(scrape not in missed)} {stamp}")
            if scrape in missed:  # Prometheus notes the time-out, and marks the series stale
                durations.append(f"scrape_duration_seconds{{{labels}}} 10 {stamp}")
                continue
            durations.append(f"scrape_duration_seconds{{{labels}}} {duration} {stamp}")
            value = int(read_at >= flip) + (4 if reset and read_at < reset else 0)
            if value or kind not in ("born", "reset"):
                counts.append(f"c{n}_total{{{labels}}} {value} {stamp}")
        lines += counts + ups + durations
        truth.append({"kind": kind, "name": f"c{n}_total", "flip": flip, "period": period, "end": phase + 45 * period})
    by_name = sorted(lines, key=lambda line: line.partition("{")[0])
    return stored(by_name), truth


def test_the_true_moment_lies_in_the_interval_in_every_case(stories: Any, reading: Any) -> None:
    url, truth = stories
    widths = []
    for case in truth:
        series, scrape_s = prometheus.fetch(url, (case["name"],), stamp_ns(0), stamp_ns(700))
        found = reading({"increase": case["name"]}, stamp_ns(0), stamp_ns(700), series=series, scrape_s=scrape_s)
        true_ns = stamp_ns(case["flip"])
        assert len(found) == 1, (case, found)
        assert found[0].at.lo_ns <= true_ns <= found[0].at.hi_ns, (case, found)
        widths.append((found[0].at.hi_ns - found[0].at.lo_ns) / 1e9 / case["period"])
    assert sorted(widths)[len(widths) // 2] < 1.2  # of a scrape interval: an interval that says nothing is no art
