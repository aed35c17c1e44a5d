"""Lines from a server that does what Loki's documentation says, and what its issues say besides.

No Loki is at hand in tests. The traps are: `limit` and `direction` default to 100 and backward; the start counts and
the end does not; a limit above the server's own is refused; lines of one nanosecond go on over the end of a page; of
several streams a full answer may have any lines (grafana/loki issues 9705 and 17270); lines arrive late.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smartops_chaos.model import LogLine
from smartops_chaos.schema.healerfile import LineTime, LokiLogs
from smartops_chaos.telemetry import loki
from smartops_chaos.telemetry.connection import Connection

START_NS = 1_795_514_400_000_000_000
END_NS = START_NS + 60_000_000_000
LOGS = LokiLogs(query='{namespace="${namespace}"} |~ "x$"')
Entry = tuple[str, int, str]  # pod, nanoseconds since START_NS, line


@dataclass
class Loki:
    answer: Any
    entries: list[Entry] = field(default_factory=list)
    late: list[list[Entry]] = field(default_factory=list)  # what arrives before the second look, the third, ...
    cap: int = 5000
    silent: bool = False  # a proxy that cuts, instead of a Loki that refuses
    any_lines: random.Random | None = None  # which lines a full answer has is left to it
    tenants: dict[str, str] = field(default_factory=dict)  # of a pod
    warnings: list[str] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)

    def __call__(self, asked: Any) -> Any:
        assert asked.path == "/loki/api/v1/query_range"
        params = asked.params
        self.asked.append(dict(params))
        limit = int(params.get("limit", 100))
        start, end = int(params["start"]) - START_NS, int(params["end"]) - START_NS
        if end <= start:
            return self.answer("end timestamp must not be before or equal to start time\n", 400)
        if limit > self.cap and not self.silent:
            told = "max entries limit per query exceeded, limit > max_entries_limit_per_query"
            return self.answer(f"{told} ({limit} > {self.cap})\n", 400)
        entries = self.entries
        if self.tenants:
            if not (tenant := asked.headers.get("X-Scope-OrgID")):
                return self.answer("no org id\n", 401)
            entries = [one for one in entries if self.tenants[one[0]] in tenant.split("|")]
        backward = params.get("direction", "backward").lower() == "backward"
        found = sorted((one for one in entries if start <= one[1] < end), key=lambda one: one[1], reverse=backward)
        most = min(limit, self.cap)
        if len(found) > most and self.any_lines:
            kept = sorted(self.any_lines.sample(range(len(found)), most))
            found = [found[n] for n in kept]
        streams: dict[str, list[Any]] = {}
        for number, (pod, at, line) in enumerate(found[:most]):
            metadata = [{"trace": "1"}] if number % 2 else []
            streams.setdefault(pod, []).append([str(START_NS + at), line, *metadata])
        result = [
            {"stream": {"namespace": "ours", "container": f"c-{pod}", "pod": pod}, "values": values}
            for pod, values in sorted(streams.items(), reverse=True)
        ]
        data = {"resultType": "streams", "result": result, "stats": {}}
        return self.answer(json.dumps({"status": "success", "data": data, "warnings": self.warnings}))


@pytest.fixture
def server(answer: Any) -> Loki:
    return Loki(answer)


@pytest.fixture
def url(server: Loki, serve: Any) -> Any:
    with serve(server) as address:
        yield address


def fetch(url: str | Connection, server: Loki, logs: LokiLogs = LOGS, **more: Any) -> loki.Found:
    def sleep(_: float) -> None:
        if server.late:
            server.entries = server.entries + server.late.pop(0)

    options = {"values": {"namespace": "ours"}, "sleep": sleep} | more
    return loki.fetch(url, logs, START_NS, END_NS, **options)


def counted(found: loki.Found) -> Counter[Entry]:
    return Counter((line.component.removeprefix("c-"), line.at_ns - START_NS, line.text) for line in found.lines)


def expected(entries: list[Entry]) -> Counter[Entry]:
    return Counter(one for one in entries if 0 <= one[1] < END_NS - START_NS)


entry = st.tuples(
    st.sampled_from("abc"),
    # Many on the same nanosecond, on both borders, and next to each other.
    st.one_of(st.integers(0, 5), st.sampled_from([-1, 59_999_999_999, 60_000_000_000]), st.integers(0, 60_000_000_000)),
    st.sampled_from(["x", "y x", 'ü\n"x']),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    entries=st.lists(entry, max_size=40),
    late=st.lists(st.lists(entry, min_size=1, max_size=3), max_size=2),
    cap=st.integers(41, 60),
    limit=st.integers(1, 50),
    seed=st.none() | st.integers(0, 9),
)
def test_every_line_once(
    entries: list[Entry],
    late: list[list[Entry]],
    cap: int,
    limit: int,
    seed: int | None,
    server: Loki,
    url: str,
    monkeypatch: Any,
) -> None:
    """Whichever lines a full answer has. As many lines as all on one nanosecond fit in the server's cap."""
    monkeypatch.setattr(loki, "_LIMIT", limit)
    late = [[*more, ("a", 3, f"late {n} x")] for n, more in enumerate(late)]  # each look finds something new
    server.entries, server.late, server.cap = entries, list(late), cap + sum(map(len, late))
    server.any_lines = None if seed is None else random.Random(seed)
    found = fetch(url, server)
    assert counted(found) == expected(entries + [one for more in late for one in more])
    assert list(found.lines) == sorted(found.lines, key=lambda line: line.at_ns)
    assert found.notes == ()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=st.lists(entry, max_size=60, unique_by=lambda one: one[1]), cap=st.integers(2, 12), silent=st.booleans())
