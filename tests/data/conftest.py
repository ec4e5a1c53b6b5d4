import made_files
import pytest

from taut.data import registry


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty data folder, pointed to by TAUT_DATA."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("TAUT_DATA", str(folder))
    return folder


@pytest.fixture
def known(monkeypatch):
    """Register a dataset for one test."""

    def add(dataset):
        monkeypatch.setitem(registry._datasets, dataset.card.name, dataset)
        return dataset

    return add


@pytest.fixture
def server(monkeypatch):
    """A web server on loopback that can be told to misbehave."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with made_files.serve() as running:
        yield running
