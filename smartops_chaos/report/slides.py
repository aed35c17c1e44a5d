"""A short deck for a talk: 16:9, letters of 18 points, the title of each slide is what it shows.

A drawing of 5.4 inches fills a slide of 13.3 inches, so that its 8 points become 18.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from smartops_chaos.analysis.load import CampaignData
from smartops_chaos.analysis.sentences import SIMULATED, sentences
from smartops_chaos.analysis.summary import ArmSummary
from smartops_chaos.analysis.words import (
    NONE,
    TARGETS,
    count,
    percent,
    percent_range,
    seconds,
    target_value,
    with_range,
)
from smartops_chaos.model import Outcome, Record
from smartops_chaos.report import closely, film, many_arms, purpose, render, simulated, validity
from smartops_chaos.report import repair as repair_text
from smartops_chaos.report.document import Tone
from smartops_chaos.report.figures import effect, loop_diagram, repair_steps, survival_curves
from smartops_chaos.report.page import TONES, Page, page
from smartops_chaos.report.questions import Question, twelve

_TOPICS = ("the result", "the times", "the cause", "the limits")  # three questions each, in their order
_MOST_LINES = 4
_MOST_ARMS = 4  # beside the baseline, so that their letters are large enough
_TALLEST_IN = 2.3  # of a drawing that fills the slide's width and leaves room for its title
WIDE_IN = 5.4


@dataclass(frozen=True, slots=True)
class Number:
    """How the best arm stands to a target."""

    name: str
    value: str
    wanted: str
    verdict: str
    tone: Tone


@dataclass(frozen=True, slots=True)
class Slide:
    """Below a title that is a sentence: a drawing, large numbers, lines, points (a sentence, its rest), questions."""

    id: str
    title: str
    svg: str = ""
    alt: str = ""
    numbers: tuple[Number, ...] = ()
    lines: tuple[str, ...] = ()
    points: tuple[tuple[str, str], ...] = ()
    questions: tuple[Question, ...] = ()


@dataclass(frozen=True, slots=True)
class Deck:
    title: str
    corner: str  # campaign, n and day: on every slide
    slides: tuple[Slide, ...]


def build(data: CampaignData) -> Deck:
    seen = page(data)
    n = sum(a.counted for a in seen.arms)
    days = sorted({str(day)[:10] for day in data.table.get("started_at", ()) if str(day)[:2] == "20"})
    corner = "  ·  ".join([data.name, f"n = {n}", *([days[-1]] if days else [])])
    slides = tuple(_slides(seen, data))
    if data.summary.simulated:
        corner = f"SIMULATED  ·  {corner}"
        slides = tuple(simulated.marked_slide(slide) for slide in slides)
    return Deck(data.name, corner, slides)


def write(deck: Deck, out: Path) -> list[Path]:
    """deck.html, deck.pdf, and each slide as SVG and PNG; returns the files, the HTML first."""
    out.mkdir(parents=True, exist_ok=True)
    contents = {out / "deck.html": render.deck_html(deck).encode(), out / "deck.pdf": render.deck(deck, "pdf")[0]}
    for kind in ("svg", "png"):
        for i, (slide, made) in enumerate(zip(deck.slides, render.deck(deck, kind), strict=True), 1):
            contents[out / f"{i:02}-{slide.id}.{kind}"] = made
    for path, content in contents.items():
        path.write_bytes(content)
    return list(contents)


def _slides(seen: Page, data: CampaignData) -> Iterable[Slide]:
    yield Slide("title", f"Self-healing benchmark: {data.name}", lines=purpose.sentences(seen))
    yield Slide("answer", _answer_title(seen), numbers=tuple(_numbers(seen)), lines=tuple(_found(seen)))
    if seen.plan:
        drawn = loop_diagram.diagram("slide-system", validity.names(seen.plan), width_in=WIDE_IN)
        yield Slide("system", "Requests measure the outage; the healer has to end it", drawn, "The system")
    best, baseline = _best(seen), seen.summary.baseline
    if best and baseline:
        yield from _effect(seen, data, best, baseline)
    if weak := validity.doubts(seen):
        points = tuple(_point(text) for text in weak[:_MOST_LINES])
        yield Slide("weak", "What makes this result weak, and what mends it", points=points)
    asked = twelve(seen)
    each = len(asked) // len(_TOPICS)
    for i, topic in enumerate(_TOPICS):
        title = f"An examiner will ask about {topic} ({i * each + 1} to {(i + 1) * each} of {len(asked)})"
        yield Slide(f"questions-{i + 1}", title, questions=asked[i * each : (i + 1) * each])


def _point(text: str) -> tuple[str, str]:
    """The first sentence, and the rest."""
    first, end, rest = text.partition(". ")
    return first + end.strip(), rest


def _best(seen: Page) -> ArmSummary | None:
    return next((a for arm in many_arms.fastest_first(seen) for a in seen.arms if a.arm == arm), None)


def _answer_title(seen: Page) -> str:
    """How many targets the best arm reaches, and where."""
    best = _best(seen)
    verdicts = [v for v in seen.summary.verdicts if best and v.arm == best.arm]
    if best is None or not verdicts:
        return "What we found"
    kind = str(seen.plan.target.get("kind", "")) if seen.plan else ""
    where = {"lab": "In this lab", "kubernetes": "On this cluster"}.get(kind, "Here")
    proven = sum(v.verdict == "proven" for v in verdicts)
    if not proven:
        return f"{where} no target is proven yet; {best.arm} is the fastest"
    which = f"all {len(verdicts)}" if proven == len(verdicts) else f"{proven} of {len(verdicts)}"
    return f"{where} {best.arm} is shown to reach {which} targets"


def _numbers(seen: Page) -> Iterable[Number]:
    """The verdicts of the best arm."""
    best = _best(seen)
    for v in seen.summary.verdicts:
        if best and v.arm == best.arm:
            wanted = f"target: at least {percent(v.wanted)}"
            yield Number(TARGETS[v.target], target_value(v.value, v.target), wanted, v.verdict, TONES[v.verdict])


def _found(seen: Page) -> Iterable[str]:
    """The answer for the best arm, in words."""
    told = [text for text in sentences(seen.summary) if text != SIMULATED]
    yield from told[:1]
    if len(seen.judged) > 1 and (advice := many_arms.recommendation(seen.summary)):
        yield advice


def _alone(seen: Page, baseline: ArmSummary) -> str:
    """The baseline in words."""
    return f"with {baseline.arm}" if seen.has_healer(baseline) else "without a healer"


def _effect(seen: Page, data: CampaignData, best: ArmSummary, baseline: ArmSummary) -> Iterable[Slide]:
    comparison = seen.summary.deciding(best.arm)
    several = len(seen.judged) > 1
    if several and any(a.cells for a in seen.arms):
        more = f" (the {_MOST_ARMS} fastest are shown)" if len(seen.judged) > _MOST_ARMS else ""
        mean = f"{seconds(best.mttr.rmst_s)} on average"
        title = f"{best.arm} is the fastest of {count(len(seen.judged), 'arm')}: {mean}{more}"
        yield Slide(
            "map", title, many_arms.drawn_map(seen, "slide-map", width_in=WIDE_IN, most=_MOST_ARMS), "Arms and faults"
        )
    if comparison and comparison.mttr_reduction.estimate is not None:
        r = comparison.mttr_reduction
        first = many_arms.fastest_first(seen)[:_MOST_ARMS]
        shown = [c for c in seen.summary.comparisons if c.decides and c.arm in first]
        less = with_range(percent(abs(r.estimate or 0.0)), percent_range(r.lo, r.hi))
        side = "less" if (r.estimate or 0.0) >= 0 else "more"
        title = f"Recovery takes {less} {side} time with {best.arm} than {_alone(seen, baseline)}"
        svg = effect.forest(
            "slide-reduction",
            shown,
            seen.styles,
            seen.targets.mttr_reduction,
            scenarios=not several,
            width_in=WIDE_IN,
        )
        yield Slide("reduction", title, svg, "Forest plot of the reduction")
    if pair := closely.median_pair(seen, data):
        slow, quick = (_back(record) for _, record in pair)
        chaos = pair[0][0].trial.chaos
        title = f"The median repair ({chaos}): {quick} with {best.arm}, {slow} {_alone(seen, baseline)}"
        made = film.film(pair, seen.index)
        yield Slide(
            "pair", title, film.still(made, pair, seen.styles, "slide-pair", WIDE_IN, _TALLEST_IN), "Two trials"
        )
    if any(not curve.scenario for a in seen.arms for curve in a.curves):
        left = {a.arm: a.outcomes.get("unrecovered", 0) + a.outcomes.get("harmed", 0) for a in (best, baseline)}
        back = {a.arm: _of_all(a.counted - left[a.arm], a.counted) for a in (best, baseline)}
        title = (
            f"{back[best.arm]} trials recover with {best.arm}, {back[baseline.arm].lower()} {_alone(seen, baseline)}"
        )
        two = [baseline, best]
        svg = survival_curves.kaplan_meier(two, seen.styles, figure_id="slide-survival", width_in=WIDE_IN)
        yield Slide("survival", title, svg, "Kaplan-Meier curves")
    if any(p.mean_s is not None for p in best.phases):
        longest = max(best.phases, key=lambda p: p.mean_s or 0.0)
        whole = sum(p.mean_s or 0.0 for p in best.phases)
        share = percent((longest.mean_s or 0.0) / whole) if whole else NONE
        step = repair_text.STEPS.get(longest.name, longest.name)
        title = f"{step} takes {share} of a repair: {seconds(longest.mean_s)} of {seconds(whole)}"
        svg = repair_steps.phases([best], seen.styles, figure_id="slide-phases", width_in=WIDE_IN)
        yield Slide("phases", title, svg, "Steps of a repair")


def _back(record: Record) -> str:
    """How long it took; of a trial that never recovered, that it did not within its horizon."""
    end = record.row["time_s"]
    told = seconds(end) if isinstance(end, float) else NONE
    return f"more than {told}" if str(record.row["outcome"]) in (Outcome.UNRECOVERED, Outcome.HARMED) else told


def _of_all(k: int, n: int) -> str:
    return f"All {n}" if k == n and n else f"{k} of {n}"
