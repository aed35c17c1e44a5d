"""Broken matrices of every kind: each message in full, with its place and its mend."""

from collections.abc import Callable
from pathlib import Path

import pytest

from smartops_chaos.errors import FileProblems, UsageError
from smartops_chaos.plan.expand import load_plan

Write = Callable[..., Path]

ONE_CHANGE = {
    # the top
    ("version: 1", "version: 2"): "1:10: `version` is the number 2: it must be 1",
    ("version: 1", "version: '1'"): "1:10: `version` is the text 1: it must be 1",
    ("version: 1\n", ""): "1:1: `version` is missing: write `version: 1`",
    ("name: trial", "name: a/b"): (
        "2:7: name: `a/b` is not a name: use letters, digits, - and _, at most 41, first a letter or digit"
    ),
    ("name: trial", "name: 2026"): '2:7: `name` is the number 2026, not a text: put it in quotes: "2026"',
    ("name: trial", "name:"): "2:1: `name` has no value: write `name: quick`",
    ("name: trial", "name: trial\nname: trial"): "3:1: duplicate key `name`: it stands already in line 2; keep one",
    ("repeats: 3", "repeat: 3"): (
        "16:1: unknown key `repeat`: did you mean `repeats`?",
        "1:1: `repeats` is missing: write `repeats: 3`",
    ),
    ("repeats: 3", "repeats: 0"): "16:10: `repeats` is 0: it must be at least 1",
    ("repeats: 3", "repeats: three"): ("16:10: `repeats` is the text three, not a whole number: write `repeats: 3`"),
    ("repeats: 3", "repeats: 1e3"): ("16:10: `repeats` is the number 1000.0, not a whole number: write `repeats: 3`"),
    ("repeats: 3", "repeats: 99999999999999999999"): (
        "16:10: `repeats` is 99999999999999999999: it must be at most 10000"
    ),
    ("repeats: 3", "repeats: 10000"): (
        "16:10: the factors make 6 cells, with 10000 repeats 60000 trials: stay below 50000"
    ),
    ("seed: 7", "seed: -7"): "20:7: `seed` is -7: it must be at least 0",
    ("seed: 7", "calibrate: -1"): (
        "20:12: calibrate: -1 is not a count: write a whole number without a unit, such as 6"
    ),
    ("seed: 7", "calibrate: 21"): "20:12: calibrate: 21 is too much: 0 to 20",
    ("seed: 7", "sla:"): "20:1: `sla` has no value: write `sla: {window: 1h, faults: 5}`",
    ("seed: 7", "sla: {window: 30, faults: 4}"): "20:15: window: 30 has no unit: write 30s, 30ms, 30m, 30h or 30d",
    ("seed: 7", "sla: {window: 30d, faults: .nan}"): ("20:28: `faults` is not a finite number: write a finite number"),
    ("seed: 7", "targets: {auto_heal: 190%}"): "20:22: auto_heal: 190% is more than 100%: write 0% to 100%",
    ("seed: 7", "targets: {autoheal: 90%}"): "20:11: unknown key `autoheal`: did you mean `auto_heal`?",
    ("seed: 7", "weights: {pod-kil: 2}"): "20:11: no chaos level is named `pod-kil`: did you mean `pod-kill`?",
    ("seed: 7", "weights: {pod-kill: 0}"): "20:21: `pod-kill` is 0: it must be more than 0",
    ("seed: 7", "stop_after_good: 1s"): "20:18: `stop_after_good` of 1s is shorter than `hold`: use 2s at least",
    # target
    ("kind: lab", "kind: labb"): "3:16: `kind` is labb: did you mean `lab`?",
    ("kind: lab", "kind: 'ours:'"): (
        "3:16: kind: ours: is not a class: write it as package.module:Class",
        "3:1: `healer` is missing: write `healer: healer.yaml`",
    ),
    ("lanes: 2", "lanes: 0"): "3:28: `lanes` is 0: it must be at least 1",
    ("lanes: 2", "lane: 2"): "3:21: unknown key `lane`: did you mean `lanes`?",
    # slo and horizon
    ("250ms", "250"): "18:16: latency: 250 has no unit: write 250s, 250ms, 250m, 250h or 250d",
    ("250ms", "0ms"): "18:16: latency: 0s is too little: 1ms to 1m",
    ("95%", "100%"): "18:34: objective: 100% is too much: 50% to 99.99%",
    ("95%", "95"): (
        "18:34: objective: 95 is not between 0 and 1: write a percentage such as 90%, or a number such as 0.9"
    ),
    ("hold: 2s", "hold: .inf"): (
        "18:45: hold: inf is not a duration: write a number and ms, s, m, h or d, such as 250ms"
    ),
    ("hold: 2s", "hold: 500ms"): (
        "18:45: `hold` of 500ms holds 20 requests of `steady`, an objective of 95% needs 40: "
        "make hold 1s or the rate 80/s"
    ),
    ("after: 12s", "after: 2s"): "19:18: the horizon of 2s is not longer than `hold`: use more than 2s",
    ('{after: 12s, because: "demonstration"}', "12s"): (
        "19:10: `horizon` is the text 12s, not a mapping: "
        'write `horizon: {after: 30s, because: "on-call answers in 30 s"}`'
    ),
    # chaos levels
    ("{fault: pod-kill}", "{fault: pod-kil}"): ("6:23: no fault is named `pod-kil`: did you mean `pod-kill`?"),
    ("{fault: pod-kill}", "{fault: ''}"): (
        "6:23: no fault is named ``: known: cpu-stress, memory-leak, network-delay, network-loss, pod-kill"
    ),
    ("{fault: pod-kill}", "{fault: [pod-kill]}"): ("6:23: `fault` is a list, not a text: write `fault: pod-kill`"),
    ("{fault: pod-kill}", "{fualt: pod-kill}"): "6:16: unknown key `fualt`: did you mean `fault`?",
    ("{fault: pod-kill}", "{component: erp}"): "6:16: `component` without a fault: add `fault:`",
    ("{fault: pod-kill}", ""): "6:5: `pod-kill` has no value: write `pod-kill: {}`",
    ("{fault: pod-kill}", "pod-kill"): "6:15: `pod-kill` is the text pod-kill, not a mapping",
    ("{fault: pod-kill}", "{fault: pod-kill, component: web}"): (
        "6:44: component: web is not a choice: known: erp, orchestrator"
    ),
    ("{fault: pod-kill}", "{fault: pod-kill, component: [erp]}"): (
        "6:44: component: a list does not fit here: write one text, number, true or false"
    ),
    ("{fault: pod-kill}", "{fault: pod-kill, horizon: {after: 1s}}"): (
        "6:50: the horizon of 1s is not longer than `hold`: use more than 2s"
    ),
    ("{fault: pod-kill}", "{faults: []}"): "6:24: `faults` is empty",
    ("{fault: pod-kill}", "{faults: [{fault: pod-kill}], fault: pod-kill}"): (
        "6:16: both `fault` and `faults`: put all of them under `faults`"
    ),
    ("{fault: pod-kill}", "{faults: [{fault: pod-kill}, {fault: pod-kill}]}"): (
        "6:44: `pod-kill` stands here twice: change or remove one"
    ),
    ("{fault: pod-kill}", "{faults: [{fault: pod-kill}], component: erp}"): (
        "6:45: `component` without a fault: name each fault with its own parameters"
    ),
    ("{fault: pod-kill}", "{fault: ours/kill.yaml}"): "6:23: {folder}/ours/kill.yaml: no such file: check the path",
    ("load: 90%", "load: 50%"): "7:39: load: 50% is too little: 80% to 100%",
    ("load: 90%", "load: 90"): (
        "7:39: load: 90 is not between 0 and 1: write a percentage such as 90%, or a number such as 0.9"
    ),
    ("load: 90%", "laod: 90%"): "7:33: `cpu-stress` has no parameter `laod`: did you mean `load`?",
    ("load: 90%", "expires_s: 9"): (
        "7:33: `cpu-stress` has no parameter `expires_s`: known: horizon, load, slowdown, workers"
    ),
    ("    none: {}", "    cpu-91: {fault: cpu-stress, load: 0.9}"): (
        "8:5: `cpu-91` is the same as `cpu-90`: change or remove one"
    ),
    ("    none: {}", "    none: {}\n    quiet: {}"): "9:5: `quiet` is the same as `none`: change or remove one",
    (
        "    none: {}",
        "    ab: {faults: [{fault: pod-kill}, {fault: cpu-stress}]}\n"
        "    ba: {faults: [{fault: cpu-stress}, {fault: pod-kill}]}",
    ): "9:5: `ba` is the same as `ab`: change or remove one",
    ("    none: {}", "    faults: {fault: pod-kill, horizn: 3s}"): (
        "8:31: `pod-kill` has no parameter `horizn`: did you mean `horizon`?"
    ),
    ("    none: {}", "    Pod-Kill: {}"): (
        "8:5: `Pod-Kill` and `pod-kill` differ in case only: rename one: they become names of folders"
    ),
    ("    none: {}", "    a/b: {}"): (
        "8:5: `a/b` is not a name: use letters, digits, -, _ and single dots, at most 41, first a letter or digit"
    ),
    ("    none: {}", "    a..b: {}"): (
        "8:5: `a..b` is not a name: use letters, digits, -, _ and single dots, at most 41, first a letter or digit"
    ),
    ("    none: {}", "    größe: {}"): (
        "8:5: `größe` is not a name: use letters, digits, -, _ and single dots, at most 41, first a letter or digit"
    ),
    ("    none: {}", "    90: {}"): '8:5: the key `90` is not a text: put it in quotes: "90"',
    # the other factors
    ("  policy:\n", "  polciy:\n"): ("12:3: unknown key `polciy`: did you mean `policy`?"),
    ("{healer: off}", "{healer: of}"): "10:19: healer: `of` is not allowed: did you mean `off`?",
    ("{healer: off}", "{haeler: off}"): "10:11: the healer has no setting `haeler`: did you mean `healer`?",
    ("{healer: off}", "{healer: false}"): "10:19: healer: `false` is not allowed: known: off, on, oracle, random",
    ("detector: zscore", "detector: zscor"): "11:24: detector: `zscor` is not allowed: did you mean `zscore`?",
    ("file: default.policy", "file: defualt.policy"): (
        "13:21: {folder}/defualt.policy: no such file: did you mean `{folder}/default.policy`?"
    ),
    ("file: default.policy", "file: ."): "13:21: {folder}: this is a folder: name a file",
    ("file: default.policy", "file: ''"): "13:21: `file` is empty: name a policy file",
    ("rate: 40/s", "rate: 40"): "15:20: rate: 40 has no unit: write 40/s or 40/min",
    ("rate: 40/s", "rate: 0/s"): "15:20: rate: 0/s is too little: 0.1/s to 10000/s",
    ("rate: 40/s", "rate: 40/s}\n    even: {rate: 2400/min"): (
        "16:5: `even` is the same as `steady`: change or remove one"
    ),
    # names of levels
    ("baseline: {model: off}", "baseline: {model: of}"): ("17:19: no model level is named `of`: did you mean `off`?"),
    ("baseline: {model: off}", "baseline: {}"): ("17:11: `model` is missing: it has 2 levels: name one of off, zscore"),
    ("seed: 7", "exclude: [{chaos: nome}]"): "20:19: no chaos level is named `nome`: did you mean `none`?",
    ("seed: 7", "exclude: [{}]"): "20:11: an empty entry excludes every cell: name levels or remove it",
    ("seed: 7", "exclude: {chaos: none}"): (
        "20:10: `exclude` is a mapping, not a list: write `exclude: [{model: off, chaos: none}]`"
    ),
    ("seed: 7", "exclude: [{workload: steady}]"): "20:1: every cell is excluded: remove an entry",
    ("seed: 7", "exclude: [{chaos: none}]"): (
        "8:5: `none` has no trial: `exclude` removes all its cells: remove the level"
    ),
    ("seed: 7", "exclude: [{model: off}]"): (
        "10:5: `off` has no trial: `exclude` removes all its cells: remove the level",
        "17:1: the baseline has no trial: `exclude` removes all its cells: name another baseline",
    ),
    ("seed: 7", "include: [{chaos: none}]"): (
        "20:11: `model` is missing: `include` adds single cells: name one of off, zscore"
    ),
}


