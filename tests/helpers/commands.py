"""Commands, run as a person runs them, in a temporary folder."""

import io
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest.mock import patch
from urllib.request import Request, urlopen

from rec_sys.foundation.cli import CONFIG_DIR

MODEL_CONFIG = str(CONFIG_DIR / "model" / "model_config.yaml")
#: A shop that is small enough to train many times.
SMALL = ("data.num_users=60", "data.num_products=40", "train.max_epochs=2")

#: Seconds after which something hangs.
TIMEOUT = 120


@cache
def tracked() -> tempfile.TemporaryDirectory:
    """For all trainings in this process, in which MLflow keeps a database open by its name alone;
    to make the tables of another one would take seconds."""
    return tempfile.TemporaryDirectory()


@dataclass(frozen=True)
class Shell:
    """Runs ``python -m rec_sys.…`` in a folder, or the ``rec-sys`` of an installed wheel."""

    folder: Path
    program: Path | None = None

    def start(self, module: str, *arguments: str) -> subprocess.Popen:
        own = [sys.executable, "-m", f"rec_sys.{module}"]
        command = [str(self.program), module] if self.program else own
        return subprocess.Popen(
            [*command, *arguments],
            cwd=self.folder,
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

    def run_here(self, module: str, *arguments: str) -> subprocess.CompletedProcess:
        """The same in this process, which saves the seconds in which PyTorch is imported."""
        command = [module, *arguments]
        out, err, status = io.StringIO(), io.StringIO(), 0
        with (
            chdir(self.folder),
            patch.object(sys, "argv", command),
            patch.dict(os.environ),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            try:
                runpy.run_module(f"rec_sys.{module}", run_name="__main__")
            except SystemExit as end:
                status = end.code
        return subprocess.CompletedProcess(command, status, out.getvalue(), err.getvalue())

    def ok(self, module: str, *arguments: str, here: bool = False) -> str:
        """Runs a command that must succeed; returns what it printed."""
        done = (self.run_here if here else self.run)(module, *arguments)
        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def train(self, *arguments: str, here: bool = False) -> str:
        options = ["trainer.enable_progress_bar=false"]
        if here:
            options += [f"logger.tracking_uri=sqlite:///{tracked().name}/mlflow.db"]
            options += [f"logger.artifact_location={tracked().name}/mlruns"]
        return self.ok("train.train", *options, *arguments, here=here)


class Running:
    """A service in a process of its own, on a free port."""

    def __init__(self, shell: Shell, *overrides: str, command: str = "serving.app") -> None:
        self.process = shell.start(command, "serving.port=0", *overrides)
        self.lines: list[str] = []
        ready = threading.Event()

        def read() -> None:
            for line in self.process.stdout:
                self.lines.append(line.rstrip())
                if line.startswith("ready: "):
                    ready.set()
            ready.set()

        threading.Thread(target=read, daemon=True).start()
        # Nobody reads the other stream until the end: it must not fill up.
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        assert ready.wait(TIMEOUT) and self.process.poll() is None, self.lines
        self.address = self.lines[-1].removeprefix("ready: ")

    def ask(self, path: str, body: dict | None = None) -> dict:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.address + path, data, {"Content-Type": "application/json"})
        with urlopen(request, timeout=TIMEOUT) as answer:
            return json.load(answer)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            os.kill(self.process.pid, how)
        return self.process.wait(timeout=30)
