from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from smartops_chaos import api
from smartops_chaos.analysis.load import CampaignData
from smartops_chaos.report import closely, naive, reading, validity
from smartops_chaos.report.document import Facts, Figure, Paragraph, Section, plain_text
from smartops_chaos.report.page import page

SAMPLE = Path(__file__).parents[2] / "results" / "sample"


@pytest.fixture(scope="module")
def sample() -> CampaignData:
    return api.load(SAMPLE)


def test_the_pair_is_the_median_repair_and_its_twin_in_the_same_block(sample):
    seen = page(sample)
    pair = closely.median_pair(seen, sample)
    assert pair is not None
    (off, _), (healed, record) = pair
    assert (off.trial.chaos, off.trial.workload, off.trial.block) == (
        healed.trial.chaos,
        healed.trial.workload,
        healed.trial.block,
    )
    assert off.trial.arm == sample.plan.analysis.baseline
    times = seen.counted
    times = times[(times["model"] == healed.trial.model) & (times["outcome"] == "healed")]["time_s"]
    assert abs(record.row["time_s"] - times.median()) == (times - times.median()).abs().min()
    section, numbers = closely.section(seen, pair)
    (figure,) = [b for b in section.blocks if isinstance(b, Figure)]
    assert figure.tables == (numbers.id,)
    assert healed.trial.id in figure.alt


def test_without_evidence_there_is_no_pair(small):
    assert closely.median_pair(page(small.data()), small.data()) is None


def test_twelve_words_are_explained_at_once_and_of_the_others_those_that_are_used():
    (facts,) = [b for b in reading.section().blocks if isinstance(b, Facts)]
    assert len(facts.pairs) == 12
    assert all(len(text) < 230 for _, text in facts.pairs)
    used = Section("a", "A", (Paragraph("a relapse, and p = 0.01 by Wilson"),))
    (facts,) = reading.words([used]).blocks
    assert [name for name, _ in facts.pairs] == ["p", "Relapse", "Wilson interval"]


def test_the_naive_figure_stands_beside_the_true_one_with_why_it_is_wrong(sample):
    seen = page(sample)
    (arm,) = [a for a in seen.arms if not a.baseline]
    rows = seen.counted
    good = rows[rows["time_s"] < rows["horizon_s"]].groupby("model")["time_s"].mean()
    assert naive.mean_of_successes(seen, arm.arm)[0] == pytest.approx(good["zscore"])
    told = naive.told(seen, arm, "mttr_reduction").replace("\u00a0", " ")
    assert told.startswith(f"Do not confuse with {100 * (1 - good['zscore'] / good['off']):.0f} %")
    assert "40 trials that never recovered are left out" in told
    assert "33 % end by themselves" in naive.told(seen, arm, "auto_heal").replace("\u00a0", " ")
    assert "good share of the time within trials" in naive.told(seen, arm, "sla")


def test_threats_are_told_from_the_campaign(sample):
    seen = page(sample)
    section = validity.section(seen)
    (facts,) = [b for b in section.blocks if isinstance(b, Facts)]
    told = {label.split(":")[0]: plain_text(text).replace("\u00a0", " ") for label, text in facts.pairs}
    assert {"Construct", "Internal", "External", "Statistical", "What is emulated"} <= set(told)
    assert "(slow)" in told["What is emulated"]
    assert "In 3 calibration trials we ended the fault at a known second" in told["Construct"]
    assert "60 trials count in each arm." in told["Statistical"]
    assert any(isinstance(b, Figure) for b in section.blocks)


def test_a_bare_table_has_no_system(small, nothing):
    section = validity.section(replace(small.page(nothing), plan=None))
    assert isinstance(section.blocks[0], Paragraph)
    assert not any(isinstance(b, Figure) for b in section.blocks)
