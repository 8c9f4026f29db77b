"""Exports the text encoder for Triton and ONNX Runtime.

``uv run -m rec_sys.text.encoder_export
--output_path=./triton_utils/model_repository/text_encoder/1/model.onnx``
"""

import argparse
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rec_sys.foundation import triton_config
from rec_sys.foundation.cli import CONFIG_DIR, graceful_exit
from rec_sys.foundation.console import note
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import read_json, sha256_of, write_json
from rec_sys.foundation.triton_config import MODEL_FILE, is_in_repository
from rec_sys.text.encoder import ENCODER_FINGERPRINT_KEY, TextEncoder
from rec_sys.text.onnx import (
    ENCODER_INPUTS,
    ENCODER_OUTPUT,
    FORMAT,
    LENGTH_STEP,
    MAX_DIFFERENCE,
    OPSET,
    SETTINGS_FILE,
    TOKENIZER_FILE,
    OnnxTextEncoder,
    add_metadata,
    quiet_export,
    require_agreement,
)

DEFAULT_OUTPUT = "triton_utils/model_repository/text_encoder/1/model.onnx"
#: Under which Triton tells its clients what the ONNX file's metadata hold.
PARAMETERS = {"encoder_fingerprint": ENCODER_FINGERPRINT_KEY}

#: Texts per batch that Triton joins at most.
MAX_BATCH_SIZE = 64
_PREFERRED_BATCH_SIZES = (8, 16, 32, 64)
_QUEUE_DELAY_MICROSECONDS = 500

_LARGEST_BATCH = 4096
_PROBES = (
    "",
    "Good.",
    "  Holds its tuning through a whole rehearsal,\n and the NECK feels comfortable!  ",
    "Ça sonne très bien — 音色很好 🎸, очень доволен; كل شيء جيد",
    "Too loud for a small flat, and the hum gets worse when it is warm. " * 4,
    "the strings broke " * 2000,
)


def export_encoder(encoder: TextEncoder, folder: str | Path) -> float:
    """Exports an encoder, and compares it with PyTorch in single precision.

    ``model.onnx``, ``tokenizer.json`` and ``encoder.json`` appear in the folder only if both
    agree. Other files in it are left alone.

    Args:
        encoder: The encoder; in which precision it runs does not matter.
        folder: Where the three files go; created if it is missing.

    Returns:
        The largest difference between any two numbers of the vectors.

    Raises:
        InputError: This encoder's tokenizer can only run in Python.
        RuntimeError: The exported encoder computes something else.
    """
    folder = Path(folder)
    tokenizer = encoder.model_folder / TOKENIZER_FILE
    if not tokenizer.is_file():
        raise InputError(
            f"{tokenizer}: no such file; an encoder without it cannot be exported, choose another"
        )
    model = encoder.load("fp32").to("cpu")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".text_encoder.", dir=folder) as name:
        drafts = Path(name)
        shutil.copyfile(tokenizer, drafts / TOKENIZER_FILE)
        settings = {
            "format": FORMAT,
            "encoder_fingerprint": encoder.model_fingerprint,
            "vector_dim": encoder.dimension,
            "max_length": encoder.max_length,
            "padding_id": read_json(encoder.model_folder / "config.json").get("pad_token_id") or 0,
            "tokenizer_sha256": sha256_of(tokenizer),
        }
        write_json(drafts / SETTINGS_FILE, settings)
        _export_onnx(model, drafts / MODEL_FILE, encoder)
        exported = OnnxTextEncoder(drafts)
        expected = encoder.encode_with(model, _PROBES)
        worst = float(np.abs(exported.encode(_PROBES) - expected).max())
        require_agreement(worst, "text encoder")
        for file in (TOKENIZER_FILE, SETTINGS_FILE, MODEL_FILE):
            os.replace(drafts / file, folder / file)
    return worst


