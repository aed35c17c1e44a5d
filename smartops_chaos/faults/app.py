"""Faults by the application's own switches, as experiments name them; made in `kubernetes.driver_app`."""

from smartops_chaos.kubernetes.driver_app import enable, revert, switched_on

__all__ = ["enable", "revert", "switched_on"]
