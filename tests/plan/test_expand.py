import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartops_chaos.errors import FileProblems, NothingSelected, UsageError
from smartops_chaos.model import Arm, ChaosLevel, FaultPart, Plan, Variant, WorkloadLevel
from smartops_chaos.plan.expand import as_before, cells, digest, expand, load_plan
from smartops_chaos.plan.levels import Levels
from smartops_chaos.planning.forecast import forecast
from smartops_chaos.resources import shipped
from smartops_chaos.schema import healerfile
from smartops_chaos.schema.matrix import Matrix
from smartops_chaos.store.campaign_folder import CampaignFolder

Write = Callable[..., Path]
FACTORS = ("chaos", "workload", "model", "policy")


def _plan(counts: tuple[int, int, int, int], **keys: Any) -> Plan:
    """A plan of so many levels a factor (c0, c1, ..., w0, ..., m0, ..., p0, ...); chaos c0 is a control."""
    names = {factor: [f"{factor[0]}{i}" for i in range(n)] for factor, n in zip(FACTORS, counts, strict=True)}
    matrix = Matrix.model_validate(
        {
            "version": 1,
            "name": "made",
            "target": {"kind": "lab"},
            "factors": {factor: {name: {} for name in names[factor]} for factor in FACTORS},
            "repeats": 2,
            "baseline": {"model": "m0", "policy": "p0"},
            "slo": {"latency": "250ms", "objective": "95%", "hold": "2s"},
            "horizon": {"after": "12s"},
            **keys,
        }
    )
    part = FaultPart("pod-kill", "pod", False, {}, {})
    levels = Levels(
        chaos={c: ChaosLevel(c, () if c == "c0" else (part,), "pod", 12.0, "") for c in names["chaos"]},
        models={m: Variant(m, {"detector": m}) for m in names["model"]},
        policies={p: Variant(p, {"policy": p, "file": f"{p}.policy"}) for p in names["policy"]},
        workloads={w: WorkloadLevel(w, 40.0) for w in names["workload"]},
    )
    return expand(matrix, levels, {"poll_s": 0.5, "warm_up_s": 4.0}, cells(matrix))


COUNTS = st.tuples(*[st.integers(1, 4)] * 4)


@given(COUNTS, st.integers(1, 4), st.integers(0, 3), st.integers(0, 2**53 - 1))
def test_every_cell_has_its_repeats_and_every_block_every_arm(
    counts: tuple[int, int, int, int], repeats: int, calibrate: int, seed: int
) -> None:
    chaos, workloads, models, policies = counts
    plan = _plan(counts, repeats=repeats, calibrate=calibrate, seed=seed)
    measured = [t for t in plan.trials if t.phase == "measure"]
    cell_counts = Counter((t.chaos, t.workload, t.model, t.policy) for t in measured)
    assert len(cell_counts) == chaos * workloads * models * policies
    assert set(cell_counts.values()) == {repeats}
    blocks: dict[int, list[Any]] = {}
    for trial in measured:
        blocks.setdefault(trial.block, []).append(trial)
    assert list(blocks) == list(range(1, chaos * workloads * repeats + 1))
    arms = sorted(product((f"m{i}" for i in range(models)), (f"p{i}" for i in range(policies))))
    for block in blocks.values():
        assert len({(t.chaos, t.workload, t.repeat) for t in block}) == 1
        assert sorted((t.model, t.policy) for t in block) == arms
    calibration = plan.trials[: len(plan.trials) - len(measured)]
    assert len(calibration) == (chaos - 1) * workloads * calibrate
    assert all(t.phase == "calibrate" and t.block == 0 and t.arm == plan.analysis.baseline for t in calibration)
    assert len({t.id for t in plan.trials}) == len(plan.trials)


@given(COUNTS, st.integers(1, 3), st.integers(1, 3), st.integers(0, 1000))
def test_more_repeats_only_append(counts: tuple[int, int, int, int], few: int, more: int, seed: int) -> None:
    plan = _plan(counts, repeats=few, seed=seed)
    larger = _plan(counts, repeats=few + more, seed=seed)
    assert larger.trials[: len(plan.trials)] == plan.trials
    assert larger.digest != plan.digest


