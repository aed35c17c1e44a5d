"""Resources of Chaos Mesh from what a fault file says, and what is accepted by Chaos Mesh although it cannot act. Pure.

A fault file gives numbers in SI units, as everywhere; here they become the texts that Chaos Mesh wants.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

GROUP = "chaos-mesh.org"
KINDS = {
    "PodChaos": "podchaos",
    "StressChaos": "stresschaos",
    "NetworkChaos": "networkchaos",
    "HTTPChaos": "httpchaos",
    "DNSChaos": "dnschaos",
    "IOChaos": "iochaos",
    "TimeChaos": "timechaos",
}
# What is over at once, and has no duration.
MOMENTARY = (("PodChaos", "pod-kill"), ("PodChaos", "container-kill"))
_DURATIONS = ("latency", "jitter", "delay", "timeOffset")
_SHARES = ("loss", "corrupt", "duplicate", "correlation", "reorder")  # texts, in per cent
_PERCENT = ("load", "percent")  # whole numbers


def resource(
    name: str,
    namespace: str,
    pods: Sequence[str],
    containers: Sequence[str],
    expires_s: float,
    chaos: Mapping[str, Any],
) -> dict[str, Any]:
    """A resource for exactly these pods, that expires by itself. What the file says of pods or duration is replaced."""
    kind = str(chaos["kind"])
    spec = in_its_words(dict(chaos.get("spec") or {}))
    for ours in ("selector", "mode", "value", "duration"):
        spec.pop(ours, None)
    spec |= {"mode": "all", "selector": {"pods": {namespace: list(pods)}}}
    if (kind, spec.get("action")) not in MOMENTARY:
        spec["duration"] = f"{max(1, round(expires_s))}s"
    if kind in ("StressChaos", "TimeChaos", "IOChaos") or spec.get("action") == "container-kill":
        spec.setdefault("containerNames", list(containers))
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def in_its_words(value: Any, field: str = "") -> Any:
    """Numbers in SI units (seconds, shares from 0 to 1, bytes, bytes a second) as Chaos Mesh writes these fields."""
    if isinstance(value, Mapping):
        return {key: in_its_words(inside, key) for key, inside in value.items()}
    if isinstance(value, list | tuple):
        return [in_its_words(inside, field) for inside in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if field in _DURATIONS:
        return f"{value * 1000:.0f}ms"
    if field in _SHARES:
        return f"{value * 100:g}"
    if field in _PERCENT and isinstance(value, float):
        return round(value * 100)
    if field == "size":
        return f"{value / 2**20:.0f}MiB"
    if field == "rate":
        return f"{value:.0f}bps"  # bytes a second, as tc has it
    return int(value) if isinstance(value, float) and value.is_integer() else value


def traps(chaos: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What would be accepted and said to be injected, and would do nothing, or hit more than is meant."""
    kind, spec = chaos.get("kind"), chaos.get("spec") or {}
    if kind not in KINDS:
        yield f"{kind} is no kind of Chaos Mesh that is known here", f"one of: {', '.join(KINDS)}"
        return
    if kind == "StressChaos":
        if spec.get("stressngStressors"):
            yield "stressngStressors starts no process", "use `stressors`"
        for name, stressor in (spec.get("stressors") or {}).items():
            if not stressor.get("workers"):
                yield f"the {name} stressor has no workers, so nothing runs", "say `workers: 1` or more"
        if not spec.get("stressors"):
            yield "a StressChaos without stressors", "say `stressors`"
    if kind == "NetworkChaos" and "target" in spec and not (spec["target"].get("selector") or {}):
        yield "a `target` without a selector means every pod of the namespace", "say whom it is about"
    if kind == "NetworkChaos" and spec.get("direction") in ("from", "both") and "target" not in spec:
        yield f"direction {spec['direction']} needs a target", "add `target`, or use direction `to`"
