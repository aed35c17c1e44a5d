"""What is proven, observed, missed, trivial or undecidable, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from smartops_chaos.analysis import table
from smartops_chaos.analysis.question import Question
from smartops_chaos.analysis.summarise import summarise
from smartops_chaos.analysis.summary import Summary, Verdict
from smartops_chaos.analysis.verdicts import holm, holm_over_arms
from smartops_chaos.model import Arm, Goal, Sla, Targets

Trials = Callable[..., list[dict[str, Any]]]
Rows = list[dict[str, Any]]
ASKED = Question(Arm("off", "default"), because={"kill": "on-call answers by then"})
HEAL_FIRST: tuple[Goal, ...] = ("auto_heal", "mttr_reduction", "sla")


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


shares = st.floats(0, 1)


@given(st.lists(shares, min_size=1, max_size=8))
def test_arms_with_one_target_each_share_alpha_by_holm(p: list[float]) -> None:
    assert [adjusted for (adjusted,) in holm_over_arms([[one] for one in p])] == pytest.approx(holm(p))


def by_the_procedure(sequences: list[list[float]], alpha: float) -> list[list[bool]]:
    """Step by step: each arm goes through its targets at alpha / open arms; one that is done leaves."""
    done = [False] * len(sequences)
    while True:
        level = alpha / max(1, done.count(False))
        newly = [i for i, s in enumerate(sequences) if not done[i] and all(p <= level for p in s)]
        if not newly:
            return [[done[i] or p <= level for p in s] for i, s in enumerate(sequences)]
        for i in newly:
            done[i] = True


@given(st.lists(st.lists(st.floats(0, 0.1), min_size=1, max_size=3).map(sorted), min_size=1, max_size=5))
def test_adjusted_sequences_say_what_the_procedure_rejects(sequences: list[list[float]]) -> None:
    rejected = by_the_procedure(sequences, 0.025)
    adjusted = holm_over_arms(sequences)
    for ps, said in zip(adjusted, rejected, strict=True):
        assert ps == sorted(ps)
        assert [p <= 0.025 for p in ps] == said


def test_a_large_clear_effect_is_proven(trials: Trials) -> None:
    rows = trials("off", [80, 90, 100, 100, 100] * 12) + trials("on", [5, 6, 7, 8, 9] * 12)
    reduction = verdict(rows, "mttr_reduction")
    assert reduction.verdict == "proven"
    assert reduction.value == pytest.approx(1 - 7 / 94)
    assert reduction.bound is not None
    assert reduction.bound > 0.4
    assert reduction.why.startswith("the mean time to recover is reduced by 92.6 % (95 % interval")
    assert reduction.why.endswith("to 100 s")
    assert verdict(rows, "auto_heal").verdict == "proven"


def test_it_is_said_for_which_horizons_it_is_proven(trials: Trials) -> None:
    rows = trials("off", [100] * 20) + trials("on", [20] * 20)
    found = next(c for c in judged(rows).comparisons if c.decides)
    assert found.proven_from is not None
    assert found.proven_from_s == pytest.approx(100 * found.proven_from)
    assert f"proven for every horizon from {found.proven_from_s:.3g} s to 100 s" in found.why
    assert 0.34 < found.proven_from < 0.6  # 20 of 34 s are not 40 % less; at half the horizon it is still shown
    with_lost = [row | {"outcome": "error", "time_s": None} if i in (1, 2) else row for i, row in enumerate(rows, -19)]
    later = next(c for c in judged(with_lost).comparisons if c.decides)
    assert later.proven_from is None or later.proven_from > found.proven_from


def test_without_a_reason_for_the_horizon_nothing_is_proven(trials: Trials) -> None:
    rows = trials("off", [80, 90, 100, 100, 100] * 12, bad_seconds=100) + trials(
        "on", [5, 6, 7, 8, 9] * 12, bad_seconds=9
    )
    silent = replace(ASKED, because={}, sla=Sla(3600, 4))
    found = judged(rows, silent).verdicts
    assert [v.verdict for v in found] == ["observed above"] * 3
    assert all("the horizon of kill has no `because`" in v.why for v in found)


def test_few_trials_observe_only(trials: Trials) -> None:
    found = verdict(trials("off", [80, 90, 100] * 2) + trials("on", [25, 26, 27] * 2), "mttr_reduction")
    assert found.verdict == "observed above"
    assert "6 trials cannot rule out less than 40 %" in found.why
    below = verdict(trials("off", [80, 90, 100] * 2) + trials("on", [65, 66, 67] * 2), "mttr_reduction")
    assert below.verdict == "observed below"
    assert "40 % are wanted, which cannot be ruled out" in below.why


def test_what_is_ruled_out_is_missed(trials: Trials) -> None:
    found = verdict(trials("off", [80, 90, 100] * 10) + trials("on", [85, 86, 97] * 10), "mttr_reduction")
    assert found.verdict == "missed"
    assert "40 % are wanted and ruled out" in found.why
    harmful = verdict(trials("off", [10] * 20) + trials("on", [100] * 20), "mttr_reduction")
    assert harmful.verdict == "missed"
    useless = verdict(trials("off", [100] * 20) + trials("on", [100] * 20), "mttr_reduction")
    assert useless.verdict == "missed"


def test_failures_that_the_lost_trials_may_hide(trials: Trials) -> None:
    rows = trials("off", [80, 90, 100, 100] * 10) + trials("on", [5, 6, 7, 8] * 10)
    assert verdict(rows, "mttr_reduction").verdict == "proven"
    for row in rows[40:60]:
        row.update(outcome="error", time_s=None)
    found = verdict(rows, "mttr_reduction")
    assert found.verdict == "observed above"
    assert "not if the trials without a result (20 here, 0 in the baseline) had gone badly" in found.why
    assert found.at_worst == pytest.approx(1 - (20 * 100 + 10 * 13) / 40 / 92.5)
    assert found.at_best == pytest.approx(1 - 10 * 13 / 40 / 92.5)


def test_auto_heal_needs_36_of_36_and_a_useless_healer_does_not_get_it(trials: Trials) -> None:
    good = trials("off", [100] * 36) + trials("on", [5] * 36)
    assert verdict(good, "auto_heal").verdict == "proven"
    assert verdict(good[:35] + good[36:71], "auto_heal").verdict == "observed above"
    useless = verdict(trials("off", [5] * 60) + trials("on", [5] * 60), "auto_heal", replace(ASKED, order=HEAL_FIRST))
    assert useless.verdict == "observed above"
    assert "not shown to be the healer's work: p = 1.0000" in useless.why


def test_targets_are_tested_in_the_order_of_the_plan(trials: Trials) -> None:
    # 60 of 60 heal, but slowly: the reduction is not shown
    rows = trials("off", [100] * 60) + trials("on", [58, 62] * 30)
    after = verdict(rows, "auto_heal")
    assert after.verdict == "observed above"
    assert after.why.endswith("but the MTTR reduction comes first and is not proven")
    asked = replace(ASKED, order=HEAL_FIRST)
    assert verdict(rows, "auto_heal", asked).verdict == "proven"
    assert [v.target for v in judged(rows, asked).verdicts] == ["auto_heal", "mttr_reduction", "sla"]
    quick = trials("off", [100] * 20) + trials("on", [5] * 20)  # 20 of 20 do not prove 90 %
    assert verdict(quick, "mttr_reduction").verdict == "proven"
    assert "the auto-heal rate comes first" in verdict(quick, "mttr_reduction", asked).why


def test_a_target_that_asks_nothing_is_trivial_and_not_in_the_way(trials: Trials) -> None:
    rows = trials("off", [100] * 40, bad_seconds=100) + trials("on", [5] * 40, bad_seconds=5)
    easy = replace(ASKED, sla=Sla(86400, 4), targets=Targets(sla=0.9), order=("sla", "mttr_reduction", "auto_heal"))
    found = {v.target: v.verdict for v in judged(rows, easy).verdicts}
    assert found == {"sla": "trivial", "mttr_reduction": "proven", "auto_heal": "proven"}


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
    assert "add a line such as `sla: {window: 1h, faults: 5}`" in verdict(rows, "sla").why
    asked = replace(ASKED, sla=Sla(3600, 4))
    assert verdict(rows, "sla", asked).why == "the table has no column `bad_seconds`"


def test_sla_comes_after_the_others(trials: Trials) -> None:
    rows = trials("off", [100] * 40, bad_seconds=100) + trials("on", [5, 6, 7, 8] * 10, bad_seconds=10)
    asked = replace(ASKED, sla=Sla(10_000, 5), targets=Targets(sla=0.98))
    assert [v.verdict for v in judged(rows, asked).verdicts] == ["proven"] * 3
    strict = replace(asked, targets=Targets(sla=0.999))
    assert verdict(rows, "sla", strict).verdict == "missed"


def test_the_number_of_arms_is_allowed_for(trials: Trials) -> None:
    rows = trials("off", [80, 90, 100, 100] * 3) + trials("on", [30, 31, 32, 33] * 3)
    alone = next(c for c in judged(rows).comparisons if c.decides)
    assert alone.verdict == "proven"
    assert "Holm" not in alone.why
    found = {c.arm.model: c for c in judged(rows + trials("same", [90] * 12)).comparisons if c.decides}
    on = found["on"].mttr_reduction
    assert on.p == alone.mttr_reduction.p
    assert on.p_adjusted == pytest.approx(2 * (on.p or 0))
    assert "after Holm over 2 arms" in found["on"].why
    assert found["same"].verdict in ("missed", "observed below")


@pytest.mark.parametrize("case", ["plain", "shuffled", "renamed", "milliseconds"])
def test_order_names_and_units_change_no_verdict(trials: Trials, case: str) -> None:
    rng = np.random.default_rng(3)
    unit = 1000 if case == "milliseconds" else 1
    rows = []
    for model, mean in (("off", 18), ("on", 4), ("so-so", 9)):
        for chaos, tau in (("kill", 20), ("cpu", 30)):
            times = (unit * np.minimum(rng.gamma(4, mean / 4, 12), tau)).tolist()
            rows += trials(model, times, chaos=chaos, horizon_s=unit * tau)
    names = {"kill": "z", "cpu": "a", "on": "Q", "so-so": "A", "off": "m"} if case == "renamed" else {}
    rows = [{key: names.get(str(value), value) for key, value in row.items()} for row in rows]
    if case == "shuffled":
        rows = [rows[i] for i in rng.permutation(len(rows))]
    because = {names.get(chaos, chaos): "demonstration" for chaos in ("kill", "cpu")}
    found = judged(rows, Question(Arm(names.get("off", "off"), "default"), because=because)).verdicts
    told = {(v.arm.model, v.target): v.verdict for v in found}
    assert {(names.get(m, m), t): said for (m, t), said in ONE_CAMPAIGN.items()} == told


ONE_CAMPAIGN = {
    ("on", "mttr_reduction"): "proven",
    ("on", "auto_heal"): "observed above",
    ("on", "sla"): "undecidable",
    ("so-so", "mttr_reduction"): "observed below",
    ("so-so", "auto_heal"): "observed above",
    ("so-so", "sla"): "undecidable",
}


def test_opposite_times_in_a_block_are_warned_of(trials: Trials) -> None:
    times = np.linspace(10, 30, 12)
    numbered = [row | {"repeat": n} for n, row in enumerate(trials("on", times.tolist()))]
    for base, sign in ((60 + times, 1), (60 - times, -1)):
        rows = numbered + [row | {"repeat": n} for n, row in enumerate(trials("off", base.tolist()))]
        found = judged(rows)
        assert found.comparisons[0].block_correlation == pytest.approx(sign)
        assert found.comparisons[0].blocks == 12
        assert any("correlation −1.00 over 12 blocks" in w for w in found.warnings) == (sign < 0)


def test_the_baseline_is_not_judged(trials: Trials) -> None:
    found = judged(trials("off", [80, 90, 100]) + trials("on", [5, 6, 7]))
    assert {v.arm.model for v in found.verdicts} == {"on"}
    assert {c.arm.model for c in found.comparisons} == {"on"}
