"""The trace of a request: an ID that comes of its trial and its scheduled time, so that nobody has to store it."""

from __future__ import annotations

import hashlib


def traces_of(trial_id: str, attempt: int) -> str:
    """What tells the traces of a trial's requests from those of any other trial."""
    return f"{trial_id} {attempt}"


def traceparent(traces: str, sched_ns: int) -> str:
    """The header by which a tracing service keeps a request's spans together (W3C Trace Context, level 1), sampled."""
    digest = hashlib.blake2b(f"{traces} {sched_ns}".encode(), digest_size=24).hexdigest()
    return f"00-{digest[:32]}-{digest[32:]}-01"


def trace_id(traces: str, sched_ns: int) -> str:
    """32 hexadecimal digits: what to look for in Tempo or Jaeger."""
    return traceparent(traces, sched_ns).split("-")[1]
