"""The types of the arrows: matrix -> Plan -> Evidence -> Timeline -> Record.

Plain frozen data that prints; no behaviour beyond trivial properties. Times named `*_ns` are nanoseconds since
the epoch on the runner's clock, durations named `*_s` are seconds. Everything here goes through
`pydantic.TypeAdapter` at file borders, so it is also the documentation of the JSON in a campaign's directory.
The later arrows stand beside what makes them: `analysis.summary.Summary` and `report.document.Report`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Literal, NamedTuple, cast, get_args

SCHEMA_VERSION = 1

# Thresholds that several rooms share. Those of one calculation stand beside it, each in one place only.
ALPHA = 0.025  # one-sided, for all verdicts of a campaign together
LEAST_TRIALS = 3  # in a cell of each of two campaigns, to compare them
MOST_LOST = 0.10  # of all trials: a campaign that loses more of them is weak, and `run` ends with exit code 6
MOST_FALSE_ALARMS = 3  # before the injection; then the trial has failed
FALSE_ALARMS = "false-alarms"  # the reason of such a trial, in which nothing was injected

Cause = Literal["platform", "action", "harness", "fault"]  # who brought about what happened to an object
EndedBy = Literal["harness", "expiry", "system", "injector", "momentary"]  # who or what ended a part of a fault

# The order of a repair. `injected` always exists for a trial that counts; the others may not have happened.
MOMENTS = ("injected", "impacted", "detected", "diagnosed", "decided", "acted", "verified", "recovered")


@dataclass(frozen=True, slots=True)
class Interval:
    """The moment lies in [lo_ns, hi_ns]; equal bounds mean that it is known exactly."""

    lo_ns: int
    hi_ns: int

    @property
    def mid_ns(self) -> int:
        return (self.lo_ns + self.hi_ns) // 2


class Outcome(StrEnum):
    """How a trial ended; see timeline.outcome for the rules, the first that fits."""

    ERROR = "error"
    ABORTED = "aborted"
    INVALID = "invalid"
    CLEAN = "clean"
    FALSE_ALARM = "false_alarm"
    PREVENTED = "prevented"
    NO_EFFECT = "no_effect"
    HARMED = "harmed"
    UNRECOVERED = "unrecovered"
    HEALED = "healed"
    PLATFORM = "platform"

    @property
    def incident(self) -> bool:
        """The service went bad after the injection."""
        return self in (Outcome.HARMED, Outcome.UNRECOVERED, Outcome.HEALED, Outcome.PLATFORM)

    @property
    def counted(self) -> bool:
        """A fault was injected and confirmed: the trial has a scored time, whatever its result is."""
        return self.incident or self in (Outcome.PREVENTED, Outcome.NO_EFFECT)

    @property
    def control(self) -> bool:
        """A trial without a fault: it shows false alarms."""
        return self in (Outcome.CLEAN, Outcome.FALSE_ALARM)

    @property
    def left_out(self) -> bool:
        """Nobody knows what was injected, or whether anything was: the trial has no result."""
        return self in (Outcome.ERROR, Outcome.ABORTED, Outcome.INVALID)

    @property
    def by_healer(self) -> bool:
        """The healer ended the incident, or prevented it."""
        return self in (Outcome.HEALED, Outcome.PREVENTED)

    @property
    def no_human(self) -> bool:
        """The incident ended by the healer's work or by the platform's own."""
        return self.by_healer or self is Outcome.PLATFORM


# ---- matrix -> Plan ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FaultPart:
    """One fault of a chaos level. `definition` is the fault file itself, so that a campaign needs no other file."""

    fault: str
    family: str
    lasting: bool
    params: dict[str, float | int | str | bool]  # SI units: seconds, fractions, bytes, per second
    definition: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ChaosLevel:
    name: str
    parts: tuple[FaultPart, ...]  # empty: no fault, a control trial
    family: str  # families of the parts, sorted and joined by "+"; "none" without parts
    horizon_s: float
    because: str  # why this horizon; empty: not said, then nothing can be `proven`


# A reference arm is shown beside the competitors, but not judged. In two of them the trial itself takes the healer's
# place: `oracle` repairs what the fault hit at once (the floor), `random` does anything to anything at once (the chance
# level). `again` is an arm once more under another name (the noise floor).
ReferenceHealer = Literal["oracle", "random"]
REFERENCE_HEALERS: tuple[ReferenceHealer, ...] = get_args(ReferenceHealer)
Reference = Literal["oracle", "random", "again"]


@dataclass(frozen=True, slots=True)
class Variant:
    """A level of `model` or `policy`: what to set on the healer (file contents already read in)."""

    name: str
    settings: dict[str, Any]
    same_as: str = ""  # the level whose settings these are; arms of both run, though they are equal

    def over(self, policy: Variant) -> dict[str, Any]:
        """The settings of an arm: where a model and its policy set the same, the model's hold."""
        return {**policy.settings, **self.settings}

    def reference(self, policy: Variant) -> Reference | None:
        """What an arm is there for that is no competitor."""
        healer = self.over(policy).get("healer")
        if healer in REFERENCE_HEALERS:
            return cast(ReferenceHealer, healer)
        return "again" if self.same_as or policy.same_as else None


