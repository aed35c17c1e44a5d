"""The windows of a campaign as files for those who train detectors, streamed trial by trial:

windows.csv       a row a window: trial, split, labels, times
samples.csv.gz    a row a sample: its window, time, series and value
metrics.csv       a row a metric: from which job, how often, and whether it gives the answer away
README.md         the card: what all of that means, how it was split, how much there is of what
"""

from __future__ import annotations

import gzip
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from smartops_chaos.analysis import load
from smartops_chaos.errors import NothingSelected
from smartops_chaos.export import window_card, windows
from smartops_chaos.export.columns import Columns, CsvTable
from smartops_chaos.export.window_card import Contents, Metric
from smartops_chaos.export.windows import LabelledSample, LabelledWindow
from smartops_chaos.model import ChaosLevel, Evidence, Plan, Record, Series, Trial
from smartops_chaos.schema import healerfile
from smartops_chaos.schema.healerfile import HealerFile
from smartops_chaos.store.campaign_folder import Store
from smartops_chaos.timeline.rules import process_of

_HINTS = "windows need trials that ran here, and a healer file that names `metrics`"


def write(stores: Sequence[Store], out: Path) -> list[Path]:
    """Write the four files into `out`, the card first; one trial is in memory at a time.

    Raises UsageError as `load.recorded`, and NothingSelected where no trial has windows.
    """
    plan = load.shared(stores).plan
    out.mkdir(parents=True, exist_ok=True)
    card, listed, sampled, measured = (
        out / name for name in ("README.md", "windows.csv", "samples.csv.gz", "metrics.csv")
    )
    with listed.open("w", encoding="utf-8", newline="") as rows, _packed(sampled) as values:
        writer = _Writer(plan, rows, values)
        for trial, store, record in load.recorded(stores, plan):
            folder = store.trial(trial.id)
            if folder.has_evidence():
                writer.add(folder.read_evidence(), record)
            else:
                writer.contents.left_out["no evidence"] += 1
    contents = writer.contents
    if not contents.trials:
        listed.unlink()
        sampled.unlink()
        why = window_card.left_out(contents) or "none is recorded"
        raise NothingSelected(f"{stores[0].name} has no trial with windows ({why})", _HINTS)
    with measured.open("w", encoding="utf-8", newline="") as rows:
        table = CsvTable(rows, _METRIC_COLUMNS)
        for metric in sorted(contents.metrics.items()):
            table.add(metric)
    card.write_text(window_card.text(stores[0].name, plan, contents), encoding="utf-8")
    return [card, listed, sampled, measured]


@dataclass(frozen=True, slots=True)
class _Windows:
    """A trial's windows and what its rows share."""

    trial: Trial
    family: str
    split: str
    windows: Sequence[LabelledWindow]
    zero_ns: int  # what seconds count from
    objects: str  # that the fault hit
    labels: Mapping[int, str]  # id of a series -> its labels as JSON
    samples: Counter[int]  # place of a window -> samples in it, counted as they are written

    def name(self, place: int) -> str:
        return f"{self.trial.id}#{place}"

    def seconds(self, ns: int) -> str:
        return f"{(ns - self.zero_ns) / 1e9:.6f}"


_WINDOW_COLUMNS: Columns[tuple[_Windows, int]] = {
    "window": lambda row: row[0].name(row[1]),
    "trial": lambda row: row[0].trial.id,
    "split": lambda row: row[0].split,
    "phase": lambda row: row[0].windows[row[1]].phase,
    "impaired": lambda row: row[0].windows[row[1]].impaired,
    "label": lambda row: row[0].windows[row[1]].label,
    "start_s": lambda row: row[0].seconds(row[0].windows[row[1]].start_ns),
    "end_s": lambda row: row[0].seconds(row[0].windows[row[1]].end_ns),
    "samples": lambda row: row[0].samples[row[1]],
    "kind": lambda row: row[0].trial.phase,
    "block": lambda row: row[0].trial.block,
    "chaos": lambda row: row[0].trial.chaos,
    "family": lambda row: row[0].family,
    "workload": lambda row: row[0].trial.workload,
    "model": lambda row: row[0].trial.model,
    "policy": lambda row: row[0].trial.policy,
    "objects": lambda row: row[0].objects,
    "zero_ns": lambda row: row[0].zero_ns,
}
_SAMPLE_COLUMNS: Columns[tuple[_Windows, LabelledSample]] = {
    "window": lambda row: row[0].name(row[1].window),
    "at_s": lambda row: row[0].seconds(row[1].at_ns),
    "metric": lambda row: row[1].series.name,
    "job": lambda row: row[1].series.labels.get("job", ""),
    "labels": lambda row: row[0].labels[id(row[1].series)],
    "value": lambda row: repr(row[1].value),
    "hit": lambda row: row[1].hit,
}
_METRIC_COLUMNS: Columns[tuple[tuple[str, str], Metric]] = {
    "metric": lambda row: row[0][0],
    "job": lambda row: row[0][1],
    "series": lambda row: row[1].series,
    "samples": lambda row: row[1].samples,
    "every_s": lambda row: round(row[1].span_s / row[1].gaps, 3) if row[1].gaps else "",
    "gives_away": lambda row: row[1].gives_away,
}


