"""What each owner is told, on summaries of different shape that are put together by hand."""

from __future__ import annotations

import re
from dataclasses import replace

import pandas as pd
import pytest

from smartops_chaos.analysis.operations import share
from smartops_chaos.analysis.question import Question
from smartops_chaos.analysis.summarise import summarise
from smartops_chaos.analysis.summary import ArmSummary, FunnelStep, Phase, Rca, Summary
from smartops_chaos.analysis.table import REQUIRED, from_rows
from smartops_chaos.model import MOMENTS
from smartops_chaos.report import readers
from smartops_chaos.report.document import Box, Facts, Link, Paragraph, Section, plain_text
from smartops_chaos.report.index import Index, index
from smartops_chaos.report.page import Page


def told(summary: Summary, trials: Index = Index()) -> dict[str, str]:  # noqa: B008 - frozen
    """Each owner's section as plain text, with plain spaces."""
    return {
        s.id.removesuffix("-owner"): plain(s) for s in readers.sections(Page(summary, None, pd.DataFrame(), {}, trials))
    }


def plain(section: Section) -> str:
    lines = []
    for block in section.blocks:
        if isinstance(block, Paragraph):
            lines.append(plain_text(block.text))
        elif isinstance(block, Box):
            lines += [block.title, *map(plain_text, block.lines)]
        elif isinstance(block, Facts):
            lines += [f"{label}: {plain_text(text)}" for label, text in block.pairs]
    return "\n".join(lines).replace("\u00a0", " ")


def funnel(reached: int, **lost: dict[str, int]) -> tuple[FunnelStep, ...]:
    steps = []
    for moment in MOMENTS:
        reached -= sum(lost.get(moment, {}).values())
        steps.append(FunnelStep(moment, reached, lost.get(moment, {})))
    return tuple(steps)


@pytest.fixture
def base(nothing) -> ArmSummary:
    return replace(nothing.arms[1], counted=30, trials=36)


def of(nothing: Summary, *arms: ArmSummary) -> Summary:
    return replace(nothing, arms=(nothing.arms[0], *arms))


def test_where_nothing_is_known_each_owner_reads_what_is_missing(nothing, base):
    text = told(of(nothing, base))
    assert "no moments of the repair" in text["model"]
    assert "no moments of detection" in text["model"]
    assert "no trial without a fault was run" in text["model"]
    assert "no policy_rule" in text["policy"]
    assert "no actions" in text["orchestrator"]
    assert not any(re.search(r"\bNone\b|nan", one) for one in text.values())


def test_without_a_healer_there_is_nothing_to_take(nothing):
    text = told(replace(nothing, arms=nothing.arms[:1]))
    assert set(text.values()) == {
        "Nothing: only off (baseline) was measured, and no healer is seen to have signalled or acted there."
    }


def test_an_arm_without_a_trial_that_counts_is_not_told_of_in_zeros(nothing, base):
    assert set(told(nothing).values()) == {"Nothing: no trial of zscore counts."}
    silent = replace(base, model="forest", counted=0, controls=0)
    did = replace(base.operations, guardrail_blocks=0)
    for text in told(of(nothing, replace(base, operations=did), replace(silent, operations=did))).values():
        assert "No trial of forest counts, so nothing is said of it here." in text
        assert "forest: " not in text


def test_the_baseline_is_not_the_first_thing_to_look_at(nothing, base):
    off = replace(base, baseline=True, model="off", funnel=funnel(30, detected={"unrecovered: undetected": 20}))
    off = replace(off, operations=replace(off.operations, detected=share(10, 30, 0.025)))
    on = replace(base, funnel=funnel(30, detected={"unrecovered: undetected": 2}))
    assert "zscore: 2 of 30" in told(replace(nothing, arms=(off, on)))["model"]
    assert "off (baseline): 20 of 30" in told(replace(nothing, arms=(off,)))["model"]


def test_a_baseline_that_heals_is_read_like_the_others(nothing):
    old = replace(
        nothing.arms[0], counted=4, operations=replace(nothing.arms[0].operations, detected=share(3, 4, 0.025))
    )
    assert "off: 3 of 4 (30 % to 95 %)" in told(replace(nothing, arms=(old, nothing.arms[1])))["model"]


