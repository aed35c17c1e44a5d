"""Small campaigns as rows of the trials table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import pytest

Row: TypeAlias = dict[str, Any]
TAU_S = 100.0


def trials(
    model: str, times: Sequence[float], *, chaos: str = "kill", horizon_s: float = TAU_S, **more: object
) -> list[Row]:
    """One row a time: 0 = never bad, the horizon = unrecovered, else healed (by the platform in the arm `off`)."""

    def outcome(time: float) -> str:
        if time == 0:
            return "no_effect" if model == "off" else "prevented"
        if time >= horizon_s:
            return "unrecovered"
        return "platform" if model == "off" else "healed"

    return [
        {
            "chaos": chaos,
            "workload": "steady",
            "model": model,
            "policy": "default",
            "outcome": outcome(time),
            "time_s": time,
            "horizon_s": horizon_s,
            **more,
        }
        for time in times
    ]


@pytest.fixture(name="trials")
def trials_fixture() -> Callable[..., list[Row]]:
    return trials
