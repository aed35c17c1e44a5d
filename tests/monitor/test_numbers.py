"""What is exported, and what is not."""

from __future__ import annotations

from smartops_chaos.monitor.numbers import Numbers


def series(numbers: Numbers, name: str) -> list[str]:
    return [line for line in numbers.text().decode().splitlines() if line.startswith(name + "{")]


def test_a_fault_is_shown_until_nobody_names_it() -> None:
    numbers = Numbers("shop", "erp")
    assert series(numbers, "smartops_chaos_fault_active") == []
    one, other = ("dev", "pod-kill", "nightly-1"), ("dev", "cpu-90", "nightly-1")
    numbers.faults({one: True, other: True})
    assert len(series(numbers, "smartops_chaos_fault_active")) == 2
    numbers.faults({one: False})
    (line,) = series(numbers, "smartops_chaos_fault_active")
    assert line == 'smartops_chaos_fault_active{campaign="nightly-1",fault="pod-kill",namespace="dev"} 0.0'
    numbers.faults({})
    assert series(numbers, "smartops_chaos_fault_active") == []


def test_the_last_campaign_s_arms_replace_those_before() -> None:
    numbers = Numbers("shop", "erp")
    numbers.mttr({"off": {"estimate": 9.0, "low": 8.0, "high": 10.0}, "zscore": {"estimate": 2.0}})
    numbers.mttr({"zscore": {"estimate": 3.0}})
    assert series(numbers, "smartops_chaos_campaign_mttr_seconds") == [
        'smartops_chaos_campaign_mttr_seconds{arm="zscore",bound="estimate"} 3.0'
    ]


def test_every_outcome_is_there_from_the_beginning_so_that_its_first_incident_is_an_increase() -> None:
    numbers = Numbers("shop", "erp")
    for name in ("smartops_chaos_incidents_total", "smartops_chaos_recovery_seconds_count"):
        assert [line.rpartition(" ")[2] for line in series(numbers, name)] == ["0.0"] * 4
