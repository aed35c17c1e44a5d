"""platform/gates.yaml: for each of its numbers a story just on this side of it and one just beyond, and that no line
of it can be changed without one of them coming out differently.

The stories' numbers are those of the documents and stand here a second time on purpose.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from smartops_chaos.gate import judge
from smartops_chaos.gate.asking import Asked, stamp
from smartops_chaos.gate.questions import CAMPAIGN, CLOCK, RELEASE, RULES, STATE, questions
from smartops_chaos.schema.gatefile import EnvironmentRules, GateFile
from tests.platform.promql import exported, recorded, series_names

SHIPPED = Path(__file__).parents[2] / "platform" / "gates.yaml"
TEXT = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))["environments"]
AT_S, MIN, HOUR = 1_700_000_040.0, 60.0, 3600.0
WINDOW_S = {"dev": 15 * MIN, "stage": 72 * HOUR, "prod": 15 * MIN}
JOBS = ("smartops-erp-simulator", "smartops-orchestrator", "smartops-chaos-monitor")
GROUPS = ("smartops-slo", "smartops-healing", "smartops-pods", "smartops-witness")
DIGEST = "sha256:" + "a" * 64
Times = Callable[[float], float | None]  # seconds before AT_S -> the value, or none
Answers = Mapping[str, Asked]


@dataclass(frozen=True)
class Story:
    section: str  # of the rules
    ruling: str
    changes: Mapping[str, Asked]


def series(environment: str, *lines: tuple[dict[str, str], Times]) -> Asked:
    """One sample a minute, from the one before the window on."""
    minutes = range(int(WINDOW_S[environment] / MIN), -1, -1)
    rows = [
        {"metric": labels, "values": [[AT_S - MIN * m, str(v)] for m in minutes if (v := value(MIN * m)) is not None]}
        for labels, value in lines
    ]
    return Asked("Prometheus", "query", {"result": [row for row in rows if row["values"]]})


def always(_: float) -> float:
    return 1.0


def fires(environment: str, severity: str, when: Callable[[float], bool]) -> dict[str, Asked]:
    """An alert, while `when` of the seconds before the end of a minute."""
    return {
        "alerts": series(environment, ({"alertname": "A", "severity": severity}, lambda b: 1.0 if when(b) else None))
    }


def requests(environment: str, total: float, bad: float) -> dict[str, Asked]:
    """So many in the whole window, the bad ones at its end."""
    window_s = WINDOW_S[environment]
    return {
        "slo total": series(environment, ({}, lambda before: total * (window_s - before) / window_s)),
        "slo errors": series(environment, ({}, lambda before: bad if before == 0 else 0.0)),
    }


def evaluated(environment: str, since: Mapping[str, float] | None = None) -> dict[str, Asked]:
    """Each rule group every minute; `since` so many seconds before the end, if it was loaded late."""

    def last(group: str) -> Times:
        return lambda before: AT_S - before - 4 if before <= (since or {}).get(group, math.inf) else None

    lines = [({"rule_group": f"/etc/prometheus/rules/{one}.yaml;{one}"}, last(one)) for one in GROUPS]
    return {"rule groups": series(environment, *lines)}


def loaded(*groups: str) -> dict[str, Asked]:
    rule = [{"name": "A", "health": "ok"}]
    return {RULES: Asked("P", "rules", {"groups": [{"name": name, "rules": rule} for name in groups]})}


def running(restarted_s: float = 30 * 86400, available: int = 2) -> dict[str, Asked]:
    status = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": available}
    metadata = {"name": "erp", "generation": 1}
    controller = {"kind": "deployment", "metadata": metadata, "spec": {"replicas": 2}, "status": status}
    one = {"name": "erp", "waiting": "", "restarted": stamp(AT_S - restarted_s), "image": f"erp@{DIGEST}"}
    pods = [{"name": "erp-1", "owner": "ReplicaSet", "containers": [one]}]
    return {STATE: Asked("Kubernetes", "state", {"controllers": [controller], "pods": pods})}


def measured(upper_s: float = 30.0, age_s: float = HOUR, estimate_s: float = 10.0) -> dict[str, Asked]:
    arms = [{"arm": "zscore", "estimate_s": estimate_s, "upper_s": upper_s}]
    fact = {"name": "c", "started": stamp(AT_S - age_s), "images": f"erp e:1 ({DIGEST[:19]})", "arms": arms}
    return {CAMPAIGN: Asked("campaigns", "results", [{**fact, "refused": "", "signed_for": []}])}


def released(ago_s: float) -> dict[str, Asked]:
    return {RELEASE: Asked("Kubernetes", "history", {"revisions": [[1, "deployed", stamp(AT_S - ago_s), "x"]]})}


def image(environment: str, changed_s: float = 99 * 24 * HOUR) -> dict[str, Asked]:
    """A version since then, and another one before."""
    return {
        "versions 0": series(
            environment,
            ({"container": "erp", "image_id": "new"}, lambda before: 1.0 if before < changed_s else None),
            ({"container": "erp", "image_id": "old"}, lambda before: 1.0 if before >= changed_s else None),
        )
    }


@cache
def green(environment: str) -> Mapping[str, Asked]:
    return {
        "watchdog": series(environment, ({"alertname": "Watchdog"}, always)),
        "targets": series(environment, *(({"job": name}, always) for name in JOBS)),
        "tests": series(environment),
        "alerts": series(environment),
        "mttr gauge": series(environment),
        "spikes": series(environment),
        CLOCK: Asked("P", "clock", 0.0),
        **requests(environment, 5000, 0),
        **loaded(*GROUPS),
        **evaluated(environment),
        **running(),
        **measured(),
        **released(99 * HOUR),
        **image(environment),
    }


def away(environment: str, gone: Callable[[float], bool]) -> dict[str, Asked]:
    """One of the targets, while `gone`."""
    told = [({"job": name}, always) for name in JOBS[1:]]
    return {"targets": series(environment, ({"job": JOBS[0]}, lambda b: None if gone(b) else 1.0), *told)}


def between(first_s: float, last_s: float) -> Callable[[float], bool]:
    """Of the seconds before the end: `first_s` is the earlier one, and counts."""
    return lambda before: last_s < before <= first_s


@cache
def told(environment: str) -> tuple[Story, ...]:
    return tuple(stories(environment))


def stories(e: str) -> Iterator[Story]:
    yield Story("", "open", {})
    at_s = 30 * MIN if e == "stage" else 12 * MIN
    gap_s = {"dev": 3 * MIN, "stage": 10 * MIN, "prod": 3 * MIN}[e]
    yield Story("witness", "open", away(e, between(at_s, at_s - gap_s)))
    yield Story("witness", "undecidable", away(e, between(at_s, at_s - gap_s - MIN)))
    yield Story("witness", "undecidable", {"watchdog": series(e)})
    for job in JOBS:
        yield Story("witness", "undecidable", {"targets": series(e, *(({"job": n}, always) for n in JOBS if n != job))})
    for group in GROUPS:
        yield Story("witness", "undecidable", loaded(*(one for one in GROUPS if one != group)))
        yield Story("witness", "undecidable", evaluated(e, {group: WINDOW_S[e] / 2}))
    if e == "stage":  # 5 % of 72 h are 3.6 h: nine minutes of each of 24 hours, and of each of 25
        yield Story("witness", "open", away(e, lambda b: b % HOUR < 9 * MIN and HOUR < b < 24.5 * HOUR))
        yield Story("witness", "undecidable", away(e, lambda b: b % HOUR < 9 * MIN and HOUR < b < 26.5 * HOUR))
    else:  # 3 and 4 of 15 minutes
        yield Story("witness", "open", away(e, lambda b: b in (3 * MIN, 6 * MIN, 9 * MIN)))
        yield Story("witness", "undecidable", away(e, lambda b: b in (3 * MIN, 6 * MIN, 9 * MIN, 12 * MIN)))
    if e != "prod":
        yield from _under_test(e)
    quiet_s = {"dev": 10 * MIN, "stage": 15 * MIN, "prod": 10 * MIN}[e]
    yield Story("workloads", "open", running(restarted_s=quiet_s + 1))
    yield Story("workloads", "closed", running(restarted_s=quiet_s - 1))
    yield Story("workloads", "closed", running(available=1))
    yield from _alerts(e)
    if e != "dev":
        least = {"stage": 1000, "prod": 100}[e]
        yield Story("slo", "open", requests(e, 10_000, 200))
        yield Story("slo", "closed", requests(e, 10_000, 201))
        yield Story("slo", "open", requests(e, least + 0.5, 0))
        yield Story("slo", "undecidable", requests(e, least - 1, 0))
        yield Story("slo", "undecidable", {"slo errors": series(e)})
    if e == "stage":
        yield from _of_stage()


def _under_test(e: str) -> Iterator[Story]:
    share = {"dev": 0.5, "stage": 0.25}[e]
    ends_s = 6 * MIN
    most_s = WINDOW_S[e] * share - 5 * MIN // MIN * MIN  # with the five minutes after it
    for longer_s, ruling in ((0.0, "open"), (2 * MIN, "undecidable")):
        told = between(ends_s + most_s // MIN * MIN + longer_s, ends_s)
        fault = series(e, ({"fault": "pod-kill"}, lambda b, told=told: 1.0 if told(b) else 0.0))  # type: ignore[misc]
        yield Story("max_tested", ruling, {"tests": fault})
    for fault_s, ruling in ((2 * MIN, "open"), (3 * MIN, "closed")):  # the alert lasts until 3 minutes before the end
        ends_s = 6 * MIN + fault_s
        short = between(ends_s + MIN, ends_s)
        fault = series(e, ({"fault": "k"}, lambda b, told=short: 1.0 if told(b) else 0.0))  # type: ignore[misc]
        yield Story("after_test", ruling, {"tests": fault, **fires(e, "critical", between(ends_s + MIN, 3 * MIN))})


def _alerts(e: str) -> Iterator[Story]:
    longest_s = {"dev": 10 * MIN, "stage": 30 * MIN, "prod": 10 * MIN}[e]
    now = between(MIN, -1)
    for severity, ruling in (("critical", "closed"), ("warning", "closed"), ("info", "open")):
        yield Story("alerts", ruling, fires(e, severity, now))
    yield Story("alerts", "closed", fires(e, "critical", between(5 * MIN, 4 * MIN)))
    blind = {"watchdog": series(e, ({"alertname": "Watchdog"}, lambda before: None if before < 2 * MIN else 1.0))}
    yield Story("alerts", "closed", fires(e, "warning", between(4 * MIN, MIN)) | blind)  # until nobody looked
    yield Story("alerts", "open", fires(e, "warning", between(5 * MIN, 2 * MIN)) | blind)
    yield Story("alerts", "open", fires(e, "warning", between(longest_s + 2 * MIN, 2 * MIN)))
    yield Story("alerts", "closed", fires(e, "warning", between(longest_s + 3 * MIN, 2 * MIN)))


def _of_stage() -> Iterator[Story]:
    e = "stage"
    yield Story("window", "closed", fires(e, "critical", between(72 * HOUR - MIN, 72 * HOUR - 2 * MIN)))
    yield Story("mttr", "open", measured(upper_s=59.9))
    yield Story("mttr", "closed", measured(upper_s=60.0))
    nobody: dict[str, Asked] = {CAMPAIGN: Asked("campaigns", "results", [])}
    yield Story("mttr", "undecidable", nobody)
    yield Story("mttr", "open", nobody | {"mttr gauge": series(e, ({}, lambda _: 59.9))})
    yield Story("mttr", "closed", nobody | {"mttr gauge": series(e, ({}, lambda _: 60.0))})
    yield Story("mttr", "open", measured(age_s=14 * 24 * HOUR - 1))
    yield Story("mttr", "undecidable", measured(age_s=14 * 24 * HOUR + 1))
    yield Story("golden", "open", released(72 * HOUR))
    yield Story("golden", "closed", released(72 * HOUR - 1))
    yield Story("golden", "closed", image(e, changed_s=10 * HOUR))
    both = (
        ({"container": "erp", "image_id": "new"}, always),
        ({"container": "new", "image_id": "new"}, between(HOUR, -1)),
    )
    yield Story(
        "golden", "closed", {"versions 0": series(e, both[0], (both[1][0], lambda b: 1.0 if b < HOUR else None))}
    )
    for more, ruling in ((20, "open"), (21, "closed")):
        yield Story("spikes", ruling, _anomalies(more, 59 * MIN))
    yield Story("spikes", "open", _anomalies(21, 61 * MIN))


def _anomalies(number: int, within_s: float) -> dict[str, Asked]:
    """The last one now; all but one of the others just so long ago."""
    return {
        "spikes": series("stage", ({}, lambda b: 0.0 if b > within_s else number - 1.0 if b > 0 else float(number)))
    }


def rules_of(environment: str, text: Any) -> EnvironmentRules:
    """As the file's loader has them, without places in the text. Raises ValidationError."""
    return GateFile.model_validate({"version": 1, "environments": {environment: text}}).environments[environment]


