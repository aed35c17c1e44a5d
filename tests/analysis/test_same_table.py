"""The same trials in another order, under other names or in another unit of time give the same numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smartops_chaos import api
from smartops_chaos.analysis.load import Measured, measured
from smartops_chaos.analysis.question import Question
from smartops_chaos.analysis.summarise import summarise, to_json
from smartops_chaos.analysis.table import LEVELS, from_records
from smartops_chaos.model import MOMENTS, Arm
from smartops_chaos.store.campaign_folder import CampaignFolder

SAMPLE = Path(__file__).resolve().parents[2] / "results" / "sample"
BASELINE = Arm("m0", "p0")
RARE = ("invalid", "error", "prevented", "no_effect", "harmed")
# Sorted the other way round than the names that they stand for, and as awkward as in a file of somebody else.
AWKWARD = ("~ NA", 'y "x", z', "x/y", "w=v,u", "Ü", "0.5", "- 1", "$none")
SENTENCES = ("why", "says", "warnings")  # they name levels in the order of the names
IDENTITY = ("arm", "model", "policy", "target", "scope", "scenario", "chaos", "workload")
tables = settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
seeds = st.integers(0, 10_000)


def drawn(seed: int) -> pd.DataFrame:
    """Up to 3 faults, 2 workloads and 4 arms in cells of unlike size; some columns are not there."""
    draw = np.random.default_rng(seed)
    most, twice = int(draw.integers(2, 9)), draw.random() < 0.2  # a table may hold two campaigns
    arms = [("m0", "p0"), ("m1", "p0"), ("m0", "p1"), ("m1", "p1")]
    rows = []
    for chaos, workload in np.ndindex(int(draw.integers(1, 4)), int(draw.integers(1, 3))):
        horizon_s = 64.0 / (1 + chaos % 2)
        for model, policy in arms[: draw.integers(2, 5)]:
            level = {"chaos": f"c{chaos}", "workload": f"w{workload}", "model": model, "policy": policy}
            for n in range(draw.integers(1, most + 1)):
                rows.append(level | {"repeat": 1 + n % 3 if twice else 1 + n} | row(draw, horizon_s))
    made = pd.DataFrame(rows).assign(trial=[f"t{n}" for n in range(len(rows))])
    return made.drop(columns=[c for c in ("repeat", "bad_seconds", "ttr_impact_s", "flags") if draw.random() < 0.2])


def row(draw: np.random.Generator, horizon_s: float) -> dict[str, Any]:
    """Times are whole parts of the horizon, so that another unit rounds nothing."""
    outcome = str(draw.choice(RARE) if draw.random() < 0.2 else draw.choice(["healed", "platform", "unrecovered"]))
    time_s = {"prevented": 0.0, "no_effect": 0.0, "unrecovered": horizon_s, "invalid": math.nan, "error": math.nan}.get(
        outcome, float(draw.integers(1, 1024)) / 1024 * horizon_s
    )
    made = {"outcome": outcome, "time_s": time_s, "horizon_s": horizon_s, "bad_seconds": time_s / 2}
    made |= {
        "ttr_impact_s": time_s * 0.75,
        "rca_expected": "cpu|net",
        "rca_top1": str(draw.choice(["cpu", "disk", ""])),
    }
    made |= {"actions": 1, "actions_failed": int(draw.integers(0, 2)), "flags": str(draw.choice(["", "contested"]))}
    for moment, share in zip(MOMENTS[1:], np.sort(draw.random(len(MOMENTS) - 1)), strict=True):
        at_s = math.nan if draw.random() < 0.3 else share * time_s
        made |= {f"{moment}_lo_s": at_s, f"{moment}_hi_s": at_s + horizon_s / 256}
    return made


def reported(made: pd.DataFrame, folder: Path, baseline: Arm = BASELINE) -> dict[str, Any]:
    """What `report --json` says of a bare table."""
    made.to_csv(folder / "trials.csv", index=False)
    return to_json(api.load(folder / "trials.csv", baseline=baseline).summary)


def renamed(made: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """The table under other names, and what each of them was."""
    levels = sorted({level for column in LEVELS for level in made[column]})
    new = {level: f"{AWKWARD[n % len(AWKWARD)]}{99 - n}" for n, level in enumerate(levels)}
    return made.assign(**{c: made[c].map(new) for c in LEVELS}), {name: level for level, name in new.items()}


def named_back(found: Mapping[str, Any], was: Mapping[str, str]) -> dict[str, Any]:
    text = json.dumps(found)
    for name, level in was.items():
        text = text.replace(json.dumps(name)[1:-1], level)
    back: dict[str, Any] = json.loads(text)
    return back


def longer(made: pd.DataFrame, factor: float) -> pd.DataFrame:
    seconds = [c for c in made if c.endswith("_s") or c in ("bad_seconds", "unknown_seconds")]
    return made.assign(**{c: made[c] * factor for c in seconds})


def assert_same(one: Any, other: Any, factor: float = 1.0, where: str = "") -> None:
    """Equal but for sentences and the order of what has a name; a number may be `factor` times as large: seconds."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one.keys() - set(SENTENCES):
            assert_same(one[key], other[key], factor, f"{where} {key}")
    elif isinstance(one, list):
        assert len(one) == len(other), where
        for first, second in zip(by_name(one), by_name(other), strict=True):
            assert_same(first, second, factor, f"{where} {name_of(first)}")
    elif isinstance(one, float | int):
        assert other in (pytest.approx(one, rel=1e-6, abs=1e-9), pytest.approx(factor * one, rel=1e-6)), where
    else:
        assert one == other, where


