"""`monitor`: the measuring instrument as a service beside a standing system."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from smartops_chaos.errors import UsageError


def monitor(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="monitor.yaml: docs/monitor.md.")] = None,
    folder: Annotated[Path, typer.Option("--folder", help="Where incidents and raw evidence are kept.")] = Path(
        "monitor"
    ),
    listen: Annotated[str, typer.Option("--listen", metavar="HOST:PORT", help="Instead of the file's.")] = "",
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of FILE.")] = False,
) -> None:
    """Measure what happens by itself: incidents of a running service, /metrics, and a page that shows them.

    It can be ended and started again at any moment, with the same folder.
    """
    from smartops_chaos.monitor import service
    from smartops_chaos.schema import monitorfile

    if schema:
        print(monitorfile.schema_text(), end="")
        return
    if file is None:
        raise UsageError("nothing says what to observe", "give a file: docs/monitor.md has one")
    found = monitorfile.load(file)
    if listen:
        try:
            found = found.model_copy(update={"listen": monitorfile.listen_address(listen)})
        except ValueError as error:
            raise UsageError(f"--listen {listen}: {error}") from None
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    # A trial marks its phases in its log; the monitor, which reads the same sources, has none.
    logging.getLogger("smartops_chaos").addFilter(lambda record: not record.getMessage().startswith("phase "))
    service.run(found, file.parent, folder)
