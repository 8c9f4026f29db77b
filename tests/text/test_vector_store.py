import errno
import os

import numpy as np
import pytest

from rec_sys.foundation.errors import InputError
from rec_sys.text.store import EMPTY_TEXT_ROW, VectorStore, encode_texts

DIMENSION = 4


class CountingEncoder:
    """Encodes a text as its length; counts texts; breaks on request."""

    def __init__(self, break_after=None):
        self.encoded = []
        self.break_after = break_after

    def encode(self, texts):
        if self.break_after is not None and len(self.encoded) >= self.break_after:
            raise KeyboardInterrupt
        self.encoded += texts
        return np.array([[len(text)] * DIMENSION for text in texts], dtype=np.float32)

    def encode_in_batches(self, texts):
        for first in range(0, len(texts), 2):
            rows = np.arange(first, min(first + 2, len(texts)))[::-1]
            yield rows, self.encode([texts[row] for row in rows])


def open_store(folder):
    return VectorStore(folder, "fingerprint", DIMENSION)


def test_each_distinct_text_is_encoded_once_and_never_again(tmp_path):
    texts = ["good", "", "bad", "good", "so so", ""]
    encoder = CountingEncoder()
    store = open_store(tmp_path)
    rows, newly_encoded = encode_texts(texts, encoder, store)
    assert sorted(encoder.encoded) == ["bad", "good", "so so"]
    assert newly_encoded == 3
    assert store.vectors[rows][:, 0].tolist() == [4, 0, 3, 4, 5, 0]
    assert rows[1] == EMPTY_TEXT_ROW

    again = CountingEncoder()
    same, _ = encode_texts(texts, again, open_store(tmp_path))
    assert again.encoded == [] and same.tolist() == rows.tolist()


def test_an_interruption_loses_one_batch_at_most(tmp_path):
    texts = ["a", "bb", "ccc", "dddd", "eeeee"]
    with pytest.raises(KeyboardInterrupt):
        encode_texts(texts, CountingEncoder(break_after=2), open_store(tmp_path))
    rest = CountingEncoder()
    encode_texts(texts, rest, open_store(tmp_path))
    assert sorted(rest.encoded) == ["ccc", "dddd", "eeeee"]


def test_the_bar_tells_the_share_that_the_store_held(tmp_path, capsys):
    store = open_store(tmp_path)
    encode_texts(["a", "bb", "ccc"], CountingEncoder(), store)
    encode_texts(["a", "bb", "", "ccc", "a", "dddd"], CountingEncoder(), store)
    printed = capsys.readouterr().err
    assert "75% found in the store" in printed and "1/1" in printed and "text" in printed


@pytest.mark.parametrize("torn", ["vectors.f16", "keys.bin", "sums.u32"])
def test_a_torn_tail_is_overwritten(tmp_path, torn):
    store = open_store(tmp_path)
    store.append(["a"], np.full((1, DIMENSION), 1.0))
    with open(tmp_path / torn, "ab") as file:
        file.write(b"xyz")
    store = open_store(tmp_path)
    store.append(["b"], np.full((1, DIMENSION), 2.0))
    store = open_store(tmp_path)
    assert store.vectors[store.rows_of(["a", "b", "c"])[:2]][:, 0].tolist() == [1, 2]
    assert store.rows_of(["c"]).tolist() == [-1]


def test_a_full_disk_is_told_by_the_file_that_is_on_it(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    store = open_store(tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError) as told:
        store.append(["a"], np.full((1, DIMENSION), 1.0))
    assert told.value.filename == str(tmp_path / "vectors.f16")
    assert told.value.errno == errno.ENOSPC


def test_two_writers_share_a_folder(tmp_path):
    one, two = open_store(tmp_path), open_store(tmp_path)
    one.append(["a"], np.full((1, DIMENSION), 1.0))
    two.append(["a", "b"], np.full((2, DIMENSION), 9.0))
    assert two.vectors[two.rows_of(["a", "b"])][:, 0].tolist() == [1, 9]


def test_a_store_of_another_encoder_is_refused(tmp_path):
    open_store(tmp_path)
    with pytest.raises(InputError, match="another text encoder"):
        VectorStore(tmp_path, "other", DIMENSION)


def test_wrong_shape_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected"):
        open_store(tmp_path).append(["a"], np.zeros((1, DIMENSION + 1)))


TEXTS = [f"{'x' * number}" for number in range(1, 9)]


def vectors_of(folder, texts=TEXTS):
    """The first number of each vector, and how many texts had to be encoded for it."""
    encoder, store = CountingEncoder(), open_store(folder)
    rows, _ = encode_texts(["", *texts], encoder, store)
    return store.vectors[rows][:, 0].tolist(), len(encoder.encoded)


def truncated(path, size):
    with path.open("r+b") as file:
        file.truncate(size)


def flipped(path, place):
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ 1]))


ROW = 2 * DIMENSION


@pytest.mark.parametrize(
    ("damage", "lost"),
    [
        (lambda folder: truncated(folder / "vectors.f16", 3 * ROW + 1), 6),
        (lambda folder: truncated(folder / "vectors.f16", 0), 8),
        (lambda folder: (folder / "vectors.f16").unlink(), 8),
        (lambda folder: flipped(folder / "vectors.f16", 4 * ROW + 3), 1),
        (lambda folder: flipped(folder / "sums.u32", 4 * 4), 1),
        (lambda folder: flipped(folder / "vectors.f16", 1), 0),  # the empty text's
        (lambda folder: truncated(folder / "keys.bin", 16 * 5 + 3), 4),
        (lambda folder: (folder / "sums.u32").unlink(), 8),
        (lambda folder: None, 0),
    ],
)
def test_damaged_vectors_are_encoded_again_and_it_is_said(tmp_path, damage, lost, capsys):
    right = vectors_of(tmp_path)[0]
    assert right == [0, *range(1, 9)]
    capsys.readouterr()
    damage(tmp_path)
    open_store(tmp_path)  # a look alone mends nothing
    assert vectors_of(tmp_path) == (right, lost)
    is_said = "damaged vectors; their texts are encoded again" in capsys.readouterr().out
    assert is_said == (lost not in (0, 4))
    assert vectors_of(tmp_path) == (right, 0)


def test_a_hole_that_a_crash_left_is_no_vector(tmp_path):
    vectors_of(tmp_path)
    truncated(tmp_path / "vectors.f16", 2 * ROW)
    truncated(tmp_path / "vectors.f16", 9 * ROW)  # grows again, with zeros
    assert vectors_of(tmp_path) == ([0, *range(1, 9)], 7)


def test_a_pipe_in_the_folder_is_not_waited_for(tmp_path):
    encode_texts(["good"], CountingEncoder(), open_store(tmp_path))
    (tmp_path / "vectors.f16").unlink()
    os.mkfifo(tmp_path / "vectors.f16")
    with pytest.raises(InputError, match="vectors.f16: is no regular file"):
        open_store(tmp_path)
