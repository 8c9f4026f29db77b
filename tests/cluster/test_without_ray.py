"""Ray is an extra: who does not need it never notices."""

import subprocess
import sys

import pytest
from hydra import compose, initialize_config_dir

from rec_sys.cluster.workers import ClusterSettings, connected
from rec_sys.foundation.cli import CONFIG_DIR
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import read_settings

COMMANDS = (
    "train.train",
    "vector_database.create_vectorbase",
    "inference.infer",
    "evaluation.evaluate",
    "serving.app",
    "cluster.encode_files",
    "cluster.recommend_all",
)


def test_every_command_can_be_imported():
    imports = "".join(f"import rec_sys.{command}\n" for command in COMMANDS)
    subprocess.run(
        [sys.executable, "-c", f"import sys\nsys.modules['ray'] = None\n{imports}"], check=True
    )


def test_a_command_that_needs_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        config = compose("encode_files_config")
    settings = read_settings(ClusterSettings, config.cluster)
    with pytest.raises(InputError, match="uv sync --extra ray"), connected(settings):
        pass
