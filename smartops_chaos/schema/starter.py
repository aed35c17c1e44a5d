"""The files that `init` writes: a commented matrix that runs as it stands, its policy and the schema for editors."""

from __future__ import annotations

import json

from smartops_chaos.resources import shipped
from smartops_chaos.schema.healerfile import HealerFile
from smartops_chaos.schema.matrix import json_schema

SCHEMA = "matrix.schema.json"
_POLICY = "policies/default.policy"


def files(name: str = "first") -> dict[str, str]:
    """Path below the new folder -> text. `name` is the matrix's, which names its campaigns."""
    matrix = shipped("matrix", "quick.yaml").read_text(encoding="utf-8")
    matrix = matrix.replace("name: quick ", f"name: {name} ").replace("results/quick", f"results/{name}")
    return {
        "matrix.yaml": matrix.replace("matrix/quick.yaml", "matrix.yaml"),
        _POLICY: shipped("matrix", *_POLICY.split("/")).read_text(encoding="utf-8"),
        SCHEMA: schema_text(),
    }


def schema_text() -> str:
    """The JSON Schema as a file: what editors check a matrix with."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def healer_schema_text() -> str:
    """The JSON Schema of a healer file."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **HealerFile.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
