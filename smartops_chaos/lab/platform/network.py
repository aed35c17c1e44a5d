"""What a bad network path does to the requests that the gateway sends over it: delay, and loss as TCP suffers it.

Emulated in user space, since a user has no right to shape packets. An exchange is a small one on an open connection:
two segments there (head and body of the request), two back (of the answer), each sent when the one before has arrived.
Every transmission is lost with probability `loss`, on its own. So few segments are under way that no duplicate
acknowledgements tell of a loss; only the retransmission time-out does: 200 ms (Linux' TCP_RTO_MIN, which outweighs a
loopback's round trip), doubled each time that the same segment is lost again (RFC 6298, 5.5). Lost acknowledgements
cost nothing, since the next segment acknowledges too. So loss makes an answer late, and missing only where it is
later than the gateway is patient. What is left out: the window that shrinks, lost handshakes of new connections.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass

SEGMENTS = 2  # each way
RTO_S = 0.2


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
        self._dice = random.Random(fault.seed)
        self._requests = self._sent = self._lost = 0
        self._waited_s = 0.0

    async def there(self) -> None:
        """The way of a request."""
        self._requests += 1
        jitter_s = self.fault.jitter_s
        await self._wait(max(0.0, self.fault.delay_s + self._dice.uniform(-jitter_s, jitter_s)) + self.lost_s())

    async def back(self) -> None:
        """The way of its answer."""
        await self._wait(self.lost_s())

    def seen(self) -> dict[str, float]:
        """Requests, their mean wait in seconds as it was measured, transmissions, and how many of these were lost."""
        mean_s = self._waited_s / self._requests if self._requests else 0.0
        return {"requests": self._requests, "mean_s": mean_s, "sent": self._sent, "lost": self._lost}

    def lost_s(self) -> float:
        """Seconds that one way's segments wait for their retransmissions."""
        if not self.fault.loss:
            return 0.0
        total_s = 0.0
        for _ in range(SEGMENTS):
            time_out_s = RTO_S
            self._sent += 1
            while self._dice.random() < self.fault.loss:
                self._sent += 1
                self._lost += 1
                total_s += time_out_s
                time_out_s *= 2
        return total_s

    async def _wait(self, seconds: float) -> None:
        if seconds:
            begin = time.perf_counter()
            try:
                await asyncio.sleep(seconds)
            finally:
                self._waited_s += time.perf_counter() - begin
