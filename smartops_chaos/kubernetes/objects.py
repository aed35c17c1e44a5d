"""Named fields of controllers and ConfigMaps: read, set, and put back as they were. Pure, on plain JSON.

A field is a text: `replicas`, `env/<container>/<NAME>`, `image/<container>`, `args/<container>`, `annotation/<key>`,
`template/<annotation of the pod template>`, `data/<file>`, `file/<container>/<path>`, and `at/<steps>` of a patch (see
`patches`). None means that it is not there.

A file is put over one of the image's by the controller alone: its text is an annotation of the pod template, which the
downward API mounts. So a new text is a new template, and the rollout comes by itself.

An object that was changed carries the label CAMPAIGN and the annotation FORMER, which has for every changed field what
it `was` and what we last `set`: the object alone is enough to put it back.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from smartops_chaos.kubernetes import patches
from smartops_chaos.kubernetes.cluster import Json
from smartops_chaos.kubernetes.controller import main_container
from smartops_chaos.schema.healer_kubernetes import Change

CAMPAIGN = "smartops-chaos/campaign"
FORMER = "smartops-chaos/former"
_FILES = "smartops-chaos-files"  # the volume of all files that were put over the image's
RESTARTED = "template/kubectl.kubernetes.io/restartedAt"

Former = dict[str, dict[str, Any]]  # field -> {"was": value, "set": value}


def label(campaign: str) -> str:
    """A campaign's name as the value of a label: at most 63 of letters, digits, - _ and the dot."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", campaign)[:63].strip("-_.") or "unnamed"


def wanted(change: Change, found: Json) -> dict[str, Any]:
    """What a change of a healer file sets on the object `found`. Raises KeyError for a container that is not there."""
    values: dict[str, Any] = {f"data/{name}": _stored(change, text) for name, text in change.data.items()}
    values |= patches.fields_of(change.patch, found, former(found))
    if change.replicas is not None:
        values["replicas"] = change.replicas
    if change.env or change.image or change.args is not None or change.files:
        container = change.container or main_container(found)
        _container(found, container)
        for name, text in change.env.items():  # the API server leaves out an empty value
            values[f"env/{container}/{name}"] = {"name": name, "value": text} if text else {"name": name}
        if change.image:
            values[f"image/{container}"] = change.image
        if change.args is not None:
            values[f"args/{container}"] = list(change.args)
        for path, text in change.files.items():
            mounts = _container(found, container).get("volumeMounts") or ()
            if any(one["mountPath"] == path and one["name"] != _FILES for one in mounts):
                raise KeyError(f"{container} has a volume of its own at {path}: change what is mounted there")
            values[f"file/{container}/{path}"] = text
    return values


def _stored(change: Change, text: str) -> str:
    return base64.b64encode(text.encode()).decode() if change.secret else text


def get(found: Json, field: str) -> Any:
    """The value of a field, None if it is not there. Raises KeyError for a container that is not there."""
    kind, _, rest = field.partition("/")
    if kind == patches.AT:
        return patches.get(found, rest)
    if kind == "replicas":
        return found["spec"]["replicas"]
    if kind == "env":
        container, _, name = rest.partition("/")
        return next((one for one in _container(found, container).get("env") or () if one["name"] == name), None)
    if kind in ("image", "args"):
        return _container(found, rest).get(kind)
    if kind == "file":
        return _texts(found, "template").get(_file(rest)[2])
    return _texts(found, kind).get(rest)


def put(found: Json, field: str, value: Any) -> None:
    """Set a field in place; the order of environment variables stays, since one may use another."""
    kind, _, rest = field.partition("/")
    if kind == patches.AT:
        patches.put(found, rest, value)
    elif kind == "replicas":
        found["spec"]["replicas"] = value
    elif kind == "env":
        container, _, name = rest.partition("/")
        one = _container(found, container)
        before = one.get("env") or []
        put_in = [value] if value is not None else []
        if any(entry["name"] == name for entry in before):
            after = [new for entry in before for new in (put_in if entry["name"] == name else [entry])]
        else:
            after = [*before, *put_in]
        if after or "env" in one:
            one["env"] = after
        if not after:
            one.pop("env", None)
    elif kind in ("image", "args"):
        _set(_container(found, rest), kind, value)
    elif kind == "file":
        _put_file(found, rest, value)
    else:
        _set(_texts(found, kind), rest, value)


def _file(rest: str) -> tuple[str, str, str]:
    """Container, path and the template's annotation of a file."""
    container, _, path = rest.partition("/")
    return container, path, f"smartops-chaos/file.{hashlib.sha256(rest.encode()).hexdigest()[:16]}"


