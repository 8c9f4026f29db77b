"""Starts the cluster once; makes `machines`, `mortal_encoder` and `tiny_models` importable."""

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rec_sys.cluster.workers import ENVIRONMENT

HERE = str(Path(__file__).parent)
sys.path.insert(0, HERE)

_BELOW = Path(__file__).parents[1] / "vector_database" / "conftest.py"
_spec = importlib.util.spec_from_file_location("vector_database_conftest", _BELOW)
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)

built = _module.built


@pytest.fixture(scope="package")
def cluster() -> Iterator:
    from machines import Machines

    # Sockets are below it, and the path of a socket must be short.
    temp_dir = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.setenv("PYTHONPATH", HERE, prepend=os.pathsep)  # for the workers
        # Not as an argument: Ray would still want to write into its folder for everybody.
        patch.setenv("RAY_TMPDIR", temp_dir)
        # Where Python may keep no bytecode, each worker would compile all that it imports.
        if os.environ.get("PYTHONDONTWRITEBYTECODE"):
            patch.delenv("PYTHONDONTWRITEBYTECODE")
            patch.setenv("PYTHONPYCACHEPREFIX", f"{temp_dir}/bytecode")
        machines = Machines()
        try:
            yield machines
        finally:
            machines.stop()
            shutil.rmtree(temp_dir, ignore_errors=True)
