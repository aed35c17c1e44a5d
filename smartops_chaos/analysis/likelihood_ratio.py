"""Is the mean time of an arm below so much of the baseline's? A test that is honest for few, bounded, censored times.

The trouble. Times lie in [0, horizon], and one trial in fifty may take the whole horizon. Few trials do not show that
one, and then their variance is far too small: a t test of such times proves what is not so in up to half of the
campaigns. So nothing may be assumed of the times but that they are bounded; the trials not seen may be the worst.

The test (empirical likelihood, Owen 1988 and 2001). Put a probability on each trial's time, and on the worst value (the
horizon in the arm, 0 in the baseline), which nobody needs to have seen. The trials' own shares 1/N make them likeliest.
Of all laws by which the target is *not* met, one makes them as likely as it can; the ratio of the two likelihoods is
the p value. If no trial failed, the best such law has just the share of failures with which the target is missed, and p
is the chance to see no failure then: the exact test of Clopper and Pearson (1934). With failures it is larger than the
exact p. That p errs on the safe side for every law is checked (benchmarks/borders.py), not proven; the e value is.

How it is computed. Times are taken in horizons: x in [0, 1] in the arm, y in the baseline. The dual of the search for
the best law with mean(x) >= m is a search for one number, the stake of a gambler who bets that mean(x) < m:

    A(m) = max over stake in [0, 1] of   sum of log(1 + stake (m - x) / (1 - m))
    B(m) = max over stake in [0, 1] of   sum of log(1 + stake (y - m) / m)          he bets that mean(y) > m

and p = exp(-T) with T = min over m of A(c m) + B(m) where c = 1 - target: the baseline's true mean m is not known, so
the least favourable one counts. A and B are convex in m, the sums concave in the stake: Newton's method finds both.

Scenarios are pooled: the target is about the weighted mean over them, and one trial at the worst value can hide among
all trials, not in each scenario anew. A trial of scenario s stakes in proportion to weight x horizon / trials of s, the
largest of these at full stake. Then the expected gains of all trials add up to nothing or less where the target is not
met, and a product of positive numbers is largest where they are equal, so the whole bet gains nothing on average.

The e value (Waudby-Smith and Ramdas 2024): the same bets with stakes fixed beforehand, averaged over a list of stakes.
If the target is not met, the gambler's capital is expected not to grow, so it ever exceeds 1/alpha in at most a share
alpha of campaigns (Ville 1939), whenever one looks after a complete repeat: p = 1/e holds at every look.

Both take arm and baseline as independent or positively related (what slows one slows the other in the same block).

Of more than 1000 trials in a scenario times are taken to about a thousandth of the horizon and equal ones counted, so a
million cost no more than a thousand. Every function takes one campaign (values of shape (n,)) or many simulated ones at
once ((campaigns, n)).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

FEWEST_PAIRS = 5  # trials of the arm and of the baseline, over all scenarios: fewer decide nothing
_MANY = 1000  # trials of a scenario, from which on equal times are counted
_POINTS = 4000  # so many different times all scenarios together then have, but each at least so many:
_FEWEST_STEPS = 200
_ROUNDS = 100  # of a search; Newton's method takes about six
_PLACES = 12  # looked at at once in the search for a root
_EXACT = 1e-3  # to which it is found: of an interval at the end that is a tenth of a point
_SMALL = 1e-12
_MOST = 700.0  # of the logarithm of an e value: more is no number
_NEAR = 1e-7  # the last step of a search: of Newton's method, which squares the error, the next one would be 1e-14
# The e value's stakes and how much of the capital bets each: much on the whole stake, which pays most if none fails.
_BOOK = (
    (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    (0.04, 0.08, 0.08, 0.08, 0.08, 0.08, 0.08, 0.08, 0.08, 0.08, 0.24),
)


@dataclass(frozen=True, slots=True)
class Trials:
    """The scored times of one scenario in one arm: 0 = never bad, `horizon_s` = not recovered.

    `values` has shape (n,), or (campaigns, n). `lost` counts trials whose time is not known; `reduction`, `mean` and
    `proven_from` mind them, the tests below take what they are given (see `with_lost`).
    """

    values: Floats
    horizon_s: float
    weight: float = 1.0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class ReductionTest:
    """1 - mean of the arm / mean of the baseline, over the weighted scenarios.

    `lo` and `hi` are the two-sided interval at 2 alpha, by inversion: without lost trials `lo` >= target exactly if
    `p` <= alpha, and `hi` <= target exactly if `p_ruled_out` <= alpha.
    """

    estimate: float | None  # None: the baseline never hurt
    lo: float  # may be -inf
    hi: float
    p: float  # one-sided, H0: reduction <= target; the larger one of without and with the lost trials at their worst
    p_ruled_out: float  # one-sided, H0: reduction >= target; the same
    pairs: int  # below FEWEST_PAIRS both p are 1


@dataclass(frozen=True, slots=True)
class Mean:
    """The weighted mean over scenarios, in seconds, with its two-sided interval at 2 alpha by inversion."""

    estimate_s: float
    lo_s: float
    hi_s: float
    p: float  # one-sided, H0: mean >= limit; the larger one of without and with the lost trials at their horizon
    p_ruled_out: float  # one-sided, H0: mean <= limit; with the lost trials at 0
    trials: int  # below FEWEST_PAIRS both p are 1


@dataclass(frozen=True, slots=True)
class _PooledTrials:
    """All trials of an arm: times in horizons, (campaigns, N), each one's stake, the largest 1, and how often it is."""

    times: Floats
    stake: Floats
    count: Floats

    @property
    def mean(self) -> Floats:
        return np.asarray((self.times @ (self.stake * self.count)) / (self.stake @ self.count))

    @property
    def mirrored(self) -> _PooledTrials:
        return replace(self, times=1 - self.times)

    def of(self, campaigns: NDArray[np.intp]) -> _PooledTrials:
        return replace(self, times=self.times[campaigns])

    def cut(self, shares: Floats) -> _PooledTrials:
        """With every one of these shares of the horizon as the horizon: one campaign becomes as many as shares."""
        return replace(self, times=np.minimum(self.times / shares[:, None], 1.0))


