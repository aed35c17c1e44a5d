"""A running monitor against outages that are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from smartops_chaos.model import Interval, Outcome

MS = 1_000_000


def holds(found: Interval | None, truth: Interval) -> bool:
    """Whether a dated moment and the true one are within the dated one's own width of each other."""
    return found is not None and found.lo_ns - 50 * MS <= truth.hi_ns and truth.lo_ns <= found.hi_ns + 50 * MS


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_an_outage_is_one_incident_dated_as_it_was(shop: Any, standing: Callable[..., Any], share: float) -> None:
    monitor = standing(horizon=600)
    began = shop.be(share)
    monitor.asked(began.hi_ns)
    ended = shop.be(0)
    (found,) = monitor.over(1)
    assert holds(found.impacted, began)
    assert holds(found.recovered, ended)
    assert found.outcome == Outcome.PLATFORM
    assert found.reason == "no-action"
    text = monitor.get("/metrics")
    where = 'namespace="shop",service="smartops-erp-simulator"'
    assert (
        'smartops_chaos_incidents_total{namespace="shop",outcome="platform",service="smartops-erp-simulator"} 1.0'
        in text
    )
    assert f"smartops_chaos_incident_active{{{where}}} 0.0" in text
    assert monitor.end() == 0
