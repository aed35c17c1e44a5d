"""The trials that are left, and which lane gets which: the arms of a block run on one lane, one after the other.

Two arms are compared by what they do under the same conditions. Lanes differ (another core, another node), and what
disturbs a machine disturbs it for a while; so the trials of a block follow each other where and when they are alike.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping

from smartops_chaos.model import Trial


class BlockQueue:
    """Not safe for threads: whoever calls it holds the lock of the lanes."""

    def __init__(self, todo: Iterable[Trial], begun_on: Mapping[int, str]) -> None:
        """`todo` in the plan's order; `begun_on` names the lanes of the blocks that an earlier run has begun."""
        self._blocks: dict[int | str, deque[Trial]] = {}
        for trial in todo:
            # A calibration trial belongs to no block: any lane may take it.
            self._blocks.setdefault(trial.block or trial.id, deque()).append(trial)
        # In the order of the plan, like the blocks.
        self._lanes: dict[int | str, str] = {
            key: begun_on[key] for key in self._blocks if isinstance(key, int) and key in begun_on
        }

    def __len__(self) -> int:
        return sum(map(len, self._blocks.values()))

    def __iter__(self) -> Iterator[Trial]:
        return (trial for block in self._blocks.values() for trial in block)

    def next_for(self, lane: str) -> Trial | None:
        """The next trial of a block that the lane has, else of the first one that no lane has; None: others do all."""
        own = [key for key, owner in self._lanes.items() if owner == lane]
        key = own[0] if own else next((key for key in self._blocks if key not in self._lanes), None)
        return None if key is None else self._blocks[key][0]

    def take(self, trial: Trial, lane: str) -> None:
        """The lane begins the trial that was next for it, and with it the block."""
        key = trial.block or trial.id
        self._blocks[key].popleft()
        self._lanes[key] = lane
        if not self._blocks[key]:
            del self._blocks[key], self._lanes[key]

    def keep_lanes(self, lanes: Collection[str]) -> None:
        """A block that was begun on a lane that is not there any more may go on anywhere."""
        self._lanes = {key: lane for key, lane in self._lanes.items() if lane in lanes}

    def release(self, lane: str) -> None:
        """A lane that does not go on leaves its blocks to the others."""
        self._lanes = {key: owner for key, owner in self._lanes.items() if owner != lane}

    def spare(self, ids: Collection[str]) -> None:
        """Drop trials that a look has made superfluous."""
        kept = {key: deque(t for t in block if t.id not in ids) for key, block in self._blocks.items()}
        self._blocks = {key: block for key, block in kept.items() if block}
        self._lanes = {key: lane for key, lane in self._lanes.items() if key in self._blocks}
