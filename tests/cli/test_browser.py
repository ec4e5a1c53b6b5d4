"""The reports in a real browser: figures have sizes, numbers are those on record."""

import json
import re
import shutil
import subprocess
import sys

import pytest

from taut.cli import main
from taut.report import number

from . import tiny

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chrome")) if p), None)
WIDTHS = (390, 1280)  # a phone and a desktop
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

# The page measures itself, so that its text says what a person would see.
PROBE = (
    "<script>onload=()=>{const b=[...document.querySelectorAll('svg')].map(s=>"
    "s.getBoundingClientRect());document.title=JSON.stringify({sizes:b.map(r=>"
    "[r.width,r.height]),wide:document.documentElement.scrollWidth})}</script>"
)


def look(folder, html, width):
    """Sizes of the figures, width of the page, and the table's rows, as rendered."""
    page = folder / "probed.html"
    page.write_text(html.replace("</body>", f"{PROBE}</body>"))
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--no-first-run",
        f"--user-data-dir={folder / 'profile'}",
        f"--window-size={width},900",
        "--virtual-time-budget=2000",
        "--dump-dom",
        page.as_uri(),
    ]
    said = subprocess.run(command, capture_output=True, text=True, timeout=240)
    title = re.search(r"<title>(.*?)</title>", said.stdout, re.S)
    assert title, said.stderr[-2000:]
    rows = {
        name: re.findall(r"<td>(.*?)</td>", cells)
        for name, cells in re.findall(r'<tr data-name="(.*?)">(.*?)</tr>', said.stdout)
    }
    seen = json.loads(title[1])
    return seen["sizes"], seen["wide"], rows


def fits(sizes, wide, width):
    assert all(w > 50 and h > 20 for w, h in sizes)
    assert wide <= max(width, 500)  # headless windows have a least width


def cell(value, error=None):
    """A number as the browser gives it back."""
    return number(value, error).replace("&plusmn;", "±").replace("&ndash;", "–")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that was trained, evaluated, drawn from and reported."""
    home = tmp_path_factory.mktemp("reported")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("taut.cli.options.presets", tiny.presets)
        patch.chdir(home)
        for argv in (
            ["train", "tiny", "--out", "run"],
            ["evaluate", "run"],
            ["sample", "run", "--num", "12"],
            ["report", "run", "--out", "page.html"],
        ):
            assert main([*argv, "--quiet"]) == 0
    return home


@pytest.mark.xdist_group("browser")
@pytest.mark.parametrize("width", WIDTHS)
def test_the_report_of_a_run(run, tmp_path, width):
    sizes, wide, rows = look(tmp_path, (run / "page.html").read_text(), width)
    assert len(sizes) == 3  # the curve, both ends, the samples
    fits(sizes, wide, width)
    told = json.loads((run / "run/summary.json").read_text())["evaluation"]
    lower, both = told["lower"], told["simulated"]
    (cells,) = rows.values()
    assert cells[1:] == [
        cell(lower["mean"], lower["se_examples"]),
        cell(both["lower"]["mean"]),
        cell(both["upper"]["mean"]),
        "-2",
    ]


@pytest.mark.thorough
def test_the_report_of_the_demo(tmp_path):
    """In a process of its own: at full optimisation, in float32."""
    code = "import sys; from taut.cli import main; sys.exit(main())"
    argv = [sys.executable, "-c", code, "demo", "--steps", "60", "--quiet"]
    subprocess.run(argv, cwd=tmp_path, check=True)
    html = (tmp_path / "taut-demo/index.html").read_text()
    record = json.loads((tmp_path / "taut-demo/summary.json").read_text())
    for width in WIDTHS:
        sizes, wide, rows = look(tmp_path, html, width)
        assert len(sizes) == 6
        fits(sizes, wide, width)
        assert rows.keys() == {row["name"] for row in record["rows"]}
        for row in record["rows"]:
            ends = (row["simulated_lower"], row["upper"], row["exact"])
            expected = [cell(row["lower"], row["lower_error"]), *map(cell, ends)]
            assert rows[row["name"]][1:] == expected
