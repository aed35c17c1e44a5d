from collections.abc import Callable
from pathlib import Path

import pytest
from chaoslib.experiment import ensure_experiment_is_valid
from hypothesis import given
from hypothesis import strategies as st

from smartops_chaos.errors import FileProblems
from smartops_chaos.plan.expand import load_plan
from smartops_chaos.resources import shipped
from smartops_chaos.schema import faultfile, yamlfile

SHIPPED = sorted(shipped("experiments").glob("*/*.yaml"))

FAULT = """\
title: Disk full
configuration:
  size: 500000000
  path: {type: env, key: DISK_PATH, default: /tmp}
  mode: slow
  token: {type: env, key: TOKEN}
method:
  - {type: action, name: inject, provider: {type: python, module: json, func: dumps, arguments: {obj: "${size}"}}}
  - {type: probe, name: confirm, tolerance: true, provider: {type: python, module: json, func: dumps}}
rollbacks:
  - {type: action, name: revert, provider: {type: python, module: json, func: dumps}}
extensions:
  - {name: somebody-else, anything: [1, 2]}
  - name: smartops-chaos
    family: disk
    lasting: true
    parameters:
      size: {unit: size, min: 1000000, max: 2000000000, help: "how much is written"}
      path: {unit: text}
      mode: {unit: choice, choices: [slow, fast]}
      token: {unit: text}
"""


@pytest.fixture
def fault(tmp_path: Path) -> Callable[..., Path]:
    def write(*changes: tuple[str, str]) -> Path:
        text = FAULT
        for old, new in changes:
            assert text.count(old) == 1, f"{old!r} is not there once"
            text = text.replace(old, new)
        path = tmp_path / "disk.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_shipped_faults_are_in_order(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("SMARTOPS_LANE", "SMARTOPS_NAMESPACE", "SMARTOPS_SERVICE"):
        monkeypatch.setenv(variable, "x")  # Chaos Toolkit wants them to be there
    fault = faultfile.load(path)
    assert fault.family
    assert set(fault.defaults) | fault.from_environment == set(fault.parameters)
    assert all(parameter.help for parameter in fault.parameters.values())
    ensure_experiment_is_valid(fault.definition)


def test_a_fault_file(fault: Callable[..., Path]) -> None:
    disk = faultfile.load(fault())
    assert (disk.family, disk.lasting) == ("disk", True)
    assert disk.defaults == {"size": 500_000_000, "path": "/tmp", "mode": "slow"}
    part = disk.part("disk.yaml", {"size": 2_000_000})
    assert part.params == {"size": 2_000_000, "path": "/tmp", "mode": "slow"}
    assert part.definition == yamlfile.read(fault()).data


BROKEN = {
    ("title: Disk full\n", ""): "1:1: `title` is missing: write `title: CPU stress`",
    ("family: disk", "family: a b"): (
        "15:13: family: `a b` is not a name: use letters, digits, - and _, at most 41, first a letter or digit"
    ),
    ("lasting: true", "lasting: yes"): "16:14: `lasting` is the text yes, not true or false: write `lasting: true`",
    ("lasting: true", "lastng: true"): (
        "14:5: `lasting` is missing: write `lasting: true`",
        "16:5: unknown key `lastng`: did you mean `lasting`?",
    ),
    ("name: inject", "name: injekt"): (
        "7:1: the method has no activity `inject`: add an action that injects the fault",
        "8:26: the activity `injekt` would not run: name it prepare, inject or confirm, as often as needed",
    ),
    ("name: confirm", "name: check"): (
        "7:1: the method has no activity `confirm`: add a probe that it took effect",
        "9:25: the activity `check` would not run: name it prepare, inject or confirm, as often as needed",
    ),
    ("- name: smartops-chaos", "- name: smartops"): (
        "12:1: no extension is named smartops-chaos: add `- {name: smartops-chaos, family: cpu, lasting: true}`"
    ),
    (
        "unit: size, min",
        "unit: bytes, min",
    ): "18:20: `unit` is the text bytes: known: choice, "
    "container, controller, count, duration, fraction, rate, size, text",
    ("size: 500000000", "size: 500"): "3:9: size: 500B is too little: 1MB to 2GB",
    ("size: 500000000", "size: 500MB"): (
        "3:9: size: 500MB is not a number: write it in SI units (seconds, 0 to 1, bytes, per second)"
    ),
    ("  size: 500000000\n", ""): "17:7: `size` is not in `configuration`: add `size:` there",
    ("mode: slow", "mode: slwo"): "5:9: mode: slwo is not a choice: did you mean `slow`?",
    ("{unit: choice, choices: [slow, fast]}", "{unit: choice}"): (
        "5:9: mode: slow is not a choice: none is known here",
        "20:7: `mode` has no choices: add `choices: [a, b]`",
    ),
    ("      token: {unit: text}", "      seed: {unit: count}"): (
        "21:7: `seed` is not in `configuration`: add `seed:` there",
        "21:7: `seed` is set by the harness: remove it from the parameters",
    ),
    (
        "rollbacks:\n  - {type: action, name: revert, provider: {type: python, module: json, func: dumps}}",
        "rollbacks: []",
    ): ("10:12: `rollbacks` is empty: write `rollbacks: [...]`"),
}


