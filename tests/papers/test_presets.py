"""Every preset of every paper: well formed (quick), and run (thorough)."""

import dataclasses
import json

import pytest

from taut.cli import main
from taut.cli.options import BUDGETS
from taut.cli.running import refill
from taut.data import MissingData
from taut.papers import presets
from taut.papers.experiment import Preset

PRESETS = presets()
PAPERS = {"energy-inspired", "annealed", "hierarchical", "buffered"}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_says_all_there_is_to_say(name):
    preset = PRESETS[name]
    assert preset.name == name
    assert preset.paper in PAPERS
    assert tuple(preset.budgets) == BUDGETS
    steps = [settings.steps for settings in preset.budgets.values()]
    assert steps == sorted(steps)
    json.dumps(preset.to_json())
    for settings in preset.budgets.values():
        told = json.loads(json.dumps(dataclasses.asdict(settings)))
        assert refill(settings, told) == settings


def test_every_paper_has_presets():
    assert {preset.paper for preset in PRESETS.values()} == PAPERS


def _tiny(preset: Preset) -> Preset:
    settings = dataclasses.replace(
        preset.budgets["quick"],
        steps=20,
        batch_size=4,
        test_images=2,
        samples=2,
        simulated=1,
        simulated_samples=2,
    )
    return dataclasses.replace(preset, budgets={"quick": settings})


@pytest.mark.thorough
@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_trains_evaluates_and_goes_on(name, monkeypatch, tmp_path, float32):
    tiny = _tiny(PRESETS[name])
    monkeypatch.setattr("taut.cli.options.presets", lambda: {name: tiny})
    monkeypatch.chdir(tmp_path)
    try:
        tiny.budgets["quick"].data()
    except MissingData as absent:
        pytest.skip(f"needs data that are not here: {absent}")
    argv = ["train", name, "--out", "run", "--quiet"]
    assert main(argv) == 0
    assert main([*argv, "--resume", "--steps", "22"]) == 0
    assert main(["evaluate", "run", "--quiet"]) == 0
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["step"] == 22
    assert summary["evaluation"]["lower"]["examples"] == 2
