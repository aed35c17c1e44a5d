"""docs/reference.md is what the schemas say, and leaves no key without a meaning."""

from __future__ import annotations

import re
from pathlib import Path

from smartops_chaos.schema import reference, starter
from smartops_chaos.schema.faultfile import DRIVERS, shipped_faults

ROOT = Path(__file__).parents[2]


def test_the_page_is_what_the_schemas_say() -> None:
    renew = "python -m smartops_chaos.schema.reference > docs/reference.md"
    assert (ROOT / "docs" / "reference.md").read_text(encoding="utf-8") == reference.text(), renew


def test_the_shipped_schema_is_of_today() -> None:
    shipped = (ROOT / "matrix" / starter.SCHEMA).read_text(encoding="utf-8")
    assert shipped == starter.schema_text(), "smartops-chaos init --schema > matrix/matrix.schema.json"


def test_every_key_has_a_meaning_and_every_fault_its_section() -> None:
    told = reference.text()
    rows = re.findall(r"^\| `(\w+)` \| .*?(?<!\\)\| .*?(?<!\\)\| (.*) \|$", told, re.MULTILINE)
    assert len(rows) > 150
    assert [key for key, means in rows if not means.strip()] == []
    for target in DRIVERS:
        for fault in shipped_faults(target):
            assert f"### `{fault}`" in told
