from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from smartops_chaos.analysis.summary import Verdict
from smartops_chaos.model import Arm
from smartops_chaos.report.ci import check, job_summary, junit

ARM = Arm("zscore|<b>", "default")


def verdict(decision) -> Verdict:
    return Verdict("auto_heal", ARM, 0.9, 0.95, 0.8, decision, "19 of 20 incidents")


@pytest.mark.parametrize(
    ("decision", "proven", "observed"),
    [("proven", True, True), ("observed", False, True), ("missed", False, False), ("undecidable", False, False)],
)
def test_what_passes(nothing, decision, proven, observed):
    summary = replace(nothing, verdicts=(verdict("proven"), verdict(decision)))
    assert check(summary, "proven")[0] is proven
    assert check(summary, "observed")[0] is observed
    for require, ok in (("proven", proven), ("observed", observed)):
        suite = ET.fromstring(junit(summary, require)).find("testsuite")
        assert suite.get("tests") == "2"
        assert suite.get("failures") == str(0 if ok else 1)
        assert [f.get("type") for f in suite.iter("failure")] == ([] if ok else [decision])


def test_each_line_says_target_value_and_verdict(nothing):
    _, lines = check(replace(nothing, verdicts=(verdict("missed"),)))
    assert lines == [
        "FAIL  zscore|<b>: Auto-heal rate 95\u00a0%, at least 90\u00a0% wanted: missed. 19 of 20 incidents"
    ]


def test_a_check_that_looked_at_nothing_is_not_green(nothing):
    ok, lines = check(replace(nothing, verdicts=()))
    assert not ok
    assert "second arm" in lines[0]
    assert len(list(ET.fromstring(junit(replace(nothing, verdicts=()))).iter("failure"))) == 1


def test_control_characters_do_not_break_junit(nothing):
    hostile = replace(verdict("missed"), arm=Arm("a\x00b]]>", "default"), why="\x1b[0m & <why>")
    root = ET.fromstring(junit(replace(nothing, campaign="c\x01", verdicts=(hostile,))))
    assert "& <why>" in "".join(root.itertext())


def test_the_job_summary_keeps_its_table_whatever_the_names(nothing):
    text = job_summary(replace(nothing, verdicts=(verdict("proven"),), warnings=("run `a --b <c>`",)))
    (row,) = [line for line in text.splitlines() if "Auto-heal" in line]
    assert row.replace("\\|", "").count("|") == 7
    assert "<b>" not in text
    assert "`a --b &lt;c&gt;`" in text
    assert "Left out: off: 1 invalid: gate; zscore: 1 invalid: gate." in text