@dataclass(frozen=True, slots=True)
class WorkloadLevel:
    name: str
    rate_per_s: float


@dataclass(frozen=True, slots=True)
class Slo:
    """What good means: of requests, or of what a query says, whose values stand in for requests."""

    latency_s: float  # of a query: how long Prometheus may take to answer it
    objective: float  # fraction of good requests that a window needs; 1 for a query: every value is good
    hold_s: float  # H: the window's length
    query: str = ""  # PromQL; empty: requests of our own are sent and judged
    at_least: float = 0.0  # a good value of the query
    every_s: float = 0.0  # how often it is asked
    lag_s: float = 0.0  # how long after a change its values may still be those from before

    @property
    def fewest(self) -> int:
        """Requests, or values of the query, that a window needs to be judged."""
        if self.query:
            return max(2, math.ceil(0.8 * self.hold_s / self.every_s))
        return math.ceil(round(2 / (1 - self.objective), 9))  # rounded, since 2 / (1 - 0.95) is 40.00000000000003


@dataclass(frozen=True, slots=True)
class Arm:
    model: str
    policy: str

    def __str__(self) -> str:
        return self.model if self.policy == "default" else f"{self.model} / {self.policy}"


@dataclass(frozen=True, slots=True)
class Trial:
    id: str  # readable and safe as a folder name; the same for the same levels and repeat
    phase: Literal["measure", "calibrate"]
    chaos: str
    workload: str
    model: str
    policy: str
    repeat: int  # from 1
    block: int  # from 1; one repeat of one scenario in all arms; 0: calibration
    seed: int  # picks the victim and the random wait
    to_horizon: bool = False  # observed to the horizon in spite of `stop_after_good`: would it have relapsed?

    @property
    def arm(self) -> Arm:
        return Arm(self.model, self.policy)


@dataclass(frozen=True, slots=True)
class Sla:
    window_s: float
    faults: float  # expected in one window
    repair_s: float = 0.0  # that a person needs after the horizon for what has not recovered


RESTART_DELAY = "platform restarts after"  # in a campaign's provenance: "8 s"

Goal = Literal["mttr_reduction", "auto_heal", "sla"]  # the keys of `targets:`
GOALS: tuple[Goal, ...] = get_args(Goal)


@dataclass(frozen=True, slots=True)
class Targets:
    mttr_reduction: float = 0.40
    auto_heal: float = 0.90
    sla: float = 0.99


@dataclass(frozen=True, slots=True)
class AnalysisPlan:
    """What will be computed and decided, frozen before the first trial."""

    baseline: Arm
    slo: Slo
    stop_after_good_s: float
    targets: Targets
    sla: Sla | None
    alpha: float = ALPHA  # one-sided, of all arms and targets together
    weights: dict[str, float] = field(default_factory=dict)  # by chaos level; absent = 1
    looks: int = 1  # decisions, the one at the end included; see plan.look_schedule
    order: tuple[Goal, ...] = GOALS  # in which the targets are tested, each if those before it are proven
    exclusions: str = "invalid, error and aborted trials are left out and counted; no trial is left out for its result"


