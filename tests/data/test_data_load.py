"""`load` on small files in the real formats: arrays, splits, messages."""

import zipfile

import made_files
import numpy as np
import pytest

from taut import data
from taut.data.celeba import shrink


def _accept(name, source):
    return data.import_files(name, source, accept_other=True)


def test_wrong_checksum_is_refused_until_accepted(root, tmp_path):
    made_files.mnist_files(root / "mnist")
    with pytest.raises(data.WrongChecksum, match="expected sha256:440f.*found sha256"):
        data.load("mnist", "train", convention="annealed")
    assert not data.verify("mnist").ok
    assert _accept("mnist", root / "mnist").ok
    train = data.load("mnist", "train", convention="annealed")
    np.testing.assert_array_equal(train.images, made_files.grey_images(12, seed=1))
    assert train.labels.tolist() == [i % 10 for i in range(12)]
    # Another change after the acceptance is noticed.
    made_files.mnist_files(root / "mnist", count=13)
    with pytest.raises(data.WrongChecksum):
        data.load("mnist", "train", convention="annealed")


def test_labels_may_be_absent_but_not_of_another_length(root, tmp_path):
    source = tmp_path / "files"
    made_files.mnist_files(source)
    labels = source / "train-labels-idx1-ubyte.gz"
    labels.write_bytes(made_files.idx_labels([1, 2]))
    _accept("mnist", source)
    with pytest.raises(ValueError, match="2 labels for 12 images"):
        data.load("mnist", "train", convention="annealed")
    (root / "mnist" / labels.name).unlink()
    assert data.load("mnist", "train", convention="annealed").labels is None
    assert data.verify("mnist").ok


def test_labels_under_the_name_of_images(root, tmp_path):
    source = tmp_path / "files"
    made_files.mnist_files(source)
    labels = (source / "train-labels-idx1-ubyte.gz").read_bytes()
    (source / "train-images-idx3-ubyte.gz").write_bytes(labels)
    _accept("mnist", source)
    with pytest.raises(ValueError, match="holds labels; expected"):
        data.load("mnist", "train", convention="annealed")


def test_images_of_the_wrong_size(root, tmp_path):
    source = tmp_path / "files"
    made_files.mnist_files(source)
    images = made_files.grey_images(12, (32, 32))
    path = source / "train-images-idx3-ubyte.gz"
    path.write_bytes(made_files.idx_images(images))
    _accept("mnist", source)
    with pytest.raises(ValueError, match=r"shape \(32, 32\); expected \(28, 28\)"):
        data.load("mnist", "train", convention="annealed")


def test_a_split_that_would_be_empty(root, tmp_path):
    made_files.mnist_files(tmp_path / "files")
    _accept("mnist", tmp_path / "files")
    for split in ("train", "valid"):
        with pytest.raises(ValueError, match="12 examples in train leave the split"):
            data.load("mnist", split)


def test_static_mnist_text_and_packed_agree(root):
    packed = root / "static_mnist"
    packed.mkdir()
    bits = np.random.RandomState(0).randint(0, 2, (4, 784), np.uint8)
    arrays = {}
    for part in ("train", "valid", "test"):
        arrays[part] = np.packbits(bits, axis=1)
        arrays[f"{part}_label_est"] = np.arange(4, dtype=np.uint8)
        text = "".join(" ".join(map(str, row)) + "\n" for row in bits)
        (packed / f"binarized_mnist_{part}.amat").write_text(text)
    _accept("static_mnist", packed)
    from_text = data.load("static_mnist", "valid")
    assert from_text.title == "the three .amat files"
    np.savez(packed / "static_mnist_packed.npz", **arrays)
    _accept("static_mnist", packed)
    from_bits = data.load("static_mnist", "valid")
    assert from_bits.title == "packed bits"
    np.testing.assert_array_equal(from_text.images, bits.reshape(-1, 28, 28))
    np.testing.assert_array_equal(from_bits.images, from_text.images)
    assert from_bits.digest() == from_text.digest()


