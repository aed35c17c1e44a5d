"""Each figure of a report as files that stand alone: SVG and PNG, and a caption in Markdown with the numbers."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from smartops_chaos.report import render
from smartops_chaos.report.document import Figure, Keys, Report, Table, Text, plain_text
from smartops_chaos.report.style import LETTERS, PER_INCH

_SIDES, _LEGIBLE_PT = ("width", "height"), 10
_PNG_HEAD = 8 + 25  # the signature and the first chunk


def write(report: Report, out: Path, pngs: Sequence[bytes] | None = None) -> list[Path]:
    """Write <id>.svg, <id>.png and <id>.md of every figure into `out`; returns the files.

    `pngs` are its bitmaps, if they are at hand.
    """
    out.mkdir(parents=True, exist_ok=True)
    contents: dict[Path, bytes] = {}
    for figure, png in zip(report.figures(), render.pngs(report) if pngs is None else pngs, strict=True):
        contents[out / f"{figure.id}.svg"] = figure.svg.encode()
        contents[out / f"{figure.id}.png"] = _sized(png)
        contents[out / f"{figure.id}.md"] = caption(report, figure).encode()
    for path, content in contents.items():
        path.write_bytes(content)
    return list(contents)


def caption(report: Report, figure: Figure) -> str:
    """What belongs under the figure where it stands alone: what it shows, in words, and the tables behind it."""
    tables = report.tables()
    parts = [f"# {figure.title}", figure.caption, _keys(figure.keys), figure.alt]
    parts += [_table(tables[name]) for name in figure.tables if name in tables]
    if (letters := _letters_on_a_slide(figure)) < _LEGIBLE_PT:
        parts.append(f"It is as tall as a page: on a slide of 16:9 its letters would be {letters:.0f} pt high.")
    parts.append(f"{report.title}. {report.subtitle}")
    return "\n\n".join(_plain(part) for part in parts if part) + "\n"


def _letters_on_a_slide(figure: Figure) -> float:
    """The size in points of what is `LETTERS` high in the drawing, once it fills a slide of 13.3 by 7.5 inches."""
    width, height = (float(re.findall(rf'<svg [^>]*\b{side}="([\d.]+)pt"', figure.svg)[0]) for side in _SIDES)
    return LETTERS * min(960 / width, 540 / height)


def _table(table: Table) -> str:
    return "\n\n".join(filter(None, ["\n".join(_lines(table)), table.note, _keys(table.keys)]))


def _keys(keys: Keys) -> str:
    return "\n".join(f"- {word}: {means}" for word, means in keys)


def _lines(table: Table) -> Iterator[str]:
    yield f"## {table.title}\n"
    yield _row([column.title for column in table.columns])
    yield _row(["---:" if column.align == "right" else "---" for column in table.columns])
    yield from map(_row, _ungrouped(table.rows))


def _ungrouped(rows: Sequence[Sequence[Text]]) -> Iterator[list[str]]:
    """Rows with the first cell that a page leaves out where it repeats the one above: a row may be pasted alone."""
    head = ""
    for first, *others in rows:
        head = plain_text(first) or head
        yield [head, *map(plain_text, others)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(re.sub(r"\s*\n\s*", " ", cell).replace("|", "\\|") for cell in cells) + " |"


def _plain(text: str) -> str:
    """Without no-break spaces, which editors show as something strange."""
    return re.sub(" +", " ", text.replace("\u00a0", " "))


def _sized(png: bytes) -> bytes:
    """With the pixels per metre in it, so that a program that places the bitmap gives it the size of the drawing."""
    size = b"pHYs" + struct.pack(">IIB", *[round(PER_INCH / 0.0254)] * 2, 1)
    chunk = struct.pack(">I", len(size) - 4) + size + struct.pack(">I", zlib.crc32(size))
    return png[:_PNG_HEAD] + chunk + png[_PNG_HEAD:]
