"""What does the policy engine decide? Approved, blocked, why, how fast, and where policies contradict each other."""

from __future__ import annotations

from blocks import Board, Query, number, series

BOARD = Board(
    uid="smartops-policy",
    title="SmartOps: policy engine",
    description="Decisions, guardrails, conflicts and the time that an evaluation takes. What the policy engine does not "
    "export itself the monitor reads from its audit.",
    panels=(
        number(
            "Approved",
            "The share of decisions that let an action happen.",
            "percentunit",
            Query(
                'sum(smartops_policy_decisions_total{namespace=~"$namespace", decision="approved"}) '
                '/ sum(smartops_policy_decisions_total{namespace=~"$namespace"})'
            ),
        ),
        number(
            "Evaluation, 95 of 100",
            "How long a decision takes, over an hour. It is part of every recovery.",
            "s",
            Query(
                "histogram_quantile(0.95, sum by (le) "
                '(rate(smartops_policy_evaluation_seconds_bucket{namespace=~"$namespace"}[1h])))'
            ),
            warn=0.5,
            bad=1,
        ),
        number(
            "Guardrails that were hit",
            "Since the start of the monitor, by rule.",
            "short",
            Query('sum by (rule) (smartops_guardrail_hits_total{namespace=~"$namespace"})', "{{rule}}"),
        ),
        number(
            "Conflicts in an hour",
            "Decisions on which policies contradict each other. Which one wins is chance: mend the policies.",
            "short",
            Query('sum(increase(smartops_policy_conflicts_total{namespace=~"$namespace"}[1h]))'),
            bad=1,
        ),
        series(
            "Decisions",
            "Approved and blocked, since the start of the monitor.",
            "short",
            Query('sum by (decision) (smartops_policy_decisions_total{namespace=~"$namespace"})', "{{decision}}"),
            stacked=True,
        ),
        series(
            "Evaluation latency",
            "Half of the decisions, and 95 of 100, take at most this.",
            "s",
            Query(
                "histogram_quantile(0.5, sum by (le) "
                '(rate(smartops_policy_evaluation_seconds_bucket{namespace=~"$namespace"}[5m])))',
                "median",
            ),
            Query(
                "histogram_quantile(0.95, sum by (le) "
                '(rate(smartops_policy_evaluation_seconds_bucket{namespace=~"$namespace"}[5m])))',
                "95th percentile",
            ),
        ),
        series(
            "Decisions as the orchestrator counts them",
            "With the reason: `no policy matched`, a cooldown, a guardrail. `allow` also counts what is blocked afterwards.",
            "short",
            Query(
                'sum by (decision, reason) (orchestrator_closed_loop_policy_outcomes_total{namespace=~"$namespace"})',
                "{{decision}}: {{reason}}",
            ),
        ),
        series(
            "Guardrails and conflicts",
            "Hits of each guardrail, and policies that contradict each other, since the start of the monitor.",
            "short",
            Query('sum by (rule) (smartops_guardrail_hits_total{namespace=~"$namespace"})', "guardrail {{rule}}"),
            Query('sum(smartops_policy_conflicts_total{namespace=~"$namespace"})', "conflicts"),
        ),
    ),
)