# ---- one campaign ------------------------------------------------------------------------------------------------


def reduction(
    arm: Sequence[Trials], base: Sequence[Trials], target: float, alpha: float, *, looks: bool = False
) -> ReductionTest:
    """The arm against the baseline over the same scenarios, in the same order; all with at least one trial.

    `target` below 1 is the reduction asked, `alpha` the one-sided level of the interval. With `looks` everything is by
    the e value, so it holds at every look.
    """
    pairs = min(_number(arm), _number(base))
    above, below = mean_over_scenarios(arm), mean_over_scenarios(base)
    lo, hi = reduction_interval(arm, base, alpha, looks=looks)
    p, p_ruled_out = proven_p(arm, base, target, looks=looks), 1.0
    if pairs >= FEWEST_PAIRS:
        p_ruled_out = max(
            float(ruled_out_p(*sides, target, looks=looks)[0]) for sides in _also_lost(arm, base, at_best)
        )
    return ReductionTest(1 - above / below if below > 0 else None, float(lo[0]), float(hi[0]), p, p_ruled_out, pairs)


def proven_p(arm: Sequence[Trials], base: Sequence[Trials], target: float, *, looks: bool = False) -> float:
    """One-sided p of H0: reduction <= target; the larger one of without and with the lost trials at their worst.

    1 if there are fewer trials than decide.
    """
    if min(_number(arm), _number(base)) < FEWEST_PAIRS:
        return 1.0
    return max(float(reduction_p(*sides, target, looks=looks)[0]) for sides in _also_lost(arm, base, at_worst))


def lost_range(arm: Sequence[Trials], base: Sequence[Trials]) -> tuple[float | None, float | None]:
    """The estimate of the reduction if every lost trial had gone badly for the arm, and if it had gone well."""
    ends = []
    for above, below in (at_worst(arm, base), at_best(arm, base)):
        mean = mean_over_scenarios(below)
        ends.append(1 - mean_over_scenarios(above) / mean if mean > 0 else None)
    return ends[0], ends[1]


