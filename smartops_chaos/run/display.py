"""A campaign as people and programs see it: a live table in a terminal, plain stamped lines elsewhere, or NDJSON."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Protocol, TextIO

from smartops_chaos.model import Outcome
from smartops_chaos.run import events

if TYPE_CHECKING:
    from rich.table import Table


class Display(Protocol):
    def show(self, event: events.Event) -> None: ...

    def close(self) -> None: ...


def make(*, as_json: bool) -> Display:
    """NDJSON goes to stdout, everything else to stderr."""
    if as_json:
        return Ndjson(sys.stdout)
    return Live() if sys.stderr.isatty() else Plain(sys.stderr)


class Ndjson:
    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, event: events.Event) -> None:
        print(json.dumps(events.as_dict(event), default=str), file=self._out, flush=True)

    def close(self) -> None: ...


def sentence(event: events.Event) -> str:
    """One line for one event; empty for those that only a live table needs."""
    match event:
        case events.CampaignStarted():
            left = event.trials - event.done
            resumed = f", {event.done} done before" if event.done else ""
            return f"{event.campaign}: {left} trials on {len(event.lanes)} lanes{resumed}, in {event.directory}"
        case events.TrialStarted():
            again = f" (attempt {event.attempt})" if event.attempt > 1 else ""
            return f"{event.lane}: {event.trial} begins{again}"
        case events.TrialFinished():
            reason = f" ({event.reason})" if event.reason else ""
            took_s = event.time_s if Outcome(event.outcome).incident else None
            after = "" if took_s is None else f" after {took_s:.1f} s"
            detail = f"\n  {event.detail}" if event.detail else ""
            return f"{event.lane}: {event.trial}: {event.outcome}{reason}{after} [{event.done}/{event.trials}]{detail}"
        case events.LookTaken():
            decided = f"{', '.join(event.stopped) or 'no arm'} decided"
            spared = f", {event.spared} trials are spared" if event.spared else ""
            return f"look {event.look}, after {event.repeat} repeats: {decided}{spared}"
        case events.Preparing() | events.Warned() | events.Noted():
            return event.text
        case events.LaneBlocked():
            return f"{event.lane} is blocked: {event.why}"
        case events.CampaignFinished():
            outcomes = ", ".join(f"{n} {name}" for name, n in sorted(event.outcomes.items()))
            ended = {
                "interrupted": "interrupted; the same command resumes",
                "max-time": "out of time",
                "unwritable": "nothing can be written any more",
                "invalid": "no trial is valid, so nothing more is started",
            }
            how = f" ({ended[event.stopped_by]})" if event.stopped_by else ""
            return f"{event.campaign}: {event.done} of {event.trials} trials recorded{how}: {outcomes or 'nothing new'}"
        case _:
            return ""


class Plain:
    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, event: events.Event) -> None:
        if text := sentence(event):
            print(time.strftime("%H:%M:%S"), text, file=self._out, flush=True)

    def close(self) -> None: ...


class Live:
    """What each lane does now, how many are done, how long it will take; finished trials scroll by above."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live as RichLive

        self._console = Console(stderr=True, highlight=False)
        self._lanes: dict[str, tuple[str, str, float]] = {}
        self._done = self._trials = self._fresh = self._left = 0
        self._begun = time.monotonic()
        self._likely_s = 0.0
        self._live = RichLive(
            console=self._console,
            get_renderable=self._table,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def show(self, event: events.Event) -> None:
        now = time.monotonic()
        match event:
            case events.CampaignStarted():
                self._trials, self._done = event.trials, event.done
                self._left = event.trials - event.done
                self._likely_s, self._begun = event.likely_s, now
                self._lanes = dict.fromkeys(event.lanes, ("", "waiting", now))
            case events.TrialStarted():
                self._lanes[event.lane] = (event.trial, "starts", now)
            case events.PhaseReached():
                self._lanes[event.lane] = (event.trial, event.phase, now)
            case events.TrialFinished():
                self._done, self._fresh = event.done, self._fresh + 1
                self._lanes[event.lane] = ("", "waiting", now)
            case events.LookTaken():
                self._trials, self._left = event.trials, self._left - event.spared
        if not isinstance(event, events.TrialStarted) and (text := sentence(event)):
            from rich.text import Text

            self._console.print(Text(text))

    def close(self) -> None:
        self._live.stop()

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        now = time.monotonic()
        table = Table(box=None, show_header=False, pad_edge=False)
        for lane, (trial, phase, since) in self._lanes.items():
            table.add_row(lane, Text(phase, style="bold"), f"{now - since:4.0f} s", Text(trial))
        if self._trials:
            table.add_row("", f"{self._done}/{self._trials}", "", f"about {self._remaining(now):.0f} s left")
        return table

    def _remaining(self, now: float) -> float:
        elapsed = now - self._begun
        if not self._fresh:
            return max(0.0, self._likely_s - elapsed)
        return max(0.0, elapsed / self._fresh * (self._left - self._fresh))
