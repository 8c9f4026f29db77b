"""Takes the tiny shop and its vectorbase from the room below."""

import importlib.util
from pathlib import Path

_BELOW = Path(__file__).parents[1] / "vector_database" / "conftest.py"
_spec = importlib.util.spec_from_file_location("vector_database_conftest", _BELOW)
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)

built = _module.built
