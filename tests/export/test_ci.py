from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt  # comes with rich

from smartops_chaos.analysis.summary import Verdict
from smartops_chaos.export.ci import check, github_annotations, job_summary, junit
from smartops_chaos.model import Arm

ARM = Arm("zscore|<b>", "default")


def verdict(decision) -> Verdict:
    return Verdict("auto_heal", ARM, 0.9, 0.95, 0.8, decision, "19 of 20 incidents")


@pytest.mark.parametrize(
    ("decision", "proven", "observed"),
    [
        ("proven", True, True),
        ("observed above", False, True),
        ("observed below", False, False),
        ("missed", False, False),
        ("trivial", False, False),
        ("undecidable", False, False),
    ],
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
    assert "Nothing was judged" in lines[0]
    assert len(list(ET.fromstring(junit(replace(nothing, verdicts=()))).iter("failure"))) == 1


def test_control_characters_do_not_break_junit(nothing):
    hostile = replace(verdict("missed"), arm=Arm("a\x00b]]>", "default"), why="\x1b[0m & <why>")
    root = ET.fromstring(junit(replace(nothing, campaign="c\x01", verdicts=(hostile,))))
    assert "& <why>" in "".join(root.itertext())


def rendered(text: str) -> str:
    return MarkdownIt("commonmark").enable("table").render(text)


HOSTILE = "`a|<img src=x>](http://x) *b* ![c](d) &lt; \\\n\n# e"


def test_no_name_is_markup_in_the_job_summary(nothing):
    hostile = replace(verdict("missed"), arm=Arm(HOSTILE, "default"), why=HOSTILE)
    warnings = (f"{HOSTILE}: run `a --b <c>` now", f"{HOSTILE}` `{HOSTILE}", f"``{HOSTILE}` x")
    page = rendered(job_summary(replace(nothing, campaign=HOSTILE, verdicts=(hostile,), warnings=warnings)))
    assert [tag for tag in ("<img", "<a ", "<em>", "<h1") if tag in page] == []
    assert page.count("<tr>") == 2
    assert page.count("<td") == 6


def test_the_job_summary_says_verdicts_why_weaknesses_and_where_the_report_is(nothing):
    summary = replace(
        nothing, verdicts=(verdict("proven"), verdict("missed")), warnings=("few in a_b: run `a --b <c>` now",)
    )
    text = job_summary(summary, ["reports/n-1/report.pdf"], "https://github.com/o/r/actions/runs/1#artifacts")
    assert "**Of 2 targets: 1 proven, 1 missed.**" in text
    page = rendered(text)
    assert page.count("19 of 20 incidents") == 2
    assert "<li>few in a_b: run <code>a --b &lt;c&gt;</code> now</li>" in page
    assert "<code>reports/n-1/report.pdf</code>" in page
    assert '<a href="https://github.com/o/r/actions/runs/1#artifacts">' in page
    assert "Left out: off: 1 invalid: gate; zscore: 1 invalid: gate." in text
    assert "Nothing was judged" in job_summary(replace(nothing, verdicts=()))


def test_annotations_are_errors_for_what_is_required_and_warnings_for_weaknesses(nothing):
    hostile = replace(verdict("missed"), arm=Arm("a: b, 5%\n::error::x", "default"))
    summary = replace(nothing, verdicts=(hostile, verdict("observed above")), warnings=("few\r\n::error::y",))
    title = "Auto-heal rate of a%3A b%2C 5%25%0A%3A%3Aerror%3A%3Ax%3A missed"
    told = github_annotations(summary, "observed")
    assert told[0].startswith(f"::error title={title}::a: b, 5%25 ::error::x: Auto-heal rate 95\u00a0%25")
    assert told[1:] == ["::warning title=Weak result%3A nothing-1::few%0D%0A::error::y"]
    assert [line.split()[0] for line in github_annotations(summary, "proven")] == ["::error", "::error", "::warning"]
    assert [line.split()[0] for line in github_annotations(summary, None)] == ["::warning"]
    assert github_annotations(replace(nothing, verdicts=()), "proven")[0].startswith("::error title=Nothing")
    assert not any("\n" in line for line in (*told, *check(summary)[1]))
