"""The README's commands, run as a person runs them, in a temporary folder."""

import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from rec_sys.foundation.cli import CONFIG_DIR

MODEL_CONFIG = str(CONFIG_DIR / "model" / "model_config.yaml")
#: A shop that is small enough to train many times.
SMALL = ("data.num_users=60", "data.num_products=40", "train.max_epochs=2")


@cache
def bytecode() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory()


def environment() -> dict[str, str]:
    """Where Python may keep no bytecode, each command would compile PyTorch anew: half its time."""
    environment = dict(os.environ)
    if environment.pop("PYTHONDONTWRITEBYTECODE", None):
        environment["PYTHONPYCACHEPREFIX"] = bytecode().name
    return environment


@dataclass(frozen=True)
class Shell:
    """Runs ``python -m rec_sys.…`` in a folder."""

    folder: Path

    def start(self, module: str, *arguments: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", f"rec_sys.{module}", *arguments],
            cwd=self.folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Where tests run in the background, Ctrl-C is ignored and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, module: str, *arguments: str) -> subprocess.CompletedProcess:
        process = self.start(module, *arguments)
        out, err = process.communicate(timeout=600)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def ok(self, module: str, *arguments: str) -> str:
        """Runs a command that must succeed; returns what it printed."""
        done = self.run(module, *arguments)
        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def train(self, *arguments: str) -> str:
        return self.ok("train.train", "trainer.enable_progress_bar=false", *arguments)


@pytest.fixture(scope="session")
def small_shop(tmp_path_factory) -> Shell:
    """A shell in a folder with a small trained model and its index."""
    shell = Shell(tmp_path_factory.mktemp("small"))
    shell.train(*SMALL, "train.run_name=small")
    shell.ok("vector_database.create_vectorbase")
    return shell
