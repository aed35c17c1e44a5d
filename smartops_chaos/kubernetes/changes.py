"""What a campaign changes on a cluster's objects, and how every change is undone.

One patch both changes an object and saves on the object itself what it was (see `objects`); the same is in a ledger
file of the campaign's directory before the patch is sent. Either is enough to put it back, from any machine.
A patch carries the version that it was made from, so nobody else's change in between is overwritten.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from smartops_chaos.kubernetes import objects, patches
from smartops_chaos.kubernetes.cluster import MERGE, Cluster, ClusterError, Gone, Json, path, path_of
from smartops_chaos.kubernetes.controller import DEPLOYMENT
from smartops_chaos.kubernetes.objects import CAMPAIGN, Former
from smartops_chaos.schema.healer_kubernetes import ObjectRef

LOCK = "smartops-chaos"  # the ConfigMap that says whose the namespace is


class InUse(ClusterError):
    """The namespace, or an object in it, belongs to another campaign."""


@dataclass(frozen=True, slots=True)
class ChangedObjects:
    """What one campaign changes in one namespace, and the ledger file of it."""

    cluster: Cluster
    namespace: str
    campaign: str
    ledger: Path | None
    kinds: tuple[str, ...] = (DEPLOYMENT.name,)  # of controllers that it changes
    others: tuple[str, ...] = ()  # kinds of other objects, as `ObjectRef.kind` writes them

    @property
    def _kinds(self) -> tuple[str, ...]:
        """In this order they are put back: what a new pod reads must be there before it."""
        return ("configmap", *self.others, *self.kinds)

    def path(self, kind: str, name: str = "") -> str:
        if ":" in kind:
            return path_of(ObjectRef.collection(kind, self.namespace), name)
        return path(self.namespace, f"{kind}s", name)

    def read(self, kind: str, name: str) -> Json:
        """Raises Gone when there is none."""
        found: Json = self.cluster.request("GET", self.path(kind, name))
        return found

    def set(self, kind: str, name: str, values_of: Callable[[Json], Mapping[str, Any]]) -> Json:
        """The object after these fields are set; those set before that are no longer named are as they were.

        Raises InUse, Gone, ClusterError.
        """

        noted = self._noted().get((kind, name), {})

        def amend(found: Json) -> Json:
            other = (found["metadata"].get("labels") or {}).get(CAMPAIGN)
            if other not in (None, objects.label(self.campaign)):
                raise InUse(f"{kind} {name} in {self.namespace} is still as campaign {other} has set it")
            after = objects.changed(found, self.campaign, values_of(found), noted)
            if saved := objects.former(after):
                self._note(kind, name, saved)
            return after

        return self._replace(kind, name, amend)

    def restore(self) -> list[str]:
        """Put back every object that we changed; what somebody else has changed of it meanwhile. Raises ClusterError.

        Idempotent. Where an object does not say any more what it was, the ledger does. The ledger goes last: a crash
        in between leaves it, and the next call does the rest.
        """
        told: list[str] = []
        for (kind, name), noted in self._ours().items():
            try:
                self._replace(kind, name, self._putting_back(kind, name, noted, told))
            except Gone:
                told.append(f"{kind} {name} is not there any more")
        if self.ledger is not None:
            self.ledger.unlink(missing_ok=True)
        return told

    def former(self) -> dict[tuple[str, str], dict[str, Any]]:
        """What `restore` would put back: kind and name of an object -> its fields. Raises ClusterError."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for (kind, name), noted in self._ours().items():
            with suppress(Gone):
                saved = _saved(self.read(kind, name), noted)
                found[kind, name] = {field: one["was"] for field, one in saved.items()}
        return found

    def insist(self, former: Mapping[tuple[str, str], Mapping[str, Any]]) -> list[str]:
        """Put back once more what somebody has changed since `restore`: those fields. Raises ClusterError."""
        told: dict[str, None] = {}

        def amend(found: Json, what: str, fields: Mapping[str, Any]) -> Json:
            after = copy.deepcopy(found)
            for field, was in fields.items():
                with suppress(KeyError):  # its container is not there any more
                    if objects.get(found, field) != was:
                        objects.put(after, field, was)
                        told[f"{what}: {field} was {objects.shown(was)} before"] = None
            return after

        for (kind, name), fields in former.items():
            with suppress(Gone):
                self._replace(kind, name, partial(amend, what=f"{kind} {name}", fields=fields))
        return list(told)

    def left(self) -> list[str]:
        """Objects that still carry our label, as "kind name"."""
        found = []
        for kind in self._kinds:
            listed = self.cluster.items(self.path(kind), {"labelSelector": CAMPAIGN})
            found += [f"{kind} {one['metadata']['name']}" for one in listed]
        return found

    def _putting_back(self, kind: str, name: str, noted: Former, told: list[str]) -> Callable[[Json], Json]:
        def amend(found: Json) -> Json:
            saved = _saved(found, noted)
            after, surprises = objects.restored(found, saved)
            told.extend(
                f"{kind} {name}: {surprise}; put back to what it was before the campaign" for surprise in surprises
            )
            return after

        return amend

    def _ours(self) -> dict[tuple[str, str], Former]:
        """Every object that we changed, with what the ledger says of it.

        Labels find what the ledger does not know, after a crash or from another machine; the ledger finds an object
        whose label somebody has removed.
        """
        noted = self._noted()
        mine = f"{CAMPAIGN}={objects.label(self.campaign)}" if self.campaign else CAMPAIGN
        found: dict[tuple[str, str], Former] = {}
        for kind in self._kinds:
            listed = self.cluster.items(self.path(kind), {"labelSelector": mine})
            names = [one["metadata"]["name"] for one in listed if one["metadata"]["name"] != LOCK]
            for name in dict.fromkeys([*names, *(name for of, name in noted if of == kind)]):
                found[kind, name] = noted.get((kind, name), {})
        return found

    def _replace(self, kind: str, name: str, amend: Callable[[Json], Json]) -> Json:
        """Patch an object to what `amend` makes of it, read anew each time that somebody else was quicker."""

        def once() -> Json:
            found = self.read(kind, name)
            patch = objects.merge_patch(found, amend(found))
            if not patch:
                return found
            patch.setdefault("metadata", {})["resourceVersion"] = found["metadata"]["resourceVersion"]
            answer: Json = self.cluster.request("PATCH", self.path(kind, name), body=patch, content=MERGE)
            return answer

        return self.cluster.amend(f"{kind} {name} in {self.namespace}", once)

    def _note(self, kind: str, name: str, saved: Former) -> None:
        if self.ledger is None:
            return
        self.ledger.parent.mkdir(parents=True, exist_ok=True)
        # For nobody else's eyes: of a Secret it holds the former content.
        number = os.open(self.ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(number, "a", encoding="utf-8") as out:
            out.write(json.dumps({"kind": kind, "name": name, "former": saved}) + "\n")
            out.flush()
            os.fsync(out.fileno())

    def _noted(self) -> dict[tuple[str, str], Former]:
        """Of every object each field: what it was before the first change, and what we last set."""
        found: dict[tuple[str, str], Former] = {}
        if self.ledger is None or not self.ledger.exists():
            return found
        for line in self.ledger.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
                saved = {field: {"was": one["was"], "set": one["set"]} for field, one in entry["former"].items()}
                fields = found.setdefault((str(entry["kind"]), str(entry["name"])), {})
            except (ValueError, KeyError, TypeError, AttributeError):  # torn by a crash, so its patch was never sent
                continue
            for field, one in saved.items():
                fields[field] = {"was": fields.get(field, one)["was"], "set": one["set"]}
        return found


def _saved(found: Json, noted: Former) -> Former:
    """What an object was before: as it says itself, else as the ledger does.

    Then only what still is as we set it: the rest is somebody's who removed our annotation.
    """
    return objects.former(found) or {field: one for field, one in noted.items() if _still_ours(found, field, one)}


def _still_ours(found: Json, field: str, one: dict[str, Any]) -> bool:
    try:
        return bool(patches.holds(objects.get(found, field), one["set"]) and one["set"] != one["was"])
    except KeyError:
        return False