def mean(arm: Sequence[Trials], limit_s: float, alpha: float, *, looks: bool = False) -> Mean:
    """The arm alone: is its mean below `limit_s`, which lies between 0 and the horizons' mean?"""
    trials = _number(arm)
    lo, hi = mean_interval(arm, alpha, looks=looks)
    p, p_ruled_out = 1.0, 1.0
    if trials >= FEWEST_PAIRS:
        p = max(float(mean_p_below(one, limit_s, looks=looks)[0]) for one, _ in _also_lost(arm, (), at_worst))
        p_ruled_out = max(float(mean_p_above(one, limit_s, looks=looks)[0]) for one, _ in _also_lost(arm, (), at_best))
    return Mean(mean_over_scenarios(arm), float(lo[0]), float(hi[0]), p, p_ruled_out, trials)


def interval(samples: Sequence[Trials], alpha: float, *, looks: bool = False) -> tuple[float | None, float | None]:
    """Two-sided interval at 2 `alpha` of the weighted mean in seconds; (None, None) where it cannot be given."""
    if not samples or any(not np.size(one.values) for one in samples):
        return None, None
    lo, hi = mean_interval(samples, alpha, looks=looks)
    return float(lo[0]), float(hi[0])


def _number(side: Sequence[Trials]) -> int:
    return sum(np.shape(one.values)[-1] for one in side)


def mean_over_scenarios(scenarios: Sequence[Trials]) -> float:
    """The weighted mean of the scenarios' means (stratified sampling, Cochran 1977, chapter 5), in seconds.

    NaN without scenarios, or with an empty one.
    """
    if not scenarios or any(not np.size(t.values) for t in scenarios):
        return float("nan")
    return float(sum(t.weight * np.mean(t.values) for t in scenarios) / sum(t.weight for t in scenarios))


def mean_horizon_s(scenarios: Sequence[Trials]) -> float:
    """The same of their horizons: the largest mean that there can be."""
    return sum(one.weight * one.horizon_s for one in scenarios) / sum(one.weight for one in scenarios)


def at_worst(arm: Sequence[Trials], base: Sequence[Trials]) -> tuple[list[Trials], list[Trials]]:
    """Every lost trial had gone badly for the arm: it never recovered, the baseline was never hurt."""
    return [with_lost(t, t.horizon_s) for t in arm], [with_lost(t, 0.0) for t in base]


def at_best(arm: Sequence[Trials], base: Sequence[Trials]) -> tuple[list[Trials], list[Trials]]:
    return [with_lost(t, 0.0) for t in arm], [with_lost(t, t.horizon_s) for t in base]


def _also_lost(
    arm: Sequence[Trials],
    base: Sequence[Trials],
    scored: Callable[[Sequence[Trials], Sequence[Trials]], tuple[list[Trials], list[Trials]]],
) -> list[tuple[Sequence[Trials], Sequence[Trials]]]:
    """Both sides as they are and, if trials were lost, also with these `scored`: a test has to reject in both."""
    sides: list[tuple[Sequence[Trials], Sequence[Trials]]] = [(arm, base)]
    return [*sides, scored(arm, base)] if any(t.lost for t in (*arm, *base)) else sides


def proven_from(
    arm: Sequence[Trials], base: Sequence[Trials], target: float, level: float, *, looks: bool = False
) -> float | None:
    """The share of the horizons from which on up to the whole of them the target is proven; None: not at the whole.

    A shorter horizon shows a smaller reduction against a baseline that never recovers, so a reader wants to know how
    much the verdict depends on it. Horizons are tried from the longest down in steps of a hundredth, each at the full
    `level`, until one fails: that order is fixed beforehand, so no correction is due.
    """
    shares = np.arange(100, 0, -1) / 100
    proven = np.ones(len(shares), dtype=bool)
    for above, below in _also_lost(arm, base, at_worst):
        proven &= np.exp(-_evidence(_pool(above).cut(shares), _pool(below).cut(shares), 1 - target, looks)) <= level
    last = len(shares) if proven.all() else int(np.argmin(proven))
    return float(shares[last - 1]) if last else None


def with_lost(trials: Trials, value_s: float) -> Trials:
    """The same with every lost trial scored `value_s`."""
    values = np.atleast_2d(trials.values)
    scored = np.full((len(values), trials.lost), value_s)
    return replace(trials, values=np.concatenate([values, scored], axis=1), lost=0)


