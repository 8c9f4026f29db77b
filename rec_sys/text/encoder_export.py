"""The text encoder as ONNX: all-MiniLM-L6-v2 from its weights, without PyTorch, or any other model:
``uv run -m rec_sys.text.encoder_export``."""

import argparse
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

from rec_sys.foundation import onnx as onnx_files
from rec_sys.foundation.cli import compose_config, graceful_exit
from rec_sys.foundation.console import note
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import read_json, write_json
from rec_sys.foundation.settings import build
from rec_sys.text import onnx as exported
from rec_sys.text.encoder import ENCODER_FINGERPRINT_KEY, WEIGHTS_FILE, TextEncoder

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
# ONNX Runtime 1.20 and Triton's know this version of the file format.
_IR_VERSION = 10
# exp() of it is 0, and it stays finite when added.
_MASKED = -1e9


def run_embedded(encoder: TextEncoder, threads: int = 0) -> exported.OnnxTextEncoder:
    """The encoder that is installed with the project, in single precision; see `OnnxTextEncoder`.
    Its weights are the published ones to the bit, so that it is within 1e-5 of PyTorch anywhere."""
    model, settings = embedded_model(encoder), exported.exported_settings(encoder)
    own = {"model": model.SerializeToString(), "settings": settings}
    return exported.OnnxTextEncoder(encoder.model_folder, threads, **own)


