"""What does the orchestrator do? Actions, their outcome, how long the loop takes, and what held it back."""

from __future__ import annotations

from blocks import Board, Query, number, series

BOARD = Board(
    uid="smartops-actions",
    title="SmartOps: orchestrator actions",
    description="Scale, restart and patch: how often, how long, with what result, and what kept the orchestrator from acting. "
    "Counters are shown as they are, since the start of the orchestrator: a first action is a step from nothing to 1.",
    panels=(
        number(
            "Actions since the start",
            "Of the orchestrator, by kind.",
            "short",
            Query(
                'sum by (action_type) (smartops_orchestrator_actions_total{namespace=~"$namespace"})', "{{action_type}}"
            ),
        ),
        number(
            "Actions that succeeded",
            "Of those that were executed. Below 90 % look at its log: RBAC, a missing Deployment, the API server.",
            "percentunit",
            Query(
                'sum(smartops_orchestrator_actions_total{namespace=~"$namespace", status="success"}) '
                '/ sum(smartops_orchestrator_actions_total{namespace=~"$namespace"})'
            ),
            warn=0.99,
            bad=0.9,
            falling=True,
        ),
        number(
            "Since the last action",
            "How long ago the orchestrator acted, by kind.",
            "s",
            Query(
                'time() - max by (action_type) (smartops_orchestrator_last_action_timestamp{namespace=~"$namespace"})',
                "{{action_type}}",
            ),
        ),
        number(
            "Signals that wait",
            "The loop has one worker: what waits here waits for the action before it to be verified.",
            "short",
            Query('orchestrator_closed_loop_queue_depth{namespace=~"$namespace"}', "{{namespace}}"),
            warn=3,
            bad=10,
        ),
        series(
            "Actions",
            "Executed actions by kind and result, since the start of the orchestrator.",
            "short",
            Query(
                'sum by (action_type, status) (smartops_orchestrator_actions_total{namespace=~"$namespace"})',
                "{{action_type}} {{status}}",
            ),
        ),
        series(
            "Actions by verification",
            "What became of each action: verified, failed, or skipped by a guardrail or a cooldown.",
            "short",
            Query(
                'sum by (type, verification_status) (orchestrator_closed_loop_actions_total{namespace=~"$namespace"})',
                "{{type}} {{verification_status}}",
            ),
        ),
        series(
            "Closed loop: from signal to end",
            "From taking a signal off the queue to its end, verification included, of all since the start of the orchestrator. "
            "It is not the time to recover, which begins with the fault.",
            "s",
            Query(
                "histogram_quantile(0.5, sum by (le) "
                '(orchestrator_closed_loop_duration_seconds_bucket{namespace=~"$namespace"}))',
                "median",
            ),
            Query(
                "histogram_quantile(0.95, sum by (le) "
                '(orchestrator_closed_loop_duration_seconds_bucket{namespace=~"$namespace"}))',
                "95th percentile",
            ),
        ),
        series(
            "Action with its verification",
            "How long an action and the wait for its rollout take, of all since the start of the orchestrator.",
            "s",
            Query(
                "histogram_quantile(0.95, sum by (le) "
                '(orchestrator_closed_loop_action_duration_seconds_bucket{namespace=~"$namespace"}))',
                "both, 95th percentile",
            ),
            Query(
                "histogram_quantile(0.95, sum by (le, action_type) "
                '(smartops_orchestrator_action_latency_seconds_bucket{namespace=~"$namespace"}))',
                "{{action_type}} alone",
            ),
            Query(
                "histogram_quantile(0.95, sum by (le) "
                '(smartops_orchestrator_verification_latency_seconds_bucket{namespace=~"$namespace"}))',
                "verification alone",
            ),
        ),
        series(
            "Queue",
            "Signals that wait for the loop's one worker. A rise while an action is verified is normal; one that stays "
            "means that signals come faster than they are answered.",
            "short",
            Query('orchestrator_closed_loop_queue_depth{namespace=~"$namespace"}', "{{namespace}}"),
            width=8,
        ),
        series(
            "Signals",
            "Anomalies and diagnoses, and what became of them.",
            "short",
            Query(
                'sum by (kind, result) (orchestrator_closed_loop_signals_total{namespace=~"$namespace"})',
                "{{kind}} {{result}}",
            ),
            width=8,
        ),
        series(
            "Held back and tried again",
            "Guardrails and cooldowns keep the healer from acting; retries follow a time-out or an error.",
            "short",
            Query(
                'sum by (reason) (orchestrator_closed_loop_guardrail_blocks_total{namespace=~"$namespace"})',
                "guardrail {{reason}}",
            ),
            Query(
                'sum by (type) (orchestrator_closed_loop_cooldown_skips_total{namespace=~"$namespace"})',
                "cooldown of {{type}}",
            ),
            Query(
                'sum by (type) (orchestrator_closed_loop_retries_total{namespace=~"$namespace"})',
                "retry of {{type}}",
            ),
            width=8,
        ),
        series(
            "Replicas as the orchestrator sees them",
            "Wanted and ready. It decides by these; where they differ from the cluster's own, it decides wrongly.",
            "short",
            Query('smartops_k8s_deployment_desired_replicas{namespace=~"$namespace"}', "{{deployment}} wanted"),
            Query('smartops_k8s_deployment_ready_replicas{namespace=~"$namespace"}', "{{deployment}} ready"),
        ),
        series(
            "Calls to the Kubernetes API",
            "By verb; `patch` are its interventions.",
            "ops",
            Query(
                'sum by (verb) (rate(smartops_k8s_api_calls_total{namespace=~"$namespace"}[$__rate_interval]))',
                "{{verb}}",
            ),
        ),
    ),
)
