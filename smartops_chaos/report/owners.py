"""The section before the appendix: what the owners of models, policies and orchestrator should look at first.

An owner answers for the part of the loop between two moments. Its box names the largest loss there, with its trials,
and what this campaign cannot tell; the numbers themselves stand in the tables before, to which it leads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from smartops_chaos.analysis.summary import ArmSummary
from smartops_chaos.analysis.words import NONE, count, listing, plain, seconds, tally
from smartops_chaos.model import MOMENTS
from smartops_chaos.report import faults
from smartops_chaos.report.document import Block, Box, Chip, Link, Paragraph, Section, Text, Tone, joined
from smartops_chaos.report.page import Page, arm_name

_REFUSALS = ("denied", "cooldown", "guardrail")  # reasons for which the policy let no action begin
_TRIALS_IN_WORDS = 4
_ARMS_IN_WORDS = 3
_NEVER = {"decided": "decided on", "acted": "acted on"}  # "were never ..."; the other moments as they are
SECTION = "owners"


@dataclass(frozen=True)
class _Loss:
    """Trials of an arm that reached one moment of the repair and not the next."""

    arm: ArmSummary
    moment: str  # the one that they did not reach
    before: int  # trials that had reached the moment before
    why: dict[str, int]  # "outcome: reason" -> trials

    @property
    def trials(self) -> int:
        return sum(self.why.values())


def section(page: Page) -> Section:
    """A box for each owner. They are about the arms that have a healer and a trial that counts."""
    acting = [a for a in page.arms if page.has_healer(a) and not a.reference]
    arms = [a for a in acting if a.counted or a.controls]
    empty = [str(a.arm) for a in acting if a not in arms]
    blocks: list[Block] = [Paragraph(_nothing(page, empty))]
    if arms:
        rest = [Paragraph(f"No trial of {listing(empty)} counts, so nothing is said of it here.")] if empty else []
        blocks = [_model(page, arms), _policy(page, arms), _orchestrator(page, arms), *rest]
    return Section(SECTION, "For the owners of models, policies and orchestrator", tuple(blocks))


def _nothing(page: Page, empty: Sequence[str]) -> str:
    if empty:
        return f"Nothing: no trial of {listing(empty)} counts."
    names = listing(map(arm_name, page.arms))
    return f"Nothing: only {names} was measured, and no healer is seen to have signalled or acted there."


# ---- each owner ----------------------------------------------------------------------------------------------


def _model(page: Page, arms: Sequence[ArmSummary]) -> Box:
    unknown: list[Text] = []
    if constant := [str(a.arm) for a in arms if a.rca.n and a.rca.answers == 1]:
        unknown.append(f"whether {listing(constant)} can tell causes apart: the answer was always the same one.")
    if silent := [str(a.arm) for a in arms if a.rca.n and not a.rca.answers]:
        unknown.append(f"what {listing(silent)} would name as a cause: no answer was seen.")
    if missing := [str(a.arm) for a in arms if not a.controls]:
        unknown.append(
            f"how often {listing(missing)} would raise a false alarm: no trial without a fault was run; "
            "`none: {}` among the chaos levels adds them."
        )
    return _box(
        "Models: detection and diagnosis",
        _largest(
            page,
            _losses(arms, ("detected", "diagnosed")),
            "No trial was lost before it was detected and diagnosed." + _took(arms, "detect", "diagnose"),
        ),
        unknown,
        (
            Link("time to detect", "tab-detection"),
            Link("root causes", "tab-rca"),
            Link("which were mixed up", "fig-confusion"),
            Link("false alarms", "tab-healing"),
        ),
    )


def _policy(page: Page, arms: Sequence[ArmSummary]) -> Box:
    refused = _losses(arms, ("acted",), lambda why: why in _REFUSALS)
    unknown: list[Text] = []
    if unnamed := [str(a.arm) for a in arms if a.operations.actions and not any(a.operations.rules or ("?",))]:
        unknown.append(f"which rule decided in {listing(unnamed)}: it acted, and nothing names a rule.")
    if any(loss.trials for loss in _losses(arms, MOMENTS, lambda why: why in _REFUSALS)):
        unknown.append("what would have come of the refused actions: only another policy set in the same blocks tells.")
    unknown.append("refusals in trials that recovered: a record names a refusal only as the reason of a failure.")
    return _box(
        "Policies: decision",
        _largest(
            page,
            [*_losses(arms, ("decided",)), *refused],
            "No trial was lost because the policy refused or did not decide." + _took(arms, "decide"),
        ),
        [*unknown],
        (
            Link("guardrail blocks and cooldowns", "tab-operations"),
            Link("losses in the loop", "tab-losses"),
            Link("needless actions", "tab-healing"),
        ),
        _rules(page, arms),
    )


def _rules(page: Page, arms: Sequence[ArmSummary]) -> Iterable[Text]:
    """Which rule of the policy decided first, and in how many trials; it is in no table."""
    for arm in arms:
        parts: list[str | Link | Chip] = []
        for rule, n in (arm.operations.rules or {}).items():
            if rule:
                trials = page.index.link(f"{n} of {arm.counted}", arm.arm, counts_as="counted", policy_rule=rule)
                parts += [f"{rule} in ", *((trials,) if isinstance(trials, str) else trials), ", "]
        if parts:
            yield (f"Rules that decided first with {arm.arm}: ", *parts[:-1], ".")


def _orchestrator(page: Page, arms: Sequence[ArmSummary]) -> Box:
    unknown: list[Text] = []
    if idle := [str(a.arm) for a in arms if a.operations.actions == 0]:
        unknown.append(f"how well actions of {listing(idle)} work: none was carried out in a counted trial.")
    if contested := sum(a.contested for a in arms):
        trials = page.index.link(count(contested, "trial"), noted="contested")
        unknown.append(joined("whether action or platform healed ", trials, ": their intervals overlap."))
    failed = _losses(arms, ("acted",), lambda why: why not in _REFUSALS)
    return _box(
        "Orchestrator: action and recovery",
        _largest(
            page,
            [*failed, *_losses(arms, ("verified", "recovered"))],
            "No trial was lost between the decision and the recovery." + _took(arms, "act", "recover"),
        ),
        unknown,
        (
            Link("actions and relapses", "tab-operations"),
            Link("steps of a repair", "tab-phases"),
            Link("harmed and other outcomes", faults.SECTION),
        ),
    )


def _took(arms: Sequence[ArmSummary], *steps: str) -> str:
    """How much of a repair these steps take, and where that is most, that time is to be had there; for a few arms."""
    told = []
    for arm in arms[:_ARMS_IN_WORDS]:
        known = {p.name: p.mean_s or 0.0 for p in arm.phases}
        whole, own = sum(known.values()), sum(known.get(step, 0.0) for step in steps)
        if not whole:
            continue
        most = max(known, key=lambda step: known[step]) in steps
        advice = "the largest part: what is to be gained is to be gained here first" if most else "not the largest part"
        told.append(f" With {arm.arm} this takes {seconds(own)} of the {seconds(whole)} of a repair, {advice}.")
    return "".join(told)


def _box(
    title: str, largest: tuple[Text, Tone], unknown: Sequence[Text], read: Sequence[Link], more: Iterable[Text] = ()
) -> Box:
    """The largest loss first; last what to read and what this campaign does not tell."""
    told, tone = largest
    numbers = [part for link in read for part in (link, "; ")]
    lines: list[Text] = [told, *more, ("Numbers to read: ", *numbers[:-1], ".")]
    return Box(title, (*lines, *(joined("Not known: ", text) for text in unknown)), tone)


# ---- the largest loss ----------------------------------------------------------------------------------------


def _largest(page: Page, losses: Sequence[_Loss], nothing_lost: str) -> tuple[Text, Tone]:
    worst = max(losses, key=lambda loss: loss.trials, default=None)
    if worst is None:
        return "The trials table has no moments of the repair, so no step of the loop can be blamed.", "none"
    if not worst.trials:
        return nothing_lost, "none"
    return joined("Look at this first, the largest loss here. ", _loss(page, worst)), "weak"


def _losses(
    arms: Sequence[ArmSummary], moments: Sequence[str], mine: Callable[[str], bool] = lambda _: True
) -> list[_Loss]:
    """What the funnels lose at these moments, for reasons that are `mine`; the baseline's only if it is alone."""
    found = []
    for arm in [a for a in arms if not a.baseline] or arms:
        reached = {step.moment: step.reached for step in arm.funnel}
        for step in arm.funnel:
            if step.moment in moments:
                why = {key: n for key, n in step.lost.items() if n and mine(_reason(key))}
                found.append(_Loss(arm, step.moment, reached[MOMENTS[MOMENTS.index(step.moment) - 1]], why))
    return found


