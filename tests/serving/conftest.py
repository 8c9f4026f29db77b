"""Fixtures of the service's tests."""

from .page_server import browser, page_url, visit

__all__ = ["browser", "page_url", "visit"]
