"""The pytest plugin, in a pytest of its own, as a team has it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parents[2] / "results" / "sample"


def test_a_stored_campaign_is_judged(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        def test_observed(self_healing):
            data = self_healing.judge({str(SAMPLE)!r}, require="observed")
            assert data.name == "sample"

        def test_unknown(self_healing):
            self_healing.judge("results/not-there")
        """
    )
    done = pytester.runpytest_subprocess()
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(["*is no campaign*"])


def test_a_missed_target_fails_with_every_verdict(pytester: pytest.Pytester, registered: Path) -> None:
    pytester.makepyfile(
        f"""
        def test_proven(self_healing):
            self_healing.judge({str(registered)!r})
        """
    )
    done = pytester.runpytest_subprocess()
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*standin-1: not every target is proven*", "FAIL  *"])


def test_a_small_matrix_runs(pytester: pytest.Pytester, standins: Callable[..., Path]) -> None:
    matrix = standins(repeats=1, lanes=2)
    pytester.makepyfile(
        f"""
        def test_it(self_healing, tmp_path):
            data = self_healing.run({str(matrix)!r}, only=["chaos=nothing"])
            assert len(data.table) == 2
            assert list((tmp_path / "results").iterdir())

        def test_wrong(self_healing):
            self_healing.run({str(matrix)!r}, only=["chaos=unknown"])
        """
    )
    done = pytester.runpytest_subprocess()
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(["*unknown*"])
