"""One self-contained HTML page: both ends in a table, figures, settings."""

from .figures import (
    curves as curves,
    density as density,
    ends as ends,
    examples as examples,
    images as images,
    sweeps as sweeps,
)
from .page import (
    Figure as Figure,
    Page as Page,
    Row as Row,
    number as number,
    render as render,
)
