"""Is the platform well? Pods, Deployments, their resources, the service, and what fires."""

from __future__ import annotations

from blocks import Board, Query, number, rows, series

BOARD = Board(
    uid="smartops-cluster",
    title="SmartOps: cluster overview",
    description="Whether the platform is well: Deployments, pods, resources, the ERP service, and the alerts that fire.",
    panels=(
        number(
            "Pods that are missing",
            "Replicas that are wanted and not available, of all Deployments. More than 0 for longer than a rollout: "
            "look at the panel of replicas below.",
            "short",
            Query(
                'sum(kube_deployment_spec_replicas{namespace=~"$namespace"}) '
                '- sum(kube_deployment_status_replicas_available{namespace=~"$namespace"})'
            ),
            warn=1,
            bad=3,
        ),
        number(
            "Alerts that fire",
            "Of severity critical or warning. The table at the end names them.",
            "short",
            Query(
                'count(ALERTS{alertstate="firing", severity=~"critical|warning", namespace=~"$namespace|"}) or vector(0)'
            ),
            bad=1,
        ),
        number(
            "Good requests, 5 minutes",
            "The share of the monitor's own requests that were answered rightly and in time; 99 % are promised.",
            "percentunit",
            Query('smartops:sli:ratio_rate5m{namespace=~"$namespace"}', "{{namespace}} {{service}}"),
            warn=0.99,
            bad=0.95,
            falling=True,
        ),
        number(
            "Containers in a crash loop",
            "Containers that were restarted twice in 5 minutes, or that the kubelet waits with before it starts them once more.",
            "short",
            Query(
                'count(ALERTS{alertname="SmartOpsPodCrashLooping", alertstate="firing", namespace=~"$namespace"}) '
                "or vector(0)"
            ),
            bad=1,
        ),
        series(
            "Replicas: wanted and available",
            "A healer's scaling shows as a step of both lines; a gap between them is a rollout, or pods that do not start.",
            "short",
            Query('kube_deployment_spec_replicas{namespace=~"$namespace"}', "{{deployment}} wanted"),
            Query('kube_deployment_status_replicas_available{namespace=~"$namespace"}', "{{deployment}} available"),
        ),
        series(
            "Restarts in 5 minutes",
            "Containers that the kubelet restarted: after a crash, a failed liveness probe, or too much memory.",
            "short",
            Query(
                "sum by (namespace, pod) "
                '(increase(kube_pod_container_status_restarts_total{namespace=~"$namespace"}[5m]))',
                "{{pod}}",
            ),
        ),
        series(
            "CPU",
            "Cores that each pod uses. Without cAdvisor's metrics only what pods tell of themselves.",
            "suffix: cores",
            Query(
                "sum by (namespace, pod) "
                '(rate(container_cpu_usage_seconds_total{namespace=~"$namespace", container!=""}[$__rate_interval]))',
                "{{pod}}",
            ),
        ),
        series(
            "Memory, of its limit",
            "At 100 % the kernel kills the container. A straight rise is a leak.",
            "percentunit",
            Query(
                'sum by (namespace, pod) (container_memory_working_set_bytes{namespace=~"$namespace", container!=""}) '
                '/ sum by (namespace, pod) (container_spec_memory_limit_bytes{namespace=~"$namespace"} > 0)',
                "{{pod}}",
            ),
            bad=0.9,
        ),
        series(
            "ERP: requests",
            "What the service itself counts, by endpoint; the calls of probes and of Prometheus are among them.",
            "reqps",
            Query(
                'sum by (endpoint) (rate(erp_simulator_requests_total{namespace=~"$namespace"}[$__rate_interval]))',
                "{{endpoint}}",
            ),
            stacked=True,
            width=8,
        ),
        series(
            "ERP: errors",
            "Answers that the service itself counts as errors; nothing until the first one.",
            "reqps",
            Query(
                'sum by (endpoint) (rate(erp_simulator_errors_total{namespace=~"$namespace"}[$__rate_interval]))',
                "{{endpoint}}",
            ),
            width=8,
        ),
        series(
            "ERP: time for an order",
            "Half of the orders, and 95 of 100, take at most this, as the service itself measures it.",
            "s",
            Query(
                "histogram_quantile(0.5, sum by (le) "
                '(rate(erp_simulator_load_duration_seconds_bucket{namespace=~"$namespace"}[$__rate_interval])))',
                "median",
            ),
            Query(
                "histogram_quantile(0.95, sum by (le) "
                '(rate(erp_simulator_load_duration_seconds_bucket{namespace=~"$namespace"}[$__rate_interval])))',
                "95th percentile",
            ),
            width=8,
        ),
        rows(
            "Alerts",
            "What fires now. Each alert has a page in docs/runbooks: what it means, what to look at, what the healer does.",
            Query('ALERTS{alertstate="firing", severity=~"critical|warning", namespace=~"$namespace|"}'),
        ),
    ),
)
