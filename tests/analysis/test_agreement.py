from __future__ import annotations

from smartops_chaos.analysis.agreement import agreement
from smartops_chaos.analysis.summary import MomentAgreement
from smartops_chaos.analysis.warnings import disagreement
from smartops_chaos.model import Event, Health, Interval, Record, Timeline
from smartops_chaos.schema.healerfile import load, restore

HEALTH = Health(None, None, 0, 0.0, 0.0, 1, 1, 0.0)
LOG, METRIC = "log POST", "increase of signals{kind=anomaly}"


def record(moment: str, *sources: str, conflict: bool = False, flags: str = "") -> Record:
    events = {moment: Event(moment, Interval(0, 1), sources, "")} if sources else {}
    conflicts = (f"{moment}: log says 0 to 1 but metric says 9 to 10",) if conflict else ()
    return Record({"flags": flags}, Timeline(events, (), HEALTH, (), "", 0, 0, conflicts))


def test_each_trial_is_counted_once_by_who_told_the_moment() -> None:
    records = [
        record("detected", LOG, METRIC),
        record("detected", LOG),
        record("detected", METRIC),
        record("detected", LOG, METRIC, conflict=True, flags="conflict"),
        record("detected"),  # nobody told it: nothing to compare
        record("detected", LOG, flags="relapsed,telemetry_missing"),  # whose fault it is is known
        Record({"flags": None}, None),
    ]
    found = {one.moment: one for one in agreement(records, load("lab"))}
    assert found["detected"] == MomentAgreement("detected", alike=1, logs_only=1, metrics_only=1, apart=1)
    assert found["detected"].told == 4
    assert found["diagnosed"].told == 0


def test_a_line_of_the_action_is_a_log_line() -> None:
    records = [record("acted", "log of the action", METRIC), record("acted", "log of the action")]
    found = {one.moment: one for one in agreement(records, load("lab"))}
    assert (found["acted"].alike, found["acted"].logs_only) == (1, 1)


def test_only_moments_that_the_healer_file_tells_twice() -> None:
    logs = {"log": "detected it"}
    metrics = {"increase": "orchestrator_closed_loop_signals_total"}
    once = restore(
        {
            **load("lab").model_dump(),
            "moments": {"detected": [logs, metrics], "diagnosed": [logs], "decided": [metrics]},
            "actions": {},
        }
    )
    assert [one.moment for one in agreement([], once)] == ["detected"]


def test_nine_of_ten_are_enough() -> None:
    assert disagreement((MomentAgreement("detected", 9, 1, 0, 0),)) == ()
    assert disagreement(()) == ()
    (told,) = disagreement((MomentAgreement("detected", 5, 1, 0, 1), MomentAgreement("acted", 3, 0, 0, 0)))
    assert "80.0 % of" in told
    assert "(1 in the logs only, 0 in the metrics only, 1 at different times)" in told