def by_name(listed: list[Any]) -> list[Any]:
    return sorted(listed, key=name_of) if all(isinstance(one, dict) for one in listed) else listed


def name_of(one: Any) -> str:
    return json.dumps([one.get(key) for key in IDENTITY]) if isinstance(one, dict) else ""


@tables
@given(seed=seeds)
def test_the_order_of_rows_says_nothing(seed: int, tmp_path: Path) -> None:
    made = drawn(seed)
    found, other = reported(made, tmp_path), reported(made.sample(frac=1, random_state=seed), tmp_path)
    assert_same(found, other)
    assert found["warnings"] == other["warnings"]


@tables
@given(seed=seeds)
def test_names_of_levels_say_nothing(seed: int, tmp_path: Path) -> None:
    made = drawn(seed)
    other, was = renamed(made)
    baseline = Arm(*({level: name for name, level in was.items()}[one] for one in (BASELINE.model, BASELINE.policy)))
    found, back = reported(made, tmp_path), named_back(reported(other, tmp_path, baseline), was)
    assert_same(found, back)
    assert len(found["warnings"]) == len(back["warnings"])


@tables
@given(seed=seeds, factor=st.sampled_from([1000.0, 0.001]))
def test_the_unit_of_time_says_nothing(seed: int, factor: float, tmp_path: Path) -> None:
    made = drawn(seed)
    found, other = reported(made, tmp_path), reported(longer(made, factor), tmp_path)
    assert_same(found, other, factor)
    assert_same(found["verdicts"], other["verdicts"])
    for one, two in zip(found["comparisons"], other["comparisons"], strict=True):
        assert_same(one["mttr_reduction"], two["mttr_reduction"])
    assert len(found["warnings"]) == len(other["warnings"])


@pytest.fixture(scope="module", name="stored")
def stored_fixture() -> Measured:
    return measured([CampaignFolder(SAMPLE)])


def numbers(trials: pd.DataFrame, question: Question) -> dict[str, Any]:
    return to_json(summarise(trials, question, campaign="sample"))


def test_stored_records_in_another_order_say_the_same(stored: Measured) -> None:
    backwards = {str(name): record for name, record in reversed(stored.records.items())}
    assert_same(numbers(stored.table, stored.asked), numbers(from_records(backwards), stored.asked))


def test_stored_records_under_other_names_say_the_same(stored: Measured) -> None:
    other, was = renamed(stored.table)
    new = {level: name for name, level in was.items()}

    def arm(one: Arm) -> Arm:
        return Arm(new[one.model], new[one.policy])

    asked = stored.asked
    question = replace(
        asked,
        baseline=arm(asked.baseline),
        weights={new[chaos]: weight for chaos, weight in asked.weights.items()},
        because={new[chaos]: why for chaos, why in asked.because.items()},
        cells=frozenset((new[chaos], new[workload], arm(one)) for chaos, workload, one in asked.cells),
        references={arm(one): kind for one, kind in asked.references.items()},
    )
    assert_same(numbers(stored.table, asked), named_back(numbers(other, question), was))


@pytest.mark.parametrize("factor", [1000.0, 0.001])
def test_stored_records_in_another_unit_say_the_same(stored: Measured, factor: float) -> None:
    trials = stored.table[stored.table["phase"] == "measure"]  # how true a clock is, is a matter of seconds
    asked = stored.asked
    assert asked.sla is not None
    sla = replace(asked.sla, window_s=factor * asked.sla.window_s, repair_s=factor * asked.sla.repair_s)
    found, other = numbers(trials, asked), numbers(longer(trials, factor), replace(asked, sla=sla))
    assert_same(found, other, factor)
    assert_same(found["verdicts"], other["verdicts"])
