"""images_of: of a release's values at stdin, as JSON, the images by digest, as values for the next environment."""

import json
import sys
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
    values = json.load(sys.stdin)
    found: dict[str, Any] = {}
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


main()
