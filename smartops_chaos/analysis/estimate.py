"""Intervals of means over scenarios of times between 0 and the horizon, which stay true where failures are rare.

They do not rest on a variance, since few trials do not show that one in fifty fails: see analysis.likelihood_ratio.
"""

from __future__ import annotations

from collections.abc import Sequence

from smartops_chaos.analysis.likelihood_ratio import Trials, mean_interval


def interval(samples: Sequence[Trials], alpha: float, *, looks: bool = False) -> tuple[float | None, float | None]:
    """The two-sided interval (1 - 2 alpha) of a mean over scenarios of times between 0 and the horizon.

    By inversion of the test of `analysis.likelihood_ratio`; with `looks` it holds at every look. (None, None) without
    samples.
    """
    if not samples or any(not len(s.values) for s in samples):
        return None, None
    lo, hi = mean_interval(samples, alpha, looks=looks)
    return float(lo[0]), float(hi[0])
