from __future__ import annotations

from dataclasses import replace

import pytest

from smartops_chaos.analysis import sentences
from smartops_chaos.analysis.phrases import left_out
from smartops_chaos.analysis.summary import Calibration, Reduction, Verdict
from smartops_chaos.model import Arm, Stop
from smartops_chaos.report import answer, many_arms
from smartops_chaos.report.document import Box, Cards, Facts, Figure, Paragraph, Table, plain_text
from smartops_chaos.report.index import index
from smartops_chaos.report.page import page


def facts(section) -> dict[str, str]:
    (block,) = [b for b in section.blocks if isinstance(b, Facts)]
    return dict(block.pairs)


def lead(summary) -> str:
    return " ".join(sentences.sentences(summary)).replace("\u00a0", " ")


def with_reduction(summary, reduction):
    comparison = replace(next(c for c in summary.comparisons if c.decides), mttr_reduction=reduction)
    return replace(summary, comparisons=(comparison,))


def test_the_answer_says_size_direction_and_uncertainty(small):
    summary = with_reduction(small.summary(), Reduction(0.58, 0.44, 0.69, 0.01, 0.02))
    assert "58 % less time (95 % interval: 44 % to 69 %)" in lead(summary)
    open_ = with_reduction(small.summary(), Reduction(0.58, -0.1, 0.69, 0.01, 0.02))
    assert "58 % less time, but the trials leave everything from 10 % more to 69 % less open." in lead(open_)
    worse = with_reduction(small.summary(), Reduction(-0.2, None, None, None, None))
    assert "20 % more time." in lead(worse)
    same = with_reduction(small.summary(), Reduction(0.0, None, None, None, None))
    assert "no difference." in lead(same)
    assert "counts in these means as 12 s, the horizon" in lead(same)


def test_an_arm_that_a_look_has_stopped_says_so_beside_the_baseline_of_that_look(small):
    summary = with_reduction(small.summary(), Reduction(0.58, 0.44, 0.69, 0.01, 0.02))
    comparison = replace(summary.comparisons[0], baseline_rmst_s=7.5)
    plan = replace(summary.plan, looks=2, stopped=(Stop(Arm("zscore", "default"), 1, 5),))
    text = lead(replace(summary, comparisons=(comparison,), plan=plan))
    assert "and after 7.50 s in the baseline (off): 58 % less" in text
    assert "44 % to 69 %), decided at look 1 after 5 repeats." in text
    assert "decided" not in lead(summary)


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("proven", "The target of at least 40 % less is proven."),
        ("observed above", "meets the target of 40 %, but it is not proven"),
        ("observed below", "short of the target of 40 %, though more trials"),
        ("missed", "The target of 40 % is missed"),
    ],
)
def test_the_answer_says_how_the_reduction_stands_to_its_target(small, verdict, said):
    summary = with_reduction(small.summary(), Reduction(0.58, 0.44, 0.69, 0.01, 0.02))
    verdicts = tuple(replace(v, verdict=verdict) for v in summary.verdicts)
    assert said in lead(replace(summary, verdicts=verdicts))


@pytest.mark.parametrize(
    ("by_healer", "no_human", "said"),
    [
        (1.0, 1.0, "With zscore the healer repaired every fault (10 of 10)."),
        (0.6, 0.9, "With zscore the healer repaired 6 of 10 faults; 3 more ended without it and without a person."),
        (None, 0.9, "With zscore 9 of 10 incidents ended without a person."),
    ],
)
def test_the_answer_says_who_repaired(small, by_healer, no_human, said):
    summary = small.summary()
    heal = replace(
        summary.arms[1].auto_heal, by_healer=by_healer, no_human=no_human, successes=round(10 * no_human), n=10
    )
    assert said in lead(replace(summary, arms=(summary.arms[0], replace(summary.arms[1], auto_heal=heal))))


def test_what_cannot_be_said_is_said(nothing):
    assert "cannot be said: no trial counts." in lead(nothing)
    assert "no trial had an incident" in lead(nothing)
    assert "Only one arm" in lead(replace(nothing, arms=nothing.arms[:1]))


