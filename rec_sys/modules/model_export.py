"""Exports a checkpoint for Triton and ONNX Runtime, with the proof that it computes the same."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from rec_sys.foundation.cli import compose_config, graceful_exit
from rec_sys.foundation.console import note, show_table
from rec_sys.foundation.errors import InputError, told_as_unfit
from rec_sys.foundation.files import replacing, require_regular
from rec_sys.foundation.onnx import MAX_DIFFERENCE, open_session, require_agreement, write_onnx
from rec_sys.foundation.settings import build
from rec_sys.graph import ego_batch
from rec_sys.graph.review_graph import prepare_reviews
from rec_sys.modules import checkpoint as checkpoints
from rec_sys.modules.checkpoint import TrainedModel, find_checkpoint, load_data, load_trained
from rec_sys.modules.graph_model import GraphModel
from rec_sys.modules.inference_backends import run_exported
from rec_sys.modules.trusted_settings import require_bounded, trusted_settings
from rec_sys.reviews.schema import ReviewData
from rec_sys.text.encoder import ENCODER_FINGERPRINT_KEY

DEFAULT_OUTPUT = "triton_utils/model_repository/graph_model/1/model.onnx"
#: (users, products, edges) of the parity check: nobody's first visit up to a busy batch.
PARITY_SHAPES = ((1, 1, 0), (1, 1, 1), (1, 7, 7), (3, 5, 0), (4, 6, 1), (50, 80, 400), (2, 900, 3))
_LARGEST_AXIS = 10**7


class Parity(NamedTuple):
    """How far ONNX Runtime is from PyTorch on one batch: the largest absolute difference."""

    case: str
    users: int
    products: int
    edges: int
    difference: float


def export_model(
    checkpoint: str | Path,
    model_config: str | Path,
    output_path: str | Path = DEFAULT_OUTPUT,
    overrides: Sequence[str] = (),
) -> list[Parity]:
    """Exports a checkpoint to `output_path` and completes the Triton repository, if that is
    ``<repository>/<model>/<version>/model.onnx``. `model_config`: YAML of the model's settings;
    `overrides`: of ``config/export_config.yaml``, the data to compare on, or the training's.
    InputError if settings do not fit, RuntimeError if the export computes something else."""
    settings = _read_model_config(Path(model_config))
    path = find_checkpoint(checkpoint, Path(checkpoint).parent)
    trained = load_trained(path, OmegaConf.to_container(settings, resolve=True))
    config = compose_config("export_config", overrides)
    batches = parity_batches(trained.model.vector_dim)
    try:
        data = load_data(trained, config)
    except InputError as error:
        if overrides:
            raise
        note(f"compared on random graphs only, the training's data cannot be read: {error}")
    else:
        batches["people of the data"] = _batch_of(trained, data, config)
    output_path = Path(output_path)
    with replacing(output_path) as draft:
        export_onnx(trained, draft)
        rows = check_parity(trained.model, draft, batches)
        worst = np.max([row.difference for row in rows])  # no number if one is none
        columns = ["batch", "users", "products", "edges", "largest difference"]
        shown = [[*row[:-1], f"{row.difference:.1e}"] for row in rows]
        show_table("exported model against PyTorch", columns, shown)
        require_agreement(worst, "model")
    note(f"maximum difference {worst:.1e} (at most {MAX_DIFFERENCE:.0e})")
    note(f"model: {output_path}")
    if written := build(config.triton, onnx_path=output_path):
        note(f"Triton: {written}")
    return rows


def export_onnx(trained: TrainedModel, path: str | Path) -> Path:
    """Writes a model as one ONNX file, whole or not at all; its metadata hold the fingerprints."""
    model = trained.model.eval()
    example = random_inputs(model.vector_dim, users=3, products=5, edges=7, seed=0)
    axes = {
        name: torch.export.Dim(f"{name}s", min=0 if name == "edge" else 1, max=_LARGEST_AXIS)
        for name in ("user", "product", "edge")
    }
    with replacing(path) as draft:
        write_onnx(
            model,
            draft,
            inputs={name: torch.from_numpy(example[name]) for name in ego_batch.MODEL_INPUTS},
            outputs=ego_batch.GraphOutputs._fields,
            # Each input begins with what its rows are; the pointers of edges lie across.
            dynamic_shapes={
                name: {1 if name == "edge_index" else 0: axes[name.partition("_")[0]]}
                for name in ego_batch.MODEL_INPUTS
            },
            metadata={
                ego_batch.MODEL_FINGERPRINT_KEY: trained.fingerprint,
                ENCODER_FINGERPRINT_KEY: trained.record["encoder"]["model_fingerprint"],
            },
        )
    return Path(path)


def export_checked(trained: TrainedModel, path: Path) -> None:
    """`export_onnx`, if it computes the same on `parity_batches`; otherwise a RuntimeError."""
    with replacing(path) as draft:
        export_onnx(trained, draft)
        rows = check_parity(trained.model, draft, parity_batches(trained.model.vector_dim))
        require_agreement(np.max([row.difference for row in rows]), "model")


def check_parity(
    model: GraphModel, path: str | Path, batches: Mapping[str, Mapping[str, np.ndarray]]
) -> list[Parity]:
    """Compares ONNX Runtime with PyTorch; `batches` by names for the table (`parity_batches`)."""
    session, outputs = open_session(Path(path)), list(ego_batch.GraphOutputs._fields)
    rows = []
    for case, inputs in batches.items():
        found = run_exported(inputs, lambda arrays: session.run(outputs, arrays))
        pairs = zip(found, model.embed(inputs), strict=True)
        difference = float(np.max([np.abs(one - other).max(initial=0.0) for one, other in pairs]))
        users, products = len(inputs["user_features"]), len(inputs["product_name_features"])
        rows.append(Parity(case, users, products, inputs["edge_index"].shape[1], difference))
    return rows


def parity_batches(vector_dim: int) -> dict[str, dict[str, np.ndarray]]:
    """Random batches of the `PARITY_SHAPES`, isolated users and products among them."""
    shapes = enumerate(PARITY_SHAPES, start=1)
    return {f"random {n}": random_inputs(vector_dim, *shape, seed=n) for n, shape in shapes}


def random_inputs(
    vector_dim: int, users: int, products: int, edges: int, seed: int
) -> dict[str, np.ndarray]:
    """Model inputs that look like real ones: unit vectors, some missing texts and ratings."""
    rng = np.random.default_rng(seed)

    def vectors(count: int) -> np.ndarray:
        array = rng.normal(size=(count, vector_dim)).astype(np.float32)
        array /= np.linalg.norm(array, axis=1, keepdims=True)
        array[rng.random(count) < 0.1] = 0.0
        return array

    def ratings(count: int) -> np.ndarray:
        numbers = rng.integers(0, 9, count)
        sums = numbers * rng.uniform(-1, 1, count)
        return ego_batch.rating_features(sums, numbers, numbers + 1, ego_batch.USER_SHRINKAGE)

    return {
        "user_features": vectors(users),
        "user_rating_features": ratings(users),
        "product_name_features": vectors(products),
        "product_info_features": vectors(products),
        "product_review_features": vectors(products),
        "product_rating_features": ratings(products),
        "edge_index": np.stack(
            [rng.integers(0, max(count, 1), edges) for count in (products, users)]
        ),
        "edge_attr": vectors(edges),
        "edge_rating": rng.integers(0, 6, edges).astype(np.float32),
        "edge_age": rng.exponential(300, edges).astype(np.float32),
        "edge_step": rng.integers(0, 30, edges).astype(np.float32),
    }


def _read_model_config(path: Path) -> DictConfig:
    """Composes a model config file, whatever it includes; code in it is not trusted."""
    if not path.is_file():
        raise InputError(f"{path}: no such model config")
    require_regular(path)
    with told_as_unfit(path, "name a file of config/model, or one like it"):
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        require_bounded(settings, "model", path)  # a value may stand in it without end
        if isinstance(settings, dict):
            with initialize_config_dir(str(path.parent.resolve()), version_base="1.3"):
                settings = OmegaConf.to_container(compose(path.stem), resolve=True)
    if not isinstance(settings, dict) or "_target_" not in settings:
        raise InputError(f"{path}: not a model config: it has no _target_")
    return trusted_settings({"model": settings}, "model", path)


def _batch_of(trained: TrainedModel, data: ReviewData, config: DictConfig) -> dict[str, np.ndarray]:
    encoder = checkpoints.load_encoder(trained, config)
    prepared = prepare_reviews(data, encoder, config.paths.cache_dir)
    graph, vectors = prepared.graph, prepared.vectors
    nothing = np.zeros(graph.num_edges, dtype=bool)
    known = ego_batch.ProductReviews.of(graph, vectors, np.arange(graph.num_edges))
    users = np.arange(min(config.users, graph.num_users))
    builder = ego_batch.EgoBatchBuilder(graph, vectors, known)
    return builder.build(users, nothing, nothing).model_inputs()


@graceful_exit
def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m rec_sys.modules.model_export",
        description="Exports a checkpoint to ONNX and completes the Triton repository.",
    )
    parser.add_argument("checkpoint", help="./checkpoints/<checkpoint>")
    parser.add_argument("model_config", help="the model's settings, ./config/model/<name>.yaml")
    parser.add_argument("overrides", nargs="*", help="data to compare on: data=local ...")
    parser.add_argument("--output_path", default=DEFAULT_OUTPUT, help="default: %(default)s")
    given = parser.parse_intermixed_args()
    export_model(given.checkpoint, given.model_config, given.output_path, given.overrides)


if __name__ == "__main__":
    main()