def test_omniglot_chardata_stands_upright(root, tmp_path):
    from scipy.io import savemat

    images = made_files.grey_images(6) / 255
    # Columns are images, pixels in column-major order.
    columns = images.transpose(0, 2, 1).reshape(6, 784).T
    target = np.eye(50)[:, [4, 0, 2, 2, 49, 1]]
    folder = tmp_path / "files"
    folder.mkdir()
    arrays = {"data": columns, "testdata": columns[:, :2]}
    labels = {"target": target, "testtarget": target[:, :2]}
    savemat(folder / "chardata.mat", arrays | labels)
    _accept("omniglot", folder)
    train = data.load("omniglot", "train", convention="annealed")
    np.testing.assert_allclose(train.images, images, rtol=1e-6)
    np.testing.assert_allclose(train.intensities(), images, rtol=1e-6)
    assert train.labels.tolist() == [4, 0, 2, 2, 49, 1]
    assert train.title == "Omniglot-28 (chardata.mat)"
    assert len(data.load("omniglot", "test")) == 2
    # The transposed matrix is refused.
    savemat(folder / "chardata.mat", {"data": columns.T, "target": target})
    _accept("omniglot", folder)
    with pytest.raises(ValueError, match=r"expected \(784, N\)"):
        data.load("omniglot", "train", convention="annealed")


def test_freyfaces_matlab_file_equals_npz(root, tmp_path):
    from scipy.io import savemat

    images = made_files.grey_images(450, (28, 20))
    folder = tmp_path / "files"
    folder.mkdir()
    savemat(folder / "frey_rawface.mat", {"ff": images.reshape(450, 560).T})
    data.import_files("freyfaces", folder)
    from_mat = [data.load("freyfaces", split) for split in ("train", "valid", "test")]
    assert [len(one) for one in from_mat] == [50, 200, 200]
    np.savez(folder / "freyfaces.npz", images=images.reshape(450, 560))
    _accept("freyfaces", folder)
    from_npz = [data.load("freyfaces", split) for split in ("train", "valid", "test")]
    assert from_npz[0].title == "npz"
    for one, other in zip(from_mat, from_npz):
        np.testing.assert_array_equal(one.images, other.images)


def test_svhn(root, tmp_path):
    colour = made_files.svhn_files(tmp_path / "files", train=60, test=11, extra=1990)
    _accept("svhn", tmp_path / "files")
    test = data.load("svhn", "test")
    assert test.images.shape == (11, 32, 32)
    red, green, blue = np.moveaxis(colour["test"].astype(float), -1, 0)
    grey = 0.299 * red + 0.587 * green + 0.114 * blue
    assert np.abs(test.images - grey).max() <= 0.5 + 1e-9
    assert test.labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    train, valid = data.load("svhn", "train"), data.load("svhn", "valid")
    assert (len(train), len(valid)) == (50, 2000)
    joined = np.concatenate([train.images, valid.images]).reshape(2050, -1)
    assert len(np.unique(joined, axis=0)) == 2050


def test_svhn_without_extra(root, tmp_path):
    made_files.svhn_files(tmp_path / "files", train=2010, test=3)
    _accept("svhn", tmp_path / "files")
    assert len(data.load("svhn", "train", convention="without-extra")) == 10
    assert len(data.load("svhn", "test")) == 3
    with pytest.raises(data.MissingData, match=r"missing: .*extra_32x32\.mat"):
        data.load("svhn", "train")


def test_svhn_of_another_shape(root, tmp_path):
    from scipy.io import savemat

    folder = tmp_path / "files"
    folder.mkdir()
    for part in ("train", "test"):
        arrays = {"X": np.zeros((32, 32, 3), np.uint8), "y": np.ones((1, 1))}
        savemat(folder / f"{part}_32x32.mat", arrays)
    _accept("svhn", folder)
    with pytest.raises(ValueError, match=r"expected images \(32, 32, 3, N\)"):
        data.load("svhn", "test")


