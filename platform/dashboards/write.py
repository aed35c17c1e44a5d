"""Write the dashboards as JSON beside the chart, which installs them, and their list in docs/dashboards.md.

    python platform/dashboards/write.py

A test compares both with what this writes, so whoever changes a board runs it again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import board_actions
import board_agents
import board_cluster
import board_healing
import board_policy
import board_slo
from blocks import MARK_TEXTS, Board, build
from grafana_foundation_sdk.cog.encoder import JSONEncoder

ROOT = Path(__file__).resolve().parents[2]
JSON = ROOT / "platform" / "helm" / "smartops" / "dashboards"
INDEX = ROOT / "docs" / "dashboards.md"

BOARDS = (
    board_cluster.BOARD,
    board_actions.BOARD,
    board_agents.BOARD,
    board_policy.BOARD,
    board_healing.BOARD,
    board_slo.BOARD,
)

# What to look at in an incident, in this order: question, board, panel
FIRST = (
    ("Are users hurt, and since when?", "smartops-healing", "Requests of the monitor"),
    ("Is it a test?", "smartops-healing", "Faults in force"),
    ("Does the healer do anything?", "smartops-healing", "What happened when"),
    ("What does it do, and with what result?", "smartops-actions", "Actions by verification"),
    ("What keeps it from acting?", "smartops-actions", "Held back and tried again"),
    ("Are all pods there?", "smartops-cluster", "Replicas: wanted and available"),
    ("Is one of them out of memory?", "smartops-cluster", "Memory, of its limit"),
    ("Which call is slow?", "smartops-healing", "Latency by operation, with traces"),
    ("How much of the error budget is left?", "smartops-slo", "Error budget left, 72 h"),
)


def dashboard(board: Board) -> dict[str, Any]:
    """The board as Grafana reads it."""
    built = build(board).build()
    for number, panel in enumerate(built.panels or [], start=1):
        panel.id_val = number  # links to a panel stay right
    made: dict[str, Any] = json.loads(JSONEncoder().encode(built))
    for mark in made["annotations"]["list"]:
        mark["titleFormat"] = MARK_TEXTS[mark["name"]]
    return made


def files() -> dict[Path, str]:
    """Everything that is generated: path and text."""
    made = {board.uid: dashboard(board) for board in BOARDS}
    texts = {JSON / f"{uid}.json": json.dumps(one, indent=1, sort_keys=True) + "\n" for uid, one in made.items()}
    return texts | {INDEX: _index(made)}


def _index(made: dict[str, dict[str, Any]]) -> str:
    lines = [
        "# The dashboards",
        "",
        "Each board filters by namespace and links to the others with the same time.",
        "Faults are marked red, recoveries green. What a panel means stands behind its question mark.",
        "",
        "## In an incident: what to look at first",
        "",
        "| question | board | panel |",
        "|---|---|---|",
        *(f"| {question} | [{made[uid]['title']}]({_link(made[uid])}) | {panel} |" for question, uid, panel in FIRST),
        "",
        "Each alert has [a page](runbooks.md) with what to look at and what to do.",
    ]
    for uid, board in made.items():
        lines += ["", f"## {board['title']}", "", f"{board['description']} Address: `/d/{uid}`.", ""]
        lines += ["| panel | shows |", "|---|---|"]
        lines += [f"| {panel['title']} | {panel['description']} |" for panel in board["panels"]]
    lines += ["", "## How they are made", ""]
    lines += ["`python platform/dashboards/write.py` writes this page and the boards, and the chart installs them."]
    lines += ["The queries are in the boards' [JSON](../platform/helm/smartops/dashboards)."]
    return "\n".join(lines) + "\n"


def _link(board: dict[str, Any]) -> str:
    """To a board's heading, as GitHub names it."""
    return "#" + "".join(one for one in board["title"].lower().replace(" ", "-") if one.isalnum() or one == "-")


if __name__ == "__main__":
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))
