"""rights: what each account of a namespace may do there, and how often it did, by an audit log of the API server.

    kubectl -n NAMESPACE get roles,rolebindings -o json | python platform/rights.py audit.log...

Prints a table, one right a line, those that nobody used with 0; then what was refused, which makes the exit code 1. The
audit policy has to log what service accounts read, too, at level Metadata, as platform/testbed/audit.yaml does.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

_PREFIX = "system:serviceaccount:"


class Right(NamedTuple):
    """One verb on one kind of object; on one object of it if it has a name."""

    account: str  # namespace/name
    verb: str
    resource: str  # with its group and subresource: `pods/log`, `deployments.apps/scale`
    name: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{f' {self.name}' if self.name else ''}"


def granted(objects: Iterable[Mapping[str, Any]]) -> list[Right]:
    """Every right that the RoleBindings give to service accounts."""
    found = list(objects)
    rules = {one["metadata"]["name"]: one.get("rules") or [] for one in found if one["kind"] == "Role"}
    return [
        Right(f"{subject.get('namespace') or one['metadata']['namespace']}/{subject['name']}", verb, resource, name)
        for one in found
        if one["kind"] == "RoleBinding" and one["roleRef"]["kind"] == "Role"
        for subject in one.get("subjects") or []
        if subject["kind"] == "ServiceAccount"
        for verb, resource, name in _rights(rules.get(one["roleRef"]["name"], []))
    ]


def _rights(rules: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    for rule in rules:
        for group in rule.get("apiGroups") or []:
            for resource in rule.get("resources") or []:
                for name in rule.get("resourceNames") or [""]:
                    yield from ((verb, _resource(group, *resource.partition("/")[::2]), name) for verb in rule["verbs"])


def _resource(group: str, kind: str, sub: str) -> str:
    return f"{kind}{f'.{group}' if group else ''}{f'/{sub}' if sub else ''}"


def asked(events: Iterable[Mapping[str, Any]]) -> dict[str, tuple[Right, str, bool]]:
    """What service accounts asked for: request -> the right that it takes, in which namespace, whether allowed."""
    found = {}
    for event in events:
        user, thing = str(event["user"].get("username")), event.get("objectRef") or {}
        if user.startswith(_PREFIX) and thing.get("resource"):
            resource = _resource(thing.get("apiGroup", ""), thing["resource"], thing.get("subresource", ""))
            right = Right(user.removeprefix(_PREFIX).replace(":", "/"), event["verb"], resource, thing.get("name", ""))
            allowed = (event.get("annotations") or {}).get("authorization.k8s.io/decision") != "forbid"
            found[str(event["auditID"])] = (right, str(thing.get("namespace", "")), allowed)
    return found


def uses(rights: Iterable[Right], requests: Iterable[Right]) -> dict[Right, int]:
    """How many requests each right was good for. A right without a name is good for every name."""
    made = Counter(requests)
    return {
        right: sum(n for one, n in made.items() if one[:3] == right[:3] and right.name in ("", one.name))
        for right in rights
    }


def read(files: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """The events of audit logs; a line that is being written is left out."""
    for file in files:
        with file.open(encoding="utf-8") as lines:
            yield from (json.loads(line) for line in lines if line.endswith("\n"))


def main() -> int:
    files = [Path(name) for name in sys.argv[1:]]
    if not files or sys.stdin.isatty():
        print(__doc__, file=sys.stderr)
        return 2
    objects = json.load(sys.stdin)["items"]
    rights, here = granted(objects), {one["metadata"]["namespace"] for one in objects}
    accounts = {right.account for right in rights}
    requests = [one for one in asked(read(files)).values() if one[0].account in accounts]
    print("| account | right | used |\n| --- | --- | --- |")
    for right, times in uses(
        rights, [right for right, place, allowed in requests if allowed and place in here]
    ).items():
        print(f"| {right.account} | {right} | {times} |")
    refused = Counter((f"{right.account}: {right}", place) for right, place, allowed in requests if not allowed)
    for (what, place), times in refused.items():
        print(f"refused {times} times: {what} in {place or 'the cluster'}")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
