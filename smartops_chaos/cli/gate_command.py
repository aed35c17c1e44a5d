"""`gate ENV`: whether an environment may be promoted, as text, JSON, JUnit and an exit code."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smartops_chaos.cli.options import JsonOption
from smartops_chaos.errors import PreflightFailed, UsageError

if TYPE_CHECKING:
    from smartops_chaos.gate.asking import Asked
    from smartops_chaos.schema.gatefile import EnvironmentRules

_GATES = Path("platform/gates.yaml")


def gate(
    environment: Annotated[str, typer.Argument(metavar="ENV", help="As the file of rules has it, such as stage.")],
    gates: Annotated[Path, typer.Option(help="The file of rules.")] = _GATES,
    prometheus: Annotated[str, typer.Option(metavar="URL", help="Its address, instead of the file's.")] = "",
    namespace: Annotated[str, typer.Option(metavar="NAME", help="Instead of the file's.")] = "",
    campaign: Annotated[Path | None, typer.Option(help="That tells the MTTR, instead of the newest.")] = None,
    at: Annotated[str, typer.Option(metavar="MOMENT", help="A moment in the past, such as 2026-11-30T05:00:00Z.")] = "",
    junit: Annotated[Path | None, typer.Option(help="Write the decision as JUnit XML.")] = None,
    evidence: Annotated[
        Path | None,
        typer.Option(help="Folder for every question with its answer; of a moment that is there, they count."),
    ] = None,
    override: Annotated[str, typer.Option(metavar="REASON", help="Open it by hand, where the rules allow it.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Judge whether an environment may be promoted: exit code 0 open, 1 closed, 2 a bad file, 4 not to be judged."""
    from smartops_chaos.gate import judge, told

    rules = _rules(gates, environment, namespace)
    if override and not rules.override:
        raise UsageError(f"{environment} cannot be opened by hand", f"`override` is not true in {gates}")
    at_s, answers, stored = _answers(environment, rules, prometheus, campaign, at, evidence)
    decision = judge.judge(environment, rules, at_s, answers)
    if junit is not None:
        junit.write_text(told.as_junit(decision), encoding="utf-8")
    if evidence is not None and not stored:
        told.write(told.evidence_file(evidence, environment, at_s), rules, answers, decision, override)
    text = told.as_text(decision, override) + ("\njudged again by stored evidence" if stored else "")
    if as_json:
        print(json.dumps(told.as_json(decision, override)))
    print(text, file=sys.stderr if as_json else sys.stdout)
    raise typer.Exit(0 if override else told.EXIT[decision.ruling])


def _rules(gates: Path, environment: str, namespace: str) -> EnvironmentRules:
    from smartops_chaos.schema import gatefile
    from smartops_chaos.schema.names import is_label
    from smartops_chaos.schema.yamlfile import did_you_mean

    if gates == _GATES and not gates.exists():
        raise UsageError(f"there is no {gates} here", "name the file of rules: smartops-chaos gate ENV --gates FILE")
    known = gatefile.load(gates).environments
    if environment not in known:
        raise UsageError(f"{gates} has no environment {environment}", did_you_mean(environment, known))
    if namespace and not is_label(namespace):
        raise UsageError(
            f"--namespace {namespace[:70]!r} is no name of a namespace", "`kubectl get namespaces` lists them"
        )
    return known[environment].model_copy(update={"namespace": namespace} if namespace else {})


def _answers(
    environment: str, rules: EnvironmentRules, prometheus: str, campaign: Path | None, at: str, evidence: Path | None
) -> tuple[float, dict[str, Asked], bool]:
    """The moment that is judged, all answers, and whether they were stored before."""
    from smartops_chaos.gate import asking, judge, mttr, told, workloads
    from smartops_chaos.gate.grid import Grid
    from smartops_chaos.gate.questions import questions
    from smartops_chaos.kubernetes.cluster import ClusterError
    from smartops_chaos.telemetry.connection import connection

    at_s = _moment(at) if at else 0.0
    if at and evidence is not None and (file := told.evidence_file(evidence, environment, at_s)).exists():
        return at_s, told.read_answers(file), True
    address = prometheus or rules.prometheus
    if not address:
        raise UsageError("no address of Prometheus is known", "add `prometheus:` to the rules, or --prometheus URL")
    try:
        source = connection(address)
    except ValueError as error:
        raise UsageError(f"{address}: {error}") from None
    except ClusterError as error:  # a `kubernetes:` address leads through the API server
        raise PreflightFailed(f"the gate cannot be judged: {address} cannot be asked: {error}") from None
    answers = {} if at else asking.ask_now(source)
    if not at:
        at_s = asking.now_of(answers)
    answers |= asking.ask_grid(source, questions(rules), Grid(at_s, rules.step, judge.slots_of(rules)))
    answers |= workloads.not_of_the_past(rules) if at else workloads.ask_cluster(rules)
    if rules.mttr:
        answers |= mttr.ask_campaigns(rules.mttr, campaign, judge.running(rules, at_s, answers))
    return at_s, answers, False


def _moment(text: str) -> float:
    """Seconds since the epoch of an ISO date, UTC unless it says. Raises UsageError."""
    import time
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--at {text[:70]} is no moment", "write it as 2026-11-30T05:00:00Z") from None
    found = float(int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()))
    if found > time.time():
        raise UsageError(f"--at {text} has not come yet", "leave it out to judge now")
    return found
