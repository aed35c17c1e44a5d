"""The traps of the public SmartOps, on its recorded output: data/orchestrator.cri.log, 96 lines of its orchestrator.

The container runtime wrote them in a run with a restart, a scale, two cooldowns and three denials. Where a trap is
about time, the very lines are moved to other seconds; their texts stay as they were written.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos.model import Evidence, Interval, PlatformEvent, Series
from smartops_chaos.schema.healerfile import HealerFile, load
from smartops_chaos.timeline.interval import frame
from smartops_chaos.timeline.rules import Reading, read

ERP = "smartops-erp-simulator"
TARGET = f"smartops-dev/{ERP}"
SAMPLE = Path(__file__).parent / "data" / "orchestrator.cri.log"
Lines = list[tuple[float, str]]


@pytest.fixture(scope="module")
def healer() -> HealerFile:
    return load("smartops")


@pytest.fixture(scope="module")
def lines() -> Lines:
    """Seconds since 20:37:21, and the text behind the runtime's stamp, stream and mark."""
    found = []
    for line in SAMPLE.read_text(encoding="utf-8").splitlines():
        stamp, _, _, text = line.split(" ", 3)
        _, minutes, rest = stamp.rstrip("Z").split(":")
        found.append(((int(minutes) - 37) * 60 + float(rest) - 21, text))
    return found


def having(lines: Lines, *patterns: str) -> Lines:
    return [one for one in lines if any(re.search(pattern, one[1]) for pattern in patterns)]


def moved(lines: Lines, to_s: float) -> Lines:
    """The same lines, the first of them at `to_s`."""
    return [(at - lines[0][0] + to_s, text) for at, text in lines]


def reading(trial: Any, healer: HealerFile) -> Reading:
    evidence: Evidence = trial.evidence()
    found = frame(evidence, len(trial.families))
    assert found is not None
    return read(evidence, healer, found)


def outcome(trial: Any, healer: HealerFile) -> tuple[Any, Any]:
    row = trial.record(healer).row
    return row["outcome"], row["reason"]


def first_loop(lines: Lines) -> Lines:
    """From the first anomaly to the end of its restart, without the signals that came later."""
    return lines[: next(i for i, (_, text) in enumerate(lines) if "CLOSED_LOOP_SUMMARY" in text) + 1]


def scale(lines: Lines) -> Lines:
    """From the second anomaly to the summary of its scale."""
    begin = next(i for i, (at, _) in enumerate(lines) if at > 25)
    end = next(i for i, (at, text) in enumerate(lines) if at > 25 and "CLOSED_LOOP_SUMMARY" in text)
    return lines[begin : end + 1]


def test_a_signal_counts_when_it_arrives_not_when_it_is_taken_off_the_queue(
    story: Any, healer: HealerFile, lines: Lines
) -> None:
    trial = story(logs=lines, horizon=60.0, bad=[(0.1, 6.0)])
    diagnosed = reading(trial, healer).events["diagnosed"].at
    assert (diagnosed.lo_ns - trial.base_ns) / 1e9 == pytest.approx(1.136619)
    dequeued = having(lines, r"SIGNAL_RAW \| kind=rca")[0][0]
    assert dequeued == pytest.approx(6.503406)  # five seconds later, behind the verification of a restart


def test_a_counter_that_is_born_at_1_is_an_event(story: Any, healer: HealerFile) -> None:
    trial = story()
    steps = range(-4, 14)
    gauge = Series(
        "orchestrator_closed_loop_queue_depth", {"instance": "o"}, tuple(trial.ns(t + 0.5) for t in steps), (0,) * 18
    )
    born = Series(
        "orchestrator_closed_loop_signals_total",
        {"instance": "o", "kind": "anomaly", "result": "accepted"},
        tuple(trial.ns(t + 0.5) for t in range(3, 14)),
        (1.0,) * 11,
    )
    detected = reading(story(series=(gauge, born)), healer).events["detected"].at
    assert 2.49 <= (detected.lo_ns - trial.base_ns) / 1e9 <= 2.5 <= (detected.hi_ns - trial.base_ns) / 1e9 <= 3.51


def test_a_gap_in_the_metrics_makes_the_moment_as_wide_as_the_gap(story: Any, healer: HealerFile) -> None:
    """Scrapes time out for half a minute: the event is somewhere in there."""
    trial = story(horizon=60.0)
    stamps = [-2.0, -1.0, 0.0, 33.0, 34.0]
    gauge = Series(
        "orchestrator_closed_loop_queue_depth", {"instance": "o"}, tuple(map(trial.ns, stamps)), (0,) * len(stamps)
    )
    labels = {"instance": "o", "kind": "anomaly", "result": "accepted"}
    values = (1.0, 1.0, 1.0, 2.0, 2.0)
    count = Series("orchestrator_closed_loop_signals_total", labels, tuple(map(trial.ns, stamps)), values)
    detected = reading(story(horizon=60.0, series=(gauge, count)), healer).events["detected"].at
    assert (detected.hi_ns - detected.lo_ns) / 1e9 == pytest.approx(33, abs=0.1)


