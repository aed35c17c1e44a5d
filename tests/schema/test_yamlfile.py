import os
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from smartops_chaos.errors import FileProblems
from smartops_chaos.schema import yamlfile
from smartops_chaos.schema.units import Duration


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Cat(_Part):
    kind: Literal["cat"]
    lives: Annotated[int, Field(ge=1, le=9)] = 9


class _Dog(_Part):
    kind: Literal["dog"]
    name: str = Field(default="Rex", examples=["Rex"])


class _House(_Part):
    version: Literal[1] = 1
    pet: _Cat | _Dog = Field(discriminator="kind", examples=["{kind: cat}"])
    wait: Duration = 1.0
    rooms: dict[str, _Dog] = {}
    tags: list[str] = []
    share: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = 0.5
    tidy: bool = True


def _problems(text: str) -> list[str]:
    try:
        _, problems = yamlfile.parse(text, "h.yaml").check(_House)
    except FileProblems as error:
        return str(error).splitlines()
    return str(FileProblems(problems)).splitlines()


def test_a_good_file_becomes_a_model(tmp_path: Path) -> None:
    file = tmp_path / "h.yaml"
    file.write_text('pet: {kind: dog, name: "Bo"}\nwait: 250ms\n', encoding="utf-8")
    house = yamlfile.load(file, _House)
    assert house.pet == _Dog(kind="dog", name="Bo")
    assert house.wait == 0.25


def test_yaml_1_2_words_are_texts() -> None:
    document = yamlfile.parse("a: off\nb: yes\nc: 2026-11-24\nd: 0o17\ne: true\nf: =\non: 1\n", "x")
    assert document.data == {"a": "off", "b": "yes", "c": "2026-11-24", "d": 15, "e": True, "f": "=", "on": 1}


def test_byte_order_mark_and_crlf_are_fine(tmp_path: Path) -> None:
    file = tmp_path / "h.yaml"
    file.write_bytes(b"\xef\xbb\xbfpet:\r\n  kind: cat\r\n")
    assert yamlfile.load(file, _House).pet == _Cat(kind="cat")


def test_aliases_are_followed() -> None:
    document = yamlfile.parse("a: &x {k: [1, 2]}\nb: *x\n", "x")
    assert document.data == {"a": {"k": [1, 2]}, "b": {"k": [1, 2]}}


def test_places_of_keys_and_values() -> None:
    document = yamlfile.parse("a:\n  - {b: 1}\n  - c\n", "x")
    assert document.places["a", 0, "b"] == ((2, 6), (2, 9))
    assert document.places["a", 1] == ((3, 5), (3, 5))
    assert str(document.problem(("a", 0, "b"), "wrong", "mend")) == "x:2:9: wrong: mend"
    assert str(document.problem(("a", 0, "b"), "wrong", at_key=True)) == "x:2:6: wrong"
    assert str(document.problem(("a", 0, "zzz", "y"), "wrong")) == "x:2:5: wrong"


