"""Trains on the machines of a cluster: ``uv run -m rec_sys.train.train launcher=ray``. Each process
calls `train` as it is. What they share is the working directory."""

import os
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from rec_sys.cluster.workers import ClusterSettings, connected, room_for
from rec_sys.foundation.console import note, show_table
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import Count, PositiveCount, read_settings, settings_of
from rec_sys.modules.checkpoint import LAST_SUFFIX

# Ray's own notes on a training, below paths.cache_dir.
_NOTES = "ray_train"
_CHECKPOINT = "checkpoint"


@settings_of("launcher")
class RayLauncher:
    """Trains with several processes on several machines, by default as many as there is room for.
    If one dies, all start again from the newest saved epoch, at most `max_failures` times."""

    workers: PositiveCount | None
    max_failures: Count

    def __call__(self, config: DictConfig) -> dict[str, float]:
        """The metrics of the best epoch; InputError for bad input, or too many dead processes."""
        cluster = read_settings(ClusterSettings, config.cluster)
        with connected(cluster):
            from ray.train import FailureConfig, RunConfig, ScalingConfig, WorkerGroupError
            from ray.train.torch import TorchTrainer

            room = room_for(cluster.cpus_per_actor, cluster.gpus_per_actor)
            workers = self.workers or room
            if workers > room:
                raise InputError(
                    f"launcher.workers={workers}: the cluster has room for {room}; ask for fewer,"
                    " or for less of a machine (cluster.cpus_per_actor, cluster.gpus_per_actor)"
                )
            given = OmegaConf.to_container(config, resolve=True)
            there = {"CPU": cluster.cpus_per_actor, "GPU": cluster.gpus_per_actor}
            notes = (Path(config.paths.cache_dir) / _NOTES).absolute()
            failures = FailureConfig(max_failures=self.max_failures)
            trainer = TorchTrainer(
                _train_as_one_of_them,
                train_loop_config={"config": given, "folder": os.getcwd(), "older": _saved(config)},
                scaling_config=ScalingConfig(
                    num_workers=workers, use_gpu=there["GPU"] > 0, resources_per_worker=there
                ),
                run_config=RunConfig(storage_path=str(notes), failure_config=failures),
            )
            note(f"training in {workers} processes; {config.logger.tracking_uri} tells how it goes")
            try:
                best = trainer.fit().return_value
            except WorkerGroupError as error:
                reasons = map(_bad_input, error.worker_failures.values())
                if (reason := next(filter(None, reasons), None)) is None:
                    raise
                raise reason from None
        checkpoint = best.pop(_CHECKPOINT)
        show_table("best epoch", ["", "value"], best.items())
        note(f"checkpoint: {checkpoint}")
        return best


def _train_as_one_of_them(task: dict[str, Any]) -> dict[str, Any] | None:
    from rec_sys.train.train import train

    os.chdir(task["folder"])  # Ray gave the process one of its own
    config = OmegaConf.create(task["config"])
    started_again = sorted(_saved(config).items() - task["older"].items(), key=lambda each: each[1])
    if started_again:
        config.train.resume = started_again[-1][0]
    best, objects = train(config)
    # Only the first process has the model, and only what that one returns counts.
    return best | {_CHECKPOINT: str(objects["trained"].path)} if "trained" in objects else None


def _saved(config: DictConfig) -> dict[str, int]:
    """The newest epochs of all trainings so far: file -> when it was written."""
    paths = Path(config.paths.checkpoint_dir).glob(f"*{LAST_SUFFIX}")
    return {str(path): path.stat().st_mtime_ns for path in paths}


def _bad_input(error: BaseException) -> InputError | None:
    """What a person can put right, from under what Ray wraps it in."""
    while error is not None and not isinstance(error, InputError):
        error = getattr(error, "_base_exc", None) or getattr(error, "cause", None)
    return error