def test_a_server_that_gives_less_than_asked(
    entries: list[Entry], cap: int, silent: bool, server: Loki, url: str
) -> None:
    """Loki refuses a limit above its own; what cuts without a word is found out too."""
    server.entries, server.cap, server.silent = entries, cap, silent
    assert counted(fetch(url, server)) == expected(entries)


def test_what_is_asked(server: Loki, url: str) -> None:
    server.entries = [("a", n, "x") for n in range(3)]
    assert len(fetch(url, server).lines) == 3
    assert {one["query"] for one in server.asked} == {'{namespace="ours"} |~ "x$"'}
    assert {one["direction"] for one in server.asked} == {"forward"}
    assert len(server.asked) <= 4  # a look, whether more follows, and a look after the settling
    with pytest.raises(loki.LokiError, match=r"nothing is known to put for \$\{namespace\}"):
        fetch(url, server, values={})


def test_a_large_log_in_few_answers(server: Loki, url: str) -> None:
    chance = random.Random(1)
    server.entries = [(chance.choice("abc"), chance.randrange(60_000_000_000), f"x {n}") for n in range(30_000)]
    assert counted(fetch(url, server)) == expected(server.entries)
    assert len(server.asked) < 80  # two looks; 6 full answers would be the least in each


def test_more_lines_on_a_nanosecond_than_the_server_gives_are_an_error(server: Loki, url: str) -> None:
    server.entries, server.cap = [("a", 7, f"x {n}") for n in range(5)], 4
    with pytest.raises(
        loki.LokiError, match=f"only 4 lines at once, and has more with the stamp {START_NS + 7}: raise"
    ):
        fetch(url, server)


def test_lines_that_keep_coming_are_told(server: Loki, url: str) -> None:
    server.late = [[("a", n, "x")] for n in range(9)]
    found = fetch(url, server, settle_s=2.0)
    assert len(found.lines) == 5
    assert found.notes == ("lines still arrived 10 s after the end: wait longer, or mend the shipper",)


def test_tenants_and_credentials(server: Loki, url: str) -> None:
    server.entries = [("a", 1, "x"), ("b", 2, "x"), ("c", 3, "x")]
    server.tenants = {"a": "one", "b": "two", "c": "three"}
    with pytest.raises(loki.LokiError, match=r"refused \(401\): no org id"):
        fetch(url, server)
    one = Connection(url, headers={"X-Scope-OrgID": "one"})
    assert [each[0] for each in counted(fetch(one, server))] == ["a"]
    both = Connection(url, headers={"X-Scope-OrgID": "one|two"})
    assert [one[0] for one in counted(fetch(both, server))] == ["a", "b"]


