"""What the pages say in numbers and in messages is what the program says."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from ruamel.yaml import YAML
from typer.main import get_command

from smartops_chaos import api
from smartops_chaos.analysis.summary import Summary
from smartops_chaos.analysis.words import percent, percent_range, seconds, seconds_range
from smartops_chaos.cli.commands import app
from smartops_chaos.cli.result_table import result_table
from smartops_chaos.cli.terminal import ONLY_REPORTS, missing_library
from smartops_chaos.plan.durations import likely_s
from smartops_chaos.plan.expand import load_plan
from smartops_chaos.schema.faultfile import shipped_faults
from smartops_chaos.schema.gatefile import GateFile

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "results" / "sample"


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def sample() -> Summary:
    return api.glance(SAMPLE)


def plain(text: str) -> list[str]:
    return [line.rstrip() for line in text.replace("\u00a0", " ").strip("\n").splitlines()]


def test_the_result_in_the_readme_is_that_of_the_sample(sample: Summary) -> None:
    shown = page("README.md").partition("## One result")[2].split("```")[1]
    out = StringIO()
    Console(file=out, width=100).print(result_table(sample))
    assert plain(shown) == plain(out.getvalue())


def test_the_sample_can_be_verified(cli: Any) -> None:
    done = cli("verify", SAMPLE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_numbers_to_reproduce_are_those_of_the_sample(sample: Summary) -> None:
    told = page("docs/reproduce.md").replace("\u00a0", " ")
    arms = {arm.model: arm for arm in sample.arms}
    off, zscore = arms["off"], arms["zscore"]
    reduction = sample.comparisons[0].mttr_reduction
    expected = {
        "MTTR, healer off": (seconds(off.mttr.rmst_s), seconds_range(off.mttr.lo, off.mttr.hi)),
        "MTTR, zscore": (seconds(zscore.mttr.rmst_s), seconds_range(zscore.mttr.lo, zscore.mttr.hi)),
        "MTTR reduction": (percent(reduction.estimate), percent_range(reduction.lo, reduction.hi)),
    }
    numbers = re.compile(r"[\d.]+")
    for name, (value, between) in expected.items():
        row = next(line for line in told.splitlines() if line.startswith(f"| {name} |")).split("|")
        assert numbers.findall(row[2]) == numbers.findall(value)
        assert numbers.findall(row[3]) == numbers.findall(between)
    for arm in (off, zscore):
        assert f"{arm.auto_heal.successes} of {arm.auto_heal.n}" in told
    assert {v.verdict for v in sample.verdicts} == {"proven"}


def test_the_whole_healer_file_reads_its_lines_as_its_page_says(cli: Any, tmp_path: Path) -> None:
    section = page("docs/healers.md").partition("## A whole example")[2]
    blocks = dict(re.findall(r"^```(json|yaml|text)\n(.*?)^```", section, re.MULTILINE | re.DOTALL)[:3])
    (tmp_path / "healer.yaml").write_text(blocks["yaml"], encoding="utf-8")
    (tmp_path / "autofix.log").write_text(blocks["json"], encoding="utf-8")
    (command,) = re.findall(r"^`smartops-chaos (healer check .*?)` prints:", section, re.MULTILINE)
    done = cli(*command.split())
    assert (done.returncode, done.stderr) == (0, "")
    assert plain(done.stdout) == plain(blocks["text"])
    (matrix,) = re.findall(r"^```yaml\n(# matrix.yaml\n.*?)^```", section, re.MULTILINE | re.DOTALL)
    for name, text in {"matrix.yaml": matrix, "restart.yaml": "one\n", "scale.yaml": "another\n"}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    planned = cli("plan", "matrix.yaml", "--only", "chaos=cpu", "--json")
    assert planned.returncode == 0, planned.stderr


def test_the_explained_matrix_plans_as_its_page_says(cli: Any, tmp_path: Path) -> None:
    assert cli("init", ".").returncode == 0
    text = page("docs/first_matrix.md")
    (tmp_path / "matrix.yaml").write_text(text.split("```yaml\n")[1].split("```")[0], encoding="utf-8")
    done = cli("plan", "matrix.yaml")
    assert done.returncode == 0, done.stderr
    assert "19 if it is 60%, 7 if it is 80%" in done.stdout
    assert "36 of 36" in done.stdout
    assert "smartops-chaos run matrix.yaml --repeats 12 " in done.stdout


def strings() -> str:
    """Every text in the program, with a gap for what is put in."""
    found = []
    for file in (ROOT / "smartops_chaos").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(str(p.value) if isinstance(p, ast.Constant) else "…" for p in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def test_every_message_that_is_explained_is_one_of_ours() -> None:
    told = page("docs/troubleshooting.md")
    ours = strings()
    messages = [row for row in re.findall(r"^\| (``?.+?``?) \|", told, re.MULTILINE) if "MATRIX" not in row]
    assert len(messages) > 10
    for message in messages:
        for part in re.split(r"`, `| \.\.\. ", re.sub(r"``(\S+)``", r"\1", message).strip("`")):
            words = part.strip("` ")
            assert words in ours.replace("`", "") or words.replace("-", "_") in ours, words


def test_without_the_libraries_of_the_report_the_command_that_gets_them_is_told() -> None:
    assert missing_library(ModuleNotFoundError(name="nothing_of_ours")) == ""
    told = missing_library(ModuleNotFoundError(name="pandas.core"))
    assert told.startswith("pandas is not installed here")
    assert "is not installed here" in page("docs/troubleshooting.md")
    program = (
        "import sys; sys.modules.update(dict.fromkeys(('numpy', 'pandas', 'scipy', 'matplotlib'))); "
        "from smartops_chaos.cli.commands import main; sys.argv[1:] = ['plan', sys.argv[1]]; main()"
    )
    matrix = ROOT / "matrix" / "quick.yaml"
    done = subprocess.run([sys.executable, "-c", program, matrix], capture_output=True, text=True)
    assert done.returncode == 2
    assert "is not installed here" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_small_image_leaves_out_the_same_libraries() -> None:
    text = page("deploy/requirements.py")
    (left_out,) = (
        ast.literal_eval(node.value)
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "ONLY_REPORTS"
    )
    assert left_out == ONLY_REPORTS


def test_every_command_stands_on_its_page() -> None:
    told = page("docs/commands.md")
    root: Any = get_command(app)
    for name, command in root.commands.items():
        wanted = [f"{name} {one}" for one in getattr(command, "commands", {})] or [name]
        assert [one for one in wanted if not re.search(rf"`(smartops-chaos )?{one}\b", told)] == []


def test_the_sample_gives_the_same_numbers_on_another_processor(tmp_path: Path) -> None:
    """docs/reproduce.md: `git diff` shows nothing. Sums in another order differ in their last digits."""
    program = (
        "import pathlib, sys; from smartops_chaos import api; from smartops_chaos.analysis import load; "
        "load.write_data(api.load(sys.argv[1]), pathlib.Path(sys.argv[2]))"
    )
    older = {"NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F X86_V3 X86_V4", "OPENBLAS_CORETYPE": "Nehalem"}
    texts = []
    for processor in ({}, older):
        called = [sys.executable, "-W", "ignore", "-c", program, SAMPLE, tmp_path]
        subprocess.run(called, env={**os.environ, **processor}, check=True)
        texts.append((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert texts[0] == texts[1]


def test_the_table_of_faults_has_each_with_its_driver_and_how_long_it_lasts() -> None:
    rows = re.findall(
        r"^\| \[`(.+?)`\]\(\S+\) \| (\S+) \| (\S+) \| (.+?) \| (\S+) \|$", page("docs/chaos_manual.md"), re.M
    )
    lab, cluster = shipped_faults("lab"), shipped_faults("kubernetes")
    told = {name: (on_lab == "yes", driver.strip("`–"), lasts, family) for name, on_lab, driver, lasts, family in rows}
    assert len(rows) == len(told)
    wanted = {}
    for name in {*lab, *cluster}:
        path = cluster.get(name, lab.get(name))
        assert path is not None
        block = next(one for one in YAML(typ="safe").load(path)["extensions"] if one["name"] == "smartops-chaos")
        lasts = "until it is ended" if block["lasting"] else "a moment"
        wanted[name] = (name in lab, cluster[name].parent.name if name in cluster else "", lasts, block["family"])
    assert told == wanted


def test_a_trial_on_a_cluster_takes_as_long_as_the_manual_adds_up() -> None:
    plan = load_plan(ROOT / "matrix" / "smartops.yaml")
    told = re.findall(r"^\| \*\*.+?\*\* \| \| \*\*(\d+)\*\* \|$", page("docs/chaos_manual.md"), re.M)
    of = {trial.model: likely_s(plan, trial) for trial in plan.trials if trial.chaos == "cpu" and not trial.to_horizon}
    assert [round(of["fast"]), round(of["off"])] == [int(one) for one in told]


def test_the_explained_rules_of_the_gate_are_an_environment() -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```", page("docs/gate.md").partition("## The rules")[2], re.M | re.S)
    environment = YAML(typ="safe").load("".join(blocks))
    GateFile.model_validate({"version": 1, "environments": {"stage": environment}})
    shipped_keys = YAML(typ="safe").load(ROOT / "platform" / "gates.yaml")["environments"]["stage"]
    assert set(environment) == set(shipped_keys)
