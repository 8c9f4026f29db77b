"""Makes `tiny_models` importable; pytest's importlib mode leaves sys.path alone."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def built(tmp_path):
    """A vectorbase of the tiny shop, built by the command from a checkpoint below `tmp_path`."""
    from tiny_models import config_of, save_checkpoint

    from rec_sys.vector_database.create_vectorbase import create_vectorbase

    save_checkpoint(tmp_path / "checkpoint_dir")
    return create_vectorbase(config_of("vectorbase_config", tmp_path))
