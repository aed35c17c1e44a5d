"""What do the AI agents see? Scores, their drift, how sure the diagnosis is, and how long inference takes."""

from __future__ import annotations

from blocks import Board, Query, number, series

BOARD = Board(
    uid="smartops-agents",
    title="SmartOps: AI agents",
    description="The detector and the diagnosis: scores and their drift, confidence, anomalies, inference latency. "
    "The agents export no metrics; the monitor reads these from their APIs.",
    panels=(
        number(
            "Inference, 95 of 100",
            "Detection and diagnosis together over 10 minutes; 5 s are promised.",
            "s",
            Query('smartops:inference:seconds_p95_10m{namespace=~"$namespace"}', "{{namespace}}"),
            warn=4,
            bad=5,
        ),
        number(
            "Confidence of the diagnosis",
            "The probability that the diagnosis gives to its first cause. A constant one says that it is a table, no model.",
            "percentunit",
            Query('smartops_rca_confidence{namespace=~"$namespace"}', "{{model}}"),
            warn=0.7,
            bad=0.5,
            falling=True,
        ),
        number(
            "Drift of the scores",
            "How far the distribution of the scores lies from its reference, between 0 and 1. A model whose scores drift "
            "was trained for another load.",
            "percentunit",
            Query('smartops_anomaly_score_drift{namespace=~"$namespace"}', "{{model}}"),
            warn=0.2,
            bad=0.4,
        ),
        number(
            "Anomalies since the start",
            "Of the monitor, by model.",
            "short",
            Query('sum by (model) (smartops_anomalies_total{namespace=~"$namespace"})', "{{model}}"),
        ),
        series(
            "Anomaly score",
            "The last score of each model.",
            "short",
            Query('smartops_anomaly_score{namespace=~"$namespace"}', "{{model}}"),
        ),
        series(
            "Drift",
            "Of the scores against their reference: 0 is the same distribution, 1 has nothing in common with it.",
            "percentunit",
            Query('smartops_anomaly_score_drift{namespace=~"$namespace"}', "{{model}}"),
            bad=0.4,
        ),
        series(
            "Inference latency",
            "95 of 100 detections and diagnoses take at most this; the sum is what is promised.",
            "s",
            Query('smartops:detect:seconds_p95_10m{namespace=~"$namespace"}', "detection"),
            Query('smartops:diagnose:seconds_p95_10m{namespace=~"$namespace"}', "diagnosis"),
            Query('smartops:inference:seconds_p95_10m{namespace=~"$namespace"}', "both"),
            bad=5,
        ),
        series(
            "From impact to detection",
            "How long users were hurt before the healer knew: of the incidents of the last hour, by the monitor.",
            "s",
            Query(
                "histogram_quantile(0.5, sum by (le, service) "
                '(rate(smartops_chaos_detection_seconds_bucket{namespace=~"$namespace"}[1h])))',
                "{{service}} median",
            ),
            Query(
                "histogram_quantile(0.95, sum by (le, service) "
                '(rate(smartops_chaos_detection_seconds_bucket{namespace=~"$namespace"}[1h])))',
                "{{service}} 95th percentile",
            ),
        ),
        series(
            "Confidence",
            "Of the diagnosis in its first cause, over time.",
            "percentunit",
            Query('smartops_rca_confidence{namespace=~"$namespace"}', "{{model}}"),
            width=8,
        ),
        series(
            "Anomalies",
            "By model, since the start of the monitor.",
            "short",
            Query('sum by (model) (smartops_anomalies_total{namespace=~"$namespace"})', "{{model}}"),
            width=8,
        ),
        series(
            "Signals that arrived",
            "What the orchestrator accepted. The detector tells a change of state only, so one incident should be one signal.",
            "short",
            Query(
                'sum by (kind) (orchestrator_closed_loop_signals_total{namespace=~"$namespace", result="accepted"})',
                "{{kind}}",
            ),
            width=8,
        ),
    ),
)
