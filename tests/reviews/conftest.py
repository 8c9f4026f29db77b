"""Makes `review_samples` importable (pytest's importlib mode leaves sys.path alone), real data."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))

# A busy machine is no reason to fail.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture
def real_data() -> Path:
    """The folder of real data sets, see the README's part on development."""
    folder = os.environ.get("REC_SYS_DATA_DIR")
    if not folder:
        pytest.skip("REC_SYS_DATA_DIR does not name a folder of real data sets")
    return Path(folder)
