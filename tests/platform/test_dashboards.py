"""The dashboards are what the code writes, keep the rules, and a real Prometheus answers every query."""

from __future__ import annotations

import json
import math
import re
import subprocess
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import requests
import write
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.platform.promql import exported, promtool, recorded, rule_files, scraped, series_names
from tests.telemetry.conftest import programs, prometheus_server

_FILES = sorted(write.JSON.glob("*.json"))
_BOARDS: dict[str, dict[str, Any]] = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in _FILES}
_LARGEST = 60_000  # bytes: a chart's release has one megabyte for all of it
_VARIABLES = {"$__rate_interval": "1m", "$__interval_ms": "15000", "$__interval": "15s"}


class Asked(NamedTuple):
    board: str
    panel: str
    expr: str

    @property
    def filled(self) -> str:
        return self.of(".*")

    def of(self, namespace: str) -> str:
        """The query as Grafana sends it, of one namespace or of those that match."""
        text = self.expr.replace("$namespace", namespace)
        for variable, value in _VARIABLES.items():
            text = text.replace(variable, value)
        return text


def _asked() -> Iterator[Asked]:
    for uid, board in _BOARDS.items():
        for panel in board["panels"]:
            for target in panel["targets"]:
                yield Asked(uid, panel["title"], target["expr"])
        for mark in board["annotations"]["list"]:
            yield Asked(uid, mark["name"], mark["expr"])


QUERIES = list(_asked())


def test_the_files_are_what_the_code_writes() -> None:
    wanted = write.files()
    assert {path for path in wanted if path.parent == write.JSON} == set(_FILES)
    for path, text in wanted.items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run python platform/dashboards/write.py"


@pytest.fixture(params=_BOARDS, ids=str)
def board(request: pytest.FixtureRequest) -> dict[str, Any]:
    return _BOARDS[request.param]


def test_what_grafana_reads_is_all_that_there_is(board: dict[str, Any]) -> None:
    """What is lost on the way through Grafana's own types is unknown to Grafana."""
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(board)))
    for mark in read["annotations"]["list"]:  # known to Prometheus' plug-in, not to the types
        mark["titleFormat"] = write.MARK_TEXTS[mark["name"]]
    assert read == board


def test_a_board_has_what_the_house_wants(board: dict[str, Any]) -> None:
    assert re.fullmatch(r"smartops-[a-z]+", board["uid"])
    assert board["uid"] == next(file.stem for file in _FILES if file.stem == board["uid"])
    assert board["description"].endswith(".")
    assert board["refresh"]
    assert [link["tags"] for link in board["links"]] == [["smartops"]] == [board["tags"]]
    assert all(link["keepTime"] and link["includeVars"] for link in board["links"])
    assert {mark["name"] for mark in board["annotations"]["list"]} == {"Faults", "Recoveries"}
    assert [one["name"] for one in board["templating"]["list"]] == ["prometheus", "namespace"]
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(numbers) == len(set(numbers))
    titles = [panel["title"] for panel in board["panels"]]
    assert len(titles) == len(set(titles))


def test_a_panel_says_what_it_shows_in_which_unit(board: dict[str, Any]) -> None:
    for panel in board["panels"]:
        assert panel["title"], board["uid"]
        assert len(panel["description"]) > 15, panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]


