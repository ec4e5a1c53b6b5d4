"""Small files in the formats of the real ones, and a web server to fetch them from."""

import contextlib
import gzip
import http.server
import io
import struct
import threading
import zipfile

import numpy as np

COUNTS = {"train": 12, "test": 5}


def grey_images(count, shape=(28, 28), seed=0):
    return np.random.RandomState(seed).randint(0, 256, (count, *shape), np.uint8)


def idx_images(images):
    return gzip.compress(struct.pack(">4I", 0x803, *images.shape) + images.tobytes())


def idx_labels(labels):
    return gzip.compress(struct.pack(">2I", 0x801, len(labels)) + bytes(labels))


def mnist_files(folder, count=12):
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, seed in (("train", 1), ("t10k", 2)):
        images = grey_images(count, seed=seed)
        labels = [i % 10 for i in range(count)]
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(idx_images(images))
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(idx_labels(labels))


def svhn_files(folder, **counts):
    """MATLAB files with compressed arrays (format 7), zeros labelled 10."""
    from scipy.io import savemat

    folder.mkdir(parents=True, exist_ok=True)
    colour = {}
    for seed, (part, count) in enumerate(counts.items()):
        colour[part] = grey_images(count, (32, 32, 3), seed)
        labels = (np.arange(count) % 10 + 1)[:, None].astype(np.uint8)
        arrays = {"X": colour[part].transpose(1, 2, 3, 0), "y": labels}
        savemat(folder / f"{part}_32x32.mat", arrays, do_compression=True)
    return colour


def jpeg(size=(178, 218), seed=0):
    """A smooth coloured picture, `size` as width and height."""
    from PIL import Image

    small = np.random.RandomState(seed).randint(0, 256, (6, 5, 3), np.uint8)
    picture = Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def celeba_partition(folder, numbers):
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{i + 1:06d}.jpg {number}\n" for i, number in enumerate(numbers)]
    (folder / "list_eval_partition.txt").write_text("".join(lines))


def celeba_zip(folder, numbers=(0, 0, 0, 1, 1, 2)):
    celeba_partition(folder, numbers)
    with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
        for i in range(len(numbers)):
            archive.writestr(f"img_align_celeba/{i + 1:06d}.jpg", jpeg(seed=i))


class Server:
    """Files by path, how to misbehave, and what was asked."""

    def __init__(self, address):
        self.url = f"http://127.0.0.1:{address[1]}/"
        self.files = {}
        self.drop_after = None  # close the connection after so many bytes, once
        self.ranges = True
        self.asked = []


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        state = self.server.state
        wanted = self.headers.get("Range")
        state.asked.append((self.path, wanted))
        if self.path[1:] not in state.files:
            self.send_error(404)
            return
        body = state.files[self.path[1:]]
        start = 0
        if wanted and state.ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/*")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        rest = body[start:]
        if state.drop_after is not None:
            rest, state.drop_after = rest[: state.drop_after], None
        self.wfile.write(rest)
        self.close_connection = True

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serve():
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.state = Server(running.server_address)
    thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield running.state
    finally:
        running.shutdown()
        running.server_close()
        thread.join()