def write_embedded(encoder: TextEncoder, folder: Path) -> None:
    """Writes it as `export_encoder` does, in a second."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = exported.TOKENIZER_FILE
    shutil.copyfile(encoder.model_folder / tokenizer, folder / tokenizer)
    write_json(folder / exported.SETTINGS_FILE, asdict(exported.exported_settings(encoder)))
    onnx_files.save_onnx(embedded_model(encoder), folder / onnx_files.MODEL_FILE)


def embedded_model(encoder: TextEncoder) -> onnx.ModelProto:
    """BERT (Devlin et al., NAACL 2019), the mean over the tokens, unit length; as ONNX."""
    config = read_json(encoder.model_folder / "config.json")
    graph = _Graph(load_file(encoder.model_folder / WEIGHTS_FILE))
    heads, epsilon = config["num_attention_heads"], config["layer_norm_eps"]
    size = config["hidden_size"] // heads

    def dense(x: str, name: str) -> str:
        kernel = graph.constant(graph.weights[f"{name}.weight"].T)
        return graph("Add", graph("MatMul", x, kernel), graph.weight(f"{name}.bias"))

    def normed(x: str, name: str) -> str:
        parts = (graph.weight(f"{name}.weight"), graph.weight(f"{name}.bias"))
        return graph("LayerNormalization", x, *parts, epsilon=epsilon)

    def in_heads(x: str, *order: int) -> str:
        parted = graph("Reshape", x, graph.constant(np.array([0, 0, heads, size])))
        return graph("Transpose", parted, perm=order)

    mask = graph("Cast", exported.ATTENTION_MASK, to=TensorProto.FLOAT)  # [B, L]
    hidden = graph("Mul", graph("Sub", graph.number(1), mask), graph.number(_MASKED))
    hidden = graph("Unsqueeze", hidden, graph.constant(np.array([1, 2])))  # [B, 1, 1, L]
    length = graph("Shape", exported.INPUT_IDS, start=1, end=2)
    zero = graph.constant(np.array([0]))
    places = graph("Slice", graph.weight("embeddings.position_embeddings.weight"), zero, length)
    kind = graph.constant(graph.weights["embeddings.token_type_embeddings.weight"][0])
    words = graph("Gather", graph.weight("embeddings.word_embeddings.weight"), exported.INPUT_IDS)
    x = normed(graph("Add", graph("Add", words, kind), places), "embeddings.LayerNorm")
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{number}"
        orders = {"query": (0, 2, 1, 3), "key": (0, 2, 3, 1), "value": (0, 2, 1, 3)}
        query, key, value = (
            in_heads(dense(x, f"{layer}.attention.self.{name}"), *order)
            for name, order in orders.items()
        )
        logits = graph("Mul", graph("MatMul", query, key), graph.number(size**-0.5))
        weights = graph("Softmax", graph("Add", logits, hidden), axis=-1)
        found = graph("Transpose", graph("MatMul", weights, value), perm=(0, 2, 1, 3))
        found = graph("Reshape", found, graph.constant(np.array([0, 0, heads * size])))
        found = dense(found, f"{layer}.attention.output.dense")
        x = normed(graph("Add", x, found), f"{layer}.attention.output.LayerNorm")
        inner = dense(x, f"{layer}.intermediate.dense")
        erf = graph("Erf", graph("Mul", inner, graph.number(0.5**0.5)))
        gelu = graph("Mul", inner, graph("Add", erf, graph.number(1)))
        gelu = graph("Mul", gelu, graph.number(0.5))
        found = dense(gelu, f"{layer}.output.dense")
        x = normed(graph("Add", x, found), f"{layer}.output.LayerNorm")
    # The length of the mean does not matter, so that the sum will do.
    told = graph("Mul", x, graph("Unsqueeze", mask, graph.constant(np.array([2]))))
    total = graph("ReduceSum", told, graph.constant(np.array([1])), keepdims=0)
    graph("LpNormalization", total, axis=1, p=2, output=exported.ENCODER_OUTPUT)
    return graph.model({ENCODER_FINGERPRINT_KEY: encoder.model_fingerprint}, encoder.dimension)


class _Graph:
    """Nodes in order; calling it adds one and returns the name of its output."""

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        self.weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def __call__(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"{operator}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def constant(self, array: np.ndarray, name: str = "") -> str:
        name = name or f"constant_{len(self._constants)}"
        self._constants.setdefault(name, numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def number(self, value: float) -> str:
        return self.constant(np.array(value, dtype=np.float32), f"number {value!r}")

    def weight(self, name: str) -> str:
        return self.constant(self.weights[name], name)

    def model(self, metadata: dict[str, str], dimension: int) -> onnx.ModelProto:
        kind = TensorProto.INT64, ["batch", "length"]
        inputs = [helper.make_tensor_value_info(n, *kind) for n in exported.ENCODER_INPUTS]
        shape, constants = ["batch", dimension], list(self._constants.values())
        output = helper.make_tensor_value_info(exported.ENCODER_OUTPUT, TensorProto.FLOAT, shape)
        graph = helper.make_graph(self._nodes, "text_encoder", inputs, [output], constants)
        opsets = [helper.make_opsetid("", onnx_files.OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
        helper.set_model_props(model, metadata)
        return model


def export_encoder(encoder: TextEncoder, folder: str | Path) -> float:
    """Exports an encoder, in whatever precision it runs, and compares it with PyTorch in fp32.
    ``model.onnx``, ``tokenizer.json`` and ``encoder.json`` appear in the folder only if both agree.
    Returns the largest difference of any two numbers. InputError if the tokenizer can only run in
    Python; RuntimeError if the exported encoder computes something else."""
    folder = Path(folder)
    tokenizer = encoder.model_folder / exported.TOKENIZER_FILE
    if not tokenizer.is_file():
        why = "no such file; an encoder without it cannot be exported, choose another"
        raise InputError(f"{tokenizer}: {why}")
    model = encoder.load("fp32").to("cpu")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".text_encoder.", dir=folder) as name:
        drafts = Path(name)
        shutil.copyfile(tokenizer, drafts / exported.TOKENIZER_FILE)
        write_json(drafts / exported.SETTINGS_FILE, asdict(exported.exported_settings(encoder)))
        _export_onnx(model, drafts / onnx_files.MODEL_FILE, encoder)
        expected = encoder.encode(_PROBES, model)
        worst = float(np.abs(exported.OnnxTextEncoder(drafts).encode(_PROBES) - expected).max())
        onnx_files.require_agreement(worst, "text encoder")
        for file in (exported.TOKENIZER_FILE, exported.SETTINGS_FILE, onnx_files.MODEL_FILE):
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
        onnx_files.write_onnx(
            SentenceEmbedding().eval(),
            path,
            inputs=dict(zip(exported.ENCODER_INPUTS, (mask.clone(), mask), strict=True)),
            outputs=[exported.ENCODER_OUTPUT],
            dynamic_shapes=dict.fromkeys(exported.ENCODER_INPUTS, {0: batch, 1: length}),
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
    if path.name != onnx_files.MODEL_FILE:
        raise InputError(f"--output_path={path}: the file must be called {onnx_files.MODEL_FILE}")
    overrides = [f"encoder.{each}" for each in given.overrides]
    config = compose_config("export_config", ["encoder=minilm", *overrides])
    worst = export_encoder(build(config.encoder, precision="fp32", device="cpu"), path.parent)
    note(f"maximum difference {worst:.1e} (at most {onnx_files.MAX_DIFFERENCE:.0e})")
    note(f"model: {path}, with {exported.TOKENIZER_FILE} and {exported.SETTINGS_FILE} beside it")
    if written := build(config.triton, onnx_path=path):
        note(f"Triton: {written}")


if __name__ == "__main__":
    main()
