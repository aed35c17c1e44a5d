"""Faults by Chaos Mesh, as experiments name them; made in `kubernetes.driver_chaos_mesh`."""

from smartops_chaos.kubernetes.driver_chaos_mesh import inject, revert, took_effect

__all__ = ["inject", "revert", "took_effect"]
