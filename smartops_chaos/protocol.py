"""The former name of `trial.protocol`: experiments that were stored under it still run by hand, and still revert."""

from smartops_chaos.trial.protocol import (
    after_activity_control,
    after_experiment_control,
    after_rollback_control,
    at_least,
    before_activity_control,
    before_experiment_control,
    before_rollback_control,
    gate,
    observe,
    query,
    wait,
)

__all__ = [
    "after_activity_control",
    "after_experiment_control",
    "after_rollback_control",
    "at_least",
    "before_activity_control",
    "before_experiment_control",
    "before_rollback_control",
    "gate",
    "observe",
    "query",
    "wait",
]