@pytest.mark.parametrize("seed", range(5))
def test_one_block_in_five_of_each_scenario_is_observed_to_the_horizon(seed: int) -> None:
    plan = _plan((3, 2, 2, 1), repeats=10, seed=seed, stop_after_good="4s")
    trials = [t for t in plan.measured if t.to_horizon]
    watched = Counter((t.chaos, t.workload, t.model, t.policy, (t.repeat - 1) // 5) for t in trials)
    assert set(watched.values()) == {1}
    assert len(watched) == 2 * 2 * 2 * 1 * 2  # controls are observed to the horizon anyway
    blocks = {t.block for t in trials}
    assert all(t.to_horizon for t in plan.measured if t.block in blocks)
    assert as_before(plan).digest != plan.digest
    whole = _plan((3, 2, 2, 1), repeats=10, seed=seed)  # without a stop every trial is
    assert as_before(whole) == whole


@given(COUNTS, st.integers(0, 1000))
def test_the_same_matrix_makes_the_same_plan(counts: tuple[int, int, int, int], seed: int) -> None:
    assert _plan(counts, seed=seed) == _plan(counts, seed=seed)


def test_another_seed_makes_another_order_and_other_seeds_of_the_same_trials() -> None:
    one, two = _plan((4, 2, 2, 2), seed=1), _plan((4, 2, 2, 2), seed=2)
    assert {t.id for t in one.trials} == {t.id for t in two.trials}
    assert [t.id for t in one.trials] != [t.id for t in two.trials]
    assert {t.id: t.seed for t in one.trials} != {t.id: t.seed for t in two.trials}


def test_blocks_and_arms_do_change_places() -> None:
    plan = _plan((4, 1, 2, 1), repeats=20)
    measured = [t for t in plan.trials if t.phase == "measure"]
    assert {t.model for t in measured if (t.block % 2)} == {"m0", "m1"}
    first_arms = Counter(
        t.model
        for before, t in zip([None, *measured], measured, strict=False)
        if before is None or before.block != t.block
    )
    assert min(first_arms.values()) > 20
    rounds = [[t.chaos for t in measured if t.repeat == r and t.model == "m0"] for r in range(1, 21)]
    assert all(sorted(order) == ["c0", "c1", "c2", "c3"] for order in rounds)
    assert len({tuple(order) for order in rounds}) > 10


_PART = st.fixed_dictionaries({}, optional={f: st.sampled_from([f"{f[0]}{i}" for i in range(3)]) for f in FACTORS})
_WHOLE = st.fixed_dictionaries({f: st.sampled_from([f"{f[0]}{i}" for i in range(3)]) for f in FACTORS})


@given(st.lists(_PART.filter(bool), max_size=4), st.lists(_WHOLE, max_size=3))
def test_cells_are_the_product_minus_exclude_plus_include(
    exclude: list[dict[str, str]], include: list[dict[str, str]]
) -> None:
    matrix = Matrix.model_validate(
        {
            "version": 1,
            "name": "made",
            "target": {"kind": "lab"},
            "factors": {f: {f"{f[0]}{i}": {} for i in range(3)} for f in FACTORS},
            "exclude": exclude,
            "include": include,
            "repeats": 1,
            "baseline": {"model": "m0", "policy": "p0"},
            "slo": {"latency": "250ms", "objective": "95%", "hold": "2s"},
            "horizon": {"after": "12s"},
        }
    )

    def matches(entry: Mapping[str, str], cell: dict[str, str]) -> bool:
        return all(cell[factor] == name for factor, name in entry.items())

    every = [
        dict(zip(FACTORS, names, strict=True))
        for names in product(*[[f"{f[0]}{i}" for i in range(3)] for f in FACTORS])
    ]
    wanted = [c for c in every if c in include or not any(matches(e, c) for e in exclude)]
    assert [tuple(c) for c in cells(matrix)] == [tuple(c.values()) for c in wanted]


def test_ids_name_the_levels_and_the_repeat(matrix: Write) -> None:
    plan = load_plan(matrix())
    assert plan.trials[0].id == "calibration.pod-kill.steady.1"
    assert "cpu-90.steady.zscore.default.3" in {t.id for t in plan.trials}
    assert {(t.chaos, t.phase) for t in plan.trials if t.block == 0} == {
        ("pod-kill", "calibrate"),
        ("cpu-90", "calibrate"),
    }


def test_the_plan_holds_all_that_the_matrix_says(matrix: Write) -> None:
    plan = load_plan(
        matrix(("seed: 7", "seed: 7\nsla: {window: 30d, faults: 4}\nweights: {cpu-90: 2}\nstop_after_good: 4s"))
    )
    assert plan.name == "trial"
    assert plan.target == {"kind": "lab", "lanes": 2, "replicas": 2}
    assert plan.healer["name"] == "lab"
    cpu = plan.chaos["cpu-90"]
    assert (cpu.family, cpu.horizon_s, cpu.because) == ("cpu", 12.0, "demonstration")
    assert cpu.parts[0].params == {"load": 0.9, "slowdown": 3, "workers": 6}
    assert cpu.parts[0].lasting
    assert cpu.parts[0].definition["method"][0]["name"] == "inject"
    assert plan.chaos["none"].family == "none"
    assert plan.models["off"].settings == {"healer": "off"}
    assert plan.policies["default"].settings == {"policy": "# a policy\n", "file": "default.policy"}
    assert plan.workloads["steady"].rate_per_s == 40.0
    analysis = plan.analysis
    assert analysis.baseline == Arm("off", "default")
    assert (analysis.slo.latency_s, analysis.slo.objective, analysis.slo.hold_s) == (0.25, 0.95, 2.0)
    assert analysis.sla is not None
    assert (analysis.sla.window_s, analysis.sla.faults) == (2_592_000.0, 4.0)
    assert (analysis.stop_after_good_s, analysis.weights) == (4.0, {"cpu-90": 2.0})


def test_what_may_be_left_out(matrix: Write) -> None:
    path = matrix(
        ("  model:\n    off: {healer: off}\n    zscore: {detector: zscore}\n", ""),
        ("  policy:\n    default: {file: default.policy}\n", ""),
        ("  workload:\n    steady: {rate: 40/s}\n", ""),
        ("baseline: {model: off}", "baseline: {}"),
        ("\nseed: 7", ""),
    )
    plan = load_plan(path)
    assert plan.analysis.baseline == Arm("default", "default")
    assert {t.id for t in plan.trials if t.block == 1}.pop().split(".")[1:4] == ["default"] * 3
    assert plan.workloads["default"].rate_per_s == 40.0
    assert plan.analysis.stop_after_good_s == 14.0  # never early: horizon and hold
    assert plan.analysis.sla is None


def test_several_faults_and_an_own_horizon(matrix: Write) -> None:
    storm = "{faults: [{fault: network-delay, delay: 400ms}, {fault: cpu-stress}], horizon: {after: 20s}}"
    level = load_plan(matrix(("none: {}", f"storm: {storm}"))).chaos["storm"]
    assert level.family == "cpu+network"
    assert [part.fault for part in level.parts] == ["network-delay", "cpu-stress"]
    assert level.parts[0].params == {"delay": 0.4, "jitter": 0.1}
    assert (level.horizon_s, level.because) == (20.0, "")


TWO_POLICIES = (
    "default: {file: default.policy}",
    "default: {file: default.policy}\n    copy: {file: ./default.policy}\n    bare: {}",
)


def test_arms_with_equal_settings_run_once(matrix: Write) -> None:
    plan = load_plan(matrix(TWO_POLICIES, ("baseline: {model: off}", "baseline: {model: off, policy: bare}")))
    assert plan.same_arm == {
        "off/default": "off/bare",  # the healer is off, so its policy has no effect; the baseline stands for the others
        "off/copy": "off/bare",
        "zscore/copy": "zscore/default",
    }
    arms = Counter(t.arm for t in plan.trials if t.phase == "measure")
    assert arms == {Arm("off", "bare"): 9, Arm("zscore", "default"): 9, Arm("zscore", "bare"): 9}


def test_arms_are_equal_by_what_is_set_in_the_end(matrix: Write) -> None:
    """Where both set the same, a target sets the model's: another detector is another arm, whatever the policy says."""
    policies = (TWO_POLICIES[0], f"{TWO_POLICIES[0]}\n    own: {{file: default.policy, detector: threshold}}")
    plan = load_plan(matrix(policies, ("baseline: {model: off}", "baseline: {model: off, policy: default}")))
    assert plan.models["zscore"].over(plan.policies["own"])["detector"] == "zscore"
    assert plan.same_arm == {"off/own": "off/default", "zscore/own": "zscore/default"}


def test_an_arm_that_is_the_same_as_another_runs_beside_it_and_is_not_judged(matrix: Write) -> None:
    path = matrix(
        ("    zscore: {detector: zscore}\n", "    zscore: {detector: zscore}\n    again: {same_as: zscore}\n")
    )
    plan = load_plan(path)
    assert plan.models["again"] == Variant("again", plan.models["zscore"].settings, "zscore")
    assert "again/default" not in plan.same_arm
    assert {t.model for t in plan.measured} == {"off", "zscore", "again"}
    assert plan.references == {Arm("again", "default"): "again"}
    assert load_plan(matrix()).digest != plan.digest


def test_the_trial_takes_the_healers_place_in_arms_of_reference_whatever_the_policy(matrix: Write) -> None:
    level, policy = "    zscore: {detector: zscore}\n", "    default: {file: default.policy}\n"
    more = f"{level}    oracle: {{healer: oracle}}\n    random: {{healer: random}}\n"
    changes = (
        (policy, f"{policy}    none: {{}}\n"),
        ("baseline: {model: off}", "baseline: {model: off, policy: default}"),
    )
    plan = load_plan(matrix((level, more), *changes))
    assert plan.references == {Arm("oracle", "default"): "oracle", Arm("random", "default"): "random"}
    assert plan.same_arm["oracle/none"] == "oracle/default"


@pytest.mark.parametrize(
    ("level", "message"),
    [
        ("{same_as: zscor}", "`same_as` names `zscor`, which is no level with settings of its own"),
        ("{same_as: again}", "`same_as` names `again`"),
        ("{same_as: zscore, detector: zscore}", "`same_as` stands beside other settings"),
    ],
)
def test_same_as_names_another_level_and_nothing_else(matrix: Write, level: str, message: str) -> None:
    path = matrix(("    zscore: {detector: zscore}\n", f"    zscore: {{detector: zscore}}\n    again: {level}\n"))
    with pytest.raises(FileProblems, match=re.escape(message)):
        load_plan(path)


def test_a_cell_excluded_in_one_of_two_equal_arms_still_runs(matrix: Write) -> None:
    plan = load_plan(
        matrix(
            TWO_POLICIES,
            ("baseline: {model: off}", "baseline: {model: off, policy: bare}"),
            ("seed: 7", "exclude: [{chaos: none, model: off, policy: bare}]"),
        )
    )
    assert any(t.chaos == "none" and t.model == "off" for t in plan.trials)


def test_the_digest_is_of_what_changes_behaviour(matrix: Write, tmp_path: Path) -> None:
    digest = load_plan(matrix()).digest
    assert len(digest) == 64
    same = [("lanes: 2", "lanes: 1"), ("name: trial", "name: other"), ("version: 1", "# a comment\nversion: 1")]
    other = [
        ("lanes: 2", "lanes: 2, replicas: 3"),
        ("load: 90%", "load: 95%"),
        ("detector: zscore", "detector: threshold"),
        ("rate: 40/s", "rate: 50/s"),
        ("repeats: 3", "repeats: 4"),
        ("250ms", "251ms"),
        ("after: 12s", "after: 13s"),
        ('because: "demonstration"', 'because: "else"'),
        ("seed: 7", "seed: 8"),
        ("seed: 7", "seed: 7\ntargets: {sla: 98%}"),
    ]
    assert {load_plan(matrix(change)).digest for change in same} == {digest}
    digests = {load_plan(matrix(change)).digest for change in other}
    assert len(digests | {digest}) == len(other) + 1
    (tmp_path / "moved.policy").write_text("# a policy\n", encoding="utf-8")
    assert load_plan(matrix(("file: default.policy", "file: moved.policy"))).digest == digest
    (tmp_path / "moved.policy").write_text("# another\n", encoding="utf-8")
    assert load_plan(matrix(("file: default.policy", "file: moved.policy"))).digest != digest


def test_a_repair_after_the_horizon_is_part_of_the_digest_only_if_it_is_said(matrix: Write) -> None:
    """Campaigns that were stored before it could be said keep their digest, and can be resumed."""
    agreed = "seed: 7\nsla: {window: 30d, faults: 4"
    plain, none, half = (
        load_plan(matrix(("seed: 7", f"{agreed}{more}}}"))) for more in ("", ", repair: 0s", ", repair: 30m")
    )
    assert plain.digest == none.digest != half.digest
    assert half.analysis.sla is not None
    assert half.analysis.sla.repair_s == 1800.0


def test_the_sample_keeps_its_digest() -> None:
    stored = CampaignFolder(Path("results/sample")).read().plan
    assert digest(stored) == stored.digest


def test_the_digest_is_the_same_for_every_selection_and_shard(matrix: Write) -> None:
    path = matrix()
    digest = load_plan(path).digest
    assert load_plan(path, only=["chaos=none"]).digest == digest
    assert load_plan(path, shard="1/2").digest == digest
    assert load_plan(path, repeats=4).digest != digest
    assert load_plan(path, repeats=3).digest == digest


def test_ten_thousand_trials_are_planned(matrix: Write) -> None:
    levels = "".join(f"    w{i}: {{rate: {i + 40}/s}}\n" for i in range(100))
    plan = load_plan(matrix(("    steady: {rate: 40/s}\n", levels), ("repeats: 3", "repeats: 17")))
    assert len(plan.trials) == 3 * 100 * 2 * 17 + 2 * 100
    assert len({t.id for t in plan.trials}) == len(plan.trials)


def _ids(path: Path, **chosen: Any) -> set[str]:
    return {t.id for t in load_plan(path, **chosen).trials}


def test_only_narrows_by_factors_and_adds_up_levels(matrix: Write) -> None:
    path = matrix()
    assert {i.split(".")[0] for i in _ids(path, only=["chaos=none,cpu-90"])} == {"none", "cpu-90", "calibration"}
    assert _ids(path, only=["chaos=none", "chaos=cpu-90"]) == _ids(path, only=["chaos=none,cpu-90"])
    both = {f"none.steady.off.default.{i}" for i in (1, 2, 3)}
    assert _ids(path, only=["chaos=none,model=off"]) == both
    assert _ids(path, only=["chaos=none", "model = off"]) == both
    assert "calibration.pod-kill.steady.1" in _ids(path, only=["model=zscore"])


def test_only_selects_the_arm_that_stands_for_another(matrix: Write) -> None:
    path = matrix(TWO_POLICIES, ("baseline: {model: off}", "baseline: {model: off, policy: default}"))
    chosen = {t.arm for t in load_plan(path, only=["policy=copy"]).trials if t.phase == "measure"}
    assert chosen == {Arm("off", "default"), Arm("zscore", "default")}


@given(st.integers(1, 9))
@settings(max_examples=9)
def test_shards_are_whole_blocks_and_together_the_plan(count: int) -> None:
    quick = shipped("matrix", "quick.yaml")
    whole = load_plan(quick)
    found: list[str] = []
    blocks: list[int] = []
    for index in range(1, count + 1):
        try:
            trials = load_plan(quick, shard=f"{index}/{count}").trials
        except NothingSelected:
            continue
        found += [t.id for t in trials]
        blocks += {t.block for t in trials if t.block}
    assert sorted(found) == sorted(t.id for t in whole.trials)
    assert sorted(blocks) == sorted({t.block for t in whole.trials if t.block})


@pytest.mark.parametrize(
    ("chosen", "message", "hint"),
    [
        ({"only": ["choas=none"]}, "--only choas=none: `choas` is not a factor", "did you mean `chaos`?"),
        (
            {"only": ["chaos=pod-kil"]},
            "--only chaos=pod-kil: no chaos level is named `pod-kil`",
            "did you mean `pod-kill`?",
        ),
        ({"only": ["pod-kill"]}, "--only pod-kill: no factor is named", "write it as --only chaos=pod-kill"),
        ({"only": [""]}, "--only : no factor is named", "write it as --only chaos=pod-kill"),
        ({"only": ["chaos="]}, "--only chaos=: no chaos level is named ``", "known: cpu-90, none, pod-kill"),
        ({"shard": "3/2"}, "--shard 3/2 is not a shard", "write 1/3 for the first of three"),
        ({"shard": "0/2"}, "--shard 0/2 is not a shard", "write 1/3 for the first of three"),
        ({"shard": "half"}, "--shard half is not a shard", "write 1/3 for the first of three"),
    ],
)
def test_a_wrong_selection(chosen: dict[str, Any], message: str, hint: str, matrix: Write) -> None:
    with pytest.raises(UsageError) as caught:
        load_plan(matrix(), **chosen)
    assert (str(caught.value), caught.value.hint) == (message, hint)


def test_nothing_left(matrix: Write) -> None:
    path = matrix(("seed: 7", "exclude: [{chaos: none, model: off}]"))
    with pytest.raises(NothingSelected) as caught:
        load_plan(path, only=["chaos=none", "model=off"])
    assert str(caught.value) == "no trial is left by --only chaos=none --only model=off"
    assert caught.value.exit_code == 3
    with pytest.raises(NothingSelected):
        load_plan(path, shard="99/99")


def test_a_selection_keeps_the_order_and_the_trials(matrix: Write) -> None:
    path = matrix()
    whole, part = load_plan(path), load_plan(path, only=["model=zscore"])
    kept = {t.id for t in part.trials}
    assert part == replace(whole, trials=tuple(t for t in whole.trials if t.id in kept))


@pytest.mark.parametrize(("name", "hours"), [("quick", 0.1), ("nightly", 1.0), ("full", 8.0)])
def test_the_shipped_matrices_of_the_lab_load_and_fit(name: str, hours: float) -> None:
    plan = load_plan(shipped("matrix", f"{name}.yaml"))
    assert forecast(plan, f"{name}.yaml").upper_s <= hours * 3600
    assert all(level.because for level in plan.chaos.values())


def test_the_nightly_matrix_can_prove_all_targets() -> None:
    assert [p.possible for p in forecast(load_plan(shipped("matrix", "nightly.yaml")), "").proofs] == [True] * 3


def test_the_full_matrix_has_every_fault_detector_and_policy_of_the_lab() -> None:
    plan = load_plan(shipped("matrix", "full.yaml"))
    faults = {part.fault for level in plan.chaos.values() for part in level.parts}
    assert faults == {path.stem for path in shipped("experiments", "lab").glob("*.yaml")}
    assert sorted({len(level.parts) for level in plan.chaos.values()}) == [0, 1, 2, 3]
    detectors = {model.settings.get("detector") for model in plan.models.values()}
    assert detectors == {None, *healerfile.load("lab").settings["detector"]} - {"none"}
    policies = {Path(str(policy.settings["file"])).name for policy in plan.policies.values()}
    assert policies == {"default.policy", "scale-first.policy"}
    assert len(plan.workloads) == 3


def test_a_version_may_be_a_level_s_name_unless_two_trials_would_be_called_alike(
    matrix: Callable[..., Path],
) -> None:
    plan = load_plan(matrix(("    none: {}", "    cpu-0.9: {}")))
    assert any(trial.id.startswith("cpu-0.9.steady.") for trial in plan.trials)
    both = "    a: {}\n    a.b: {fault: memory-leak}"
    path = matrix(("    none: {}", both), ("    steady: {rate: 40/s}", "    b.c: {rate: 40/s}\n    c: {rate: 20/s}"))
    with pytest.raises(FileProblems, match=r"two trials would be called a\.b\.c\..*: rename a level that has a dot"):
        load_plan(path)
