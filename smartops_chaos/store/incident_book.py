"""A monitor's folder. The only module that knows its paths.

    <folder>/incidents.ndjson       one line each, in order of their beginning; rewritten whole when one changes
             raw/requests-<ns>.csv  what was asked since then, in the form of `request_log`
                 lines-<ns>.ndjson  lines of the healer that a rule matched
             .lock                  while a monitor runs

Incidents are kept for ever; what they were derived from only as long as there is room.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from smartops_chaos.errors import PreflightFailed, UsageError
from smartops_chaos.store import folder_lock
from smartops_chaos.store.jsonfiles import adapter, content, write_atomically
from smartops_chaos.timeline.incident import Incident

INCIDENTS = "incidents.ndjson"
_DAMAGED = "mend or move the line: every line is one incident, as `smartops-chaos monitor` wrote it"


@dataclass(frozen=True, slots=True)
class IncidentBook:
    path: Path

    @property
    def file(self) -> Path:
        return self.path / INCIDENTS

    @property
    def raw(self) -> Path:
        return self.path / "raw"

    def exists(self) -> bool:
        return self.file.is_file()

    def read(self) -> list[Incident]:
        """In order of their beginning; none where nothing has happened yet. Raises UsageError for a damaged line."""
        try:
            lines = content(self.file).splitlines()
        except FileNotFoundError:
            return []
        found: dict[str, Incident] = {}
        for number, line in enumerate(lines, 1):
            try:
                incident: Incident = adapter(Incident).validate_json(line)
            except ValueError as error:
                what = str(error).splitlines()[-2:]
                raise UsageError(f"{self.file}:{number}:1: no incident: {' '.join(what)[:300]}", _DAMAGED) from None
            if not {"impacted"} <= incident.timeline.events.keys():
                raise UsageError(f"{self.file}:{number}:1: an incident without an impact", _DAMAGED)
            found[incident.id] = incident
        return sorted(found.values(), key=lambda one: one.impacted.lo_ns)

    def write(self, incidents: list[Incident]) -> None:
        """All or nothing, so that nobody ever sees an incident twice or half."""
        write_atomically(self.file, b"".join(adapter(Incident).dump_json(one) + b"\n" for one in incidents))

    def locked(self) -> AbstractContextManager[None]:
        """One monitor a folder. Raises PreflightFailed when there is another."""
        hint = "end it, or say another --folder"
        return folder_lock.locked(
            self.path,
            "--folder",
            lambda _: PreflightFailed(f"{self.path} is in use by another monitor", hint),
            inside=self.raw.name,
        )
