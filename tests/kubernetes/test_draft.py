"""What moved after a fault, and the healer file that `attach` makes of it."""

from __future__ import annotations

from pathlib import Path

from smartops_chaos.kubernetes import draft
from smartops_chaos.model import LogLine
from smartops_chaos.schema import healerfile
from smartops_chaos.timeline import rulecheck

S = 10**9
FAULT_NS = 100 * S
EVENTS = "kubernetes/events"
LINES = [
    *(LogLine(n * S, "operator", f"INFO reconciled 12{n} objects in 0.{n}s") for n in range(80, 160)),
    LogLine(90 * S, "operator", "lease renewed by operator-7d4b9c6f5-x2x4z"),
    LogLine(102 * S, "operator", 'WARN pod shop-6d4b8c7f9d-q8w2e is unhealthy ("probe")'),
    LogLine(103 * S, "operator", 'WARN pod shop-6d4b8c7f9d-t5r6z is unhealthy ("probe")'),
    LogLine(104 * S, "operator", "restarting ns/shop: it's down #1"),
    LogLine(105 * S, "operator", "lease renewed by operator-7d4b9c6f5-x2x4z"),
    LogLine(106 * S, "shop", "listening on 8080"),
    LogLine(101 * S, EVENTS, "reason=Killing object=Pod/shop-1 by=kubelet type=Normal Stopping container", cut_ns=S),
    LogLine(107 * S, "operator", "cache warmed"),
]


def seen() -> draft.Seen:
    found = draft.moved(sorted(LINES, key=lambda line: line.at_ns), FAULT_NS, quiet_s=20, watched_s=60)
    sizes = {"shop": 2, "operator": 1}
    return draft.Seen("shop-test", "shop", 8080, sizes, "one pod of shop was deleted", 20, 60, found, ("heals_total",))


def test_only_what_is_new_has_moved_in_order_of_its_first_time() -> None:
    found = seen().moved
    assert [(one.component, one.count, one.moment) for one in found] == [
        (EVENTS, 1, ""),  # the platform replaces the pod: no healer's doing
        ("operator", 2, "detected"),
        ("operator", 1, "acted"),
        ("shop", 1, ""),
        ("operator", 1, ""),
    ]
    assert [one.first_s for one in found] == [1, 2, 4, 6, 7]


def test_the_file_is_a_healer_file_whose_rules_match_what_was_seen(tmp_path: Path) -> None:
    text = draft.healer_file(seen())
    file = tmp_path / "healer.yaml"
    file.write_text(text, encoding="utf-8")
    healer = healerfile.load(str(file))
    assert healer.kubernetes is not None
    assert healer.kubernetes.components == ("operator",)
    assert healer.kubernetes.reset.replicas == {"shop": 2, "operator": 1}
    told = "\n".join(rulecheck.check(healer, [line for line in LINES if line.at_ns >= FAULT_NS]).sentences())
    assert told.count("    detected: ") == 2
    assert told.count("    acted: ") == 1
    assert "# also came after the fault: kubernetes/events: reason=Killing" in text
    assert "matches nothing" not in told
    assert "# of operator: 2 times in 60 s, first 2.0 s after the fault; never in 20 s before it" in text
    assert "# also came after the fault: operator: cache warmed" in text
    assert "# rose after the fault: heals_total" in text


def test_where_nothing_moved_the_file_says_so(tmp_path: Path) -> None:
    nothing = draft.Seen("n", "shop", 80, {"shop": 1}, "", 5, 5, (), ())
    file = tmp_path / "healer.yaml"
    file.write_text(draft.healer_file(nothing), encoding="utf-8")
    healer = healerfile.load(str(file))
    assert healer.moments == healerfile.MomentRules()
    assert "no fault was injected" in file.read_text(encoding="utf-8")