def test_reasons_stand_on_the_cards_while_there_is_room(nothing, simulate):
    (cards,) = [b for b in answer.section(simulate().page(nothing, plan=None)).blocks if isinstance(b, Cards)]
    assert [c.title for c in cards.cards] == ["MTTR reduction", "Auto-heal rate", "Availability"]
    assert {line.why for c in cards.cards for line in c.lines} == {(("Why", "no trial counts"),)}
    verdicts = tuple(Verdict("sla", Arm(m, "default"), 0.99, None, None, "missed", "why") for m in "abc")
    many = replace(nothing, verdicts=verdicts)
    (cards,) = [b for b in answer.section(simulate().page(many, plan=None)).blocks if isinstance(b, Cards)]
    assert {line.why for c in cards.cards for line in c.lines} == {()}


def test_warnings_stand_on_the_first_page(small):
    summary = replace(small.summary(), warnings=("weak: `do this`",))
    boxes = [b for b in answer.section(small.page(summary)).blocks if isinstance(b, Box)]
    assert [b.lines for b in boxes] == [("weak: `do this`",)]
    told = ("a: `smartops-chaos doctor M`", "b: `smartops-chaos run M --repeats 9`", "c: `smartops-chaos run M`")
    (box,) = [b for b in answer.section(small.page(replace(summary, warnings=told))).blocks if isinstance(b, Box)]
    assert box.lines == ("Run this first: `smartops-chaos run M --repeats 9`", *told)
    calm = replace(summary, warnings=())
    assert not [b for b in answer.section(small.page(calm)).blocks if isinstance(b, Box)]


def test_calibration_is_weighted_and_keeps_its_sign(small):
    calibration = (Calibration("a", "w", 1, 0.1, 0.02, 0.1), Calibration("b", "w", 3, -0.1, 0.02, -0.3))
    summary = replace(small.summary(), calibration=calibration)
    text = facts(answer.section(small.page(summary)))["Calibration"].replace("\u00a0", " ")
    ended = "In 4 trials the harness itself ended the fault"
    assert text == f"{ended}: dating error −0.05 s on average, −0.30 s at worst; all recovered."
    more = {"drain_s": 1.5, "not_recovered": 1}
    told = replace(summary, calibration=(calibration[0], replace(calibration[1], **more)))
    text = facts(answer.section(small.page(told)))["Calibration"].replace("\u00a0", " ")
    assert text.endswith("the service needed up to 1.50 s more to work off its backlog; 1 did not recover.")
    none = replace(summary, calibration=(Calibration("a", "w", 0, None, None, None),))
    assert "No calibration" in facts(answer.section(small.page(none)))["Calibration"]


def test_the_horizon_stands_with_its_reason(small):
    assert answer.horizons(small.plan, small.table) == [
        "12\u00a0s (stated reason: the on-call engineer looks at the screen after 12 s)"
    ]
    chaos = small.plan.chaos | {"pod-kill": replace(small.plan.chaos["pod-kill"], horizon_s=30.0, because="")}
    assert answer.horizons(replace(small.plan, chaos=chaos), small.table) == [
        "30\u00a0s for pod-kill (without a stated reason)",
        "12\u00a0s for cpu-90 (stated reason: the on-call engineer looks at the screen after 12 s)",
    ]
    assert answer.horizons(None, small.table) == ["12\u00a0s (without a stated reason)"]


@pytest.mark.parametrize(("n", "others"), [(0, False), (2, False), (9, True)])
def test_contested_trials_are_named(small, n, others):
    table = small.table.assign(flags=["late_generator,contested"] * n + [""] * (len(small.table) - n))
    arms = tuple(replace(a, contested=n if not a.baseline else 0) for a in small.summary().arms)
    page = small.page(replace(small.summary(), arms=arms), table=table, index=index(table, None))
    found = facts(answer.section(page))
    assert ("doubtful who ended" in plain_text(found.get("There were no", ""))) is (n == 0)
    text = plain_text(found.get("Contested", ""))
    assert all(trial in text for trial in table["trial"][: min(n, 6)])
    assert ("others" in text) is others
    assert (text == "") is (n == 0)


def test_left_out_trials_are_counted_by_arm_and_reason():
    excluded = {"off": {"invalid: gate": 2, "error": 1}, "zscore": {}}
    assert left_out(excluded) == "off: 2 invalid: gate, 1 error."
    assert left_out({}) == "No trial."


