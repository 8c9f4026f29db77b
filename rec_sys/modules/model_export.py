"""Exports a checkpoint for Triton and ONNX Runtime.

``uv run python -m rec_sys.modules.model_export ./checkpoints/<checkpoint>
./config/model/model_config.yaml
--output_path=./triton_utils/model_repository/graph_model/1/model.onnx``
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from omegaconf import DictConfig, OmegaConf

from rec_sys.foundation.cli import CONFIG_DIR, ending_politely
from rec_sys.foundation.console import note, show_table
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import replacing
from rec_sys.foundation.onnx_files import MAX_DIFFERENCE, require_agreement
from rec_sys.foundation.triton_config import is_in_repository
from rec_sys.modules.checkpoint_files import find_checkpoint

if TYPE_CHECKING:
    from rec_sys.modules.checkpoint import TrainedModel
    from rec_sys.modules.onnx_export import Parity

DEFAULT_OUTPUT = "triton_utils/model_repository/graph_model/1/model.onnx"


def export_model(
    checkpoint: str | Path,
    model_config: str | Path,
    output_path: str | Path = DEFAULT_OUTPUT,
    overrides: Sequence[str] = (),
) -> "list[Parity]":
    """Exports a checkpoint, compares it with PyTorch and completes the Triton repository.

    The file only appears at `output_path` if both agree.

    Args:
        checkpoint: A ``.ckpt`` of the training.
        model_config: The YAML file of the model's settings.
        output_path: The ONNX file. If it is ``<repository>/<model>/<version>/model.onnx``, the
            ``config.pbtxt`` is written too.
        overrides: Hydra overrides of ``config/export_config.yaml``: the data to compare on, by
            default the data that the checkpoint was trained with.

    Returns:
        The comparison, batch by batch.

    Raises:
        InputError: The checkpoint or the settings cannot be used, or do not fit each other.
        RuntimeError: The exported model computes something else.
    """
    settings = _read_model_config(Path(model_config))
    path = find_checkpoint(checkpoint, Path(checkpoint).parent)

    from rec_sys.modules.checkpoint import load_trained
    from rec_sys.modules.onnx_export import (
        check_parity,
        export_onnx,
        parity_batches,
    )
    from rec_sys.modules.triton_repository import write_triton_config

    trained = load_trained(path, OmegaConf.to_container(settings, resolve=True))
    batches = parity_batches(trained.model.vector_dim) | _real_batch(trained, list(overrides))
    output_path = Path(output_path)
    with replacing(output_path) as draft:
        export_onnx(trained, draft)
        rows = check_parity(trained.model, draft, batches)
        worst = max(row.difference for row in rows)
        show_table(
            "exported model against PyTorch",
            ["batch", "users", "products", "edges", "largest difference"],
            [[r.case, r.users, r.products, r.edges, f"{r.difference:.1e}"] for r in rows],
        )
        require_agreement(worst, "model")
    note(f"maximum difference {worst:.1e} (at most {MAX_DIFFERENCE:.0e})")
    note(f"model: {output_path}")
    if is_in_repository(output_path):
        note(f"Triton: {write_triton_config(output_path)}")
    return rows


def _read_model_config(path: Path) -> DictConfig:
    """Composes a model config file, whatever it includes from beside it."""
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    if not path.is_file():
        raise InputError(f"{path}: no such model config")
    try:
        with initialize_config_dir(str(path.parent.resolve()), version_base="1.3"):
            settings = compose(path.stem)
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise InputError(f"{path}: not a config ({str(error).strip().splitlines()[0]})") from None
    if "_target_" not in settings:
        raise InputError(f"{path}: not a model config: it has no _target_")
    return settings


def _real_batch(trained: "TrainedModel", overrides: list[str]) -> dict[str, dict[str, np.ndarray]]:
    """Some people of the data, with the reviews that would be shown of them."""
    from hydra import compose, initialize_config_dir

    from rec_sys.graph.ego_batch import EgoBatchBuilder
    from rec_sys.graph.prepare import prepare_reviews
    from rec_sys.graph.product_reviews import ProductReviews
    from rec_sys.modules.as_trained import load_data, load_encoder

    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        config = compose("export_config", overrides)
    try:
        data = load_data(trained, config)
    except InputError as error:
        if overrides:
            raise
        note(f"compared on random graphs only, the training's data cannot be read: {error}")
        return {}
    prepared = prepare_reviews(data, load_encoder(trained, config), config.paths.cache_dir)
    graph, vectors = prepared.graph, prepared.vectors
    nothing = np.zeros(graph.num_edges, dtype=bool)
    known = ProductReviews.of(graph, vectors, np.arange(graph.num_edges))
    users = np.arange(min(config.users, graph.num_users))
    batch = EgoBatchBuilder(graph, vectors, known).build(users, nothing, nothing)
    return {"people of the data": batch.model_inputs()}


@ending_politely
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
