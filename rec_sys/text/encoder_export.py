"""Exports the text encoder for Triton and ONNX: ``uv run -m rec_sys.text.encoder_export``."""

import argparse
import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from rec_sys.foundation.cli import compose_config, graceful_exit
from rec_sys.foundation.console import note
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import write_json
from rec_sys.foundation.onnx import MAX_DIFFERENCE, MODEL_FILE, require_agreement, write_onnx
from rec_sys.foundation.settings import build
from rec_sys.text import onnx
from rec_sys.text.encoder import ENCODER_FINGERPRINT_KEY, TextEncoder

DEFAULT_OUTPUT = "triton_utils/model_repository/text_encoder/1/model.onnx"

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
    """Exports an encoder, in whatever precision it runs, and compares it with PyTorch in fp32.

    ``model.onnx``, ``tokenizer.json`` and ``encoder.json`` appear in the folder only if both agree.
    Returns the largest difference of any two numbers. InputError if the tokenizer can only run in
    Python; RuntimeError if the exported encoder computes something else.
    """
    folder = Path(folder)
    tokenizer = encoder.model_folder / onnx.TOKENIZER_FILE
    if not tokenizer.is_file():
        why = "no such file; an encoder without it cannot be exported, choose another"
        raise InputError(f"{tokenizer}: {why}")
    model = encoder.load("fp32").to("cpu")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".text_encoder.", dir=folder) as name:
        drafts = Path(name)
        shutil.copyfile(tokenizer, drafts / onnx.TOKENIZER_FILE)
        write_json(drafts / onnx.SETTINGS_FILE, asdict(onnx.exported_settings(encoder)))
        _export_onnx(model, drafts / MODEL_FILE, encoder)
        expected = encoder.encode(_PROBES, model)
        worst = float(np.abs(onnx.OnnxTextEncoder(drafts).encode(_PROBES) - expected).max())
        require_agreement(worst, "text encoder")
        for file in (onnx.TOKENIZER_FILE, onnx.SETTINGS_FILE, MODEL_FILE):
            os.replace(drafts / file, folder / file)
    return worst


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
            return torch.nn.functional.normalize(features["sentence_embedding"], dim=1)

    batch = torch.export.Dim("batch", min=1, max=_LARGEST_BATCH)
    length = torch.export.Dim("length", min=1, max=encoder.max_length)
    mask = torch.ones(3, min(7, encoder.max_length), dtype=torch.int64)
    mask[1, mask.shape[1] // 2 + 1 :] = 0
    # Written out, attention exports to half the operators that the fused one decomposes into.
    transformer = model[0].auto_model
    fused = transformer.config._attn_implementation
    transformer.set_attn_implementation("eager")
    try:
        write_onnx(
            SentenceEmbedding().eval(),
            path,
            inputs=dict(zip(onnx.ENCODER_INPUTS, (mask.clone(), mask), strict=True)),
            outputs=[onnx.ENCODER_OUTPUT],
            dynamic_shapes=dict.fromkeys(onnx.ENCODER_INPUTS, {0: batch, 1: length}),
            metadata={ENCODER_FINGERPRINT_KEY: encoder.model_fingerprint},
        )
    finally:
        transformer.set_attn_implementation(fused)


@graceful_exit
def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m rec_sys.text.encoder_export",
        description="Exports the text encoder to ONNX and completes the Triton repository.",
    )
    told = "of config/encoder/minilm.yaml: model=<folder> max_length=128"
    parser.add_argument("overrides", nargs="*", help=told)
    parser.add_argument("--output_path", default=DEFAULT_OUTPUT, help="default: %(default)s")
    given = parser.parse_intermixed_args()
    path = Path(given.output_path)
    if path.name != MODEL_FILE:
        raise InputError(f"--output_path={path}: the file must be called {MODEL_FILE}")
    overrides = [f"encoder.{each}" for each in given.overrides]
    config = compose_config("export_config", ["encoder=minilm", *overrides])
    worst = export_encoder(build(config.encoder, precision="fp32", device="cpu"), path.parent)
    note(f"maximum difference {worst:.1e} (at most {MAX_DIFFERENCE:.0e})")
    note(f"model: {path}, with {onnx.TOKENIZER_FILE} and {onnx.SETTINGS_FILE} beside it")
    if written := build(config.triton, onnx_path=path):
        note(f"Triton: {written}")


if __name__ == "__main__":
    main()
