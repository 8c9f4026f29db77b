import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from rec_sys.foundation.errors import InputError
from rec_sys.text import encoder_export
from rec_sys.text.encoder import ENCODER_FINGERPRINT_KEY
from rec_sys.text.encoder_export import export_encoder, main, run_embedded, write_embedded
from rec_sys.text.onnx import LENGTH_STEP, OnnxTextEncoder, TextTokenizer

TEXTS = [
    "Good.",
    "",
    "The neck feels comfortable and it holds its tuning. " * 3,
    "far too long " * 400,
    "Ça sonne bien — 音色很好 🎸 очень доволен",
    "  Spaces,\ttabs\nand a NUL\x00 inside ",
    "Good.",
    "w" * 5000,
]


@pytest.fixture(scope="module")
def onnx_encoder(exported_encoder):
    return OnnxTextEncoder(exported_encoder, threads=1)


def test_the_embedded_encoder_needs_no_export(encoder, tmp_path):
    write_embedded(encoder, tmp_path)
    expected = encoder.encode(TEXTS)
    for each in (run_embedded(encoder, threads=1), OnnxTextEncoder(tmp_path, threads=1)):
        assert each.encoder_fingerprint == encoder.model_fingerprint
        np.testing.assert_allclose(each.encode(TEXTS), expected, atol=1e-5)


