"""The verdict for a CI job: pass or fail, JUnit XML, a job summary in Markdown. Summary in, text out."""

from __future__ import annotations

import html
import re
import xml.etree.ElementTree as ET
from typing import Literal

from smartops_chaos.analysis.summary import Summary, Verdict
from smartops_chaos.report.answer import TARGETS, detail, left_out, level, sentences
from smartops_chaos.report.words import legal, percent

Require = Literal["proven", "observed"]
_NOTHING = "Nothing was judged: a campaign needs a second arm beside its baseline."


def check(summary: Summary, require: Require = "proven") -> tuple[bool, list[str]]:
    """Whether every target of every arm is met, and one line for each. `observed` also accepts point estimates.

    A summary without verdicts does not pass: a check that looked at nothing must not be green.
    """
    lines = [
        f"{'pass' if passes(v, require) else 'FAIL'}  {v.arm}: {TARGETS[v.target]} {detail(v.value, v.target)}, "
        f"at least {percent(v.wanted)} wanted: {v.verdict}. {v.why}".rstrip()
        for v in summary.verdicts
    ]
    return bool(lines) and all(passes(v, require) for v in summary.verdicts), lines or [_NOTHING]


def passes(verdict: Verdict, require: Require) -> bool:
    return verdict.verdict == "proven" or (require == "observed" and verdict.verdict == "observed")


def junit(summary: Summary, require: Require = "proven") -> str:
    """One test case a target and arm; its failure's type is the verdict. No verdict at all is one failure."""
    failed = [v for v in summary.verdicts if not passes(v, require)]
    suite = ET.Element(
        "testsuite",
        name=legal(summary.campaign),
        tests=str(len(summary.verdicts) or 1),
        failures=str(len(failed) if summary.verdicts else 1),
        errors="0",
        skipped="0",
    )
    for verdict in summary.verdicts:
        case = ET.SubElement(suite, "testcase", classname=legal(str(verdict.arm)), name=TARGETS[verdict.target])
        value = f"{detail(verdict.value, verdict.target)}, at least {percent(verdict.wanted)} wanted"
        if verdict in failed:
            message = f"{verdict.verdict}: {value}"
            ET.SubElement(case, "failure", type=verdict.verdict, message=message).text = legal(verdict.why)
        else:
            ET.SubElement(case, "system-out").text = legal(f"{verdict.verdict}: {value}. {verdict.why}")
    if not summary.verdicts:
        case = ET.SubElement(suite, "testcase", classname=legal(summary.campaign), name="verdicts")
        ET.SubElement(case, "failure", type="undecidable", message=_NOTHING)
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def job_summary(summary: Summary) -> str:
    """GitHub-flavoured Markdown: the answer, the verdicts, what makes the result weak, what was left out."""
    lines = [f"## Self-healing benchmark: {_escaped(summary.campaign)}", ""]
    lines += [_escaped(text) + "\n" for text in sentences(summary, level(summary))]
    if summary.verdicts:
        lines += ["| Arm | Target | Wanted | Measured | Verdict | Why |", "| --- | --- | ---: | ---: | --- | --- |"]
        for v in summary.verdicts:
            cells = (str(v.arm), TARGETS[v.target], percent(v.wanted), detail(v.value, v.target), v.verdict, v.why)
            lines.append("| " + " | ".join(map(_escaped, cells)) + " |")
        lines.append("")
    if summary.warnings:
        lines += ["**What makes this result weak, and what mends it**", ""]
        # Their commands stand in backticks, which stay.
        lines += [f"- {html.escape(warning, quote=False)}" for warning in summary.warnings]
        lines.append("")
    lines.append(f"Left out: {_escaped(left_out(summary))}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_\[\]|~#$])", r"\\\1", html.escape(" ".join(text.split()), quote=False))
