from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from smartops_chaos.model import ClockOffset, Evidence, Interval, Series
from smartops_chaos.schema.healerfile import HealerFile, load
from smartops_chaos.timeline.interval import Frame, frame
from smartops_chaos.timeline.rules import Reading, read

ERP = "smartops-erp-simulator"
SAMPLE = Path(__file__).parent / "data" / "orchestrator.cri.log"  # real output of SmartOps
SIGNALS = "orchestrator_closed_loop_signals_total"


@pytest.fixture(scope="module")
def healer() -> HealerFile:
    return load("lab")


def reading(trial: Any, healer: HealerFile) -> tuple[Reading, Frame]:
    evidence: Evidence = trial.evidence()
    found = frame(evidence, len(trial.families))
    assert found is not None
    return read(evidence, healer, found), found


def seconds(trial: Any, at: Interval) -> tuple[float, float]:
    return (at.lo_ns - trial.base_ns) / 1e9, (at.hi_ns - trial.base_ns) / 1e9


def counter(trial: Any, name: str, labels: dict[str, str], samples: dict[float, float]) -> tuple[Series, ...]:
    """A counter of the orchestrator, beside a gauge that is there in every scrape of 1 s."""
    gauge = Series(
        "smartops_detector_armed", {"instance": "o"}, tuple(trial.ns(t + 0.4) for t in range(-9, 14)), (1,) * 23
    )
    at = tuple(trial.ns(t) for t in samples)
    return gauge, Series(name, {"instance": "o", **labels}, at, tuple(samples.values()))


def real_lines() -> list[tuple[float, str]]:
    """Seconds since 20:37:21, and the text behind the container runtime's stamp, stream and mark."""
    lines = []
    for line in SAMPLE.read_text(encoding="utf-8").splitlines():
        stamp, _, _, text = line.split(" ", 3)
        _, minutes, rest = stamp.rstrip("Z").split(":")
        lines.append(((int(minutes) - 37) * 60 + float(rest) - 21, text))
    return lines


def test_real_lines_of_smartops(story: Any, healer: HealerFile) -> None:
    trial = story(logs=real_lines(), horizon=60.0, bad=[(0.1, 6.0)])
    found, _ = reading(trial, healer)
    at = {moment: seconds(trial, event.at)[0] for moment, event in found.events.items()}
    assert at["detected"] == pytest.approx(0.829273)
    assert at["diagnosed"] == pytest.approx(1.136619)  # the access line, not SIGNAL_RAW 5 s later
    assert at["decided"] == pytest.approx(1.018145)  # before the diagnosis: on the anomaly alone
    assert at["acted"] == pytest.approx(1.054778)
    assert at["verified"] == pytest.approx(6.503372)
    assert found.policy_rule == "restart_on_anomaly_error"
    assert found.causes == ("Service Timeout",)
    assert [(a.kind, a.target, a.status) for a in found.actions] == [
        ("restart", f"smartops-dev/{ERP}", "success"),
        ("scale", f"smartops-dev/{ERP}", "success"),
    ]
    assert all(action.end and action.verified for action in found.actions)
    assert found.blocks == {"guardrail": 0, "cooldown": 2, "denied": 3}


def test_the_rest_of_the_contract_s_lines(story: Any, healer: HealerFile, healer_lines: Any) -> None:
    blocked = [(3.0, "ClosedLoopManager: guardrail MAX_ACTIONS for ('lab', 'x', 'restart'), skipping action")]
    summary = [(6.0, "CLOSED_LOOP_SUMMARY | service=x | action=restart | result=GUARDRAIL_BLOCKED | attempt=1")]
    raised = [(6.0, "ClosedLoopManager: exception during execute_action: timed out")]
    found, _ = reading(story(logs=healer_lines(1.0, 1.2, 2.0) + blocked + summary), healer)
    assert found.blocks["guardrail"] == 1
    assert [action.status for action in found.actions] == ["blocked"]
    found, _ = reading(story(logs=healer_lines(1.0, 1.2, 2.0)[:-1] + raised), healer)
    assert [(action.status, action.end) for action in found.actions] == [("failed", None)]


def test_a_retry_is_an_action_of_its_own(story: Any, healer: HealerFile, healer_lines: Any) -> None:
    raised = [(2.5, "ClosedLoopManager: exception during execute_action: timed out")]
    lines = healer_lines(1.0, 1.2, 2.0)[:-1] + raised + healer_lines(act=4.0, verified=6.0)
    found, _ = reading(story(logs=lines), healer)
    assert [action.status for action in found.actions] == ["failed", "success"]
    assert found.actions[0].verified is None
    assert found.actions[1].verified is not None
    assert found.events["acted"].at == found.actions[1].end


def test_an_end_without_its_start_is_an_action_too(story: Any, healer: HealerFile, healer_lines: Any) -> None:
    found, _ = reading(story(logs=healer_lines(act=2.0)[-1:]), healer)
    assert [(a.kind, a.status, a.start == a.end) for a in found.actions] == [("restart", "success", True)]
    twice = healer_lines(act=2.0) + healer_lines(act=4.0)[-1:]
    found, _ = reading(story(logs=twice), healer)
    assert [(action.status, action.start == action.end) for action in found.actions] == [
        ("success", False),
        ("success", True),
    ]


def test_an_action_whose_call_failed_is_not_verified(story: Any, healer: HealerFile, healer_lines: Any) -> None:
    found, _ = reading(story(logs=healer_lines(1.0, 1.2, 2.0, status="failed", verified=4.0)), healer)
    assert [(action.status, action.end, action.verified) for action in found.actions] == [("failed", None, None)]
    assert "verified" not in found.events


