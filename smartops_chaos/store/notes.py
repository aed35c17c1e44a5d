"""What a trial notes down while it runs: its clock, and each activity bracketed, as files in its folder's `samples/`.

Chaos Toolkit calls activities by name, each on its own: this is how they, the control and the trial's process share it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from smartops_chaos.clock import Clock
from smartops_chaos.model import Call, Interval

_ACTIVITY = re.compile(r"(gate|inject|confirm|wait|end|observe|revert)(?:-(\d+))?(?:\.\d+)?")


def requests_file(trial_dir: Path) -> Path:
    return trial_dir / "samples" / "requests.csv"


def anchor(trial_dir: Path) -> Clock:
    """Set the trial's clock and the moment from which signals of the healer count."""
    samples = trial_dir / "samples"
    samples.mkdir(parents=True, exist_ok=True)
    (samples / "calls.ndjson").unlink(missing_ok=True)
    clock = Clock.anchored()
    content = {"anchor_ns": clock.anchor_ns, "since_ns": clock.now_ns()}
    (samples / "clock.json").write_text(json.dumps(content), encoding="utf-8")
    return clock


def clock_of(trial_dir: Path) -> tuple[Clock, int]:
    """The trial's clock, and since when."""
    content = json.loads((trial_dir / "samples" / "clock.json").read_text(encoding="utf-8"))
    return Clock(content["anchor_ns"]), content["since_ns"]


def calls(trial_dir: Path) -> tuple[Call, ...]:
    """Every activity of the experiment, in order of its end; one that never ended is not ok and ends where it began."""
    file = trial_dir / "samples" / "calls.ndjson"
    begun: dict[str, int] = {}
    ended: list[Call] = []
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    for line in text.split("\n")[:-1]:  # a last line without its end was cut off while it was written
        entry = json.loads(line)
        if "begin_ns" in entry:
            begun[entry["name"]] = entry["begin_ns"]
        else:
            at = Interval(begun.pop(entry["name"], entry["end_ns"]), entry["end_ns"])
            ended.append(Call(*kind(entry["name"]), at, entry["ok"], entry["output"], entry["error"]))
    cut = [Call(*kind(name), Interval(at, at), False, None, "cut off") for name, at in begun.items()]
    return tuple(ended + cut)


def note_load(trial_dir: Path, load: dict[str, Any] | None) -> None:
    """How busy the service was when the gate ended, as the lane tells."""
    (trial_dir / "samples" / "before.json").write_text(json.dumps(load), encoding="utf-8")


def load(trial_dir: Path) -> dict[str, Any]:
    """What `note_load` has noted; empty where the lane could not tell, or no gate was reached."""
    file = trial_dir / "samples" / "before.json"
    return (json.loads(file.read_text(encoding="utf-8")) or {}) if file.exists() else {}


def is_ours(name: str) -> bool:
    """Whether a trial's activities have such a name."""
    return _ACTIVITY.fullmatch(name) is not None


def kind(name: str) -> tuple[str, int]:
    """What an activity of that name does, and for which part of the fault: `Call.what` and `Call.part`."""
    match = _ACTIVITY.fullmatch(name)
    if match is None:
        return name, -1
    what = "revert" if match[1] == "end" else match[1]
    return what, int(match[2] or 0) if what in ("inject", "confirm", "revert") else -1


def note(trial_dir: Path, entry: dict[str, Any]) -> None:
    with (trial_dir / "samples" / "calls.ndjson").open("a", encoding="utf-8") as out:
        out.write(json.dumps(entry, default=str) + "\n")


def failure(run: dict[str, Any]) -> str:
    """Why an activity has failed; empty if it has not.

    For Chaos Toolkit a process has succeeded whatever its exit code, and a request whatever its answer.
    """
    if run.get("status") != "succeeded":
        return str((run.get("exception") or ["cut off"])[-1]).strip()
    provider: str = run["activity"]["provider"]["type"]
    output: Any = run.get("output")
    if provider == "process" and output["status"] != 0:
        return f"exit code {output['status']}: {output['stderr'].strip()[-300:]}"
    if provider == "http" and output["status"] >= 400:
        return f"HTTP {output['status']}: {str(output['body'])[:300]}"
    return ""
