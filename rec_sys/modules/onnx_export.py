"""The graph model as ONNX, and the proof that it computes the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rec_sys.foundation.files import replacing
from rec_sys.foundation.onnx_files import OPSET, add_metadata, quiet_export
from rec_sys.graph.ego_batch import MODEL_FINGERPRINT_KEY, MODEL_INPUTS
from rec_sys.graph.rating_features import USER_SHRINKAGE, rating_features
from rec_sys.modules.checkpoint import TrainedModel
from rec_sys.modules.graph_model import Embeddings, GraphModel
from rec_sys.text.model_files import ENCODER_FINGERPRINT_KEY

# The axes of each input that may have any length: axis -> name.
_FREE_AXES: dict[str, dict[int, str]] = {
    "user_features": {0: "users"},
    "user_rating_features": {0: "users"},
    "product_name_features": {0: "products"},
    "product_info_features": {0: "products"},
    "product_review_features": {0: "products"},
    "product_rating_features": {0: "products"},
    "edge_index": {1: "edges"},
    "edge_attr": {0: "edges"},
    "edge_rating": {0: "edges"},
    "edge_age": {0: "edges"},
    "edge_step": {0: "edges"},
}
_LARGEST_AXIS = 10**7

#: (users, products, edges) of the parity check: nobody's first visit up to a busy batch.
PARITY_SHAPES = ((1, 1, 0), (1, 1, 1), (1, 7, 7), (3, 5, 0), (4, 6, 1), (50, 80, 400), (2, 900, 3))


@dataclass(frozen=True)
class Parity:
    """How far ONNX Runtime is from PyTorch on one batch.

    Attributes:
        case: What the batch was.
        users: Number of users.
        products: Number of products.
        edges: Number of history edges.
        difference: Largest absolute difference of any output.
    """

    case: str
    users: int
    products: int
    edges: int
    difference: float


def export_onnx(trained: TrainedModel, path: str | Path) -> Path:
    """Writes the model as one ONNX file, whole or not at all.

    Args:
        trained: The model; its fingerprints go into the file's metadata.
        path: The file.

    Returns:
        The path.
    """
    model = trained.model.eval()
    axes = {
        name: torch.export.Dim(name, min=0 if name == "edges" else 1, max=_LARGEST_AXIS)
        for name in ("users", "products", "edges")
    }
    shapes = {
        name: {axis: axes[label] for axis, label in free.items()}
        for name, free in _FREE_AXES.items()
    }
    example = random_inputs(model.vector_dim, users=3, products=5, edges=7, seed=0)
    arguments = tuple(torch.from_numpy(example[name]) for name in MODEL_INPUTS)
    with replacing(path) as draft:
        with quiet_export():
            torch.onnx.export(
                model,
                arguments,
                draft,
                dynamo=True,
                opset_version=OPSET,
                input_names=list(MODEL_INPUTS),
                output_names=list(Embeddings._fields),
                dynamic_shapes=shapes,
                external_data=False,
                verbose=False,
            )
        properties = {
            MODEL_FINGERPRINT_KEY: trained.fingerprint,
            ENCODER_FINGERPRINT_KEY: trained.record["encoder"]["model_fingerprint"],
        }
        add_metadata(draft, properties)
    return Path(path)


def check_parity(
    model: GraphModel, path: str | Path, batches: Mapping[str, Mapping[str, np.ndarray]]
) -> list[Parity]:
    """Compares ONNX Runtime with PyTorch.

    Args:
        model: The model that was exported.
        path: The ONNX file.
        batches: Model inputs by a name for the table, see `parity_batches`.

    Returns:
        One row per batch.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rows = []
    for case, inputs in batches.items():
        arrays = {name: np.ascontiguousarray(inputs[name]) for name in MODEL_INPUTS}
        with torch.inference_mode():
            expected: tuple[Tensor, ...] = model(*map(torch.from_numpy, arrays.values()))
        found = session.run(list(Embeddings._fields), arrays)
        differences = [
            float(np.abs(one - other.numpy()).max(initial=0.0))
            for one, other in zip(found, expected, strict=True)
        ]
        users, products = len(arrays["user_features"]), len(arrays["product_name_features"])
        edges = arrays["edge_index"].shape[1]
        rows.append(Parity(case, users, products, edges, max(differences)))
    return rows


def parity_batches(vector_dim: int) -> dict[str, dict[str, np.ndarray]]:
    """Random batches of the `PARITY_SHAPES`, isolated users and products among them."""
    return {
        f"random {number}": random_inputs(vector_dim, users, products, edges, seed=number)
        for number, (users, products, edges) in enumerate(PARITY_SHAPES, start=1)
    }


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
        return rating_features(
            numbers * rng.uniform(-1, 1, count), numbers, numbers + 1, USER_SHRINKAGE
        )

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
