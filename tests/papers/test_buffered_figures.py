"""Figures and tables of buffered SVI, from the records of runs alone."""

import json

import pytest

from taut.papers.buffered import FIGURES
from taut.papers.buffered.figures import figure4, figure6, found, tables
from taut.rundir import Run


@pytest.fixture
def runs(tmp_path):
    """Two rows' records: three reports, two validations."""
    for row, lift in (("bsvi-sir", 1.0), ("vae", 0.0)):
        run = Run.create(
            tmp_path / f"runs/buffered-omniglot-{row}-quick-0",
            {"experiment": f"buffered-omniglot-{row}", "budget": "quick", "seed": 0},
        )
        for step in (10, 20, 30):
            told = {"bound": -100.0 + step + lift, "amortised": -103.0 + step}
            if lift:
                told |= {"svi": -101.0 + step, "weight_average": 4.5}
            run.report(step, told, 1.0)
        run.summarise({"step": 30, "validation": [[15, -90.0], [30, -80.0]]})
    return tmp_path / "runs"


def test_what_was_run_is_found(runs):
    assert set(found("quick", "omniglot", runs)) == {"VAE", "BSVI-k-SIR"}
    assert found("medium", "omniglot", runs) == {}
    assert found("quick", "svhn", runs) == {}


def test_figures(runs, tmp_path):
    """Figure 4 has both rows, training and validation apart; Figure 6 the buffered."""
    figure4(tmp_path, "quick", runs)
    figure6(tmp_path, "quick", runs)
    drawn = {path.name for path in tmp_path.glob("*.svg")}
    assert drawn == {
        "buffered-figure4.svg",
        "buffered-figure4-validation.svg",
        "buffered-figure6-omniglot.svg",
        "buffered-figure6-omniglot-weights.svg",
    }
    assert all("<svg" in path.read_text() for path in tmp_path.glob("*.svg"))
    with pytest.raises(ValueError, match="no runs of this paper at this budget"):
        figure4(tmp_path, "medium", runs)
    assert set(FIGURES) == {"figure4", "figure5", "figure6", "tables"}


def test_tables(tmp_path):
    """Ours beside the published; rows and columns that were not run say so."""
    one = lambda mean: {"mean": mean}
    report = {
        "images": 50,
        "bsvi-50": one(-118.0),
        "elbo*": one(-121.2),
        "kl*": one(8.7),
        "rec*": one(112.5),
        "iwae-50": one(-119.3),
        "iwae-250": one(-118.3),
    }
    row = {"name": "buffered-omniglot-bsvi-sir", "budget": "quick"}
    row["report"] = {"test": report}
    (tmp_path / "buffered.json").write_text(json.dumps([row]))
    tables(tmp_path, "quick")
    lines = (tmp_path / "buffered-tables-quick.md").read_text().splitlines()
    ours = [line for line in lines if line.startswith("| BSVI-k-SIR |")]
    first, train, estimators = ours[:3]  # Tables 4, 7 and 10
    assert "-118.00 (-88.80), BSVI-50, 50 images" in first
    assert "8.70 (7.52)" in first
    assert train.count("not run") == 4
    assert "IWAE-250: -118.30" in estimators
    assert estimators.count("not run") == 3
    assert sum(line.startswith("## Table") for line in lines) == 9
