from __future__ import annotations

from smartops_chaos.trial.reference import Repair, choose

THERE = ("lab/erp", "lab/healer", "lab/db")


def test_the_oracle_restarts_what_was_hit() -> None:
    assert choose("oracle", 1, ["erp/erp-1", "erp/erp-2"], THERE) == (Repair("restart", "lab/erp"),)
    assert choose("oracle", 1, ["db/db-1", "erp/erp-1"], THERE) == (
        Repair("restart", "lab/erp"),
        Repair("restart", "lab/db"),
    )


def test_where_nobody_knows_what_was_hit_the_oracle_restarts_the_service() -> None:
    assert choose("oracle", 1, [], THERE) == (Repair("restart", "lab/erp"),)
    assert choose("oracle", 1, [], ()) == ()


def test_random_does_anything_to_anything_by_the_trials_seed() -> None:
    drawn = [choose("random", seed, ["erp/erp-1"], THERE) for seed in range(200)]
    assert drawn == [choose("random", seed, [], THERE) for seed in range(200)]  # it does not know what was hit
    assert all(len(done) == 1 for done in drawn)
    assert {(one.kind, one.target) for (one,) in drawn} == {(k, t) for k in ("restart", "scale") for t in THERE}
    assert {one.replicas for (one,) in drawn} == {None, 1, 2, 3, 4}
