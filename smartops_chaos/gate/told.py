"""A decision as text, JSON and JUnit, and the evidence of it as a file. Texts are pure.

An evidence file has the rules, every question with its answer, and the decision: `gate --at` judges it anew.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from smartops_chaos import __version__
from smartops_chaos.errors import UsageError
from smartops_chaos.gate.asking import Asked, stamp
from smartops_chaos.gate.judge import GateDecision
from smartops_chaos.schema.gatefile import EnvironmentRules
from smartops_chaos.schema.units import format_duration
from smartops_chaos.store.jsonfiles import content, to_json, write_atomically

EXIT = {"open": 0, "closed": 1, "undecidable": 4}
_WORDS = {"open": "OPEN", "closed": "CLOSED", "undecidable": "NOT TO BE JUDGED"}


@dataclass(frozen=True, slots=True)
class GateEvidence:
    environment: str
    at_s: float
    rules: dict[str, Any]
    answers: dict[str, Asked]
    decision: dict[str, Any]
    override: str = ""
    made_by: str = f"smartops-chaos {__version__}"


_EVIDENCE = TypeAdapter(GateEvidence)


def as_json(decision: GateDecision, override: str = "") -> dict[str, Any]:
    return {
        "ruling": decision.ruling,
        "at": stamp(decision.at_s),
        "window_start": stamp(decision.start_s),
        "opens_at_the_earliest": stamp(decision.opens_s) if decision.opens_s is not None else None,
        "override": override,
        "rules": [asdict(one) for one in decision.results],
        "tested": [asdict(one) for one in decision.tested],
        "tested_share": decision.tested_share,
    }


def as_text(decision: GateDecision, override: str = "") -> str:
    word = _WORDS[decision.ruling]
    lines = [f"{decision.environment}: {word} for the window {stamp(decision.start_s)} to {stamp(decision.at_s)}"]
    lines += [f"  {_WORDS[one.ruling].lower():17} {one.rule}: {one.why}" for one in decision.results]
    for one in decision.tested:
        span = format_duration(round(one.end_s - one.start_s, 3))
        lines.append(
            f"  taken out         {stamp(one.start_s)} to {stamp(one.end_s)} ({span}): {one.fault} was injected"
        )
    if decision.ruling != "open" and decision.opens_s is not None:
        lines.append(f"it can open at {stamp(decision.opens_s)} at the earliest, if nothing else happens until then")
    if override:
        lines.append(f"OPENED BY HAND: {override}")
    return "\n".join(lines)


def as_junit(decision: GateDecision) -> str:
    """A test case for each rule: closed is a failure, undecidable an error."""
    results = decision.results
    suite = ET.Element(
        "testsuite",
        name=f"gate {decision.environment}",
        tests=str(len(results)),
        failures=str(sum(one.ruling == "closed" for one in results)),
        errors=str(sum(one.ruling == "undecidable" for one in results)),
        skipped="0",
    )
    for one in results:
        case = ET.SubElement(suite, "testcase", classname=f"gate.{decision.environment}", name=one.rule)
        if one.ruling == "open":
            ET.SubElement(case, "system-out").text = one.why
        else:
            ET.SubElement(case, "failure" if one.ruling == "closed" else "error", type=one.ruling, message=one.why)
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def evidence_file(folder: Path, environment: str, at_s: float) -> Path:
    return folder / f"gate-{environment}-{stamp(at_s).replace(':', '').replace('-', '')}.json"


def write(
    file: Path, rules: EnvironmentRules, answers: Mapping[str, Asked], decision: GateDecision, override: str
) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    evidence = GateEvidence(
        decision.environment,
        decision.at_s,
        rules.model_dump(mode="json"),
        dict(answers),
        as_json(decision, override),
        override,
    )
    write_atomically(file, to_json(_EVIDENCE.dump_python(evidence, mode="json")))


def read_answers(file: Path) -> dict[str, Asked]:
    """The answers of an earlier decision. Raises FileNotFoundError, UsageError."""
    try:
        return _EVIDENCE.validate_json(content(file)).answers
    except ValidationError:
        raise UsageError(f"{file} is no evidence of a gate", "name another folder with --evidence") from None