def test_warnings_and_other_answers(server: Loki, url: str, serve: Any, answer: Any) -> None:
    server.warnings = ["a store did not answer"]
    assert fetch(url, server).notes == ("Loki warns: a store did not answer",)
    for body, told in (("[]", "does not answer like Loki"), ('{"data": {"resultType": "matrix"}}', "gives numbers")):
        with serve(lambda _, body=body: answer(body)) as other, pytest.raises(loki.LokiError, match=told):
            fetch(other, server)


def test_the_time_that_a_line_names(server: Loki, url: str) -> None:
    """It is better than the shipper's stamp, unless it is another time altogether; both are kept."""
    logs = LOGS.model_copy(update={"time": LineTime(pattern=r"^(?P<time>\S+Z)"), "component": ("app", "pod")})
    texts = [
        (1_900_000_000, "2026-11-24T10:00:01.250Z good"),
        (5_000_000_000, "2026-11-24T10:00:02Z shipped late"),
        (6_000_000_000, "2026-11-24T11:00:06Z another zone"),
        (7_000_000_000, "names none"),
    ]
    server.entries = [("a", at, text) for at, text in texts]
    found = fetch(url, server, logs)
    s = 1_000_000_000
    assert found.lines == (
        LogLine(START_NS + 1_250_000_000, "a", texts[0][1], cut_ns=1_000_000, stored_ns=START_NS + 1_900_000_000),
        LogLine(START_NS + 2 * s, "a", texts[1][1], cut_ns=s, stored_ns=START_NS + 5 * s),
        LogLine(START_NS + 6 * s, "a", texts[2][1]),
        LogLine(START_NS + 7 * s, "a", texts[3][1]),
    )
    assert [re.sub(r"\d+\.\d", "N", note) for note in found.notes] == [
        "1 lines name a time over a minute from the store's stamp, which is used: a time zone?",
        "1 lines name a time over 1 s from the store's stamp, up to N s",
    ]
    server.entries = server.entries[3:]
    assert "no line of 1 names a time" in fetch(url, server, logs).notes[0]


def test_a_line_s_time_is_an_interval(reading: Any) -> None:
    line = LogLine(START_NS, "a", "signal", cut_ns=1_000_000_000)
    (match,) = reading({"log": "signal"}, START_NS, END_NS, logs=(line,))
    assert (match.at.lo_ns, match.at.hi_ns) == (START_NS, START_NS + 999_999_999)


@pytest.mark.parametrize(
    ("labels", "writer"),
    [
        ({"app": "a", "container": "c"}, "a"),
        ({"app_kubernetes_io_name": "agent", "container": "manager"}, "agent"),
        ({"service_name": "agent-remediate", "k8s_container_name": "main"}, "agent-remediate"),
        ({"kubernetes_container_name": "c"}, "c"),
        ({"pod": "agent-remediate-7d4b9c6f5-x2x4z", "namespace": "n"}, "agent-remediate"),
        ({"pod": "db-0"}, "db"),
        ({"pod": "kured-x2x4z"}, "kured"),
        ({"pod": "my-agent"}, "my-agent"),
    ],
)
def test_the_writer_by_the_labels_that_collectors_give(
    serve: Any, answer: Any, labels: dict[str, str], writer: str
) -> None:
    result = [{"stream": labels, "values": [[str(START_NS + 1), "x"]]}]
    body = json.dumps({"status": "success", "data": {"resultType": "streams", "result": result}})
    with serve(lambda _: answer(body)) as url:
        found = loki.fetch(url, LokiLogs(query="{}"), START_NS, END_NS, settle_s=0, sleep=lambda _: None)
    assert [line.component for line in found.lines] == [writer]
    assert found.notes == ()


def test_lines_whose_writer_no_label_names_are_told(serve: Any, answer: Any) -> None:
    result = [{"stream": {"job": "j", "filename": "f"}, "values": [[str(START_NS + 1), "x"], [str(START_NS + 2), "y"]]}]
    body = json.dumps({"status": "success", "data": {"resultType": "streams", "result": result}})
    with serve(lambda _: answer(body)) as url:
        found = loki.fetch(url, LokiLogs(query="{}"), START_NS, END_NS, settle_s=0, sleep=lambda _: None)
    (note,) = found.notes
    assert note.startswith("2 lines have none of the labels app, ")
    assert "theirs are filename, job; name the right one under `loki.component`" in note
