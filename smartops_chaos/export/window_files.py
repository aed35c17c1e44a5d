"""The windows of a campaign as files for those who train detectors, streamed trial by trial:

windows.csv       a row a window: trial, split, labels, times
samples.csv.gz    a row a sample: its window, time, series and value
metrics.csv       a row a metric: from which job, how often, and whether it gives the answer away
README.md         the card (windows.md, filled in): what that means, how it was split, how much there is of what
"""

from __future__ import annotations

import gzip
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TextIO

from smartops_chaos.analysis import load
from smartops_chaos.errors import NothingSelected
from smartops_chaos.export import windows
from smartops_chaos.export.csvfile import CsvFile
from smartops_chaos.export.windows import NORMAL, UNKNOWN, NoWindows
from smartops_chaos.model import ChaosLevel, Evidence, Plan, Record, Series
from smartops_chaos.schema import healerfile
from smartops_chaos.schema.healerfile import HealerFile
from smartops_chaos.store.campaign_folder import CampaignFolder
from smartops_chaos.timeline.rules import process_of

_HINT = "windows need trials that ran here, and a healer file that names `metrics`"
_SPLITS = ("train", "validation", "test")


@dataclass
class _Metric:
    series: int = 0
    samples: int = 0
    gaps: int = 0  # between two samples of a series, and how long all of them are
    span_s: float = 0.0
    gives_away: str = ""  # how it gives the answer away; empty if it does not


@dataclass
class _Contents:
    """What the files hold, counted while they are written: it grows with metrics and classes, not with trials."""

    trials: Counter[tuple[str, str]] = field(default_factory=Counter)  # (family, split)
    windows: Counter[tuple[str, str]] = field(default_factory=Counter)  # (label, split)
    samples: Counter[tuple[str, str]] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)  # why -> trials
    metrics: dict[tuple[str, str], _Metric] = field(default_factory=dict)  # (name, job)

    def why_left_out(self) -> str:
        """How many trials have no windows, and why."""
        return "; ".join(f"{n} {why}" for why, n in sorted(self.left_out.items()))


def write(stores: Sequence[CampaignFolder], out: Path) -> list[Path]:
    """Write the four files into `out`, the card first; one trial is in memory at a time.

    Raises UsageError as `load.recorded`, and NothingSelected where no trial has windows.
    """
    plan = load.shared(stores).plan
    out.mkdir(parents=True, exist_ok=True)
    card, listed, sampled, measured = (
        out / name for name in ("README.md", "windows.csv", "samples.csv.gz", "metrics.csv")
    )
    with listed.open("w", encoding="utf-8", newline="") as rows, _packed(sampled) as values:
        writer = _Writer(plan, CsvFile(rows), CsvFile(values))
        for trial, store, record in load.recorded(stores, plan):
            folder = store.trial(trial.id)
            try:
                if not folder.has_evidence():
                    raise NoWindows("no evidence")
                writer.add(folder.read_evidence(), record)
            except NoWindows as why:
                writer.contents.left_out[str(why)] += 1
    contents = writer.contents
    if not contents.samples.total():
        listed.unlink()
        sampled.unlink()
        why_not = contents.why_left_out() or "none is recorded"
        raise NothingSelected(f"{stores[0].name} has no trial with windows ({why_not})", _HINT)
    with measured.open("w", encoding="utf-8", newline="") as rows:
        table = CsvFile(rows)
        for (name, job), metric in sorted(contents.metrics.items()):
            table.add(
                {
                    "metric": name,
                    "job": job,
                    "series": metric.series,
                    "samples": metric.samples,
                    "every_s": round(metric.span_s / metric.gaps, 3) if metric.gaps else "",
                    "gives_away": metric.gives_away,
                }
            )
    card.write_text(_card(stores[0].name, plan, contents), encoding="utf-8")
    return [card, listed, sampled, measured]


