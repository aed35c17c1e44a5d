"""A campaign as people and programs see it: a live table in a terminal, plain stamped lines elsewhere, or NDJSON."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, TextIO

from smartops_chaos.model import Outcome
from smartops_chaos.run import events
from smartops_chaos.schema.units import count, spoken_duration

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_BAR = 30  # columns


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


def plain(outcome: str) -> str:
    """`no_effect` -> "no effect"."""
    return outcome.replace("_", " ")


def tally(outcomes: Mapping[str, int]) -> str:
    """Such as "7 healed, 3 platform, 3 for calibration"; empty if nothing has ended."""
    measured = [f"{n} {plain(name)}" for name, n in sorted(outcomes.items()) if name != events.CALIBRATION]
    calibration = outcomes.get(events.CALIBRATION, 0)
    return ", ".join([*measured, *([f"{calibration} for calibration"] if calibration else [])])


def sentence(event: events.Event) -> str:
    """One line for one event; empty for those that only a live table needs."""
    match event:
        case events.CampaignStarted():
            left, lanes = event.trials - event.done, len(event.lanes)
            resumed = f", {event.done} done before" if event.done else ""
            takes_s = event.likely_s * left / max(1, event.trials)
            takes = f"about {spoken_duration(takes_s)}, until {_clock(takes_s)}"
            on = f"{count(left, 'trial')} on {count(lanes, 'lane')}"
            return f"{event.campaign}: {on}{resumed}; {takes}; in {event.directory}"
        case events.TrialStarted():
            again = f" (attempt {event.attempt})" if event.attempt > 1 else ""
            return f"{event.lane}: {event.trial} begins{again}"
        case events.TrialFinished():
            reason = f" ({event.reason})" if event.reason else ""
            outcome = Outcome(event.outcome)
            measured_s = event.time_s if outcome.incident else None
            after = "" if measured_s is None else f" after {measured_s:.1f} s"
            if outcome.left_out:
                ended = f"{plain(outcome)}{reason}, does not count"
            elif event.phase == "calibrate":
                recovered = plain(outcome) if outcome is Outcome.UNRECOVERED else "recovered"
                ended = f"{recovered}{after}, as the harness ended the fault"
            else:
                ended = f"{plain(outcome)}{reason}{after}"
            detail = f"\n  {event.detail}" if event.detail else ""
            return f"[{event.done}/{event.trials}] {event.lane}: {event.trial}: {ended}{detail}"
        case events.LookTaken():
            decided = f"{', '.join(event.stopped) or 'no arm'} decided"
            spared = f", {event.spared} trials are spared" if event.spared else ""
            return f"look {event.look}, after {event.repeat} repeats: {decided}{spared}"
        case events.Preparing() | events.Warned() | events.Noted():
            return event.text
        case events.LaneBlocked():
            return f"{event.lane} is blocked: {event.why}"
        case events.CampaignFinished():
            why_over = {
                "interrupted": "interrupted; the same command resumes",
                "max-time": "out of time",
                "unwritable": "nothing can be written any more",
                "invalid": "no trial is valid, so nothing more is started",
            }
            how = f" ({why_over[event.stopped_by]})" if event.stopped_by else ""
            of_this_run = ", of this run" if 0 < sum(event.outcomes.values()) < event.done else ""
            told = f"{event.campaign}: {event.done} of {event.trials} trials recorded{how}{of_this_run}"
            return f"{told}: {tally(event.outcomes) or 'nothing new'}"
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
    """What each lane does now, how many trials have ended and how, and when all will; sentences scroll by above."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live as RichLive

        self._console = Console(stderr=True, highlight=False)
        self._lanes: dict[str, tuple[str, str, float]] = {}
        self._done = self._trials = self._fresh = self._left = 0
        self._preparing = False
        self._tally: Counter[str] = Counter()
        self._begun = time.monotonic()
        self._likely_s = 0.0
        self._live = RichLive(
            console=self._console,
            get_renderable=self.picture,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def show(self, event: events.Event) -> None:
        now = time.monotonic()
        match event:
            case events.Preparing():
                self._begun = self._begun if self._preparing else now
                self._preparing = True
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
                self._tally[events.counted_as(event.outcome, event.phase)] += 1
                self._lanes[event.lane] = ("", "waiting", now)
            case events.LookTaken():
                self._trials, self._left = event.trials, self._left - event.spared
        if not isinstance(event, events.TrialStarted) and (text := sentence(event)):
            from rich.text import Text

            self._console.print(Text(text, _style(event)))

    def close(self) -> None:
        self._live.stop()

    def picture(self) -> Table | Text:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        now = time.monotonic()
        table = Table(box=None, show_header=False, pad_edge=False)
        for column in ({}, {}, {"justify": "right"}, {"overflow": "ellipsis", "ratio": 1}):
            table.add_column(no_wrap=True, **column)
        if not self._trials:
            waited = f"getting ready: {spoken_duration(now - self._begun)}"
            return Text(waited if self._preparing else "")
        for lane, (trial, phase, since) in self._lanes.items():
            table.add_row(lane, Text(phase, style="bold"), spoken_duration(now - since), Text(trial))
        grid = Table.grid()
        grid.add_row(table)
        bar = Table.grid(padding=(0, 1))
        left_s = self._remaining(now)
        told = f"{self._done} of {self._trials}, ends about {_clock(left_s)} (in {spoken_duration(left_s)})"
        bar.add_row(ProgressBar(self._trials, self._done, width=_BAR), Text(told))
        grid.add_row(bar)
        if self._tally:
            grid.add_row(Text(f"so far: {tally(self._tally)}"))
        return grid

    def _remaining(self, now: float) -> float:
        elapsed = now - self._begun
        if not self._fresh:
            return max(0.0, self._likely_s * self._left / max(1, self._trials) - elapsed)
        return max(0.0, elapsed / self._fresh * (self._left - self._fresh))


def _clock(in_s: float) -> str:
    """The time of day then."""
    return time.strftime("%H:%M", time.localtime(time.time() + in_s))


def _style(event: events.Event) -> str:
    """Colour only where something is not as it should be; rich leaves it out where there is none."""
    match event:
        case events.LaneBlocked():
            return "bold red"
        case events.Warned():
            return "yellow"
        case events.TrialFinished() if Outcome(event.outcome).left_out:
            return "yellow"
        case _:
            return ""
