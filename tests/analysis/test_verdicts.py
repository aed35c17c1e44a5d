"""What is proven, observed, missed or undecidable, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from smartops_chaos.analysis import table
from smartops_chaos.analysis.question import Question
from smartops_chaos.analysis.summarise import summarise
from smartops_chaos.analysis.summary import Summary, Verdict
from smartops_chaos.analysis.verdicts import holm
from smartops_chaos.model import Arm, Sla, Targets

Trials = Callable[..., list[dict[str, Any]]]
Rows = list[dict[str, Any]]
ASKED = Question(Arm("off", "default"), because={"kill": "on-call answers by then"})


def judged(rows: Rows, question: Question = ASKED) -> Summary:
    return summarise(table.from_rows(rows), question, campaign="test")


def verdict(rows: Rows, target: str, question: Question = ASKED) -> Verdict:
    return next(v for v in judged(rows, question).verdicts if v.target == target)


def test_holm_by_hand() -> None:
    # Holm 1979, the sequentially rejective procedure: 4 x 0.005, 3 x 0.01, 2 x 0.03, then no smaller than before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@settings(max_examples=20)  # theirs collects garbage at each call, in a large process for half a second
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_agrees_with_statsmodels(p: list[float]) -> None:
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1].tolist())


def test_a_large_clear_effect_is_proven(trials: Trials) -> None:
    rows = trials("off", [80, 90, 100, 100, 100] * 12) + trials("on", [5, 6, 7, 8, 9] * 12)
    reduction = verdict(rows, "mttr_reduction")
    assert reduction.verdict == "proven"
    assert reduction.value == pytest.approx(1 - 7 / 94)
    assert reduction.bound is not None
    assert reduction.bound > 0.4
    assert reduction.why.startswith("the mean time to recover is reduced by 92.6 % (95 % interval")
    assert verdict(rows, "auto_heal").verdict == "proven"


def test_without_a_reason_for_the_horizon_nothing_is_proven(trials: Trials) -> None:
    rows = trials("off", [80, 90, 100, 100, 100] * 12, bad_seconds=100) + trials(
        "on", [5, 6, 7, 8, 9] * 12, bad_seconds=9
    )
    silent = replace(ASKED, because={}, sla=Sla(86400, 4))
    found = judged(rows, silent).verdicts
    assert [v.verdict for v in found] == ["observed"] * 3
    assert all("the horizon of kill has no `because`" in v.why for v in found)


def test_few_trials_observe_only(trials: Trials) -> None:
    found = verdict(trials("off", [80, 90, 100]) + trials("on", [5, 6, 7]), "mttr_reduction")
    assert found.verdict == "observed"
    assert "3 trials cannot rule out less than 40.0 %" in found.why


def test_too_small_an_effect_is_missed(trials: Trials) -> None:
    found = verdict(trials("off", [80, 90, 100]) + trials("on", [65, 66, 67]), "mttr_reduction")
    assert found.verdict == "missed"
    assert "40.0 % are wanted" in found.why


def test_failures_that_the_lost_trials_may_hide(trials: Trials) -> None:
    rows = trials("off", [80, 90, 100, 100] * 10) + trials("on", [5, 6, 7, 8] * 10)
    assert verdict(rows, "mttr_reduction").verdict == "proven"
    for row in rows[40:60]:
        row.update(outcome="error", time_s=None)
    found = verdict(rows, "mttr_reduction")
    assert found.verdict == "observed"
    assert "not if the trials without a result (20 here, 0 in the baseline) had gone badly" in found.why


def test_auto_heal_needs_36_of_36_and_a_useless_healer_does_not_get_it(trials: Trials) -> None:
    only = replace(ASKED, targets=Targets(mttr_reduction=0.4, auto_heal=0.9))
    good = trials("off", [100] * 36) + trials("on", [5] * 36)
    assert verdict(good, "auto_heal", only).verdict == "proven"
    assert verdict(good[:35] + good[36:71], "auto_heal", only).verdict == "observed"
    useless = verdict(trials("off", [5] * 60) + trials("on", [5] * 60), "auto_heal")
    assert useless.verdict == "observed"
    assert "not shown to be the healer's work: 0.0 points" in useless.why


def test_auto_heal_counts_what_the_platform_ended(trials: Trials) -> None:
    rows = trials("off", [100] * 4) + trials("on", [5, 5, 100]) + trials("on", [7], outcome="platform")
    rows[-1]["outcome"] = "platform"
    on = next(a for a in judged(rows).arms if not a.baseline)
    assert (on.auto_heal.n, on.auto_heal.successes, on.auto_heal.no_human, on.auto_heal.by_healer) == (4, 3, 0.75, 0.5)
    assert on.auto_heal.uplift == 0.5


def test_preventing_what_rarely_hurts_is_needless(trials: Trials) -> None:
    rows = trials("off", [0, 0, 0, 100]) + trials("on", [0, 0, 5, 5])
    on = next(a for a in judged(rows).arms if not a.baseline)
    assert (on.auto_heal.n, on.needless_actions, on.cells[0].rarely_hurts) == (2, 2, True)
    rows = trials("off", [0, 0, 100, 100]) + trials("on", [0, 0, 5, 5])
    on = next(a for a in judged(rows).arms if not a.baseline)
    assert (on.auto_heal.n, on.needless_actions, on.cells[0].rarely_hurts) == (4, 0, False)


def test_no_incident_is_undecidable(trials: Trials) -> None:
    rows = trials("off", [0, 0, 0]) + trials("on", [0, 0, 0])
    assert [v.verdict for v in judged(rows).verdicts] == ["undecidable"] * 3


def test_sla_needs_its_key_and_its_column(trials: Trials) -> None:
    rows = trials("off", [80, 90, 100]) + trials("on", [5, 6, 7])
    assert "add a line such as `sla: {window: 30d, faults: 4}`" in verdict(rows, "sla").why
    asked = replace(ASKED, sla=Sla(3600, 4))
    assert verdict(rows, "sla", asked).why == "the table has no column `bad_seconds`"


def test_sla_by_hand(trials: Trials) -> None:
    rows = trials("off", [100] * 3, bad_seconds=100) + trials("on", [5, 6, 7])
    for row, bad in zip(rows[3:], (8, 9, 10), strict=True):
        row.update(bad_seconds=bad, unknown_seconds=1)
    asked = replace(ASKED, sla=Sla(10_000, 5), targets=Targets(sla=0.99))
    found = verdict(rows, "sla", asked)
    assert found.value == pytest.approx(1 - 5 * 10 / 10_000)
    assert found.verdict == "observed"
    many = [row for row in rows for _ in range(20)]
    assert verdict(many, "sla", asked).verdict == "proven"
    for window_s, told in ((3600, "in 1h"), (9000, "in 150m"), (30 * 86400, "in 30 days")):
        assert told in verdict(rows, "sla", replace(asked, sla=Sla(window_s, 5))).why
    assert verdict(rows, "sla", replace(asked, targets=Targets(sla=0.999))).verdict == "missed"


def test_holm_counts_every_arm_and_target(trials: Trials) -> None:
    rows = trials("off", [80, 90, 100, 100] * 10) + trials("on", [5, 6, 7, 8] * 10) + trials("same", [90] * 40)
    found = {c.arm.model: c for c in judged(rows).comparisons if c.decides}
    on = found["on"].mttr_reduction
    half = found["on"].at_horizons["tau/2"]
    assert on.p is not None
    assert half.p is not None
    assert on.p_adjusted == pytest.approx(4 * max(on.p, half.p))  # the smallest of 2 arms x 2 targets
    assert "after Holm over 4 tests" in found["on"].why
    assert found["same"].verdict == "missed"


def test_the_baseline_is_not_judged(trials: Trials) -> None:
    found = judged(trials("off", [80, 90, 100]) + trials("on", [5, 6, 7]))
    assert {v.arm.model for v in found.verdicts} == {"on"}
    assert {c.arm.model for c in found.comparisons} == {"on"}
