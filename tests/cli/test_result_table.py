"""The answer of a campaign in a terminal, at any width and with or without colours."""

from __future__ import annotations

import re
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from smartops_chaos import api
from smartops_chaos.analysis.summary import Summary
from smartops_chaos.cli.result_table import left_over, next_command, result_table, verdicts_in_a_line

SAMPLE = Path(__file__).parents[2] / "results" / "sample"


@pytest.fixture(scope="module")
def sample() -> Summary:
    return api.glance(SAMPLE)


def drawn(summary: Summary, width: int, *, colours: bool = False) -> str:
    out = StringIO()
    Console(file=out, width=width, force_terminal=colours, no_color=not colours).print(result_table(summary))
    return out.getvalue()


def words(text: str) -> set[str]:
    return set(re.findall(r"[\w.%]+", text))


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_fits_its_width_and_says_the_same_at_each(sample: Summary, width: int) -> None:
    told = drawn(sample, width)
    assert max(map(len, told.splitlines())) <= width
    assert words(told) == words(drawn(sample, 200))


def test_each_number_has_its_verdict_beneath_it(sample: Summary) -> None:
    lines = drawn(sample, 120).splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("zscore"))
    assert lines[at].split()[1] == f"{sample.arms[1].mttr.rmst_s:.2f}"
    assert "60 of 60" in lines[at]
    verdicts = [v.verdict for v in sample.verdicts if v.arm.model == "zscore"]
    assert re.split(r"\s{2,}", lines[at + 1].strip()) == verdicts
    assert lines[-1].startswith("off")
    assert "the baseline" in lines[-1]


def test_colours_only_where_there_are_some(sample: Summary) -> None:
    assert "\x1b" not in drawn(sample, 80)
    assert "\x1b[1;32mproven" in drawn(sample, 80, colours=True)


def test_of_many_arms_the_best_are_shown_and_the_rest_counted(sample: Summary) -> None:
    arms = tuple(replace(sample.arms[1], model=f"m{n}") for n in range(20))
    many = replace(sample, arms=(*arms, sample.arms[0]))
    assert left_over(many) == 9
    assert len(re.findall(r"^m\d+", drawn(many, 80), re.MULTILINE)) == 12
    assert left_over(sample) == 0


def test_the_next_command_is_the_first_that_runs_as_it_stands(sample: Summary) -> None:
    weak = ("see `smartops-chaos derive --explain TRIAL`", "`smartops-chaos run a.yaml --repeats 9` would prove it")
    assert next_command(replace(sample, warnings=weak)) == "smartops-chaos run a.yaml --repeats 9"
    assert next_command(replace(sample, warnings=weak[:1])) == ""


def test_a_line_an_arm_for_status(sample: Summary) -> None:
    (line,) = verdicts_in_a_line(sample)
    assert str(line).startswith("zscore: MTTR reduction ")
    assert str(line).count("proven") == sum(v.verdict == "proven" for v in sample.verdicts)
