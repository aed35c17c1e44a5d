"""monitor.yaml: what is taken, and what is refused with its place and what to do about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos.errors import FileProblems
from smartops_chaos.schema import monitorfile

ROOT = Path(__file__).parents[2]
GOOD = """\
version: 1
namespace: shop
service: erp
healer: lab
url: http://127.0.0.1:8000
slo: {latency: 250ms, objective: 95%, hold: 10s}
"""
QUERY = 'slo: {query: "vector(1)", at_least: 1, every: 1s, hold: 10s}'


def load(tmp_path: Path, text: str) -> monitorfile.MonitorFile:
    file = tmp_path / "monitor.yaml"
    file.write_text(text)
    return monitorfile.load(file)


def test_what_is_not_said_has_a_default(tmp_path: Path) -> None:
    found = load(tmp_path, GOOD)
    assert (found.rate, found.settle, found.horizon, found.listen) == (5.0, 30.0, 900.0, "127.0.0.1:9109")
    assert found.slo.slo().fewest == 40
    assert found.results == ""


@pytest.mark.parametrize(
    ("was", "now", "says"),
    [
        ("url: http://127.0.0.1:8000\n", "", "add `url`"),
        ("url: http://127.0.0.1:8000", "url: 127.0.0.1:8000", "monitor.yaml:5:6: url: not an address"),
        ("95%", "99%", "200 are needed"),
        ("hold: 10s", "hold: 10", "monitor.yaml:6:"),
        ("healer: lab", "healer: lab\nhorizont: 5m", "did you mean `horizon`"),
        ("healer: lab", "healer: lab\nlisten: here", "write host:port"),
        ("healer: lab", "healer: lab\nrate: 100/s\nhorizon: 5h", "too many, 150000"),
        ("slo: {latency: 250ms, objective: 95%, hold: 10s}", QUERY, "add `prometheus`"),
        ("slo: {latency: 250ms, objective: 95%, hold: 10s}", f"{QUERY}\nprometheus: http://p:9090", "remove `url`"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, was: str, now: str, says: str) -> None:
    assert was in GOOD
    with pytest.raises(FileProblems) as failed:
        load(tmp_path, GOOD.replace(was, now))
    assert says in str(failed.value)


def test_the_schema_knows_every_key_and_the_guide_shows_no_other(tmp_path: Path, cli: Any) -> None:
    schema = json.loads(cli("monitor", "--schema").stdout)
    assert set(schema["properties"]) == set(monitorfile.MonitorFile.model_fields)
    guide = (ROOT / "docs" / "monitor.md").read_text(encoding="utf-8")
    example = guide.split("```yaml\n")[1].split("```")[0]
    found = load(tmp_path, example)
    assert found.service == "smartops-erp-simulator"