def test_cooldown_and_denial_end_without_a_summary(story: Any, healer: HealerFile, lines: Lines) -> None:
    skipped = moved(
        having(lines, "POST /v1/signals/anomaly", 'decision": "action".*saturation_step_2', "cooldown active for"), 1.0
    )
    trial = story(logs=skipped, bad=[(0.1, 80.0)], horizon=60.0)
    found = reading(trial, healer)
    assert found.actions == ()
    assert found.blocks["cooldown"] == 2
    assert "decided" in found.events
    assert "acted" not in found.events
    assert outcome(trial, healer) == ("unrecovered", "cooldown")
    denied = moved(having(lines, "POST /v1/signals/(anomaly|rca)", "policy denied"), 1.0)
    assert outcome(story(logs=denied, bad=[(0.1, 80.0)], horizon=60.0), healer) == ("unrecovered", "denied")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            "ClosedLoopManager: guardrail max_actions_per_hour_exceeded for ('smartops-dev', 'x', 'scale') "
            "(count_last_hour=6 limit=6), skipping action",
            "guardrail",
        ),
        ("RCA_SKIPPED_NOT_SUSTAINED | service=erp-simulator", "guardrail"),
        ("RCA_SKIPPED_SUSTAIN_EXPIRED | service=erp-simulator", "guardrail"),
        ("Policy Engine error: Policy Engine HTTP 500: Internal Server Error", "denied"),  # the signal is lost
        ("ClosedLoopManager: policy denied execution (no policy matched)", "undiagnosed"),  # said of every anomaly
    ],
)
def test_every_other_way_to_end_without_an_action(
    story: Any, healer: HealerFile, lines: Lines, line: str, reason: str
) -> None:
    logs = [*moved(having(lines, "POST /v1/signals/anomaly")[:1], 1.0), (1.2, line)]
    assert outcome(story(logs=logs, bad=[(0.1, 20.0)]), healer) == ("unrecovered", reason)


def test_a_restart_is_not_verified_because_it_says_so(story: Any, healer: HealerFile, lines: Lines) -> None:
    """It says so after 6 s whatever happens, so it says nothing; no number is invented."""
    trial = story(logs=first_loop(lines), bad=[(0.1, 20.0)], horizon=40.0)
    found = reading(trial, healer)
    assert having(lines, "action restart on .* verified successfully")
    assert [(action.kind, action.verified) for action in found.actions] == [("restart", None)]
    assert "verified" not in found.events


def test_a_scale_is_verified_when_it_says_so(story: Any, healer: HealerFile, lines: Lines) -> None:
    trial = story(logs=moved(scale(lines), 1.0), bad=[(0.1, 8.0)], horizon=40.0)
    found = reading(trial, healer)
    (action,) = found.actions
    assert (action.kind, action.target, action.status) == ("scale", TARGET, "success")
    assert action.verified is not None
    assert (action.verified.lo_ns - action.start.lo_ns) / 1e9 == pytest.approx(5.97, abs=0.05)


def test_flapping_is_one_detection_and_its_second_alarm_a_cooldown(
    story: Any, healer: HealerFile, lines: Lines
) -> None:
    """After a scale the detector reads a random pod, re-arms and signals again; the loop is in its cooldown by then."""
    again = (
        moved(having(lines, "POST /v1/signals/anomaly"), 20.0)[:1]
        + moved(having(lines, "cooldown active for"), 20.5)[:1]
    )
    logs = moved(scale(lines), 1.0) + again
    trial = story(logs=logs, bad=[(0.1, 60.0)], horizon=40.0)
    found = reading(trial, healer)
    assert (found.events["detected"].at.lo_ns - trial.base_ns) / 1e9 == pytest.approx(1.0)
    assert (len(found.actions), found.blocks["cooldown"]) == (1, 1)
    assert outcome(trial, healer) == ("unrecovered", "insufficient")  # the action itself is the reason


def test_healing_by_half_is_not_healing(story: Any, healer: HealerFile, lines: Lines) -> None:
    """1 -> 4 replicas, and the sick one stays in service with its share: every fourth request is bad for good."""
    every_fourth = [n for n in range(1, 42 * 40) if n < 8 * 40 or n % 4 == 0]
    trial = story(logs=moved(scale(lines), 1.0), bad_at=every_fourth, horizon=40.0)
    assert outcome(trial, healer) == ("unrecovered", "insufficient")


def test_lines_of_the_old_orchestrator_and_the_new_one_are_one_story(
    story: Any, healer: HealerFile, lines: Lines
) -> None:
    """Until the new pod is Ready the old one still takes signals: its action is an action."""
    old, new = first_loop(lines), having(lines, "POST /v1/signals/anomaly")[1:2]
    trial = story(logs=[*moved(new, 3.0), *moved(old, 1.0)], bad=[(0.1, 20.0)], horizon=40.0)
    found = reading(trial, healer)
    assert (found.events["detected"].at.lo_ns - trial.base_ns) / 1e9 == pytest.approx(1.0)
    assert [action.kind for action in found.actions] == ["restart"]


def test_what_a_pod_of_before_the_trial_says_does_not_count(story: Any, healer: HealerFile, lines: Lines) -> None:
    trial = story(logs=moved(first_loop(lines), -20.0), bad=[(0.1, 20.0)], horizon=40.0)
    found = reading(trial, healer)
    assert (found.events, found.actions) == ({}, ())


def test_a_restart_by_liveness_is_the_platforms(story: Any, healer: HealerFile) -> None:
    """cpu-spike with the healer off: killed by its liveness probe at 41 s, healthy at 83 s with the mode gone."""
    pod = f"{ERP}/uid-1"
    events = tuple(
        PlatformEvent(Interval(at, at), pod, kind, "platform", detail)
        for at, kind, detail in (
            (story().ns(24.0), "not_ready", "probe"),
            (story().ns(41.6), "exited", "probe"),
            (story().ns(83.0), "ready", ""),
        )
    )
    trial = story(
        bad=[(5.0, 83.6)], horizon=120.0, objects=(pod,), ended=41.6, ended_by="system", more={"platform": events}
    )
    assert outcome(trial, healer) == ("platform", "no-action")
