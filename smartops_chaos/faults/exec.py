"""Faults by a program inside the container under attack, as experiments name them; made in `kubernetes.driver_exec`."""

from smartops_chaos.kubernetes.driver_exec import cpu_stress, memory_leak, revert, took_effect

__all__ = ["cpu_stress", "memory_leak", "revert", "took_effect"]
