"""Downloads from a server on loopback: resumed, verified, renamed last."""

import errno
import hashlib
import socket

import numpy as np
import pytest

from taut import data
from taut.data import fetching

BODY = np.random.RandomState(0).bytes(1_000_000)
SUM = "sha256:" + hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def remote(known, root, server):
    """A dataset of one file on the server, and its folder."""
    server.files["file.bin"] = BODY

    def make(*urls, checksum=SUM, size=None):
        source = data.Source("file.bin", checksum, size, urls)
        piece = (("train", data.Piece(("all",))),)
        card = data.Card(
            name="remote",
            title="A remote file",
            shape=(2,),
            levels=None,
            about="",
            treatment="",
            licence="",
            reference="",
            page="http://its.page",
            conventions=(data.Convention("all", piece, (), ""),),
            layouts=(data.Layout("one file", (source,)),),
        )
        known(data.Dataset(card, lambda folder, layout, part: (np.ones((3, 2)), None)))
        return root / "remote"

    return make


def test_fetch_reports_progress_and_verifies(remote, server):
    folder = remote(server.url + "file.bin")
    seen = []
    result = data.fetch("remote", progress=lambda *step: seen.append(step))
    assert result.ok
    assert result.files[0].state is data.State.GOOD
    assert (folder / "file.bin").read_bytes() == BODY
    done = [step[1] for step in seen]
    assert done == sorted(done)
    assert seen[-1] == ("file.bin", len(BODY), len(BODY))
    assert sorted(path.name for path in folder.iterdir()) == ["file.bin"]
    # What is there is not fetched again.
    data.fetch("remote")
    assert len(server.asked) == 1


def test_fetch_goes_on_after_a_broken_connection(remote, server):
    folder = remote(server.url + "file.bin")
    server.drop_after = 400_000
    assert data.fetch("remote").ok
    assert (folder / "file.bin").read_bytes() == BODY
    (_, first), (_, second) = server.asked
    assert (first, second) == (None, "bytes=400000-")


def test_fetch_goes_on_in_another_run(remote, server):
    folder = remote(server.url + "file.bin")
    folder.mkdir()
    (folder / "file.bin.part").write_bytes(BODY[:123_456])
    seen = []
    assert data.fetch("remote", progress=lambda *step: seen.append(step)).ok
    assert server.asked == [("/file.bin", "bytes=123456-")]
    assert seen[0][1] > 123_456
    assert seen[-1] == ("file.bin", len(BODY), len(BODY))


def test_fetch_from_a_server_without_ranges(remote, server):
    folder = remote(server.url + "file.bin")
    server.ranges = False
    folder.mkdir()
    (folder / "file.bin.part").write_bytes(BODY[:1000])
    assert data.fetch("remote").ok
    assert (folder / "file.bin").read_bytes() == BODY


@pytest.mark.parametrize("size", [None, len(BODY)])
def test_fetch_with_everything_received_already(remote, server, size):
    folder = remote(server.url + "file.bin", size=size)
    folder.mkdir()
    (folder / "file.bin.part").write_bytes(BODY)
    assert data.fetch("remote").ok
    assert (folder / "file.bin").read_bytes() == BODY


def test_a_bad_beginning_is_thrown_away(remote, server):
    folder = remote(server.url + "file.bin")
    folder.mkdir()
    (folder / "file.bin.part").write_bytes(b"\0" * 1000)
    assert data.fetch("remote").ok
    assert [asked for _, asked in server.asked] == ["bytes=1000-", None]
    assert (folder / "file.bin").read_bytes() == BODY


def test_wrong_content_never_takes_the_name(remote, server):
    folder = remote(server.url + "file.bin")
    server.files["file.bin"] = b"<html>log in first</html>"
    with pytest.raises(data.FetchFailed, match="not the published file"):
        data.fetch("remote")
    assert list(folder.iterdir()) == []
    with pytest.raises(data.MissingData):
        data.load("remote", "train")


def test_the_next_mirror_is_tried(remote, server):
    remote(server.url + "gone.bin", server.url + "file.bin")
    assert data.fetch("remote").ok
    assert [path for path, _ in server.asked] == ["/gone.bin", "/file.bin"]


def test_no_network_says_what_to_do(remote, server):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}/file.bin"
    folder = remote(closed)
    with pytest.raises(data.FetchFailed) as caught:
        data.fetch("remote", timeout=5)
    message = str(caught.value)
    assert closed in message
    assert f"put them into {folder}" in message
    assert "taut data import remote --from DIR" in message


def test_a_file_with_wrong_content_is_not_overwritten(remote, server):
    folder = remote(server.url + "file.bin")
    folder.mkdir()
    (folder / "file.bin").write_bytes(b"something of mine")
    with pytest.raises(data.WrongChecksum, match="Delete it and run `taut data fetch"):
        data.fetch("remote")
    assert (folder / "file.bin").read_bytes() == b"something of mine"


def test_a_file_without_published_checksum(remote, server):
    remote(server.url + "file.bin", checksum=None)
    (report,) = data.fetch("remote").files
    assert report.state is data.State.UNKNOWN
    assert report.found == SUM


def test_a_full_disk_keeps_what_came(remote, server, monkeypatch):
    folder = remote(server.url + "file.bin")
    whole = fetching._write

    def full(file, chunk, partial):
        if file.tell() > 500_000:
            file = _Full()
        whole(file, chunk, partial)

    class _Full:
        def write(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetching, "_write", full)
    with pytest.raises(data.FetchFailed, match="No space left.*make room"):
        data.fetch("remote")
    kept = (folder / "file.bin.part").read_bytes()
    assert len(kept) > 500_000
    assert BODY.startswith(kept)
    monkeypatch.setattr(fetching, "_write", whole)
    assert data.fetch("remote").ok
    assert server.asked[-1] == ("/file.bin", f"bytes={len(kept)}-")


def test_a_whole_set_is_not_fetched_in_another_layout(root, tmp_path, monkeypatch):
    asked = []

    def refuse(request, **_):
        asked.append(request.full_url)
        raise OSError("no network here")

    monkeypatch.setattr(fetching.urllib.request, "urlopen", refuse)
    (root / "static_mnist").mkdir()
    (root / "static_mnist" / "static_mnist_packed.npz").write_bytes(b"any")
    data.import_files("static_mnist", root, accept_other=True)
    assert data.fetch("static_mnist").layout == "packed bits"
    assert asked == []
    # A stand-in does not keep the published file from being fetched.
    (root / "omniglot").mkdir()
    (root / "omniglot" / "omniglot_28_rebuilt.npz").write_bytes(b"any")
    data.import_files("omniglot", root, accept_other=True)
    with pytest.raises(data.FetchFailed, match="no network here"):
        data.fetch("omniglot")
    assert [url.rpartition("/")[2] for url in asked] == ["chardata.mat"]


def test_given_out_by_hand_only(root):
    with pytest.raises(data.FetchFailed, match="by hand at https://mmlab"):
        data.fetch("celeba")


def test_nothing_to_fetch(root):
    assert data.fetch("digits").ok


def test_a_folder_that_cannot_be_made(tmp_path, remote, server, monkeypatch):
    remote(server.url + "file.bin")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TAUT_DATA", str(tmp_path / "file"))
    with pytest.raises(PermissionError, match="Set TAUT_DATA to a folder"):
        data.fetch("remote")
