"""Chaos against auto-heal on one time axis: what was injected, who was hurt, who acted, when it was well again."""

from __future__ import annotations

from blocks import Board, Query, number, series, states

BOARD = Board(
    uid="smartops-healing",
    title="SmartOps: chaos against auto-heal",
    description="One axis for faults, incidents, actions and alerts, and below it the requests that they hurt. "
    "Red marks are faults, green ones recoveries.",
    panels=(
        states(
            "What happened when",
            "From top to bottom: faults of a campaign, incidents as the monitor measures them, the ten seconds after an "
            "action of the orchestrator, and alerts.",
            # Also what was shorter than a step of the picture.
            Query(
                'max by (fault) (max_over_time(smartops_chaos_fault_active{namespace=~"$namespace"}[$__interval]) '
                'or smartops_chaos_fault_active{namespace=~"$namespace"})',
                "fault: {{fault}}",
            ),
            Query(
                'max by (service) (max_over_time(smartops_chaos_incident_active{namespace=~"$namespace"}[$__interval]) '
                'or smartops_chaos_incident_active{namespace=~"$namespace"})',
                "incident: {{service}}",
            ),
            Query(
                "time() - max by (action_type) "
                '(smartops_orchestrator_last_action_timestamp{namespace=~"$namespace"}) < bool 10 + $__interval_ms / 1000',
                "action: {{action_type}}",
            ),
            Query(
                "max by (alertname) "
                '(ALERTS{alertstate="firing", severity=~"critical|warning", namespace=~"$namespace|"})',
                "alert: {{alertname}}",
            ),
            height=9,
        ),
        number(
            "Faults in force",
            "Of all campaigns, now.",
            "short",
            Query('sum(smartops_chaos_fault_active{namespace=~"$namespace"}) or vector(0)'),
            warn=1,
        ),
        number(
            "Incidents now",
            "Services that miss their objective now.",
            "short",
            Query('sum(smartops_chaos_incident_active{namespace=~"$namespace"})'),
            bad=1,
        ),
        number(
            "Incidents by outcome",
            "Since the start of the monitor: healed by the healer, ended by the platform, unrecovered, harmed.",
            "short",
            Query('sum by (outcome) (smartops_chaos_incidents_total{namespace=~"$namespace"})', "{{outcome}}"),
        ),
        number(
            "Ended without a person",
            "The share of incidents that the healer or the platform ended; 90 % are wanted.",
            "percentunit",
            Query(
                'sum(smartops_chaos_incidents_total{namespace=~"$namespace", outcome=~"healed|platform"}) '
                '/ sum(smartops_chaos_incidents_total{namespace=~"$namespace"})'
            ),
            warn=0.95,
            bad=0.9,
            falling=True,
        ),
        series(
            "Requests of the monitor",
            "Good: answered rightly and in time. The bad ones are the incident as users feel it.",
            "reqps",
            Query(
                'sum by (answer) (rate(smartops_chaos_requests_total{namespace=~"$namespace"}[$__rate_interval]))',
                "{{answer}}",
            ),
            stacked=True,
        ),
        series(
            "Latency by operation, with traces",
            "95 of 100 calls take at most this, from the spans that services send. Each point is a trace: click on it.",
            "ms",
            Query(
                "histogram_quantile(0.95, sum by (le, service_name, span_name) "
                '(rate(traces_span_metrics_duration_milliseconds_bucket{k8s_namespace_name=~"$namespace|"}'
                "[$__rate_interval])))",
                "{{service_name}} {{span_name}}",
                traces=True,
            ),
        ),
        series(
            "Replicas",
            "What a scale or a restart did to the size.",
            "short",
            Query('kube_deployment_status_replicas_available{namespace=~"$namespace"}', "{{deployment}}"),
            width=8,
        ),
        series(
            "Anomaly score",
            "Whether the detector saw it, and when.",
            "short",
            Query('smartops_anomaly_score{namespace=~"$namespace"}', "{{model}}"),
            width=8,
        ),
        series(
            "Signals that wait",
            "A diagnosis that waits behind the verification of an action comes late.",
            "short",
            Query('orchestrator_closed_loop_queue_depth{namespace=~"$namespace"}', "{{namespace}}"),
            width=8,
        ),
    ),
)
