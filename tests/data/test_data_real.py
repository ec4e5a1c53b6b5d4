"""The real files, where TAUT_DATA has them: checksums, sizes, means, orientation."""

import hashlib

import numpy as np
import pytest

from taut import data


def need(name):
    ready = {one.card.name: one for one in data.listing()}[name]
    if not ready.ready:
        pytest.skip(f"no {name} in {data.data_home()}: set TAUT_DATA")
    return data.card(name)


REAL = (
    "caltech101_silhouettes",
    "fashion_mnist",
    "freyfaces",
    "mnist",
    "omniglot",
    "static_mnist",
)


@pytest.mark.parametrize("name", REAL)
def test_checksums_and_sizes(name):
    card = need(name)
    report = data.verify(name)
    assert report.ok
    assert {one.state for one in report.files} == {data.State.GOOD}
    for convention in card.conventions:
        for split, size in convention.sizes:
            loaded = data.load(name, split, convention=convention.name)
            if loaded.title == "Omniglot-28 (rebuilt)" and split == "test":
                size = 8_115
            assert len(loaded) == size
            assert loaded.images.shape[1:] == card.shape


@pytest.mark.parametrize(
    ("name", "convention", "means"),
    [
        ("mnist", "annealed", {"train": 0.13066, "test": 0.13251}),
        ("fashion_mnist", "energy-inspired", {"train": 0.28604, "test": 0.28685}),
        (
            "static_mnist",
            "hierarchical",
            {"train": 0.13056, "valid": 0.13113, "test": 0.13251},
        ),
        (
            "caltech101_silhouettes",
            "hierarchical",
            {"train": 0.5511, "valid": 0.5360, "test": 0.5390},
        ),
        ("omniglot", "annealed", {"train": 0.0830, "test": 0.0820}),
    ],
)
def test_means(name, convention, means):
    need(name)
    for split, mean in means.items():
        found = data.load(name, split, convention=convention).mean().mean()
        digits = 5 if name.endswith("mnist") else 4
        assert abs(found - mean) <= 0.6 * 10**-digits


def test_mnist_classes():
    need("mnist")
    test = data.load("mnist", "test")
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(test.labels).tolist() == counts
    train, valid = data.load("mnist", "train"), data.load("mnist", "valid")
    everything = data.load("mnist", "train", convention="annealed")
    np.testing.assert_array_equal(everything.images[:50_000], train.images)
    np.testing.assert_array_equal(everything.images[50_000:], valid.images)


@pytest.mark.parametrize(
    ("split", "sha256"),
    [
        ("valid", "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2"),
        ("test", "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c"),
    ],
)
def test_packed_static_mnist_is_the_text_file(split, sha256, tmp_path):
    need("static_mnist")
    rows = data.load("static_mnist", split).images.reshape(-1, 784)
    text = np.full((len(rows), 1568), ord(" "), np.uint8)
    text[:, ::2] = rows + ord("0")
    text[:, -1] = ord("\n")
    assert hashlib.sha256(text.tobytes()).hexdigest() == sha256
    # And the reader of the text file gives the rows back.
    path = tmp_path / "rows.amat"
    text.tofile(path)
    np.testing.assert_array_equal(data.formats.read_amat(path, 784), rows)


def test_static_mnist_test_is_sorted_and_subsets_are_not():
    need("static_mnist")
    test = data.load("static_mnist", "test")
    if test.labels is None:
        pytest.skip("the .amat files have no labels")
    assert (np.diff(test.labels.astype(int)) >= 0).all()
    counts = np.bincount(data.subset(test, 1000).labels)
    assert np.abs(counts - np.bincount(test.labels) / 10).max() <= 1


def test_omniglot_drawers():
    need("omniglot")
    train = data.load("omniglot", "train", convention="annealed")
    test = data.load("omniglot", "test")
    if train.title != "Omniglot-28 (rebuilt)":
        pytest.skip("chardata.mat is in use")
    assert len(train) == 15 * 1623
    assert len(test) == 5 * 1623


def test_silhouettes_stand_upright():
    # Objects touch the ground more often than the top or a side of the frame; as
    # stored, lying on their side, the ground is another edge.
    need("caltech101_silhouettes")
    name = "caltech101_silhouettes"
    upright = data.load(name, "train", convention="vampprior").images
    stored = data.load(name, "train").images
    np.testing.assert_array_equal(upright, 1 - stored.transpose(0, 2, 1))
    heavy = upright[:, 20:].sum() / upright[:, :8].sum()
    sideways = upright[:, :, 20:].sum() / upright[:, :, :8].sum()
    assert heavy > 1.05 * sideways
