"""What each owner is told, on summaries of different shape that are put together by hand."""

from __future__ import annotations

import re
from dataclasses import replace

import pandas as pd
import pytest

from smartops_chaos.analysis.operations import share
from smartops_chaos.analysis.question import Question
from smartops_chaos.analysis.summarise import summarise
from smartops_chaos.analysis.summary import ArmSummary, FunnelStep, Rca, Summary
from smartops_chaos.analysis.table import REQUIRED, from_rows
from smartops_chaos.model import MOMENTS
from smartops_chaos.report import owners
from smartops_chaos.report.document import Box, Link, Paragraph, Section, Text, plain_text
from smartops_chaos.report.index import Index, index
from smartops_chaos.report.page import Page


def told(summary: Summary, trials: Index = Index()) -> dict[str, str]:  # noqa: B008 - frozen
    """Each owner's box as plain text, with plain spaces; what is said to all under "all"."""
    section = owners.section(Page(summary, None, pd.DataFrame(), {}, trials))
    text = {one.title.partition(":")[0].lower().removesuffix("s"): plain(*one.lines) for one in boxes(section)}
    all_ = plain(*(block.text for block in section.blocks if isinstance(block, Paragraph)))
    return {name.replace("policie", "policy"): one for name, one in text.items()} | ({"all": all_} if all_ else {})


def boxes(section: Section) -> list[Box]:
    return [block for block in section.blocks if isinstance(block, Box)]


def plain(*lines: Text) -> str:
    return "\n".join(map(plain_text, lines)).replace("\u00a0", " ")


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
    assert all("no moments of the repair" in one for one in text.values())
    assert "no trial without a fault was run" in text["model"]
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
    text = told(of(nothing, replace(base, operations=did), replace(silent, operations=did)))
    assert text.pop("all") == "No trial of forest counts, so nothing is said of it here."
    assert not any("forest: " in one for one in text.values())


def test_the_baseline_is_not_the_first_thing_to_look_at(nothing, base):
    off = replace(base, baseline=True, model="off", funnel=funnel(30, detected={"unrecovered: undetected": 20}))
    off = replace(off, operations=replace(off.operations, detected=share(10, 30, 0.025)))
    on = replace(base, funnel=funnel(30, detected={"unrecovered: undetected": 2}))
    assert "zscore: 2 of 30" in told(replace(nothing, arms=(off, on)))["model"]
    assert "off (baseline): 20 of 30" in told(replace(nothing, arms=(off,)))["model"]


def test_a_baseline_that_heals_is_read_like_the_others(nothing):
    did = replace(nothing.arms[0].operations, detected=share(3, 4, 0.025), actions=2, rules={"": 2})
    old = replace(nothing.arms[0], counted=4, operations=did)
    assert "which rule decided in off: it acted" in told(replace(nothing, arms=(old,)))["policy"]


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
    assert "what would have come of the refused actions" in text["policy"]


def test_the_first_thing_names_its_trials_and_leads_to_them(simulate):
    campaign = simulate(heal=0.3, repeats=8, rate=1.0)
    trials = index(campaign.table, campaign.plan.analysis.baseline)
    line = boxes(owners.section(campaign.page(index=trials)))[0].lines[0]
    number, *named = [part for part in line if isinstance(part, Link)]
    found = trials.find(**dict(number.show))
    assert number.text.split()[0] == str(len(found)) != "0"
    assert [one.text for one in named] == [str(trials.rows[i]["trial"]) for i in found[:4]]
    assert f" and {len(found) - 4}" in plain_text(line)


def test_no_loss_is_said_as_well(nothing, base):
    text = told(of(nothing, replace(base, funnel=funnel(30))))
    assert text["model"].startswith("No trial was lost before it was detected and diagnosed.")
    assert text["policy"].startswith("No trial was lost because the policy refused or did not decide.")
    assert text["orchestrator"].startswith("No trial was lost between the decision and the recovery.")


@pytest.mark.parametrize(("answers", "said"), [(1, "the answer was always the same one"), (0, "no answer was seen")])
def test_a_model_that_does_not_tell_causes_apart(nothing, base, answers, said):
    rca = Rca(0.5, 0.2, 0.8, 6, 0.0, 0.5, {}, answers, {"cpu": {"cpu" if answers else "": 6}})
    assert said in told(of(nothing, replace(base, rca=rca)))["model"]


def test_rules_that_decided_and_what_overlapped(nothing, base):
    did = replace(base.operations, rules={"restart": 20, "": 8, "scale": 2}, actions=25)
    text = told(of(nothing, replace(base, operations=did, contested=2)))
    assert "Rules that decided first with zscore: restart in 20 of 30, scale in 2 of 30." in text["policy"]
    assert "which rule decided" not in text["policy"]
    assert "whether action or platform healed 2 trials: their intervals overlap." in text["orchestrator"]


def test_each_owner_is_led_to_the_numbers(report):
    anchors = report.anchors()
    for box in boxes(next(section for section in report.sections if section.id == owners.SECTION)):
        links = next(line for line in box.lines if line[0] == "Numbers to read: ")
        assert len(links) > 4
        assert {link.to for link in links if isinstance(link, Link)} <= anchors


@pytest.mark.parametrize("shape", [{"heal": 0.0}, {"heal": 1.0}, {"models": ("off", "a", "b", "c", "d", "e")}])
def test_measured_campaigns_read_well(simulate, shape):
    campaign = simulate(repeats=2, rate=1.0, **shape)
    for text in told(campaign.summary(), index(campaign.table, campaign.plan.analysis.baseline)).values():
        assert not re.search(r"\bNone\b|\bnan\b|\(–|: \.|: ;|  ", text)


def test_a_single_arm_that_heals_is_told_of_although_nothing_else_is_known(nothing, base):
    heal = replace(base.auto_heal, by_healer=0.5, n=30)
    text = told(replace(nothing, arms=(replace(base, baseline=True, auto_heal=heal),)))
    assert "no moments of the repair" in text["orchestrator"]


def test_a_bare_table_of_seven_columns(small):
    rows = small.table[small.table["phase"] == "measure"]
    table = from_rows(rows[list(REQUIRED)].to_dict("records"))
    summary = summarise(table, Question(baseline=small.plan.analysis.baseline), campaign="bare")
    text = told(summary, index(table, None))
    assert "no moments of the repair" in text["orchestrator"]
