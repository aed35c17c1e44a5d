"""How late a query is, asked of real Prometheus servers of both versions, and of stores that have no rules."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from smartops_chaos.telemetry import lateness, prometheus
from smartops_chaos.telemetry.connection import connection

CONFIG = """\
global: {scrape_interval: 7s, evaluation_interval: 11s}
rule_files: [rules.yml]
scrape_configs: [{job_name: self, static_configs: [{targets: ['127.0.0.1:1']}]}]
"""
RULES = """\
groups:
- name: slow
  interval: 30s
  rules: [{record: 'job:ok:ratio_rate5m', expr: 'sum(rate(ok_total[5m])) / sum(rate(all_total[5m]))'}]
- name: twice
  rules: [{record: plain_name, expr: 'avg_over_time(job:ok:ratio_rate5m[1m])'}]
"""


@pytest.fixture(scope="module")
def server(program: str, run_prometheus: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("late")
    (folder / "rules.yml").write_text(RULES, encoding="ascii")
    with run_prometheus(program, folder, CONFIG) as url:
        deadline = time.monotonic() + 20
        while not prometheus.data(connection(url), "/api/v1/targets", {})["activeTargets"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield url


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        ("min(up)", 7),
        ("rate(ok_total[10s])", 17),
        ("job:ok:ratio_rate5m > 0", 300 + 30 + 7),
        ("plain_name", 60 + 11 + 300 + 30 + 7),  # a rule on a rule, named like any other series
        ('{__name__="job:ok:ratio_rate5m"}', 337),
        ('sum(rate(ok_total{path="job:ok:ratio_rate5m [1h]"}[10s])) # [1d]', 17),
    ],
)
def test_ranges_rules_and_intervals_all_count(server: str, query: str, seconds: float) -> None:
    assert lateness.of_query(server, query).seconds == seconds


def test_an_understated_lag_is_told_with_the_right_one(server: str) -> None:
    assert lateness.understated(server, "job:ok:ratio_rate5m", 337) is None
    told = lateness.understated(server, "job:ok:ratio_rate5m", 60)
    assert told is not None
    assert "can show a change 337s late, and not 1m" in told[0]
    assert "a rule writes job:ok:ratio_rate5m every 30s" in told[0]
    assert "`lag: 337s`" in told[1]


def test_a_query_that_prometheus_cannot_parse(server: str) -> None:
    with pytest.raises(prometheus.PrometheusError, match="cannot parse rate"):
        lateness.of_query(server, "rate(ok_total[10s)")


def test_a_store_without_rules_targets_and_parser_leaves_the_ranges(serve: Any, answer: Any) -> None:
    with serve(lambda _: answer(json.dumps({"status": "error"}), 404)) as url:
        assert lateness.of_query(url, "rate(ok_total[10s])").seconds == 10
