"""A namespace taken for one campaign: a lock in it, and all that was changed put back when it is given up."""

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
from smartops_chaos.kubernetes import faultfacts, objects, rollout
from smartops_chaos.kubernetes.changes import LOCK, Namespace
from smartops_chaos.kubernetes.cluster import ClusterError, Gone, path

OWNER = "owner"  # the file with our name for the lock
_INSIST_S = 10.0  # to have the last word against a healer that is on its way out
_AGAIN_S = 1.0  # a pod without a grace period runs on a little after it is gone
_LAST_ROLLOUT_S = 90.0  # what is put back at the end is also waited for, but not for ever

logger = logging.getLogger("smartops_chaos")


@dataclass(slots=True)
class Taken:
    """A namespace with its lock: a ConfigMap that says whose it is."""

    objects: Namespace
    owner: str
    deployments: tuple[str, ...]
    released: bool = False

    def take(self) -> None:
        """Raises PreflightFailed, ClusterError."""
        name, campaign = self.objects.name, objects.label(self.objects.campaign)
        hint = f"wait for that campaign; if it is dead: smartops-chaos revert --cluster {name}"
        started = utc_now()
        data = {"campaign": campaign, "owner": self.owner, "host": socket.gethostname(), "since": started}
        meta = {"name": LOCK, "labels": {objects.CAMPAIGN: campaign}}
        try:
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
            self.objects.cluster.request("POST", self.objects.path("configmap"), body=body)
        except ClusterError as error:
            if error.status != 409:
                raise
            held = self.objects.read("configmap", LOCK).get("data") or {}
            if held.get("owner") != self.owner:
                whose = f"campaign {held.get('campaign')} on {held.get('host')} since {held.get('since')}"
                raise PreflightFailed(f"the namespace {name} is in use by {whose}", hint) from None
            return
        if left := [one for one in self.objects.left() if one != f"configmap {LOCK}"]:
            self.unlock()
            raise PreflightFailed(f"{name} is still as an earlier campaign has set it: {', '.join(left)}", hint)

    def holder(self) -> str | None:
        """The owner of the lock, None without one. Raises ClusterError."""
        try:
            held = self.objects.read("configmap", LOCK).get("data") or {}
        except Gone:
            return None
        return str(held.get("owner"))

    def release(self) -> str:
        """Put the objects back, then give up the lock; what failed, or nothing. Safe to repeat."""
        try:
            if self.holder() not in (self.owner, None):
                self.released = True  # another campaign has it: what we had changed was put back before it could begin
                return ""
            former = self.objects.former()
            for note in self.objects.restore():
                logger.warning("%s: %s", self.objects.name, note)
            here = self.objects.cluster
            if changed := self._settle(former):
                return f"{self.objects.name}: somebody changes again what was put back: {', '.join(changed)}"
            if in_force := faultfacts.leaks(here, self.objects.name):
                return f"{self.objects.name}: still in force: {', '.join(in_force)}"
            self.unlock()
            if left := self.objects.left():
                return f"{self.objects.name}: not put back: {', '.join(left)}"
        except ClusterError as error:
            return f"{self.objects.name}: not put back: {error}"
        self.released = True
        if self.objects.ledger is not None:
            shutil.rmtree(self.objects.ledger.parent, ignore_errors=True)
        return ""

    def _settle(self, former: Mapping[tuple[str, str], Mapping[str, Any]]) -> list[str]:
        """Wait until all is rolled out, and insist where a healer had a last word; what it does not leave alone."""
        here, name = self.objects.cluster, self.objects.name
        until_s = time.monotonic() + _INSIST_S
        while True:
            there = here.request("GET", path(name, "deployments"))["items"]
            names = [one["metadata"]["name"] for one in there if one["metadata"]["name"] in self.deployments]
            if late := rollout.settle(here, name, names, _LAST_ROLLOUT_S):
                logger.warning("%s is put back, but %s", name, late)
            again = self.objects.insist(former)
            if not again or time.monotonic() > until_s:
                return again
            logger.warning("%s: changed after it was put back, and put back once more: %s", name, ", ".join(again))
            time.sleep(_AGAIN_S)

    def unlock(self) -> None:
        try:
            self.objects.cluster.request("DELETE", self.objects.path("configmap", LOCK))
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
