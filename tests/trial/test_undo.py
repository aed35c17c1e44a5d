"""A trial undone by a later process, from whatever is left of its folder."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos import api
from smartops_chaos.errors import PreflightFailed, RevertFailed, UsageError
from smartops_chaos.model import FaultPart
from smartops_chaos.processes import running, signature, started
from smartops_chaos.run import campaign, status
from smartops_chaos.schema import faultfile
from smartops_chaos.store.campaign_folder import CampaignFolder
from smartops_chaos.store.jsonfiles import content, unpacked
from smartops_chaos.store.trial_folder import TrialFolder
from smartops_chaos.trial import child, experiment
from smartops_chaos.trial.activities import failure, undone

HERE = {"type": "python", "module": "json", "func": "dumps", "arguments": {"obj": 1}}


@pytest.fixture
def opened(matrix: Path, tmp_path: Path) -> Callable[..., TrialFolder]:
    """An open trial, whose rollbacks are programs."""
    plan = api.plan(matrix)

    def make(*scripts: str, limit_s: float = 30.0, **more: Any) -> TrialFolder:
        trial = plan.trials[0]
        rollbacks = [
            {
                "type": "action",
                "name": "revert",
                "provider": {"type": "process", "path": sys.executable, "arguments": ["-c", script]},
                **more,
            }
            for script in scripts
        ]
        definition = {
            "method": [{"type": "action", "name": name, "provider": HERE} for name in ("inject", "confirm")],
            "rollbacks": rollbacks,
            "extensions": [{"name": "smartops-chaos", "limit_s": limit_s}],
        }
        part = FaultPart("own.yaml", "own", True, {}, definition)
        chaos = replace(plan.chaos[trial.chaos], parts=(replace(part, definition={}),))
        job = experiment.Job(
            campaign="c",
            trial=trial,
            attempt=1,
            target=plan.target,
            lane="lane-1",
            environment={
                "SMARTOPS_LANE": str(tmp_path / "no-lane.json"),
                "SMARTOPS_WORKLOAD_URL": "http://127.0.0.1:9",
            },
            model=plan.models[trial.model],
            policy=plan.policies[trial.policy],
            chaos=chaos,
            rate_per_s=40.0,
            slo=plan.analysis.slo,
            stop_after_good_s=1.0,
            healer=plan.healer,
            fault_ids=("f.0",),
        )
        folder = CampaignFolder(tmp_path / "results" / "c-1").trial(trial.id)
        folder.begin(experiment.build(job, (part,)), job.fault_ids)
        folder.start_clock()
        return folder

    return make


def undo(folder: TrialFolder) -> int:
    """As the runner does it, and without its fork server."""
    code = (
        "import sys; from pathlib import Path; from smartops_chaos.trial import child\n"
        "from smartops_chaos.store.trial_folder import TrialFolder\n"
        f"sys.exit(child.run(TrialFolder(Path({str(folder.path)!r})), undo=True))"
    )
    return subprocess.run([sys.executable, "-c", code], timeout=120).returncode


@pytest.mark.parametrize("damage", [b"", b"[]", b"null", b'"x"', b'{"state": "op', b"\xff\xfe", b'{"state": 5}'])
def test_a_damaged_ledger_is_open_and_can_be_closed(opened: Any, damage: bytes) -> None:
    folder = opened("pass")
    (folder.path / "ledger.json").write_bytes(damage)
    store = CampaignFolder(folder.path.parents[1])
    assert [trial.path for trial in store.open_ledgers()] == [folder.path]
    assert status.state(store)["open"] == [folder.path.name]
    folder.close()
    assert not folder.is_open()


def test_a_ledger_that_was_lost_is_open(opened: Any) -> None:
    folder = opened("pass")
    (folder.path / "ledger.json").unlink()
    assert not folder.is_open()  # nothing had begun
    folder.note({"name": "inject", "begin_ns": 1})
    assert folder.is_open()


@pytest.mark.parametrize("damage", [b"", b"[]", b"null", b'{"extensions": [', b"{}", b'{"extensions": [{"job": 5}]}'])
def test_an_experiment_that_cannot_be_read_is_no_all_clear(opened: Any, damage: bytes) -> None:
    folder = opened("pass")
    folder.experiment.write_bytes(damage)
    assert child.run(folder, undo=True) == RevertFailed.exit_code
    told = folder.log.read_text(encoding="utf-8")
    assert "what is in force is not known" in told
    assert "Traceback" not in told
    assert folder.is_open()


def test_a_stray_file_beside_the_trials_stops_nothing(opened: Any) -> None:
    folder = opened("pass")
    for name in (".DS_Store", ".nfs000", "notes.txt"):
        (folder.path.parent / name).write_text("x", encoding="utf-8")
    assert campaign.revert(CampaignFolder(folder.path.parents[1])) == 1


def test_what_has_succeeded_is_not_played_again(opened: Any, tmp_path: Path) -> None:
    """Nor what may not be done twice; and what failed is tried again, by its own tolerance."""
    count = f"open({str(tmp_path / 'played')!r}, 'a').write('%s')"
    works = f"import os; {count % 'b'}; raise SystemExit(not os.path.exists({str(tmp_path / 'mended')!r}))"
    folder = opened(count % "a", works)
    assert undo(folder) == RevertFailed.exit_code
    assert folder.is_open()
    (tmp_path / "mended").touch()
    assert undo(folder) == 0
    assert not folder.is_open()
    assert (tmp_path / "played").read_text(encoding="utf-8") == "abb"


def test_after_another_injection_every_rollback_counts_again(opened: Any) -> None:
    folder = opened("pass", "pass")
    for name, ok in (("inject", True), ("revert.0", True), ("revert.1", False)):
        folder.note({"name": name, "begin_ns": 1})
        folder.note({"name": name, "end_ns": 2, "ok": ok, "output": None, "error": "" if ok else "no"})
    assert undone(folder) == {"revert.0"}
    folder.note({"name": "inject", "begin_ns": 3})
    assert undone(folder) == frozenset()


@pytest.mark.parametrize(("tolerance", "code"), [(3, 0), ([0, 3], 0), (0, RevertFailed.exit_code)])
def test_a_rollbacks_own_tolerance_decides(opened: Any, tolerance: Any, code: int) -> None:
    folder = opened("raise SystemExit(3)", tolerance=tolerance)
    assert undo(folder) == code


@pytest.mark.parametrize(
    ("name", "method", "status", "failed"),
    [
        ("revert", "DELETE", 404, False),
        ("revert", "DELETE", 410, False),
        ("revert", "POST", 404, True),
        ("inject", "DELETE", 404, True),
        ("revert", "DELETE", 500, True),
    ],
)
def test_what_shall_be_deleted_and_is_gone_is_undone(name: str, method: str, status: int, failed: bool) -> None:
    activity = {"name": name, "provider": {"type": "http", "method": method}}
    run = {"status": "succeeded", "activity": activity, "output": {"status": status, "body": "gone"}}
    assert bool(failure(run)) is failed


def test_no_shipped_fault_takes_longer_than_whoever_undoes_it_waits(opened: Any) -> None:
    one = opened("pass", "pass", limit_s=150.0).read_experiment()
    assert experiment.limits(one).undo_s > 2 * 150
    for target in ("lab", "kubernetes"):
        for path in faultfile.shipped_faults(target).values():
            definition = faultfile.load(path).definition
            ours = next(one for one in definition["extensions"] if one["name"] == "smartops-chaos")
            own_s = len(definition["rollbacks"]) * float(ours.get("limit_s", 30.0))
            assert experiment.limits(_with(one, definition, ours)).undo_s > own_s


def _with(built: dict[str, Any], definition: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """The experiment with a fault file's rollbacks in place of its own."""
    (control,) = built["controls"]
    control["provider"]["arguments"]["limit_s"] = experiment.limit_s(FaultPart("x", "x", True, {}, definition))
    assert control["provider"]["arguments"]["limit_s"] == float(ours.get("limit_s", 30.0))
    return {**built, "rollbacks": definition["rollbacks"]}


