"""What a board shows is what happened: the monitor's real metrics, and a campaign's MTTR by its records."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean

import pytest
import requests
import write
from prometheus_client import CollectorRegistry

from smartops_chaos.lab.smartops.exposition import parse
from smartops_chaos.model import LogLine
from smartops_chaos.monitor.agents import AgentNumbers
from smartops_chaos.monitor.campaigns import CampaignMarks
from smartops_chaos.monitor.numbers import Numbers
from smartops_chaos.schema import healerfile
from tests.conftest import until
from tests.platform.conftest import ROOT
from tests.platform.promql import PAGES
from tests.telemetry.conftest import Answer, programs, prometheus_server, serving

_WANTED = 0.9  # dashboard accuracy: 1 - the error relative to the records


def _names(registry: CollectorRegistry) -> dict[str, str]:
    """Family -> its kind, also of those that have no sample yet."""
    return {family.name: family.type for family in registry.collect()}


def test_the_monitor_exports_what_rules_and_boards_read(tmp_path: Path) -> None:
    """Its page among the tests' pages has the families, and where there are samples the labels, of the real one."""
    numbers = Numbers("smartops-dev", "smartops-erp-simulator")
    agents = AgentNumbers(numbers.registry, healerfile.load("smartops"), "", "", tmp_path)
    numbers.faults({("smartops-dev", "pod-kill", "quick-1"): True})
    numbers.needless("restart")
    numbers.mttr({"zscore": {"estimate": 4.1, "low": 3.5, "high": 4.8}})
    for count in (1, 60, 130):  # the first scores are the reference
        window = {"end": 1_796_000_000.0}
        anomalies = [{"windowId": i, "score": 0.9, "modelVersion": "z", "tsRange": window} for i in range(count)]
        agents.signals({"anomalies": anomalies, "rcas": [{"confidence": 0.8, "modelVersion": "rules"}]})
    agents.audit({"events": []})
    restart = {"decision": "action", "action_plan": {"type": "restart", "target": {"name": "erp"}}, "evaluation_ms": 5}
    blocked = {"decision": "blocked", "guardrail_reason": "max_actions", "action_plan": {}}
    stamps = ("2026-11-30T10:00:00Z", "2026-11-30T10:00:01Z")
    agents.audit({"events": [one | {"ts_utc": at} for one, at in zip((restart, blocked), stamps, strict=True)]})
    for at_ms, line in ((500, "anomaly"), (900, "rca")):
        text = f'"POST /v1/signals/{line} HTTP/1.1" 202 Accepted'
        agents.line(LogLine(1_796_000_000_000_000_000 + at_ms * 1_000_000, "smartops-orchestrator", text))

    page = (PAGES / "monitor.txt").read_text(encoding="utf-8")
    kinds = {name.removesuffix("_total"): kind for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", page, re.M)}
    assert _names(numbers.registry) == kinds

    def labels(text: str) -> dict[str, set[str]]:
        return {name: {label for label, _ in of} for (name, of) in parse(text)}

    real = labels(numbers.text().decode())
    assert {name: of for name, of in labels(page).items() if name in real} == real


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Callable[[str], dict[tuple[str, ...], float]]]:
    """The panel's title -> what it shows of results/sample: a real Prometheus reads a real monitor's page."""
    results = tmp_path / "results"
    results.mkdir()
    (results / "sample").symlink_to(ROOT / "results" / "sample")
    numbers = Numbers("smartops-dev", "smartops-erp-simulator")
    numbers.mttr(CampaignMarks(results).mttr())
    found = programs()
    with serving(lambda _: Answer(numbers.text().decode())) as target:
        here = f'{{targets: ["{target.removeprefix("http://")}"], labels: {{namespace: smartops-dev}}}}'
        config = f"""\
global: {{scrape_interval: 1s}}
scrape_configs: [{{job_name: monitor, honor_labels: true, static_configs: [{here}]}}]
"""
        with prometheus_server(found.get("3") or found["2"], tmp_path, config) as address:

            def panel(title: str) -> dict[tuple[str, ...], float]:
                board = write.dashboard(next(one for one in write.BOARDS if one.uid == "smartops-slo"))
                (expr,) = [t["expr"] for p in board["panels"] if p["title"] == title for t in p["targets"]]
                query = {"query": expr.replace("$namespace", "smartops-dev")}

                def answer() -> list[dict[str, dict[str, str]]]:
                    got = requests.get(f"{address}/api/v1/query", params=query, timeout=10).json()
                    series: list[dict[str, dict[str, str]]] = got["data"]["result"]
                    return series

                return {(one["metric"]["arm"], one["metric"]["bound"]): float(one["value"][1]) for one in until(answer)}

            yield panel


def test_the_mttr_that_a_board_shows_is_that_of_the_records(
    shown: Callable[[str], dict[tuple[str, ...], float]], capsys: pytest.CaptureFixture[str]
) -> None:
    """From the trials table alone: of each arm the mean over its scenarios of the mean time."""
    times: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with (ROOT / "reports" / "sample" / "trials.csv").open(encoding="utf-8") as file:
        for trial in csv.DictReader(file):
            if trial["phase"] == "measure":
                times[trial["model"]][trial["chaos"]].append(float(trial["time_s"]))
    records = {arm: fmean(fmean(one) for one in of.values()) for arm, of in times.items()}
    now = shown("MTTR of the last campaign")
    with_bounds = shown("The last campaign: MTTR of each arm with its bounds")
    assert {arm for arm, _ in now} == set(records)
    accuracy = {arm: 1 - abs(now[arm, "estimate"] - mttr_s) / mttr_s for arm, mttr_s in records.items()}
    with capsys.disabled():
        print(" dashboard accuracy:", ", ".join(f"{arm} {share:.1%}" for arm, share in accuracy.items()))
    assert min(accuracy.values()) >= _WANTED
    for arm, mttr_s in records.items():
        assert with_bounds[arm, "low"] <= mttr_s <= with_bounds[arm, "high"]
