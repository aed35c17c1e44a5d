"""What the pages for people promise: links lead somewhere, printed commands are taken by the program as they stand."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from smartops_chaos.cli.commands import app

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("platform/*/README.md"), *ROOT.glob("deploy/*.md")]
)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()).replace(" ", "-")
        number = next(n for n in range(100) if (f"{slug}-{n}" if n else slug) not in found)
        found.add(f"{slug}-{number}" if number else slug)
    return found


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_to_files_and_headings_that_are_there(page: Path) -> None:
    wrong = []
    for target in re.findall(r"(?<!\\)\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", prose(page))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            wrong.append(target)
    assert wrong == []


def test_every_page_is_on_the_list_of_pages() -> None:
    listed = re.findall(r"\]\((\w+\.md)\)", (ROOT / "docs" / "index.md").read_text(encoding="utf-8"))
    assert {page.name for page in ROOT.glob("docs/*.md")} - set(listed) == {"index.md"}


def blocks(page: Path) -> Iterator[str]:
    """Lines of shell blocks that call the program, without what a shell makes of them."""
    for language, block in _FENCE.findall(page.read_text(encoding="utf-8")):
        if language not in ("", "sh", "bash", "console"):
            continue
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            words = line.strip().removeprefix("$ ")
            words = re.sub(r"^([A-Z_]+=\S+ )+", "", words)
            if words.startswith("smartops-chaos "):
                yield re.split(r" (?:\||>|&&|;|·) ?", words)[0]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_in_blocks_are_taken_as_they_stand(page: Path, parses: Any) -> None:
    for line in blocks(page):
        try:
            parses(line)
        except Exception as error:
            pytest.fail(f"{line}: {getattr(error, 'message', error)}")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_within_sentences_have_options_that_are_there(page: Path) -> None:
    for text in re.findall(r"`(smartops-chaos [^`]+)`", prose(page)):
        words = shlex.split(text.replace("[", "").replace("]", "").replace("'", ""))[1:]
        if words[0].startswith("-") or not words[0].islower():
            continue
        command: Any = get_command(app)
        while words and hasattr(command, "commands"):
            assert words[0] in command.commands, text
            command = command.commands[words.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert [word for word in words if word.startswith("--") and word.partition("=")[0] not in known] == [], text