class _Writer:
    """Rows of one trial after another; what is counted grows with metrics and classes, not with trials."""

    def __init__(self, plan: Plan, listed: TextIO, sampled: TextIO) -> None:
        self.contents = Contents()
        self._plan = plan
        self._splits = windows.splits(plan.trials, plan.seed)
        self._answers = _Answers(healerfile.restore(plan.healer), plan.chaos.values())
        self._listed = CsvTable(listed, _WINDOW_COLUMNS)
        self._sampled = CsvTable(sampled, _SAMPLE_COLUMNS)

    def add(self, evidence: Evidence, record: Record) -> None:
        trial, chaos = evidence.trial, self._plan.chaos[evidence.trial.chaos]
        if why := windows.why_not(evidence, record, chaos):
            self.contents.left_out[why] += 1
            return
        found = _Windows(
            trial,
            chaos.family,
            self._splits[trial.block],
            windows.windows(evidence, record, chaos),
            windows.zero_ns(evidence, chaos),
            "|".join(dict.fromkeys(name for fact in evidence.faults for name in fact.objects)),
            {id(series): windows.labels(series) for series in evidence.series},
            Counter(),
        )
        seen: dict[int, list[int]] = {}  # of each series the stamps
        for sample in windows.samples(evidence, found.windows):
            found.samples[sample.window] += 1
            seen.setdefault(id(sample.series), []).append(sample.at_ns)
            self._sampled.add((found, sample))
        for place, window in enumerate(found.windows):
            self._listed.add((found, place))
            self.contents.windows[window.label, found.split] += 1
            self.contents.samples[window.label, found.split] += found.samples[place]
        self.contents.trials[chaos.family, found.split] += 1
        self._count(evidence.series, seen)

    def _count(self, all_series: Sequence[Series], seen: dict[int, list[int]]) -> None:
        for series, gives_away in self._answers.of(all_series):
            stamps = seen.get(id(series), [])
            if not stamps:
                continue
            metric = self.contents.metrics.setdefault((series.name, series.labels.get("job", "")), Metric())
            metric.series += 1
            metric.samples += len(stamps)
            metric.gaps += len(stamps) - 1
            metric.span_s += (stamps[-1] - stamps[0]) / 1e9
            metric.gives_away = metric.gives_away or gives_away


class _Answers:
    """Which series give the answer away: those that rules read, others of the healer's processes, a fault's own."""

    def __init__(self, healer: HealerFile, chaos: Iterable[ChaosLevel]) -> None:
        rules = [rule for _, moment in healer.moments for rule in moment]
        self._read = {rule.increase for rule in rules if rule.increase} | ({"ALERTS"} if healer.alerts else set())
        blocks = [block for level in chaos for part in level.parts for block in part.definition.get("extensions", ())]
        self._fault = {name for block in blocks for name in block.get("leaks", ())}

    def of(self, all_series: Sequence[Series]) -> Iterator[tuple[Series, str]]:
        healers = {process_of(series) for series in all_series if series.name in self._read and series.name != "ALERTS"}
        for series in all_series:
            read = "healer: read by its rules" if series.name in self._read else ""
            near = "healer: from its process" if process_of(series) in healers else ""
            yield series, "fault: its own switch" if series.name in self._fault else read or near


@contextmanager
def _packed(path: Path) -> Iterator[TextIO]:
    """A text file, compressed, without the name and the time that would make two equal ones differ."""
    with (
        path.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="") as text,
    ):
        yield text
