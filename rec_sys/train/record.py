"""What a checkpoint tells about its origin, and which settings decide what a training gives."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from rec_sys.foundation.files import versions_of
from rec_sys.foundation.settings import flat
from rec_sys.graph.review_graph import PreparedReviews
from rec_sys.graph.splits import describe_split
from rec_sys.graph.task import Split
from rec_sys.modules.checkpoint import RECORD_FORMAT

if TYPE_CHECKING:
    from rec_sys.train.tracking import Tracking

#: The axes of the config that decide the result.
AXES = (
    *("data", "encoder", "split", "product_graph", "evidence", "combiner"),
    *("model", "objective", "train"),
)
#: Keys of these axes that may differ without changing the result.
FREE_KEYS = {
    # What it started from is in its weights already.
    *("train.resume", "train.warm_start", "train.run_name"),
    *("data.folder", "data.cache_dir", "encoder.cache_dir"),
    *("data.retries", "data.backoff_seconds", "data.timeout_seconds"),
    *("encoder.batch_tokens", "encoder.device"),
}
#: Keys of other axes that decide the result.
DECIDING_KEYS = {
    *("trainer.precision", "trainer.gradient_clip_val"),
    *("callbacks.best.monitor", "callbacks.best.mode"),
}
_PACKAGES = ("torch", "torch-geometric", "pytorch-lightning", "sentence-transformers", "numpy")


def record_of(
    config: DictConfig,
    prepared: PreparedReviews,
    split: Split,
    tracking: "Tracking",
    warm_start: dict[str, Any] | None,
) -> dict[str, Any]:
    """Collects the record of a training, as plain values.

    Args:
        config: Composed from ``config/train_config.yaml``.
        prepared: The data set.
        split: Of these.
        tracking: Of this training.
        warm_start: See `Start.origin`.
    """
    plain = plain_config(config)
    graph, encoder = prepared.graph, prepared.encoder
    return {
        "format": RECORD_FORMAT,
        "run_name": tracking.run_name,
        "config": plain,
        "vector_dim": encoder.dimension,
        "split": describe_split(split, graph, plain["split"]),
        "data": {
            "name": tracking.data_name,
            "fingerprint": prepared.data.fingerprint,
            "users": graph.num_users,
            "products": graph.num_products,
            "reviews": graph.num_edges,
        },
        "encoder": {
            "model_fingerprint": encoder.model_fingerprint,
            # Measured on first use, which takes half a minute: not for data without a text.
            "fingerprint": encoder.fingerprint if prepared.has_texts else None,
            "precision": encoder.precision if prepared.has_texts else None,
            "dimension": encoder.dimension,
        },
        "warm_start": warm_start,
        "mlflow": {"tracking_uri": tracking.uri, "run_id": tracking.run_id},
        "versions": versions_of(_PACKAGES),
    }


def plain_config(config: DictConfig) -> dict[str, Any]:
    """The resolved config as plain values, its files by their full path.

    Later commands read the data again, perhaps from another working directory.
    """
    plain = OmegaConf.to_container(config, resolve=True)
    for key, value in plain["data"].items():
        if key.endswith("_path") and value is not None:
            plain["data"][key] = str(Path(value).expanduser().resolve())
    if isinstance(plain["train"].get("warm_start"), str):
        path = Path(plain["train"]["warm_start"]).expanduser()
        plain["train"]["warm_start"] = str(path.resolve())
    return plain


def deciding_settings(plain: dict[str, Any]) -> dict[str, Any]:
    """The settings of a `plain_config` that decide the result, by their dotted names."""
    return {
        key: value
        for key, value in flat(plain)
        if key in DECIDING_KEYS or (key.partition(".")[0] in AXES and key not in FREE_KEYS)
    }
