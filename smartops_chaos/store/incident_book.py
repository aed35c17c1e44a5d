"""A monitor's folder. The only module that knows its paths.

    <folder>/incidents.ndjson       one line each, in order of their beginning; rewritten whole when one changes
             needless.ndjson        actions of the healer that belong to no incident
             evidence/<id>.gz       all that the incident was derived from: a line of JSON, then its requests
             raw/requests-<ns>.csv  what was asked since then, in the form of `request_log`
                 lines-<ns>.ndjson  lines of the healer that a rule matched
             .lock                  while a monitor runs

Incidents are kept for ever; what they were derived from only as long as there is room, the newest longest.
"""

from __future__ import annotations

import gzip
import zlib
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from smartops_chaos.errors import PreflightFailed, UsageError
from smartops_chaos.model import Action
from smartops_chaos.store import folder_lock, request_log
from smartops_chaos.store.jsonfiles import adapter, content, unpacked, write_atomically
from smartops_chaos.timeline.incident import Incident, IncidentEvidence

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
                raise UsageError(f"{self.file}:{number}:1: no incident: {_reason(error)}", _DAMAGED) from None
            if not {"impacted"} <= incident.timeline.events.keys():
                raise UsageError(f"{self.file}:{number}:1: an incident without an impact", _DAMAGED)
            found[incident.id] = incident
        return sorted(found.values(), key=lambda one: one.impacted.lo_ns)

    def write(self, incidents: list[Incident]) -> None:
        """All or nothing, so that nobody ever sees an incident twice or half."""
        write_atomically(self.file, b"".join(adapter(Incident).dump_json(one) + b"\n" for one in incidents))

    def write_evidence(self, incident_id: str, evidence: IncidentEvidence, most_bytes: int) -> None:
        """The oldest go beyond so many bytes in all."""
        self._evidence.mkdir(exist_ok=True)
        bare = replace(evidence, told=replace(evidence.told, requests=()))
        requests = "".join(map(request_log.line, evidence.told.requests))
        packed = gzip.compress(adapter(IncidentEvidence).dump_json(bare) + b"\n" + requests.encode(), mtime=0)
        write_atomically(self._evidence / f"{incident_id}.gz", packed)
        kept = 0
        for file in sorted(self._evidence.glob("*.gz"), key=lambda file: int(file.stem), reverse=True):
            kept += file.stat().st_size
            if kept > most_bytes:
                file.unlink()

    def read_evidence(self, incident_id: str) -> IncidentEvidence | None:
        """None where it is not kept any more. Raises UsageError for a damaged file."""
        file = self._evidence / f"{incident_id}.gz"
        try:
            first, *lines = unpacked(file).decode().splitlines()
            found: IncidentEvidence = adapter(IncidentEvidence).validate_json(first)
            requests = tuple(map(request_log.parse, lines))
        except FileNotFoundError:
            return None
        except (ValueError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UsageError(
                f"{file} cannot be read: {_reason(error)}", "remove it; the incident stays on record"
            ) from None
        return replace(found, told=replace(found.told, requests=requests))

    @property
    def _evidence(self) -> Path:
        return self.path / "evidence"

    def read_needless(self) -> list[Action]:
        """Raises UsageError for a damaged line."""
        try:
            return [adapter(Action).validate_json(line) for line in content(self._needless).splitlines()]
        except FileNotFoundError:
            return []
        except ValueError as error:
            raise UsageError(f"{self._needless} cannot be read: {_reason(error)}", "mend or move it") from None

    def write_needless(self, actions: list[Action]) -> None:
        write_atomically(self._needless, b"".join(adapter(Action).dump_json(one) + b"\n" for one in actions))

    @property
    def _needless(self) -> Path:
        return self.path / "needless.ndjson"

    def locked(self) -> AbstractContextManager[None]:
        """One monitor a folder. Raises PreflightFailed when there is another."""
        hint = "end it, or say another --folder"
        return folder_lock.locked(
            self.path,
            "--folder",
            lambda _: PreflightFailed(f"{self.path} is in use by another monitor", hint),
            inside=self.raw.name,
        )


def _reason(error: Exception) -> str:
    """The end of what a parser says: what comes before it repeats the text."""
    return " ".join(str(error).splitlines()[-2:])[:300]