def _problems(path: Path) -> list[str]:
    with pytest.raises(FileProblems) as caught:
        load_plan(path)
    assert caught.value.exit_code == 2
    return str(caught.value).splitlines()


@pytest.mark.parametrize("change", ONE_CHANGE)
def test_one_mistake(change: tuple[str, str], matrix: Write) -> None:
    path = matrix(change)
    wanted = ONE_CHANGE[change]
    lines = [wanted] if isinstance(wanted, str) else list(wanted)
    said = [line.replace("{folder}", str(path.parent)) for line in lines]
    assert sorted(_problems(path)) == sorted(f"{path}:{line}" for line in said)


def test_mistakes_of_all_kinds_are_told_at_once(matrix: Write) -> None:
    path = matrix(
        ("name: trial", "nmae: trial"),
        ("{fault: pod-kill}", "{fault: pod-kil}"),
        ("load: 90%", "load: 200%"),
        ("{healer: off}", "{healer: of}"),
        ("baseline: {model: off}", "baseline: {model: on}"),
        ("250ms", "250"),
    )
    assert _problems(path) == [
        f"{path}:{line}"
        for line in (
            "1:1: `name` is missing: write `name: quick`",
            "2:1: unknown key `nmae`: did you mean `name`?",
            "6:23: no fault is named `pod-kil`: did you mean `pod-kill`?",
            "7:39: load: 200% is more than 100%: write 0% to 100%",
            "10:19: healer: `of` is not allowed: did you mean `off`?",
            "17:19: no model level is named `on`: known: off, zscore",
            "18:16: latency: 250 has no unit: write 250s, 250ms, 250m, 250h or 250d",
        )
    ]