# ---- tests, of one or many campaigns -----------------------------------------------------------------------------


def reduction_p(arm: Sequence[Trials], base: Sequence[Trials], target: float, *, looks: bool = False) -> Floats:
    """One-sided p of H0: reduction <= `target` (below 1), for each campaign."""
    return np.minimum(np.exp(-_evidence(_pool(arm), _pool(base), 1 - target, looks)), 1.0)


def ruled_out_p(arm: Sequence[Trials], base: Sequence[Trials], target: float, *, looks: bool = False) -> Floats:
    """One-sided p of H0: reduction >= `target` (below 1); unseen trials may be at 0 in the arm, at worst in `base`."""
    return np.minimum(np.exp(-_evidence(_pool(base), _pool(arm), 1 / (1 - target), looks)), 1.0)


def reduction_interval(
    arm: Sequence[Trials], base: Sequence[Trials], alpha: float, *, looks: bool = False
) -> tuple[Floats, Floats]:
    """Two-sided interval at 2 `alpha`: the reductions that neither one-sided test at `alpha` rejects."""
    x, y, factor = _pool(arm), _pool(base), _factor_at_looks if looks else _factor
    with np.errstate(divide="ignore"):
        return 1 - factor(x, y, alpha), 1 - 1 / factor(y, x, alpha)


def mean_p_below(arm: Sequence[Trials], limit_s: float, *, looks: bool = False) -> Floats:
    """One-sided p of H0: the weighted mean >= `limit_s`, below the horizons' mean; unseen trials may be at them."""
    return np.minimum(np.exp(-_evidence_below(_pool(arm), limit_s / mean_horizon_s(arm), looks)), 1.0)


def mean_p_above(arm: Sequence[Trials], limit_s: float, *, looks: bool = False) -> Floats:
    """One-sided p of H0: the weighted mean <= `limit_s`, above 0; unseen trials may be at 0."""
    return np.minimum(np.exp(-_evidence_below(_pool(arm).mirrored, 1 - limit_s / mean_horizon_s(arm), looks)), 1.0)


def mean_interval(arm: Sequence[Trials], alpha: float, *, looks: bool = False) -> tuple[Floats, Floats]:
    """Two-sided interval at 2 `alpha` for the weighted mean in seconds."""
    pool, horizon_s, highest = _pool(arm), mean_horizon_s(arm), _highest_at_looks if looks else _highest
    return (1 - highest(pool.mirrored, alpha)) * horizon_s, highest(pool, alpha) * horizon_s


def reduction_e(arm: Sequence[Trials], base: Sequence[Trials], target: float) -> Floats:
    """The e value against H0: reduction <= `target`, for each campaign; 1 / e is a p value at every complete repeat."""
    return _e(_evidence(_pool(arm), _pool(base), 1 - target, looks=True))


def paired_p(arm: Floats, base: Floats, target: float) -> float:
    """One-sided p of H0: mean(arm) >= (1 - target) mean(base), of pairs that belong together; values in [0, 1].

    The unit is the pair, whatever its two values have to do with each other, and one unseen pair may be at worst: 1 in
    the arm, 0 in the baseline. It is the test of one mean, that of arm - (1 - target) base.
    """
    return float(np.exp(-_paired_evidence(arm, base, np.log([1 - target]))[0]))


def paired_interval(arm: Floats, base: Floats, alpha: float) -> tuple[float, float]:
    """Two-sided interval at 2 `alpha` of 1 - mean(arm) / mean(base), by inversion; the baseline's mean is above 0."""
    wanted, factor = -np.log(alpha), float(np.mean(arm) / np.mean(base))
    most = _root(lambda logs: _paired_evidence(arm, base, logs), np.log(max(factor, _SMALL)), np.inf, wanted)
    if factor <= 0:
        return 1 - float(np.exp(most)), 1.0
    least = _root(lambda logs: _paired_evidence(base, arm, logs), -np.log(factor), np.inf, wanted)
    return 1 - float(np.exp(most)), 1 - float(np.exp(-least))


# ---- the computation ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Bet:
    """A(m) and its first two derivatives, for each campaign."""

    value: Floats
    slope: Floats
    bend: Floats
    stake: Floats  # the best one


