"""For a team's own tests: the fixture `self_healing`, which runs a small matrix or judges a stored campaign.

    def test_it_still_heals(self_healing):
        self_healing.judge("results/nightly-12")

pytest finds this module by its entry point. It loads nothing of the package before a test asks for the fixture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:
    from smartops_chaos.analysis.load import CampaignData
    from smartops_chaos.errors import ChaosError


@dataclass(frozen=True, slots=True)
class SelfHealing:
    results: Path  # folder of the campaigns that are run

    def run(self, matrix: str | Path, *, only: Sequence[str] = (), repeats: int | None = None) -> CampaignData:
        """Run a matrix, or a part of it, and load what came of it.

        The test fails if a trial ended in error, too many are invalid, or something could not be reverted.
        """
        from smartops_chaos import api
        from smartops_chaos.errors import ChaosError
        from smartops_chaos.run import campaign
        from smartops_chaos.run.run_options import RunOptions

        try:
            options = RunOptions(only=tuple(only), repeats=repeats)
            prepared, result = api.run(matrix, self.results, options)
            campaign.raise_for(result, prepared.store, prepared.selected)
            return api.load(prepared.store.path)
        except ChaosError as error:
            told = _words(error)
        pytest.fail(told, pytrace=False)

    def judge(
        self, campaign: str | Path | CampaignData, *, require: Literal["proven", "observed"] = "proven"
    ) -> CampaignData:
        """Fail the test unless the campaign, stored or just run, reached every target of every arm."""
        from smartops_chaos import api
        from smartops_chaos.errors import ChaosError
        from smartops_chaos.export import ci

        try:
            data = api.load(campaign) if isinstance(campaign, str | Path) else campaign
            passed, lines = ci.check(data.summary, require)
            if passed:
                return data
            told = "\n".join([f"{data.name}: not every target is {require}", *lines])
        except ChaosError as error:
            told = _words(error)
        pytest.fail(told, pytrace=False)


def _words(error: ChaosError) -> str:
    return f"{error}" + (f"\n{error.hint}" if error.hint else "")


@pytest.fixture
def self_healing(tmp_path: Path) -> SelfHealing:
    """Runs a small matrix, or judges a stored campaign: see docs/ci.md of smartops-chaos."""
    return SelfHealing(tmp_path / "results")
