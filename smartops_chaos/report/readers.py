"""The last page: what the owners of models, policies and orchestrator should take from a campaign.

Summary in, blocks out. For each arm where arms differ, and with what is not known; the index says which trials are
meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from smartops_chaos.analysis.rates import newcombe
from smartops_chaos.analysis.sentences import level, one_sided
from smartops_chaos.analysis.summary import ArmSummary, Share, Summary
from smartops_chaos.analysis.words import NONE, count, listing, percent, plain, tally
from smartops_chaos.model import MOMENTS
from smartops_chaos.report.document import Block, Box, Facts, Link, Paragraph, Section, Text, joined
from smartops_chaos.report.index import Index
from smartops_chaos.report.page import Page, arm_name
from smartops_chaos.report.reader_facts import (
    POLICY_REASONS,
    Teller,
    Told,
    acted_to_recovered,
    closed_loop,
    mttd,
    part_of_repair,
    rate,
    reason,
    refusals,
)

_ARMS_ON_ONE_PAGE = 2
_ARMS_IN_WORDS = 4  # of more only the extremes
_TRIALS_IN_WORDS = 4
_NEVER = {"decided": "decided on", "acted": "acted on"}  # "were never ..."; the other moments as they are

Fact = tuple[str, Text]
Tell = Callable[[ArmSummary], Told]


def sections(page: Page) -> tuple[Section, ...]:
    """One for each owner: all on one page, or a page for each if there are many arms to tell of."""
    summary, index = page.summary, page.index
    acting = [a for a in summary.arms if _acting(a)]
    arms = [a for a in acting if a.counted or a.controls]
    lost = [str(a.arm) for a in acting if a not in arms]
    teller = Teller(index, one_sided(summary))
    owners = (
        ("model-owner", "For the owner of the models", _model),
        ("policy-owner", "For the owner of the policies", _policy),
        ("orchestrator-owner", "For the owner of the orchestrator", _orchestrator),
    )
    note = Paragraph(
        f"In brackets {level(summary)} intervals, of shares by Wilson, of means by Student. The time to detect counts "
        "as the horizon where nothing was detected. In report.html the numbers in blue lead to their trials.",
        "note",
    )
    apart = len(arms) > _ARMS_ON_ONE_PAGE
    found: list[Section] = []
    for name, title, tell in owners:
        blocks = list(tell(arms, teller)) if arms else [_nothing(summary, lost)]
        if arms and lost:
            blocks.append(Paragraph(f"No trial of {listing(lost)} counts, so nothing is said of it here."))
        if apart or (arms and tell is _orchestrator):
            blocks.append(note)
        found.append(Section(name, title, tuple(blocks), new_page=apart or (bool(arms) and not found)))
    return tuple(found)


def _acting(arm: ArmSummary) -> bool:
    """Whether there was a healer to learn about: every arm but a baseline that never signalled, acted or healed."""
    detected, actions = arm.operations.detected, arm.operations.actions
    return bool(not arm.baseline or (detected and detected.successes) or actions or arm.auto_heal.by_healer)


def _nothing(summary: Summary, lost: Sequence[str]) -> Paragraph:
    if lost:
        return Paragraph(f"Nothing: no trial of {listing(lost)} counts.")
    names = listing(arm_name(a) for a in summary.arms)
    return Paragraph(f"Nothing: only {names} was measured, and no healer is seen to have signalled or acted there.")


# ---- one page for each -------------------------------------------------------------------------------------------


def _model(arms: Sequence[ArmSummary], teller: Teller) -> Iterator[Block]:
    losses = _losses(arms, ("detected", "diagnosed"))
    yield _first(losses, teller.index, "No trial of these arms was lost before it was detected and diagnosed.")
    unknown: list[Text] = []
    if not any(a.operations.detected for a in arms):
        unknown.append("Whether anything was detected: the trials table has no moments of detection.")
    unknown += _undecided(arms, "detects more often", lambda a: a.operations.detected, teller.alpha)
    if not any(a.rca.n for a in arms):
        unknown.append("Whether its causes are right: no counted trial has a cause that could have been named.")
    if constant := [str(a.arm) for a in arms if a.rca.n and a.rca.answers == 1]:
        unknown.append(f"Whether {listing(constant)} can tell causes apart: the answer was always the same one.")
    if silent := [str(a.arm) for a in arms if a.rca.n and not a.rca.answers]:
        unknown.append(f"What {listing(silent)} would name as a cause: no answer was seen.")
    if missing := [str(a.arm) for a in arms if not a.controls]:
        unknown.append(
            f"How often {listing(missing)} would raise a false alarm: no trial without a fault was run; "
            "`none: {}` among the chaos levels adds them."
        )
    facts = (
        _fact(arms, "Detected by the horizon", lambda a: rate(a.operations.detected), "tab-detection"),
        _fact(arms, "Time to detect", mttd, "tab-detection"),
        _fact(arms, "Time of a healed trial", lambda a: part_of_repair(a, ("detect", "diagnose")), "tab-phases"),
        _fact(arms, "Right cause first", teller.right_cause, "tab-rca"),
        _fact(arms, "Wrong causes", teller.confusion, "fig-confusion"),
        _fact(arms, "Healed if right", lambda a: rate(a.operations.healed_if_right), "tab-operations"),
        _fact(arms, "Healed if wrong or none", lambda a: rate(a.operations.healed_if_wrong), "tab-operations"),
        _fact(arms, "False alarms", teller.false_alarms, "tab-healing"),
    )
    yield from _rest(facts, unknown)


def _policy(arms: Sequence[ArmSummary], teller: Teller) -> Iterator[Block]:
    losses = [*_losses(arms, ("decided",)), *_losses(arms, ("acted",), lambda why: why in POLICY_REASONS)]
    yield _first(losses, teller.index, "No trial of these arms was lost because the policy refused or did not decide.")
    unknown: list[Text] = []
    if all(a.operations.rules is None for a in arms):
        unknown.append("Which rule decided: the trials table has no policy_rule.")
    if unnamed := [str(a.arm) for a in arms if a.operations.actions and not any(a.operations.rules or ("?",))]:
        unknown.append(f"Which rule decided in {listing(unnamed)}: it acted, and nothing names a rule.")
    if all(a.operations.guardrail_blocks is None for a in arms):
        unknown.append("How often guardrails and cooldowns held an action back: the trials table does not say.")
    if any(refusals(a) for a in arms):
        unknown.append("What would have come of the refused actions: only another policy set in the same blocks tells.")
    unknown.append("Refusals in trials that recovered: a record names a refusal only as the reason of a failure.")
    facts = (
        _fact(arms, "Rule that decided", teller.rules, "tab-trials"),
        _fact(arms, "Unrecovered by refusal", teller.refused, "tab-losses"),
        _fact(arms, "Guardrail blocks", teller.guardrail_blocks, "tab-operations"),
        _fact(arms, "Cooldown skips", teller.cooldown_skips, "tab-operations"),
        _fact(arms, "Needless actions", teller.needless, "tab-healing"),
        _fact(arms, "Time of a healed trial", lambda a: part_of_repair(a, ("decide",)), "tab-phases"),
    )
    yield from _rest(facts, unknown)


def _orchestrator(arms: Sequence[ArmSummary], teller: Teller) -> Iterator[Block]:
    acting = _losses(arms, ("acted",), lambda why: why not in POLICY_REASONS)
    losses = [*acting, *_losses(arms, ("verified", "recovered"))]
    yield _first(losses, teller.index, "No trial of these arms was lost between the decision and the recovery.")
    unknown: list[Text] = []
    if all(a.operations.actions is None for a in arms):
        unknown.append("What was done: the trials table has no actions.")
    if idle := [str(a.arm) for a in arms if a.operations.actions == 0]:
        unknown.append(f"How well actions of {listing(idle)} work: none was carried out in a counted trial.")
    if not any(acted_to_recovered(a) for a in arms):
        unknown.append("How long a repair takes: no healed trial shows both its action and its recovery.")
    if contested := sum(a.contested for a in arms):
        number = teller.index.link(count(contested, "trial"), noted="contested")
        unknown.append(joined("Whether action or platform healed ", number, ": their intervals overlap."))
    unknown += _undecided(arms, "heals more often", teller.by_healer, teller.alpha)
    facts = (
        _fact(arms, "Actions that succeeded", teller.succeeded, "tab-operations"),
        _fact(arms, "Healed by its action", teller.healed, "tab-healing"),
        _fact(arms, "From acted to recovered", acted_to_recovered, "tab-phases"),
        _fact(arms, "From detected to verified", closed_loop, "tab-operations"),
        _fact(arms, "Time of a healed trial", lambda a: part_of_repair(a, ("act", "recover")), "tab-phases"),
        _fact(arms, "Relapsed trials", teller.relapsed, "tab-operations"),
        _fact(arms, "Harmed trials", teller.harmed, "tab-outcomes"),
    )
    yield from _rest(facts, unknown)


def _rest(facts: Iterable[Fact | None], unknown: Sequence[Text]) -> Iterator[Block]:
    known = tuple(fact for fact in facts if fact)
    if known:
        yield Facts(known)
    if unknown:
        yield Box("Not known from this campaign", tuple(unknown), "none")


def _fact(arms: Sequence[ArmSummary], label: str, tell: Tell, where: str) -> Fact | None:
    """One topic for all arms that know about it: once where they are alike, the extremes where they are many."""
    told = [(said[0], str(arm.arm), said[1]) for arm in arms if (said := tell(arm))]
    if not told:
        return None
    if len(told) == len(arms) > 1 and len({words for _, _, words in told}) == 1:
        return label, joined("all arms alike: ", told[0][2], ".")
    if len(told) > 1 and not any(rank for rank, _, _ in told):
        return label, joined(f"alike in {count(len(told), 'arm')}, such as {told[0][1]}: ", told[0][2], ".")
    if len(told) <= _ARMS_IN_WORDS:
        between = ";\n" if len(arms) > _ARMS_ON_ONE_PAGE else "; "
        parts = [part for _, arm, words in told for part in (f"{arm}: ", words, between)]
        return label, joined(*parts[:-1], ".")
    ranked = sorted(told, key=lambda one: one[0])
    (_, least, few), (_, most, many) = ranked[0], ranked[-1]
    rest = (Link(f"{len(told) - 2} other arms", where),)
    return label, joined(f"least {least}: ", few, f"; most {most}: ", many, "; between them ", rest, ".")


# ---- the first thing to look at ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Loss:
    arm: ArmSummary
    moment: str
    before: int  # trials that had reached the moment before
    why: dict[str, int]  # "outcome: reason" -> trials

    @property
    def trials(self) -> int:
        return sum(self.why.values())


def _losses(
    arms: Sequence[ArmSummary], moments: Sequence[str], mine: Callable[[str], bool] = lambda _: True
) -> list[_Loss]:
    """What the funnels lose at these moments, for reasons that are `mine`; the baseline's only if it is alone."""
    found = []
    for arm in [a for a in arms if not a.baseline] or arms:
        reached = {step.moment: step.reached for step in arm.funnel}
        for step in arm.funnel:
            if step.moment in moments:
                why = {key: n for key, n in step.lost.items() if n and mine(reason(key))}
                found.append(_Loss(arm, step.moment, reached[MOMENTS[MOMENTS.index(step.moment) - 1]], why))
    return found


