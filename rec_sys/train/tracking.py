"""What is written down of a training, in its checkpoints and in MLflow."""

import json
import math
import re
import secrets
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from rec_sys import __version__
from rec_sys.foundation.console import Stages, note, peak_memory, quiet_mlflow
from rec_sys.foundation.distributed import is_main_process
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import require_regular, require_writable, versions_of
from rec_sys.foundation.settings import build, flat
from rec_sys.graph.review_graph import PreparedReviews
from rec_sys.graph.splits import describe_split
from rec_sys.graph.task import Split
from rec_sys.modules.checkpoint import RECORD_FORMAT, TrainedModel
from rec_sys.modules.combiner import GROUPS

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pytorch_lightning.loggers import MLFlowLogger

#: The axes of the config that decide the result.
AXES = ("data", "encoder", "split", "product_graph", "match", "evidence", "combiner")
AXES += ("calibration", "tuning", "model", "objective", "train")
#: Keys of these axes that may differ without changing the result.
FREE_KEYS = {
    # What it started from is in its weights already.
    *("train.resume", "train.warm_start", "train.run_name", "train.export"),
    *("data.folder", "data.cache_dir", "encoder.cache_dir"),
    *("data.retries", "data.backoff_seconds", "data.timeout_seconds"),
    *("encoder.batch_tokens", "encoder.device"),
}
#: Keys of other axes that decide the result.
DECIDING_KEYS = {"trainer.precision", "trainer.gradient_clip_val"}
DECIDING_KEYS |= {"callbacks.best.monitor", "callbacks.best.mode", "callbacks.stop.patience"}
_PACKAGES = ("torch", "torch-geometric", "pytorch-lightning", "sentence-transformers", "numpy")
_PANELS = (
    ("loss", "loss (distance in stars)"),
    ("auc", "AUC"),
    ("f1", "F1 (liked)"),
    ("accuracy", "accuracy (liked)"),
    ("ranking_loss", "ranking loss (cross entropy)"),
    ("network_ndcg10", "NDCG@10 of the network alone (all products)"),
)
_DIGEST_CHARACTERS = 36  # MLflow takes no more
_PATIENCE_SECONDS = 5  # one that was killed may take as long to end


#: Metrics of an epoch, of a model or of a baseline.
Row = dict[str, float]


def draw_learning_curves(history: Sequence[Row], baselines: Mapping[str, Row]) -> "Figure":
    """Draws one panel per metric over the epochs, the baselines as horizontal lines."""
    # Without pyplot: no window, no global state.
    from matplotlib.figure import Figure

    # By hand: a layout that Matplotlib works out takes most of a second.
    figure = Figure(figsize=(11, 9))
    figure.subplots_adjust(0.06, 0.12, 0.98, 0.96, wspace=0.15, hspace=0.45)
    epochs = [row["epoch"] + 1 for row in history]
    for axes, (metric, heading) in zip(figure.subplots(3, 2).flat, _PANELS, strict=True):
        stages = ("train", "training", "tab:gray"), ("val", "validation", "tab:blue")
        for stage, label, color in stages:
            values = [row.get(f"{stage}/{metric}", math.nan) for row in history]
            # A single epoch is a point, not an invisible line.
            axes.plot(epochs, values, color=color, label=label, marker="." * (len(epochs) == 1))
        drawn = [(name, values) for name, values in baselines.items() if metric in values]
        for style, (name, values) in zip(("--", ":"), drawn, strict=False):
            axes.axhline(values[metric], color="tab:orange", linestyle=style, label=name)
        axes.set(title=heading, xlabel="epoch")
        axes.grid(alpha=0.3)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="lower center", ncols=2)
    return figure


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C waits for the block: amid a transaction SQLite would stay locked, and the run could
    not even be marked as failed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if pressed:
            signal.raise_signal(signal.SIGINT)


def _database_to_itself(uri: str) -> AbstractContextManager[Any]:
    """A turn at MLflow's SQLite file: two that make its tables at once would fail."""
    kind, _, path = uri.partition(":///")
    if kind != "sqlite":
        return nullcontext()
    file = Path(path)
    require_regular(file)
    if file.is_dir():
        raise InputError(f"logger.tracking_uri={uri}: is a folder; name a file in it")
    require_writable(file.parent, "logger.tracking_uri")
    return FileLock(file.with_name(f".{file.name}.lock"))


