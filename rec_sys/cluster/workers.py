"""Workers on a Ray cluster; trainings by them: ``uv run -m rec_sys.train.train launcher=ray``."""

import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
from omegaconf import DictConfig, OmegaConf
from pydantic import Field

from rec_sys.foundation.console import note, show_table
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import NotNegative, PositiveCount, read_settings, settings_of
from rec_sys.modules.checkpoint import LAST_SUFFIX

_PATIENCE_SECONDS = 5.0
# The column of a task; and that of a table that tells, instead of a result, why there is none.
_VALUE, _PROBLEM = "value", "problem"
#: Has to be set before Ray is imported.
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # no call home
    # Under `uv run` Ray would pack the working directory, data included, and send it around.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # spares a warning about GPUs
    # Only what ends a process: Ray calls arguments of a restartable process an error.
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_worker_niceness": "0",  # beside other work, workers at 15 would come to nothing
}


@settings_of("cluster")
class ClusterSettings:
    """``config/cluster``."""

    address: str | None
    cpus: PositiveCount | None
    object_store_mb: Annotated[int, Field(ge=75)]  # Ray itself refuses less
    actors: PositiveCount | None
    cpus_per_actor: PositiveCount
    gpus_per_actor: NotNegative
    texts_per_task: PositiveCount
    people_per_task: PositiveCount


@contextmanager
def connected(cluster: ClusterSettings) -> Iterator[None]:
    """Connects with a Ray cluster, or starts one on this machine that ends with the block. Raises
    InputError if Ray is not installed, or no cluster answers at the address."""
    alone = {
        # Whoever reaches Ray's ports may run anything: with this token alone,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # and on the loopback alone, on any system
    }
    # Whoever has imported Ray before has its own defaults, which want a token as well.
    own_cluster = cluster.address is None and "ray" not in sys.modules
    for name, value in (ENVIRONMENT | (alone if own_cluster else {})).items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ModuleNotFoundError:
        raise InputError("Ray is not installed; install it with `uv sync --extra ray`") from None

    if cluster.address not in (None, "auto"):  # auto: whatever cluster this machine belongs to
        _require_answer(cluster.address)
    note("connecting with Ray" if cluster.address else "starting Ray on this machine")
    memory = cluster.object_store_mb << 20
    own = {"num_cpus": cluster.cpus, "object_store_memory": memory, "include_dashboard": False}
    try:
        ray.init(
            # Without "local", Ray would join whatever cluster it finds.
            address=cluster.address or "local",
            log_to_driver=False,
            logging_level=logging.ERROR,
            **({} if cluster.address else own),
        )
    except (ConnectionError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"cluster.address={cluster.address}: {reason}") from None
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # Ray's own prints what its C++ was at
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    try:
        yield
    finally:
        ray.shutdown()


def work_on(
    values: Sequence[Any],
    size: int,
    make_worker: Callable[..., Callable[[list[Any]], pa.Table]],
    arguments: Sequence[Any],
    cluster: ClusterSettings,
    *,
    gpus: float = 0,
    in_order: bool = False,
) -> Iterator[pa.Table]:
    """Has several processes work on values, one at least, `size` at a time; yields the tables of
    the results. If a process dies, Ray Data starts it again, without end, with the values whose
    results it had not handed over, so the results are the same. `make_worker` is called with
    `arguments` once in each process and returns what makes a table of values; `gpus` are those of
    each process. InputError if a worker raised one, or the cluster has no room for a worker."""
    import ray

    parts = (values[first : first + size] for first in range(0, len(values), size))
    tasks = [pa.table({_VALUE: pa.array(part)}) for part in parts]
    actors = min(cluster.actors or room_for(cluster.cpus_per_actor, gpus), len(tasks))
    note(f"Ray starts processes for {len(tasks)} parts of the work: {actors}")
    results = ray.data.from_arrow(tasks).map_batches(
        Worker,
        fn_constructor_args=(make_worker, tuple(arguments)),
        batch_format="pyarrow",
        batch_size=None,
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_cpus=cluster.cpus_per_actor,
        num_gpus=gpus,
    )
    results.context.execution_options.preserve_order = in_order
    # To Ray Data a process that is not needed any more while it starts is one that died.
    results.context.max_consecutive_actor_init_deaths = actors
    for table in results.iter_batches(batch_size=None, batch_format="pyarrow"):
        if _PROBLEM in table.column_names:
            raise InputError(table[_PROBLEM][0].as_py())
        yield table


class Worker:
    """A worker in its process, made when the first task is there. Of exceptions Ray hands on only
    the traceback, as text, so bad input comes back as a value."""

    def __init__(self, make: Callable[..., Callable], arguments: tuple) -> None:
        self._make, self._arguments = make, arguments
        self._work: Callable | None = None

    def __call__(self, task: pa.Table) -> pa.Table:
        """The results of a task, or one row that tells the problem with it."""
        try:
            self._work = self._work or self._make(*self._arguments)
            return self._work(task[_VALUE].to_pylist())
        except InputError as error:
            return pa.table({_PROBLEM: [str(error)]})


def _require_answer(address: str) -> None:
    """Tries the address, which Ray itself would do for minutes."""
    host, colon, port = address.rpartition(":")
    if not (colon and port.isdecimal()) or "/" in host:
        raise InputError(f"cluster.address={address}: must be HOST:PORT, auto or null")
    try:
        socket.create_connection((host, int(port)), _PATIENCE_SECONDS).close()
    except (OSError, OverflowError) as error:
        remedy = "start a cluster with `ray start --head`, which tells its address"
        why = f"nobody answers there ({error}); {remedy}"
        raise InputError(f"cluster.address={address}: {why}") from None


def room_for(cpus: int, gpus: float) -> int:
    """For how many workers there is room on all machines together; an `InputError` for none."""
    import ray

    needed = {"CPU": cpus} | ({"GPU": gpus} if gpus else {})
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    room = sum(int(min(of.get(each, 0) // n for each, n in needed.items())) for of in machines)
    if not room:
        wanted = f"cluster.cpus_per_actor={cpus}, cluster.gpus_per_actor={gpus:g}"
        raise InputError(f"{wanted}: no machine of the cluster has so many; ask for fewer")
    return room


_CHECKPOINT = "checkpoint"


@settings_of("launcher")
class RayLauncher:
    """Trains with several processes on several machines, by default as many as there is room for.
    If one dies, all start again from the newest saved epoch, at most `max_failures` times."""

    workers: PositiveCount | None
    max_failures: Annotated[int, Field(ge=0)]

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
            notes = (Path(config.paths.cache_dir) / "ray_train").absolute()  # Ray's own
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
    if newer := sorted(_saved(config).items() - task["older"].items(), key=lambda each: each[1]):
        config.train.resume = newer[-1][0]  # it was started again
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
