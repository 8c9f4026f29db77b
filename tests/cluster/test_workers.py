import os
import signal
import subprocess
import sys
import tempfile

import pytest
from hydra import compose, initialize_config_dir

from rec_sys.cluster.workers import ClusterSettings, connected
from rec_sys.foundation.cli import CONFIG_DIR
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import read_settings
from tests.cluster.conftest import ROOT
from tests.helpers.machines import needs_ray

pytestmark = needs_ray


def settings_with(*overrides):
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        return read_settings(
            ClusterSettings, compose("encode_files_config", list(overrides)).cluster
        )


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "nobody answers there"),
        ("ray://127.0.0.1:10001", "must be HOST:PORT"),
        ("somewhere", "must be HOST:PORT"),
    ],
)
def test_an_address_without_a_cluster(address, message):
    settings = settings_with(f"cluster.address='{address}'")
    with pytest.raises(InputError, match=message), connected(settings):
        pass


def test_a_cluster_of_this_machine_is_reached_from_here_with_its_token_alone():
    script = """
import os, signal
from tests.cluster.test_workers import connected, settings_with
with connected(settings_with("cluster.cpus=1")):
    import ray
    (node,) = ray.nodes()
    token = os.environ["RAY_AUTH_TOKEN"]
    print(node["NodeManagerAddress"], os.environ["RAY_AUTH_MODE"], len(token), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as folder:  # a short path, see Ray
        environment |= {"RAY_TMPDIR": folder, "PYTHONPATH": ROOT}
        run = [sys.executable, "-c", script]
        done = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.split()[-3:] == ["127.0.0.1", "token", "64"], done.stderr
    assert done.returncode == -signal.SIGTERM
    assert "SIGTERM" not in done.stderr  # nothing of Ray's C++