class _Writer:
    """The rows of one trial after another."""

    def __init__(self, plan: Plan, listed: CsvFile, sampled: CsvFile) -> None:
        self.contents = _Contents()
        self._plan, self._listed, self._sampled = plan, listed, sampled
        self._splits = windows.splits(plan.trials, plan.seed)
        self._answers = _Answers(healerfile.restore(plan.healer), plan.chaos.values())

    def add(self, evidence: Evidence, record: Record) -> None:
        """Raises NoWindows."""
        trial, chaos = evidence.trial, self._plan.chaos[evidence.trial.chaos]
        found = windows.labelled(evidence, record, chaos)
        split = self._splits[trial.block]

        def seconds(ns: int) -> str:
            return f"{(ns - found.zero_ns) / 1e9:.6f}"

        labels = {id(series): _as_json(series.labels) for series in evidence.series}
        stamps: dict[int, list[int]] = {}  # of each series
        samples: Counter[int] = Counter()  # of each window
        for sample in windows.samples(evidence, found.windows):
            samples[sample.window] += 1
            stamps.setdefault(id(sample.series), []).append(sample.at_ns)
            self._sampled.add(
                {
                    "window": f"{trial.id}#{sample.window}",
                    "at_s": seconds(sample.at_ns),
                    "metric": sample.series.name,
                    "job": sample.series.labels.get("job", ""),
                    "labels": labels[id(sample.series)],
                    "value": repr(sample.value),
                    "hit": sample.hit,
                }
            )
        for place, window in enumerate(found.windows):
            self._listed.add(
                {
                    "window": f"{trial.id}#{place}",
                    "trial": trial.id,
                    "split": split,
                    "phase": window.phase,
                    "impaired": window.impaired,
                    "label": window.label,
                    "start_s": seconds(window.start_ns),
                    "end_s": seconds(window.end_ns),
                    "samples": samples[place],
                    "kind": trial.phase,
                    "block": trial.block,
                    "chaos": trial.chaos,
                    "family": chaos.family,
                    "workload": trial.workload,
                    "model": trial.model,
                    "policy": trial.policy,
                    "objects": "|".join(dict.fromkeys(name for fact in evidence.faults for name in fact.objects)),
                    "zero_ns": found.zero_ns,
                }
            )
            self.contents.windows[window.label, split] += 1
            self.contents.samples[window.label, split] += samples[place]
        self.contents.trials[chaos.family, split] += 1
        self._count(evidence.series, stamps)

    def _count(self, all_series: Sequence[Series], stamps: Mapping[int, Sequence[int]]) -> None:
        for series, gives_away in self._answers.of(all_series):
            if at := stamps.get(id(series)):
                metric = self.contents.metrics.setdefault((series.name, series.labels.get("job", "")), _Metric())
                metric.series += 1
                metric.samples += len(at)
                metric.gaps += len(at) - 1
                metric.span_s += (at[-1] - at[0]) / 1e9
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


def _card(campaign: str, plan: Plan, contents: _Contents) -> str:
    """The card in Markdown."""
    labels = sorted({label for label, _ in contents.windows}, key=lambda name: (name != NORMAL, name == UNKNOWN, name))
    families = sorted({family for family, _ in contents.trials})
    given = dict.fromkeys(
        f"`{name}` ({metric.gives_away})" for (name, _), metric in sorted(contents.metrics.items()) if metric.gives_away
    )
    template = files("smartops_chaos.export") / "windows.md"
    return Template(template.read_text(encoding="utf-8")).substitute(
        campaign=campaign,
        digest=plan.digest,
        seed=plan.seed,
        target=plan.target.get("kind", ""),
        trials=_counts("trials of the family", families, contents.trials),
        windows=_counts("windows with the label", labels, contents.windows),
        samples=_counts("samples with the label", labels, contents.samples),
        left_out=contents.why_left_out() or "none",
        given=", ".join(given) or "none",
    )


def _counts(head: str, names: Sequence[str], counts: Mapping[tuple[str, str], int]) -> str:
    lines = [f"| {head} | {' | '.join(_SPLITS)} |", "|---|" + "---:|" * len(_SPLITS)]
    lines += [f"| {name} | " + " | ".join(str(counts.get((name, s), 0)) for s in _SPLITS) + " |" for name in names]
    return "\n".join(lines)


def _as_json(labels: Mapping[str, str]) -> str:
    """In one order, so that equal labels are equal texts."""
    return json.dumps(labels, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@contextmanager
def _packed(path: Path) -> Iterator[TextIO]:
    """A text file, compressed, without the name and the time that would make two equal ones differ."""
    with (
        path.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="") as text,
    ):
        yield text
