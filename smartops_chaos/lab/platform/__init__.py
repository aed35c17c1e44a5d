"""The node of a lane, a small kubelet: pods, a Service in front of them, faults, Prometheus; lanes start here."""
