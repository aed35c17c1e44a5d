"""The node of a lane: a small kubelet with its pods, a Service in front of them, faults, Prometheus; lanes start here."""
