"""What the healer sees, when it calls that an anomaly, and what it takes for the cause. Pure.

Samples of counters -> sliding windows -> a detector's judgement -> one signal when an anomaly begins.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Literal, Protocol

from smartops_chaos.lab.smartops.exposition import BUCKETS_S, parse

AnomalyKind = Literal["latency", "error", "resource", "other"]

WINDOW_S = 2.0
WARM_UP_WINDOWS = 5
ANOMALOUS_WINDOWS = 2  # in a row, before it is an anomaly
CLEAN_WINDOWS = 3  # in a row, before the next anomaly can begin
FEWEST_REQUESTS = 10
_CADVISOR = (
    "container_cpu_usage_seconds_total",
    "container_memory_working_set_bytes",
    "container_spec_memory_limit_bytes",
)


@dataclass(frozen=True, slots=True)
class ServiceSample:
    """Counters at one moment (monotonic seconds)."""

    at_s: float
    requests: float
    errors: float  # answers of 500 and above
    buckets: tuple[float, ...]  # requests of at most BUCKETS_S[i] seconds; all requests last
    cpu_s: Mapping[str, float]  # by pod
    memory: Mapping[str, float] = field(default_factory=dict)  # share of its limit, by pod


@dataclass(frozen=True, slots=True)
class Window:
    requests: float
    error_share: float
    p95_s: float
    cpu: Mapping[str, float]  # cores by pod
    cpu_per_answer_s: float  # CPU seconds of all pods for each good answer
    memory_most: float = 0.0  # share of its limit that a pod had at most, in the last WINDOW_S

    @property
    def cpu_most(self) -> float:
        return max(self.cpu.values(), default=0.0)


@dataclass(frozen=True, slots=True)
class Anomaly:
    kind: AnomalyKind
    score: float  # 0.5 at the limit, towards 1 beyond it


def sample(at_s: float, gateway: str, node: str, container: str) -> ServiceSample:
    """From the text expositions of the gateway and the node; `container` is the one whose pods count."""
    seen, used_by = (
        [(name, dict(labels), value) for (name, labels), value in parse(page).items()] for page in (gateway, node)
    )
    codes = {labels["code"]: value for name, labels, value in seen if name == "gateway_requests_total"}
    bounds = [*map(str, BUCKETS_S), "+Inf"]
    buckets = "gateway_request_duration_seconds_bucket"
    cumulative = {labels["le"]: value for name, labels, value in seen if name == buckets}
    cpu, used, limit = (
        {labels["pod"]: value for name, labels, value in used_by if name == wanted and labels["container"] == container}
        for wanted in _CADVISOR
    )
    memory = {pod: value / limit[pod] for pod, value in used.items() if limit.get(pod)}
    errors = sum(value for code, value in codes.items() if int(code) >= 500)
    return ServiceSample(
        at_s, sum(codes.values()), errors, tuple(cumulative.get(bound, 0.0) for bound in bounds), cpu, memory
    )


def window(samples: Sequence[ServiceSample], span_s: float) -> Window | None:
    """What happened in the last `span_s` seconds of `samples` (oldest first); None with fewer than two in reach."""
    newest = samples[-1]
    reach = [s for s in samples if newest.at_s - s.at_s <= span_s * 1.2]
    oldest = reach[0]
    if newest.at_s <= oldest.at_s:
        return None
    requests = newest.requests - oldest.requests
    counts = [new - old for new, old in zip(newest.buckets, oldest.buckets, strict=True)]
    seconds = newest.at_s - oldest.at_s
    used = {pod: cpu - oldest.cpu_s[pod] for pod, cpu in newest.cpu_s.items() if pod in oldest.cpu_s}
    errors = newest.errors - oldest.errors
    return Window(
        requests=requests,
        error_share=errors / requests if requests > 0 else 0.0,
        p95_s=quantile(0.95, counts),
        cpu={pod: cpu / seconds for pod, cpu in used.items()},
        cpu_per_answer_s=sum(used.values()) / max(1.0, requests - errors),
        # Of the whole window, whatever the span: a container that was killed for its memory uses none any more.
        memory_most=max(
            (m for s in samples if newest.at_s - s.at_s <= WINDOW_S * 1.2 for m in s.memory.values()), default=0.0
        ),
    )


def quantile(q: float, cumulative: Sequence[float]) -> float:
    """As PromQL's histogram_quantile: linear within a bucket, the last bound for what lies above all; 0 if empty."""
    rank, below, lower = q * cumulative[-1], 0.0, 0.0
    if cumulative[-1] <= 0:
        return 0.0
    for bound, count in zip(BUCKETS_S, cumulative, strict=False):
        if count >= rank:
            return lower + (bound - lower) * (rank - below) / (count - below) if count > below else bound
        below, lower = count, bound
    return BUCKETS_S[-1]


class Detector(Protocol):
    @property
    def ready(self) -> bool:
        """Whether it can judge, once it has been told to `settle`."""

    def learn(self, healthy: Window) -> None:
        """A window of the warm-up."""

    def settle(self) -> None:
        """The warm-up is over."""

    def judge(self, seen: Window) -> Anomaly | None:
        """None: nothing unusual."""


class Threshold:
    """Fixed limits: what a person would write into an alert rule."""

    LIMITS: Mapping[AnomalyKind, float] = {"error": 0.05, "latency": 0.25, "resource": 0.55}
    ready = True

    def learn(self, healthy: Window) -> None:
        """It knows its limits."""

    def settle(self) -> None:
        """There is nothing to settle."""

    def judge(self, seen: Window) -> Anomaly | None:
        return _worst({kind: value / self.LIMITS[kind] for kind, value in features(seen).items()})


