"""A namespace locked for one campaign, and all that was changed put back when the lock is given up."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smartops_chaos.clock import utc_now
from smartops_chaos.errors import PreflightFailed
from smartops_chaos.kubernetes import drivers, objects, rollout
from smartops_chaos.kubernetes.changes import LOCK, ChangedObjects
from smartops_chaos.kubernetes.cluster import ClusterError, Gone
from smartops_chaos.kubernetes.controller import Controller

OWNER = "owner"  # the file with our name for the lock
_INSIST_S = 10.0  # to have the last word against a healer that is on its way out
_AGAIN_S = 1.0  # a pod without a grace period runs on a little after it is gone
_LAST_ROLLOUT_S = 90.0  # what is put back at the end is also waited for, but not for ever

logger = logging.getLogger("smartops_chaos")


@dataclass(slots=True)
class NamespaceLock:
    """A ConfigMap that says whose the namespace is. The API server makes it once: of two campaigns, one is refused."""

    changed: ChangedObjects
    owner: str
    controllers: tuple[str, ...]  # names of those that are waited for when they are put back
    released: bool = False

    def take(self) -> None:
        """Raises PreflightFailed, ClusterError."""
        name, campaign = self.changed.namespace, objects.label(self.changed.campaign)
        hint = f"wait for that campaign; if it is dead: smartops-chaos revert --cluster {name}"
        data = {"campaign": campaign, "owner": self.owner, "host": socket.gethostname(), "since": utc_now()}
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
        try:
            held = self.changed.read("configmap", LOCK).get("data") or {}
        except Gone:
            return None
        return str(held.get("owner"))

    def release(self) -> str:
        """Put the objects back, then give up the lock; what failed, or nothing. Safe to repeat.

        The lock goes last, and only when nothing is left: until then no other campaign can take the namespace, and a
        person sees by it whose the changes are.
        """
        try:
            if self.holder() not in (self.owner, None):
                self.released = True  # another campaign has it: what we had changed was put back before it could begin
                return ""
            former = self.changed.former()
            for note in self.changed.restore():
                logger.warning("%s: %s", self.changed.namespace, note)
            here = self.changed.cluster
            if changed := self._settle(former):
                return f"{self.changed.namespace}: somebody changes again what was put back: {', '.join(changed)}"
            if in_force := drivers.leaks(here, self.changed.namespace):
                return f"{self.changed.namespace}: still in force: {', '.join(in_force)}"
            self.unlock()
            if left := self.changed.left():
                return f"{self.changed.namespace}: not put back: {', '.join(left)}"
        except ClusterError as error:
            return f"{self.changed.namespace}: not put back: {error}"
        self.released = True
        if self.changed.ledger is not None:
            shutil.rmtree(self.changed.ledger.parent, ignore_errors=True)
        return ""

    def _settle(self, former: Mapping[tuple[str, str], Mapping[str, Any]]) -> list[str]:
        """Wait until all is rolled out, and insist where a healer had a last word; what it does not leave alone.

        Putting back may switch a healer off whose last action is still under way: a patch that it sends after ours. So
        we look again after each rollout, until nobody has changed anything, or for `_INSIST_S`.
        """
        here, name = self.changed.cluster, self.changed.namespace
        until_s = time.monotonic() + _INSIST_S
        while True:
            there = Controller.listed(here, name)
            ours = [there[one] for one in self.controllers if one in there]
            if late := rollout.settle(here, name, ours, _LAST_ROLLOUT_S):
                logger.warning("%s is put back, but %s", name, late)
            again = self.changed.insist(former)
            if not again or time.monotonic() > until_s:
                return again
            logger.warning("%s: changed after it was put back, and put back once more: %s", name, ", ".join(again))
            time.sleep(_AGAIN_S)

    def unlock(self) -> None:
        """Delete the lock, whoever has it; nothing is put back."""
        try:
            self.changed.cluster.request("DELETE", self.changed.path("configmap", LOCK))
        except Gone:
            return


def owner(folder: Path) -> str:
    """Who we are, told apart from a campaign of the same name elsewhere: made once, kept in the lane's folder."""
    file = folder / OWNER
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with file.open("w", encoding="ascii") as out:
            out.write(uuid.uuid4().hex)
            out.flush()
            os.fsync(out.fileno())
    return file.read_text(encoding="ascii")
