"""The last thing training prints: how good it is, where it is, what to type next."""

from collections.abc import Mapping
from pathlib import Path

from hydra.core.hydra_config import HydraConfig

from rec_sys.foundation.console import note, show_table
from rec_sys.train.tracking import Tracking

_COLUMNS = {
    "loss": "loss",
    "f1": "F1",
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "auc": "AUC",
    "mae": "MAE",
    "mse": "MSE",
    "ndcg10": "NDCG@10",
}


def show_summary(
    best: Mapping[str, float],
    baselines: Mapping[str, Mapping[str, float]],
    checkpoint: Path,
    tracking: Tracking,
) -> None:
    """Prints the table of results.

    Args:
        best: Metrics of the best epoch, named ``train/...`` and ``val/...``.
        baselines: Metrics of each baseline on the validation targets.
        checkpoint: The best checkpoint.
        tracking: The MLflow run.
    """
    rows = [
        ["model, training", *(best.get(f"train/{name}") for name in _COLUMNS)],
        ["model, validation", *(best.get(f"val/{name}") for name in _COLUMNS)],
    ]
    rows += [
        [f"{name}, validation", *(values.get(metric) for metric in _COLUMNS)]
        for name, values in baselines.items()
    ]
    show_table(f"best epoch: {int(best['epoch']) + 1}", ["", *_COLUMNS.values()], rows)
    note(f"checkpoint: {checkpoint}")
    note(f"MLflow run: {tracking.run_name} ({tracking.run_id}) in {tracking.uri}")
    if not tracking.uri.startswith("http"):
        note(f"            uv run mlflow ui --backend-store-uri {tracking.uri}")
    note("next:       uv run -m rec_sys.vector_database.create_vectorbase")
    note("            uv run -m rec_sys.inference.infer")
    note(
        f"            uv run python -m rec_sys.modules.model_export {checkpoint}"
        f" ./config/model/{_model_choice()}.yaml"
    )


def _model_choice() -> str:
    choices = HydraConfig.get().runtime.choices if HydraConfig.initialized() else {}
    return choices.get("model", "<name>")
