"""What SmartOps' agents and policy engine do not export themselves, read from their APIs and told as metrics.

    GET <signals>/v1/signals/recent?limit=N    {anomalies: [{score, modelVersion, tsRange}], rcas: [{confidence}]}
    GET <policy>/v1/policy/audit/latest?n=N    {events: [{decision, guardrail_reason, action_plan, ts_utc, ...}]}

Both give the newest few, without numbers of their own: what an answer has more often than the one before is new. What
was there before the monitor is not counted. A thing that an installation does not tell has no series.
"""

from __future__ import annotations

import json
import threading
from collections import Counter as Count
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from smartops_chaos.model import LogLine
from smartops_chaos.monitor.lines import tells
from smartops_chaos.schema.healerfile import HealerFile
from smartops_chaos.store.jsonfiles import write_atomically
from smartops_chaos.telemetry.connection import SourceError, connection

_LIMIT = 200  # items of an answer
_REFERENCE, _RECENT, _FEWEST = 50, 50, 20  # scores: the first of a model, the newest of it, and how many each needs
_CONFLICT_S = 60.0
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_DURATIONS = {"evaluation_ms": 1e-3, "duration_ms": 1e-3, "latency_ms": 1e-3, "evaluation_seconds": 1.0}
_PAYLOAD, _RESPONSE = "POLICY_ENGINE payload=", "POLICY_ENGINE_RESPONSE="
_EXACT_NS = 50_000_000  # wider stamps do not date a step that takes milliseconds

Item = dict[str, Any]


class AgentError(SourceError):
    source = "SmartOps"


def distance(reference: Sequence[float], recent: Sequence[float]) -> float:
    """The two-sample distance of Kolmogorov and Smirnov: how far the shares below a score differ at most, 0 to 1."""
    return max(
        (abs(_share(reference, score) - _share(recent, score)) for score in {*reference, *recent}),
        default=0.0,
    )


def _share(scores: Sequence[float], upto: float) -> float:
    return sum(score <= upto for score in scores) / len(scores)


class NewItems:
    """What successive answers add."""

    def __init__(self) -> None:
        self._before: Count[str] | None = None

    def of(self, items: Iterable[Item]) -> tuple[list[Item], bool]:
        """The items that the answer before had not, and whether there was one before."""
        texts = [json.dumps(item, sort_keys=True) for item in items]
        now = Count(texts)
        first = self._before is None
        fresh = now - (self._before or Count())
        self._before = now
        return [json.loads(text) for text in fresh.elements()], not first


def conflicts(events: Sequence[Item]) -> Iterator[tuple[Item, Item]]:
    """Approved decisions, each with the one before it for the same target within a minute, that want something else."""
    last: dict[str, tuple[float, Item]] = {}
    for event in events:
        plan, at_s = event.get("action_plan"), _seconds(event.get("ts_utc"))
        if event.get("decision") != "action" or not isinstance(plan, dict) or at_s is None:
            continue
        target = json.dumps(plan.get("target"), sort_keys=True)
        if target in last and 0 <= at_s - last[target][0] <= _CONFLICT_S and _wants(last[target][1]) != _wants(event):
            yield last[target][1], event
        last[target] = at_s, event


def _wants(event: Item) -> tuple[str, str]:
    plan = event["action_plan"]
    return str(plan.get("type")), json.dumps(plan.get("scale"), sort_keys=True)


