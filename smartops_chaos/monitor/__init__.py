"""The measuring instrument as a service beside a standing system; see docs/monitor.md."""