def _put_file(found: Json, rest: str, text: str | None) -> None:
    container, path, annotation = _file(rest)
    name = annotation.rpartition(".")[2]
    pod, inside = found["spec"]["template"]["spec"], _container(found, container)
    volumes = {one["name"]: one for one in pod.get("volumes") or ()}
    mounts = [one for one in inside.get("volumeMounts") or () if (one["name"], one["mountPath"]) != (_FILES, path)]
    items = [one for one in volumes.get(_FILES, {}).get("downwardAPI", {}).get("items", ()) if one["path"] != name]
    if text is not None:
        items.append({"path": name, "fieldRef": {"fieldPath": f"metadata.annotations['{annotation}']"}})
        mounts.append({"name": _FILES, "mountPath": path, "subPath": name, "readOnly": True})
    volumes.pop(_FILES, None)
    if items:
        volumes[_FILES] = {"name": _FILES, "downwardAPI": {"items": items}}
    _set(_texts(found, "template"), annotation, text)
    _set(pod, "volumes", list(volumes.values()) or None)
    _set(inside, "volumeMounts", mounts or None)


def former(found: Json) -> Former:
    """What a changed object says of itself; empty for one that we did not change."""
    text = (found["metadata"].get("annotations") or {}).get(FORMER)
    try:
        saved = json.loads(text) if text else {}
        return {field: {"was": one["was"], "set": one["set"]} for field, one in saved.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def changed(found: Json, campaign: str, values: Mapping[str, Any], noted: Former) -> Json:
    """The object with these values, and every other field that we had changed as it was.

    `noted` is what a ledger knows, for an object whose annotation somebody has removed.
    """
    after, saved = copy.deepcopy(found), former(found) or copy.deepcopy(noted)
    for field in sorted(saved.keys() - values.keys()):  # one that lies in another after it
        put(after, field, saved[field]["was"])
    for field, value in values.items():  # after those, since one may lie in another
        saved.setdefault(field, {"was": get(after, field)})
        put(after, field, value)
    for field, one in saved.items():
        one["set"] = get(after, field)
    if saved:
        _texts(after, "annotation")[FORMER] = json.dumps(saved, sort_keys=True)
        _labels(after)[CAMPAIGN] = label(campaign)
    return after


def restored(found: Json, saved: Former) -> tuple[Json, list[str]]:
    """The object without anything of ours, and the fields that somebody else has changed in the meantime."""
    after, surprises = copy.deepcopy(found), []
    for field, one in sorted(saved.items()):
        try:
            now = get(found, field)
            put(after, field, one["was"])
        except KeyError:  # the container itself is gone, and our change with it
            surprises.append(f"{field} is not there any more")
            continue
        if now != one["was"] and not patches.holds(now, one["set"]):
            surprises.append(f"{field} was {shown(now)}, not {shown(one['set'])} as we had set it")
    for texts, ours in (("annotations", FORMER), ("labels", CAMPAIGN)):
        (after["metadata"].get(texts) or {}).pop(
            ours, None
        )  # where there are none, none are made: that would be a change
    return after, surprises


def merge_patch(before: Json, after: Json) -> Json:
    """RFC 7386: what makes `after` of `before`; a list counts as one value."""
    patch: Json = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            if inner := merge_patch(old, value):
                patch[key] = inner
        elif key not in before or old != value:
            patch[key] = value
    return patch


def _containers(found: Json) -> list[Json]:
    listed: list[Json] = found["spec"]["template"]["spec"]["containers"]
    return listed


def _container(found: Json, name: str) -> Json:
    for one in _containers(found):
        if one["name"] == name:
            return one
    raise KeyError(f"{found['metadata']['name']} has no container {name}")


def _texts(found: Json, kind: str) -> Json:
    """The mapping in which a field of this kind lies, made if it is not there."""
    parent, key = {
        "annotation": (found["metadata"], "annotations"),
        "template": (found.get("spec", {}).get("template", {}).setdefault("metadata", {}), "annotations"),
        "data": (found, "data"),
    }[kind]
    if not parent.get(key):
        parent[key] = {}
    inner: Json = parent[key]
    return inner


def _labels(found: Json) -> Json:
    if not found["metadata"].get("labels"):
        found["metadata"]["labels"] = {}
    inner: Json = found["metadata"]["labels"]
    return inner


def _set(inside: Json, key: str, value: Any) -> None:
    if value is None:
        inside.pop(key, None)
    else:
        inside[key] = value


def shown(value: Any) -> str:
    """A value in a message, cut where it is long."""
    text = json.dumps(value.get("value", value) if isinstance(value, dict) else value)
    return text if len(text) <= 40 else text[:40] + "..."
