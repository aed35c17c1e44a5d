from __future__ import annotations

import pytest

from smartops_chaos.analysis.table import from_rows
from smartops_chaos.model import Arm
from smartops_chaos.report import index as module
from smartops_chaos.report.document import Link, Table
from smartops_chaos.report.index import Index, index

OFF, ON = Arm("off", "default"), Arm("zscore", "default")


def row(trial, *, arm=OFF, outcome="healed", repeat=1, flags="", chaos="cpu", **more):
    bad = {"unrecovered": 12.0, "no_effect": 0.0, "prevented": 0.0}
    time_s = None if outcome in ("error", "clean", "false_alarm") else bad.get(outcome, 3.0)
    levels = {"chaos": chaos, "workload": "steady", "model": arm.model, "policy": arm.policy}
    fixed = {"trial": trial, "phase": "measure", "outcome": outcome, "repeat": repeat, "flags": flags}
    return {**levels, **fixed, "reason": "", "time_s": time_s, "horizon_s": 12.0, **more}


def names(found: Index, rows) -> list[str]:
    return [str(found.rows[i]["trial"]) for i in rows]


def test_each_number_of_the_outcomes_leads_to_as_many_rows(report, small):
    tables = [b for s in report.sections for b in s.blocks if isinstance(b, Table) and b.id.startswith("tab-fault-")]
    found = index(small.table, OFF)
    links = [part for t in tables for row in t.rows for cell in row if isinstance(cell, tuple) for part in cell]
    assert len(links) > 6
    for link in links:
        assert isinstance(link, Link)
        assert str(len(found.find(**dict(link.show)))) == link.text


def test_every_reached_and_lost_number_leads_to_as_many_rows(report, small):
    (table,) = [b for s in report.sections for b in s.blocks if isinstance(b, Table) and b.id == "tab-losses"]
    found = index(small.table, OFF)
    links = [cell[0] for row in table.rows for cell in row[2:4] if isinstance(cell, tuple)]
    assert links
    assert all(str(len(found.find(**dict(link.show)))) == link.text for link in links)


def test_what_a_trial_is_found_by():
    rows = [
        row("a", flags="contested,relapsed", outcome="platform"),
        row("b", arm=ON, outcome="no_effect", needless_actions=2, rca_expected="x|y", rca_top1="y"),
        row("c", arm=ON, outcome="error", chaos="net"),
        row("d", arm=ON, rca_expected="x", rca_top1="z", policy_rule="restart"),
        row("e", arm=ON, chaos="none", outcome="clean"),
        row("f", phase="calibrate"),
    ]
    found = index(from_rows(rows), OFF)

    def by(arm=None, **show):
        return names(found, found.find(arm, **show))

    assert by(noted="contested") == by(noted="relapsed") == ["a"]
    assert by(noted="needless action") == by(diagnosis="right") == by(outcome="no effect") == ["b"]
    assert by(counts_as="left out") == by(chaos="net") == ["c"]
    assert by(diagnosis="wrong") == by(policy_rule="restart") == by(answered_cause="z") == ["d"]
    assert (by(counts_as="control"), by(counts_as="calibration")) == (["e"], ["f"])
    assert by(ON, counts_as=("counted", "control")) == ["b", "d", "e"]
    assert by(ON, outcome="harmed") == []


def test_a_number_without_trials_is_no_link():
    found = index(from_rows([row("a")]), OFF)
    assert found.link("0", OFF, outcome="harmed") == "0"
    assert Index().link("7", OFF) == "7"
    (link,) = found.link("1", OFF, outcome="healed")
    assert link == Link("1", "tab-trials", (("model", ("off",)), ("policy", ("default",)), ("outcome", ("healed",))))


def test_suspect_trials_of_every_cell_come_first(monkeypatch):
    monkeypatch.setattr(module, "MOST_SHOWN", 6)
    monkeypatch.setattr(module, "_LOOKED_AT", 4)
    rows = [row(f"off{i}", outcome="unrecovered", repeat=i) for i in range(1, 9)]
    rows += [row(f"cpu{i}", arm=ON, outcome="unrecovered", repeat=i) for i in range(1, 9)]
    rows += [row(f"net{i}", arm=ON, chaos="net", repeat=i) for i in range(1, 8)]
    rows += [row("net8", arm=ON, chaos="net", repeat=8, flags="conflict")]
    found = index(from_rows(rows), OFF)
    assert names(found, found.shown) == ["off1", "cpu1", "cpu2", "cpu3", "net1", "net8"]


@pytest.mark.parametrize("n", [0, 1, 30])
def test_few_trials_are_all_listed_and_shown(n):
    found = index(from_rows([row(f"t{i}", repeat=i + 1) for i in range(max(n, 1))]).iloc[:n], OFF)
    assert found.shown == tuple(range(n))
    assert found.whole == len(found.rows) == n


def test_of_too_many_those_that_say_most_are_listed(monkeypatch):
    monkeypatch.setattr(module, "MOST_ROWS", 20)
    rows = [row(f"t{i}", arm=ON, repeat=i + 1, flags="contested" if i == 70 else "") for i in range(80)]
    found = index(from_rows(rows), OFF)
    assert (len(found.rows), found.whole) == (20, 80)
    assert found.places[-1] == 70
    assert names(found, [19]) == ["t70"]
