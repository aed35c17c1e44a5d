"""A YAML 1.2 file from a person -> a pydantic model, or every problem in it at once with file:line:col and its hint.

    matrix = load(Path("matrix.yaml"), Matrix)

Whoever checks more than a model can say reads the file with `read` and reports with `Document.problem`.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from smartops_chaos.errors import FileProblems, Problem
from smartops_chaos.schema import yamlnodes
from smartops_chaos.schema.yamlnodes import At, Loc

_BIGGEST = 500_000  # bytes of a file; the parser reads about 250 kB a second
_MOST_KNOWN, _SOME_KNOWN = 40, 5  # words of a hint
_FEW_UNKNOWN = 3  # keys: so many may be misspelt
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Document:
    """A file's plain data (dict, list, str, int, float, bool, None) with the place of every value.

    Places are kept beside the data and not in it: pydantic sees plain values, and what it objects to is looked up here.
    """

    name: str
    data: dict[str, Any]
    places: dict[Loc, At]

    def problem(self, loc: Loc, what: str, hint: str = "", *, at_key: bool = False) -> Problem:
        """A problem at the value (or its key) at `loc`, or at the nearest mapping around it that is in the file."""
        exact = loc in self.places
        while loc not in self.places:
            loc = loc[:-1]
        at = self.places[loc]
        line, column = at.value if exact and not at_key else at.key
        return Problem(self.name, line, column, what, hint)

    def check(self, model: type[M]) -> tuple[M | None, list[Problem]]:
        """The data as a `model`, or None and every problem."""
        try:
            return model.model_validate(self.data), []
        except ValidationError as error:
            if other := _of_another_kind(self, model):
                return None, [other]
            return None, _merged(_translate(self, model, detail) for detail in error.errors(include_url=False))


def load(path: Path, model: type[M]) -> M:
    """Read and check a file. Raises FileProblems with all its problems."""
    return _checked(read(path), model)


def read(path: Path) -> Document:
    """Read a file. Raises FileProblems if it cannot be read, is not YAML or not a mapping."""
    return parse(read_text(path), str(path))


def read_text(path: Path, biggest: int = _BIGGEST, *, lenient: bool = False) -> str:
    """The text of a UTF-8 file; `lenient`: bytes that are none, such as a log may have, become U+FFFD.

    Raises FileProblems if there is none, or more than so many bytes.
    """

    def refuse(what: str, hint: str = "") -> FileProblems:
        return FileProblems([Problem(str(path), 0, 0, what, hint)])

    try:
        if path.exists() and not path.is_file():
            raise refuse("this is a folder" if path.is_dir() else "this is not a regular file", "name a file")
        with path.open("rb") as file:
            raw = file.read(biggest + 1)
    except FileNotFoundError:
        raise refuse("no such file", _neighbours(path)) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise refuse(f"cannot be read ({reason})", "check the path and its permissions") from None
    if len(raw) > biggest:
        raise refuse(f"is larger than {biggest // 1000} kB", "make it smaller")
    try:
        text = raw.decode("utf-8-sig", "replace" if lenient else "strict")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
        what = f"byte 0x{raw[error.start]:02x} is not UTF-8 text"
        raise FileProblems([Problem(str(path), line, column, what, "save the file as UTF-8 text")]) from None
    if "\0" in text and not lenient:
        raise refuse("this is a binary file", "name a text file")
    return text


def parse(text: str, name: str) -> Document:
    """Parse YAML whose top is a mapping. Raises FileProblems, with `name` as the file."""
    return Document(name, *yamlnodes.parse(text, name))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The hint for a misspelt word: the nearest known one, or all of them; of very many, such as trials, some."""
    words = sorted(known)
    folded = {w.casefold(): w for w in reversed(words)}
    near = difflib.get_close_matches(word.casefold(), folded, n=1)
    if near:
        return f"did you mean `{folded[near[0]]}`?"
    if len(words) > _MOST_KNOWN:
        return f"known: {', '.join(words[:_SOME_KNOWN])} and {len(words) - _SOME_KNOWN} more"
    return f"known: {', '.join(words)}" if words else "none is known here"


def _checked(document: Document, model: type[M]) -> M:
    value, problems = document.check(model)
    if value is None:
        raise FileProblems(problems)
    return value


def _neighbours(path: Path) -> str:
    try:
        beside = [p.name for p in path.parent.iterdir() if p.suffix == path.suffix]
    except OSError:
        return "check the path"
    near = difflib.get_close_matches(path.name, beside, n=1)
    return f"did you mean `{path.with_name(near[0])}`?" if near else "check the path"


# ---- pydantic's errors -> problems ---------------------------------------------------------------------------


def _of_another_kind(document: Document, model: type[BaseModel]) -> Problem | None:
    """A file most of whose keys are unknown is another one than was meant, and a line for each key would hide that."""
    known = _fields(model, ())
    unknown = [key for key in document.data if key not in known]
    if len(unknown) <= _FEW_UNKNOWN or 2 * len(unknown) <= len(document.data):
        return None
    some = ", ".join(f"`{_cut(key)}`" for key in unknown[:_FEW_UNKNOWN])
    what = (
        f"this looks like another kind of file: {len(unknown)} of its {len(document.data)} keys are unknown, {some}..."
    )
    return document.problem((), what, f"here are known: {', '.join(sorted(known))}")


def _merged(problems: Iterable[Problem]) -> list[Problem]:
    """Each problem once; what is neither of the kinds that a place takes is told in one line."""
    found: dict[tuple[int, int, str], Problem] = {}
    for problem in problems:
        head, no, kind = problem.what.partition(", not ")
        place = (problem.line, problem.column, head if no else problem.what)
        before = found.setdefault(place, problem)
        if no and kind not in before.what:
            found[place] = replace(before, what=f"{before.what} or {kind}")
    return list(found.values())