def _first(losses: Sequence[_Loss], index: Index, none: str) -> Block:
    if not losses:
        return Paragraph("The trials table has no moments of the repair, so no step of the loop can be blamed.")
    worst = max(losses, key=lambda loss: loss.trials)
    if not worst.trials:
        return Paragraph(none)
    show: dict[str, str | tuple[str, ...]] = {
        "counts_as": "counted",
        "first_missed": worst.moment,
        "outcome": tuple(dict.fromkeys(plain(key.partition(": ")[0]) for key in worst.why)),
        "reason": tuple(dict.fromkeys(reason(key) or NONE for key in worst.why)),
    }
    never = f"{'was' if worst.trials == 1 else 'were'} never {_NEVER.get(worst.moment, worst.moment)}"
    line: list[Text] = [
        f"{arm_name(worst.arm)}: ",
        index.link(f"{worst.trials} of {count(worst.before, 'trial')}", worst.arm.arm, **show),
        f" that had got so far {never} ({tally(worst.why)})",
    ]
    found = index.find(worst.arm.arm, **show)
    for i, row in enumerate(found[:_TRIALS_IN_WORDS]):
        line += [": " if i == 0 else ", ", (index.trial(row),)]
    more = worst.trials - min(len(found), _TRIALS_IN_WORDS)
    line.append(f" and {count(more, 'other')}." if found and more > 0 else ".")
    return Box("Look at this first: the largest loss on this part of the loop", (joined(*line),), "weak")


def _undecided(
    arms: Sequence[ArmSummary], does: str, rate_of: Callable[[ArmSummary], Share | None], alpha: float
) -> Iterable[str]:
    """Said where even the best and the worst arm are not told apart."""
    known = [(a, found) for a in arms if (found := rate_of(a)) and found.value is not None]
    if len(known) < 2:
        return
    (low, worst), *_, (high, best) = sorted(known, key=lambda one: one[1].value or 0.0)
    lo, _ = newcombe(best.successes, best.n, worst.successes, worst.n, alpha)
    if lo <= 0 and best.value != worst.value:
        yield (
            f"Which of {high.arm} and {low.arm} {does}: {percent(best.value)} of {best.n} and "
            f"{percent(worst.value)} of {count(worst.n, 'trial')} may differ by chance."
        )