@dataclass(frozen=True, slots=True)
class _Least:
    """The smallest A(c m) + B(m) over m, and how fast it grows with c."""

    value: Floats
    slope: Floats


def _pool(scenarios: Sequence[Trials]) -> _PooledTrials:
    """Each trial stakes in proportion to weight x horizon / trials of its scenario."""
    parts, counts, stakes, steps = [], [], [], max(_POINTS // len(scenarios), _FEWEST_STEPS)
    for one in scenarios:
        values = np.atleast_2d(np.asarray(one.values, dtype=float)) / one.horizon_s
        number, count = values.shape[1], np.ones(values.shape[1])
        if len(values) == 1 and number > _MANY:
            found = np.bincount(np.rint(values[0] * steps).astype(np.intp))
            taken = np.flatnonzero(found)
            values, count = taken[None, :] / steps, found[taken].astype(float)
        parts.append(values)
        counts.append(count)
        stakes.append(np.full(values.shape[1], one.weight * one.horizon_s / number))
    stake = np.concatenate(stakes)
    return _PooledTrials(np.concatenate(parts, axis=1), stake / stake.max(), np.concatenate(counts))


def _evidence(x: _PooledTrials, y: _PooledTrials, c: float | Floats, looks: bool) -> Floats:
    """-log p against H0: mean(x) >= c mean(y), for each campaign; with `looks` the logarithm of the e value."""
    c = np.broadcast_to(np.asarray(c, dtype=float), len(x.times))
    if not looks:
        return _least(x, y, c).value
    end = np.minimum(1.0, 1 / c)
    return _smallest(lambda m: _capital(x, c * m) + _capital(y.mirrored, 1 - m), 0 * end, end)


def _evidence_below(pool: _PooledTrials, m: float, looks: bool) -> Floats:
    """-log p against H0: mean >= m; with `looks` the logarithm of the e value."""
    at = np.full(len(pool.times), m)
    return _capital(pool, at) if looks else _bet(pool, at).value


def _paired_evidence(arm: Floats, base: Floats, logs: Floats) -> Floats:
    """For each c, given as its logarithm: arm - c base lies between -c and 1; H0: its mean is 0 or more."""
    c = np.exp(logs)
    units = (np.asarray(arm) - c[:, None] * np.asarray(base) + c[:, None]) / (1 + c[:, None])
    return _bet(_pool([Trials(units, 1.0)]), c / (1 + c)).value


def _e(logarithm: Floats) -> Floats:
    return np.exp(np.minimum(logarithm, _MOST))


def _gains(pool: _PooledTrials, m: Floats) -> Floats:
    """What each trial pays for a full stake on mean < m; never below -1."""
    return np.asarray(pool.stake * ((1 - pool.times) / (1 - np.minimum(m, 1 - _SMALL))[:, None] - 1))


def _bet(pool: _PooledTrials, m: Floats, near: Floats | None = None) -> _Bet:
    """A(m). B(m) is the same of the mirrored times at 1 - m. `near` is a stake not far from the best one."""
    gains = _gains(pool, m)
    best = _best_stake(gains, pool.count, near)
    stake = best[:, None]
    left = 1 - np.minimum(m, 1 - _SMALL)[:, None]
    rise = (gains + pool.stake) / left  # of the gains with m
    share = 1 / (1 + stake * gains)
    value = -np.log(share) @ pool.count
    slope = (stake * rise * share) @ pool.count
    bend = (2 * stake * rise / left * share - (stake * rise * share) ** 2) @ pool.count
    moves = (stake > 0) & (stake < 1)  # then the best stake moves with m, and the value bends more
    curve = np.where(moves[:, 0], (gains * share) ** 2 @ pool.count, 1.0)
    bend += np.where(moves[:, 0], ((rise * share**2) @ pool.count) ** 2 / curve, 0.0)
    return _Bet(value, slope, bend, best)


def _best_stake(gains: Floats, count: Floats, near: Floats | None) -> Floats:
    """In [0, 1] the largest sum of log(1 + stake x gain), for each campaign: Newton's method, kept within bounds."""
    with np.errstate(divide="ignore"):
        whole = (gains / (1 + gains)) @ count >= 0
    nothing = gains @ count <= 0
    lo, hi = np.zeros(len(gains)), np.ones(len(gains))
    stake = np.where(nothing, 0.0, np.where(whole, 1.0, 0.5 if near is None else near))
    rows = np.flatnonzero(~(whole | nothing))  # campaigns that are still searched
    for _ in range(_ROUNDS):
        if not len(rows):
            break
        old, some = stake[rows], gains[rows]
        pays = some / (1 + old[:, None] * some)
        slope, curve = pays @ count, pays**2 @ count
        lo[rows], hi[rows] = np.where(slope > 0, old, lo[rows]), np.where(slope > 0, hi[rows], old)
        stake[rows] = _within(old + slope / np.where(curve > 0, curve, 1.0), lo[rows], hi[rows])
        rows = rows[np.abs(stake[rows] - old) > _NEAR]
    return stake


def _within(proposed: Floats, lo: Floats, hi: Floats) -> Floats:
    """Newton's proposal, or the middle of the bounds where it leaves them."""
    return np.where((proposed > lo) & (proposed < hi), proposed, (lo + hi) / 2)


def _least(x: _PooledTrials, y: _PooledTrials, c: Floats) -> _Least:
    """T of H0: mean(x) >= c mean(y). The sum is convex in the mean m of y, and 0 outside of what the trials say."""
    hi = np.minimum(y.mean, (1 - _SMALL) / c)
    lo = np.clip(x.mean / c, _SMALL, np.maximum(hi, _SMALL))
    hi = np.maximum(hi, lo)
    m = (lo + hi) / 2
    quiet = y.mirrored
    value, rises = np.zeros(len(m)), np.zeros(len(m))
    stakes = np.full((2, len(m)), 0.5)
    rows = np.arange(len(m))
    for _ in range(_ROUNDS):
        old, by, whole = m[rows], c[rows], len(rows) == len(m)
        high = _bet(x if whole else x.of(rows), by * old, stakes[0, rows])
        low = _bet(quiet if whole else quiet.of(rows), 1 - old, stakes[1, rows])
        value[rows], rises[rows] = high.value + low.value, high.slope * old
        stakes[0, rows], stakes[1, rows] = high.stake, low.stake
        slope, bend = by * high.slope - low.slope, by**2 * high.bend + low.bend
        lo[rows], hi[rows] = np.where(slope < 0, old, lo[rows]), np.where(slope < 0, hi[rows], old)
        m[rows] = _within(old - slope / np.where(bend > 0, bend, 1.0), lo[rows], hi[rows])
        rows = rows[np.abs(m[rows] - old) > _NEAR * old]
        if not len(rows):
            break
    return _Least(np.maximum(value, 0.0), rises)


def _factor(x: _PooledTrials, y: _PooledTrials, alpha: float) -> Floats:
    """The c from which on H0: mean(x) >= c mean(y) is rejected at `alpha`; infinite where y never hurt.

    T grows about like a square of log c, and then like log c itself: Newton's method is for its root.
    """
    hurt = y.mean > 0
    wanted = np.sqrt(-np.log(alpha))
    lo = np.log(np.where(hurt, np.maximum(x.mean, _SMALL) / np.where(hurt, y.mean, 1.0), 1.0))
    hi, at = np.full(len(lo), np.inf), np.maximum(lo + 0.5, -3.0)
    rows = np.flatnonzero(hurt)
    for _ in range(_ROUNDS):
        if not len(rows):
            break
        old = at[rows]
        found = _least(x.of(rows), y.of(rows), np.exp(old))
        root = np.sqrt(found.value)
        short = root < wanted
        lo[rows], hi[rows] = np.where(short, old, lo[rows]), np.where(short, hi[rows], old)
        slope = found.slope * np.exp(old) / (2 * np.where(root > 0, root, 1.0))
        newton = old + (wanted - root) / np.where(slope > 0, slope, _SMALL)
        bounded = np.isfinite(hi[rows])
        at[rows] = np.where(bounded, _within(newton, lo[rows], hi[rows]), np.minimum(newton, old + 3.0))
        rows = rows[np.abs(at[rows] - old) > _NEAR]
    return np.where(hurt, np.exp(at), np.inf)


def _highest(pool: _PooledTrials, alpha: float) -> Floats:
    """The m from which on H0: mean >= m is rejected at `alpha`; 1 where every trial took the whole horizon."""
    lo, hi = pool.mean, np.ones(len(pool.times))
    m = (lo + hi) / 2
    for _ in range(_ROUNDS):
        found = _bet(pool, m)
        short = found.value < -np.log(alpha)
        lo, hi = np.where(short, m, lo), np.where(short, hi, m)
        steep = found.slope > 0
        new = _within(m + (-np.log(alpha) - found.value) / np.where(steep, found.slope, np.inf), lo, hi)
        done = np.abs(new - m) <= _NEAR
        m = new
        if done.all():
            break
    return m


def _capital(pool: _PooledTrials, m: Floats) -> Floats:
    """Logarithm of what the capital has become that bet on mean < m, a part of it on each of the stakes."""
    gains = _gains(pool, m)
    with np.errstate(divide="ignore"):
        parts = np.array(
            [np.log1p(stake * gains) @ pool.count + np.log(share) for stake, share in zip(*_BOOK, strict=True)]
        )
    top = parts.max(0)
    return np.asarray(top + np.log(np.exp(parts - top).sum(0)))


def _factor_at_looks(x: _PooledTrials, y: _PooledTrials, alpha: float) -> Floats:
    """The c of one campaign from which on the e value rejects H0: mean(x) >= c mean(y); infinite: y never hurt."""
    if not y.mean[0] > 0:
        return np.array([np.inf])

    def evidence(logs: Floats) -> Floats:
        rows = np.zeros(len(logs), dtype=np.intp)
        return _evidence(x.of(rows), y.of(rows), np.exp(logs), looks=True)

    start = np.log(max(float(x.mean[0] / y.mean[0]), _SMALL))
    return np.array([np.exp(_root(evidence, start, np.inf, -np.log(alpha)))])


def _highest_at_looks(pool: _PooledTrials, alpha: float) -> Floats:
    """The m of one campaign from which on the e value rejects H0: mean >= m."""

    def evidence(m: Floats) -> Floats:
        return _capital(pool.of(np.zeros(len(m), dtype=np.intp)), m)

    return np.array([_root(evidence, float(pool.mean[0]), 1.0, -np.log(alpha))])


def _root(rises: Callable[[Floats], Floats], start: float, end: float, wanted: float) -> float:
    """Where a function that rises, from below `wanted` at `start`, reaches it; `end` if it does not before.

    Some places are looked at at once: at first ever farther from the start, then between the two around the root.
    """
    lo, hi = start, end
    if np.isinf(end):
        steps: Floats = np.asarray(start + np.exp2(np.arange(-2, 10)), dtype=np.float64)
        reached = rises(steps) >= wanted
        first = int(np.argmax(reached)) if reached.any() else len(steps)
        lo, hi = float(steps[first - 1]) if first else start, float(steps[min(first, len(steps) - 1)])
    while hi - lo > _EXACT:
        places = np.linspace(lo, hi, _PLACES + 2)[1:-1]
        first = int(np.searchsorted(rises(places), wanted))
        lo, hi = (lo if first == 0 else float(places[first - 1])), (hi if first == _PLACES else float(places[first]))
    return hi


def _smallest(convex: Callable[[Floats], Floats], lo: Floats, hi: Floats) -> Floats:
    """The smallest value of a convex function between the bounds: golden section, for each campaign."""
    ratio = (np.sqrt(5) - 1) / 2
    left, right = hi - ratio * (hi - lo), lo + ratio * (hi - lo)
    at_left, at_right = convex(left), convex(right)
    for _ in range(30):  # the bounds come together to 1e-6 of their distance, and the smallest value to its square
        smaller = at_left < at_right
        lo, hi = np.where(smaller, lo, left), np.where(smaller, right, hi)
        new = np.where(smaller, hi - ratio * (hi - lo), lo + ratio * (hi - lo))
        at_new = convex(new)
        left, right = np.where(smaller, new, right), np.where(smaller, left, new)
        at_left, at_right = np.where(smaller, at_new, at_right), np.where(smaller, at_left, at_new)
    return np.minimum(at_left, at_right)
