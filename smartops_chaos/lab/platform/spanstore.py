"""The lane's store of traces: takes OTLP JSON as a collector does, gives a trace back as Jaeger's query API does."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

KEEP = 2_000  # traces; the oldest goes first
_MOST_SPANS = 500  # of one trace


class SpanStore:
    def __init__(self) -> None:
        self._traces: OrderedDict[str, list[dict[str, Any]]] = OrderedDict()  # of each the spans, with their resource

    def add(self, body: dict[str, Any]) -> None:
        """An ExportTraceServiceRequest. Raises KeyError, TypeError, AttributeError for what is none."""
        for resource in body["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    spans = self._traces.setdefault(str(span["traceId"]).lower(), [])
                    if len(spans) < _MOST_SPANS:
                        spans.append({"resource": resource.get("resource", {}), "scopeSpans": [{"spans": [span]}]})
        while len(self._traces) > KEEP:
            self._traces.popitem(last=False)

    def trace(self, trace_id: str) -> dict[str, Any] | None:
        spans = self._traces.get(trace_id.lower())
        return {"result": {"resourceSpans": spans}} if spans else None