@dataclass(frozen=True, slots=True)
class Plan:
    name: str
    target: dict[str, Any]  # kind and its options, as in the matrix
    healer: dict[str, Any]  # the healer file's contents
    chaos: dict[str, ChaosLevel]
    models: dict[str, Variant]
    policies: dict[str, Variant]
    workloads: dict[str, WorkloadLevel]
    trials: tuple[Trial, ...]  # in the order in which they start
    same_arm: dict[str, str]  # "model/policy" -> "model/policy" that stands for it (equal settings run once)
    analysis: AnalysisPlan
    seed: int
    digest: str  # of everything above that changes behaviour; another digest is another campaign

    @property
    def references(self) -> dict[Arm, Reference]:
        """The planned arms that are no competitors, and what they are there for."""
        arms = {trial.arm for trial in self.trials} - {self.analysis.baseline}
        found = {arm: self.models[arm.model].reference(self.policies[arm.policy]) for arm in arms}
        return {arm: role for arm, role in found.items() if role}

    @property
    def measured(self) -> tuple[Trial, ...]:
        """The trials without calibration."""
        return tuple(trial for trial in self.trials if trial.phase == "measure")


@dataclass(frozen=True, slots=True)
class Stop:
    """An arm that was decided at an interim look, by the trials up to a repeat; see analysis.interim."""

    arm: Arm
    look: int  # from 1
    repeat: int


# ---- Evidence ------------------------------------------------------------------------------------------------


class Request(NamedTuple):
    """One request of the open loop. It belongs to its scheduled time, whenever it was sent or answered.

    With `slo.query` it is one evaluation of the query: status 200 for a good value, 503 for a bad one or none.
    """

    sched_ns: int
    late_ns: int  # sent this much after its schedule
    latency_ns: int  # from schedule to the last byte of the answer; -1: no answer
    status: int  # HTTP status; 0: none (refused, reset, timed out)


