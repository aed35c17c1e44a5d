"""A patch of any object as named fields, so that it is undone like every other change. Pure, on plain JSON.

A field is `at/` and the steps to it, as a JSON pointer (RFC 6901) has them; a step `[app]` is the element of a list
whose `name` is app. What a patch puts under a key that is not there yet is one field at that key: undone, it is gone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from smartops_chaos.kubernetes.cluster import Json

AT = "at"


def fields_of(patch: Json, found: Json, ours: Collection[str]) -> dict[str, Any]:
    """What a patch sets on an object; `ours` are fields that are changed already. null takes a key away.

    Lists of named things (containers, ports) are merged by name, others are replaced. Raises KeyError for a name that
    is not in such a list.
    """
    return {_field(steps): value for steps, value in _leaves(patch, found, (), ours)}


def get(found: Json, rest: str) -> Any:
    """The value at a field, None if it is not there. Raises KeyError for an element that is not there."""
    here: Any = found
    for step in _steps(rest):
        here = _element(here, step) if isinstance(here, list) else here.get(step) if isinstance(here, dict) else None
    return here


def put(found: Json, rest: str, value: Any) -> None:
    """Set a field in place; None takes it away. Raises KeyError for an element that is not there."""
    *way, last = _steps(rest)
    here: Any = found
    for step in way:
        if isinstance(here, list):
            here = _element(here, step)
        else:
            if not isinstance(here.get(step), dict | list):
                if value is None:
                    return
                here[step] = {}
            here = here[step]
    if value is None:
        here.pop(last, None)
    else:
        here[last] = value


def holds(now: Any, wanted: Any) -> bool:
    """Whether a value still is what was set: the API server adds its defaults to what it is given."""
    if isinstance(now, dict) and isinstance(wanted, dict):
        return all(holds(now.get(key), value) for key, value in wanted.items())
    if isinstance(now, list) and isinstance(wanted, list):
        return len(now) == len(wanted) and all(map(holds, now, wanted))
    return bool(now == wanted)


def _leaves(
    patch: Json, found: Json, way: tuple[str, ...], ours: Collection[str]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in patch.items():
        here, steps = found.get(key), (*way, key)
        if _field(steps) in ours:
            yield steps, value
        elif isinstance(value, dict) and value and isinstance(here, dict):
            yield from _leaves(value, here, steps, ours)
        elif isinstance(here, list) and _named(value) and _named(here):
            for item in value:
                inside = {name: one for name, one in item.items() if name != "name"}
                yield from _leaves(inside, _element(here, f"[{item['name']}]"), (*steps, f"[{item['name']}]"), ours)
        else:
            yield steps, value


def _named(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) and "name" in one for one in value)


def _element(listed: list[Any], step: str) -> Any:
    for one in listed:
        if isinstance(one, dict) and f"[{one.get('name')}]" == step:
            return one
    raise KeyError(f"there is no {step.strip('[]')} in the object's list")


def _field(steps: tuple[str, ...]) -> str:
    return "/".join([AT, *(step.replace("~", "~0").replace("/", "~1") for step in steps)])


def _steps(rest: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in rest.split("/")]
