from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartops_chaos.model import Interval
from smartops_chaos.schema.healerfile import LineTime
from smartops_chaos.telemetry.loki import named

S = 1_000_000_000
AT_S = 1_795_514_400  # 2026-11-24T10:00:00Z


def at(text: str, form: str = "iso", pattern: str = r"ts=(?P<time>[^|]+)") -> tuple[float, float] | None:
    """Seconds since AT_S, and how wide."""
    found = named(f"INFO ts={text}| done", LineTime(pattern=pattern, form=form))
    return None if found is None else ((found.lo_ns - AT_S * S) / S, (found.hi_ns - found.lo_ns + 1) / S)


@pytest.mark.parametrize(
    ("text", "form", "wanted"),
    [
        ("2026-11-24T10:00:00Z", "iso", (0, 1)),
        ("2026-11-24 10:00:00,250", "iso", (0.25, 0.001)),
        ("2026-11-24T10:00:00.250000001z", "iso", (0.250000001, 1e-9)),
        ("2026-11-24T12:00:00.25+02:00", "iso", (0.25, 0.01)),
        ("2026-11-24T05:00:00-0500", "iso", (0, 1)),
        ("2026-11-24T10:00", "iso", None),
        ("2026-13-24T10:00:00Z", "iso", None),
        ("yesterday", "iso", None),
        ("1795514400", "s", (0, 1)),
        ("1795514400.5", "s", (0.5, 0.1)),
        ("1795514400123", "ms", (0.123, 0.001)),
        ("1795514400123456", "us", (0.123456, 1e-6)),
        ("1795514400123456789", "ns", (0.123456789, 1e-9)),
        ("soon", "s", None),
        ("24/Nov/2026:11:00:00 +0100", "%d/%b/%Y:%H:%M:%S %z", (0, 1)),
        ("2026-11-24 10:00:00.5", "%Y-%m-%d %H:%M:%S.%f", (0.5, 1e-6)),
        ("never", "%Y", None),
    ],
)
def test_a_time_is_as_wide_as_its_last_digit(text: str, form: str, wanted: tuple[float, float] | None) -> None:
    found = at(text, form)
    assert found == (None if wanted is None else pytest.approx(wanted, rel=1e-6))


def test_a_line_without_the_pattern_names_no_time() -> None:
    assert at("1795514400", "s", pattern=r"time=(?P<time>\d+)") is None
    assert at("1795514400", "s", pattern=r"ts=\d+(?P<time>x)?") is None


@given(
    st.integers(0, 4 * 10**18), st.integers(0, 9), st.sampled_from(["Z", "+05:30", "-11:00", ""]), st.sampled_from(".,")
)
def test_the_time_that_was_written_lies_in_the_interval(ns: int, digits: int, zone: str, mark: str) -> None:
    """However many digits of it a program writes."""
    hours, minutes = (int(zone[:3]), int(zone[0] + zone[4:])) if ":" in zone else (0, 0)
    local = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=ns // S, hours=hours, minutes=minutes)
    fraction = mark + f"{ns % S:09}"[:digits] if digits else ""
    found = named(f"ts={local:%Y-%m-%dT%H:%M:%S}{fraction}{zone}|", LineTime(pattern=r"ts=(?P<time>[^|]+)"))
    assert isinstance(found, Interval)
    assert found.lo_ns <= ns <= found.hi_ns
    assert found.hi_ns - found.lo_ns + 1 == 10 ** (9 - digits)