def test_only_the_named_component_is_read(story: Any, healer: HealerFile, healer_lines: Any) -> None:
    trial = story(logs=healer_lines(1.0))
    other = tuple(type(line)(line.at_ns, "gateway", line.text) for line in trial.evidence().logs)
    found, _ = reading(story(more={"logs": other}), healer)
    assert found.events == {}


def test_what_was_before_the_injection_or_after_the_observation_is_not_used(
    story: Any, healer: HealerFile, healer_lines: Any
) -> None:
    lines = healer_lines(-3.0, -2.8, -2.0) + healer_lines(14.5, 14.6, 15.0)
    found, _ = reading(story(logs=lines), healer)
    assert found.events == {}
    assert found.actions == ()
    assert found.causes == ()
    assert sum(len(rule.matches) for rule in found.matches if rule.what == "detected") == 1  # shown, not used


def test_log_and_counter_are_intersected(story: Any, healer: HealerFile, healer_lines: Any) -> None:
    labels = {"kind": "anomaly", "result": "accepted"}
    trial = story(logs=healer_lines(1.2))
    trial = story(logs=healer_lines(1.2), series=counter(trial, SIGNALS, labels, {1.4: 1, 2.4: 1}))
    found, _ = reading(trial, healer)
    event = found.events["detected"]
    assert seconds(trial, event.at) == (1.2, 1.2)
    assert len(event.sources) == 2
    assert found.conflicts == ()


def test_a_counter_alone_gives_the_time_between_two_scrapes(story: Any, healer: HealerFile) -> None:
    labels = {"kind": "rca", "result": "accepted"}
    trial = story()
    trial = story(series=counter(trial, SIGNALS, labels, {3.4: 1, 4.4: 2}))
    found, _ = reading(trial, healer)
    assert seconds(trial, found.events["diagnosed"].at) == pytest.approx(
        (2.398, 3.406)
    )  # stamps are up to 2 ms early or 3 ms late, and a scrape takes 3 ms
    assert set(found.events) == {"diagnosed"}


def test_sources_that_contradict_each_other_are_both_kept(story: Any, healer: HealerFile, healer_lines: Any) -> None:
    labels = {"kind": "anomaly", "result": "accepted"}
    trial = story()
    trial = story(logs=healer_lines(1.2), series=counter(trial, SIGNALS, labels, {8.4: 1}))
    found, _ = reading(trial, healer)
    assert seconds(trial, found.events["detected"].at) == pytest.approx((1.2, 8.406))
    assert found.conflicts[0].startswith("detected: log POST")
    assert "conflict" in trial.row()["flags"].split(",")


def test_stamps_are_shifted_by_their_clock_s_offset_and_widened(
    story: Any, healer: HealerFile, healer_lines: Any
) -> None:
    clocks = (
        ClockOffset("node", "start", 500_000_000, 501_000_000),
        ClockOffset("node", "end", 499_000_000, 502_000_000),
    )
    trial = story(logs=healer_lines(1.7), more={"clocks": clocks})
    found, _ = reading(trial, healer)
    assert seconds(trial, found.events["detected"].at) == pytest.approx((1.198, 1.201))


def test_nothing_is_dated_before_its_cause(story: Any, healer: HealerFile) -> None:
    trial = story()
    both = counter(trial, SIGNALS, {"kind": "anomaly", "result": "accepted"}, {1.4: 1}) + counter(
        trial, SIGNALS, {"kind": "rca", "result": "accepted"}, {1.4: 1}
    )
    found, at = reading(story(series=both), healer)
    assert found.events["detected"].at.lo_ns >= at.injected.lo_ns
    assert found.events["diagnosed"].at.lo_ns >= found.events["detected"].at.lo_ns


def test_what_may_have_been_detected_before_the_injection_does_not_count(
    story: Any, healer: HealerFile, healer_lines: Any
) -> None:
    labels = {"kind": "anomaly", "result": "accepted"}
    around = counter(story(), SIGNALS, labels, {0.4: 1, 1.4: 1, 2.4: 1, 3.4: 2})  # rises in (-0.6, 0.4] and (2.4, 3.4]
    trial = story(series=around, bad=[(0.1, 6.0)])
    found, _ = reading(trial, healer)
    assert seconds(trial, found.events["detected"].at) == pytest.approx((2.398, 3.406))
    assert found.perhaps_before
    assert trial.row()["flags"] == "perhaps_before"
    once = story(series=counter(story(), SIGNALS, labels, {0.4: 1}), bad=[(0.1, 6.0)])
    assert "detected" not in reading(once, healer)[0].events
    known = story(series=around, logs=healer_lines(0.2))  # the log line dates what the scrapes have between them
    found, _ = reading(known, healer)
    assert seconds(known, found.events["detected"].at) == (0.2, 0.2)
    assert found.conflicts == ()
    assert not found.perhaps_before


def test_mitigated_is_by_an_action_on_what_the_fault_hit(story: Any, healer: HealerFile, healer_lines: Any) -> None:
    elsewhere = healer_lines(1.0, 1.2, 2.0, target="lab/odoo", verified=3.0)
    trial = story(logs=elsewhere + healer_lines(act=4.0))
    found, _ = reading(trial, healer)
    assert seconds(trial, found.events["acted"].at) == (4.0, 4.0)
    assert "verified" not in found.events
    only, _ = reading(story(logs=elsewhere), healer)
    assert {"acted", "verified"}.isdisjoint(only.events)
    assert [action.status for action in only.actions] == ["success"]
