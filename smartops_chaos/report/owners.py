"""The last page: what the owners of models, policies and orchestrator should look at first, and what is not known.

An owner answers for the part of the loop between two moments. The page names the largest loss there, with its trials,
and what this campaign cannot tell; the numbers themselves stand in the tables before, to which it leads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from smartops_chaos.analysis.summary import ArmSummary
from smartops_chaos.analysis.words import NONE, count, listing, plain, tally
from smartops_chaos.model import MOMENTS
from smartops_chaos.report.document import Block, Box, Facts, Link, Paragraph, Section, Text, joined
from smartops_chaos.report.page import Page, arm_name

_REFUSALS = ("denied", "cooldown", "guardrail")  # reasons for which the policy let no action begin
_TRIALS_IN_WORDS = 4
_NEVER = {"decided": "decided on", "acted": "acted on"}  # "were never ..."; the other moments as they are


@dataclass(frozen=True)
class _Owner:
    id: str
    title: str
    losses: Callable[[Sequence[ArmSummary]], list[_Loss]]  # on the owner's part of the loop
    nothing_lost: str
    numbers: tuple[Link, ...]  # the tables and figures that the owner should read
    unknown: Callable[[Page, Sequence[ArmSummary]], Iterable[Text]]
    facts: Callable[[Page, Sequence[ArmSummary]], Iterable[tuple[str, Text]]] = lambda _, __: ()  # in no table


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


def sections(page: Page) -> tuple[Section, ...]:
    """One for each owner, on one page. They are about the arms that have a healer and a trial that counts."""
    acting = [a for a in page.arms if _acting(a)]
    arms = [a for a in acting if a.counted or a.controls]
    empty = [str(a.arm) for a in acting if a not in arms]
    found = []
    for i, owner in enumerate(_OWNERS):
        blocks = list(_blocks(page, owner, arms)) if arms else [_nothing(page, empty)]
        if arms and empty:
            blocks.append(Paragraph(f"No trial of {listing(empty)} counts, so nothing is said of it here."))
        found.append(Section(owner.id, owner.title, tuple(blocks), new_page=bool(arms) and i == 0))
    return tuple(found)


def _acting(arm: ArmSummary) -> bool:
    """Whether there was a healer to learn about: every arm but a baseline that never signalled, acted or healed."""
    detected, actions = arm.operations.detected, arm.operations.actions
    return bool(not arm.baseline or (detected and detected.successes) or actions or arm.auto_heal.by_healer)


def _nothing(page: Page, empty: Sequence[str]) -> Paragraph:
    if empty:
        return Paragraph(f"Nothing: no trial of {listing(empty)} counts.")
    names = listing(map(arm_name, page.arms))
    return Paragraph(f"Nothing: only {names} was measured, and no healer is seen to have signalled or acted there.")


def _blocks(page: Page, owner: _Owner, arms: Sequence[ArmSummary]) -> Iterable[Block]:
    losses = owner.losses(arms)
    worst = max(losses, key=lambda loss: loss.trials, default=None)
    if worst is None:
        yield Paragraph("The trials table has no moments of the repair, so no step of the loop can be blamed.")
    elif worst.trials:
        yield Box("Look at this first: the largest loss on this part of the loop", (_loss(page, worst),), "weak")
    else:
        yield Paragraph(owner.nothing_lost)
    if unknown := tuple(owner.unknown(page, arms)):
        yield Box("Not known from this campaign", unknown, "none")
    parts = [part for link in owner.numbers for part in (link, "; ")]
    yield Facts((*owner.facts(page, arms), ("Numbers to read", (*parts[:-1], "."))))


# ---- the largest loss ----------------------------------------------------------------------------------------


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


# ---- what is not known ---------------------------------------------------------------------------------------


def _unknown_to_model(_: Page, arms: Sequence[ArmSummary]) -> Iterable[Text]:
    if not any(a.operations.detected for a in arms):
        yield "Whether anything was detected: the trials table has no moments of detection."
    if not any(a.rca.n for a in arms):
        yield "Whether its causes are right: no counted trial has a cause that could have been named."
    if constant := [str(a.arm) for a in arms if a.rca.n and a.rca.answers == 1]:
        yield f"Whether {listing(constant)} can tell causes apart: the answer was always the same one."
    if silent := [str(a.arm) for a in arms if a.rca.n and not a.rca.answers]:
        yield f"What {listing(silent)} would name as a cause: no answer was seen."
    if missing := [str(a.arm) for a in arms if not a.controls]:
        yield (
            f"How often {listing(missing)} would raise a false alarm: no trial without a fault was run; "
            "`none: {}` among the chaos levels adds them."
        )


def _unknown_to_policy(_: Page, arms: Sequence[ArmSummary]) -> Iterable[Text]:
    if all(a.operations.rules is None for a in arms):
        yield "Which rule decided: the trials table has no policy_rule."
    if unnamed := [str(a.arm) for a in arms if a.operations.actions and not any(a.operations.rules or ("?",))]:
        yield f"Which rule decided in {listing(unnamed)}: it acted, and nothing names a rule."
    if all(a.operations.guardrail_blocks is None for a in arms):
        yield "How often guardrails and cooldowns held an action back: the trials table does not say."
    if any(loss.trials for loss in _losses(arms, MOMENTS, lambda why: why in _REFUSALS)):
        yield "What would have come of the refused actions: only another policy set in the same blocks tells."
    yield "Refusals in trials that recovered: a record names a refusal only as the reason of a failure."


def _rules(page: Page, arms: Sequence[ArmSummary]) -> Iterable[tuple[str, Text]]:
    """Which rule of the policy decided first, and in how many trials."""
    for arm in arms:
        parts: list[str | Link] = []
        for rule, n in (arm.operations.rules or {}).items():
            if rule:
                trials = page.index.link(f"{n} of {arm.counted}", arm.arm, counts_as="counted", policy_rule=rule)
                parts += [f"{rule} in ", *((trials,) if isinstance(trials, str) else trials), ", "]
        if parts:
            yield f"Rules that decided, {arm.arm}", (*parts[:-1], ".")


def _unknown_to_orchestrator(page: Page, arms: Sequence[ArmSummary]) -> Iterable[Text]:
    if all(a.operations.actions is None for a in arms):
        yield "What was done: the trials table has no actions."
    if idle := [str(a.arm) for a in arms if a.operations.actions == 0]:
        yield f"How well actions of {listing(idle)} work: none was carried out in a counted trial."
    if not any(p.mean_s is not None for a in arms for p in a.phases if p.name == "recover"):
        yield "How long a repair takes: no healed trial shows both its action and its recovery."
    if contested := sum(a.contested for a in arms):
        trials = page.index.link(count(contested, "trial"), noted="contested")
        yield joined("Whether action or platform healed ", trials, ": their intervals overlap.")


_OWNERS = (
    _Owner(
        "model-owner",
        "For the owner of the models",
        lambda arms: _losses(arms, ("detected", "diagnosed")),
        "No trial of these arms was lost before it was detected and diagnosed.",
        (
            Link("time to detect", "tab-detection"),
            Link("root causes", "tab-rca"),
            Link("which were mixed up", "fig-confusion"),
            Link("false alarms", "tab-healing"),
        ),
        _unknown_to_model,
    ),
    _Owner(
        "policy-owner",
        "For the owner of the policies",
        lambda arms: [
            *_losses(arms, ("decided",)),
            *_losses(arms, ("acted",), lambda why: why in _REFUSALS),
        ],
        "No trial of these arms was lost because the policy refused or did not decide.",
        (
            Link("guardrail blocks and cooldowns", "tab-operations"),
            Link("losses in the loop", "tab-losses"),
            Link("needless actions", "tab-healing"),
        ),
        _unknown_to_policy,
        _rules,
    ),
    _Owner(
        "orchestrator-owner",
        "For the owner of the orchestrator",
        lambda arms: [
            *_losses(arms, ("acted",), lambda why: why not in _REFUSALS),
            *_losses(arms, ("verified", "recovered")),
        ],
        "No trial of these arms was lost between the decision and the recovery.",
        (
            Link("actions and relapses", "tab-operations"),
            Link("phases of a repair", "tab-phases"),
            Link("harmed and other outcomes", "tab-outcomes"),
        ),
        _unknown_to_orchestrator,
    ),
)
