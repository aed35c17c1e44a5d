"""smartops-chaos: measure how fast, and how often, a self-healing system heals."""

__version__ = "0.1.0"  # x-release-please-version
