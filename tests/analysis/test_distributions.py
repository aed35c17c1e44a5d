"""Our few distributions against scipy, which knows them all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some
from scipy import special

from smartops_chaos.analysis import distributions as d

shares = some.floats(1e-9, 1 - 1e-9)
sizes = some.integers(1, 5000)
freedoms = some.floats(0.5, 1e5)


def close(value: float) -> object:
    return pytest.approx(value, rel=1e-8, abs=1e-13)


@given(some.floats(-37, 37), shares)
def test_normal(z: float, p: float) -> None:
    assert d.normal_below(z) == close(special.ndtr(z))
    assert d.normal_quantile(p) == close(special.ndtri(p))


def test_the_ends_of_the_normal_distribution() -> None:
    assert (d.normal_quantile(0.0), d.normal_quantile(1.0)) == (-float("inf"), float("inf"))


@given(shares, sizes, sizes)
def test_beta(p: float, a: int, b: int) -> None:
    assert d.beta_below(p, a, b) == close(special.betainc(a, b, p))
    assert d.beta_quantile(p, a, b) == close(special.betaincinv(a, b, p))


@given(sizes, some.data(), shares)
def test_binomial(n: int, data: some.DataObject, share: float) -> None:
    k = data.draw(some.integers(0, n))
    assert d.binomial_at_most(k, n, share) == close(special.bdtr(k, n, share))


@pytest.mark.parametrize("successes", [0, 1, 500_000, 999_999])
def test_a_million_trials(successes: int) -> None:
    assert d.binomial_at_most(successes, 10**6, 0.5) == pytest.approx(special.bdtr(successes, 10**6, 0.5), rel=1e-6)


@given(some.floats(-50, 50), shares, freedoms)
def test_student(t: float, p: float, df: float) -> None:
    assert d.t_tail(t, df) == close(special.stdtr(df, -t))
    if 1e-4 < p < 1 - 1e-4 or df > 2:
        assert d.t_quantile(p, df) == close(-special.stdtrit(df, p))


def test_the_ends_of_student() -> None:
    assert (d.t_tail(float("inf"), 3), d.t_tail(-float("inf"), 3), d.t_tail(0, 3)) == (0, 1, 0.5)


@given(some.integers(1, 2000), some.floats(0.001, 0.999))
def test_chi_squared(df: int, p: float) -> None:
    assert d.chi_squared_quantile(p, df) == close(special.chdtri(df, p))
