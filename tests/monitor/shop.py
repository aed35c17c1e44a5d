"""A small service whose outages are known: it answers every request as it was last told to.

    python shop.py    prints its port; POST /be {"share": 0.3} makes three of ten answers bad, and says when that began

Which answers are bad is not left to chance: of every ten in a row the same number.
"""

from __future__ import annotations

import itertools
import time

from aiohttp import web


def application() -> web.Application:
    numbers = itertools.count()
    bad = {"share": 0.0}

    async def order(_: web.Request) -> web.Response:
        number = next(numbers)
        failed = int((number + 1) * bad["share"]) > int(number * bad["share"])
        return web.Response(status=500 if failed else 200)

    async def be(request: web.Request) -> web.Response:
        before = time.time_ns()
        bad["share"] = float((await request.json())["share"])
        return web.json_response({"between": [before, time.time_ns()]})

    app = web.Application()
    app.add_routes([web.post("/simulate/load", order), web.post("/be", be)])
    return app


async def _main() -> None:
    runner = web.AppRunner(application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    import asyncio

    asyncio.run(_main())
