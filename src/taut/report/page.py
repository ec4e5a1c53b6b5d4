"""The page itself: plain HTML with its style inside, readable from `file://`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; --ink: #1d2127; --soft: #667; --line: #d9dce1;
  --page: #fff; --card: #fff; --accent: #3566c0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #9aa0a8;
  --line: #3a3f47; --page: #16181c; --card: #f4f5f7; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.1rem 4rem; max-width: 56rem; color: var(--ink);
  background: var(--page); font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .6rem; }
p, figcaption { color: var(--soft); margin: .3rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .45rem .7rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
th { font-weight: 600; font-size: .82rem; color: var(--soft); vertical-align: bottom; }
small { color: var(--soft); }
figure { margin: 1.4rem 0; }
figure .card { background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; padding: .8rem; text-align: center; }
figure svg { max-width: 100%; height: auto; }
details { border-top: 1px solid var(--line); padding: .6rem 0; }
summary { cursor: pointer; }
pre { overflow-x: auto; font-size: .8rem; }
"""


@dataclass(frozen=True)
class Row:
    """One model in the table. Numbers in nats; `None` shows as a dash."""

    name: str
    lower: float | None
    lower_error: float | None = None
    upper: float | None = None  # on examples simulated from the model
    simulated_lower: float | None = None  # on the same examples
    exact: float | None = None
    published: str | None = None
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture and the sentence below it."""

    title: str
    svg: str
    caption: str = ""


@dataclass(frozen=True)
class Page:
    """Everything a report says."""

    title: str
    intro: str
    rows: Sequence[Row]
    figures: Sequence[Figure]
    details: Mapping[str, Any] = field(default_factory=dict)  # settings, environment


def number(value: float | None, error: float | None = None) -> str:
    """As in the table: two decimals, the error in small type."""
    if value is None:
        return "&ndash;"
    spread = "" if error is None else f" <small>&plusmn; {error:.2f}</small>"
    return f"{value:.2f}{spread}"


def _table(rows: Sequence[Row]) -> str:
    columns = {
        "model": lambda r: (
            escape(r.name) + (f"<br><small>{escape(r.note)}</small>" if r.note else "")
        ),
        "lower end<br>(test)": lambda r: number(r.lower, r.lower_error),
        "lower end<br>(simulated)": lambda r: number(r.simulated_lower),
        "upper end<br>(simulated)": lambda r: number(r.upper),
        "exact": lambda r: number(r.exact),
        "published": lambda r: escape(r.published) if r.published else "&ndash;",
    }
    wanted = {
        name: cell
        for name, cell in columns.items()
        if name == "model" or any(cell(r) != "&ndash;" for r in rows)
    }
    head = "".join(f"<th>{name}</th>" for name in wanted)
    body = "".join(
        f'<tr data-name="{escape(r.name)}">'
        + "".join(f"<td>{cell(r)}</td>" for cell in wanted.values())
        + "</tr>"
        for r in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _figure(figure: Figure) -> str:
    caption = f"<figcaption>{escape(figure.caption)}</figcaption>"
    return (
        f'<h2>{escape(figure.title)}</h2><figure><div class="card">{figure.svg}</div>'
        f"{caption if figure.caption else ''}</figure>"
    )


def render(page: Page) -> str:
    """One HTML text that needs nothing beside it."""
    details = "".join(
        f"<details><summary>{escape(name)}</summary>"
        f"<pre>{escape(json.dumps(value, indent=2, default=str))}</pre></details>"
        for name, value in page.details.items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(page.title)}</title><style>{STYLE}</style></head><body>"
        f"<h1>{escape(page.title)}</h1><p>{escape(page.intro)}</p>"
        f"{_table(page.rows) if page.rows else ''}"
        f"{''.join(map(_figure, page.figures))}"
        f"{'<h2>Details</h2>' + details if details else ''}</body></html>\n"
    )