NOT_PLAIN = {
    "": ["h.yaml: the file is empty: write `key: value` lines"],
    "# only a comment\n": ["h.yaml: the file is empty: write `key: value` lines"],
    "- a\n": ["h.yaml:1:1: the top of the file is a list: write a mapping: `key: value` lines"],
    "text\n": ["h.yaml:1:1: the top of the file is a single value: write a mapping: `key: value` lines"],
    "pet: [\n": [
        "h.yaml:2:1: not YAML: expected the node content, but found '<stream end>': see the line and the one before it"
    ],
    "pet:\n\tkind: cat\n": [
        "h.yaml:2:1: not YAML: found character '\\t' that cannot start any token: indent with spaces, not tabs"
    ],
    "pet: kind: cat\n": [
        "h.yaml:1:10: not YAML: mapping values are not allowed here: "
        "put a text that contains `: ` in quotes, and check the indentation"
    ],
    "pet: @cat\n": ["h.yaml:1:6: not YAML: found character '@' that cannot start any token: put the text in quotes"],
    "pet: *cat\n": ["h.yaml:1:6: not YAML: found undefined alias 'cat': define it first with &"],
    "a: 1\n---\nb: 2\n": ["h.yaml:2:1: not YAML: a second document begins here: keep one document in the file"],
    "a: b\x01c\n": ["h.yaml:1:5: the character U+0001 is not allowed in YAML: remove it"],
    'a: "\\e[31m"\nb: ["\\ud800", "\\0"]\n': [
        "h.yaml:1:4: the text holds the character U+001B: remove it",
        "h.yaml:2:5: the text holds the character U+D800: remove it",
        "h.yaml:2:15: the text holds the character U+0000: remove it",
    ],
    '"\\u0007": 1\n': ["h.yaml:1:1: the text holds the character U+0007: remove it"],
    "a: 1\nb: 2\na: 3\nb: 4\n": [
        "h.yaml:3:1: duplicate key `a`: it stands already in line 1; keep one",
        "h.yaml:4:1: duplicate key `b`: it stands already in line 2; keep one",
    ],
    "1: x\ntrue: y\n? [a]\n: z\n~: w\n": [
        'h.yaml:1:1: the key `1` is not a text: put it in quotes: "1"',
        'h.yaml:2:1: the key `true` is not a text: put it in quotes: "true"',
        "h.yaml:3:3: a key is a list: use a text",
        'h.yaml:5:1: the key `~` is not a text: put it in quotes: "~"',
    ],
    "? {a: 1}\n: z\n": ["h.yaml:1:3: a key is a mapping: use a text"],
    "a: &x {b: 1}\nc: {<<: *x}\n": [
        "h.yaml:2:5: merge keys (<<) are not part of YAML 1.2: write the keys out",
    ],
    "a: !!binary aGk=\nb: !mine 3\n": [
        "h.yaml:1:4: the tag `tag:yaml.org,2002:binary` is not understood: remove it",
        "h.yaml:2:4: the tag `!mine` is not understood: remove it",
    ],
    "a: &x [*x]\n": ["h.yaml:1:4: an alias stands inside its own anchor: write the value out"],
    "a: " + "9" * 5000 + "\n": [
        "h.yaml:1:4: `" + "9" * 40 + "...` is not a usable number: write a smaller number, or quote it"
    ],
    "a: 0x" + "F" * 6000 + "\n": [
        "h.yaml:1:4: `0x" + "F" * 38 + "...` is not a usable number: write a smaller number, or quote it"
    ],
    "a: " + "[" * 60 + "]" * 60: ["h.yaml:1:43: is nested too deeply: use at most 40 levels"],
    "a: " + "[" * 5000: ["h.yaml: is nested too deeply: use at most 40 levels"],
}


@pytest.mark.parametrize("text", NOT_PLAIN)
def test_what_is_not_plain_yaml(text: str) -> None:
    assert _problems(text) == NOT_PLAIN[text]


def test_an_alias_bomb_is_refused() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
    )
    (problem,) = _problems(bomb)
    assert problem.endswith(": the file has more than 100000 values: use fewer aliases")


WRONG = {
    "wait: 1s\n": ["h.yaml:1:1: `pet` is missing: write `pet: {kind: cat}`"],
    "pet: {knd: cat}\n": ["h.yaml:1:1: `kind` is missing: write `pet: {kind: cat}`"],
    "pet: {kind: cta}\n": ["h.yaml:1:13: `kind` is cta: did you mean `cat`?"],
    "pet: {kind: cat, live: 3}\n": ["h.yaml:1:18: unknown key `live`: did you mean `lives`?"],
    "pet: {kind: cat, name: x}\n": ["h.yaml:1:18: unknown key `name`: known: kind, lives"],
    "pet: {kind: cat, lives: many}\n": ["h.yaml:1:25: `lives` is the text many, not a whole number"],
    "pet: {kind: cat, lives: true}\n": ["h.yaml:1:25: `lives` is true, not a whole number"],
    "pet: {kind: cat, lives: 1.5}\n": ["h.yaml:1:25: `lives` is the number 1.5, not a whole number"],
    "pet: {kind: cat, lives: 12}\n": ["h.yaml:1:25: `lives` is 12: it must be at most 9"],
    "pet: {kind: dog, name: 3}\n": ['h.yaml:1:24: `name` is the number 3, not a text: put it in quotes: "3"'],
    "pet: {kind: dog, name: }\n": ["h.yaml:1:18: `name` has no value: write `name: Rex`"],
    "pet: cat\n": ["h.yaml:1:6: `pet` is the text cat, not a mapping: write `pet: {kind: cat}`"],
    "pet:\n": ["h.yaml:1:1: `pet` has no value: write `pet: {kind: cat}`"],
    "pet: {kind: cat}\nversion: 2\n": ["h.yaml:2:10: `version` is the number 2: it must be 1"],
    "pet: {kind: cat}\nwait: 5\n": ["h.yaml:2:7: wait: 5 has no unit: write 5s, 5ms, 5m, 5h or 5d"],
    "pet: {kind: cat}\nrooms: [hall]\n": ["h.yaml:2:8: `rooms` is a list, not a mapping"],
    "pet: {kind: cat}\nrooms: {hall: {kind: dog, nmae: x}}\n": [
        "h.yaml:2:27: unknown key `nmae`: did you mean `name`?"
    ],
    "pet: {kind: cat}\nrooms: {hall: }\n": ["h.yaml:2:9: `hall` has no value: write `hall: {}`"],
    "pet: {kind: cat}\ntags: x\n": ["h.yaml:2:7: `tags` is the text x, not a list"],
    "pet: {kind: cat}\ntags: [a, 1]\n": ['h.yaml:2:11: `tags` is the number 1, not a text: put it in quotes: "1"'],
    "pet: {kind: cat}\nshare: 1\n": ["h.yaml:2:8: `share` is 1: it must be less than 1"],
    "pet: {kind: cat}\nshare: .nan\n": ["h.yaml:2:8: `share` is not a finite number: write a finite number"],
    "pet: {kind: cat}\ntidy: 1\n": ["h.yaml:2:7: `tidy` is the number 1, not true or false"],
    "pet: {kind: cat}\nzzz: 1\nwiat: 1s\ntags: {}\n": [
        "h.yaml:2:1: unknown key `zzz`: known: pet, rooms, share, tags, tidy, version, wait",
        "h.yaml:3:1: unknown key `wiat`: did you mean `wait`?",
        "h.yaml:4:7: `tags` is a mapping, not a list",
    ],
}


