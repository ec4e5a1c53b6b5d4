"""The report in a real browser: figures have sizes, numbers are as given."""

import json
import re
import shutil
import subprocess

import pytest

from taut.report import Figure, Page, Row, curves, ends, images, number, render

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chrome")) if p), None)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [390, 1280])
def test_every_figure_is_rendered(tmp_path, width):
    import numpy as np

    rows = [Row("SNIS", -1.234, 0.01, -1.2, -1.21), Row("LARS", -1.3, note="no bound")]
    steps = list(range(10))
    figures = [
        Figure("Curves", curves({"SNIS": (steps, steps)}, ylabel="nats"), "Rising."),
        Figure("Ends", ends({"SNIS": (-1.21, -1.2), "TRS": (-1.3, None)}, exact=-1.2)),
        Figure("Digits", images(np.random.RandomState(0).rand(12, 8, 8))),
    ]
    page = tmp_path / "index.html"
    # The page measures itself, so that its text says what a person would see.
    probe = (
        "<script>onload=()=>{const b=[...document.querySelectorAll('svg')].map(s=>"
        "s.getBoundingClientRect());document.title=JSON.stringify({sizes:b.map(r=>"
        "[r.width,r.height]),wide:document.documentElement.scrollWidth})}</script>"
    )
    html = render(
        Page("A report", "Two models.", rows, figures, {"settings": {"k": 1}})
    )
    page.write_text(html.replace("</body>", f"{probe}</body>"))
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--no-first-run",
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--window-size={width},900",
        "--virtual-time-budget=2000",
        "--dump-dom",
        page.as_uri(),
    ]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120)
    title = re.search(r"<title>(.*?)</title>", said.stdout, re.S)
    assert title, said.stderr[-2000:]
    seen = json.loads(title[1])
    assert len(seen["sizes"]) == len(figures)
    assert all(w > 50 and h > 20 for w, h in seen["sizes"])
    assert seen["wide"] <= max(width, 500)  # headless windows have a least width
    cells = re.findall(r"<td>(.*?)</td>", said.stdout)
    told = number(-1.234, 0.01).replace("&plusmn;", "±")
    assert told in cells
    assert number(-1.2) in cells
