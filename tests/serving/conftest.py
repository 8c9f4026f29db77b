"""Fixtures of the service's tests."""

import sys
from pathlib import Path

from .page_server import browser, page_url, visit
from .tiny_service import bundle, client, service, text, two_bundles

# Where `tiny_models` is; pytest's importlib mode leaves sys.path alone.
sys.path.insert(0, str(Path(__file__).parents[1] / "vector_database"))

__all__ = ["browser", "bundle", "client", "page_url", "service", "text", "two_bundles", "visit"]
