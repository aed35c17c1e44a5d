"""How to read this report: its words, a row each, of those that it uses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass

from smartops_chaos.report.document import Facts, Paragraph, Section


@dataclass(frozen=True, slots=True)
class Term:
    name: str
    means: str
    found_by: str = ""  # a pattern that tells whether a text uses it; "": the name itself

    def used(self, text: str) -> bool:
        return re.search(self.found_by or rf"\b{re.escape(self.name)}", text, re.IGNORECASE) is not None


# What page 1 cannot do without, in the order in which one needs it.
FIRST = (
    Term("Arm", "One thing that is compared: a detector model together with a policy."),
    Term("Baseline", "The arm that the others are held against; most often no healer at all."),
    Term("Scenario", "A fault under a load."),
    Term("Trial", "One repeat of a scenario in one arm."),
    Term("Horizon τ", "How long a trial waits for the recovery. One that has not recovered by then counts as τ."),
    Term("MTTR", "The mean time to recover over all trials, with τ for those that never did (statisticians call it "
                 "RMST). No trial is left out for its result."),
    Term("Interval", "The values that the trials leave open. The 95 % interval misses the true value in 1 of 20 "
                     "campaigns at most. A wide one means: too few trials."),
    Term("Proven", "Were the target not met, so good a result would be rarer than the level of the campaign, most "
                   "often 2.5 %."),
    Term("Incident", "A trial in which users were hurt, or in which the healer prevented that."),
    Term("Platform", "What runs the service and restarts what has died, with or without a healer."),
    Term("SLO", "Service level objective: which share of the requests has to be answered well, and how fast.",
         r"\bSLO\b|service level obj"),
    Term("Calibration", "Trials in which we end the fault ourselves at a known second, to see how true the times are."),
)  # fmt: skip
MORE = (
    Term("AC@k", "The share of trials in which a right cause is among the first k that were named.", r"AC@\d"),
    Term("Availability", "The share of a service window in which the service is good, if so many faults come in it."),
    Term("Block", "One trial of each arm under the same scenario, in random order on one lane: these are compared."),
    Term("Contested", "A trial in which it is doubtful whether healer or platform ended the outage; it counts for the "
                      "platform."),
    Term("Dating error", "The recovery as measured minus the true one, known from calibration."),
    Term("Drain", "The time that the service needs after the end of a fault to work off its backlog."),
    Term("Error budget", "The bad seconds that the target of the availability leaves in a service window."),
    Term("False alarm", "A signal or an action of the healer without a fault."),
    Term("H", "How long health must last to count as recovered.", r"\bH\b"),
    Term("Harness", "This program: it injects faults, sends requests and reads what the healer tells."),
    Term("Holm", "A correction for many arms: the more are judged, the more each has to show."),
    Term("Kaplan-Meier curve", "The share of trials that have not recovered yet, over the time.", "Kaplan-Meier"),
    Term("Lane", "An own copy of the system under test, which runs one trial at a time."),
    Term("Lift", "How much better the named causes are than the best constant answer."),
    Term("Macro recall", "The share of right answers for each cause, and the mean of these."),
    Term("Missed", "That the target is met is ruled out, as surely as for proven."),
    Term("MTTD", "The mean time to the detection, of the incidents that were detected."),
    Term("MTTM", "The mean time to the first action that helped, of the incidents that had one."),
    Term("Needless action", "An action on what was not affected."),
    Term("Newcombe interval", "An interval for the difference of two shares.", "Newcombe"),
    Term("Observed above", "The estimate meets the target, but chance is not ruled out."),
    Term("Observed below", "The estimate is short of the target, but chance is not ruled out."),
    Term("p", "How likely so good a result is at most, if the target is not met.", r"\bp\s[=<]|\bp tests"),
    Term("Relapse", "Health that did not last; late, if it had lasted long enough to end a trial."),
    Term("SLA", "Service level agreement: the availability that is owed in a service window.", r"\bSLA\b"),
    Term("Top-1", "The share of trials in which the first named cause is right."),
    Term("Trivial", "The target is met whatever a healer does."),
    Term("Undecidable", "The trials cannot say it; the reason stands beside it."),
    Term("Uplift", "The share of incidents that the healer ended, minus what ends without a person in the baseline."),
    Term("Wilson interval", "An interval for a share that also holds for few trials.", "Wilson"),
    Term("z-score", "The distance of a value from the usual mean, in standard deviations.", "z-?score"),
)  # fmt: skip


def section() -> Section:
    lead = (
        "The first section is the answer. What follows says why. The appendix has each fault, each trial, the method "
        "and the other words."
    )
    return Section("reading", "How to read this report", (Paragraph(lead), _facts(FIRST)))


def words(sections: Iterable[Section]) -> Section:
    """The other words that these sections use."""
    text = " ".join(_texts(list(sections)))
    return Section("words", "Appendix: words", (_facts([term for term in MORE if term.used(text)]),))


def _facts(terms: Sequence[Term]) -> Facts:
    return Facts(tuple((term.name, term.means) for term in terms))


def _texts(value: object) -> Iterable[str]:
    """All that is to be read in a part of the report, without drawings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)
    elif is_dataclass(value):
        for one in fields(value):
            if one.name not in ("svg", "id", "evidence", "raw"):
                yield from _texts(getattr(value, one.name))