def name_of_run(given: str | None, data_name: str) -> str:
    """The name of a run and of its checkpoints, made of data set and time if none is given;
    InputError if it can be no file's."""
    # Two runs may start within a second.
    now = f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    name = given or re.sub(r"[^\w.-]+", "_", f"{data_name}-{now}")
    if not re.fullmatch(r"[\w-][\w.-]*", name):
        raise InputError(f"train.run_name={name}: names a file; use letters, digits, dots, - and _")
    return name


@contextmanager
def sole_writer(folder: str | Path, run_name: str) -> Iterator[None]:
    """Nobody else writes the checkpoints of a run meanwhile; InputError if somebody does."""
    if not is_main_process():
        yield
        return
    lock = FileLock(Path(folder) / f".{run_name}.lock", timeout=_PATIENCE_SECONDS)
    try:
        lock.acquire()
    except Timeout:
        why = f"another training writes it to {folder}; wait for it, or change train.run_name"
        raise InputError(f"{run_name}: {why}") from None
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)  # who waits for it notices, and makes another
        lock.release()


def _reason(error: BaseException) -> str:
    cause = error.__cause__ or error
    told = str(getattr(cause, "orig", cause))  # the driver's own words
    return (told.strip().splitlines() or [type(cause).__name__])[0]


@dataclass(frozen=True)
class Tracking:
    """A run in MLflow; `run_name` names its checkpoints, too."""

    logger: "MLFlowLogger"
    data_name: str
    run_name: str
    uri: str

    @classmethod
    def start(
        cls, config: DictConfig, data_name: str, run_name: str, run_id: str | None = None
    ) -> "Tracking":
        """Starts a run of ``config/logger``, or goes on with MLflow's `run_id` where that is known.
        InputError if no server answers."""
        quiet_mlflow()
        try:
            with _database_to_itself(config.tracking_uri):
                logger = build(config, run_name=run_name, run_id=run_id)
                logger.experiment.update_run(logger.run_id, status="RUNNING")
                logger.log_metrics = _uninterrupted()(logger.log_metrics)
        except InputError:
            raise
        except Exception as error:  # MLflow's, SQLAlchemy's or Alembic's, bare or in Hydra's
            if run_id and getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":
                note(f"{config.tracking_uri} does not know the run {run_id} any more: a new one")
                return cls.start(config, data_name, run_name)
            where = f"logger.tracking_uri={config.tracking_uri}"
            remedy = "start the tracking server, leave it at sqlite:///mlflow.db, or delete a file"
            remedy += " that was cut off while it was made"
            raise InputError(f"{where}: cannot be used ({_reason(error)}); {remedy}") from None
        return cls(logger, data_name, run_name, config.tracking_uri)

    @contextmanager
    def marks_run_failed(self) -> Iterator["Tracking"]:
        """An InputError tells what MLflow cannot do any more."""
        from mlflow.exceptions import MlflowException

        try:
            yield self
        except BaseException as error:
            with suppress(Exception):  # it may be MLflow that failed
                self.logger.experiment.set_terminated(self.run_id, "FAILED")
            if not isinstance(error, MlflowException):
                raise
            why = f"stopped working ({_reason(error)}); what is finished is kept: mend it, and"
            remedy = "run the command again, a training with train.resume=true"
            raise InputError(f"logger.tracking_uri={self.uri}: {why} {remedy}") from None

    @property
    def run_id(self) -> str:
        return self.logger.run_id

    def log_inputs(
        self, record: dict[str, Any], steps: list[dict[str, Any]], changes: dict[str, Any] | None
    ) -> None:
        config = record["config"]
        given = {axis: config[axis] for axis in (*AXES, "trainer")}
        given["versions"] = record["versions"]
        # A parameter of MLflow can be set once only; whether this is a resumed run is none.
        given["train"] = {k: v for k, v in given["train"].items() if k != "resume"}
        if record["warm_start"]:
            given["warm_start"] = record["warm_start"]
        self.logger.log_hyperparams(given)
        client = self.logger.experiment
        client.log_dict(self.run_id, config, "config.yaml")
        client.log_dict(self.run_id, record["split"], "split.json")
        client.log_dict(self.run_id, {"steps": steps}, "cleaning_report.json")
        if changes:
            client.log_dict(self.run_id, changes, "changes.json")
        self._log_dataset(record)

    def _log_dataset(self, record: dict[str, Any]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        data, config = record["data"], record["config"]["data"]
        told = {k: v for k, v in config.items() if v and k.endswith(("_path", "_url"))}
        kind = "http" if any(key.endswith("_url") for key in told) else "local"
        dataset = Dataset(
            name=data["name"],
            digest=data["fingerprint"][:_DIGEST_CHARACTERS],
            source_type=kind if told else "code",
            source=json.dumps(told or {"code": config.get("_target_")}),
            profile=json.dumps({each: data[each] for each in ("reviews", "users", "products")}),
        )
        client, tags = self.logger.experiment, [InputTag("mlflow.data.context", "training")]
        client.log_inputs(self.run_id, datasets=[DatasetInput(dataset, tags)])
        named = {"data": data["name"], "split": record["split"]["name"], "rec_sys": __version__}
        for name, value in named.items():
            client.set_tag(self.run_id, name, value)

    def log_results(
        self, trained: TrainedModel, curve: list[Row], best: Row, rows: Mapping[str, Row], card: str
    ) -> None:
        client = self.logger.experiment
        metrics = {f"best/{name}": value for name, value in best.items()}
        metrics["best/epoch"] = epoch = int(best["epoch"]) + 1  # as the terminal counts
        for baseline, values in rows.items():
            label = baseline.replace(" + ", "_").replace(" ", "_")
            metrics |= {f"versus/{label}/{name}": value for name, value in values.items()}
        shares = trained.combiner.decides(GROUPS.index("several reviews"))
        metrics |= {f"weight/{evidence}": share for evidence, share in shares.items()}
        self.logger.log_metrics(metrics, step=epoch)
        client.log_figure(self.run_id, draw_learning_curves(curve, rows), "learning_curves.png")
        client.log_artifact(self.run_id, str(trained.path), "checkpoint")
        if tuned := trained.record.get("tuned"):
            client.log_dict(self.run_id, tuned, "tuned.json")
        client.log_text(self.run_id, card, f"checkpoint/{trained.card.name}")
        client.set_tag(self.run_id, "mlflow.note.content", card)

    def log_model(self, trained: TrainedModel) -> None:
        import mlflow
        import onnx
        from mlflow.models import ModelSignature
        from mlflow.types import Schema, TensorSpec
        from onnxruntime import InferenceSession

        session = InferenceSession(str(trained.exported), providers=["CPUExecutionProvider"])
        model = onnx.load(trained.exported)
        kinds = {"tensor(float)": np.dtype(np.float32), "tensor(int64)": np.dtype(np.int64)}

        def spec(tensor: Any) -> TensorSpec:
            # Free axes have a name in ONNX and are -1 for MLflow.
            shape = tuple(n if isinstance(n, int) else -1 for n in tensor.shape)
            return TensorSpec(kinds[tensor.type], shape, tensor.name)

        inputs = Schema([spec(tensor) for tensor in session.get_inputs()])
        outputs = Schema([spec(tensor) for tensor in session.get_outputs()])
        mlflow.set_tracking_uri(self.uri)
        with mlflow.start_run(run_id=self.run_id):
            mlflow.onnx.log_model(
                model,
                name="model",
                signature=ModelSignature(inputs, outputs),
                pip_requirements=["onnx", "onnxruntime"],
                save_as_external_data=False,
            )

    def log_stages(self, stages: Stages) -> None:
        took = stages.seconds.items()
        metrics = {f"wall_seconds/{name.replace(' ', '_')}": seconds for name, seconds in took}
        self.logger.log_metrics(metrics | {"peak_memory_gib": peak_memory()})


def record_of(
    config: DictConfig, prepared: PreparedReviews, split: Split, tracking: Tracking, warm_start: Any
) -> dict[str, Any]:
    """The record of a training, as plain values; `warm_start`: see `Start.origin`."""
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
    """The resolved config as plain values, files by their full path, for commands run elsewhere."""
    plain = OmegaConf.to_container(config, resolve=True)
    for key, value in plain["data"].items():
        if key.endswith("_path") and value is not None:
            plain["data"][key] = str(Path(value).expanduser().resolve())
    if isinstance(path := plain["train"].get("warm_start"), str):
        plain["train"]["warm_start"] = str(Path(path).expanduser().resolve())
    return plain


def deciding_settings(plain: dict[str, Any]) -> dict[str, Any]:
    """The settings of a `plain_config` that decide the result, by their dotted names."""
    return {
        key: value
        for key, value in flat(plain)
        if key in DECIDING_KEYS or (key.partition(".")[0] in AXES and key not in FREE_KEYS)
    }
