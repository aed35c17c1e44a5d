"""docs/reference.md: every key of a matrix, a healer file, gates.yaml and a fault file, from their schemas.

python -m smartops_chaos.schema.reference > docs/reference.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from ruamel.yaml import YAML

from smartops_chaos.schema.faultfile import DRIVERS, BlockSpec, Parameter, shipped_faults
from smartops_chaos.schema.gatefile import GateFile
from smartops_chaos.schema.healerfile import HealerFile, shipped_names, shipped_settings
from smartops_chaos.schema.matrix import Matrix
from smartops_chaos.schema.units import Unit, format_in

_HEAD = """# Reference: every key

Made from the schemas that check the files, by `python -m smartops_chaos.schema.reference`; a test compares. What the
words mean stands in the [glossary](glossary.md). Editors complete a matrix and a healer file with the schemas that
`smartops-chaos init --schema` and `smartops-chaos healer schema` print. `required` means that there is no default.

| written as | such as |
|---|---|
| duration | `250ms`, `12s`, `5m`, `1h30m`, `2d`; also `PT1M30S` |
| share | `90%`, or a number from 0 to 1 |
| rate | `40/s`, `90/min`, `10/h` |
| size | `500MB`, `512MiB` |
"""
_ITSELF = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}


def text() -> str:
    """The whole page. A part that the matrix and the healer file have alike stands there once."""
    seen: set[str] = set()
    parts = [
        _HEAD,
        *_model(seen, "The matrix", "matrix.yaml: what is tried, and what the result is held against.", Matrix),
        *_model(
            seen, "The healer file", "How a healer is found, set and read: [with recipes](healers.md).", HealerFile
        ),
        *_shipped_healers(),
        *_model(
            seen, "The rules of the promotion gate", "`platform/gates.yaml`: [what each rule asks](gate.md).", GateFile
        ),
        "## The fault file\n\nA Chaos Toolkit experiment with one block more: [how to write one](faults.md).",
        *_tables(seen, BlockSpec.model_json_schema()),
        *_faults(),
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _model(seen: set[str], title: str, told: str, model: type[BaseModel]) -> Iterator[str]:
    yield f"## {title}\n\n{told}"
    yield from _tables(seen, model.model_json_schema())


def _tables(seen: set[str], schema: Mapping[str, Any]) -> Iterator[str]:
    """The model itself, then its parts in the order in which they are met."""
    parts: Mapping[str, Any] = schema.get("$defs", {})
    yield _table(schema, parts)
    met = list(dict.fromkeys(_refs(schema)))
    for name in met:
        met += [more for more in dict.fromkeys(_refs(parts[name])) if more not in met]
    for name in met:
        if parts[name].get("properties") and _title(name) not in seen:
            seen.add(_title(name))
            told = " ".join(str(parts[name].get("description", "")).split())
            yield f"### {_title(name)}" + (f"\n\n{told}" if told else "")
            yield _table(parts[name], parts)


def _table(part: Mapping[str, Any], parts: Mapping[str, Any]) -> str:
    rows = ["| key | takes | unless said | means |", "|---|---|---|---|"]
    needed = part.get("required", ())
    for key, of in part["properties"].items():
        takes = _takes(of, parts)
        unless = "required" if key in needed else _default(of, takes)
        means = " ".join(str(of.get("description", "")).split())
        example = "" if "const" in of else _written((of.get("examples") or [""])[0])
        told = f"{means} Such as `{example}`." if example and f"`{example}`" != unless else means
        rows.append(f"| `{key}` | {takes} | {unless} | {_cell(told)} |")
    return "\n".join(rows)


def _takes(of: Mapping[str, Any], parts: Mapping[str, Any]) -> str:
    if "$ref" in of:
        name = of["$ref"].rpartition("/")[2]
        return (
            f"[{_title(name).lower()}](#{_title(name).lower().replace(' ', '-')})"
            if parts[name].get("properties")
            else "text"
        )
    if "const" in of:
        return f"`{of['const']}`"
    if "enum" in of:
        return ", ".join(f"`{one}`" for one in of["enum"])
    if several := of.get("anyOf") or of.get("oneOf"):
        kinds = dict.fromkeys(_takes(one, parts) for one in several if one.get("type") != "null")
        shares = any("%" in str(one.get("pattern", "")) for one in several)
        return "share" if shares else " or ".join(kinds)
    if of.get("type") == "array":
        return f"list of {_takes(of.get('items', {}), parts)}"
    if of.get("type") == "object":
        inner = of.get("additionalProperties")
        return f"names, each with {_takes(inner, parts)}" if isinstance(inner, dict) else "mapping"
    pattern = str(of.get("pattern", ""))
    if "ns|us" in pattern:
        return "duration"
    if pattern.endswith("(s|m|min|h)$"):
        return "rate"
    kind = of.get("type", "any value")
    return " or ".join(_ITSELF.get(one, one) for one in ([kind] if isinstance(kind, str) else kind))


def _default(of: Mapping[str, Any], takes: str) -> str:
    value = of.get("default")
    if value in (None, "", [], {}) or isinstance(value, dict):
        return "–"
    if isinstance(value, list):
        return ", ".join(f"`{one}`" for one in value)
    if isinstance(value, bool):
        return f"`{_written(value)}`"
    unit: Unit | None = next((unit for name, unit in _UNITS.items() if takes == name), None)
    return f"`{format_in(unit, value)}`" if unit and isinstance(value, int | float) else f"`{value}`"


_UNITS: Mapping[str, Unit] = {"duration": "duration", "share": "fraction", "rate": "rate"}


def _refs(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "$ref":
                yield value.rpartition("/")[2]
            elif key != "$defs":
                yield from _refs(value)
    elif isinstance(part, list):
        for one in part:
            yield from _refs(one)


def _title(name: str) -> str:
    """`SlaSpec` -> "Sla", `LabTargetSpec` -> "Lab target"."""
    words = re.findall(r"[A-Z][a-z]*", name.removesuffix("Spec"))
    return " ".join([words[0], *(word.lower() for word in words[1:])])


def _shipped_healers() -> Iterator[str]:
    """What a model or policy level may set, for each healer file that comes along."""
    yield (
        "## The shipped healer files\n\nA matrix names one in `target.healer`, and its levels set what is listed here. "
        "`smartops-chaos healer show NAME` prints the file."
    )
    for name in shipped_names():
        told, settings = shipped_settings(name)
        rows = ["| setting | takes | means |", "|---|---|---|"]
        rows += [f"| `{one.name}` | {_values(one.takes)} | {_cell(one.means)} |" for one in settings]
        yield f"### `{name}`\n\n{told}\n\n" + "\n".join(rows)


def _values(takes: str) -> str:
    return takes if takes == "text" else ", ".join(f"`{one}`" for one in takes.strip("[]").split(", "))


def _faults() -> Iterator[str]:
    """What a chaos level may name, by the kind of the target, each with its parameters."""
    for target, drivers in DRIVERS.items():
        yield f"## The faults of {'the lab' if target == 'lab' else 'a cluster'}"
        for name, path in shipped_faults(target).items():
            told = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
            block = next(one for one in told["extensions"] if one["name"] == "smartops-chaos")
            driver = f", driver `{path.parent.name}`" if len(drivers) > 1 else ""
            lasts = "lasts until it is ended" if block["lasting"] else "is over at once"
            place = " on the lab" if target == "lab" else ""
            yield f"### `{name}`{place}\n\n{told['description']} Family `{block['family']}`, {lasts}{driver}."
            rows = ["| key | takes | unless said | means |", "|---|---|---|---|"]
            for key, of in block.get("parameters", {}).items():
                one = Parameter.model_validate(of)
                unless = _unless(one, told["configuration"].get(key))
                rows.append(f"| `{key}` | {_range(one)} | {unless} | {_cell(one.help)} |")
            if len(rows) > 2:
                yield "\n".join(rows)


def _range(parameter: Parameter) -> str:
    if parameter.unit == "choice":
        return ", ".join(f"`{one}`" for one in parameter.choices)
    kind = "share" if parameter.unit == "fraction" else parameter.unit
    unit = _numeric(parameter)
    ends = [None if end is None or unit is None else format_in(unit, end) for end in (parameter.min, parameter.max)]
    return kind + (f", {ends[0]} to {ends[1]}" if all(ends) else "")


def _numeric(parameter: Parameter) -> Unit | None:
    unit = parameter.unit
    return None if unit == "choice" or unit == "text" or unit == "controller" or unit == "container" else unit


def _unless(parameter: Parameter, value: object) -> str:
    unit = _numeric(parameter)
    if isinstance(value, int | float) and unit is not None:
        return f"`{format_in(unit, value)}`"
    return f"`{value}`" if isinstance(value, str) and value else "–"


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _cell(text: str) -> str:
    """In a table of Markdown: what stands outside of `code` is no markup."""
    parts = text.replace("|", "\\|").strip().split("`")
    return "`".join(part if at % 2 else part.replace("<", "\\<") for at, part in enumerate(parts))


if __name__ == "__main__":
    print(text(), end="")
