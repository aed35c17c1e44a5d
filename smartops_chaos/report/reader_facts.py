"""What can be said of one arm to an owner of a part of it: a number to rank arms by, and the words. None: not known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from smartops_chaos.analysis.operations import share
from smartops_chaos.analysis.summary import ArmSummary, Share
from smartops_chaos.analysis.words import (
    NONE,
    count,
    listing,
    percent,
    percent_range,
    plain,
    points,
    seconds,
    seconds_range,
    tally,
)
from smartops_chaos.model import Outcome
from smartops_chaos.report.document import Text, joined
from smartops_chaos.report.index import Index

POLICY_REASONS = ("denied", "cooldown", "guardrail")  # for which an action was not begun
_CONFUSIONS = 2

Told = tuple[float, Text] | None


@dataclass(frozen=True)
class Teller:
    """Tells of arms; its numbers lead to the trials of the index. `alpha` is one-sided."""

    index: Index
    alpha: float

    # ---- the model -------------------------------------------------------------------------------------------

    def right_cause(self, arm: ArmSummary) -> Told:
        rca = arm.rca
        if rca.top1 is None or not rca.answers:
            return None
        right = self.index.link(f"{round(rca.top1 * rca.n)} of {rca.n}", arm.arm, diagnosis="right")
        lift = f"; {points(rca.lift)} points against always naming the best one" if rca.lift is not None else ""
        return rca.top1, joined(right, f" ({percent_range(rca.lo, rca.hi)}{lift})")

    def confusion(self, arm: ArmSummary) -> Told:
        wrong = Counter({
            (right, answer): n
            for right, row in arm.rca.confusion.items()
            for answer, n in row.items()
            if right and answer and answer not in right.split("|")
        })  # fmt: skip
        if not wrong:
            return None
        parts: list[Text] = []
        for (right, answer), n in wrong.most_common(_CONFUSIONS):
            of = sum(arm.rca.confusion[right].values())
            number = self.index.link(f"{n} of {of}", arm.arm, expected_cause=right, answered_cause=answer)
            parts += [f"{right.replace('|', ' or ')} was called {answer} in ", number, ", "]
        return float(wrong.total()), joined(*parts[:-1])

    def false_alarms(self, arm: ArmSummary) -> Told:
        found = share(arm.false_alarms, arm.controls, self.alpha)
        return self._linked(found, arm, counts_as="control", outcome=plain(Outcome.FALSE_ALARM))

    # ---- the policy ------------------------------------------------------------------------------------------

    def rules(self, arm: ArmSummary) -> Told:
        rules = arm.operations.rules
        if rules is None or not any(rules):
            return None
        parts: list[Text] = []
        for rule, n in sorted(rules.items(), key=lambda one: not one[0]):  # those without a rule last
            trials = f"{n} of {arm.counted}"
            number = self.index.link(trials, arm.arm, counts_as="counted", policy_rule=rule) if rule else trials
            parts += [f"{rule or 'none'} in ", number, ", "]
        return float(arm.counted - rules.get("", 0)), joined(*parts[:-1])

    def refused(self, arm: ArmSummary) -> Told:
        if not arm.funnel:
            return None
        reasons = refusals(arm)
        found = share(sum(reasons.values()), arm.counted, self.alpha)
        said = self._linked(found, arm, counts_as="counted", outcome="unrecovered", reason=POLICY_REASONS)
        return (said[0], joined(said[1], f": {tally(reasons)}" if reasons else "")) if said else None

    def guardrail_blocks(self, arm: ArmSummary) -> Told:
        return self._noted(arm.operations.guardrail_blocks, arm, "guardrail block")

    def cooldown_skips(self, arm: ArmSummary) -> Told:
        return self._noted(arm.operations.cooldown_skips, arm, "cooldown skip")

    def needless(self, arm: ArmSummary) -> Told:
        if arm.operations.actions is None:
            return None
        number = self.index.link(str(arm.needless_actions), arm.arm, noted="needless action")
        return float(arm.needless_actions), joined(number, f" in {count(arm.trials, 'trial')}")

    # ---- the orchestrator ------------------------------------------------------------------------------------

    def succeeded(self, arm: ArmSummary) -> Told:
        success = arm.operations.action_success
        said = rate(success)
        if said is None or success is None or success.successes == success.n:
            return said
        failed = self.index.link(f"{success.n - success.successes} failed", arm.arm, noted="action failed")
        return said[0], joined(said[1], ", ", failed)

    def relapsed(self, arm: ArmSummary) -> Told:
        if arm.operations.relapsed is None:
            return None
        found = share(arm.operations.relapsed, arm.counted, self.alpha)
        return self._linked(found, arm, counts_as="counted", noted="relapsed")

    def harmed(self, arm: ArmSummary) -> Told:
        found = share(arm.outcomes.get(Outcome.HARMED, 0), arm.counted, self.alpha)
        return self._linked(found, arm, counts_as="counted", outcome=plain(Outcome.HARMED))

    def healed(self, arm: ArmSummary) -> Told:
        outcomes = (plain(Outcome.HEALED), plain(Outcome.PREVENTED))
        return self._linked(self.by_healer(arm), arm, counts_as="counted", outcome=outcomes)

    def by_healer(self, arm: ArmSummary) -> Share | None:
        heal = arm.auto_heal
        return None if heal.by_healer is None else share(round(heal.by_healer * heal.n), heal.n, self.alpha)

    # ---- words -----------------------------------------------------------------------------------------------

    def _noted(self, n: int | None, arm: ArmSummary, noted: str) -> Told:
        if n is None:
            return None
        number = self.index.link(str(n), arm.arm, counts_as="counted", noted=noted)
        return float(n), joined(number, f" in {count(arm.counted, 'trial')}")

    def _linked(self, found: Share | None, arm: ArmSummary, **show: str | tuple[str, ...]) -> Told:
        if found is None or found.value is None:
            return None
        number = self.index.link(f"{found.successes} of {found.n}", arm.arm, **show)
        return found.value, joined(number, f" ({percent_range(found.lo, found.hi)})")


def rate(found: Share | None) -> Told:
    if found is None or found.value is None:
        return None
    return found.value, f"{found.successes} of {found.n} ({percent_range(found.lo, found.hi)})"


def refusals(arm: ArmSummary) -> dict[str, int]:
    """Why the policy let nothing be done in trials that did not recover: reason -> trials."""
    found: Counter[str] = Counter()
    for step in arm.funnel:
        for key, n in step.lost.items():
            if key.startswith(Outcome.UNRECOVERED) and reason(key) in POLICY_REASONS:
                found[reason(key)] += n
    return dict(found)


def reason(loss: str) -> str:
    """Of a loss in the funnel: "denied" of "unrecovered: denied"."""
    return loss.partition(": ")[2]


def mttd(arm: ArmSummary) -> Told:
    if arm.ttd.rmst_s is None:
        return None
    return arm.ttd.rmst_s, f"{seconds(arm.ttd.rmst_s)} on average ({seconds_range(arm.ttd.lo, arm.ttd.hi)})"


def part_of_repair(arm: ArmSummary, names: Sequence[str]) -> Told:
    """How much of the mean time of healed trials goes into the phases of that name."""
    means = {p.name: p.mean_s for p in arm.phases}
    whole = sum(mean or 0.0 for mean in means.values())
    if not whole or any(mean is None for mean in means.values()):
        return None
    mine = sum(means[name] or 0.0 for name in names)
    return mine, f"{seconds(mine)} of {seconds(whole)} ({percent(mine / whole)}) to {listing(names)}"


def acted_to_recovered(arm: ArmSummary) -> Told:
    phase = next((p for p in arm.phases if p.name == "recover"), None)
    if phase is None or phase.mean_s is None:
        return None
    return phase.mean_s, f"{_mean(phase.mean_s, phase.lo_s, phase.hi_s)} in {count(phase.n, 'healed trial')}"


def closed_loop(arm: ArmSummary) -> Told:
    did = arm.operations
    if did.closed_loop_s is None:
        return None
    mean = _mean(did.closed_loop_s, did.closed_loop_lo_s, did.closed_loop_hi_s)
    return did.closed_loop_s, f"{mean} in {count(did.closed_loop_n, 'trial')} that have both"


def _mean(mean_s: float, lo_s: float | None, hi_s: float | None) -> str:
    between = seconds_range(lo_s, hi_s)
    return f"{seconds(mean_s)} ({between if between != NONE else 'one trial gives no interval'})"
