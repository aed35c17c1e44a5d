"""The page in a real browser: a number is clicked, its trials are shown, one of them is opened."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import websocket

from smartops_chaos import api
from smartops_chaos.report import render, slides
from smartops_chaos.report.build import build

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SAMPLE = Path(__file__).parents[2] / "results" / "sample"
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


class Browser:
    """One page over Chromium's remote debugging."""

    def __init__(self, folder: Path) -> None:
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--remote-debugging-port=0",
            f"--user-data-dir={folder}",
        ]
        self.process = subprocess.Popen(
            [str(CHROMIUM), *options, "--window-size=1200,900", "about:blank"], stderr=subprocess.DEVNULL
        )
        port = folder / "DevToolsActivePort"
        self.until(lambda: port.exists() and port.read_text().count("\n") >= 1)
        with urllib.request.urlopen(f"http://127.0.0.1:{port.read_text().split()[0]}/json") as answer:
            page = next(target for target in json.load(answer) if target["type"] == "page")
        self.socket = websocket.create_connection(page["webSocketDebuggerUrl"], suppress_origin=True, timeout=180)
        self.calls = 0

    @staticmethod
    def until(true: Any, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, "the browser did not get there"
            time.sleep(0.02)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self.calls += 1
        self.socket.send(json.dumps({"id": self.calls, "method": method, "params": params}))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == self.calls:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def js(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def open(self, address: str, *, scripts: bool = True) -> None:
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.call("Page.navigate", url="about:blank")
        self.until(lambda: self.js("location.href") == "about:blank")
        self.call("Page.navigate", url=address)
        self.until(lambda: self.js("location.href != 'about:blank' && document.readyState") == "complete")
        if scripts and self.js("document.querySelector('nav') !== null"):  # it comes to life after the first paint
            self.until(lambda: self.js("document.documentElement.dataset.live") == "yes")

    def click(self, selector: str) -> None:
        """With the mouse, where the element is on the screen."""
        element = f"document.querySelector({json.dumps(selector)})"
        self.js(f"{element}.scrollIntoView({{block: 'center'}})")
        box = self.js(f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])({element}.getClientRects()[0])")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def visible(self) -> list[str]:
        """The trials in the rows that are shown."""
        rows = "[...document.querySelectorAll('#tab-trials tbody tr')].filter((r) => r.offsetHeight > 0)"
        return list(self.js(f"{rows}.map((r) => r.cells[1].textContent.trim())"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    started = Browser(tmp_path_factory.mktemp("chromium"))
    yield started
    started.socket.close()
    started.process.terminate()
    started.process.wait(20)


@pytest.fixture(scope="module")
def page(small, tmp_path_factory) -> str:
    file = tmp_path_factory.mktemp("page") / "report.html"
    data = small.data()
    report = build(type(data)(**{**vars(data), "explain": lambda trial: f"raw lines of {trial}"}))
    file.write_text(render.html(report), encoding="utf-8")
    return file.as_uri()


@pytest.fixture
def healed(small) -> list[str]:
    table = small.table
    return list(table["trial"][(table["model"] == "zscore") & (table["outcome"] == "healed")])


def test_from_a_number_to_its_trials_and_on_to_the_raw_lines_of_one(browser, page, healed, small):
    browser.open(page)
    assert sorted(browser.visible()) == sorted(small.table["trial"])
    number = "#tab-healing tbody tr:nth-child(2) td:nth-child(4) a"  # by the healer, in the second arm
    browser.click(number)
    browser.until(lambda: sorted(browser.visible()) == sorted(healed))
    assert browser.js("document.querySelector('.told').textContent").startswith(f"{len(healed)} of {len(small.table)}")
    first = browser.visible()[0]
    browser.click("#tab-trials tbody tr:not([hidden]) a")
    browser.until(lambda: browser.js("[...document.querySelectorAll('details[open]')].length") == 1)
    opened = browser.js("document.querySelector('details[open]').innerText")
    assert first in opened
    assert f"raw lines of {first}" in opened
    browser.js("history.back()")
    browser.until(lambda: "model=zscore" in browser.js("location.hash"))
    assert sorted(browser.visible()) == sorted(healed)


def test_an_address_with_a_choice_can_be_passed_on(browser, page, healed):
    browser.open(f"{page}#tab-trials?model=zscore&outcome=healed&outcome=prevented")
    assert sorted(browser.visible()) == sorted(healed)
    assert browser.js("document.querySelector('.filters select option:checked[value*=\"|or|\"]').textContent")


def test_choosing_sorting_and_searching(browser, page, small):
    browser.open(page)
    select = (
        "[...document.querySelectorAll('.filters label')].find((l) => l.textContent.startsWith('model')).children[0]"
    )
    browser.js(f"((s) => {{ s.value = 'zscore'; s.dispatchEvent(new Event('change')); }})({select})")
    assert sorted(browser.visible()) == sorted(small.table["trial"][small.table["model"] == "zscore"])
    browser.click("#tab-trials th:nth-child(4) button")
    rows = "[...document.querySelectorAll('#tab-trials tbody tr:not([hidden])')]"
    times = browser.js(f"{rows}.map((r) => parseFloat(r.cells[3].textContent))")
    known = [t for t in times if t is not None]
    assert known == sorted(known)
    assert len(known) > 3
    browser.click("#tab-trials .filters button")
    assert len(browser.visible()) == len(small.table)
    browser.click("#tab-trials input[type=search]")
    browser.call("Input.insertText", text="calibrate_cpu")
    assert browser.visible() == ["calibrate_cpu-90_steady"]


def test_without_scripts_everything_is_there_and_links_lead_to_the_table(browser, page, small):
    browser.open(page, scripts=False)
    assert len(browser.visible()) == len(small.table)
    assert browser.js("document.querySelectorAll('details.trial:not([open])').length") == 0
    browser.click("#tab-fault-1 td a")
    browser.until(lambda: browser.js("location.hash") == "#tab-trials")
    browser.until(lambda: abs(browser.js("document.querySelector('#tab-trials').getBoundingClientRect().top")) < 50)
    assert browser.js("performance.getEntriesByType('resource').length") == 0


@pytest.fixture(scope="module")
def sample_page(tmp_path_factory) -> str:
    """Of a campaign with evidence and with more than fifty trials."""
    file = tmp_path_factory.mktemp("sample") / "report.html"
    report = build(api.load(SAMPLE))
    file.write_text(render.html(report), encoding="utf-8")
    return file.as_uri()


def test_a_long_table_shows_fifty_rows_until_somebody_asks_for_all(browser, sample_page):
    browser.open(sample_page)
    assert len(browser.visible()) == 50
    browser.click("#tab-trials .all")
    browser.until(lambda: len(browser.visible()) == 125 - 2)
    browser.open(f"{sample_page}#trial-120")
    browser.until(lambda: len(browser.visible()) > 100)


def test_every_table_sorts_and_a_row_takes_its_name_with_it(browser, sample_page):
    browser.open(sample_page)
    browser.click("#tab-horizons th button")
    cells = "[...document.querySelectorAll('#tab-horizons tbody tr')].map((r) => r.cells[0].textContent.trim())"
    assert all(browser.js(cells))
    browser.click("#tab-sla th:nth-child(2) button")
    assert browser.js("document.querySelector('#tab-sla th:nth-child(2)').getAttribute('aria-sort')") == "ascending"


def test_a_mark_says_which_trial_it_is_and_leads_to_it(browser, sample_page):
    browser.open(sample_page)
    # Marks may lie over each other, and a bar over them: the first one that the mouse can reach.
    browser.js(
        "[...document.querySelectorAll('#fig-trials use:has(title)')].find((mark) => {"
        " mark.scrollIntoView({block: 'center'}); const {x, y, width, height} = mark.getClientRects()[0];"
        " return document.elementFromPoint(x + width / 2, y + height / 2) === mark }).id = 'reached'"
    )
    title = browser.js("document.querySelector('#reached title').textContent")
    assert title.count(",") == 2
    browser.click("#reached")
    browser.until(lambda: browser.js("location.hash").startswith("#trial-"))
    row = browser.js("document.querySelector(location.hash).cells[1].textContent.trim()")
    assert title.startswith(row)


def press(browser: Browser, key: str) -> None:
    for kind in ("keyDown", "keyUp"):
        text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
        code = {"Enter": 13, "Tab": 9, "ArrowRight": 39, "ArrowLeft": 37}[key]
        browser.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)


def test_marks_and_the_film_answer_to_the_keyboard(browser, sample_page):
    browser.open(sample_page)
    figure = "document.querySelector('#fig-trials')"
    assert browser.js(f"{figure}.querySelectorAll('use[tabindex=\"0\"]').length") == 1
    browser.js(f"{figure}.querySelector('.scroll').focus()")
    press(browser, "Tab")
    told = "document.activeElement.getAttribute('aria-label')"
    first = browser.js(told)
    press(browser, "ArrowRight")
    second = browser.js(told)
    assert first != second
    press(browser, "Enter")
    browser.until(lambda: browser.js("location.hash").startswith("#trial-"))
    assert second.startswith(browser.js("document.querySelector(location.hash).cells[1].textContent.trim()"))

    browser.js("document.querySelector('.film input').focus()")
    end = float(browser.js("document.querySelector('.film input').value"))
    press(browser, "ArrowLeft")
    assert float(browser.js("document.querySelector('.film input').value")) < end
    assert browser.js("document.querySelector('.film button').tabIndex") == 0


def test_on_a_phone_no_figure_and_no_short_table_scrolls(browser, sample_page):
    browser.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
    try:
        browser.open(sample_page)
        wide = (
            "[...document.querySelectorAll('figure:not(.table) .scroll, .stacked .scroll')]"
            ".filter((s) => s.scrollWidth > s.clientWidth + 1).map((s) => s.parentElement.id)"
        )
        assert browser.js(wide) == []
        shown = (
            "[...document.querySelectorAll('figure > .scroll')]"
            ".map((s) => [...s.children].filter((c) => c.getClientRects().length).length)"
        )
        assert set(browser.js(shown)) == {1}
        assert browser.js("document.querySelectorAll('#fig-trials use[tabindex=\"0\"]').length") == 1
        assert browser.js("document.querySelector('#fig-trials use[tabindex=\"0\"]').getClientRects().length") == 1
    finally:
        browser.call("Emulation.clearDeviceMetricsOverride")


def test_the_film_lights_up_what_has_happened(browser, sample_page):
    browser.open(sample_page)
    slide = "((s) => {{ s.value = {}; s.dispatchEvent(new Event('input')) }})(document.querySelector('.film input'))"
    dim = "[...document.querySelectorAll('.film .side')].map((s) => s.querySelectorAll('li.dim').length)"
    browser.js(slide.format(-1))
    none = browser.js(dim)
    assert none == browser.js(
        "[...document.querySelectorAll('.film .side')].map((s) => s.querySelectorAll('li').length)"
    )
    browser.js(slide.format(100))
    assert browser.js(dim) == [0, 0]
    browser.click(".film button")
    browser.until(lambda: 0 < float(browser.js("document.querySelector('.film input').value")) < 12)
    browser.click(".film button")


def test_drawings_suit_a_dark_page_and_contents_stay_in_sight(browser, sample_page):
    media = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.call("Emulation.setEmulatedMedia", features=media)
    try:
        browser.open(sample_page)
        colour = "getComputedStyle(document.querySelector('#fig-phases svg text')).fill"
        assert browser.js(colour) == "rgb(228, 232, 236)"
        browser.until(lambda: browser.js("document.querySelector('nav details').open") is False)
        browser.js("window.scrollTo(0, 3000)")
        assert browser.js("document.querySelector('nav').getBoundingClientRect().top") == 0
    finally:
        browser.call("Emulation.setEmulatedMedia", features=[])


# The file axe.min.js: of a package of the tests, or a newer one, such as of `npm install axe-core`.
AXE = os.environ.get("PYTEST_AXE_CORE") or str(resources.files("axe_core_python") / "axe.min.js")


@pytest.mark.parametrize("what", ["report", "deck"])
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_axe_finds_nothing_that_keeps_a_reader_out(browser, sample_page, tmp_path, what, scheme, width):
    address = sample_page
    if what == "deck":
        (tmp_path / "deck.html").write_text(render.deck_html(slides.build(api.load(SAMPLE))), encoding="utf-8")
        address = (tmp_path / "deck.html").as_uri()
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    try:
        browser.open(address)
        browser.js(Path(AXE).read_text(encoding="utf-8") + "; 0")
        rules = "axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']})"
        browser.js(f"window.found = null; {rules}.then((r) => {{ window.found = r.violations }}); 0")
        browser.until(lambda: browser.js("window.found !== null"), seconds=300)
        told = (
            "found.map((v) => v.id + ': ' + v.nodes.slice(0, 3).map((n) => n.target + ' ' + "
            "n.failureSummary).join('; '))"
        )
        assert browser.js(told) == []
    finally:
        browser.call("Emulation.setEmulatedMedia", features=[])
        browser.call("Emulation.clearDeviceMetricsOverride")
