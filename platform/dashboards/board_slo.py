"""Is the promise kept? Time to recover beside the error rate, the burn of the budget, and the last campaign."""

from __future__ import annotations

from blocks import Board, Query, number, series

BOARD = Board(
    uid="smartops-slo",
    title="SmartOps: MTTR, errors and SLO",
    description="How long incidents last, how much of the error budget they use, and what the last campaign measured.",
    span="now-24h",
    panels=(
        number(
            "Good requests, 72 h",
            "The share over the golden window; a promotion wants 98 %, the objective is 99 %.",
            "percentunit",
            Query('smartops:sli:ratio_rate72h{namespace=~"$namespace"}', "{{namespace}} {{service}}"),
            warn=0.99,
            bad=0.98,
            falling=True,
        ),
        number(
            "Error budget left, 72 h",
            "What is left of the 1 % of requests that may fail; below 0 the objective is missed.",
            "percentunit",
            Query('smartops:error_budget:remaining_ratio72h{namespace=~"$namespace"}', "{{namespace}} {{service}}"),
            warn=0.25,
            bad=0,
            falling=True,
        ),
        number(
            "MTTR of real incidents, 24 h",
            "The mean of the incidents that no test has caused; nothing where there was none.",
            "s",
            Query('smartops:mttr:seconds_mean24h{namespace=~"$namespace"}', "{{namespace}} {{service}}"),
            warn=60,
            bad=120,
        ),
        number(
            "MTTR of the last campaign",
            "Of each arm, the restricted mean: a trial that did not recover counts with the whole horizon. Compare it "
            "with other arms, not with the mean of real incidents beside it.",
            "s",
            Query('smartops_chaos_campaign_mttr_seconds{namespace=~"$namespace", bound="estimate"}', "{{arm}}"),
        ),
        series(
            "MTTR of real incidents, last hour",
            "The mean of the incidents of the hour before that no test has caused; each is known to the 5 s between two readings. The line is the limit of the alert.",
            "s",
            Query('smartops:mttr:seconds_mean1h{namespace=~"$namespace"}', "{{namespace}} {{service}}"),
            bad=120,
        ),
        series(
            "Error rate",
            "Requests of the monitor that were not good, in 5 minutes. The line is what may fail.",
            "percentunit",
            Query('1 - smartops:sli:ratio_rate5m{namespace=~"$namespace"}', "{{namespace}} {{service}}"),
            bad=0.01,
        ),
        series(
            "Burn of the error budget",
            "How many times as fast as allowed. A breach is told when the two short windows, or the two long ones, are above "
            "14.4, the line.",
            "short",
            Query('smartops:burn:rate30s{namespace=~"$namespace"}', "{{service}} 30 s"),
            Query('smartops:burn:rate2m{namespace=~"$namespace"}', "{{service}} 2 min"),
            Query('smartops:burn:rate5m{namespace=~"$namespace"}', "{{service}} 5 min"),
            Query('smartops:burn:rate30m{namespace=~"$namespace"}', "{{service}} 30 min"),
            Query('smartops:burn:rate1h{namespace=~"$namespace"}', "{{service}} 1 h"),
            Query('smartops:burn:rate6h{namespace=~"$namespace"}', "{{service}} 6 h"),
            bad=14.4,
        ),
        series(
            "Time to recover",
            "Of the incidents of the last hour, by how they ended, tests included: their mean, and what half of them and 95 of 100 took at most.",
            "s",
            Query(
                'sum by (outcome) (rate(smartops_chaos_recovery_seconds_sum{namespace=~"$namespace"}[1h])) '
                '/ sum by (outcome) (rate(smartops_chaos_recovery_seconds_count{namespace=~"$namespace"}[1h]))',
                "{{outcome}} mean",
            ),
            Query(
                "histogram_quantile(0.5, sum by (le, outcome) "
                '(rate(smartops_chaos_recovery_seconds_bucket{namespace=~"$namespace"}[1h])))',
                "{{outcome}} median",
            ),
            Query(
                "histogram_quantile(0.95, sum by (le, outcome) "
                '(rate(smartops_chaos_recovery_seconds_bucket{namespace=~"$namespace"}[1h])))',
                "{{outcome}} 95th percentile",
            ),
        ),
        series(
            "The last campaign: MTTR of each arm with its bounds",
            "Estimate, and the ends of its 95 % interval. Two arms whose intervals lie apart differ.",
            "s",
            Query('smartops_chaos_campaign_mttr_seconds{namespace=~"$namespace"}', "{{arm}} {{bound}}"),
            width=24,
        ),
    ),
)
