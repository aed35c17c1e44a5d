from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pypdfium2
import pytest
from PIL import Image

from smartops_chaos import api
from smartops_chaos.analysis.load import CampaignData
from smartops_chaos.errors import UsageError
from smartops_chaos.report import build, closely, film, many_arms, questions, render, slides, validity
from smartops_chaos.report.page import page
from tests.report.test_render import letter_sizes

SAMPLE = Path(__file__).parents[2] / "results" / "sample"


@pytest.fixture(scope="module")
def sample() -> CampaignData:
    return api.load(SAMPLE)


@pytest.fixture(scope="module")
def deck(sample) -> slides.Deck:
    return slides.build(sample)


def test_each_slide_is_16_to_9_and_says_where_it_is_from(deck):
    with pypdfium2.PdfDocument(render.deck(deck, "pdf")[0]) as document:
        assert len(document) == len(deck.slides)
        for slide, one in zip(deck.slides, document, strict=True):
            width, height = one.get_size()
            assert width / height == pytest.approx(16 / 9, abs=0.01)
            text = " ".join(one.get_textpage().get_text_range().split())
            assert "sample · n = 120 · 2026-1" in text
            assert slide.title.split()[0] in text
    assert [slide.id for slide in deck.slides[:5]] == ["title", "answer", "system", "reduction", "pair"]


def test_letters_of_drawings_are_as_high_as_a_room_needs(deck):
    sizes = letter_sizes(render.deck(deck, "pdf")[0])
    assert min(sizes) >= 17.5


def test_a_deck_is_written_as_pages_of_every_kind(deck, tmp_path):
    files = slides.write(replace(deck, slides=deck.slides[:2]), tmp_path / "slides")
    names = [f.name for f in files]
    assert names[:2] == ["deck.html", "deck.pdf"]
    assert set(names[2:]) == {
        f"0{i}-{s.id}.{kind}" for i, s in enumerate(deck.slides[:2], 1) for kind in ("svg", "png")
    }
    assert Image.open(tmp_path / "slides" / "01-title.png").size == (1920, 1080)
    page_ = (tmp_path / "slides" / "deck.html").read_text(encoding="utf-8")
    assert page_.count("<section") == 2
    assert "http" not in page_.replace("http://www.w3.org", "")


def test_twelve_questions_are_answered_from_the_campaign(sample, deck):
    asked = questions.twelve(page(sample))
    assert len(asked) == 12
    assert sum(len(slide.questions) for slide in deck.slides) == 12
    told = {one.asks: one.answer.replace("\u00a0", " ") for one in asked}
    found = sample.summary.comparisons[0]
    assert f"{100 * found.mttr_reduction.estimate:.0f} % less time" in told["What is the result, in one sentence?"]
    assert told["Which trials did you leave out?"].startswith("None.")
    assert "In 3 trials we ended the fault at a known second" in told["How do you know that the times are true?"]
    assert all(one.evidence for one in asked)


def test_a_campaign_of_which_nothing_is_known_has_a_deck(small, nothing):
    made = slides.build(small.data(nothing))
    assert render.deck(made, "pdf")[0].startswith(b"%PDF")
    assert "cannot be said" in str(made)
    assert not [slide for slide in made.slides if slide.id in ("pair", "reduction")]


def test_the_answer_is_three_large_numbers_and_a_sentence(sample, deck):
    slide = next(slide for slide in deck.slides if slide.id == "answer")
    assert [one.verdict for one in slide.numbers] == [v.verdict for v in sample.summary.verdicts]
    assert len(slide.lines) == 1
    assert render.deck_html(deck).count('class="verdict"') == 3


def test_what_is_weak_is_a_sentence_each_and_its_rest(sample, deck):
    slide = next(slide for slide in deck.slides if slide.id == "weak")
    told = validity.doubts(page(sample))
    assert [" ".join(filter(None, point)) for point in slide.points] == list(told[: len(slide.points)])


def test_of_many_arms_a_slide_shows_the_fastest(simulate):
    campaign = simulate(models=("off", "a", "b", "c", "d", "e", "f"), repeats=3, rate=1.0)
    made = slides.build(campaign.data(campaign.summary()))
    shown = next(slide for slide in made.slides if slide.id == "map")
    names = [str(arm) for arm in many_arms.fastest_first(campaign.page())]
    assert [f">{name}</text>" in shown.svg for name in names] == [True] * 4 + [False] * 2
    assert "the 4 fastest are shown" in shown.title
    assert min(letter_sizes(render.deck(made, "pdf")[0])) >= 17.5


def test_simulated_slides_say_so(small):
    made = slides.build(small.data(replace(small.summary(), simulated=True)))
    assert made.corner.startswith("SIMULATED")
    assert all(slide.title.startswith("SIMULATED") for slide in made.slides)
    assert all("SIMULATED" in slide.svg for slide in made.slides if slide.svg)


def test_the_film_has_every_request_and_each_moment_with_its_raw_line(sample):
    seen = page(sample)
    pair = closely.median_pair(seen, sample)
    made = film.film(pair, seen.index)
    assert [side.outcome for side in made.sides] == ["platform", "healed"]
    for side, (evidence, record) in zip(made.sides, pair, strict=True):
        injected = record.timeline.events["injected"].at.mid_ns
        shown = [r for r in evidence.requests if r.sched_ns >= injected - 1_000_000_000]
        assert len(side.requests) == len(shown)
        assert sum(good for _, _, good in side.requests) == sum(
            r.status == 200 and r.latency_ns <= evidence.slo.latency_s * 1e9 for r in shown
        )
        events = record.timeline.events
        assert [m.name for m in side.moments] == sorted(events, key=lambda name: events[name].at.mid_ns)
    healed = {m.name: m.raw for m in made.sides[1].moments}
    assert "POST /v1/signals/anomaly" in healed["detected"]
    assert made.sides[1].card.startswith("shown-") or made.sides[1].card == ""


def test_the_gif_plays_from_before_the_injection_to_the_end(sample):
    seen = page(sample)
    pair = closely.median_pair(seen, sample)
    made = replace(film.film(pair, seen.index), end_s=1.0)
    with Image.open(io.BytesIO(film.gif(made, pair, seen.styles))) as image:
        assert image.size == (960, 537)
        assert image.n_frames == 11
        first = image.convert("RGB").tobytes()
        image.seek(image.n_frames - 1)
        assert image.convert("RGB").tobytes() != first


def test_without_evidence_there_is_no_film(small):
    with pytest.raises(UsageError, match="no healed trial with its evidence"):
        build.film_gif(small.data())