@pytest.mark.parametrize("empty", ["", "{}", "# nothing\n", "a: b\n", "- 1\n", "factors:\n", "factors: {chaos: {}}\n"])
def test_hardly_any_matrix(empty: str, matrix: Write) -> None:
    path = matrix(text=empty)
    assert all(line.startswith(str(path)) for line in _problems(path))


@pytest.mark.parametrize(
    "part", ["factors", "chaos", "model", "policy", "workload", "slo", "horizon", "baseline", "target"]
)
@pytest.mark.parametrize(
    "value", ["null", "[]", "[1]", "text", "3", "{a: {b: {c: 1}}}", "{a: 1}", "{a: }", "true", ".nan"]
)
def test_every_part_may_be_of_a_wrong_type(part: str, value: str, matrix: Write) -> None:
    path = matrix(text=f"{part}: {value}\n" if part not in ("chaos", "model") else f"factors: {{{part}: {value}}}\n")
    assert all(line.startswith(f"{path}:1:") for line in _problems(path))


@pytest.mark.parametrize("key", ["exclude", "include", "weights", "stop_after_good"])
@pytest.mark.parametrize("value", ["[]", "[1]", "[[]]", "[{chaos: [none]}]", "text", "{a: b}", "null", "[null]"])
def test_every_optional_part_may_be_of_a_wrong_type(key: str, value: str, matrix: Write) -> None:
    path = matrix(("seed: 7", f"{key}: {value}"))
    if value == "[]" and key in ("exclude", "include"):
        assert load_plan(path).trials
    else:
        assert all(line.startswith(f"{path}:20:") for line in _problems(path))


def test_a_policy_file_without_a_policy(matrix: Write) -> None:
    path = matrix()
    policy = path.with_name("default.policy")
    policy.write_text(" \n", encoding="utf-8")
    assert _problems(path) == [f"{path}:13:21: {policy}: the policy file is empty: write a policy in it"]
    policy.write_bytes(b"\xff")
    assert _problems(path) == [f"{policy}:1:1: byte 0xff is not UTF-8 text: save the file as UTF-8 text"]


def test_a_product_too_large_to_list(matrix: Write) -> None:
    levels = "".join(f"    w{i}: {{rate: {i + 40}/s}}\n" for i in range(3000))
    path = matrix(("    steady: {rate: 40/s}\n", levels))
    (problem,) = _problems(path)
    assert problem.endswith("the factors make 18000 cells, with 3 repeats 54000 trials: stay below 50000")


@pytest.mark.parametrize("repeats", [0, -1, 10_001])
def test_repeats_of_the_command_line(repeats: int, matrix: Write) -> None:
    with pytest.raises(UsageError) as caught:
        load_plan(matrix(), repeats=repeats)
    assert str(caught.value) == f"repeats is {repeats}"
    assert caught.value.hint == "use 1 to 10000"
