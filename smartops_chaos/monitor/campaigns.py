"""What a results folder says while a monitor runs beside it: faults in force, lanes at work, the last campaign's MTTR.

A campaign is read by what it writes down for everybody: the ledger that is open while something may be in force, and
the notes of its activities. Its numbers come from `smartops-chaos report --json` in a process of its own, since the
statistics would take more memory than the whole monitor.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smartops_chaos.errors import ChaosError
from smartops_chaos.store.campaign_folder import CampaignFolder, campaigns
from smartops_chaos.store.trial_folder import TrialFolder
from smartops_chaos.trial import activities

_FRESH_S = 3600.0  # a campaign that has written nothing for so long is over
_REPORT = "from smartops_chaos.cli.commands import main; main()"
_REPORT_S = 120.0
_TAIL = 4000  # bytes of a trial's log
_KEPT_S = 600.0  # a fault that is over is told as 0 for so long


@dataclass(frozen=True, slots=True)
class FaultInForce:
    """`lo_ns` and `hi_ns`: from the beginning of its injection to the end of its revert; None while in force."""

    namespace: str
    fault: str  # the chaos level's name
    campaign: str
    trial: str
    lo_ns: int
    hi_ns: int | None

    @property
    def name(self) -> str:
        return f"{self.campaign}/{self.trial}"


class CampaignMarks:
    """`results`: the folder of campaigns; None: there is none."""

    def __init__(self, results: Path | None) -> None:
        self._results = results
        self._closed: set[Path] = set()
        self._over: list[FaultInForce] = []
        self.faults: list[FaultInForce] = []  # in force, or over for a short while
        self.lanes: list[dict[str, str]] = []  # trials that run: campaign, trial and the phase that it is in
        self._told: dict[Path, float] = {}
        self._mttr: dict[str, dict[str, float]] = {}

    def look(self) -> None:
        """Read what is new."""
        active, lanes = [], []
        for campaign in self._fresh():
            for trial in self._unread(campaign):
                done = trial.record.exists()
                found = _fault(campaign, trial)
                if found is not None and found.hi_ns is None:
                    active.append(found)
                elif found is not None:
                    self._over.append(found)
                if done or (found is not None and found.hi_ns is not None):
                    self._closed.add(trial.path)
                if not done and trial.is_open():
                    lanes.append({"campaign": campaign.name, "trial": trial.path.name, "phase": _last_phase(trial)})
        self.lanes = lanes
        before_ns = time.time_ns() - round(_KEPT_S * 1e9)
        self._over = [one for one in self._over if (one.hi_ns or 0) > before_ns]
        self.faults = [*self._over, *active]

    def in_force(self, namespace: str, begin_ns: int, end_ns: int) -> str:
        """The name of a fault that was in force in a namespace between two moments; empty without one."""
        for one in self.faults:
            if one.namespace == namespace and one.lo_ns <= end_ns and (one.hi_ns is None or one.hi_ns >= begin_ns):
                return one.name
        return ""

    def active(self) -> dict[tuple[str, str, str], bool]:
        """By namespace, fault and campaign whether it is in force, also of those that ended a short while ago."""
        found: dict[tuple[str, str, str], bool] = {}
        for one in self.faults:
            key = one.namespace, one.fault, one.campaign
            found[key] = found.get(key, False) or one.hi_ns is None
        return found

    def mttr(self) -> Mapping[str, Mapping[str, float]]:
        """Of the last campaign that is over: arm -> estimate, low and high in seconds."""
        there = campaigns(self._results) if self._results else []
        done = [one for one in there if one.has_begun() and _is_over(one)]
        newest = max(done, key=lambda one: one.path.stat().st_mtime, default=None)
        if newest is not None and self._told.get(newest.path) != newest.path.stat().st_mtime:
            self._told[newest.path] = newest.path.stat().st_mtime
            self._mttr = _mttr(newest.path) or self._mttr
        return self._mttr

    def _fresh(self) -> list[CampaignFolder]:
        there = campaigns(self._results, headless=True) if self._results and self._results.is_dir() else []
        return [one for one in there if time.time() - _touched(one) < _FRESH_S]

    def _unread(self, campaign: CampaignFolder) -> list[TrialFolder]:
        folders = campaign.path.glob("trials/*")
        return [TrialFolder(one) for one in sorted(folders) if one not in self._closed and one.is_dir()]


def _is_over(campaign: CampaignFolder) -> bool:
    """A runner in another pod is not seen from here: it has said that it is done, or has been silent for long."""
    said = campaign.last_event().get("event", "CampaignFinished")  # a copy may have come without what was said
    silent = time.time() - _touched(campaign) > _FRESH_S
    return not campaign.runner() and (said == "CampaignFinished" or silent)


def _touched(campaign: CampaignFolder) -> float:
    files = [campaign.path, campaign.path / "trials", campaign.events_file]
    return max((one.stat().st_mtime for one in files if one.exists()), default=0.0)


def _fault(campaign: CampaignFolder, trial: TrialFolder) -> FaultInForce | None:
    """What its notes say; None before anything was injected, and for a trial whose files cannot be read."""
    try:
        noted = activities.calls(trial)
        injected = [one.at.lo_ns for one in noted if one.what == "inject"]
        if not injected:
            return None
        job = trial.read_experiment()["extensions"][0]["job"]
        namespace = job["environment"].get("SMARTOPS_NAMESPACE") or job["lane"]
        fault = job["trial"]["chaos"]
    except (ChaosError, OSError, ValueError, KeyError, IndexError, TypeError, AttributeError):
        return None  # half-written, or of another version: then nothing is told of it
    reverted = [one.at.hi_ns for one in noted if one.what == "revert" and one.ok]
    hi_ns = None if trial.is_open() else max(reverted, default=time.time_ns())
    return FaultInForce(str(namespace), str(fault), campaign.name, trial.path.name, min(injected), hi_ns)


def _last_phase(trial: TrialFolder) -> str:
    """The phase that its log names last."""
    try:
        with trial.log.open("rb") as file:
            file.seek(max(0, trial.log.stat().st_size - _TAIL))
            found = re.findall(r"phase ([a-z ]+)", file.read(_TAIL).decode("utf-8", "replace"))
    except OSError:
        return ""
    return found[-1] if found else ""


def _mttr(campaign: Path) -> dict[str, dict[str, float]]:
    """Of each arm; empty where there is no report to be had."""
    command = [sys.executable, "-c", _REPORT, "report", str(campaign), "--json"]
    try:
        told = subprocess.run(command, capture_output=True, timeout=_REPORT_S, check=True)
        arms: list[dict[str, Any]] = json.loads(told.stdout)["arms"]
        found = {}
        for arm in arms:
            name = arm["model"] if arm["policy"] == "default" else f"{arm['model']} / {arm['policy']}"
            bounds = {"estimate": arm["mttr"]["rmst_s"], "low": arm["mttr"]["lo"], "high": arm["mttr"]["hi"]}
            found[name] = {bound: float(value) for bound, value in bounds.items() if value is not None}
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        return {}
    return found
