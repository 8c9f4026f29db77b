"""One folder for all trainings, and one training that many tests look at."""

from pathlib import Path

import pytest

from tests.helpers.configs import small_config


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """Shared by all trainings of the session: texts are encoded once."""
    return tmp_path_factory.mktemp("train")


@pytest.fixture(scope="session")
def trained_once(folder):
    """A finished training: (config, metrics, objects)."""
    from rec_sys.train.train import train

    config = small_config(folder, "train.run_name=once", "train.export=true")
    return config, *train(config)