def test_it_computes_what_the_encoder_computes(onnx_encoder, encoder):
    found = onnx_encoder.encode(TEXTS)
    assert found.shape == (len(TEXTS), 384) and found.dtype == np.float32
    np.testing.assert_allclose(found, encoder.encode(TEXTS), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert onnx_encoder.encoder_fingerprint == encoder.model_fingerprint
    assert onnx_encoder.vector_dim == encoder.dimension == 384


def test_batches_do_not_decide_results(exported_encoder, onnx_encoder):
    pairs = OnnxTextEncoder(exported_encoder, threads=1, batch_size=2)
    np.testing.assert_allclose(pairs.encode(TEXTS), onnx_encoder.encode(TEXTS), atol=1e-5)
    one = np.concatenate([onnx_encoder.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(one, onnx_encoder.encode(TEXTS), atol=1e-5)


def test_no_text_at_all(onnx_encoder):
    assert onnx_encoder.encode([]).shape == (0, 384)


def test_texts_that_are_none(onnx_encoder):
    with pytest.raises(InputError, match="text 1: is NoneType"):
        onnx_encoder.encode(["good", None])
    with pytest.raises(InputError, match="text 1: holds half of a surrogate pair"):
        onnx_encoder.encode(["good", "b\ud800d"])


@pytest.mark.parametrize("pad_to_step", [False, True])
def test_batches_hold_texts_of_similar_length(exported_encoder, encoder, pad_to_step):
    tokenizer = TextTokenizer(exported_encoder)
    texts = ["a " * number for number in (0, 1, 13, 14, 15, 16, 200, 253, 254, 255, 900, 3, 3)]
    reference = encoder.load("fp32").tokenizer
    seen = []
    for batch in tokenizer.batches(texts, 2, pad_to_step):
        assert 1 <= len(batch.rows) <= 2
        all_ids, masks = batch.inputs["input_ids"], batch.inputs["attention_mask"]
        assert all_ids.dtype == masks.dtype == np.int64
        lengths = masks.sum(axis=1)
        length = all_ids.shape[1]
        assert length == (
            -(-max(lengths) // LENGTH_STEP) * LENGTH_STEP if pad_to_step else max(lengths)
        )
        assert length - min(lengths) < LENGTH_STEP
        for row, ids, mask in zip(batch.rows, all_ids, masks, strict=True):
            expected = reference(texts[row], truncation=True, max_length=256)["input_ids"]
            assert ids[mask == 1].tolist() == expected
            assert not ids[mask == 0].any()
        seen += batch.rows.tolist()
    assert sorted(seen) == list(range(len(texts)))


def test_the_exported_files(exported_encoder, encoder):
    names = sorted(path.name for path in exported_encoder.iterdir())
    assert names == ["encoder.json", "model.onnx", "tokenizer.json"]
    session = onnxruntime.InferenceSession(str(exported_encoder / "model.onnx"))
    assert [(x.name, x.type, len(x.shape)) for x in session.get_inputs()] == [
        ("input_ids", "tensor(int64)", 2),
        ("attention_mask", "tensor(int64)", 2),
    ]
    (output,) = session.get_outputs()
    assert (output.name, output.shape[1]) == ("sentence_embedding", 384)
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata[ENCODER_FINGERPRINT_KEY] == encoder.model_fingerprint


def copied(folder, to):
    return shutil.copytree(folder, to, copy_function=shutil.os.link)


def test_files_that_do_not_belong_together(exported_encoder, tmp_path):
    with pytest.raises(InputError, match="encoder.json: no such file; export"):
        OnnxTextEncoder(tmp_path)

    folder = copied(exported_encoder, tmp_path / "other_encoder")
    settings = json.loads((folder / "encoder.json").read_text())
    (folder / "encoder.json").unlink()
    (folder / "encoder.json").write_text(json.dumps(settings | {"encoder_fingerprint": "f" * 64}))
    with pytest.raises(InputError, match="model.onnx: is not the encoder that the files beside"):
        OnnxTextEncoder(folder)
    (folder / "encoder.json").write_text(json.dumps(settings | {"tokenizer_sha256": "f" * 64}))
    with pytest.raises(InputError, match="tokenizer.json: is not the tokenizer"):
        OnnxTextEncoder(folder)
    unreadable = "not an exported text encoder of this version"
    for wrong, message in (
        ({"max_length": True}, unreadable),
        ({"max_length": 0}, unreadable),
        ({"max_length": 1 << 40}, unreadable),
        ({"format": 2}, unreadable),
        ({"vector_dim": "384"}, unreadable),
        ({"vector_dim": 385}, ".*its longest text has no 385 numbers"),
        ({"max_length": 1}, "its max_length has no room for a text"),
        ({"max_length": 513}, "cannot be used .*; export"),
        ({"padding_id": 10**6}, "cannot be used .*; export"),
    ):
        (folder / "encoder.json").write_text(json.dumps(settings | wrong))
        with pytest.raises(InputError, match=f"encoder.json: {message}"):
            OnnxTextEncoder(folder)
    (folder / "encoder.json").write_text(json.dumps(settings))
    (folder / "model.onnx").unlink()
    with pytest.raises(InputError, match="model.onnx: no such file"):
        OnnxTextEncoder(folder)
    (folder / "model.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="not a readable ONNX model"):
        OnnxTextEncoder(folder)


def test_an_encoder_that_differs_is_not_left_behind(
    encoder, exported_encoder, tmp_path, monkeypatch
):
    exported = exported_encoder / "model.onnx"
    monkeypatch.setattr(
        encoder_export.onnx_files, "write_onnx", lambda _, path, **__: shutil.copy(exported, path)
    )
    monkeypatch.setattr("rec_sys.foundation.onnx.MAX_DIFFERENCE", -1.0)
    (tmp_path / "model.onnx").write_text("the old one")
    with pytest.raises(RuntimeError, match="differs from PyTorch"):
        export_encoder(encoder, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert (tmp_path / "model.onnx").read_text() == "the old one"


def test_an_encoder_without_a_fast_tokenizer(tmp_path):
    with pytest.raises(InputError, match="tokenizer.json: no such file; an encoder without it"):
        export_encoder(SimpleNamespace(model_folder=tmp_path), tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output_path=encoder.onnx"], "must be called model.onnx"),
        (["nothing=1", "--output_path=out/model.onnx"], "encoder.nothing: no such setting"),
        (["max_length=2", "--output_path=out/model.onnx"], "must be at least 3"),
        (
            ["max_length=513", "--output_path=out/model.onnx"],
            "must be at most 512",
        ),
    ],
)
def test_bad_arguments_are_named(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["encoder_export", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_encoding_needs_no_pytorch():
    program = (
        "import sys, rec_sys.text.onnx, triton_utils.backends;"
        "slow = {'torch', 'torch_geometric', 'transformers', 'sentence_transformers', 'onnx'};"
        "print(sorted(slow & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
