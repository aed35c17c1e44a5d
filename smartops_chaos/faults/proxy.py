"""Faults of the network over a Service, as experiments name them; made in `kubernetes.driver_proxy`."""

from smartops_chaos.kubernetes.driver_proxy import prepare, revert, took_effect, trouble

__all__ = ["prepare", "revert", "took_effect", "trouble"]