def test_panels_do_not_overlap_and_leave_no_hole(board: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert all(0 <= x < 24 for x, _ in cells), panel["title"]
        taken |= cells
    assert len(taken) == 24 * (1 + max(y for _, y in taken)), board["uid"]


def test_a_data_source_is_named_by_the_variable_alone() -> None:
    for file in _FILES:
        uids = re.findall(r'"datasource": \{[^}]*"uid": "([^"]*)"', file.read_text(encoding="utf-8"))
        assert uids
        assert set(uids) == {"${prometheus}"}, file.name


def test_each_board_is_small_enough_for_a_release() -> None:
    assert {file.name: file.stat().st_size for file in _FILES if file.stat().st_size > _LARGEST} == {}


@pytest.mark.parametrize("asked", QUERIES, ids=lambda a: f"{a.board}:{a.panel}")
def test_a_query_reads_what_is_real_in_the_chosen_namespace(asked: Asked) -> None:
    unknown = series_names(asked.filled) - exported() - recorded() - {"ALERTS"}
    assert not unknown
    selectors = [
        part for name in series_names(asked.filled) for part in re.findall(rf"\b{name}\b(\{{[^}}]*)?", asked.expr)
    ]
    assert all("$namespace" in selector for selector in selectors)


def test_one_panel_leads_to_traces() -> None:
    with_traces = [t["expr"] for b in _BOARDS.values() for p in b["panels"] for t in p["targets"] if t.get("exemplar")]
    assert with_traces
    assert all("_bucket" in expr for expr in with_traces)  # exemplars are on buckets


# What the pages say, told every 15 s for an hour: a counter grows from nothing to twice its value, a gauge stays. Every
# five minutes there is an incident of 60 s, and some time after it a fault, so that the one is not the other's.
_START, _STEP_S, _TIMES = 1_800_000_000, 15, 240
_END = _START + _STEP_S * (_TIMES - 1)
_NOW_AND_THEN = {"smartops_chaos_incident_active": range(4), "smartops_chaos_fault_active": range(8, 12)}
_HERE = 'namespace="smartops-dev"'


def _history() -> Iterator[str]:
    """The pages as OpenMetrics with times, a name after the other."""
    samples: dict[str, list[tuple[str, float]]] = {
        "ALERTS": [(f'alertname="SmartOpsSlaBreach",alertstate="firing",severity="critical",{_HERE}', 1)]
    }
    for name, labels, value in scraped("smartops-dev"):
        samples.setdefault(name, []).append((labels, value))
    for name, family in sorted(samples.items()):
        grows = name.endswith(("_total", "_bucket", "_count", "_sum"))
        for labels, value in family:
            for i in range(_TIMES):
                now = 2 * value * i / _TIMES if grows else value
                if name in _NOW_AND_THEN:
                    now = float(i % 20 in _NOW_AND_THEN[name])
                yield f"{name}{{{labels}}} {now} {_START + i * _STEP_S}"


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], list[dict[str, Any]]]]:
    """A real Prometheus over an hour of the pages and of what the rules record of them: PromQL to its answer."""
    found = programs()
    program = found.get("3") or found.get("2")
    if program is None:
        pytest.fail("prometheus is missing: ./script/setup dev installs it")
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "metrics").write_text("\n".join([*_history(), "# EOF", ""]), encoding="utf-8")

    def blocks_from(*arguments: object) -> None:
        command = [promtool(), "tsdb", "create-blocks-from", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    blocks_from("openmetrics", folder / "metrics", folder / "data")
    old = "--storage.tsdb.retention.time=100y"
    for part in ("first", "second"):  # what is recorded of recorded series needs those first
        with prometheus_server(program, folder, "global: {}\n", old) as address:
            where = [f"--start={_START}", f"--end={_END}", f"--url={address}", f"--eval-interval={_STEP_S}s"]
            blocks_from("rules", *where, f"--output-dir={folder / part}", *rule_files())
        for block in (folder / part).iterdir():
            block.rename(folder / "data" / block.name)
    with prometheus_server(program, folder, "global: {}\n", old) as address:

        def query(text: str) -> list[dict[str, Any]]:
            when = {"start": _END - 1800, "end": _END, "step": _STEP_S}
            got = requests.get(f"{address}/api/v1/query_range", params={"query": text, **when}, timeout=60)
            assert got.ok, got.text
            found: list[dict[str, Any]] = got.json()["data"]["result"]
            return found

        yield query


@pytest.mark.parametrize("asked", QUERIES, ids=lambda a: f"{a.board}:{a.panel}")
def test_a_query_has_an_answer(asked: Asked, ask: Callable[[str], list[dict[str, Any]]]) -> None:
    series = ask(asked.filled)
    assert series, asked.filled
    assert any(math.isfinite(float(value)) for one in series for _, value in one["values"]), asked.filled


def test_a_legend_names_labels_that_the_answer_has(ask: Callable[[str], list[dict[str, Any]]]) -> None:
    for uid, board in _BOARDS.items():
        for panel in board["panels"]:
            for target in panel["targets"]:
                for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                    series = ask(Asked(uid, panel["title"], target["expr"]).filled)
                    assert all(label in one["metric"] for one in series), f"{uid}, {panel['title']}: {label}"
