import json
from pathlib import Path

from smartops_chaos.plan.expand import load_plan
from smartops_chaos.resources import shipped
from smartops_chaos.schema.matrix import Matrix, json_schema
from smartops_chaos.schema.starter import files, schema_text


def test_the_starter_runs_as_it_stands(tmp_path: Path) -> None:
    for name, text in files("mine").items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    plan = load_plan(tmp_path / "matrix.yaml")
    assert plan.name == "mine"
    assert plan.digest == load_plan(shipped("matrix", "quick.yaml")).digest


def test_the_starter_names_itself_and_its_schema() -> None:
    text = files()["matrix.yaml"]
    assert text.startswith("# yaml-language-server: $schema=./matrix.schema.json\n")
    assert "quick" not in text
    assert "matrix.schema.json" in files()


def test_the_starter_comments_every_key() -> None:
    text = files()["matrix.yaml"]
    shown = [line.lstrip("# ") for line in text.splitlines()]
    unshown = {key for key in Matrix.model_fields if not any(line.startswith(f"{key}:") for line in shown)}
    assert unshown == {"weights"}


def test_the_shipped_schema_is_up_to_date() -> None:
    shipped_text = shipped("matrix", "matrix.schema.json").read_text(encoding="utf-8")
    assert shipped_text == schema_text(), "write it again from schema.starter.schema_text()"


def test_the_schema_knows_the_words() -> None:
    schema = json_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert set(schema["required"]) == {"version", "name", "target", "factors", "repeats", "baseline", "slo", "horizon"}
    assert schema["additionalProperties"] is False
    assert schema["properties"]["repeats"]["description"]
