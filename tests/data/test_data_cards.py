"""Names, cards, pieces and digests of the data sets, without their files."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from taut import data


def test_unknown_names_get_near_ones(root):
    with pytest.raises(ValueError, match="Did you mean fashion_mnist"):
        data.load("fashion-mnist", "train")
    with pytest.raises(ValueError, match="convention for mnist: 'anealed'.*annealed"):
        data.load("mnist", "train", convention="anealed")
    with pytest.raises(ValueError, match="'valid'.*There are: train, test"):
        data.load("mnist", "valid", convention="annealed")


def test_missing_files_say_what_to_do(root):
    with pytest.raises(data.MissingData) as caught:
        data.load("mnist", "train")
    message = str(caught.value)
    assert str(root / "mnist" / "train-images-idx3-ubyte.gz") in message
    assert "ossci-datasets" in message
    assert "440fcabf73cc546f" in message
    assert "taut data fetch mnist" in message
    assert "taut data import mnist --from DIR" in message
    # Only what this split is read from.
    assert "t10k" not in message


def test_seeded_pieces_are_a_partition():
    values = np.arange(50)
    cuts = [(None, -20), (-20, -5), (-5, None)]
    taken = [data.Piece(("all",), a, b, seed=3).take(values) for a, b in cuts]
    assert [len(one) for one in taken] == [30, 15, 5]
    assert sorted(np.concatenate(taken).tolist()) == values.tolist()
    # Fixed for ever: RandomState(3).
    assert taken[2].tolist() == np.random.RandomState(3).permutation(50)[-5:].tolist()


def test_drawn_data(root, known):
    def draw(seed, count):
        return np.random.RandomState(seed).normal(size=(count, 2))

    sizes = {"train": 100, "test": 10}
    known(data.synthetic("blob", (2,), draw, sizes, "a normal law", seed=5))
    train, test = data.load("blob", "train"), data.load("blob", "test")
    np.testing.assert_array_equal(train.images, draw(5, 100))
    np.testing.assert_array_equal(test.images, draw(6, 10))
    assert train.digest() == data.load("blob", "train").digest() != test.digest()
    assert data.verify("blob").ok
    assert {one.card.name: one.ready for one in data.listing()}["blob"]
    known(data.synthetic("bad", (3,), draw, sizes, "of another shape"))
    with pytest.raises(ValueError, match=r"gave shape \(100, 2\); expected"):
        data.load("bad", "train")


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="'mnist' exists already"):
        data.register(data.mnist.MNIST)


def test_digest_sees_values_split_and_dataset(root):
    one = data.load("digits", "valid")
    changed = one.images.copy()
    changed[-1, -1, -1] ^= 1
    others = [
        dataclasses.replace(one, images=changed),
        dataclasses.replace(one, split="test"),
        dataclasses.replace(one, card=data.card("mnist")),
        dataclasses.replace(one, images=one.images[:-1]),
    ]
    digests = {one.digest(), *(other.digest() for other in others)}
    assert len(digests) == 5
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)
    assert one.digest() == data.data_digest(one) != data.data_digest(one, one)


def test_subset_keeps_the_shares_of_classes(root):
    train = data.load("digits", "train")
    some = data.subset(train, 140)
    shares = np.bincount(train.labels) * 140 / len(train)
    assert np.abs(np.bincount(some.labels) - shares).max() <= 1
    assert data.subset(train, 140).digest() == some.digest()
    assert data.subset(train, 140, seed=9).digest() != some.digest()
    nested = {image.tobytes() for image in data.subset(train, 70).images}
    assert nested <= {image.tobytes() for image in some.images}
    for count in (0, len(train) + 1):
        with pytest.raises(ValueError, match="out of 1397"):
            data.subset(train, count)


def test_digits_come_with_the_package(root):
    splits = [data.load("digits", split) for split in ("train", "valid", "test")]
    assert [len(one) for one in splits] == [1397, 200, 200]
    images = np.concatenate([one.images for one in splits])
    labels = np.concatenate([one.labels for one in splits])
    assert images.shape == (1797, 8, 8)
    assert (images.min(), images.max()) == (0, 16)
    counts = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert np.bincount(labels).tolist() == counts
    assert data.verify("digits").ok
    mean = splits[0].mean()
    np.testing.assert_allclose(mean, splits[0].images.mean(0) / 16, rtol=1e-5)


def test_cards_are_whole():
    for name in data.names():
        card = data.card(name)
        assert card.name == name
        for text in (card.title, card.about, card.treatment, card.licence, card.page):
            assert text
        for convention in card.conventions:
            pieces, sizes = dict(convention.pieces), dict(convention.sizes)
            assert pieces.keys() == sizes.keys()
            assert convention.note
        for layout in card.layouts:
            for source in layout.files:
                kind, _, digits = (source.checksum or "md5:").partition(":")
                length = {"sha256": 64, "md5": 32, "git-blob": 40}[kind]
                assert re.fullmatch(f"[0-9a-f]{{{length}}}|", digits)
                assert all(url.startswith("http") for url in source.urls)


def test_the_page_names_every_set_and_every_size():
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    for name in data.names():
        card = data.card(name)
        assert f"`{name}`" in page
        for convention in card.conventions:
            assert f"`{convention.name}`" in page
            sizes = dict(convention.sizes)
            shown = [sizes.get(split) for split in ("train", "valid", "test")]
            cells = " / ".join("-" if size is None else f"{size:,}" for size in shown)
            assert f"| {cells} |" in page, (name, convention.name)
        for layout in card.layouts:
            for source in layout.files:
                stem = source.file.split("_")[0].split(".")[0]
                assert card.packaged or stem in page


def test_the_page_runs(monkeypatch, root):
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    monkeypatch.setattr(data.registry, "_datasets", dict(data.registry._datasets))
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 3
    for block in blocks[1:]:
        exec(block, {})
    assert len(data.load("blob", "train")) == 1000