def test_a_file_of_another_kind_is_told_once() -> None:
    (problem,) = _problems("factors: {}\nslo: {}\nseed: 1\nhorizon: 12s\npet: {kind: cat}\n")
    assert problem.startswith(
        "h.yaml:1:1: this looks like another kind of file: 4 of its 5 keys are unknown, `factors`, "
    )


def test_of_very_many_names_some_are_known() -> None:
    assert yamlfile.did_you_mean("x", [f"trial.{n:03}" for n in range(50)]).endswith("trial.004 and 45 more")


@pytest.mark.parametrize("text", WRONG)
def test_what_does_not_fit_the_model(text: str) -> None:
    assert _problems(text) == WRONG[text]


def _refusal(path: Path) -> str:
    with pytest.raises(FileProblems) as caught:
        yamlfile.read(path)
    return str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "matrix.yaml").write_text("a: 1", encoding="utf-8")
    (tmp_path / "binary.yaml").write_bytes(b"a: 1\nb: \xff\xfe")
    (tmp_path / "zero.yaml").write_bytes(b"a: \0")
    (tmp_path / "large.yaml").write_bytes(b"#" * 500_001)
    os.mkfifo(tmp_path / "pipe")
    assert _refusal(tmp_path) == f"{tmp_path}: this is a folder: name a file"
    assert _refusal(tmp_path / "pipe") == f"{tmp_path}/pipe: this is not a regular file: name a file"
    wanted = f"{tmp_path}/matrx.yaml: no such file: did you mean `{tmp_path}/matrix.yaml`?"
    assert _refusal(tmp_path / "matrx.yaml") == wanted
    assert _refusal(tmp_path / "no" / "x.yaml") == f"{tmp_path}/no/x.yaml: no such file: check the path"
    wanted = f"{tmp_path}/binary.yaml:2:4: byte 0xff is not UTF-8 text: save the file as UTF-8 text"
    assert _refusal(tmp_path / "binary.yaml") == wanted
    assert _refusal(tmp_path / "zero.yaml") == f"{tmp_path}/zero.yaml: this is a binary file: name a text file"
    assert _refusal(tmp_path / "large.yaml") == f"{tmp_path}/large.yaml: is larger than 500 kB: make it smaller"
    assert "cannot be read" in _refusal(tmp_path / "matrix.yaml" / "below.yaml")
    assert "cannot be read" in _refusal(Path("nul\0.yaml"))
    assert "cannot be read" in _refusal(tmp_path / ("x" * 300))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_permission(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text("a: 1", encoding="utf-8")
    file.chmod(0)
    assert _refusal(file) == f"{file}: cannot be read (Permission denied): check the path and its permissions"


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"%@`#?, \n\t\\0123.~<=e"), max_size=60))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    try:
        said = str(yamlfile.parse(text, "x").problem((), "fine"))
    except FileProblems as error:
        said = str(error)
    assert said.startswith("x:")


def test_did_you_mean() -> None:
    assert yamlfile.did_you_mean("Pod-Kil", ["pod-kill", "cpu"]) == "did you mean `pod-kill`?"
    assert yamlfile.did_you_mean("zzz", ["b", "a"]) == "known: a, b"
    assert yamlfile.did_you_mean("zzz", []) == "none is known here"
