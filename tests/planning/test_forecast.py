from collections.abc import Callable
from pathlib import Path

import pytest

from smartops_chaos.plan.expand import load_plan
from smartops_chaos.planning.forecast import Proof, forecast
from smartops_chaos.resources import shipped

Write = Callable[..., Path]
SLA = ("seed: 7", "seed: 7\nstop_after_good: 4s\nsla: {window: 30d, faults: 4}")


def _proofs(path: Path, repeats: int | None = None, only: tuple[str, ...] = ()) -> dict[str, Proof]:
    return {p.target: p for p in forecast(load_plan(path, repeats=repeats, only=only), "m.yaml").proofs}


def test_durations(matrix: Write) -> None:
    plan = load_plan(matrix(SLA))
    found = forecast(plan, "m.yaml")
    assert (found.measured, found.calibration) == (18, 2)
    # around 3 s, warm-up 4 s, poll 0.5 s, gate 2 s; to the horizon and hold 14 s, a healed one 12 / 3 + 4 s
    # 9 blocks of two trials: one lane has 5 of them, and a calibration trial
    assert found.upper_s == pytest.approx((5 * 2 + 1) * (9.5 + 14))
    watched = sum(t.to_horizon and t.model == "zscore" for t in plan.trials)  # in spite of `stop_after_good`
    to_the_end = 6 + 3 + 3 + watched  # off in 3 scenarios and the control with zscore
    healed = 2 + 6 - watched  # calibration and zscore
    alone = forecast(plan, "m.yaml", lanes=1)
    assert alone.likely_s == pytest.approx(to_the_end * (9.25 + 14) + healed * (9.25 + 8))
    assert (
        alone.likely_s / 2 <= found.likely_s <= alone.likely_s / 2 + 2 * (9.25 + 14)
    )  # one lane may end a block later
    assert found.likely_s == alone.lanes_s[2]
    assert alone.upper_s == pytest.approx(20 * (9.5 + 14))


def test_the_quick_matrix_shows_but_cannot_prove() -> None:
    found = forecast(load_plan(shipped("matrix", "quick.yaml")), "quick.yaml")
    assert (found.measured, found.calibration) == (18, 3)
    assert found.upper_s < 270
    assert [p.possible for p in found.proofs] == [True, False, True]


def test_auto_heal(matrix: Write) -> None:
    path = matrix(SLA)
    few = _proofs(path)["auto_heal"]
    assert str(few) == (
        "CANNOT PROVE auto-heal of 90%: an arm has 6 trials with a fault, the fewest that prove it are 36 of 36"
    )
    assert few.hint.startswith("smartops-chaos run m.yaml --repeats 18   # about ")
    many = _proofs(path, repeats=40)["auto_heal"]
    assert (str(many), many.hint) == ("auto-heal of 90%: can be proven by 78 successes of 80 in an arm", "")


def test_the_proposed_repeats_do(matrix: Write) -> None:
    path = matrix(SLA)
    for target, repeats in (("auto_heal", 3), ("mttr_reduction", 1)):
        proposed = int(_proofs(path, repeats=repeats)[target].hint.split("--repeats ")[1].split()[0])
        assert _proofs(path, repeats=proposed)[target].possible
        assert _proofs(path, repeats=proposed)[target].hint == ""


def test_mttr_reduction(matrix: Write) -> None:
    path = matrix(SLA)
    assert str(_proofs(path, repeats=2)["mttr_reduction"]) == (
        "CANNOT PROVE MTTR reduction of 40%: an arm has 4 trials, and 5 are the fewest"
    )
    assert "can be proven if the baseline never recovers" in _proofs(path)["mttr_reduction"].text
    assert _proofs(path, repeats=10)["mttr_reduction"].possible


def test_nothing_is_proven_without_a_reason_for_the_horizon(matrix: Write) -> None:
    proofs = _proofs(matrix(SLA, ('after: 12s, because: "demonstration"', "after: 12s")), repeats=50)
    for proof in proofs.values():
        assert not proof.possible
        assert "no reason is given for the horizon of cpu-90, pod-kill" in proof.text.replace(
            "pod-kill, cpu-90", "cpu-90, pod-kill"
        )
        assert proof.hint == 'horizon: {after: 12s, because: "why a person would step in then"}'


def test_sla(matrix: Write) -> None:
    without = _proofs(matrix())["sla"]
    assert not without.possible
    assert without.hint == "sla: {window: 1h, faults: 5}"
    easy = _proofs(matrix(SLA))["sla"]
    assert str(easy) == (
        "CANNOT PROVE SLA of 99%: trivial, it holds whatever the healer does, since 4 faults cost at most 48 s of 30d"
    )
    hard = _proofs(matrix(("seed: 7", "sla: {window: 1h, faults: 4}")))["sla"]
    assert str(hard) == "SLA of 99%: can be proven if a fault costs clearly less than 9 bad seconds"
    assert not _proofs(matrix(SLA), repeats=2)["sla"].possible


@pytest.mark.parametrize("path", sorted(shipped("matrix").glob("*.yaml")), ids=lambda path: path.stem)
def test_no_shipped_matrix_has_a_target_that_says_nothing(path: Path) -> None:
    """A trivial target passes no check: whoever ran the matrix for a night would get nothing for it."""
    proofs = _proofs(path)
    assert set(proofs) == {"mttr_reduction", "auto_heal", "sla"}
    assert not [proof for proof in proofs.values() if "trivial" in str(proof)]


@pytest.mark.parametrize("only", ["model=off", "chaos=none"])
def test_nothing_to_compare(only: str, matrix: Write) -> None:
    for proof in _proofs(matrix(SLA), only=(only,)).values():
        assert str(proof).startswith("CANNOT PROVE ")
        assert "no arm with a fault is compared with the baseline" in proof.text


def test_no_baseline_selected(matrix: Write) -> None:
    proof = _proofs(matrix(SLA), only=("model=zscore",))["mttr_reduction"]
    assert str(proof).startswith("CANNOT PROVE MTTR reduction of 40%: no scenario runs in both")
