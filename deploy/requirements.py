"""python3 requirements.py run|report: what the image of that stage needs, from pyproject.toml, one requirement a line.

`run` leaves out what only planning, interim looks and reports load. That nothing of it is loaded while a trial runs is
checked by import-linter (pyproject.toml, "Running needs no statistics and no figures").
"""

import re
import sys
import tomllib
from pathlib import Path

ONLY_REPORTS = ("numpy", "pandas", "fastparquet", "matplotlib", "jinja2", "typst")


def main(stage: str) -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    for one in project["dependencies"]:
        name = re.split(r"[^a-z0-9-]", one)[0]
        if (name in ONLY_REPORTS) == (stage == "report"):
            print(one)


main(sys.argv[1])
