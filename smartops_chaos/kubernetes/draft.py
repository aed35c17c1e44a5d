"""What moved when a fault was injected -> a healer file to begin with. Pure.

A line's template is the line without what differs from one time to the next: numbers, hashes, names of pods. A template
has moved if it came after the fault and not, or far more seldom, in the quiet time before it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from smartops_chaos.model import LogLine
from smartops_chaos.schema.healerfile import OF_KUBERNETES

_VARIABLE = re.compile(
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}\b"  # UUID
    r"|\b[a-z0-9]+(?:-[a-z0-9]+)*-[a-f0-9]{6,10}-[a-z0-9]{5}\b"  # a pod of a Deployment
    r"|\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[^ ]*"
    r"|\b0x[0-9a-f]+\b|\b[0-9a-f]{12,}\b|\d+(?:[.,:]\d+)*"
)
# Whoever replaces a pod that is gone, and says so of every pod.
_PLATFORM = re.compile(r" by=(kubelet|default-scheduler|[a-z]+-controller|kube-[a-z-]+) ")
_LONGEST = 160  # characters of a pattern
_MOST = 6  # rules of one moment, and further lines that are shown
_OFTENER = 3.0  # times as often as before the fault

# What a line may tell, by its words; the first that fits. A guess: the comment beside the rule lets a person judge.
_WORDS = {
    "verified": r"verif|recovered|resolved|back to normal|healthy again",
    "diagnosed": r"diagnos|root.?cause|\brca\b|analysis",
    "decided": r"polic|decid|decision|playbook|triggered|plan\b",
    "acted": r"restart|scal(?:e|ing)|delet|evict|remediat|heal(?:ed|ing)|recreat|execut|rollout|reboot|killing",
    "detected": r"detect|anomal|alert|unhealthy|unavailable|degrad|fail|error|timeout|not ready|slow|down\b",
}


@dataclass(frozen=True, slots=True)
class Moved:
    """A template that came after the fault."""

    component: str
    template: str
    example: str
    count: int
    before: int  # in the quiet time
    first_s: float  # after the fault

    @property
    def pattern(self) -> str:
        """A regular expression for lines of the template."""
        parts = [re.escape(part) for part in self.template.split("\0")]
        return r"\S+".join(parts)[:_LONGEST].rstrip("\\").replace("\\ ", " ")

    @property
    def moment(self) -> str:
        """Which moment it may tell; empty if nothing is known, or it is the platform that replaces the pod."""
        if self.component.startswith(OF_KUBERNETES) and _PLATFORM.search(self.template):
            return ""
        said = self.template.lower()
        return next((moment for moment, words in _WORDS.items() if re.search(words, said)), "")


@dataclass(frozen=True, slots=True)
class Seen:
    """What `attach` has found out about a namespace."""

    namespace: str
    service: str
    port: int
    sizes: dict[str, int]  # controller -> replicas
    fault: str  # in words; empty if none was injected
    quiet_s: float
    watched_s: float
    moved: tuple[Moved, ...]
    metrics: tuple[str, ...]  # counters that rose after the fault and not before

    @property
    def components(self) -> list[str]:
        return [name for name in self.sizes if name != self.service]


def moved(lines: Iterable[LogLine], fault_ns: int, quiet_s: float, watched_s: float) -> tuple[Moved, ...]:
    """In order of their first time after the fault; `fault_ns` is on the lines' clock."""
    before: dict[tuple[str, str], int] = {}
    after: dict[tuple[str, str], list[LogLine]] = {}
    for line in lines:
        key = line.component, template(line.text)
        if line.at_ns + max(0, line.cut_ns - 1) < fault_ns:
            before[key] = before.get(key, 0) + 1
        else:
            after.setdefault(key, []).append(line)
    found = []
    for (component, one), seen in after.items():
        quiet = before.get((component, one), 0)
        if quiet == 0 or len(seen) / watched_s > _OFTENER * quiet / quiet_s:
            first_s = max(0.0, (seen[0].at_ns - fault_ns) / 1e9)
            found.append(Moved(component, one, seen[0].text, len(seen), quiet, first_s))
    return tuple(sorted(found, key=lambda one: one.first_s))


def template(line: str) -> str:
    """The line with a null character for each part that differs from one time to the next."""
    return _VARIABLE.sub("\0", line.strip())


def healer_file(seen: Seen) -> str:
    """The text of the healer file, with what was seen beside each rule."""
    told = [one for one in seen.moved if one.component != seen.service]
    lines = [
        f"# As `smartops-chaos attach {seen.namespace}` found it: {seen.fault or 'no fault was injected'}.",
        "# Each rule is a guess from one look: read the comment beside it, keep what fits, delete the rest.",
        "# `smartops-chaos healer check FILE --logs FILE` shows what the rules match.",
        "version: 1",
        f"name: {seen.namespace}",
        "poll: 5s # its own period: trials begin at a random point of it",
        "warm_up: 10s # how long it must see a healthy service before a trial",
        "workload: {path: /, timeout: 2s} # the request that is sent; its answer must be 2xx or 3xx",
        "settings:",
        "  healer: [on, off]",
        *_moments(told, seen),
        *_others(seen),
        "kubernetes:",
        f"  service: {seen.service} # the Deployment under attack",
        f"  workload: {{service: {seen.service}, port: {seen.port}}}",
        f"  components: [{', '.join(seen.components)}] # whose logs are read",
        "  settings:",
        "    healer:",
        "      on: []",
        "      off: # switched off by its size; a switch of its own is better: see docs/healers.md",
        *([f"        - {{deployment: {name}, replicas: 0}}" for name in seen.components] or ["        []"]),
        "  reset: # before every trial",
        f"    replicas: {{{', '.join(f'{name}: {size}' for name, size in seen.sizes.items())}}}",
        f"    restart: [{', '.join(seen.components)}] # what keeps a state in memory",
    ]
    return "\n".join(lines) + "\n"


def _moments(told: Sequence[Moved], seen: Seen) -> list[str]:
    by_moment = {moment: [one for one in told if one.moment == moment][:_MOST] for moment in _WORDS}
    found = [moment for moment in ("detected", "diagnosed", "decided", "acted", "verified") if by_moment[moment]]
    if not found:
        return ["# No line or event that came after the fault tells a moment: add rules here.", "moments: {}"]
    lines = ["moments: # patterns are searched anywhere in a line"]
    for moment in found:
        lines.append(f"  {moment}:")
        for one in by_moment[moment]:
            component = json.dumps(one.component)
            pattern = "'" + one.pattern.replace("'", "''") + "'"
            lines += [f"    # {_seen(one, seen)}", f"    # {_printable(one.example)}"]
            lines.append(f"    - {{log: {pattern}, component: {component}}}")
    return lines


def _others(seen: Seen) -> list[str]:
    rest = [one for one in seen.moved if not one.moment and one.component != seen.service][:_MOST]
    lines = [f"# also came after the fault: {one.component}: {_printable(one.example)}" for one in rest]
    return lines + [f"# rose after the fault: {name} (a rule of it: {{increase: {name}}})" for name in seen.metrics]


def _seen(one: Moved, seen: Seen) -> str:
    times = "once" if one.count == 1 else f"{one.count} times"
    quiet = f"{one.before} times" if one.before else "never"
    where = "an event" if one.component.startswith(OF_KUBERNETES) else f"of {one.component}"
    after = f"{times} in {seen.watched_s:.0f} s, first {one.first_s:.1f} s after the fault"
    return f"{where}: {after}; {quiet} in {seen.quiet_s:.0f} s before it"


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)[:200]
