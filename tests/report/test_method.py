from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from smartops_chaos.analysis.summary import MomentAgreement
from smartops_chaos.model import Arm, Slo, Stop
from smartops_chaos.plan.expand import load_plan
from smartops_chaos.report import method
from smartops_chaos.report.document import Code, Facts, Paragraph, Table, plain_text


def facts(section) -> dict[str, str]:
    *_, block = [b for b in section.blocks if isinstance(b, Facts)]  # the method stands before the plan
    return {label: value.replace("\u00a0", " ") for label, value in block.pairs}


def test_the_analysis_plan_is_printed(small):
    found = facts(method.method(small.page()))
    assert found["Service level objective (SLO)"] == "95 % of the requests within 250 ms, over windows of H = 2 s"
    assert found["Targets"] == "MTTR reduction 40 %, auto-heal rate 90 %, availability 99 %"
    assert found["Service level agreement (SLA)"] == "4 faults in 30 days"
    assert found["Alpha"].startswith("0.025, one-sided")
    assert found["Seed"] == "1"
    assert found["Digest of the plan"] == small.plan.digest


def test_levels_that_ran_once_for_two_are_named(small):
    plan = replace(small.plan, same_arm={"off/strict": "off/default", "off/default": "off/default"})
    tables = {b.id: b for b in method.method(small.page(plan=plan)).blocks if isinstance(b, Table)}
    assert tables["tab-levels"].note == "off/strict and off/default have equal settings and ran once."
    assert ("pod-kill", "pod-kill", "load = 0.9", "pod", "lasting", "12\u00a0s") in tables["tab-scenarios"].rows
    (calibration,) = method.instrument(small.summary())
    assert len(calibration.rows) == 2


def test_a_bare_table_prints_what_it_implies(small):
    applied = replace(small.summary().plan, sla=None, frozen=None)
    found = facts(method.method(small.page(replace(small.summary(), plan=applied), plan=None)))
    assert found["Alpha"].startswith("0.025, one-sided")
    assert "auto-heal rate 90 %" in found["Targets"]
    assert found["Service level agreement (SLA)"] == "none"


def test_a_query_is_told_as_it_was_asked(small):
    slo = Slo(2.0, 1.0, 10.0, "rate(good[30s])", 0.95, every_s=1.0, lag_s=30.0)
    plan = replace(small.plan, analysis=replace(small.plan.analysis, slo=slo))
    section = method.method(small.page(plan=plan))
    told = "rate(good[30s]) is at least 0.95, asked every 1 s, with a lag of up to 30 s, over windows of H = 10 s"
    assert facts(section)["Service level objective (SLO)"] == told
    assert "under a load that is not ours" in dict(section.blocks[0].pairs)["What a trial is"]


def test_agreement_of_metrics_and_logs_adds_up(small):
    told = (
        MomentAgreement("detected", 8, 1, 0, 1),
        MomentAgreement("acted", 5, 0, 1, 0),
        MomentAgreement("decided", 0, 0, 0, 0),
    )
    summary = replace(small.summary(), agreement=told)
    tables = {b.id: b for b in method.instrument(summary) if isinstance(b, Table)}
    table = tables["tab-agreement"]
    assert [row[0] for row in table.rows] == ["detected", "acted", "all"]
    assert table.rows[-1][1] == "16"
    assert table.rows[-1][2] == "13 of 16"
    assert table.rows[-1][3:] == ("1", "1", "1")


def test_where_metrics_and_logs_agree_on_everything_a_sentence_says_so(small):
    summary = replace(small.summary(), agreement=(MomentAgreement("detected", 8, 0, 0, 0),))
    blocks = list(method.instrument(summary))
    assert not [b for b in blocks if isinstance(b, Table) and b.id == "tab-agreement"]
    told = [plain_text(b.text) for b in blocks if isinstance(b, Paragraph)]
    assert any("agree on all 8 moments" in text for text in told)


def test_long_settings_are_cut(small):
    variant = replace(small.plan.policies["default"], settings={"rules": "rule one\n" * 100})
    plan = replace(small.plan, policies={"default": variant})
    blocks = method.method(small.page(plan=plan)).blocks
    (table,) = [b for b in blocks if isinstance(b, Table) and b.id == "tab-levels"]
    assert table.rows[-1][2] == "rules: in full below"
    (code,) = [b for b in blocks if isinstance(b, Code)]
    assert code.text.splitlines()[0] == "rule one"
    assert code.text.endswith("and 40 more lines")


def test_the_command_is_code(small):
    section = method.again(replace(small.page(), provenance={"Python": "3.11", "Command": "smartops-chaos run m.yaml"}))
    assert facts(section) == {"Python": "3.11"}
    assert [b.text for b in section.blocks if isinstance(b, Code)] == ["smartops-chaos run m.yaml"]


def test_looks_are_told_with_what_each_arm_was_judged_by(small):
    summary = small.summary()
    plan = replace(summary.plan, looks=2, stopped=(Stop(Arm("zscore", "default"), 1, 10),))
    told = str(method.method(small.page(replace(summary, plan=plan))))
    assert "2 looks at equal shares" in told
    assert "zscore at look 1, by the first 10 repeats" in told
    assert "one look, at the end" in str(method.method(small.page(summary)))


def test_what_a_fault_leaves_alone_is_told(tmp_path: Path) -> None:
    text = """\
version: 1
name: m
target: {kind: kubernetes, healer: lab-kubernetes, lanes: [{namespace: a}], allow: [a]}
factors:
  chaos: {slow: {fault: network-delay}, kill: {fault: pod-kill}}
  model: {off: {healer: off}}
repeats: 1
baseline: {model: off}
slo: {latency: 250ms, objective: 95%, hold: 2s}
horizon: {after: 12s, because: "a test"}
"""
    (tmp_path / "matrix.yaml").write_text(text, encoding="utf-8")
    caption = method._scenarios(load_plan(tmp_path / "matrix.yaml")).note
    assert "Not touched by network-delay: calls to a pod's own address" in caption
    assert "by pod-kill" not in caption
