"""Every preset of every paper: well formed (quick), and run (thorough)."""

import dataclasses
import functools
import json
import os

import jax
import photographs
import pytest

from taut import data
from taut.cli import main
from taut.cli.options import BUDGETS
from taut.cli.running import refill
from taut.papers import presets
from taut.papers.experiment import Preset
from taut.train import fit

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


@pytest.fixture(scope="module")
def compiled_once(tmp_path_factory):
    """Programs kept on disk, small ones too: a resumed run, and a row like another,
    compile nothing."""
    old = jax.config.jax_compilation_cache_dir
    where = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    jax.config.update(
        "jax_compilation_cache_dir", where or str(tmp_path_factory.mktemp("compiled"))
    )
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    yield
    jax.config.update("jax_compilation_cache_dir", old)


@pytest.fixture(scope="module")
def made_of_photographs(tmp_path_factory):
    """A data folder, and what fills it: other photographs in a data set's format."""
    home = tmp_path_factory.mktemp("photographs")

    @functools.cache
    def fill(name):
        files = tmp_path_factory.mktemp(name)
        photographs.MADE[name](files, photographs.photographs())
        data.import_files(name, files, root=home, accept_other=True)

    return home, fill


@pytest.fixture
def readable(monkeypatch, made_of_photographs):
    """A row's data set: its own files where they are here, or else those made."""

    def check(preset):
        settings, name = preset.budgets["quick"], preset.dataset.lower()
        try:
            settings.data()
        except data.MissingData as absent:
            if name not in photographs.MADE:
                pytest.skip(f"needs data that are not here: {absent}")
            home, fill = made_of_photographs
            fill(name)
            monkeypatch.setenv("TAUT_DATA", str(home))
            settings.data()

    return check


def _half(*args, steps, **options):
    """`fit`, as if stopped half-way."""
    return fit(*args, steps=steps // 2, **options)


@pytest.mark.thorough
@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_trains_goes_on_and_evaluates(
    name, monkeypatch, tmp_path, float32, compiled_once, readable
):
    tiny = _tiny(PRESETS[name])
    monkeypatch.setattr("taut.cli.options.presets", lambda: {name: tiny})
    monkeypatch.chdir(tmp_path)
    readable(tiny)
    argv = ["train", name, "--out", "run", "--quiet"]
    with monkeypatch.context() as stopped:
        stopped.setattr("taut.cli.running.fit", _half)
        assert main(argv) == 0
    assert main([*argv, "--resume"]) == 0
    assert main(["evaluate", "run", "--quiet"]) == 0
    jax.clear_caches()
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["step"] == 20
    lower = summary["evaluation"]["lower"]
    assert lower["examples"] == 2
    assert isinstance(lower["mean"], float)  # null where it is not finite
