"""Files of a healer's lines, followed through rotation, cuts and the monitor's own end."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from smartops_chaos.model import LogLine
from smartops_chaos.monitor.lines import FollowedLines
from smartops_chaos.schema import healerfile

ACTION = "ClosedLoopManager: executing restart on shop/erp (attempt={} windowId=w)"


class Followed:
    def __init__(self, folder: Path) -> None:
        self.raw, self.log = folder / "raw", folder / "healer.log"
        self.raw.mkdir()
        self.log.write_text(ACTION.format("before") + "\n")
        self.every: list[str] = []

    def start(self, alive_ns: int = 0) -> FollowedLines:
        healer = healerfile.load("lab")
        logs = {"smartops-orchestrator": self.log}
        return FollowedLines(self.raw, logs, healer, alive_ns, lambda line: self.every.append(line.text))

    def say(self, *numbers: int, prefix: str = "") -> None:
        with self.log.open("a") as out:
            out.writelines(f"{prefix}{ACTION.format(number)}\nnothing to say\n" for number in numbers)


@pytest.fixture
def followed(tmp_path: Path) -> Followed:
    return Followed(tmp_path)


def numbers(lines: FollowedLines) -> list[str]:
    return [one.text.partition("attempt=")[2].partition(" ")[0] for one in lines.since(0)]


def test_what_was_there_before_is_not_read_and_what_no_rule_matches_is_not_kept(followed: Followed) -> None:
    lines = followed.start()
    followed.say(1, 2)
    lines.poll()
    lines.poll()
    assert numbers(lines) == ["1", "2"]
    assert followed.every.count("nothing to say") == 2


def test_a_line_is_dated_by_its_stamp_or_else_by_when_it_was_read(followed: Followed) -> None:
    lines = followed.start()
    before_ns = time.time_ns()
    lines.poll()
    followed.say(1)
    followed.say(2, prefix="2026-11-23T20:37:21.829357039Z stderr F ")
    followed.say(3, prefix="2026-11-23T20:37:22Z ")
    lines.poll()
    read, stamped, cut = lines.since(0)
    assert before_ns <= read.at_ns <= read.at_ns + read.cut_ns <= time.time_ns() + 1
    assert (stamped.at_ns, stamped.cut_ns) == (1795466241_829357039, 1)
    assert stamped.text == ACTION.format(2)
    assert (cut.at_ns, cut.cut_ns) == (1795466242 * 10**9, 10**9)


def test_the_next_monitor_goes_on_where_the_last_one_was_killed(followed: Followed) -> None:
    lines = followed.start()
    followed.say(1, 2)
    lines.poll()
    followed.say(3)
    killed_ns = time.time_ns()
    followed.say(4)
    again = followed.start(killed_ns)
    again.poll()
    assert numbers(again) == ["1", "2", "3", "4"]
    last = again.since(0)[-1]
    assert last.at_ns <= killed_ns <= last.at_ns + last.cut_ns
    third = followed.start(time.time_ns())
    third.poll()
    assert numbers(third) == ["1", "2", "3", "4"]


def test_a_rotated_file_is_read_to_its_end_and_the_new_one_from_its_beginning(followed: Followed) -> None:
    lines = followed.start()
    followed.say(1)
    lines.poll()
    followed.say(2)
    followed.log.rename(followed.log.with_suffix(".1"))
    followed.say(3)
    lines.poll()
    lines.poll()
    assert numbers(lines) == ["1", "2", "3"]
    followed.log.write_text("")
    lines.poll()
    followed.say(4)
    lines.poll()
    assert numbers(lines) == ["1", "2", "3", "4"]


def test_a_file_that_is_not_there_is_noted_and_read_when_it_comes(followed: Followed) -> None:
    followed.log.unlink()
    lines = followed.start()
    lines.poll()
    assert "cannot be read" in lines.lost(0)[0]
    followed.say(1)
    lines.poll()
    assert numbers(lines) == ["1"]


def test_a_line_is_read_when_it_is_whole(followed: Followed) -> None:
    lines = followed.start()
    with followed.log.open("a") as out:
        out.write(ACTION.format(1)[:30])
    lines.poll()
    assert numbers(lines) == []
    with followed.log.open("a") as out:
        out.write(ACTION.format(1)[30:] + "\n")
    lines.poll()
    assert numbers(lines) == ["1"]


def test_memory_forgets_what_is_old(followed: Followed) -> None:
    lines = followed.start()
    for number in range(3):
        lines.take(LogLine(number * 10**9, "smartops-orchestrator", ACTION.format(number)))
    lines.forget(2 * 10**9)
    assert numbers(lines) == ["2"]
