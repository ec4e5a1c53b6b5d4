"""Each reader against files made here, and against what is wrong with files."""

import gzip
import struct

import made_files
import numpy as np
import pytest

from taut.data import formats


def test_idx_comes_back(tmp_path):
    images = made_files.grey_images(3)
    path = tmp_path / "images.gz"
    path.write_bytes(made_files.idx_images(images))
    np.testing.assert_array_equal(formats.read_idx(path), images)
    path.write_bytes(gzip.decompress(path.read_bytes()))
    np.testing.assert_array_equal(formats.read_idx(path), images)
    path.write_bytes(made_files.idx_labels([3, 1, 4]))
    assert formats.read_idx_labels(path).tolist() == [3, 1, 4]


def test_labels_are_no_images(tmp_path):
    path = tmp_path / "file.gz"
    path.write_bytes(made_files.idx_labels([3, 1, 4]))
    with pytest.raises(ValueError, match="holds labels"):
        formats.read_idx(path)
    path.write_bytes(made_files.idx_images(made_files.grey_images(2)))
    with pytest.raises(ValueError, match="not an idx file of labels"):
        formats.read_idx_labels(path)


def test_idx_cut_short(tmp_path):
    path = tmp_path / "images.gz"
    whole = made_files.idx_images(made_files.grey_images(3))
    path.write_bytes(whole[:-20])
    with pytest.raises(ValueError, match="damaged or cut short"):
        formats.read_idx(path)
    path.write_bytes(struct.pack(">4I", 0x803, 3, 28, 28) + bytes(100))
    with pytest.raises(ValueError, match="promises 2352 values"):
        formats.read_idx(path)
    path.write_bytes(b"<html>no such file</html>")
    with pytest.raises(ValueError, match="not an idx file"):
        formats.read_idx(path)


def test_amat(tmp_path):
    bits = np.random.RandomState(0).randint(0, 2, (5, 784), np.uint8)
    path = tmp_path / "rows.amat"
    path.write_text("".join(" ".join(map(str, row)) + "\n" for row in bits))
    np.testing.assert_array_equal(formats.read_amat(path, 784), bits)


@pytest.mark.parametrize("text", ["", "0 1 2 0\n", "0,1,1,0\n", "0 1 1\n", "0 1 1 0 "])
def test_amat_refused(tmp_path, text):
    path = tmp_path / "rows.amat"
    path.write_text(text)
    with pytest.raises(ValueError, match="rows of"):
        formats.read_amat(path, 4)


def test_mat(tmp_path):
    from scipy.io import savemat

    path = tmp_path / "arrays.mat"
    savemat(path, {"X": np.arange(6).reshape(2, 3)}, do_compression=True)
    (found,) = formats.read_mat(path, "X")
    np.testing.assert_array_equal(found, [[0, 1, 2], [3, 4, 5]])
    with pytest.raises(ValueError, match="no array 'data'; it has: none"):
        formats.read_mat(path, "data")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="cannot be read as a MATLAB file"):
        formats.read_mat(path, "X")
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(512))
    with pytest.raises(ValueError, match=r"format 7\.3"):
        formats.read_mat(path, "X")


def test_npz(tmp_path):
    path = tmp_path / "arrays.npz"
    np.savez_compressed(path, images=np.arange(4), odd=np.array([{}], object))
    assert formats.read_npz(path, "images")[0].tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="no array 'labels'; it has: images, odd"):
        formats.read_npz(path, "labels")
    with pytest.raises(ValueError, match="allow_pickle"):
        formats.read_npz(path, "odd")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="cannot be read as an npz"):
        formats.read_npz(path, "images")


def test_images_of_the_right_shape():
    flat = np.zeros((3, 784), np.uint8)
    assert formats.as_images(flat, (28, 28), "here").shape == (3, 28, 28)
    with pytest.raises(ValueError, match=r"shape \(32, 32\); expected \(28, 28\)"):
        formats.as_images(np.zeros((3, 32, 32)), (28, 28), "here")
    for labels in (np.zeros(3), np.zeros((3, 1))):
        with pytest.raises(ValueError, match="look like labels"):
            formats.as_images(labels, (28, 28), "here")
    with pytest.raises(ValueError, match="here is empty"):
        formats.as_images(np.zeros((0, 28, 28)), (28, 28), "here")


def test_values_in_range():
    formats.check_values(np.array([0, 16], np.uint8), 17, "here")
    formats.check_values(np.array([0.0, 1.0]), 256, "here")
    formats.check_values(np.array([-9.0, 9.0]), None, "here")
    for bad in (np.array([0, 17], np.uint8), np.array([0.0, 1.5]), np.array([np.nan])):
        with pytest.raises(ValueError, match="expected"):
            formats.check_values(bad, 17, "here")
