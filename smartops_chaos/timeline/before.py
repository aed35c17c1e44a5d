"""What the machine was like before a campaign, the service before an injection, and why a trial could not begin.

Two trials compare what a healer does only if the service was the same before both of them. How long an order takes is
asked of the target itself where it tells (`targets.base.Lane.load`). Elsewhere the request log says it: the median
latency of the good requests in the last window before the injection, in which waiting is included.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from smartops_chaos.model import Evidence, Finding, Outcome, Request, Slo
from smartops_chaos.timeline.health import is_good, window_state

DRIFT = 0.10  # of the service time, against the median of the trials
DRIFT_COLUMNS = (
    "trial",
    "workload",
    "outcome",
    "service_ms",
    "service_from",
)  # of the trials table: what `drifted` reads
_NAMED = 3  # trials in the warning
_LEAST_DRIFT_MS = 2.0  # below that it is the resolution of the times, not the service
_LEFT_OUT = tuple(o for o in Outcome if o.left_out)
_BUSY = 0.9  # share of the time for which replicas work: from here on queues grow by chance alone
_MEND = "`smartops-chaos doctor` says what else runs here; or use fewer lanes, or a lower rate in the matrix"


def disturbed(findings: Iterable[Finding]) -> str:
    """What made the machine too busy to measure when a campaign was started; empty if nothing did.

    Too busy is half a core in other hands (`run.machine` has all limits): then a lane's service is slower than the load
    that it is sent, and every time is one of the machine.
    """
    severe = [found.what for found in findings if found.severe]
    return f"the machine was too busy to measure when the campaign was started: {severe[0]}" if severe else ""


def service(evidence: Evidence) -> tuple[float, str] | None:
    """Milliseconds that an order takes before the injection, and who says so: `lane` or `requests`."""
    if evidence.service_ms is not None:
        return evidence.service_ms, "lane"
    if evidence.slo.query:
        return None  # its latencies are Prometheus'
    latency_ns = round(evidence.slo.latency_s * 1e9)
    window = last_window(evidence.requests, evidence.slo, _gate_end_ns(evidence))
    good = [r.latency_ns for r in window if is_good(r, latency_ns)]
    return (median(good) / 1e6, "requests") if good else None


def last_window(requests: Iterable[Request], slo: Slo, end_ns: int) -> list[Request]:
    """The requests of the last window whose answers were due by `end`."""
    until_ns = end_ns - round(slo.latency_s * 1e9)
    return [r for r in requests if until_ns - round(slo.hold_s * 1e9) <= r.sched_ns < until_ns]


def _gate_end_ns(evidence: Evidence) -> int:
    return max((call.at.hi_ns for call in evidence.calls if call.what == "gate"), default=0)


def not_begun(evidence: Evidence) -> str:
    """Why the gate was missed, in sentences for the person who has to mend it; empty if it was not reached."""
    if not _gate_end_ns(evidence):
        return ""
    window = last_window(evidence.requests, evidence.slo, _gate_end_ns(evidence))
    return unhealthy(window, evidence.slo, evidence.utilisation)


def unhealthy(window: Sequence[Request], slo: Slo, utilisation: float | None) -> str:
    """What was wrong with the service in a window, what that usually means and what to do about it."""
    asked = "values of the query" if slo.query else "requests"
    latency_ns = round(slo.latency_s * 1e9)
    bad = [r for r in window if not is_good(r, latency_ns)]
    state = window_state(len(window), len(bad), slo)
    if state == "unknown":
        few = f"only {len(window)} {asked} were answered in the last {slo.hold_s:g} s, {slo.fewest} are needed to judge"
        return f"{few}. Nothing or too little reaches the service: is it up, and is the rate of the matrix kept?"
    if state == "good":
        return (
            "the service was healthy, but the healer's detector was not armed, or Prometheus did not watch the service "
            "yet. The healer needs longer than its file says: give it a longer `warm_up`."
        )
    says = f"{len(bad)} of {len(window)} {asked} were bad in the last {slo.hold_s:g} s"
    if slo.query:
        return f"{says}. The service misses the objective by itself: find out why before anything is injected."
    slow = sum(200 <= r.status < 300 for r in bad)
    refused = sum(r.status >= 300 for r in bad)
    failed = len(bad) - slow - refused
    kinds = ((slow, "too slow"), (refused, "refused"), (failed, "without an answer"))
    says += f" ({', '.join(f'{n} {what}' for n, what in kinds if n)})"
    if answered := [r.latency_ns for r in window if r.latency_ns >= 0]:
        says += (
            f"; half of the answers took {median(answered) / 1e6:.0f} ms or more, {1000 * slo.latency_s:g} are allowed"
        )
    if utilisation is not None:
        says += f"; replicas were busy {100 * utilisation:.0f} % of the time"
    if failed > slow + refused:
        means = "The service does not answer: is it up, and reachable from here?"
    elif utilisation is not None and utilisation < _BUSY:
        late = "Its replicas have time left, so answers are late on their way: this machine is too busy"
        means = f"{late}, or `latency` in the matrix is tighter than this service can be. {_MEND}."
    else:
        means = f"The service cannot keep up: this machine is too busy or too slow for it. {_MEND}."
    return f"{says}. {means}"


def drifted(rows: Iterable[Mapping[str, object]]) -> list[tuple[str, float, float, str]]:
    """Trials whose service time differs by more than 10 % from the others': name, its and their milliseconds, source.

    `rows` are rows of the trials table. Compared are trials under the same workload whose times come from the same
    source; theirs is the median of all. The slowest first: what disturbs makes a service slower.
    """
    groups: defaultdict[tuple[object, object], list[tuple[str, float]]] = defaultdict(list)
    for row in rows:
        value = row.get("service_ms")
        if row.get("outcome") not in _LEFT_OUT and isinstance(value, int | float) and value == value:
            groups[row.get("workload"), row.get("service_from")].append((str(row.get("trial")), float(value)))
    found = []
    for (_, source), members in groups.items():
        usual = median(value for _, value in members)
        limit = max(DRIFT * usual, _LEAST_DRIFT_MS)
        found += [(name, value, usual, str(source)) for name, value in members if abs(value - usual) > limit]
    return sorted(found, key=lambda one: -one[1])


def drift_warning(rows: Iterable[Mapping[str, object]]) -> str:
    """One sentence about the trials of `drifted`; empty without any."""
    found = drifted(rows)
    if not found:
        return ""
    _, _, usual, source = found[0]
    named = ", ".join(f"{name} ({value:.1f} ms)" for name, value, _, _ in found[:_NAMED])
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    says = "as the target itself tells" if source == "lane" else "by the median of good answers"
    return (
        f"Before the injection an order took another time than the median of {usual:.1f} ms, {says}, in {named}{more}: "
        "more than 10 % of difference means that trials were not measured under the same conditions. "
        "Run again while nothing else runs here."
    )
