"""The one way in which a request is repeated: again after a pause that doubles, as long as the caller says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential, wait_random
from tenacity.stop import StopBaseT

LATER = (429, 500, 502, 503, 504)  # HTTP statuses of a server that is busy, starting, or has lost its leader
# The random part keeps lanes that were refused at the same moment from coming back at the same moment.
_PAUSE = wait_exponential(multiplier=0.1, max=2.0) + wait_random(0, 0.05)

T = TypeVar("T")


class Later(Exception):
    """An attempt failed, and the next may succeed.

    `error` is what the caller gets if none does; `after_s` is how long the server asked us to wait, in seconds.
    """

    def __init__(self, error: Exception, after_s: float = 0.0) -> None:
        super().__init__(str(error))
        self.error = error
        self.after_s = after_s


def retried(attempt: Callable[[], T], stop: StopBaseT) -> T:
    """What `attempt` returns, repeated each time it raises Later until tenacity's `stop`. Raises the last `error`."""
    repeat = Retrying(retry=retry_if_exception_type(Later), wait=_pause_s, stop=stop, reraise=True)
    try:
        return repeat(attempt)
    except Later as last:
        raise last.error from last.__cause__


def _pause_s(state: RetryCallState) -> float:
    failure = state.outcome.exception() if state.outcome else None
    return max(_PAUSE(state), failure.after_s if isinstance(failure, Later) else 0.0)
