from __future__ import annotations

import shutil
from pathlib import Path

from smartops_chaos.analysis import load
from smartops_chaos.report import render
from smartops_chaos.report.build import build
from smartops_chaos.store.campaign_folder import CampaignFolder

SAMPLE = Path(__file__).parents[2] / "results" / "sample"
TRIAL = "cpu-90.steady.zscore.default.1"


def test_the_report_of_a_campaign_holds_the_raw_lines_behind_its_trials():
    page = render.html(build(load.campaign([CampaignFolder(SAMPLE)])))
    assert "ClosedLoopManager: executing restart on lab/smartops-erp-simulator" in page
    assert f'href="#shown-{1 + list(load.campaign([CampaignFolder(SAMPLE)]).records).index(TRIAL)}">{TRIAL}</a>' in page


def test_a_trial_without_evidence_is_not_explained(tmp_path):
    store = CampaignFolder(shutil.copytree(SAMPLE, tmp_path / "sample"))
    (store.path / "trials" / TRIAL / "samples" / "evidence.json.gz").unlink()
    campaign = load.campaign([store])
    assert campaign.explain(TRIAL) == campaign.explain("no such trial") == ""
    assert "Rules" in campaign.explain("cpu-90.steady.zscore.default.2")