def test_the_largest_loss_goes_to_the_owner_whose_part_it_is(nothing, base):
    steps = funnel(
        30,
        impacted={"no_effect": 9},
        detected={"unrecovered: undetected": 2},
        diagnosed={"unrecovered: undiagnosed": 3, "platform: no-action": 1},
        acted={"unrecovered: denied": 5, "unrecovered: cooldown": 1, "unrecovered: action-failed": 2},
        recovered={"unrecovered: insufficient": 1},
    )
    text = told(of(nothing, replace(base, funnel=steps)))
    assert (
        "zscore: 4 of 19 trials that had got so far were never diagnosed (3 unrecovered: undiagnosed," in text["model"]
    )
    assert "zscore: 6 of 15 trials that had got so far were never acted on (5 unrecovered: denied, 1" in text["policy"]
    assert (
        "zscore: 2 of 15 trials that had got so far were never acted on (2 unrecovered: action" in text["orchestrator"]
    )
    assert "Unrecovered by refusal: zscore: 6 of 30 (10 % to 37 %): 5 denied, 1 cooldown." in text["policy"]
    assert "What would have come of the refused actions" in text["policy"]


def test_the_first_thing_names_its_trials_and_leads_to_them(simulate):
    campaign = simulate(heal=0.3, repeats=8, rate=1.0)
    trials = index(campaign.table, campaign.plan.analysis.baseline)
    (section, *_) = readers.sections(campaign.page(index=trials))
    (line,) = next(b for b in section.blocks if isinstance(b, Box) and b.title.startswith("Look")).lines
    number, *named = [part for part in line if isinstance(part, Link)]
    found = trials.find(**dict(number.show))
    assert number.text.split()[0] == str(len(found)) != "0"
    assert [one.text for one in named] == [str(trials.rows[i]["trial"]) for i in found[:4]]
    assert f" and {len(found) - 4}" in plain_text(line)


def test_no_loss_is_said_as_well(nothing, base):
    text = told(of(nothing, replace(base, funnel=funnel(30))))
    assert text["model"].startswith("No trial of these arms was lost before it was detected and diagnosed.")
    assert text["policy"].startswith("No trial of these arms was lost because the policy refused or did not decide.")
    assert text["orchestrator"].startswith("No trial of these arms was lost between the decision and the recovery.")


def test_causes_their_lift_and_what_is_mixed_up(nothing, base):
    confusion = {"cpu": {"cpu": 8, "net": 5, "": 2}, "net|disk": {"disk": 12, "cpu": 3}}
    rca = Rca(20 / 30, 0.49, 0.81, 30, 0.17, 0.6, {"1": 0.66}, 3, confusion)
    did = replace(base.operations, healed_if_right=share(18, 20, 0.025), healed_if_wrong=share(4, 10, 0.025))
    text = told(of(nothing, replace(base, rca=rca, operations=did)))["model"]
    assert "Right cause first: zscore: 20 of 30 (49 % to 81 %; +17 points against always naming the best one)." in text
    assert "zscore: cpu was called net in 5 of 15, net or disk was called cpu in 3 of 15." in text
    assert "Healed if right: zscore: 18 of 20" in text
    assert "Healed if wrong or none: zscore: 4 of 10" in text
    assert "Whether its causes are right" not in text


@pytest.mark.parametrize(("answers", "said"), [(1, "the answer was always the same one"), (0, "no answer was seen")])
def test_a_model_that_does_not_tell_causes_apart(nothing, base, answers, said):
    rca = Rca(0.5, 0.2, 0.8, 6, 0.0, 0.5, {}, answers, {"cpu": {"cpu" if answers else "": 6}})
    assert said in told(of(nothing, replace(base, rca=rca)))["model"]


