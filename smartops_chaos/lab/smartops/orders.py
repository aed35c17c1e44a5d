"""The work of a replica: one worker prices one order at a time, and an order takes the same time on every machine.

An order is due a fixed time, its slot, after it began. Within the slot it needs some real CPU time, and what is left is
waiting, as for a slow data store. So the overhead of a machine (HTTP, switches between threads, the work itself) is
inside the slot, and a replica carries exactly 1 / slot orders a second as long as the real work fits. What does not fit
any more, because the machine is too slow or somebody takes the CPU away, makes orders longer.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

SLOT_S = 0.0325  # two replicas are used to 65 % by 40 orders/s, one alone to 130 %
CPU_S = 0.005  # of an order's slot: own CPU time of its work
MAX_WAITING = 4  # the rest is refused at once, so a backlog is gone within half a second
SPAN_S = 3.0  # what counts as recent
NICE = 17  # of the work in a container that has to give way
_KEEP = 2_000

ORDER = json.dumps(
    {
        "order": 4711,
        "lines": [{"sku": f"A-{n:04}", "quantity": n % 7 + 1, "price": f"{n * 13 % 97}.95"} for n in range(12)],
    }
)


def price(order: str) -> str:
    """One unit of work: parse an order, price it in decimal, sign it."""
    lines = json.loads(order)["lines"]
    total = sum((Decimal(line["price"]) * line["quantity"] for line in lines), Decimal())
    return hashlib.sha256(f"{total * Decimal('1.19'):.2f}".encode()).hexdigest()


def units_for(cpu_s: float) -> int:
    """How many units take `cpu_s` seconds of CPU time on this machine; best of several, so that noise adds nothing."""
    sample, best = 50, float("inf")
    for _ in range(8):
        begin = time.thread_time()
        for _ in range(sample):
            price(ORDER)
        best = min(best, time.thread_time() - begin)
    return max(1, round(cpu_s / best * sample))


@dataclass(frozen=True, slots=True)
class Done:
    """An order that has been carried out: for how long it had the worker, and how much of that was not waiting."""

    begin_s: float
    end_s: float
    work_s: float


@dataclass(frozen=True, slots=True)
class Recent:
    """Orders of the last seconds: how many, mean and standard deviation of what one takes, the share of busy time."""

    orders: int
    service_s: float
    spread_s: float
    work_s: float
    utilisation: float


@dataclass
class Timetable:
    """When each order begins and is due, and what became of the last ones. Seconds of a monotonic clock."""

    slot_s: float
    born_s: float
    busy_s: float = 0.0
    work_s: float = 0.0
    orders: int = 0
    _free_s: float = 0.0  # when the worker was through with the last one
    _done: deque[Done] = field(default_factory=lambda: deque(maxlen=_KEEP))

    def finish(self, arrived_s: float, taken_s: float, worked_s: float) -> float:
        """Note an order that was taken up at `taken_s` and worked on until `worked_s`; when its answer is due.

        One that had to wait began when the one before it was due, not when the worker woke up for it: else late
        wake-ups would add up, and the replica would carry less on a busy machine though all its work fits.
        """
        begin_s = max(arrived_s, self._free_s)
        self._free_s = max(begin_s + self.slot_s, worked_s)
        self._done.append(Done(begin_s, self._free_s, worked_s - taken_s))
        self.busy_s += self._free_s - begin_s
        self.work_s += worked_s - taken_s
        self.orders += 1
        return self._free_s

    def recent(self, now_s: float, span_s: float = SPAN_S) -> Recent:
        """Of the orders that ended within `span_s` before now; all zero if there was none."""
        since_s = max(now_s - span_s, self.born_s)
        done = [one for one in list(self._done) if since_s < one.end_s <= now_s]
        if not done:
            return Recent(0, 0.0, 0.0, 0.0, 0.0)
        took = [one.end_s - one.begin_s for one in done]
        mean_s = sum(took) / len(took)
        busy_s = sum(one.end_s - max(one.begin_s, since_s) for one in done)
        return Recent(
            len(done),
            mean_s,
            math.sqrt(sum((one_s - mean_s) ** 2 for one_s in took) / len(took)),
            sum(one.work_s for one in done) / len(done),
            busy_s / (now_s - since_s),
        )


@dataclass
class _Job:
    arrived_s: float
    done: threading.Event = field(default_factory=threading.Event)
    answer: str = ""


class Worker:
    """The one worker of a replica. `extra` is work that befalls an order besides."""

    def __init__(self, units: int, slot_s: float, extra: Callable[[], None]) -> None:
        self.timetable = Timetable(slot_s, time.perf_counter())
        self.gives_way = False  # whether the work weighs less than what else burns in its container
        self._gentle: ThreadPoolExecutor | None = None
        self._units, self._extra = units, extra
        self._jobs: queue.Queue[_Job] = queue.Queue(MAX_WAITING)
        threading.Thread(target=self._work, daemon=True).start()

    def carry_out(self, arrived_s: float) -> str | None:
        """Carry out an order that arrived at that moment of `time.perf_counter`; None when too many wait already."""
        job = _Job(arrived_s)
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            return None
        job.done.wait()
        return job.answer

    def _price(self) -> str:
        left = self._units
        if self.gives_way:
            if self._gentle is None:
                from concurrent.futures import ThreadPoolExecutor  # a pod that is never stressed does without

                # A thread of its own: niceness is a thread's, and nobody but root may take it back.
                self._gentle = ThreadPoolExecutor(1, initializer=os.nice, initargs=(NICE,))
            left = self._gentle.submit(self._gently, left).result()
        return [price(ORDER) for _ in range(left + 1)][-1]

    def _gently(self, units: int) -> int:
        """Work as long as it has to give way; how many units are left then."""
        while self.gives_way and units:
            price(ORDER)
            units -= 1
        return units

    def _work(self) -> None:
        database = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        database.execute("create table priced (signature text)")
        while True:
            job = self._jobs.get()
            taken_s = time.perf_counter()
            job.answer = self._price()
            self._extra()
            database.execute("delete from priced")
            database.execute("insert into priced values (?)", (job.answer,))
            due_s = self.timetable.finish(job.arrived_s, taken_s, time.perf_counter())
            time.sleep(max(0.0, due_s - time.perf_counter()))
            job.done.set()