def noticed(environment: str, text: Any, section: str) -> bool:
    """Whether a story comes out differently than it should; those of the changed section are tried first."""
    try:
        rules = rules_of(environment, text)
    except ValidationError:
        return True
    if not selectors_are_real(rules) or says_otherwise(environment, rules):
        return True
    for story in sorted(told(environment), key=lambda one: one.section != section):
        answers = {**green(environment), **story.changes}
        if judge.judge(environment, rules, AT_S, answers).ruling != story.ruling:
            return True
    return False


def says_otherwise(environment: str, rules: EnvironmentRules) -> bool:
    """What is obeyed before or after the judgement."""
    registered = rules.mttr is None or rules.mttr.registered
    where = (rules.namespace, rules.release)
    name = f"smartops-{environment}"
    return (
        rules.override is not (environment == "dev")
        or not registered
        or where not in ((name, ""), (name, name))
        or rules.prometheus != "kubernetes://@telemetry/prometheus:9090"
    )


def selectors_are_real(rules: EnvironmentRules) -> bool:
    """Each reads something that is exported, of this namespace alone; of the witness, whoever it is about."""
    known = exported() | recorded() | {"up", "ALERTS"}
    asked = {one.key: one.query for one in questions(rules)}
    own = {key: query for key, query in asked.items() if key not in ("watchdog", "rule groups")}
    return all(series_names(query) <= known for query in asked.values()) and all(
        f'namespace="{rules.namespace}"' in query for query in own.values()
    )


