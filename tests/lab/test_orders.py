"""The worker of a replica: what an order takes is set, as long as its real work fits."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from smartops_chaos.lab.smartops import orders


def test_an_order_is_due_a_slot_after_it_arrived() -> None:
    table = orders.Timetable(0.5, born_s=0)
    assert table.finish(arrived_s=10, taken_s=10.1, worked_s=10.2) == 10.5


def test_a_late_wake_up_does_not_make_the_next_order_later() -> None:
    table = orders.Timetable(0.5, born_s=0)
    table.finish(10, 10, 10.1)
    assert table.finish(10.2, taken_s=10.7, worked_s=10.8) == 11  # taken up 0.2 late


def test_work_that_does_not_fit_makes_an_order_longer_and_the_next_begins_at_its_end() -> None:
    table = orders.Timetable(0.5, born_s=0)
    assert table.finish(10, 10, 12) == 12
    assert table.finish(10.1, taken_s=12, worked_s=12.1) == 12.5


def test_busy_time_is_that_of_the_slots_and_not_of_the_work() -> None:
    table = orders.Timetable(0.5, born_s=9)
    table.finish(10, 10, 10.1)
    table.finish(12, 12, 13)
    both = table.recent(13, span_s=10)
    assert (both.orders, both.service_s, both.spread_s, both.utilisation) == (2, 0.75, 0.25, 1.5 / 4)
    assert both.work_s == pytest.approx(0.55)
    assert table.recent(13, span_s=2) == orders.Recent(1, 1.0, 0.0, 1.0, 0.5)
    assert table.recent(20, span_s=2).orders == 0


def test_a_worker_carries_exactly_what_is_set_and_refuses_what_would_wait_too_long() -> None:
    worker = orders.Worker(1, 0.05, lambda: None)
    begin = time.perf_counter()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: worker.carry_out(begin), range(8)))
    assert answers.count(orders.price(orders.ORDER)) in (4, 5)  # the first may be taken up before the others come
    assert answers.count(None) in (3, 4)
    table = worker.timetable
    assert table.busy_s == pytest.approx(0.05 * table.orders, rel=0.2)


def test_the_calibrated_work_takes_its_cpu_time() -> None:
    units = orders.units_for(0.05)
    best = 1.0
    for _ in range(5):
        begin = time.thread_time()
        for _ in range(units):
            orders.price(orders.ORDER)
        best = min(best, time.thread_time() - begin)
    # Only the order of magnitude: a core whose neighbour is busy needs twice as long for the same work, then or now.
    assert 0.01 < best < 0.25


def test_the_same_order_has_the_same_price() -> None:
    assert orders.price(orders.ORDER) == orders.price(orders.ORDER)
    assert orders.price(orders.ORDER) != orders.price('{"lines": []}')


def test_work_that_gives_way_is_nice_and_gets_done_all_the_same() -> None:
    worker = orders.Worker(3, 0.01, lambda: None)

    def niceness() -> set[int]:
        return {os.getpriority(os.PRIO_PROCESS, int(task.name)) for task in Path("/proc/self/task").iterdir()}

    before = niceness()
    worker.gives_way = True
    assert worker.carry_out(time.perf_counter()) == orders.price(orders.ORDER)
    assert niceness() - before <= {max(before) + orders.NICE, 19}
    assert max(niceness()) > max(before)
    worker.gives_way = False
    assert worker.carry_out(time.perf_counter()) == orders.price(orders.ORDER)