def test_of_many_arms_the_fastest_is_told_and_the_map_shows_all(simulate):
    campaign = simulate(models=("off", "a", "b", "c", "d"), repeats=1, rate=2.0)
    section = answer.section(campaign.page())
    texts = [plain_text(b.text).replace("\u00a0", " ") for b in section.blocks if isinstance(b, Paragraph)]
    assert texts[2].startswith("That is the fastest; 3 further arms below.")
    (figure,) = [b for b in section.blocks if isinstance(b, Figure)]
    assert all(f"{arm}: " in figure.alt for arm in "abcd")


def test_what_is_recommended_follows_from_verdicts_alone(simulate):
    summary = simulate(models=("off", "a", "b", "c"), repeats=1, rate=2.0).summary()

    def told(**found: str) -> str:
        verdicts = [replace(v, verdict=found.get(str(v.arm), "proven")) for v in summary.verdicts]
        return many_arms.recommendation(replace(summary, verdicts=tuple(verdicts)))

    assert told(b="missed", c="observed above") == (
        "Use a: all targets are proven. Do not use b: at least one target is missed."
    )
    assert told(b="trivial").startswith("Use any of a and c:")
    assert told(a="missed", b="missed", c="undecidable").startswith("No arm can be recommended yet")
    assert many_arms.recommendation(replace(summary, verdicts=())) == ""


def test_arms_of_a_grid_are_compared_with_each_other(simulate):
    campaign = simulate(models=("off", "a", "b"), policies=("p", "q"), repeats=6, rate=2.0)
    seen = page(campaign.data())
    (table,) = [b for b in many_arms.against_each_other(seen) if isinstance(b, Table)]
    assert {(row[0], row[1]) for row in table.rows} >= {("model", "a"), ("policy", "p")} or table.rows[0][0] == "model"
    told = " ".join(plain_text(b.text) for b in many_arms.against_each_other(seen) if isinstance(b, Paragraph))
    assert "Is the best better than the second?" in told
    assert "Do model and policy depend on each other?" in told


def test_one_arm_alone_has_its_own_numbers_on_the_first_page(simulate):
    campaign = simulate(models=("off",), control=False, rate=2.0)
    first, last = sentences.sentences(campaign.summary())
    assert first.replace("\u00a0", " ").startswith("With off the service recovers after ")
    assert "incidents ended without a person" in first
    assert last.startswith("Only one arm was measured")


def test_many_arms_stand_in_a_table_so_that_page_one_holds_what_they_rest_on(simulate):
    campaign = simulate(models=("off", *"abcdef"), repeats=3, rate=2.0)
    blocks = answer.section(campaign.page()).blocks
    assert not [b for b in blocks if isinstance(b, Cards)]
    table = next(b for b in blocks if isinstance(b, Table))
    assert [row[0] for row in table.rows] == [str(arm) for arm in many_arms.fastest_first(campaign.page())]
    assert [column.title.replace("\u00a0", " ") for column in table.columns[1:]] == [
        "MTTR reduction\nat least 40 %",
        "Auto-heal rate\nat least 90 %",
        "Availability\nat least 99 %",
    ]
    verdicts = {(str(v.arm), v.target): v.verdict for v in campaign.summary().verdicts}
    assert all(plain_text(row[2]).endswith(f" {verdicts[row[0], 'auto_heal']}") for row in table.rows)


def test_what_a_bare_table_does_not_say_is_not_taken_for_none(small):
    bare = small.table[["chaos", "workload", "model", "policy", "outcome", "time_s", "horizon_s"]]
    silent = replace(small.summary(), arms=tuple(replace(a, measuring_error_s=None) for a in small.summary().arms))
    found = facts(answer.section(small.page(silent, plan=None, table=bare)))
    for label in ("Measuring error", "Contested", "Needless actions"):
        assert found[label] == "The trials table does not say."
    assert facts(answer.section(small.page(silent)))["Measuring error"] == "No recovery was seen."


def test_facts_in_which_arms_are_alike_are_said_once(small):
    alike = tuple(replace(a, measuring_error_s=0.5, needless_actions=0) for a in small.summary().arms)
    found = facts(answer.section(small.page(replace(small.summary(), arms=alike))))
    assert found["Measuring error"].replace("\u00a0", " ").endswith("(median): 0.50 s in each of 2 arms.")
    assert found["There were no"].endswith("needless actions.")
