"""What became of a trial's faults: the target's own account, and ours for a fault that it does not know.

A fault of any Chaos Toolkit extension is known to nobody but its own activities: then its confirmation and its rollback
speak for it, and its file says what it hits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from smartops_chaos.model import Call, FaultFact
from smartops_chaos.targets.base import Lane


def facts(
    lane: Lane, ids: Sequence[str], hits: Sequence[Sequence[str]], calls: Sequence[Call]
) -> tuple[FaultFact, ...]:
    """`hits` are the objects of each part by its file. Raises LaneLost."""
    if not any(call.what == "inject" for call in calls):
        return ()
    known = {fact.part: fact for fact in lane.faults(ids, calls)}
    return tuple(known.get(part) or _own(part, ids[part], hits[part], calls) for part in range(len(ids)))


def _own(part: int, fault_id: str, hits: Sequence[str], calls: Sequence[Call]) -> FaultFact:
    confirmed = [call for call in calls if (call.what, call.part) == ("confirm", part)]
    reverted = [call for call in calls if (call.what, call.part) == ("revert", part) and call.ok]
    receipts: list[Any] = [call.output for call in calls if (call.what, call.part) == ("inject", part)]
    said = [str(name) for receipt in receipts if isinstance(receipt, dict) for name in receipt.get("objects") or ()]
    return FaultFact(
        part=part,
        id=fault_id,
        confirmed=bool(confirmed) and all(call.ok for call in confirmed),
        effect=str(confirmed[-1].output)[:200] if confirmed else "",
        objects=tuple(said or hits),
        ended=reverted[0].at if reverted else None,
        ended_by="harness" if reverted else "",
    )
