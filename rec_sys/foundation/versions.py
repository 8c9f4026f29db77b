"""Which versions computed something, so that it can be computed again."""

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version


def versions_of(packages: Sequence[str]) -> dict[str, str]:
    """Versions of Python and of some packages; one that is not installed is left out."""
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
