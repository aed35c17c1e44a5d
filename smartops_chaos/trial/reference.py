"""What the trial itself does in an arm of reference: it takes the healer's place once the fault is confirmed.

`oracle` knows what was hit and restarts that: a healer that acts through the same platform is only faster if it acts
before the fault is confirmed, so this is the floor. `random` knows only that something is wrong: any of the actions on
any of the objects, which is the chance level. Neither detects anything, so in a trial without a fault both do nothing.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from smartops_chaos.model import ReferenceHealer
from smartops_chaos.timeline.rules import hits

_MOST_REPLICAS = 4


@dataclass(frozen=True, slots=True)
class Repair:
    kind: Literal["restart", "scale"]
    target: str  # "<namespace>/<deployment>"
    replicas: int | None = None  # of a scale


def choose(role: ReferenceHealer, seed: int, hit: Iterable[str], there: Sequence[str]) -> tuple[Repair, ...]:
    """What to do, of what is `there` to act on, the service first; `hit` are the fault's objects, if they are known."""
    if not there:
        return ()
    if role == "oracle":
        right = [target for target in there if hits(target, hit)] or [there[0]]
        return tuple(Repair("restart", target) for target in right)
    draw = random.Random(seed)
    target = draw.choice(there)
    if draw.random() < 0.5:
        return (Repair("restart", target),)
    return (Repair("scale", target, draw.randint(1, _MOST_REPLICAS)),)
