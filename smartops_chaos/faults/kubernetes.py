"""Faults by what the API server itself does to objects, as experiments name them; made in `kubernetes.driver_api`."""

from smartops_chaos.kubernetes.driver_api import pod_gone, pod_kill, scale_back, scale_to_zero, scaled, unmark_kill

__all__ = ["pod_gone", "pod_kill", "scale_back", "scale_to_zero", "scaled", "unmark_kill"]
