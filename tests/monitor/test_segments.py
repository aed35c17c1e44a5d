"""Raw evidence in files that come and go."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartops_chaos.monitor import segments
from smartops_chaos.monitor.segments import SegmentReader, SegmentWriter, begun_ns, files, prune


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(1, 8), st.booleans()), min_size=1, max_size=12), st.integers(20, 200))
def test_every_line_is_read_once_whoever_writes_and_however_full_files_are(
    steps: list[tuple[int, bool]], full: int
) -> None:
    """Each step writes some lines; at some of them the writer is killed within a line, and another begins."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "_FULL", full)
        folder, written, read = Path(name), list[str](), list[str]()
        writer, reader = SegmentWriter(folder, "lines", "txt"), SegmentReader(folder, "lines")
        for lines, killed in steps:
            for _ in range(lines):
                written.append(f"line {len(written)}")
                writer.write(written[-1] + "\n")
            if killed:
                writer.write("torn")
                writer = SegmentWriter(folder, "lines", "txt")
            read += reader.read()
        read += reader.read()
        assert read == written
        assert list(SegmentReader(folder, "lines").read()) == written


def test_a_reader_of_what_comes_later_leaves_out_files_that_were_full_before(tmp_path: Path) -> None:
    for begun in (100, 200, 300):
        (tmp_path / f"lines-{begun}.txt").write_text(f"{begun}\n")
    assert list(SegmentReader(tmp_path, "lines", 250).read()) == ["200", "300"]
    assert list(SegmentReader(tmp_path, "lines", 50).read()) == ["100", "200", "300"]


def test_the_oldest_go_first_and_what_is_needed_stays(tmp_path: Path) -> None:
    for begun in (100, 200, 300, 400):
        (tmp_path / f"lines-{begun}.txt").write_text("x" * 1000)
    (tmp_path / "requests-1.csv").write_text("x" * 5000)
    prune(tmp_path, "lines", 10**18, 2500)
    assert [begun_ns(one) for one in files(tmp_path, "lines")] == [300, 400]
    prune(tmp_path, "lines", 350, 10)
    assert [begun_ns(one) for one in files(tmp_path, "lines")] == [300, 400]
    prune(tmp_path, "lines", 10**18, 10)
    assert [begun_ns(one) for one in files(tmp_path, "lines")] == [400]
    assert (tmp_path / "requests-1.csv").exists()
