"""A real Triton for tests, from the wheel of pytriton: no Docker, no GPU.

The wheel is installed once into the user's cache. It lacks the ONNX Runtime backend; its place is
taken by `onnxruntime_stand_in.py`, behind the same ``config.pbtxt``.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import filelock
import requests

from triton_utils.repository import CONFIG_NAME

WHEEL = "nvidia-pytriton==0.7.0"
_READY_SECONDS = 90
_END_SECONDS = 10
_STAND_IN = Path(__file__).with_name("onnxruntime_stand_in.py")


class WheelMissing(Exception):
    """The wheel is not in the cache and no package index could be reached."""


def install_triton() -> Path:
    """The folder that the wheel is unpacked in."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rec_sys_tests"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / WHEEL.replace("==", "-")
    with filelock.FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            draft = cache / f".{folder.name}.draft"
            shutil.rmtree(draft, ignore_errors=True)
            command = ["uv", "pip", "install", "--python", sys.executable, "--no-deps"]
            command += ["--target", str(draft), WHEEL]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                raise WheelMissing(f"{WHEEL} cannot be installed: {last.strip()}")
            draft.rename(folder)
    return folder


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def build_backends(wheel: Path, folder: Path) -> Path:
    """Lays out the backend directory: the Python backend and ours on top of it."""
    triton = wheel / "pytriton" / "tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = triton / "python_backend_stubs" / version / "triton_python_backend_stub"
    shutil.copytree(triton / "backends" / "python", folder / "python")
    shutil.copy(stub, folder / "python")
    (folder / "onnxruntime").mkdir()
    shutil.copy(_STAND_IN, folder / "onnxruntime" / "model.py")
    return folder


class TritonServer:
    """Serves a model repository as it stands, on ports of its own.

    Args:
        wheel: What `install_triton` returned.
        repository: The model repository.
        work_dir: Empty folder for the backend directory and the log.
    """

    def __init__(self, wheel: Path, repository: Path, work_dir: Path) -> None:
        self._wheel = wheel
        self._repository = repository
        self._backends = build_backends(self._wheel, work_dir / "backends")
        self._log = work_dir / "triton.log"
        self._process: subprocess.Popen | None = None
        self.http_port, self.grpc_port, self.metrics_port = free_ports(3)
        self.url = f"127.0.0.1:{self.grpc_port}"
        self.http_url = f"http://127.0.0.1:{self.http_port}"

    def start(self) -> None:
        """Starts it and waits until all models are ready."""
        here = "127.0.0.1"
        command = [
            str(self._wheel / "pytriton" / "tritonserver" / "bin" / "tritonserver"),
            f"--model-repository={self._repository}",
            f"--backend-directory={self._backends}",
            "--model-control-mode=explicit",
            f"--model-config-name={CONFIG_NAME}",
            "--load-model=*",
            "--allow-gpu-metrics=false",
            *(f"--{kind}-address={here}" for kind in ("http", "grpc", "metrics")),
            f"--http-port={self.http_port}",
            f"--grpc-port={self.grpc_port}",
            f"--metrics-port={self.metrics_port}",
        ]
        libraries = f"{self._wheel / 'nvidia_pytriton.libs'}:{sysconfig.get_config_var('LIBDIR')}"
        environment = os.environ | {
            "LD_LIBRARY_PATH": libraries,
            # The stub takes the python3 that it finds first.
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        with self._log.open("a") as log:
            # A session of its own: the stubs ignore a signal while they load, see `stop`.
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        self._wait_until_ready()

    def stop(self) -> None:
        """Ends it and all its children."""
        if self._process is None:
            return
        group = self._process.pid
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + _READY_SECONDS
        while time.monotonic() < end:
            if self._process.poll() is not None:
                break
            try:
                if requests.get(f"{self.http_url}/v2/health/ready", timeout=1).ok:
                    return
            except requests.ConnectionError:
                pass
            time.sleep(0.1)
        self.stop()
        raise AssertionError(f"Triton did not become ready:\n{self.log()[-4000:]}")
