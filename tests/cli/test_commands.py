"""The command line through its real entry point; what starts the lab is in tests/run/test_on_lab.py."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos import api
from smartops_chaos.model import Finding
from smartops_chaos.store.campaign_folder import CampaignFolder, Start


def test_a_misspelt_key_and_a_bad_unit_are_told_at_once_with_their_places(cli: Any, matrix: Path) -> None:
    text = matrix.read_text(encoding="utf-8").replace("repeats:", "repeat:").replace("250ms", "250")
    matrix.write_text(text, encoding="utf-8")
    done = cli("plan", "small.yaml")
    assert done.returncode == 2
    assert "small.yaml:11:1: unknown key `repeat`: did you mean `repeats`?" in done.stderr
    assert "small.yaml:14:16: latency: 250 has no unit: write 250s, 250ms, 250m, 250h or 250d" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"\x00\xff\xfe binary", "bad.yaml"), (b"a: [", "bad.yaml"), (b"", "bad.yaml"), (b"- 1\n", "bad.yaml")],
)
def test_what_is_no_matrix_is_refused_without_a_traceback(cli: Any, tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "bad.yaml").write_bytes(content)
    done = cli("run", "bad.yaml")
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_directory_or_a_missing_file_is_no_matrix(cli: Any) -> None:
    assert cli("run", ".").returncode == 2
    assert cli("plan", "nowhere.yaml").returncode == 2


def test_plan_writes_nothing_and_is_json_for_programs(cli: Any, matrix: Path, tmp_path: Path) -> None:
    told = json.loads(cli("plan", matrix, "--json").stdout)
    assert told["schema_version"] == 1
    assert {trial["id"] for trial in told["trials"]} == {
        "cpu.steady.off.default.1",
        "cpu.steady.zscore.default.1",
        "none.steady.zscore.default.1",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


def test_an_empty_selection_has_a_code_of_its_own(cli: Any, matrix: Path) -> None:
    assert cli("plan", matrix, "--only", "chaos=none,model=off").returncode in (2, 3)
    assert cli("plan", matrix, "--only", "chaos=none", "--only", "model=off").returncode == 3


def test_init_writes_a_matrix_that_plans_as_it_stands(cli: Any, tmp_path: Path) -> None:
    assert cli("init", "my").returncode == 0
    assert cli("plan", "my/matrix.yaml").returncode == 0
    again = cli("init", "my")
    assert again.returncode == 2
    assert "already exist" in again.stderr
    assert json.loads(cli("init", "--schema").stdout)["type"] == "object"
    assert (tmp_path / "my" / "policies" / "default.policy").exists()


def test_doctor_tells_every_check(cli: Any, matrix: Path) -> None:
    checks = json.loads(cli("doctor", matrix, "--json").stdout)
    assert {"what", "ok", "mend", "note"} == set(checks[0])
    assert any("prometheus" in check["what"] or "everything is there" in check["what"] for check in checks)
    (machine,) = [check for check in checks if check["what"].startswith("machine: ") and "usable" in check["what"]]
    assert machine["ok"], "a busy machine fails no check: it may be quiet when a campaign starts"
    assert "timers late by" in machine["what"]


def test_without_a_campaign_report_and_revert_say_what_to_do(cli: Any) -> None:
    for name in ("report", "revert", "derive"):
        done = cli(name)
        assert done.returncode == 3
        assert "smartops-chaos run" in done.stderr
    assert cli("report", "nowhere").returncode == 2


def test_a_bare_trials_table_gives_a_report(cli: Any, tmp_path: Path) -> None:
    rows = ["chaos,workload,model,policy,outcome,time_s,horizon_s"]
    rows += [f"kill,steady,off,default,platform,{20 + n},30" for n in range(5)]
    rows += [f"kill,steady,NA,default,healed,{2 + n / 10},30" for n in range(5)]
    (tmp_path / "trials.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    refused = cli("report", "trials.csv")
    assert refused.returncode == 2
    assert "--baseline model=off,policy=default" in refused.stderr
    done = cli("report", "trials.csv", "--baseline", "model=off,policy=default", "--json")
    arms = {arm["model"]: arm for arm in json.loads(done.stdout)["arms"]}
    assert arms["NA"]["mttr"]["rmst_s"] == pytest.approx(2.2)
    checked = cli("report", "trials.csv", "--baseline", "model=off,policy=default", "--json", "--check")
    assert checked.returncode == 1


def test_a_ci_job_gets_its_files_and_annotations(cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ["chaos,workload,model,policy,outcome,time_s,horizon_s"]
    rows += [f"kill,steady,{arm},default,platform,{20 + n},30" for n in range(3) for arm in ("off", "on")]
    (tmp_path / "trials.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    asked = ["report", "trials.csv", "--baseline", "model=off,policy=default", "--json", "--check"]
    asked += ["--junit", "ci/x.xml", "--prometheus", "ci/x.prom"]
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    assert "::" not in cli(*asked).stderr
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    done = cli(*asked)
    assert done.returncode == 1
    assert "\n::error title=" in f"\n{done.stderr}"
    json.loads(done.stdout)
    assert "smartops_chaos_mttr_seconds{" in (tmp_path / "ci" / "x.prom").read_text(encoding="utf-8")
    assert sorted(path.name for path in (tmp_path / "ci").iterdir()) == ["x.prom", "x.xml"]
    assert "| Verdict |" in (tmp_path / "summary.md").read_text(encoding="utf-8")


SAMPLE = Path(__file__).parents[2] / "results" / "sample"


def test_figures_alone_and_the_course_of_a_trial(cli: Any, tmp_path: Path) -> None:
    trial = "cpu-90.steady.zscore.default.1"
    done = cli("report", SAMPLE, "--figures", "--trial", trial)
    assert done.returncode == 0
    assert [path.name for path in (tmp_path / "reports" / "sample").iterdir()] == ["figures"]
    written = {Path(line).name for line in done.stdout.splitlines()}
    assert {"fig-rates.png", "fig-rates.svg", "fig-rates.md", f"timeline-{trial}.png"} <= written
    assert written == {path.name for path in (tmp_path / "reports" / "sample" / "figures").iterdir()}
    unknown = cli("report", SAMPLE, "--trial", "cpu-90.steady.zscor.default.1")
    assert unknown.returncode == 2
    assert f"did you mean `{trial}`?" in unknown.stderr


def test_windows_alone(cli: Any, tmp_path: Path) -> None:
    done = cli("report", SAMPLE, "--windows")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "reports/sample/windows/README.md"
    assert [path.name for path in (tmp_path / "reports" / "sample").iterdir()] == ["windows"]
    (tmp_path / "trials.csv").write_text("chaos\n", encoding="utf-8")
    refused = cli("report", "trials.csv", "--windows")
    assert refused.returncode == 2
    assert "is no campaign" in refused.stderr


def test_help_and_version(cli: Any) -> None:
    assert "Exit codes" in cli("--help").stdout
    assert cli("--version").stdout.startswith("smartops-chaos 0.")
    assert cli("run").returncode == 2
    assert cli("nonsense").returncode == 2


def test_a_healer_file_is_tried_on_lines_and_its_schema_printed(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "o.log").write_text('INFO POST /v1/signals/anomaly HTTP/1.1" 202 Accepted\nnothing\n', encoding="utf-8")
    done = cli("healer", "check", "smartops", "--logs", "smartops-orchestrator=o.log")
    assert done.returncode == 0
    assert "1 of 2 lines are matched" in done.stdout
    assert cli("healer", "check", "smartops").returncode == 2
    missing = cli("healer", "check", "smartops", "--logs", "a=absent.log")
    assert (missing.returncode, "absent.log: no such file" in missing.stderr) == (2, True)
    assert "kubernetes" in json.loads(cli("healer", "schema").stdout)["properties"]


def test_a_shipped_healer_file_is_printed_to_be_copied(cli: Any, tmp_path: Path) -> None:
    assert "smartops" in cli("healer", "show").stdout.split()
    (tmp_path / "ours.yaml").write_text(cli("healer", "show", "smartops").stdout, encoding="utf-8")
    (tmp_path / "o.log").write_text("nothing\n", encoding="utf-8")
    assert cli("healer", "check", "ours.yaml", "--logs", "o.log").returncode == 0
    misspelt = cli("healer", "show", "smartop")
    assert (misspelt.returncode, "did you mean `smartops`?" in misspelt.stderr) == (2, True)


def test_a_part_of_a_trials_name_offers_those_that_have_it(cli: Any) -> None:
    done = cli("derive", SAMPLE, "--explain", "cpu-90")
    assert done.returncode == 2
    assert "such as calibration.cpu-90.steady.1, cpu-90.steady." in done.stderr
    assert "did you mean `pod-kill.steady." in cli("derive", SAMPLE, "--explain", "pod-kil.steady.off.default.1").stderr


def test_a_folder_means_its_matrix(cli: Any) -> None:
    assert cli("init", "my").returncode == 0
    assert cli("plan", "my").stdout == cli("plan", "my/matrix.yaml").stdout
    assert cli("plan", ".").returncode == 2


def test_plan_shows_a_grid_and_lists_trials_on_demand(cli: Any, matrix: Path) -> None:
    short, long = cli("plan", matrix).stdout, cli("plan", matrix, "--trials").stdout
    assert "cpu.steady.zscore.default.1" not in short
    assert "cpu.steady.zscore.default.1" in long
    assert any(line.split() == ["none", "/", "steady", "–", "1"] for line in short.splitlines())
    assert f"smartops-chaos run {matrix} --only chaos=cpu" in cli("plan", matrix, "--only", "chaos=cpu").stdout


def test_compare_says_what_its_shares_are_of(cli: Any) -> None:
    told = cli("compare", SAMPLE, SAMPLE).stdout
    assert "as a share of the baseline's in the same campaign" in told
    off, on = api.glance(SAMPLE).arms
    share = f"{on.mttr.rmst_s / off.mttr.rmst_s:.0%}"
    assert any(line.split()[:4] == ["zscore", share, share, "+0%"] for line in told.splitlines())


def test_compare_minds_a_machine_that_was_too_busy(cli: Any, tmp_path: Path) -> None:
    copied = tmp_path / "results" / "busy-1"
    shutil.copytree(SAMPLE, copied)
    (copied / "starts.ndjson").unlink(missing_ok=True)
    busy = Start("2026-11-30T20:00:00Z", {}, (Finding("other processes used 2.0 of 2 cores", "end them", severe=True),))
    CampaignFolder(copied).write_start(busy, first=True)
    told = cli("compare", SAMPLE, "busy-1").stdout
    assert told.count("busy-1: the machine was too busy to measure when the campaign was started") == 1
    assert "sample: the machine" not in told