# Of Chaos Toolkit's own format: what cannot be carried over is refused where it stands, and never left out.
_CONFIRM = "{type: probe, name: confirm, tolerance: true, provider"
_METHOD = "method:\n"
BROKEN |= {
    (_METHOD, "controls: [{name: c, provider: {type: python, module: m}}]\nmethod:\n"): (
        "7:11: controls: they would run around our own activities too: write them as `controls` of the activities that "
        "they are for"
    ),
    (_METHOD, "steady-state-hypothesis: {title: t, probes: []}\nruntime: {rollbacks: {strategy: never}}\nmethod:\n"): (
        "7:26: steady-state-hypothesis: what healthy means is said by `slo` in the matrix and `steady` in the healer "
        "file: make its probes activities named `confirm`, or remove it",
        "8:10: runtime: rollbacks always run, and the gate takes the hypothesis' place: remove it",
    ),
    (_METHOD, "secrets: {k8s: {KUBERNETES_CONTEXT: west}}\nhooks: 1\nmethod:\n"): (
        "8:1: unknown key `hooks`: known: configuration, contributions, controls, description, dry, extensions, "
        "method, rollbacks, runtime, secrets, steady-state-hypothesis, tags, title, version"
    ),
    (_CONFIRM, "{background: true, type: probe, name: confirm, provider"): (
        "9:18: background: nobody would know when the fault was injected: let the activity return at once, and end it "
        "in `rollbacks`"
    ),
    (_METHOD, "method:\n  - {ref: confirm}\n"): (
        "8:6: a `ref` is not followed: write the activity out, or use a YAML alias (&name and *name)"
    ),
    (_METHOD, "method:\n  - {type: probe, name: confirm, provider: {type: process, path: sh, timout: 3}}\n"): (
        "8:70: unknown key `timout`: did you mean `timeout`?"
    ),
    (_METHOD, "method:\n  - {type: probe, name: confirm, provider: {type: process, path: sh, secrets: [k8s]}}\n"): (
        "8:25: a `confirm` stands before an `inject`: put it behind: that is when it runs",
        "8:80: `k8s` is not in `secrets`: add `k8s:` there",
    ),
    ("tolerance: true", "tolerance: {type: regex, pattern: '(', flags: i}"): (
        "9:68: pattern: not a regular expression (missing ), unterminated subpattern at position 0): mend it or escape "
        "the special character",
        "9:73: unknown key `flags`: known: pattern, target, type",
    ),
    ("tolerance: true", "tolerance: {type: range, range: [2, 1]}"): (
        "9:66: range: a range has its lowest and its highest value: write for example [0, 1.5]"
    ),
    ("tolerance: true", "tolerance: {type: jsonpth, path: $.on}"): (
        "9:52: `type` is jsonpth: did you mean `jsonpath`?"
    ),
    ("tolerance: true", "tolerance: 0.5"): (
        "9:45: tolerance: Chaos Toolkit compares nothing with this: for a number write {type: range, range: [0, 1.5]}"
    ),
}


@pytest.mark.parametrize("change", BROKEN)
def test_a_broken_fault_file(change: tuple[str, str], fault: Callable[..., Path]) -> None:
    path = fault(change)
    with pytest.raises(FileProblems) as caught:
        faultfile.load(path)
    wanted = BROKEN[change]
    lines = [wanted] if isinstance(wanted, str) else wanted
    assert sorted(str(caught.value).splitlines()) == sorted(f"{path}:{line}" for line in lines)


