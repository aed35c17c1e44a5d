"""The emulated network, without a network: what the dice say."""

from __future__ import annotations

import statistics

import pytest

from smartops_chaos.inside.proxy import RTO_S
from smartops_chaos.lab.platform.network import SEGMENTS, NetworkFault, NetworkPath


def waits(loss: float, seed: int = 1, ways: int = 20_000) -> list[float]:
    way = NetworkPath(NetworkFault("f", seed, loss=loss))
    return [way.lost_s(0) for _ in range(ways)]


@pytest.mark.parametrize("loss", [0.1, 0.2, 0.3])
def test_the_mean_wait_is_that_of_doubling_time_outs(loss: float) -> None:
    """The k-th loss in a row costs RTO 2^(k-1) and comes with probability loss^k: a geometric sum."""
    found, expected = waits(loss), SEGMENTS * RTO_S * loss / (1 - 2 * loss)
    assert statistics.fmean(found) == pytest.approx(expected, abs=5 * statistics.stdev(found) / len(found) ** 0.5)


@pytest.mark.parametrize("loss", [0.1, 0.3])
def test_the_share_without_a_wait_is_that_of_whole_ways(loss: float) -> None:
    found = waits(loss)
    assert sum(not wait for wait in found) / len(found) == pytest.approx((1 - loss) ** SEGMENTS, abs=0.02)


def test_waits_are_sums_of_time_outs() -> None:
    one_segment = {2**losses - 1 for losses in range(16)}  # in time-outs: 1 + 2 + 4 + ...
    sums = {a + b for a in one_segment for b in one_segment}
    assert {round(wait / RTO_S, 6) for wait in waits(0.3)} <= sums


def test_the_seed_decides() -> None:
    assert waits(0.2, seed=1, ways=100) == waits(0.2, seed=1, ways=100) != waits(0.2, seed=2, ways=100)


def test_what_was_sent_and_lost_is_counted() -> None:
    way = NetworkPath(NetworkFault("f", 1, loss=0.25))
    for _ in range(10_000):
        way.lost_s(0)
    seen = way.seen()
    assert seen["sent"] == 10_000 * SEGMENTS + seen["lost"]
    assert seen["lost"] / seen["sent"] == pytest.approx(0.25, abs=0.02)
