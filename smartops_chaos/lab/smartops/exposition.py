"""Counters, gauges and histograms in Prometheus' text format: just what the lab's processes export and read."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping

Labels = tuple[tuple[str, str], ...]

BUCKETS_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 2.0, 5.0)
CONTENT_TYPE = "text/plain; version=0.0.4"

_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Metrics:
    """A series exists from its first use on, as with the Prometheus clients: a labelled counter is born at 1."""

    def __init__(self) -> None:
        self._types: dict[str, str] = {}
        self._values: dict[str, dict[Labels, float]] = {}
        self._histograms: dict[str, dict[Labels, list[float]]] = {}  # a count per bucket, one over, the sum

    def inc(self, name: str, amount: float = 1, **labels: str) -> None:
        series = self._series(name, "counter")
        key = _key(labels)
        series[key] = series.get(key, 0) + amount

    def set(self, name: str, value: float, **labels: str) -> None:
        self._series(name, "gauge")[_key(labels)] = value

    def set_counter(self, name: str, total: float, **labels: str) -> None:
        """A counter that somebody else counts."""
        self._series(name, "counter")[_key(labels)] = total

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        self._types[name] = "histogram"
        cells = self._histograms.setdefault(name, {}).setdefault(_key(labels), [0.0] * (len(BUCKETS_S) + 2))
        cells[bisect_left(BUCKETS_S, seconds)] += 1
        cells[-1] += seconds

    def render(self) -> str:
        lines = []
        for name, kind in sorted(self._types.items()):
            lines.append(f"# TYPE {name} {kind}")
            lines.extend(self._histogram_lines(name) if kind == "histogram" else self._value_lines(name))
        return "\n".join(lines) + "\n"

    def _series(self, name: str, kind: str) -> dict[Labels, float]:
        self._types[name] = kind
        return self._values.setdefault(name, {})

    def _value_lines(self, name: str) -> Iterator[str]:
        for labels, value in sorted(self._values[name].items()):
            yield _line(name, labels, value)

    def _histogram_lines(self, name: str) -> Iterator[str]:
        for labels, cells in sorted(self._histograms[name].items()):
            total = 0.0
            for bound, count in zip([*map(str, BUCKETS_S), "+Inf"], cells, strict=False):
                total += count
                yield _line(f"{name}_bucket", (*labels, ("le", bound)), total)
            yield _line(f"{name}_count", labels, total)
            yield _line(f"{name}_sum", labels, cells[-1])


def parse(text: str) -> dict[tuple[str, Labels], float]:
    """The samples of a text exposition by name and sorted labels; lines that are no sample are skipped."""
    samples = {}
    for line in text.split("\n"):
        if match := _SAMPLE.match(line):
            name, labels, value = match.groups()
            key = _key({k: re.sub(r"\\(.)", _unescape, v) for k, v in _LABEL.findall(labels or "")})
            samples[name, key] = float(value)
    return samples


def _key(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted(labels.items()))


def _line(name: str, labels: Labels, value: float) -> str:
    inside = ",".join(f'{key}="{_escape(text)}"' for key, text in labels)
    return f"{name}{{{inside}}} {value!r}" if inside else f"{name} {value!r}"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _unescape(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]
