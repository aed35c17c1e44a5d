"""What stands against a conclusion is told from the campaign: its settings, its lanes, its policy."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from smartops_chaos import api
from smartops_chaos.model import RESTART_DELAY, Arm, Variant
from smartops_chaos.report import explained, healing, lane_effect, purpose, validity
from smartops_chaos.report.document import Facts, Table, plain_text
from smartops_chaos.report.page import Page, page
from smartops_chaos.report.repair import healers
from smartops_chaos.targets import kinds

SAMPLE = Path(__file__).parents[2] / "results" / "sample"


@pytest.fixture(scope="module")
def sample() -> Page:
    return page(api.load(SAMPLE), appendix=False)


def system(seen: Page) -> dict[str, str]:
    (facts,) = [b for b in validity.section(seen).blocks if isinstance(b, Facts)]
    return {label: plain_text(text).replace("\u00a0", " ") for label, text in facts.pairs}


def test_the_lab_notes_its_settings_and_a_report_tells_them(sample):
    noted = kinds.provenance({"kind": "lab"}, [Variant("a", {"detector": "zscore"}), Variant("b", {"healer": "off"})])
    assert noted[RESTART_DELAY] == "8 s"
    assert [label for label in noted if label.startswith("detector")] == ["detector zscore"]
    told = system(replace(sample, provenance=noted))
    assert "restarts a dead process after 8 s" in told["What is emulated"]
    assert re.search(r"of the 8\.\d\d s of off, 8 s are the wait", told["What is emulated"])
    assert "zscore would gain nothing there" in told["What is emulated"]
    assert "4 standard deviations" in told["Healer"]


def test_a_campaign_of_before_says_that_it_has_not_noted_them(sample):
    before = replace(sample, provenance={})
    assert before.restart_delay_s is None
    assert "has not noted" in system(before)["What is emulated"]


def test_lanes_of_one_machine_are_compared(sample):
    told = lane_effect.told(sample).replace("\u00a0", " ")
    assert told.startswith("The 2 lanes share the machine: ")
    assert "of 120 counted trials ran mostly beside CPU stress on another lane" in told
    one = sample.table.assign(lane="lane-1")
    assert lane_effect.told(replace(sample, table=one)) == ""
    assert lane_effect.told(replace(sample, plan=None)) == ""


def test_times_that_are_longer_beside_cpu_stress_are_found():
    rows = pd.DataFrame(
        {
            "chaos": ["a"] * 8,
            "workload": "w",
            "model": "m",
            "policy": "p",
            "time_s": [3.0, 3.1, 3.0, 3.1, 2.0, 2.1, 2.0, 2.1],
            "beside": [True] * 4 + [False] * 4,
        }
    )
    mean_s, error_s = lane_effect._difference(rows)
    assert mean_s == pytest.approx(1.0)
    assert error_s < 0.1
    assert lane_effect._difference(rows.assign(time_s=12.0)) is None


def test_a_policy_with_one_action_is_a_weakness_unless_an_arm_of_reference_ran(sample):
    (told,) = validity.one_cure(sample)
    assert told.startswith("The policy knows one action, restart, for all 3 faults.")
    assert told in validity.doubts(sample)
    arms = tuple(replace(a, reference="random") if a.baseline else a for a in sample.summary.arms)
    assert not list(validity.one_cure(replace(sample, summary=replace(sample.summary, arms=arms))))


def test_the_purpose_is_of_the_plan(sample, small):
    first, second = purpose.sentences(sample)
    assert first.startswith(
        "We break a small ERP service in the embedded lab on purpose, by one of 3\u00a0faults (kill one pod; "
    )
    assert "without a healer (arm off) and with the healer (arm zscore: detector zscore)" in second
    bare = " ".join(purpose.sentences(replace(sample, plan=None)))
    assert bare.startswith("We break a service on purpose, by one of 3\u00a0faults (cpu-90; ")
    assert "4 healers" not in " ".join(purpose.sentences(small.page()))


def test_an_arm_without_a_healer_is_not_judged_for_what_only_a_healer_does(sample):
    assert [a.arm for a in healers(sample)] == [Arm("zscore", "default")]


def test_a_break_even_stands_beside_the_availability(sample):
    (table,) = [b for b in healing.section(sample).blocks if isinstance(b, Table) and b.id == "tab-sla"]
    place = [c.title for c in table.columns].index("Target kept up to\n[faults a window]")
    off, zscore = (int(plain_text(row[place])) for row in table.rows)
    sla, target = sample.plan.analysis.sla, sample.plan.analysis.targets.sla
    assert off < sla.faults < zscore
    for faults, arm in ((off, sample.arms[0]), (zscore, sample.arms[1])):
        lost = (1 - arm.sla.availability) / sla.faults  # by each fault, as a share of the window
        assert faults * lost <= 1 - target < (faults + 1) * lost


def test_the_method_has_a_number_of_the_campaign_for_each_formula(sample):
    told = {topic: text.replace("\u00a0", " ") for topic, text in explained.method(sample)}
    off, zscore = (arm.mttr.rmst_s for arm in sample.arms)
    assert re.search(rf"\(12\.00 \+ 8\.\d\d \+ 12\.00\) / 3 = {off:.1f} s", told["MTTR"])
    assert f"1 − {zscore:.2f} / {off:.2f} = {100 * (1 - zscore / off):.0f} %" in told["Reduction"]
    assert "0.9^60 = 0.0018" in told["Auto-heal rate"]
    assert f"= {100 * sample.arms[1].sla.availability:.3f} %" in told["Availability"]
    assert "Holm" not in told["Several targets and arms"]
