"""The verdict for a CI job: pass or fail, JUnit XML, GitHub's annotations and job summary. Summary in, text out.

Names of arms and levels are a user's: none of them may become markup or a command.
"""

from __future__ import annotations

import html
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from typing import Literal, get_args

from smartops_chaos.analysis.phrases import left_out
from smartops_chaos.analysis.sentences import SIMULATED, sentences
from smartops_chaos.analysis.summary import Decision, Summary, Verdict
from smartops_chaos.analysis.words import TARGETS, legal, percent, target_value

Require = Literal["proven", "observed"]
_NOTHING = "Nothing was judged: no arm beside the baseline has a result."


def check(summary: Summary, require: Require = "proven") -> tuple[bool, list[str]]:
    """Whether every target of every arm is met, and one line for each. `observed` also accepts point estimates.

    A target that is trivial, met whatever the healer does, does not pass, nor does a summary without verdicts or a
    simulated one: a check that looked at nothing must not be green. Of a simulated one the lines still tell what each
    verdict would be.
    """
    lines = [f"{'pass' if passes(v, require) else 'FAIL'}  {verdict_line(v)}" for v in summary.verdicts]
    passed = bool(lines) and all(passes(v, require) for v in summary.verdicts)
    if summary.simulated:
        return False, [f"FAIL  {SIMULATED}", *(f"simulated  {line}" for line in lines or [_NOTHING])]
    return passed, lines or [_NOTHING]


def passes(verdict: Verdict, require: Require) -> bool:
    return verdict.verdict == "proven" or (require == "observed" and verdict.verdict == "observed above")


def junit(summary: Summary, require: Require = "proven") -> str:
    """One test case a target and arm; its failure's type is the verdict. No verdict at all is one failure."""
    failed = [v for v in summary.verdicts if not passes(v, require)]
    unmeasured = {"undecidable": _NOTHING} if not summary.verdicts else {}
    unmeasured |= {"simulated": SIMULATED} if summary.simulated else {}
    suite = ET.Element(
        "testsuite",
        name=legal(f"SIMULATED {summary.campaign}" if summary.simulated else summary.campaign),
        tests=str(len(summary.verdicts) + len(unmeasured)),
        failures=str(len(failed) + len(unmeasured)),
        errors="0",
        skipped="0",
    )
    for verdict in summary.verdicts:
        case = ET.SubElement(suite, "testcase", classname=legal(str(verdict.arm)), name=TARGETS[verdict.target])
        value = f"{target_value(verdict.value, verdict.target)}, at least {percent(verdict.wanted)} wanted"
        if verdict in failed:
            message = f"{verdict.verdict}: {value}"
            ET.SubElement(case, "failure", type=verdict.verdict, message=message).text = legal(verdict.why)
        else:
            ET.SubElement(case, "system-out").text = legal(f"{verdict.verdict}: {value}. {verdict.why}")
    for kind, message in unmeasured.items():
        case = ET.SubElement(suite, "testcase", classname=legal(summary.campaign), name="verdicts")
        ET.SubElement(case, "failure", type=kind, message=message)
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def github_annotations(summary: Summary, require: Require | None) -> list[str]:
    """GitHub's workflow commands: an error for each target that `require` misses, a warning for each weakness.

    `require` None: nothing is checked, so nothing is an error.
    """
    missed = [v for v in summary.verdicts if require and not passes(v, require)]
    told = [("error", f"{TARGETS[v.target]} of {v.arm}: {v.verdict}", verdict_line(v)) for v in missed]
    if require and not summary.verdicts:
        told.append(("error", "Nothing was judged", _NOTHING))
    if summary.simulated:
        told.append(("error" if require else "warning", "Simulated", SIMULATED))
    told += [("warning", f"Weak result: {summary.campaign}", warning) for warning in summary.warnings]
    return [f"::{kind} title={_command(title, ':,')}::{_command(message)}" for kind, title, message in told]


def job_summary(summary: Summary, files: Sequence[str] = (), artifacts: str = "", beside: Sequence[str] = ()) -> str:
    """GitHub-flavoured Markdown: the verdicts, the answer, what makes the result weak, what was left out.

    `files` are those of the report, `artifacts` the address of the page that offers them, `beside` what else to say.
    """
    mark = "SIMULATED: " if summary.simulated else ""
    lines = [f"## {mark}Self-healing benchmark: {_escaped(summary.campaign)}", ""]
    if summary.verdicts:
        counts = Counter(v.verdict for v in summary.verdicts)
        found = [f"{counts[name]} {name}" for name in get_args(Decision) if counts[name]]
        lines += [f"**Of {len(summary.verdicts)} targets: {', '.join(found)}.**", ""]
        lines += ["| Arm | Target | Wanted | Measured | Verdict | Why |", "| --- | --- | ---: | ---: | --- | --- |"]
        for v in summary.verdicts:
            cells = (
                str(v.arm),
                TARGETS[v.target],
                percent(v.wanted),
                target_value(v.value, v.target),
                v.verdict,
                v.why,
            )
            lines.append("| " + " | ".join(map(_escaped, cells)) + " |")
        lines.append("")
    else:
        lines += [f"**{_NOTHING}**", ""]
    lines += [_escaped(text) + "\n" for text in (*sentences(summary), *beside)]
    if summary.warnings:
        lines += ["**What makes this result weak, and what mends it**", ""]
        lines += [f"- {_with_commands(warning)}" for warning in summary.warnings]
        lines.append("")
    lines.append(f"Left out: {_escaped(left_out(summary.excluded))}")
    if files:
        where = f" in the [artifacts of this run]({artifacts}), if the job uploads them" if artifacts else ""
        lines += ["", f"The report{where}: {', '.join(f'`{name}`' for name in files if '`' not in name)}"]
    return "\n".join(lines) + "\n\n"


def verdict_line(verdict: Verdict) -> str:
    value = f"{target_value(verdict.value, verdict.target)}, at least {percent(verdict.wanted)} wanted"
    return _line(f"{verdict.arm}: {TARGETS[verdict.target]} {value}: {verdict.verdict}. {verdict.why}".rstrip())


def _line(text: str) -> str:
    return re.sub(r"\s*[\r\n]\s*", " ", text)


def _command(text: str, also: str = "") -> str:
    """Of a workflow command: without what would end it."""
    return "".join(f"%{ord(c):02X}" if c in f"%\r\n{also}" else c for c in text)


def _with_commands(text: str) -> str:
    """Escaped, but for commands in backticks, which stay."""
    parts = text.split("`")
    if len(parts) % 2 == 0 or "``" in text:
        return _escaped(text)
    return "".join(f"`{_line(part)}`" if i % 2 else _escaped(part) for i, part in enumerate(parts))


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_\[\]|~#$])", r"\\\1", html.escape(_line(text), quote=False))
