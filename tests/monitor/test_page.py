"""The page as a browser shows it, and /metrics as Prometheus reads it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from smartops_chaos.resources import shipped

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def rendered(address: str, folder: Path, width: int = 400) -> str:
    """The page's text, as the browser has it after some events."""
    assert CHROMIUM
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--window-size={width},800"]
    options += [f"--user-data-dir={folder / 'profile'}", "--timeout=8000", "--dump-dom"]
    done = subprocess.run([CHROMIUM, *options, address], capture_output=True, text=True, timeout=180)
    return done.stdout


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")
def test_the_page_shows_an_outage_and_what_ended_it(
    shop: Any, standing: Callable[..., Any], until: Callable[..., Any], tmp_path: Path
) -> None:
    monitor = standing(horizon=600)
    with requests.get(f"http://127.0.0.1:{monitor.listen}/live", stream=True, timeout=60) as live:
        assert live.headers["Content-Type"] == "text/event-stream"
        state = json.loads(next(line for line in live.iter_lines() if line).removeprefix(b"data: "))
    assert (state["service"], state["incidents"], state["lanes"]) == ("smartops-erp-simulator", [], [])
    shop.be(1.0)
    active = '_active{namespace="shop",service="smartops-erp-simulator"} 1.0'
    until(lambda: active in monitor.get("/metrics"))
    page = rendered(f"http://127.0.0.1:{monitor.listen}/", tmp_path)
    assert ">out of order since" in page, page[-3000:]
    assert "<td>goes on</td>" in page
    assert "<td>gap</td>" not in page
    shop.be(0)
    monitor.over(1)
    page = rendered(f"http://127.0.0.1:{monitor.listen}/", tmp_path)
    assert ">healthy<" in page
    assert "<td>not the healer</td>" in page
    assert 'fill="var(--bad)"' in page
    assert '<path d="M' in page


def test_the_page_loads_nothing_from_elsewhere_and_fits_a_phone() -> None:
    page = shipped("monitor", "page.html").read_text(encoding="utf-8")
    addresses = re.findall(r"https?://[^\"'\s)]+", page)
    assert addresses == ["http://www.w3.org/2000/svg"]
    assert 'name="viewport" content="width=device-width' in page
