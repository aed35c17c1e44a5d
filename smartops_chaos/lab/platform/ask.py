"""What programs on this machine answer to a GET request; no answer is an answer too."""

from __future__ import annotations

import aiohttp


async def ask(client: aiohttp.ClientSession, url: str, timeout_s: float | None = None) -> str | None:
    """The text of an answer with status 200; None for any other, and where nobody answers in time."""
    timeout = client.timeout if timeout_s is None else aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with client.get(url, timeout=timeout) as answer:
            return await answer.text() if answer.status == 200 else None
    except (aiohttp.ClientError, OSError):
        return None
