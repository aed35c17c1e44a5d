"""Time in equal slots, and what Prometheus said of each. Pure.

Slot i of n covers (start + i steps, start + (i + 1) steps]. A question looks back one step less a millisecond: a
selector includes its left end up to version 2 of Prometheus and does not from version 3 on, and so both answer alike.
A slot without a value is a slot without data: nothing is carried over from the slot before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter
from typing_extensions import TypedDict


@dataclass(frozen=True, slots=True)
class Grid:
    at_s: float  # its right end, seconds since the epoch
    step_s: float
    slots: int

    @property
    def start_s(self) -> float:
        return self.at_s - self.slots * self.step_s

    def end_of(self, slot: int) -> float:
        """The right end of a slot, seconds since the epoch."""
        return self.start_s + (slot + 1) * self.step_s

    def slot_at(self, time_s: float) -> int:
        """The slot of which this is the right end."""
        return round((time_s - self.start_s) / self.step_s) - 1


@dataclass(frozen=True, slots=True)
class GridLine:
    labels: Mapping[str, str]
    values: Mapping[int, float]  # by slot; the slots without data are not in it


@dataclass(frozen=True, slots=True)
class Stretch:
    """Slots in one row, both ends included."""

    first: int
    last: int

    @property
    def slots(self) -> int:
        return self.last - self.first + 1


class _Row(TypedDict):
    metric: dict[str, str]
    values: list[tuple[float, str]]


class _Matrix(TypedDict):
    result: list[_Row]


_MATRIX = TypeAdapter(_Matrix)


def lines(grid: Grid, answer: object, first: int = 0) -> tuple[GridLine, ...]:
    """The series of an answer of `query_range`, from slot `first` on. Raises ValueError for what is none.

    A counter is wanted from slot -1 on: what it was when the window began.
    """
    found = _MATRIX.validate_python(answer)["result"]
    return tuple(
        GridLine(
            row["metric"],
            {
                slot: float(value)
                for at_s, value in row["values"]
                if first <= (slot := grid.slot_at(at_s)) < grid.slots and value != "NaN"
            },
        )
        for row in found
    )


def stretches(slots: Iterable[int]) -> tuple[Stretch, ...]:
    """The runs of neighbouring slots, in order."""
    found: list[Stretch] = []
    for slot in sorted(set(slots)):
        if found and found[-1].last == slot - 1:
            found[-1] = Stretch(found[-1].first, slot)
        else:
            found.append(Stretch(slot, slot))
    return tuple(found)


def gaps(grid: Grid, covered: Iterable[int]) -> tuple[Stretch, ...]:
    """The runs of slots that are not covered, those at both edges of the window included."""
    return stretches(set(range(grid.slots)) - set(covered))


def increases(counters: Sequence[GridLine], watched: frozenset[int]) -> dict[int, float]:
    """How much counters have grown together, by the slot in which it showed.

    A smaller value than before means that the process began anew, at 0. A series that is born counts from 0 where
    somebody was watching in the slot before (`watched`): a counter with labels is absent until its first use. After a
    gap nobody knows what it was, so there it counts nothing. What grew during a gap shows in the first slot after it.
    """
    grown: dict[int, float] = {}
    for counter in counters:
        before: float | None = None
        for slot in sorted(counter.values):
            value = counter.values[slot]
            if before is not None:
                more = value - before if value >= before else value
            else:
                more = value if slot - 1 in watched else 0.0
            grown[slot] = grown.get(slot, 0.0) + more
            before = value
    return grown


def most_within(grown: Mapping[int, float], slots: int) -> tuple[float, int]:
    """The largest sum over so many slots in one row, and the last slot of it; (0, -1) of nothing."""
    best, best_at = 0.0, -1
    sum_now = 0.0
    inside: list[int] = []
    for slot in sorted(grown):
        inside.append(slot)
        sum_now += grown[slot]
        while inside[0] <= slot - slots:
            sum_now -= grown[inside.pop(0)]
        if sum_now > best:
            best, best_at = sum_now, slot
    return best, best_at