def test_celeba_shrink_is_bilinear_at_steps_of_two_and_a_half():
    # On a plane bilinear sampling is exact.
    rows, columns = np.mgrid[:218, :178]
    plane = ((rows + columns) / 2)[..., None].repeat(3, -1)
    at = 2.5 * np.arange(64)
    expected = (29 + at[:, None] + 9 + at) / 2
    np.testing.assert_array_equal(
        shrink(plane)[..., 1], np.floor(expected + 0.5).astype(np.uint8)
    )


def test_celeba_zip_folder_and_packed_agree(root, tmp_path):
    folder = tmp_path / "files"
    made_files.celeba_zip(folder)
    seen = []
    report = lambda *step: seen.append(step)
    data.import_files("celeba", folder, accept_other=True, progress=report)
    assert ("celeba_64.npy", 6, 6) in seen
    packed = {s: data.load("celeba", s) for s in ("train", "valid", "test")}
    assert [len(one) for one in packed.values()] == [3, 2, 1]
    assert packed["train"].title == "packed 64x64 array"
    assert packed["train"].images.shape == (3, 64, 64, 3)
    (root / "celeba" / "celeba_64.npy").unlink()
    assert data.load("celeba", "train").title == "zip of the aligned pictures"
    for split, one in packed.items():
        np.testing.assert_array_equal(data.load("celeba", split).images, one.images)
    # The same pictures in a folder.
    with zipfile.ZipFile(folder / "img_align_celeba.zip") as archive:
        archive.extractall(folder)
    (folder / "img_align_celeba.zip").unlink()
    (root / "celeba" / "img_align_celeba.zip").unlink()
    _accept("celeba", folder)
    (root / "celeba" / "celeba_64.npy").unlink()
    from_folder = data.load("celeba", "valid")
    assert from_folder.title == "folder of the aligned pictures"
    np.testing.assert_array_equal(from_folder.images, packed["valid"].images)


def test_celeba_bad_pictures(root, tmp_path):
    folder = tmp_path / "files"
    made_files.celeba_partition(folder, (0, 1, 2, 2))
    pictures = folder / "img_align_celeba"
    pictures.mkdir()
    (pictures / "000001.jpg").write_bytes(made_files.jpeg((64, 64)))
    (pictures / "000002.jpg").write_bytes(made_files.jpeg()[:200])
    (pictures / "000003.jpg").write_bytes(made_files.jpeg())
    with pytest.raises(ValueError, match=r"000001\.jpg.*expected \(218, 178, 3\)"):
        _accept("celeba", folder)
    assert not (root / "celeba" / "celeba_64.npy").exists()
    with pytest.raises(ValueError, match=r"000001\.jpg.*expected \(218, 178, 3\)"):
        data.load("celeba", "train")
    with pytest.raises(ValueError, match=r"000002\.jpg cannot be read"):
        data.load("celeba", "valid")
    with pytest.raises(ValueError, match=r"000004\.jpg cannot be read"):
        data.load("celeba", "test")


def test_celeba_array_must_fit_the_partition(root, tmp_path):
    folder = tmp_path / "files"
    made_files.celeba_partition(folder, (0, 1, 0, 1))
    array = made_files.grey_images(4, (64, 64, 3))
    np.save(folder / "celeba_64.npy", array)
    _accept("celeba", folder)
    # Parts need not be contiguous.
    np.testing.assert_array_equal(data.load("celeba", "train").images, array[[0, 2]])
    with pytest.raises(ValueError, match="names no pictures for 'test'"):
        data.load("celeba", "test")
    np.save(root / "celeba" / "celeba_64.npy", array[:3])
    with pytest.raises(ValueError, match="one picture per line"):
        data.load("celeba", "train")
    (root / "celeba" / "list_eval_partition.txt").write_text("000001.jpg\n")
    _accept("celeba", root / "celeba")
    with pytest.raises(ValueError, match="does not consist of lines"):
        data.load("celeba", "train")
