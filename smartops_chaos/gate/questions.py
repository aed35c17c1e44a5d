"""What is asked of Prometheus for an environment's rules, as texts. Pure."""

from __future__ import annotations

import string
from dataclasses import dataclass

from smartops_chaos.schema.gatefile import EnvironmentRules

WATCHDOG, TARGETS, EVALUATED, TESTS, ALERTS = "watchdog", "targets", "rule groups", "tests", "alerts"
TOTAL, ERRORS, SPIKES, GAUGE, VERSIONS = "slo total", "slo errors", "spikes", "mttr gauge", "versions"
RULES, CLOCK, STATE, RELEASE, CAMPAIGN = "rules", "clock", "cluster", "release", "campaign"
SEVERITY, GROUP = "severity", "rule_group"


@dataclass(frozen=True, slots=True)
class GateQuestion:
    key: str
    query: str  # PromQL, asked at each slot of the grid


def questions(rules: EnvironmentRules) -> tuple[GateQuestion, ...]:
    """One for each series that the rules need, in the order in which they are asked."""

    def selector(text: str) -> str:
        return string.Template(text).substitute(namespace=rules.namespace)

    back = f"[{round(rules.step * 1000) - 1}ms]"

    def there(text: str, *by: str) -> str:
        """Its largest value within a slot: doubled servers and equal instances count once."""
        return f"max by ({', '.join(by)}) (max_over_time({selector(text)}{back}))"

    def counter(text: str) -> str:
        """Its last value within a slot, of doubled servers the larger one; staleness does not hide a process's end."""
        return f"max without ({', '.join(rules.replicas)}) (last_over_time({selector(text)}{back}))"

    asked = [
        GateQuestion(WATCHDOG, there(rules.witness.watchdog, "alertname")),
        GateQuestion(TARGETS, there(rules.witness.targets, rules.witness.by)),
    ]
    if rules.witness.evaluated is not None:
        asked.append(GateQuestion(EVALUATED, there(rules.witness.evaluated, GROUP)))
    if rules.tests is not None:
        asked.append(GateQuestion(TESTS, there(rules.tests, "fault")))
    if rules.alerts:
        asked.append(GateQuestion(ALERTS, there(rules.alerts.firing, "alertname", SEVERITY)))
    if rules.slo:
        asked += [GateQuestion(TOTAL, counter(rules.slo.total)), GateQuestion(ERRORS, counter(rules.slo.errors))]
    if rules.golden:
        asked += [
            GateQuestion(f"{VERSIONS} {i}", there(one.series, one.of, one.version))
            for i, one in enumerate(rules.golden.versions)
        ]
    if rules.spikes:
        asked.append(GateQuestion(SPIKES, counter(rules.spikes.counter)))
    if rules.mttr and rules.mttr.gauge is not None:
        asked.append(GateQuestion(GAUGE, f"max without ({', '.join(rules.replicas)}) ({selector(rules.mttr.gauge)})"))
    return tuple(asked)