class AgentNumbers:
    """Empty `signals` or `policy`: nobody is asked. `folder` keeps the scores to which later ones are compared."""

    def __init__(
        self, registry: CollectorRegistry, healer: HealerFile, signals: str, policy: str, folder: Path
    ) -> None:
        self._registry, self._signals, self._policy = registry, signals, policy
        self._file = folder / "reference_scores.json"
        self._reference: dict[str, list[float]] = _scores_of(self._file)
        self._recent: dict[str, deque[float]] = {}
        self._anomalies, self._rcas, self._events = NewItems(), NewItems(), NewItems()
        self._decided: deque[Item] = deque(maxlen=50)
        self._moments = [(moment, rules) for moment, rules in healer.moments if moment in ("detected", "diagnosed")]
        self._detected: LogLine | None = None
        self._window_ends: deque[float] = deque(maxlen=50)  # of anomalies whose signal was not seen in a line yet
        self._detections: deque[float] = deque(maxlen=50)  # signals seen whose window is not known yet
        self._asked: LogLine | None = None
        self._lock = threading.RLock()  # lines are read beside the APIs
        self._gauges: dict[str, Gauge] = {}
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}

    def ask(self) -> list[str]:
        """Ask both; what did not answer, in words."""
        said = []
        for key, where, path, most, read in (
            ("signals", self._signals, "/v1/signals/recent", "limit", self.signals),
            ("policy", self._policy, "/v1/policy/audit/latest", "n", self.audit),
        ):
            if where:
                try:
                    read(connection(where).ask(AgentError, path, {most: str(_LIMIT)}, retries=0))
                except RuntimeError as error:
                    said.append(f"{error}: check `{key}`")
                except (ValueError, TypeError, AttributeError, KeyError) as error:
                    said.append(
                        f"{path} of {where} says something else ({type(error).__name__}: {error}): check `{key}`"
                    )
        return said

    def signals(self, answer: Item) -> None:
        anomalies, later = self._anomalies.of(answer["anomalies"])
        for one in anomalies:
            model = str(one.get("modelVersion") or "unknown")
            if later:
                self._count("smartops_anomalies", "Anomalies that the detector has signalled.", model=model)
                if isinstance(one.get("tsRange"), dict) and (end_s := _seconds(one["tsRange"].get("end"))):
                    self._window_ends.append(end_s)
                    self._pair()
            else:
                self._count("smartops_anomalies", "Anomalies that the detector has signalled.", 0, model=model)
            if isinstance(one.get("score"), int | float):
                self._score(model, float(one["score"]))
        for one in self._rcas.of(answer["rcas"])[0]:
            if isinstance(one.get("confidence"), int | float):
                model = str(one.get("modelVersion") or "unknown")
                self._set("smartops_rca_confidence", "Of the newest diagnosis.", float(one["confidence"]), model=model)

    def audit(self, answer: Item) -> None:
        fresh, later = self._events.of(answer["events"])
        fresh.sort(key=lambda event: str(event.get("ts_utc", "")))
        for event in fresh:
            self._policy_event(event, int(later))
        if any(isinstance(event.get("action_plan"), dict) for event in fresh):
            known = list(conflicts(self._decided))
            self._decided.extend(fresh)
            new = len([pair for pair in conflicts(self._decided) if pair not in known])
            self._count("smartops_policy_conflicts", "Decisions that contradict one just before.", new * later)

    def line(self, line: LogLine) -> None:
        """A line of the healer, whether a rule of its file matches it or not."""
        exact = line.cut_ns <= _EXACT_NS
        if _PAYLOAD in line.text and exact:
            self._asked = line
        elif _RESPONSE in line.text and exact and self._asked is not None:
            took_s = (line.at_ns - self._asked.at_ns) / 1e9
            self._observe("smartops_policy_evaluation_seconds", "From the question to the policy's answer.", took_s)
            self._asked = None
        for moment, rules in self._moments:
            if any(tells(rule, line.component, line.text) for rule in rules):
                self._moment(moment, line)

    def _moment(self, moment: str, line: LogLine) -> None:
        middle_s = (line.at_ns + line.cut_ns / 2) / 1e9
        if moment == "detected":
            self._detected = line
            self._detections.append(middle_s)
            self._pair()
        elif self._detected is not None:
            took_s = max(0.0, (line.at_ns - self._detected.at_ns) / 1e9)
            self._observe("smartops_diagnose_seconds", "From the anomaly to the diagnosis.", took_s)
            self._detected = None

    def _pair(self) -> None:
        """Each window with the first signal after its end: the line is read at once, the API seconds later."""
        with self._lock:
            for end_s in sorted(self._window_ends):
                at_s = min((at for at in self._detections if at >= end_s), default=None)
                if at_s is not None:
                    self._window_ends.remove(end_s)
                    self._detections.remove(at_s)
                    if at_s - end_s < _CONFLICT_S:
                        told = "From the end of its window to the anomaly."
                        self._observe("smartops_detect_seconds", told, at_s - end_s)

    def _score(self, model: str, score: float) -> None:
        self._set("smartops_anomaly_score", "Of the newest anomaly.", score, model=model)
        reference = self._reference.setdefault(model, [])
        if len(reference) < _REFERENCE:
            reference.append(score)
            write_atomically(self._file, json.dumps(self._reference).encode())
            return
        recent = self._recent.setdefault(model, deque(maxlen=_RECENT))
        recent.append(score)
        if len(recent) >= _FEWEST:
            told = "How far its scores are from its first ones: Kolmogorov-Smirnov, 0 to 1."
            self._set("smartops_anomaly_score_drift", told, distance(reference, list(recent)), model=model)

    def _policy_event(self, event: Item, by: int) -> None:
        decision = {"action": "approved", "blocked": "blocked"}.get(str(event.get("decision")))
        if decision:
            self._count("smartops_policy_decisions", "Of the policy engine.", by, decision=decision)
        rule = str(event.get("guardrail_reason") or "")
        if rule and rule != "allowed":
            self._count("smartops_guardrail_hits", "Decisions that a guardrail has stopped.", by, rule=rule)
        for name, unit_s in _DURATIONS.items():
            if by and isinstance(event.get(name), int | float):
                told = "From the question to the policy's answer."
                self._observe("smartops_policy_evaluation_seconds", told, float(event[name]) * unit_s)
                break

    # ---- series, each born when it is first told ----------------------------------------------------------------

    def _count(self, name: str, told: str, by: int = 1, **labels: str) -> None:
        with self._lock:
            if name not in self._counters:
                self._counters[name] = Counter(name, told, list(labels), registry=self._registry)
        one = self._counters[name]
        (one.labels(**labels) if labels else one).inc(by)

    def _set(self, name: str, told: str, value: float, **labels: str) -> None:
        with self._lock:
            if name not in self._gauges:
                self._gauges[name] = Gauge(name, told, list(labels), registry=self._registry)
        self._gauges[name].labels(**labels).set(value)

    def _observe(self, name: str, told: str, seconds: float) -> None:
        with self._lock:
            if name not in self._histograms:
                self._histograms[name] = Histogram(name, told, buckets=_BUCKETS_S, registry=self._registry)
        self._histograms[name].observe(seconds)


def _seconds(value: Any) -> float | None:
    """Seconds since the epoch of a number or an ISO date; None of anything else."""
    if isinstance(value, int | float):
        return float(value)
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except ValueError:
        return None


def _scores_of(file: Path) -> dict[str, list[float]]:
    """What an earlier monitor kept; a damaged file is begun anew."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {str(model): [float(score) for score in scores] for model, scores in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
