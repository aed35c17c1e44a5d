"""images_of: of a release's values at stdin, as JSON, the images by digest, and the commit of which they were
built, as values for the next environment.

With --running FILE: of the release's pods at stdin, as JSON, whether they run these images and nothing else.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SERVICES = (
    ("erp-simulator",),
    ("orchestrator",),
    ("policy-engine",),
    ("agents", "detect"),
    ("agents", "diagnose"),
    ("monitor",),
    ("helmTest",),
)


def main() -> None:
    if sys.argv[1:2] == ["--running"]:
        known = set(named(json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))))
        if others := strangers(json.load(sys.stdin)["items"], known):
            sys.exit(f"these run, and the release does not name them: {', '.join(others)}; deploy it anew")
        return
    values = json.load(sys.stdin)
    found: dict[str, Any] = {"commit": values.get("commit", "")}
    missing = []
    for path in SERVICES:
        if values[path[0]].get("enabled") is False:
            continue
        here: dict[str, Any] = values
        for key in path:
            here = here[key]
        image = here["image"]
        if not image.get("digest"):
            missing.append(".".join(path))
            continue
        place = found
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = {"image": {"repository": image["repository"], "digest": image["digest"]}}
    if missing:
        sys.exit(
            f"these run by a tag, which may be another image by now: {', '.join(missing)}; deploy them by --images FILE"
        )
    json.dump(found, sys.stdout)


def named(values: dict[str, Any]) -> Iterator[str]:
    """Every image of values, as a pod names it."""
    for key, value in values.items():
        if key == "image":
            yield f"{value['repository']}@{value['digest']}"
        elif isinstance(value, dict):
            yield from named(value)


def strangers(pods: list[dict[str, Any]], known: set[str]) -> list[str]:
    return sorted(
        f"{container['image']} in {pod['metadata']['name']}"
        for pod in pods
        for container in (*pod["spec"]["containers"], *pod["spec"].get("initContainers", ()))
        if container["image"] not in known
    )


main()
