"""Files that the user has: found, checked, copied."""

import hashlib
from dataclasses import replace

import made_files
import pytest

from taut import data
from taut.data import checking
from taut.data.cards import Layout, Source
from taut.data.mnist import MNIST


def _published(folder, known, monkeypatch):
    """Declare the files in a folder to be MNIST as published."""
    sources = tuple(
        replace(
            source,
            size=(folder / source.file).stat().st_size,
            checksum="sha256:"
            + hashlib.sha256((folder / source.file).read_bytes()).hexdigest(),
        )
        for source in MNIST.card.layouts[0].files
    )
    card = replace(MNIST.card, layouts=(Layout("MNIST", sources),))
    known(replace(MNIST, card=card))


def test_import_copies_what_is_right(root, tmp_path, known, monkeypatch):
    source = tmp_path / "downloads"
    made_files.mnist_files(source)
    _published(source, known, monkeypatch)
    result = data.import_files("mnist", source)
    assert result.ok
    assert {file.state for file in result.files} == {data.State.GOOD}
    assert result.folder == root / "mnist"
    assert len(list(result.folder.iterdir())) == 4
    assert len(data.load("mnist", "train", convention="annealed")) == 12


def test_files_of_the_same_name_are_told_apart(root, tmp_path, known, monkeypatch):
    # As in a folder of datasets, where Fashion-MNIST's files are named like MNIST's.
    made_files.mnist_files(tmp_path / "all" / "fashion_mnist", count=9)
    made_files.mnist_files(tmp_path / "all" / "z" / "mnist")
    _published(tmp_path / "all" / "z" / "mnist", known, monkeypatch)
    assert data.import_files("mnist", tmp_path / "all").ok
    assert len(data.load("mnist", "test")) == 12


def test_renamed_files_are_recognised(root, tmp_path, known, monkeypatch):
    source = tmp_path / "downloads"
    made_files.mnist_files(source)
    _published(source, known, monkeypatch)
    for path in list(source.iterdir()):
        path.rename(source / f"copy of {path.name}")
    assert data.import_files("mnist", source).ok


def test_wrong_content_is_named(root, tmp_path, known, monkeypatch):
    source = tmp_path / "downloads"
    made_files.mnist_files(source)
    _published(source, known, monkeypatch)
    images = source / "train-images-idx3-ubyte.gz"
    images.write_bytes(images.read_bytes()[:-1])
    with pytest.raises(data.WrongChecksum, match="train-images.*expected sha256:"):
        data.import_files("mnist", source)
    assert not (root / "mnist" / images.name).exists()
    result = data.import_files("mnist", source, accept_other=True)
    states = {file.path.name: file.state for file in result.files}
    assert states.pop(images.name) is data.State.ACCEPTED
    assert set(states.values()) == {data.State.GOOD}


def test_nothing_of_the_kind(root, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(data.MissingData, match=r"chardata\.mat; or omniglot_28_rebu"):
        data.import_files("omniglot", tmp_path / "empty")
    with pytest.raises(NotADirectoryError, match="is not a folder"):
        data.import_files("omniglot", tmp_path / "absent")
    with pytest.raises(ValueError, match="needs no files"):
        data.import_files("digits", tmp_path / "empty")
    with pytest.raises(ValueError, match="Did you mean omniglot"):
        data.import_files("omnigolt", tmp_path / "empty")


def test_import_in_place_copies_nothing(root):
    made_files.mnist_files(root / "mnist")
    before = {path.name: path.stat().st_mtime_ns for path in (root / "mnist").iterdir()}
    data.import_files("mnist", root, accept_other=True)
    after = {path.name: path.stat().st_mtime_ns for path in (root / "mnist").iterdir()}
    assert after.pop("taut.json")
    assert after == before


def test_a_damaged_manifest(root):
    made_files.mnist_files(root / "mnist")
    (root / "mnist" / "taut.json").write_text("{")
    with pytest.raises(ValueError, match=r"taut\.json is damaged; delete it"):
        data.verify("mnist")


def test_git_blob_checksum(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"hello\n")
    # `echo hello | git hash-object --stdin`
    expected = "git-blob:ce013625030ba8dba906f756967f9e9ca394464a"
    assert checking.checksum(path, "git-blob") == expected
    assert checking.matches(path, Source("file", expected, 6))
    assert not checking.matches(path, Source("file", expected, 7))
    assert not checking.matches(path, Source("file", expected.replace("ce", "cf"), 6))


def test_listing(root):
    made_files.mnist_files(root / "mnist")
    ready = {one.card.name: one for one in data.listing()}
    assert ready["mnist"].ready
    assert ready["mnist"].folder == root / "mnist"
    assert ready["digits"].ready
    assert not ready["celeba"].ready
    assert list(ready) == sorted(ready)


def test_the_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("TAUT_DATA", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data.data_home() == tmp_path / "taut" / "data"
    monkeypatch.setenv("TAUT_DATA", str(tmp_path / "mine"))
    assert data.data_home() == tmp_path / "mine"
    assert data.folder_of(data.card("svhn")) == tmp_path / "mine" / "svhn"
