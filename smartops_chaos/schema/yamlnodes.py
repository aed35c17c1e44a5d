"""YAML 1.2 text -> plain data with the place of every value. Only plain YAML: text keys, no tags, no merge keys.

Aliases are followed, within limits, so that no file can blow up what reads it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from smartops_chaos.errors import FileProblems, Problem

_DEEPEST = 40  # levels of nesting
_MOST_NODES = 100_000  # values after aliases are followed

# Escapes can put them into a text: half characters, which no file can store, and codes that would steer a terminal.
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_LONGEST_NUMBER = 100  # characters; one of some thousand digits could not even be printed

Loc = tuple[str | int, ...]


class At(NamedTuple):
    """Where a value's key begins (its own beginning in a list) and where the value begins; (line, column) from 1."""

    key: tuple[int, int]
    value: tuple[int, int]


def parse(text: str, name: str) -> tuple[dict[str, Any], dict[Loc, At]]:
    """The mapping in `text`; raises FileProblems, with `name` as the file, if it is not plain YAML or no mapping."""
    yaml = YAML(typ="safe", pure=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)  # legal: the later anchor holds from there on
            root = yaml.compose(text)
    except YAMLError as error:
        raise FileProblems([_syntax(error, text, name)]) from None
    except RecursionError:
        raise FileProblems([Problem(name, 0, 0, "is nested too deeply", f"use at most {_DEEPEST} levels")]) from None
    if root is None:
        raise FileProblems([Problem(name, 0, 0, "the file is empty", "write `key: value` lines")])
    reader = _NodeReader(yaml, name)
    data = reader.value(root, (), _start(root))
    if not isinstance(data, dict) and not reader.problems:
        kind = "a list" if isinstance(data, list) else "a single value"
        reader.refuse(root, f"the top of the file is {kind}", "write a mapping: `key: value` lines")
    if reader.problems:
        raise FileProblems(list(dict.fromkeys(reader.problems)))  # an alias repeats them
    return data, reader.places


class _NodeReader:
    """Turns nodes into data and notes the place of each; collects what is not plain."""

    def __init__(self, yaml: YAML, name: str) -> None:
        self.places: dict[Loc, At] = {}
        self.problems: list[Problem] = []
        self._yaml = yaml
        self._name = name
        self._open: list[Node] = []

    def refuse(self, node: Node, what: str, hint: str) -> None:
        self.problems.append(Problem(self._name, *_start(node), what, hint))

    def value(self, node: Node, loc: Loc, key: tuple[int, int]) -> Any:
        if len(self.places) >= _MOST_NODES:
            self.refuse(node, f"the file has more than {_MOST_NODES} values", "use fewer aliases")
            raise FileProblems(self.problems)
        empty = isinstance(node, ScalarNode) and node.start_mark.index == node.end_mark.index
        self.places[loc] = At(key, key if empty else _start(node))
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if any(node is around for around in self._open):
            self.refuse(node, "an alias stands inside its own anchor", "write the value out")
            return None
        if len(self._open) >= _DEEPEST:
            self.refuse(node, "is nested too deeply", f"use at most {_DEEPEST} levels")
            return None
        self._open.append(node)
        try:
            if isinstance(node, SequenceNode):
                return [self.value(item, (*loc, i), _start(item)) for i, item in enumerate(node.value)]
            assert isinstance(node, MappingNode)
            return dict(self._items(node, loc))
        finally:
            self._open.pop()

    def _items(self, node: MappingNode, loc: Loc) -> Iterator[tuple[str, Any]]:
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            if key is None:
                continue
            if key in first:
                self.refuse(key_node, f"duplicate key `{key}`", f"it stands already in line {first[key]}; keep one")
                continue
            first[key] = _start(key_node)[0]
            yield key, self.value(value_node, (*loc, key), _start(key_node))

    def _key(self, node: Node) -> Any:
        """A text, or None with a problem."""
        if not isinstance(node, ScalarNode):
            self.refuse(node, f"a key is {'a list' if isinstance(node, SequenceNode) else 'a mapping'}", "use a text")
        elif str(node.tag).endswith(":merge"):
            self.refuse(node, "merge keys (<<) are not part of YAML 1.2", "write the keys out")
        else:
            before = len(self.problems)
            key = self._scalar(node)
            if (isinstance(key, str) and key) or len(self.problems) > before:
                return key
            written = node.value or "null"
            self.refuse(node, f"the key `{_cut(written)}` is not a text", f'put it in quotes: "{_cut(written)}"')
        return None

    def _scalar(self, node: ScalarNode) -> Any:
        kind = str(node.tag).rpartition(":")[2]
        unfit = _UNFIT.search(node.value)
        if unfit is not None:
            self.refuse(node, f"the text holds the character U+{ord(unfit[0]):04X}", "remove it")
            return None
        if kind in ("timestamp", "value", "merge"):  # not in the core schema of YAML 1.2: plain text
            return node.value
        if kind not in ("str", "int", "float", "bool", "null"):
            self.refuse(node, f"the tag `{node.tag}` is not understood", "remove it")
            return None
        try:
            if kind in ("int", "float") and len(node.value) > _LONGEST_NUMBER:
                raise ValueError
            return self._yaml.constructor.construct_object(node)
        except (ValueError, YAMLError):
            self.refuse(node, f"`{_cut(node.value)}` is not a usable number", "write a smaller number, or quote it")
            return None


def _start(node: Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _syntax(error: YAMLError, text: str, name: str) -> Problem:
    if not isinstance(error, MarkedYAMLError):  # a character that YAML does not allow
        position = getattr(error, "position", 0)
        before = text[:position]
        line, column = before.count("\n") + 1, position - before.rfind("\n")
        what = f"the character U+{ord(text[position]):04X} is not allowed in YAML"
        return Problem(name, line, column, what, "remove it")
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    what = error.problem or error.context or "cannot be read"
    hint = "see the line and the one before it"
    if "'\\t'" in what:
        hint = "indent with spaces, not tabs"
    elif "mapping values are not allowed" in what:
        hint = "put a text that contains `: ` in quotes, and check the indentation"
    elif "cannot start any token" in what:
        hint = "put the text in quotes"
    elif "another document" in what:
        what, hint = "a second document begins here", "keep one document in the file"
    elif "alias" in (error.context or what):
        hint = "define it first with &"
    return Problem(name, line, column, f"not YAML: {what}", hint)


def _cut(text: str) -> str:
    return text if len(text) <= 40 else text[:40] + "..."