def _reason(loss: str) -> str:
    """Of a loss in the funnel: "denied" of "unrecovered: denied"."""
    return loss.partition(": ")[2]


def _loss(page: Page, loss: _Loss) -> Text:
    """In words, with links to its trials."""
    show: dict[str, str | tuple[str, ...]] = {
        "counts_as": "counted",
        "first_missed": loss.moment,
        "outcome": tuple(dict.fromkeys(plain(key.partition(": ")[0]) for key in loss.why)),
        "reason": tuple(dict.fromkeys(_reason(key) or NONE for key in loss.why)),
    }
    never = f"{'was' if loss.trials == 1 else 'were'} never {_NEVER.get(loss.moment, loss.moment)}"
    line: list[Text] = [
        f"{arm_name(loss.arm)}: ",
        page.index.link(f"{loss.trials} of {count(loss.before, 'trial')}", loss.arm.arm, **show),
        f" that had got so far {never} ({tally(loss.why)})",
    ]
    rows = page.index.find(loss.arm.arm, **show)
    for i, row in enumerate(rows[:_TRIALS_IN_WORDS]):
        line += [": " if i == 0 else ", ", (page.index.trial(row),)]
    more = loss.trials - min(len(rows), _TRIALS_IN_WORDS)
    line.append(f" and {count(more, 'other')}." if rows and more > 0 else ".")
    return joined(*line)