def test_rules_blocks_actions_and_times(nothing, base):
    did = replace(
        base.operations,
        rules={"restart": 20, "": 8, "scale": 2},
        actions=25,
        action_success=share(22, 25, 0.025),
        guardrail_blocks=3,
        cooldown_skips=0,
        relapsed=1,
        closed_loop_s=4.0,
        closed_loop_lo_s=3.5,
        closed_loop_hi_s=4.5,
        closed_loop_n=20,
    )
    phases = tuple(
        Phase(name, "a", "b", mean, mean * 0.9, mean * 1.1, 20, 0.1)
        for name, mean in (("detect", 2.0), ("diagnose", 1.0), ("decide", 0.5), ("act", 0.5), ("recover", 4.0))
    )
    arm = replace(base, operations=did, phases=phases, needless_actions=2, outcomes={"harmed": 3}, contested=2)
    text = told(of(nothing, arm))
    assert "Rule that decided: zscore: restart in 20 of 30, scale in 2 of 30, none in 8 of 30." in text["policy"]
    assert "Guardrail blocks: zscore: 3 in 30 trials." in text["policy"]
    assert "Needless actions: zscore: 2 in 36 trials." in text["policy"]
    assert "Time of a healed trial: zscore: 3.00 s of 8.00 s (38 %) to detect and diagnose." in text["model"]
    assert "Actions that succeeded: zscore: 22 of 25 (70 % to 96 %), 3 failed." in text["orchestrator"]
    assert "From acted to recovered: zscore: 4.00 s (3.60 to 4.40 s) in 20 healed trials." in text["orchestrator"]
    assert "Harmed trials: zscore: 3 of 30 (3 % to 26 %)." in text["orchestrator"]
    assert "Whether action or platform healed 2 trials: their intervals overlap." in text["orchestrator"]


def test_arms_that_are_alike_are_told_once_and_many_by_their_extremes(nothing, base):
    def arms(*detected: int) -> list[ArmSummary]:
        return [
            replace(base, model=f"m{i}", operations=replace(base.operations, detected=share(k, 30, 0.025)))
            for i, k in enumerate(detected)
        ]

    assert "by the horizon: all arms alike: 12 of 30" in told(of(nothing, *arms(12, 12)))["model"]
    text = told(of(nothing, *arms(12, 28)))["model"]
    assert re.search(r"by the horizon: m0: 12 of 30 \(.*?\); m1: 28 of 30 \(.*?\)\.", text)
    assert "may differ by chance" not in text
    assert (
        "Which of m1 and m0 detects more often: 43 % of 30 and 40 % of 30 trials may differ"
        in (told(of(nothing, *arms(12, 13)))["model"])
    )
    text = told(of(nothing, *arms(12, 13, 20, 5, 9, 29)))["model"]
    assert re.search(r"least m3: 5 of 30 \(.*?\); most m5: 29 of 30 \(.*?\); between them 4 other arms\.", text)


def test_zeros_are_told_once(nothing, base):
    arms = [replace(base, model=f"m{i}", counted=20 + i, outcomes={}) for i in range(3)]
    text = told(of(nothing, *arms))["orchestrator"]
    assert "Harmed trials: alike in 3 arms, such as m0: 0 of 20 (0 % to 16 %)." in text


@pytest.mark.parametrize(("n", "pages"), [(1, [True, False, False]), (3, [True, True, True])])
def test_each_owner_has_a_page_where_there_is_much_to_tell(nothing, base, n, pages):
    arms = [replace(base, model=f"m{i}") for i in range(n)]
    found = readers.sections(Page(of(nothing, *arms), None, pd.DataFrame(), {}))
    assert [section.new_page for section in found] == pages
    assert ["In brackets 95" in plain(section) for section in found] == [*pages[1:], True]


@pytest.mark.parametrize("shape", [{"heal": 0.0}, {"heal": 1.0}, {"models": ("off", "a", "b", "c", "d", "e")}])
def test_measured_campaigns_read_well(simulate, shape):
    campaign = simulate(repeats=2, rate=1.0, **shape)
    for text in told(campaign.summary(), index(campaign.table, campaign.plan.analysis.baseline)).values():
        assert not re.search(r"\bNone\b|\bnan\b|\(–|: \.|: ;|  ", text)


def test_a_single_arm_that_heals_is_told_of_although_nothing_else_is_known(nothing, base):
    heal = replace(base.auto_heal, by_healer=0.5, n=30)
    text = told(replace(nothing, arms=(replace(base, baseline=True, auto_heal=heal),)))
    assert "Healed by its action: zscore: 15 of 30 (33 % to 67 %)." in text["orchestrator"]


def test_a_bare_table_of_seven_columns(small):
    rows = small.table[small.table["phase"] == "measure"]
    table = from_rows(rows[list(REQUIRED)].to_dict("records"))
    summary = summarise(table, Question(baseline=small.plan.analysis.baseline), campaign="bare")
    text = told(summary, index(table, None))
    assert "no moments of the repair" in text["orchestrator"]
    assert "Healed by its action: zscore: " in text["orchestrator"]