def write_encoder_config(onnx_path: Path) -> Path:
    """Writes the ``config.pbtxt`` of an exported text encoder in a Triton repository.

    Args:
        onnx_path: ``<repository>/<model>/<version>/model.onnx``.

    Returns:
        The path of the ``config.pbtxt``.
    """
    return triton_config.write_triton_config(
        onnx_path,
        [
            f"max_batch_size: {MAX_BATCH_SIZE}",
            "# Requests of the same length, which clients round up, are joined.",
            "dynamic_batching {",
            f"  preferred_batch_size: [ {', '.join(map(str, _PREFERRED_BATCH_SIZES))} ]",
            f"  max_queue_delay_microseconds: {_QUEUE_DELAY_MICROSECONDS}",
            "}",
        ],
        PARAMETERS,
        dict.fromkeys(ENCODER_INPUTS, (LENGTH_STEP,)),
        is_batched=True,
    )


def _export_onnx(model: Any, path: Path, encoder: TextEncoder) -> None:
    import torch

    class SentenceEmbedding(torch.nn.Module):
        """Transformer, pooling and normalisation: tensors in, one tensor out."""

        def __init__(self) -> None:
            super().__init__()
            self.parts = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            features = {"input_ids": input_ids, "attention_mask": attention_mask}
            for part in self.parts:
                features = part(features)
            vectors = features["sentence_embedding"]
            return torch.nn.functional.normalize(vectors, dim=1)

    # Written out, attention exports to half the operators that the fused one decomposes into.
    transformer = model[0].auto_model
    fused = transformer.config._attn_implementation
    transformer.set_attn_implementation("eager")
    batch = torch.export.Dim("batch", min=1, max=_LARGEST_BATCH)
    length = torch.export.Dim("length", min=1, max=encoder.max_length)
    axes = {0: batch, 1: length}
    mask = torch.ones(3, min(7, encoder.max_length), dtype=torch.int64)
    mask[1, mask.shape[1] // 2 + 1 :] = 0
    try:
        with quiet_export():
            torch.onnx.export(
                SentenceEmbedding().eval(),
                (mask.clone(), mask),
                path,
                dynamo=True,
                opset_version=OPSET,
                input_names=list(ENCODER_INPUTS),
                output_names=[ENCODER_OUTPUT],
                dynamic_shapes=dict.fromkeys(ENCODER_INPUTS, axes),
                external_data=False,
                verbose=False,
            )
    finally:
        transformer.set_attn_implementation(fused)
    add_metadata(path, {ENCODER_FINGERPRINT_KEY: encoder.model_fingerprint})


def _read_encoder(overrides: Sequence[str]) -> TextEncoder:
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException

    try:
        with initialize_config_dir(str(CONFIG_DIR / "encoder"), version_base="1.3"):
            settings = compose("minilm", list(overrides))
    except HydraException as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{' '.join(overrides)}: cannot be set ({reason})") from None
    return TextEncoder(settings.model, "fp32", settings.max_length, "cpu", cache_dir="cache")


@graceful_exit
def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m rec_sys.text.encoder_export",
        description="Exports the text encoder to ONNX and completes the Triton repository.",
    )
    parser.add_argument(
        "overrides", nargs="*", help="of config/encoder/minilm.yaml: model=<folder> max_length=128"
    )
    parser.add_argument("--output_path", default=DEFAULT_OUTPUT, help="default: %(default)s")
    given = parser.parse_intermixed_args()
    path = Path(given.output_path)
    if path.name != MODEL_FILE:
        raise InputError(f"--output_path={path}: the file must be called {MODEL_FILE}")
    worst = export_encoder(_read_encoder(given.overrides), path.parent)
    note(f"maximum difference {worst:.1e} (at most {MAX_DIFFERENCE:.0e})")
    note(f"model: {path}, with {TOKENIZER_FILE} and {SETTINGS_FILE} beside it")
    if is_in_repository(path):
        note(f"Triton: {write_encoder_config(path)}")


if __name__ == "__main__":
    main()
