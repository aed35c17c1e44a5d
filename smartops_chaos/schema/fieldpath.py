"""A field of JSON by its path, as healer files write it: `items[0].name`, `conditions[type=Ready].status`."""

from __future__ import annotations

import json
import re
from typing import Any

_STEP = re.compile(r"\[([^\]]*)\]")


def field_text(value: Any, path: str) -> str | None:
    """The field as text, other kinds than texts as JSON; None if it is not there."""
    found = field_at(value, path)
    return found if found is None or isinstance(found, str) else json.dumps(found)


def field_at(value: Any, path: str) -> Any:
    """The field at a path; a key that is written like the whole path comes first. None if it is not there."""
    if isinstance(value, dict) and path in value:
        return value[path]
    for step in _STEP.sub(r".\1", path).split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdigit():
            value = value[int(step)] if int(step) < len(value) else None
        elif isinstance(value, list) and "=" in step:
            key, _, wanted = step.partition("=")
            value = next((one for one in value if isinstance(one, dict) and str(one.get(key)) == wanted), None)
        else:
            return None
    return value