def test_a_holder_that_was_suspended_is_woken_up(opened: Any) -> None:
    folder = opened("pass")
    code = (
        "import sys; from pathlib import Path; from smartops_chaos.store.trial_folder import TrialFolder\n"
        f"with TrialFolder(Path({str(folder.path)!r})).held(): print('held', flush=True); sys.stdin.readline()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(PreflightFailed, match=f"in use by process {holder.pid}"), folder.held(patience_s=0.1):
            pass
        holder.send_signal(signal.SIGSTOP)
        holder.stdin.write(b"\n")  # what it waits for: it would end, if it ran
        holder.stdin.flush()
        with folder.held(patience_s=60):
            assert holder.wait(60) == 0


def test_a_number_that_another_process_has_by_now_is_not_the_holder() -> None:
    assert running(signature()) == os.getpid()
    assert running(f"{os.getpid()} {started(os.getpid()) + 1}") == 0
    for damaged in ("", "x y", "1", "-1 5", f"{2**40} 5"):
        assert running(damaged) == 0


def test_a_lock_that_leads_elsewhere_empties_nothing(opened: Any, tmp_path: Path) -> None:
    folder = opened("pass")
    mine = tmp_path / "mine"
    mine.write_text("precious", encoding="utf-8")
    (folder.path / ".lock").symlink_to(mine)
    with pytest.raises(PreflightFailed, match="cannot be used"), folder.held():
        pass
    (folder.path.parents[1] / ".lock").symlink_to(mine)
    with pytest.raises(PreflightFailed), CampaignFolder(folder.path.parents[1]).locked():
        pass
    assert mine.read_text(encoding="utf-8") == "precious"


def test_a_file_that_is_none_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    (tmp_path / "large").write_bytes(b"x" * 100)
    (tmp_path / "folder").mkdir()
    begun = time.monotonic()
    for name in ("pipe", "link", "folder"):
        with pytest.raises((UsageError, IsADirectoryError)):
            content(tmp_path / name)
    with pytest.raises(UsageError, match="has 100 bytes"):
        content(tmp_path / "large", largest=99)
    (tmp_path / "bomb").write_bytes(gzip.compress(b"0" * 10**6))
    with pytest.raises(UsageError, match="holds more than"):
        unpacked(tmp_path / "bomb", largest=10**5)
    assert time.monotonic() - begun < 60
    assert json.loads(unpacked(tmp_path / "bomb")[:1]) == 0
