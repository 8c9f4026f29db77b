import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import BertConfig, BertModel

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import read_kept, write_kept
from rec_sys.text import batching
from rec_sys.text.encoder import TextEncoder, locate_model
from rec_sys.text.store import VectorStore, encode_texts

TEXTS = [
    "Holds its tuning.",
    "",
    "The neck feels comfortable, and after an hour of playing my fingers are still fine.",
    "hum " * 400,
    "Bad.",
    "Holds its tuning.",
    "Ça sonne très bien — 音色很好 🎸",
    "I bought this for my daughter's first lessons; she loves the colour. " * 3,
]
MAX_TURN = 1e-3


def text_encoder(precision="fp32", **settings):
    return TextEncoder("embedded", precision, 256, "cpu", "never written to", **settings)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A folder with a text encoder of one layer and 32 numbers."""
    folder, embedded = tmp_path_factory.mktemp("encoder") / "tiny", locate_model("embedded")
    shutil.copytree(embedded, folder, ignore=lambda *_: ["model.safetensors"])
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = json.loads((folder / "config.json").read_text()) | sizes | {"intermediate_size": 32}
    BertModel(BertConfig(**config)).save_pretrained(folder)
    rewrite(folder / "1_Pooling" / "config.json", word_embedding_dimension=32)
    return folder


@pytest.fixture
def folder(tiny, tmp_path):
    return shutil.copytree(tiny, tmp_path / "model")


def rewrite(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_weights(folder, change):
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, {"format": "pt"})


def encoder_in(folder):
    return TextEncoder(str(folder), "fp32", 256, "cpu", folder / "cache")


def test_an_encoder_of_ones_own(folder):
    vectors = encoder_in(folder).encode(TEXTS)
    assert vectors.shape == (len(TEXTS), 32)
    np.testing.assert_array_equal(vectors, encoder_in(folder).encode(TEXTS))


@pytest.mark.parametrize(
    ("instructions", "measured"), [("avx2 fma", False), ("avx512_bf16 amx_bf16", True)]
)
def test_precisions_are_compared_once_and_only_where_bf16_may_be_faster(
    folder, tmp_path, monkeypatch, instructions, measured
):
    read_text = Path.read_text
    told = {Path("/proc/cpuinfo"): f"model name\t: a CPU\nflags\t\t: {instructions}\n"}
    monkeypatch.setattr(
        Path,
        "read_text",
        lambda path, *how, **also: told.get(path) or read_text(path, *how, **also),
    )
    for _ in range(2):
        found = TextEncoder(str(folder), "auto", 256, "cpu", tmp_path / "cache").precision
        kept = list((tmp_path / "cache").rglob("*.json"))
        assert len(kept) == measured
        assert found == (read_kept(kept[0])["precision"] if measured else "fp32")
        if measured:  # as a slower machine would have it
            write_kept(kept[0], read_kept(kept[0]) | {"precision": "bf16"})


@pytest.mark.parametrize("content", [b"", b"garbage", pickle.dumps({"a": 1}, 2), b"\x80\x02]."])
def test_weights_that_are_none_are_told(folder, content):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(InputError, match="model: cannot be used .*name a folder"):
        encoder_in(folder).encode(["a"])


@pytest.mark.parametrize("kept", [0, 5])
def test_no_random_numbers_stand_for_weights_that_are_missing(folder, kept):
    change_weights(folder, lambda weights: dict(list(weights.items())[:kept]))
    with pytest.raises(InputError, match="model: cannot be used .*weights are missing"):
        encoder_in(folder).encode(["a"])


def test_weights_that_are_no_numbers_are_told(folder):
    change_weights(folder, lambda weights: {name: each * np.nan for name, each in weights.items()})
    with pytest.raises(InputError, match="model: its vectors are not 32 numbers"):
        encoder_in(folder).encode(["a"])


def test_vectors_of_another_width_are_told(folder):
    rewrite(folder / "1_Pooling" / "config.json", pooling_mode_cls_token=True)
    with pytest.raises(InputError, match="model: its vectors are not 32 numbers"):
        encoder_in(folder).encode(["a"])


def test_modules_that_make_no_vector_are_told(folder):
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(modules[:1]))
    with pytest.raises(InputError, match="model: "):
        encoder_in(folder).encode(["a"])


def test_all_that_decides_a_vector_is_part_of_the_identity(folder):
    known = {encoder_in(folder).model_fingerprint}
    (folder / "2_Dense").mkdir()
    for name in ("2_Dense/model.safetensors", "2_Dense/config.json", "sentencepiece.bpe.model"):
        (folder / name).write_bytes(b"x")
        known.add(encoder_in(folder).model_fingerprint)
    rewrite(folder / "config_sentence_transformers.json", prompts={"a": "b"})
    known.add(encoder_in(folder).model_fingerprint)
    assert len(known) == 5
    (folder / "README.md").write_text("of another day")
    assert encoder_in(folder).model_fingerprint in known


@pytest.mark.parametrize("name", ["modules.json", "config.json"])
def test_a_pipe_among_the_files_is_told(folder, name):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(InputError, match=f"{name}: is no regular file"):
        encoder_in(folder).encode(["a"])
    with pytest.raises(InputError, match=f"{name}: is no regular file"):
        encoder_in(folder).model_fingerprint  # noqa: B018


@pytest.mark.parametrize("name", ["hidden_size", "max_position_embeddings"])
@pytest.mark.parametrize("value", ["384", [384], -1, True, 2**70, 1.5])
def test_sizes_that_are_none_are_told(tmp_path, name, value):
    told = {"hidden_size": 384, "max_position_embeddings": 512, name: value}
    (tmp_path / "config.json").write_text(json.dumps(told))
    with pytest.raises(InputError, match=f"config.json: its {name} is no size"):
        TextEncoder(str(tmp_path), "fp32", 256, "cpu", tmp_path).dimension  # noqa: B018


@pytest.mark.parametrize("content", ["[]", "5", "{}"])
def test_settings_that_tell_no_size_are_told(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match="config.json: "):
        TextEncoder(str(tmp_path), "fp32", 256, "cpu", tmp_path).dimension  # noqa: B018


@pytest.fixture(scope="module", params=["fp32", "bf16"])
def either(request):
    return text_encoder(request.param)


def cosines(one, other):
    return (one * other).sum(axis=1)


def test_vectors_are_those_of_sentence_transformers(encoder):
    found = encoder.encode(TEXTS)
    assert found.dtype == np.float32
    expected = encoder.load("fp32").encode(TEXTS, batch_size=len(TEXTS))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_vector_does_not_depend_on_its_company(either, monkeypatch):
    together = either.encode(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    alone = np.concatenate([either.encode([text]) for text in TEXTS])
    assert cosines(together, alone).min() > 1 - MAX_TURN
    backwards = either.encode(TEXTS[::-1])[::-1]
    assert cosines(together, backwards).min() > 1 - MAX_TURN
    monkeypatch.setattr(batching, "WINDOW_TEXTS", 3)
    assert cosines(together, either.encode(TEXTS)).min() > 1 - MAX_TURN


@pytest.mark.parametrize("budget", [1, 40, 100_000])
def test_the_budget_decides_nothing_but_the_batches(encoder, budget):
    other = text_encoder(batch_tokens=budget)
    batches = list(other.encode_in_batches(TEXTS))
    assert sorted(np.concatenate([rows for rows, _ in batches]).tolist()) == [*range(len(TEXTS))]
    assert all(vectors.shape == (len(rows), 384) for rows, vectors in batches)
    if budget == 1:
        assert len(batches) == len(TEXTS)
    assert cosines(other.encode(TEXTS), encoder.encode(TEXTS)).min() > 1 - MAX_TURN
    assert (other.fingerprint, other.model_fingerprint) == (
        encoder.fingerprint,
        encoder.model_fingerprint,
    )


def test_what_is_beyond_the_maximum_length_is_cut_off():
    short = TextEncoder("embedded", "fp32", 8, "cpu", "never written to")
    words = "one two three four five six"
    cut, same = short.encode([f"{words} seven eight nine", words])
    np.testing.assert_allclose(cut, same, atol=1e-5)


def test_the_prompt_of_another_model(encoder):
    model = encoder.load("fp32")
    model.prompts, model.default_prompt_name = {"review": "Review: "}, "review"
    expected = model.encode(TEXTS)
    np.testing.assert_allclose(encoder.encode(TEXTS, model), expected, atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_is_that_of_the_tokenizer(encoder, side):
    tokenizer = encoder.load("fp32").tokenizer
    tokenizer.padding_side = side
    tokens = dict(tokenizer(TEXTS[:3]))
    for name, expected in tokenizer.pad(tokens, return_tensors="pt").items():
        assert torch.equal(batching.pad(tokens[name], name, tokenizer), expected)


def test_without_texts_no_weights_are_loaded(monkeypatch):
    fresh = text_encoder()
    monkeypatch.setattr(fresh, "load", None)
    assert fresh.encode([]).shape == (0, 384)
    assert list(fresh.encode_in_batches([])) == []


def test_the_number_of_threads_is_given_back(encoder):
    threads = torch.get_num_threads()
    encoder.encode(TEXTS)
    batches = encoder.encode_in_batches(TEXTS)
    next(batches)
    batches.close()
    assert torch.get_num_threads() == threads


def test_a_broken_pass_is_told(encoder, monkeypatch):
    def broken(*_):
        raise RuntimeError("out of memory")

    model = encoder.load("fp32")
    monkeypatch.setattr(model, "forward", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        encoder.encode(TEXTS, model)


def test_each_batch_is_stored_when_it_is_done(encoder, tmp_path, monkeypatch):
    fresh = text_encoder(batch_tokens=1)
    store = VectorStore(tmp_path, fresh.fingerprint, fresh.dimension)
    monkeypatch.setattr(store, "append", interrupted_after(store.append, 3))
    with pytest.raises(KeyboardInterrupt):
        encode_texts(TEXTS, fresh, store)
    store = VectorStore(tmp_path, fresh.fingerprint, fresh.dimension)
    assert len(store) == 1 + 3
    rows, newly_encoded = encode_texts(TEXTS, fresh, store)
    assert newly_encoded == len({*TEXTS} - {""}) - 3
    stored = store.vectors[rows].astype(np.float32)
    expected = encoder.encode(TEXTS)
    expected[TEXTS.index("")] = 0
    np.testing.assert_allclose(stored, expected, atol=1e-3)


def interrupted_after(append, batches):
    done = 0

    def counting(*arguments):
        nonlocal done
        if done == batches:
            raise KeyboardInterrupt
        done += 1
        append(*arguments)

    return counting


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "many"])
def test_a_wrong_budget_is_refused(wrong):
    with pytest.raises(InputError, match="encoder.batch_tokens"):
        text_encoder(batch_tokens=wrong)
