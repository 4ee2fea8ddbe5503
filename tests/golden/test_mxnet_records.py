"""Image records written and read by the real MXNet, which lives in an environment of its own: `make env-mxnet`."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recordio import ImageRecord, images, write_images
from recordio.image_lists import ListedImage, listed, write_list
from recordio.image_records import image_at, index

MXNET_PYTHON = Path(__file__).parents[2] / ".venv-mxnet" / "bin" / "python"

pytestmark = pytest.mark.skipif(not MXNET_PYTHON.exists(), reason="make env-mxnet installs the real MXNet")

MAGIC = (0xCED7230A).to_bytes(4, "little")


def mxnet(program: str, folder: Path) -> Any:
    """What the program prints, as JSON."""
    program = f"import json, mxnet as mx, numpy as np\n{program}"
    done = subprocess.run([MXNET_PYTHON, "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def some() -> list[ImageRecord]:
    contents = [
        b"",
        b"abc",
        MAGIC,
        b"abcd" + MAGIC,
        b"abcde" + MAGIC + b"fgh",
        MAGIC * 3 + b"x",
        b"ab" + MAGIC * 2 + b"cd" + MAGIC,
        np.random.default_rng(0).bytes(5_000_001),
        MAGIC * 1000,
    ]
    labels = [[2.5], [0.0, 1.0, 1.0], [-1.0]]
    return [
        ImageRecord(content, np.array(labels[number % 3], np.float32), 2**63 + number, number)
        for number, content in enumerate(contents)
    ]


def plain(image: ImageRecord) -> list[Any]:
    return [image.labels.tolist(), image.id, image.id2, image.content.hex()]


def test_mxnet_reads_our_records(tmp_path: Path) -> None:
    with (tmp_path / "a.rec").open("wb") as file, (tmp_path / "a.idx").open("wb") as lines:
        write_images(file, some(), lines)
    read = mxnet(
        "def plain(item):\n"
        "    header, content = mx.recordio.unpack(item)\n"
        "    return [np.ravel(header.label).tolist(), header.id, header.id2, content.hex()]\n"
        "front, keyed = mx.recordio.MXRecordIO('a.rec', 'r'), mx.recordio.MXIndexedRecordIO('a.idx', 'a.rec', 'r')\n"
        "print(json.dumps([[plain(item) for item in iter(front.read, None)],\n"
        "                  [plain(keyed.read_idx(key)) for key in reversed(keyed.keys)]]))",
        tmp_path,
    )
    expected = list(map(plain, some()))
    assert read == [expected, expected[::-1]]


def test_we_read_and_write_what_mxnet_writes(tmp_path: Path) -> None:
    (tmp_path / "records.json").write_text(json.dumps(list(map(plain, some()))))
    mxnet(
        "file = mx.recordio.MXIndexedRecordIO('a.idx', 'a.rec', 'w')\n"
        "for labels, id, id2, content in json.load(open('records.json')):\n"
        "    label = labels[0] if len(labels) == 1 else labels\n"
        "    header = mx.recordio.IRHeader(0, label, id, id2)\n"
        "    file.write_idx(id, mx.recordio.pack(header, bytes.fromhex(content)))\n"
        "file.close()\n"
        "print('null')",
        tmp_path,
    )
    assert [plain(image) for image in images(tmp_path / "a.rec")] == list(map(plain, some()))
    offsets = index(tmp_path / "a.idx")
    with (tmp_path / "a.rec").open("rb") as file:
        assert [plain(image_at(file, offsets[2**63 + number])) for number in (8, 5, 0)] == [
            plain(some()[number]) for number in (8, 5, 0)
        ]
    ours, lines = io.BytesIO(), io.BytesIO()
    write_images(ours, some(), lines)
    assert ours.getvalue() == (tmp_path / "a.rec").read_bytes()
    assert lines.getvalue() == (tmp_path / "a.idx").read_bytes()


def test_readers_of_mxnet_that_start_in_mid_file_find_our_records(tmp_path: Path) -> None:
    """Its iterator of images looks for the magic in its part of a file; the images here hold the magic, too."""
    image = pytest.importorskip("PIL.Image")
    written = []
    for number in range(60):
        png = io.BytesIO()
        pixels = np.full((8, 8, 3), number, np.uint8)
        image.fromarray(pixels).save(png, "png")
        content = png.getvalue() + bytes(-len(png.getvalue()) % 4) + (MAGIC + bytes([0, 1, 2, 0])) * 40
        written.append(ImageRecord(content, np.array([number], np.float32), number))
    with (tmp_path / "a.rec").open("wb") as file:
        write_images(file, written)
    found = mxnet(
        "found = []\n"
        "for part in range(7):\n"
        "    some = mx.io.ImageRecordIter(path_imgrec='a.rec', data_shape=(3, 8, 8), batch_size=1, num_parts=7,\n"
        "                                 part_index=part, preprocess_threads=1, round_batch=False)\n"
        "    for batch in some:\n"
        "        found.append([float(batch.label[0].asscalar()), float(batch.data[0].mean().asscalar())])\n"
        "print(json.dumps(found))",
        tmp_path,
    )
    assert sorted(found) == [[number, number] for number in range(60)]


def test_lists_of_images(tmp_path: Path) -> None:
    """mx.image.ImageIter reads our list; what it reads is what we read."""
    image = pytest.importorskip("PIL.Image")
    for number in range(3):
        image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(tmp_path / f"{number} ä.png")
    entries = [ListedImage(9 - number, np.array([number, 0.1], np.float32), f"{number} ä.png") for number in range(3)]
    with (tmp_path / "a.lst").open("wb") as file:
        write_list(file, entries)
    found = mxnet(
        "some = mx.image.ImageIter(1, (3, 8, 8), label_width=2, path_imglist='a.lst', path_root='.')\n"
        "print(json.dumps([[b.label[0].asnumpy()[0].tolist(), float(b.data[0].mean().asscalar())] for b in some]))",
        tmp_path,
    )
    assert found == [[image.labels.tolist(), float(image.path[0])] for image in listed(tmp_path / "a.lst")]
