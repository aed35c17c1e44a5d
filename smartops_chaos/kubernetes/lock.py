"""A namespace locked for one campaign, and all that was changed put back when the lock is given up."""

from __future__ import annotations

import json
import logging
import math
import shutil
import socket
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smartops_chaos.clock import utc_now
from smartops_chaos.errors import PreflightFailed, RevertFailed
from smartops_chaos.kubernetes import drivers, objects, rollout
from smartops_chaos.kubernetes.changes import LOCK, ChangedObjects
from smartops_chaos.kubernetes.cluster import ClusterError, Gone, NamespaceGone
from smartops_chaos.kubernetes.controller import Controller
from smartops_chaos.kubernetes.identity import Identity
from smartops_chaos.store.jsonfiles import to_json, write_atomically

OWNER = "owner"  # the file with our name for the lock
_LEGACY = 32  # characters of what earlier versions wrote there
_INSIST_S = 10.0  # to have the last word against a healer that is on its way out
_AGAIN_S = 1.0  # a pod without a grace period runs on a little after it is gone
_QUIET_S = 5.0  # who has changed it once and looks every few seconds has then had another turn
_LAST_ROLLOUT_S = 90.0  # what is put back at the end is also waited for, but not for ever

logger = logging.getLogger("smartops_chaos")


@dataclass(slots=True)
class NamespaceLock:
    """A ConfigMap that says whose the namespace is. The API server makes it once: of two campaigns, one is refused."""

    changed: ChangedObjects
    owner: str
    controllers: tuple[str, ...]  # names of those that are waited for when they are put back
    identity: Identity | None = None  # of the namespace; None in what an earlier version has written
    released: bool = False

    def take(self) -> None:
        """Raises PreflightFailed, ClusterError."""
        name, campaign = self.changed.namespace, objects.label(self.changed.campaign)
        hint = f"wait for that campaign; if it is dead: smartops-chaos revert --cluster {name}"
        data = {"campaign": campaign, "owner": self.owner, "host": socket.gethostname(), "since": utc_now()}
        data |= {"namespace": str(self.identity or name), "kinds": " ".join(self.changed.kinds)}
        if self.changed.others:
            data["objects"] = " ".join(self.changed.others)
        meta = {"name": LOCK, "labels": {objects.CAMPAIGN: campaign}}
        try:
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
            self.changed.cluster.request("POST", self.changed.path("configmap"), body=body)
        except ClusterError as error:
            if error.status != 409:
                raise
            held = self.changed.read("configmap", LOCK).get("data") or {}
            if held.get("owner") != self.owner:  # ours: the campaign goes on where a killed runner left it
                whose = f"campaign {held.get('campaign')} on {held.get('host')} since {held.get('since')}"
                raise PreflightFailed(f"the namespace {name} is in use by {whose}", hint) from None
            return
        if left := [one for one in self.changed.left() if one != f"configmap {LOCK}"]:
            self.unlock()
            raise PreflightFailed(f"{name} is still as an earlier campaign has set it: {', '.join(left)}", hint)

    def holder(self) -> str | None:
        """The owner of the lock, None without one. Raises ClusterError."""
        held = self.held()
        return None if held is None else str(held.get("owner"))

    def held(self) -> dict[str, str] | None:
        """What the lock says, None without one. Raises ClusterError."""
        try:
            found = self.changed.read("configmap", LOCK).get("data")
        except NamespaceGone:
            raise
        except Gone:
            return None
        return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}

    def release(self) -> str:
        """Put the objects back, then give up the lock; what failed, or nothing. Safe to repeat.

        The lock goes last, and only when nothing is left: until then no other campaign can take the namespace, and a
        person sees by it whose the changes are.
        """
        try:
            holder = self.holder()
            if holder not in (self.owner, None):
                self.released = True  # another campaign has it: what we had changed was put back before it could begin
                return ""
            if holder is None and self.identity is None:  # nothing says that this is the cluster on which it ran
                return (
                    f"{self.changed.namespace}: {self.changed.cluster.where} has no lock of this campaign: choose "
                    "the context on which it ran; if this is it, `smartops-chaos revert --cluster` says what is left"
                )
            former = self.changed.former()
            for note in self.changed.restore():
                logger.warning("%s: %s", self.changed.namespace, note)
            here = self.changed.cluster
            if changed := self._settle(former):
                return f"{self.changed.namespace}: somebody changes again what was put back: {', '.join(changed)}"
            if in_force := drivers.leaks(here, self.changed.namespace, self.changed.kinds):
                return f"{self.changed.namespace}: still in force: {', '.join(in_force)}"
            self.unlock()
            if left := self.changed.left():
                return f"{self.changed.namespace}: not put back: {', '.join(left)}"
        except NamespaceGone as gone:
            logger.warning("%s", gone)
        except ClusterError as error:
            return f"{self.changed.namespace}: not put back: {error}"
        self.released = True
        if self.changed.ledger is not None:
            shutil.rmtree(self.changed.ledger.parent, ignore_errors=True)
        return ""

    def _settle(self, former: Mapping[tuple[str, str], Mapping[str, Any]]) -> list[str]:
        """Wait until all is rolled out, and insist where a healer had a last word; what it does not leave alone.

        Putting back may switch a healer off whose last action is still under way: a patch that it sends after ours. So
        we look again after each rollout, and once somebody has changed something, until nobody has for `_QUIET_S`. Who
        still does after `_INSIST_S` will not stop.
        """
        here, name = self.changed.cluster, self.changed.namespace
        until_s, quiet_from_s = time.monotonic() + _INSIST_S, -math.inf
        while True:
            there = Controller.listed(here, name, self.controllers)
            ours = [there[one] for one in self.controllers if one in there]
            if late := rollout.settle(here, name, ours, _LAST_ROLLOUT_S):
                logger.warning("%s is put back, but %s", name, late)
            again = self.changed.insist(former)
            now_s = time.monotonic()
            if not again and now_s - quiet_from_s > _QUIET_S:
                return []
            if again and now_s > until_s:
                return again
            if again:
                logger.warning("%s: changed after it was put back, and put back once more: %s", name, ", ".join(again))
                quiet_from_s = now_s
            time.sleep(_AGAIN_S)

    def unlock(self) -> None:
        """Delete the lock, whoever has it; nothing is put back."""
        try:
            self.changed.cluster.request("DELETE", self.changed.path("configmap", LOCK))
        except Gone:
            return


def owner(folder: Path, identity: Identity | None = None) -> tuple[str, Identity | None]:
    """Who we are, told apart from a campaign of the same name elsewhere, and which namespace it is that we have.

    Made once, with `identity`, and kept in the lane's folder; earlier versions wrote only the first.
    Raises RevertFailed for a file that was damaged: then nobody knows who we are.
    """
    file = folder / OWNER
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(file, to_json({"owner": uuid.uuid4().hex, "namespace": str(identity or "")}))
    try:
        text = file.read_text(encoding="utf-8")
        if not text.startswith("{"):
            if len(text) != _LEGACY:
                raise ValueError("it was cut off")
            return text, None
        found = json.loads(text)
        told = found["namespace"]
        return str(found["owner"]), Identity.parse(told) if told else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RevertFailed(
            f"{file} cannot be read: {error}: it says whose the changes on the cluster are",
            f"smartops-chaos revert --cluster {folder.name}",
        ) from None
