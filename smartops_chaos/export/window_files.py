"""The windows of a campaign as files for those who train detectors, streamed trial by trial:

windows.csv       a row a window: trial, split, labels, times
samples.csv.gz    a row a sample: its window, time, series and value
metrics.csv       a row a metric: from which job, how often, and whether it gives the answer away
README.md         the card: what all of that means, how it was split, how much there is of what
"""

from __future__ import annotations

import csv
import gzip
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from smartops_chaos.analysis import load
from smartops_chaos.errors import NothingSelected
from smartops_chaos.export import window_card, windows
from smartops_chaos.export.window_card import Contents, Metric
from smartops_chaos.model import ChaosLevel, Evidence, Plan, Record, Series
from smartops_chaos.schema import healerfile
from smartops_chaos.schema.healerfile import HealerFile
from smartops_chaos.store.campaign_folder import Store
from smartops_chaos.timeline.rules import process_of

_TIMES = ("start_s", "end_s", "samples")
_ABOUT = ("kind", "block", "chaos", "family", "workload", "model", "policy", "objects", "zero_ns")
WINDOW_COLUMNS = ("window", "trial", "split", "phase", "impaired", "label", *_TIMES, *_ABOUT)
SAMPLE_COLUMNS = ("window", "at_s", "metric", "job", "labels", "value", "hit")
METRIC_COLUMNS = ("metric", "job", "series", "samples", "every_s", "gives_away")
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
        table = csv.writer(rows, lineterminator="\n")
        table.writerow(METRIC_COLUMNS)
        for (name, job), metric in sorted(contents.metrics.items()):
            every_s = round(metric.span_s / metric.gaps, 3) if metric.gaps else ""
            table.writerow([name, job, metric.series, metric.samples, every_s, metric.gives_away])
    card.write_text(window_card.text(stores[0].name, plan, contents), encoding="utf-8")
    return [card, listed, sampled, measured]


class _Writer:
    """Rows of one trial after another; what is counted grows with metrics and classes, not with trials."""

    def __init__(self, plan: Plan, listed: TextIO, sampled: TextIO) -> None:
        self.contents = Contents()
        self._plan = plan
        self._splits = windows.splits(plan.trials, plan.seed)
        self._answers = _Answers(healerfile.restore(plan.healer), plan.chaos.values())
        self._listed = csv.writer(listed, lineterminator="\n")
        self._sampled = csv.writer(sampled, lineterminator="\n")
        self._listed.writerow(WINDOW_COLUMNS)
        self._sampled.writerow(SAMPLE_COLUMNS)

    def add(self, evidence: Evidence, record: Record) -> None:
        trial, chaos = evidence.trial, self._plan.chaos[evidence.trial.chaos]
        if why := windows.why_not(evidence, record, chaos):
            self.contents.left_out[why] += 1
            return
        found, zero_ns = windows.windows(evidence, record, chaos), windows.zero_ns(evidence, chaos)
        split = self._splits[trial.block]
        names = [f"{trial.id}#{place}" for place in range(len(found))]
        taken = Counter[int]()
        seen: dict[int, list[int]] = {}  # of each series the stamps
        labels = {id(series): windows.labels(series) for series in evidence.series}
        for sample in windows.samples(evidence, found):
            series = sample.series
            taken[sample.window] += 1
            seen.setdefault(id(series), []).append(sample.at_ns)
            at_s, job = _seconds(sample.at_ns - zero_ns), series.labels.get("job", "")
            self._sampled.writerow(
                [names[sample.window], at_s, series.name, job, labels[id(series)], repr(sample.value), sample.hit]
            )
        objects = "|".join(dict.fromkeys(name for fact in evidence.faults for name in fact.objects))
        about = [trial.phase, trial.block, trial.chaos, chaos.family, trial.workload, trial.model, trial.policy]
        for place, window in enumerate(found):
            times = [_seconds(window.start_ns - zero_ns), _seconds(window.end_ns - zero_ns)]
            labelled = [window.phase, window.impaired, window.label]
            self._listed.writerow(
                [names[place], trial.id, split, *labelled, *times, taken[place], *about, objects, zero_ns]
            )
            self.contents.windows[window.label, split] += 1
            self.contents.samples[window.label, split] += taken[place]
        self.contents.trials[chaos.family, split] += 1
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


def _seconds(ns: int) -> str:
    return f"{ns / 1e9:.6f}"


@contextmanager
def _packed(path: Path) -> Iterator[TextIO]:
    """A text file, compressed, without the name and the time that would make two equal ones differ."""
    with (
        path.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="") as text,
    ):
        yield text
