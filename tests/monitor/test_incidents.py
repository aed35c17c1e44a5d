"""Incidents on record: their file, their numbers, their report."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smartops_chaos.analysis import incident_numbers, load_incidents
from smartops_chaos.errors import NothingSelected, UsageError
from smartops_chaos.model import Event, Evidence, Interval, LogLine, Outcome, Request, Slo
from smartops_chaos.schema import healerfile
from smartops_chaos.store.incident_book import IncidentBook
from smartops_chaos.timeline.health import Spell
from smartops_chaos.timeline.incident import (
    Incident,
    IncidentEvidence,
    Seen,
    StandingService,
    derive,
    derive_again,
    nothing_told,
)

S = 1_000_000_000
NOW = 1_796_000_000 * S
SERVICE = StandingService("shop", "erp", Slo(0.5, 0.9, 1.0), 60.0)


def at(begin_s: float, end_s: float | None = None) -> Interval:
    return Interval(NOW + round(begin_s * S), NOW + round((begin_s if end_s is None else end_s) * S))


def seen(recovered_s: float | None, until_s: float) -> Seen:
    spells = (Spell(at(0, 0.1), None if recovered_s is None else at(recovered_s, recovered_s + 0.1)),)
    end_s = 1e9 if recovered_s is None else recovered_s
    requests = tuple(
        Request(NOW + i * S // 25, 0, 1_000_000, 500 if 0 <= i / 25 < end_s else 200)
        for i in range(-100, round(until_s * 25))
    )
    end_ns = NOW + round(until_s * S)
    return Seen(spells, requests, requests[0].sched_ns, end_ns, end_ns, recovered_s is not None)


def lines(*told: tuple[float, str]) -> Evidence:
    logs = tuple(LogLine(NOW + round(second * S), "smartops-orchestrator", text) for second, text in told)
    return replace(nothing_told(), logs=logs)


def restart(start_s: float, end_s: float, target: str = "shop/erp") -> tuple[tuple[float, str], ...]:
    return (
        (start_s, f"ClosedLoopManager: executing restart on {target} (attempt=0 windowId=w)"),
        (end_s, f"Action completed: type=restart target=Deployment {target} status=success"),
    )


ANOMALY = 'POST /v1/signals/anomaly HTTP/1.1" 202'


@pytest.mark.parametrize(
    ("recovered_s", "told", "outcome", "reason"),
    [
        (20, [(2, ANOMALY), *restart(5, 6)], Outcome.HEALED, ""),
        (20, [(2, ANOMALY), *restart(5, 6, "shop/db")], Outcome.PLATFORM, "off-target"),
        (20, [(2, ANOMALY)], Outcome.PLATFORM, "no-action"),
        (20, [*restart(25, 26)], Outcome.PLATFORM, "after"),
        (20, [*restart(-30, 15)], Outcome.HARMED, ""),
        (80, [(2, ANOMALY)], Outcome.UNRECOVERED, "undiagnosed"),
        (None, [], Outcome.UNRECOVERED, "undetected"),
        (None, [(2, ANOMALY), *restart(5, 6)], Outcome.UNRECOVERED, "insufficient"),
    ],
)
def test_who_ended_it(recovered_s: Any, told: Any, outcome: Outcome, reason: str) -> None:
    found = derive(seen(recovered_s, 120), lines(*told), healerfile.load("lab"), SERVICE)
    assert (found.outcome, found.reason) == (outcome, reason)
    assert found.over is (recovered_s is not None)


def test_what_an_earlier_incident_has_seen_belongs_to_it() -> None:
    told = lines((-10, ANOMALY), (3, ANOMALY))
    healer = healerfile.load("lab")
    early = derive(seen(20, 60), told, healer, SERVICE)
    assert early.timeline.events["detected"].at.hi_ns < early.impacted.lo_ns
    assert early.seconds_to("detected") == 0
    late = derive(seen(20, 60), told, healer, SERVICE, after_ns=NOW - 5 * S)
    assert late.seconds_to("detected") == pytest.approx(2.95)


def test_nobody_asked_around_the_horizon() -> None:
    one = seen(None, 200)
    asked = tuple(r for r in one.requests if not NOW + 50 * S < r.sched_ns < NOW + 70 * S)
    found = derive(replace(one, requests=asked), lines(), healerfile.load("lab"), SERVICE)
    assert (found.outcome, found.reason) == (Outcome.UNRECOVERED, "gap")
    assert found.timeline.health.unknown_s == pytest.approx(20, abs=0.1)


@pytest.fixture
def book(tmp_path: Path) -> IncidentBook:
    (tmp_path / "watched").mkdir()
    return IncidentBook(tmp_path / "watched")


def one(number: int, recovered_s: float | None, outcome: Outcome, fault: str = "") -> Incident:
    found = derive(seen(recovered_s, 120), lines((2, ANOMALY)), healerfile.load("lab"), SERVICE, fault=fault)
    shift = number * 1000 * S

    def moved(event: Event) -> Event:
        return replace(event, at=Interval(event.at.lo_ns + shift, event.at.hi_ns + shift))

    timeline = replace(found.timeline, events={k: moved(v) for k, v in found.timeline.events.items()})
    return replace(found, id=str(number), timeline=timeline, outcome=outcome)


def some() -> list[Incident]:
    times = [5.0, 12.0, 30.0, 8.0, 90.0, 3.0]
    found = [one(i, s, Outcome.HEALED if s < 60 else Outcome.UNRECOVERED) for i, s in enumerate(times)]
    return [*found, one(9, 50, Outcome.PLATFORM, fault="nightly-3/pod-kill.1")]


def test_what_is_written_is_read_and_a_damaged_line_is_named(book: IncidentBook) -> None:
    assert book.read() == []
    book.write(some())
    assert book.read() == some()
    text = book.file.read_text().splitlines()
    text[2] = text[2].replace('"outcome":"healed"', '"outcome":"fixed"')
    book.file.write_text("\n".join(text) + "\n")
    with pytest.raises(UsageError, match=r"incidents.ndjson:3:1: no incident") as failed:
        book.read()
    assert "line" in failed.value.hint


def test_the_mean_counts_what_lasted_too_long_as_the_horizon_and_leaves_campaigns_out() -> None:
    found = incident_numbers.numbers(some())
    times = [5.0, 12.0, 30.0, 8.0, 60.0, 3.0]
    assert found.mttr_s == pytest.approx(np.mean(times), abs=0.01)
    lo, hi = found.mttr
    assert lo is not None
    assert hi is not None
    assert 0 < lo < found.mttr_s < hi < 60
    assert (found.n, found.in_campaigns, found.unrecovered, found.detected) == (6, 1, 1, 6)
    assert found.by_healer == pytest.approx(5 / 6)
    with pytest.raises(NothingSelected):
        incident_numbers.numbers([some()[-1]])


def test_the_interval_holds_the_true_mean() -> None:
    """Of 100 rows of 15 incidents whose law is known, about 95 in 100 intervals hold its restricted mean."""
    chance = random.Random(3)
    kinds = {s: one(0, s, Outcome.HEALED) for s in (2.0, 10.0, 40.0, 90.0)}
    law = [2.0, 2.0, 10.0, 10.0, 10.0, 40.0, 90.0]
    truth = np.mean([min(s, 60.0) for s in law])
    held = 0
    for _ in range(100):
        lo, hi = incident_numbers.numbers([kinds[chance.choice(law)] for _ in range(15)]).mttr
        held += lo is not None and hi is not None and lo <= truth <= hi
    assert held >= 90


def test_the_report_of_a_folder_with_incidents(book: IncidentBook, cli: Any, tmp_path: Path) -> None:
    book.write(some())
    told = json.loads(cli("report", book.path, "--json").stdout)
    assert (told["n"], told["outcomes"]) == (6, {"healed": 5, "unrecovered": 1})
    sample = Path(__file__).parents[2] / "results" / "sample"
    done = cli("report", book.path, sample)
    assert done.returncode == 0, done.stderr
    assert "on average, over 6" in done.stderr.replace("\xa0", " ")
    out = tmp_path / "reports" / "watched-incidents"
    assert (out / "report.pdf").read_bytes().startswith(b"%PDF")
    page = (out / "report.html").read_text()
    assert "nightly-3/pod-kill.1" in page
    assert "trials: zscore" in page
    assert cli("report", book.path, sample, sample).returncode == 2
    assert cli("report", book.path, "--check").returncode == 2


def known(found: Incident, recovered_s: float | None, *told: tuple[float, str]) -> IncidentEvidence:
    """What it was derived from, as a monitor keeps it."""
    requests = seen(recovered_s, 120).requests
    evidence = replace(lines(*told), requests=requests, slo=SERVICE.slo, horizon_s=60.0, stop_after_good_s=3.0)
    healer = healerfile.load("lab").model_dump(mode="json")
    return IncidentEvidence(evidence, healer, SERVICE, 3.0, requests[0].sched_ns, found.until_ns, 0, "")


@pytest.mark.parametrize("recovered_s", [20, None])
def test_evidence_gives_the_incident_again_and_the_report_draws_it(
    book: IncidentBook, cli: Any, tmp_path: Path, recovered_s: float | None
) -> None:
    told = [(2, ANOMALY), *restart(5, 6)]
    evidence = known(derive(seen(recovered_s, 120), lines(*told), healerfile.load("lab"), SERVICE), recovered_s, *told)
    found = derive_again(evidence, healerfile.load("lab"))
    assert found is not None
    book.write([found])
    book.write_evidence(found.id, evidence, 10**6)
    assert book.read_evidence(found.id) == evidence
    assert load_incidents.same(found, evidence)
    assert not load_incidents.same(replace(found, reason="another"), evidence)
    less = replace(evidence, told=replace(evidence.told, requests=evidence.told.requests[:100]))
    assert not load_incidents.same(found, less)
    (act,) = found.timeline.actions
    book.write_needless([act, act])
    assert cli("report", book.path).returncode == 0
    page = (tmp_path / "reports" / "watched-incidents" / "report.html").read_text()
    assert "1 of 1 are as they are on record" in page.replace("\xa0", " ")
    assert f"incident-{found.id}" in page
    assert "2 restart" in page


def test_evidence_is_kept_as_long_as_there_is_room_the_newest_longest(book: IncidentBook) -> None:
    evidence = known(one(0, 20, Outcome.HEALED), 20)
    book.write_evidence("1000", evidence, 10**6)
    size = next(book.path.glob("evidence/*")).stat().st_size
    for number in ("999", "2000", "3000"):
        book.write_evidence(number, evidence, 2 * size)
    assert [name for name in ("999", "1000", "2000", "3000") if book.read_evidence(name)] == ["2000", "3000"]
    (book.path / "evidence" / "3000.gz").write_bytes(b"\x1f\x8b broken")
    with pytest.raises(UsageError, match=r"3000.gz cannot be read"):
        book.read_evidence("3000")


def test_the_report_of_a_folder_without_any_says_so(book: IncidentBook, cli: Any) -> None:
    book.write([])
    failed = cli("report", book.path)
    assert failed.returncode == 3
    assert "no incident" in failed.stderr
    assert [file.name for file in book.path.iterdir()] == ["incidents.ndjson"]