def _translate(document: Document, model: type[BaseModel], detail: ErrorDetails) -> Problem:
    raw: Loc = detail["loc"]
    loc = _in_file(document.data, raw, detail["type"] == "missing")
    key = str(next((step for step in reversed(loc) if isinstance(step, str)), ""))  # of a list's item the list's
    field = _fields(model, raw[:-1]).get(key)
    if detail["type"] == "missing":
        return document.problem(loc, f"`{key}` is missing", _example(key, field))
    if detail["type"] == "extra_forbidden":
        known = _fields(model, raw[:-1])
        return document.problem(loc, f"unknown key `{key}`", did_you_mean(key, known), at_key=True)
    what, hint = _explain(key, detail, field)
    if detail["type"].startswith("union_tag"):
        loc = (*loc, _tag_key(detail.get("ctx", {})))
    return document.problem(loc, what, hint)


def _in_file(data: Any, loc: Loc, missing: bool) -> Loc:
    """pydantic's path without what it adds: the tags of unions and the mark of a dict's key."""
    kept: list[str | int] = []
    for i, step in enumerate(loc):
        inside = step in data if isinstance(data, dict) else isinstance(data, list) and isinstance(step, int)
        if inside:
            data = data[step]
        elif not (missing and i == len(loc) - 1):
            continue
        kept.append(step)
    return tuple(kept)


def _explain(key: str, detail: ErrorDetails, field: FieldInfo | None) -> tuple[str, str]:
    given, kind, ctx = detail["input"], detail["type"], detail.get("ctx", {})
    name = f"`{key}`" if key else "the file"
    if given is None:
        empty = f"write `{key}: {{}}`" if kind.startswith(("model", "dict")) and key else "write one or remove the key"
        return f"{name} has no value", _example(key, field) or empty
    if kind == "value_error":
        return f"{key}: {ctx['error']}", ""
    if kind == "union_tag_not_found":
        return f"`{_tag_key(ctx)}` is missing", _example(key, field)
    if kind in ("literal_error", "union_tag_invalid"):
        wanted = str(ctx.get("expected") or ctx.get("expected_tags"))
        options = [w.strip("' ") for w in wanted.replace(" or ", ",").split(",")]
        tag = str(ctx.get("tag") or given)
        shown = _cut(tag) if "tag" in ctx else _kind(given)
        what = f"`{_tag_key(ctx)}`" if "discriminator" in ctx else name
        if len(options) == 1:
            return f"{what} is {shown}", f"it must be {options[0]}"
        return f"{what} is {shown}", did_you_mean(tag, options)
    wanted_kinds = {
        "string": "a text",
        "int": "a whole number",
        "float": "a number",
        "bool": "true or false",
        "dict": "a mapping",
        "model": "a mapping",
        "list": "a list",
        "tuple": "a list",
    }
    start = kind.partition("_")[0]
    if start in wanted_kinds and kind.endswith(("_type", "_parsing", "_from_float", "_size")):
        hint = f'put it in quotes: "{_cut(given)}"' if start == "string" and not isinstance(given, dict | list) else ""
        return f"{name} is {_kind(given)}, not {wanted_kinds[start]}", hint or _example(key, field)
    limits = {"greater_than_equal": "ge", "less_than_equal": "le", "greater_than": "gt", "less_than": "lt"}
    if kind in limits:
        words = {"ge": "at least", "le": "at most", "gt": "more than", "lt": "less than"}[limits[kind]]
        return f"{name} is {_cut(given)}", f"it must be {words} {str(ctx[limits[kind]]).removesuffix('.0')}"
    if kind == "finite_number":
        return f"{name} is {_kind(given)}", "write a finite number"
    if kind == "too_short":
        return f"{name} is empty", _example(key, field)
    message = detail["msg"]
    return f"{name}: {message[:1].lower()}{message[1:]}", ""


def _tag_key(ctx: dict[str, Any]) -> str:
    """The key that tells the kinds of a union apart; a function that reads it has the key's name."""
    return str(ctx["discriminator"]).strip("'()")


def _example(key: str, field: FieldInfo | None) -> str:
    if field is None or not field.examples:
        return ""
    value = field.examples[0]
    return f"write `{key}: {str(value).lower() if isinstance(value, bool) else value}`"


def _fields(annotation: Any, loc: Loc) -> dict[str, FieldInfo]:
    """The fields that a mapping at `loc` may have, according to the model; none if it is free."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _fields(get_args(annotation)[0], loc)
    if origin in (Union, UnionType):
        found: dict[str, FieldInfo] = {}
        options = get_args(annotation)
        for option in [o for o in options if loc and _has_tag(o, loc[0])] or options:
            found |= _fields(option, loc)
        return found
    if origin in (dict, list, tuple):
        return _fields(get_args(annotation)[-1 if origin is dict else 0], loc[1:]) if loc else {}
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return {}
    fields = {f.alias or name: f for name, f in annotation.model_fields.items()}
    if not loc:
        return fields
    if loc[0] in fields:
        return _fields(fields[str(loc[0])].annotation, loc[1:])
    return _fields(annotation, loc[1:])  # the tag of a union


def _has_tag(model: Any, tag: str | int) -> bool:
    if get_origin(model) is Annotated:
        return any(isinstance(mark, Tag) and mark.tag == tag for mark in get_args(model)[1:])
    fields = getattr(model, "model_fields", {}).values()
    return any(tag in get_args(f.annotation) for f in fields if get_origin(f.annotation) is Literal)


def _kind(value: object) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, float) and not math.isfinite(value):
        return "not a finite number"
    return f"the {'text' if isinstance(value, str) else 'number'} {_cut(value)}"


def _cut(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 40 else text[:40] + "..."
