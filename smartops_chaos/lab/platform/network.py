"""What a bad network path does to the requests that the gateway sends over it: delay, and loss as TCP suffers it.

Emulated in user space, since a user has no right to shape packets, by the code that does it on real pods: the `Trouble`
of `inside.proxy`. An exchange is a small one on an open connection: two segments there (head and body of the request),
two back (of the answer), each sent when the one before has arrived, so that only the retransmission time-out tells of a
loss. Lost acknowledgements cost nothing, since the next segment acknowledges too. So loss makes an answer late, and
missing only where it is later than the gateway is patient. What is left out: the window that shrinks, lost handshakes
of new connections.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from smartops_chaos.inside.proxy import Trouble

SEGMENTS = 2  # each way
_THERE, _BACK = 0, 1


@dataclass(frozen=True, slots=True)
class NetworkFault:
    """A fault on the way to one pod."""

    id: str
    seed: int
    delay_s: float = 0.0
    jitter_s: float = 0.0  # uniform, to both sides of the delay
    loss: float = 0.0  # of transmissions, 0 to 1


class NetworkPath:
    """The path to a pod with one fault on it, which has its own dice; and what requests have met there."""

    def __init__(self, fault: NetworkFault) -> None:
        self.fault = fault
        params = {"delay": fault.delay_s, "jitter": fault.jitter_s, "loss": fault.loss}
        self._trouble = Trouble({"params": params}, fault.seed)
        self._requests = 0
        self._waited_s = 0.0

    async def there(self) -> None:
        """The way of a request."""
        self._requests += 1
        await self._wait(self._trouble.drawn_delay_s() + self.lost_s(_THERE))

    async def back(self) -> None:
        """The way of its answer."""
        await self._wait(self.lost_s(_BACK))

    def seen(self) -> dict[str, float]:
        """Requests, their mean wait in seconds as it was measured, transmissions, and how many of these were lost."""
        mean_s = self._waited_s / self._requests if self._requests else 0.0
        return {"requests": self._requests, "mean_s": mean_s, "sent": self._trouble.sent, "lost": self._trouble.lost}

    def lost_s(self, way: int) -> float:
        """Seconds that one way's segments wait for their retransmissions."""
        if not self.fault.loss:
            return 0.0
        return sum(self._trouble.time_outs_s(way, 1) for _ in range(SEGMENTS))

    async def _wait(self, seconds: float) -> None:
        if seconds:
            begin = time.perf_counter()
            try:
                await asyncio.sleep(seconds)
            finally:
                self._waited_s += time.perf_counter() - begin