@dataclass(frozen=True, slots=True)
class Series:
    """Raw samples as Prometheus stored them; `at_ns` is Prometheus' clock, not yet shifted."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"ser_json_inf_nan": "strings"}  # JSON has no NaN

    name: str
    labels: dict[str, str]
    at_ns: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class LogLine:
    at_ns: int  # the container runtime's stamp, or the time that the line itself names; not yet shifted
    component: str
    text: str
    cut_ns: int = 0  # the stamp is cut to this: the moment lies in [at_ns, at_ns + cut_ns)
    stored_ns: int = 0  # the log store's own stamp, where the line names its time; 0: `at_ns` is that stamp


@dataclass(frozen=True, slots=True)
class Call:
    """A call of ours, bracketed. `what`: gate, prepare, inject, confirm, repair, wait, observe, revert.

    `part` of the fault counts from 0; -1: it is about no part. `repair` is the trial in the healer's place (reference).
    """

    what: str
    part: int
    at: Interval
    ok: bool
    output: Any = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class PlatformEvent:
    """What the platform did to an object of the target: kind = ready | not_ready | exited | started."""

    at: Interval
    object: str
    kind: str
    cause: Cause
    detail: str = ""
    clock: Literal["node", "runner"] = "node"  # whose clock `at` is on


@dataclass(frozen=True, slots=True)
class FaultFact:
    """What became of one part of the fault, asked of the target itself."""

    part: int
    id: str
    confirmed: bool
    effect: str  # what the confirm probe measured, in words
    objects: tuple[str, ...]  # what was hit: "<controller>/<uid of the replica>", as `timeline.rules.hits` reads it
    ended: Interval | None
    ended_by: EndedBy | Literal[""]  # "" = still in force
    clock: Literal["node", "runner"] = "node"  # whose clock `ended` is on


@dataclass(frozen=True, slots=True)
class AlertRule:
    """How often Prometheus looks whether an alert holds, and how old the samples may be that it looks at."""

    name: str
    evaluation_s: float
    scrape_s: float  # longest interval between two scrapes


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """server clock minus runner clock lies in [lo_ns, hi_ns], measured at one end of the trial."""

    source: str
    when: Literal["start", "end"]
    lo_ns: int
    hi_ns: int


@dataclass(frozen=True, slots=True)
class Span:
    """What a service was busy with within a trace, on the node's clock: one line of telemetry.traces."""

    trace: str
    id: str
    parent: str  # empty: none, or one that is not told
    service: str
    name: str
    start_ns: int
    end_ns: int
    status: str  # ok, error, or empty: not said


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a record is derived from. Everything in it is stored with the trial."""

    trial: Trial
    attempt: int
    lane: str
    started_at: str  # UTC, ISO 8601
    slo: Slo
    horizon_s: float
    stop_after_good_s: float
    requests: tuple[Request, ...] = ()
    observed_until_ns: int = 0  # end of observation; 0: never began
    stopped_early: bool = False  # by stop_after_good
    gate_passed: bool = False
    drain_s: float = 0.0  # what the service needs after a repair, by the calibration trials recorded before; 0: unknown
    gate_false_alarms: int = 0  # times that the healer signalled or acted between reset and injection
    service_ms: float | None = None  # that an order took at the end of the gate, as the target tells; None: it does not
    work_ms: float | None = None  # how much of that was real work, which a slower machine makes longer
    utilisation: float | None = None  # share of the time for which the service's replicas were busy
    calls: tuple[Call, ...] = ()
    faults: tuple[FaultFact, ...] = ()
    platform: tuple[PlatformEvent, ...] = ()
    series: tuple[Series, ...] = ()
    scrape_s: float = 0.0  # upper bound of the duration of one scrape
    alert_rules: tuple[AlertRule, ...] = ()  # of the alerts that the healer file names
    logs: tuple[LogLine, ...] = ()
    clocks: tuple[ClockOffset, ...] = ()
    missing: tuple[str, ...] = ()  # sources that could not be read, with the reason
    error: str = ""  # the harness failed: what and where
    aborted: bool = False  # a person ended it
    traced: bool = False  # requests carried the trace IDs of timeline.tracing
    traces: tuple[str, ...] = ()  # IDs for which the store of traces was asked; none: there is no such store
    spans: tuple[Span, ...] = ()  # what it had of them
    untraced: str = ""  # why it could not be asked; no source of a number, so not in `missing`


@dataclass(frozen=True, slots=True)
class Finding:
    """What disturbs a measurement on this machine, and what a person can do about it; see run.machine."""

    what: str  # in the past tense: told with the result
    hint: str
    severe: bool  # so much that nothing measured meanwhile is worth a verdict


# ---- Timeline, Record ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Event:
    moment: str
    at: Interval
    sources: tuple[str, ...]  # every rule that contributed
    raw: str  # the stamp and text of the first, as received
    detail: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Action:
    """One action that the healer executed or tried to. `end` = the call is done, `verified` = its rollout is."""

    kind: str
    target: str
    start: Interval
    end: Interval | None
    verified: Interval | None
    status: Literal["success", "failed", "skipped", "blocked", "dry_run", "running"]


@dataclass(frozen=True, slots=True)
class Health:
    """What the requests say; see timeline.health."""

    impacted: Interval | None
    recovered: Interval | None
    relapses: int
    bad_s: float  # in [0, horizon]
    unknown_s: float
    requests: int
    good_requests: int
    lateness_p99_s: float
    # Outages that began after the trial would have ended by `stop_after_good`; None: it did, or never would have.
    late_relapses: int | None = None


@dataclass(frozen=True, slots=True)
class Timeline:
    events: dict[str, Event]  # by moment, those that happened
    actions: tuple[Action, ...]
    health: Health
    causes: tuple[str, ...]  # RCA's answer, best first; empty = none
    policy_rule: str
    guardrail_blocks: int
    cooldown_skips: int
    conflicts: tuple[str, ...]  # sources that disagree about one event
    perhaps_before: bool = False  # something was detected, perhaps before the injection, and was not counted


# The trials table's columns, in order. Seconds count from the middle of the injection's interval.
_BEFORE = """campaign phase trial chaos family workload model policy repeat block lane attempt started_at outcome reason
    flags horizon_s hold_s time_s ttr_impact_s"""
_AFTER = """fault_end_s fault_end_width_s fault_end_by observed_s relapses actions actions_failed needless_actions
    guardrail_blocks cooldown_skips policy_rule rca_expected rca_top1 rca_rank requests good_requests bad_seconds
    unknown_seconds lateness_p99_s"""
# Later versions add columns here only: a table of an earlier one is read as if they were empty.
_ADDED = "service_ms service_from work_ms utilisation drain_s dating_error_s detail late_relapses"
_INTERVALS = tuple(f"{m}_{end}_s" for m in MOMENTS[1:] for end in ("lo", "hi"))
COLUMNS = (*_BEFORE.split(), *_INTERVALS, *_AFTER.split(), *_ADDED.split())


@dataclass(frozen=True, slots=True)
class Record:
    """The result of a trial: its row of the trials table (keys = COLUMNS; None = not seen) and where it came from."""

    row: dict[str, str | int | float | None]
    timeline: Timeline | None
    schema_version: int = SCHEMA_VERSION