def test_a_fault_beside_the_matrix(fault: Callable[..., Path], matrix: Callable[..., Path]) -> None:
    own = fault()
    for written in ("disk.yaml", "./disk.yaml", str(own)):
        plan = load_plan(matrix(("none: {}", f"disk: {{fault: {written}, size: 1GB, mode: fast, token: 7}}")))
        (part,) = plan.chaos["disk"].parts
        assert part.fault == written
        assert part.params == {"size": 10**9, "path": "/tmp", "mode": "fast", "token": "7"}


def test_what_a_matrix_says_wrongly_about_an_own_fault(fault: Callable[..., Path], matrix: Callable[..., Path]) -> None:
    fault()
    path = matrix(("none: {}", "disk: {fault: disk.yaml, size: 3GB, mdoe: fast}"))
    with pytest.raises(FileProblems) as caught:
        load_plan(path)
    assert str(caught.value).splitlines() == [
        f"{path}:8:5: `token` is missing: add it, since `disk.yaml` has no default",
        f"{path}:8:36: size: 3GB is too much: 1MB to 2GB",
        f"{path}:8:41: `disk.yaml` has no parameter `mdoe`: did you mean `mode`?",
    ]


def test_problems_of_a_fault_file_are_told_once_and_where_they_are(
    fault: Callable[..., Path], matrix: Callable[..., Path]
) -> None:
    own = fault(("name: inject", "name: injekt"))
    path = matrix(("none: {}", "a: {fault: disk.yaml}\n    b: {fault: disk.yaml, size: 1GB}"), ("250ms", "250"))
    with pytest.raises(FileProblems) as caught:
        load_plan(path)
    assert str(caught.value).splitlines() == [
        f"{own}:7:1: the method has no activity `inject`: add an action that injects the fault",
        f"{own}:8:26: the activity `injekt` would not run: name it prepare, inject or confirm, as often as needed",
        f"{path}:19:16: latency: 250 has no unit: write 250s, 250ms, 250m, 250h or 250d",
    ]


@given(st.integers(0, 3000).map("{}ms".format))
def test_a_parsed_parameter_is_within_its_range(text: str) -> None:
    parameter = faultfile.Parameter(unit="duration", min=0.2, max=1.0)
    try:
        parsed = parameter.parse(text)
    except ValueError as error:
        parsed = str(error)
    milliseconds = int(text.removesuffix("ms"))
    if 200 <= milliseconds <= 1000:
        assert parsed == milliseconds / 1000
    else:
        assert str(parsed).endswith("200ms to 1s")


def test_names_are_unique_over_the_drivers_of_a_target() -> None:
    for drivers in faultfile.DRIVERS.values():
        files = [path.stem for driver in drivers for path in shipped("experiments", driver).glob("*.yaml")]
        assert len(files) == len(set(files))
    assert {path.parent.name for path in SHIPPED} == {one for drivers in faultfile.DRIVERS.values() for one in drivers}


def test_a_name_is_searched_in_every_driver_of_the_target(tmp_path: Path) -> None:
    assert faultfile.find("scale-to-zero", "kubernetes", tmp_path).parent.name == "kubernetes"
    assert faultfile.find("cpu-stress", "kubernetes", tmp_path).parent.name == "exec"
    assert faultfile.find("cpu-stress", "lab", tmp_path).parent.name == "lab"
    assert faultfile.find("app/error-burst", "kubernetes", tmp_path).parent.name == "app"
    assert faultfile.find("exec/own", "kubernetes", tmp_path) == tmp_path / "exec" / "own"
    assert faultfile.find("network-delay", "kubernetes", tmp_path).parent.name == "proxy"
    with pytest.raises(ValueError, match="no fault is named `network-cut`"):
        faultfile.find("network-cut", "lab", tmp_path)


def test_what_the_lane_gives_need_not_be_said(fault: Callable[..., Path]) -> None:
    found = faultfile.load(fault(("{type: env, key: TOKEN}", "{type: env, key: SMARTOPS_TOKEN}")))
    assert found.from_environment == {"token"}
    assert "token" not in found.defaults