class ZScore:
    """Distance from the warm-up's mean in standard deviations, as usual: z = (x - mean) / sd.

    A few seconds of warm-up say little about the spread, so each has a floor: what a healthy minute shows at most.
    """

    LIMIT = 4.0
    FLOORS: Mapping[AnomalyKind, float] = {"error": 0.01, "latency": 0.03, "resource": 0.06}

    ready = True

    def __init__(self) -> None:
        self._healthy: list[Mapping[AnomalyKind, float]] = []

    def learn(self, healthy: Window) -> None:
        self._healthy.append(features(healthy))

    def settle(self) -> None:
        """Mean and deviation are taken when they are needed."""

    def judge(self, seen: Window) -> Anomaly | None:
        return _worst({kind: self._z(kind, value) / self.LIMIT for kind, value in features(seen).items()})

    def _z(self, kind: AnomalyKind, value: float) -> float:
        known = [features[kind] for features in self._healthy]
        return (value - statistics.fmean(known)) / max(statistics.pstdev(known), self.FLOORS[kind])


def _forest() -> Detector:
    # By name and late: scikit-learn is an extra and takes a second to load, and the forest builds on this module.
    forest: Detector = import_module("smartops_chaos.lab.smartops.forest").Forest()
    return forest


# `none` never signals. Another model is another line here.
DETECTORS: Mapping[str, Callable[[], Detector] | None] = {
    "none": None,
    "threshold": Threshold,
    "zscore": ZScore,
    "isolation-forest": _forest,
}


_LOOKS_AT = (
    f"windows of {WINDOW_S:g} s with a share of errors, a 95th percentile of latency and the CPU of the busiest pod; "
    f"{WARM_UP_WINDOWS} healthy windows are learnt, and {ANOMALOUS_WINDOWS} anomalous ones in a row are an anomaly"
)
_JUDGES = {
    "threshold": "a window is anomalous above "
    + ", ".join(f"{limit:g} ({kind})" for kind, limit in Threshold.LIMITS.items()),
    "zscore": f"a window is anomalous if one of the three lies {ZScore.LIMIT:g} standard deviations or more above the "
    "mean of the learnt ones; a deviation counts as at least "
    + ", ".join(f"{floor:g} ({kind})" for kind, floor in ZScore.FLOORS.items()),
    "isolation-forest": "a window is anomalous if a forest of random cuts, grown on the learnt ones, sets it apart",
}


def described(detector: str) -> str:
    """What it looks at and when it calls that an anomaly, for a report; shares of errors, seconds, cores of CPU."""
    return "; ".join(filter(None, [_LOOKS_AT, _JUDGES.get(detector, "")]))


def lacking(detector: str) -> str:
    """What a detector needs that is not installed, and how to install it; "" = nothing."""
    if detector == "isolation-forest" and find_spec("sklearn") is None:
        return "the detector isolation-forest needs scikit-learn: pip install 'smartops-chaos[forest]'"
    return ""


class DetectorWatch:
    """Turns judgements on successive windows into one finding at each anomaly's beginning."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._learnt = 0
        self._anomalous = 0
        self._clean = CLEAN_WINDOWS

    @property
    def armed(self) -> bool:
        """Whether the warm-up is over and the detector ready."""
        return self._learnt >= WARM_UP_WINDOWS and self._detector.ready

    def see(self, seen: Window | None) -> Anomaly | None:
        if seen is None or seen.requests < FEWEST_REQUESTS:
            return None
        if self._learnt < WARM_UP_WINDOWS:
            self._detector.learn(seen)
            self._learnt += 1
            if self._learnt == WARM_UP_WINDOWS:
                self._detector.settle()
            return None
        if not self.armed:
            return None
        finding = self._detector.judge(seen)
        if finding is None:
            self._clean += 1
            self._anomalous = 0
            return None
        self._anomalous += 1
        begins = self._anomalous >= ANOMALOUS_WINDOWS and self._clean >= CLEAN_WINDOWS
        if begins or self._clean < CLEAN_WINDOWS:
            self._clean = 0
        return finding if begins else None


def diagnose(seen: Window) -> list[tuple[str, float]]:
    """Causes with their probabilities, best first: no CPU or memory left explains errors, and both explain slowness."""
    busy = max(_between(seen.cpu_per_answer_s, 0.015, 0.025), _between(seen.memory_most, 0.4, 0.6))
    failing = _between(seen.error_share, 0.02, 0.1) * (1 - busy)
    slow = _between(seen.p95_s, 0.1, 0.25) * (1 - busy) * (1 - failing)
    weights = {
        "Resource Saturation": busy,
        "Service Timeout": failing,
        "Dependency Latency": slow,
        "Unknown Failure": 0.05,
    }
    total = sum(weights.values())
    return sorted(((cause, weight / total) for cause, weight in weights.items()), key=lambda pair: -pair[1])


def features(seen: Window) -> dict[AnomalyKind, float]:
    return {"error": seen.error_share, "latency": seen.p95_s, "resource": seen.cpu_most}


def _worst(severity: Mapping[AnomalyKind, float]) -> Anomaly | None:
    """`severity` is 1 at the limit."""
    kind = max(severity, key=lambda one: severity[one])
    if severity[kind] <= 1:
        return None
    return Anomaly(kind, round(1 - 0.5 / severity[kind], 3) if math.isfinite(severity[kind]) else 1.0)


def _between(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low)))