@pytest.mark.parametrize("environment", TEXT)
def test_every_border_is_where_the_documents_have_it(environment: str) -> None:
    rules = rules_of(environment, TEXT[environment])
    assert selectors_are_real(rules)
    assert not says_otherwise(environment, rules)
    for story in told(environment):
        found = judge.judge(environment, rules, AT_S, {**green(environment), **story.changes})
        assert found.ruling == story.ruling, (story.section, [one for one in found.results if one.ruling != "open"])


def changed(value: Any) -> Iterator[tuple[str, Any]]:
    """Other values in the place of this one."""
    if isinstance(value, bool):
        yield "not", not value
    elif isinstance(value, int):
        yield "more", 2 * value
        yield "less", value // 2
    elif isinstance(value, list):
        for i, one in enumerate(value):
            yield f"without {one}", value[:i] + value[i + 1 :]
    elif isinstance(value, str) and value[:-1].isdigit():
        yield "more", f"{2 * int(value[:-1])}{value[-1]}"
        yield "less", f"{max(1, int(value[:-1]) // 2)}{value[-1]}"
    elif isinstance(value, str) and "{" in value:
        yield "another series", "other_" + value
        yield "any namespace", value.replace('namespace="${namespace}"', "")
    elif isinstance(value, str):
        yield "another word", "other"


