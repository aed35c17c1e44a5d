"""A monitor's folder, read once: its incidents, their numbers, and whether their evidence gives them again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from smartops_chaos.analysis import incident_numbers
from smartops_chaos.analysis.incident_numbers import IncidentNumbers
from smartops_chaos.schema import healerfile
from smartops_chaos.store.incident_book import IncidentBook
from smartops_chaos.timeline.incident import Incident, IncidentEvidence, derive_again


@dataclass(frozen=True, slots=True)
class IncidentData:
    incidents: tuple[Incident, ...]
    numbers: IncidentNumbers
    book: IncidentBook

    def evidence(self, incident: Incident) -> IncidentEvidence | None:
        """None where it is not kept any more. Raises UsageError for a damaged file."""
        return self.book.read_evidence(incident.id)


def load(path: Path) -> IncidentData:
    """Raises UsageError for a damaged file, and NothingSelected where no incident came by itself."""
    book = IncidentBook(path)
    listed = tuple(book.read())
    return IncidentData(listed, incident_numbers.numbers(listed, book.read_needless()), book)


def same(incident: Incident, evidence: IncidentEvidence) -> bool:
    """Whether the evidence, derived again, gives what is on record. Of an incident that was on record at the horizon,
    its end came later: it is not in the evidence."""
    found = derive_again(evidence, healerfile.restore(evidence.healer))
    return found is not None and _without_end(found, incident, found) == _without_end(incident, incident, found)


def _without_end(one: Incident, record: Incident, found: Incident) -> Incident:
    if record.over is found.over:
        return one
    events = {name: event for name, event in one.timeline.events.items() if name != "recovered"}
    timeline = replace(one.timeline, events=events, health=record.timeline.health)
    return replace(one, timeline=timeline, over=False, until_ns=0)
