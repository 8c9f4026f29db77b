"""Starts the cluster once."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rec_sys.cluster.workers import ENVIRONMENT
from tests.helpers.machines import Machines

#: Workers import the tests' classes from there.
ROOT = str(Path(__file__).parents[2])


@pytest.fixture(scope="package")
def cluster() -> Iterator:
    # Sockets are below it, and the path of a socket must be short.
    temp_dir = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.setenv("PYTHONPATH", ROOT, prepend=os.pathsep)
        # Not as an argument: Ray would still want to write into its folder for everybody.
        patch.setenv("RAY_TMPDIR", temp_dir)
        machines = Machines()
        try:
            yield machines
        finally:
            machines.stop()
            shutil.rmtree(temp_dir, ignore_errors=True)