def mutations(text: Any) -> Iterator[tuple[str, str, Any]]:
    """Every key left out, and every value another one: what was done, in which section, the text."""

    def walk(here: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        for key, value in here.items() if isinstance(here, dict) else ():
            yield (*path, key)
            yield from walk(value, (*path, key))

    for path in walk(text, ()):
        where = ".".join(map(str, path))
        whole = copy.deepcopy(text)
        parent = whole
        for key in path[:-1]:
            parent = parent[key]
        value = parent.pop(path[-1])
        yield f"{where}: left out", str(path[0]), copy.deepcopy(whole)
        for what, other in changed(value):
            parent[path[-1]] = other
            yield f"{where}: {what}", str(path[0]), copy.deepcopy(whole)


# What else may be changed, and why nothing follows from it.
_SAME = {
    "alerts.now: without critical",  # what fires now has fired in the window, and that none may
    "step: less",  # a finer grain
    "witness.longest_gap: more",  # of 15 minutes, 20 % are as long as the gap that is allowed
    "witness.longest_gap: left out",
}


@pytest.mark.parametrize("environment", TEXT)
def test_no_line_of_it_can_be_changed_unnoticed(environment: str) -> None:
    rules = rules_of(environment, TEXT[environment])
    tried = [one for one in mutations(TEXT[environment]) if not is_same(environment, one[2], rules)]
    assert len(tried) >= 25
    unseen = {what for what, section, text in tried if not noticed(environment, text, section)}
    assert unseen <= _SAME, "\n".join(sorted(unseen - _SAME))


def is_same(environment: str, text: Any, rules: EnvironmentRules) -> bool:
    """Whether the rules are what they were: what was left out is what the program takes anyway."""
    try:
        return rules_of(environment, text) == rules
    except ValidationError:
        return False
