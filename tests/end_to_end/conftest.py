"""A small shop, trained, indexed and served once for all commands that need one."""

import shutil
import signal

import pytest

from tests.helpers.commands import SMALL, Running, Shell


@pytest.fixture(scope="session")
def trained_demo(tmp_path_factory) -> tuple[Shell, str]:
    """A folder with the demo, trained with the default settings, and what that printed."""
    shell = Shell(tmp_path_factory.mktemp("demo"))
    return shell, shell.ok("train.train")


@pytest.fixture(scope="session")
def small_shop(tmp_path_factory) -> Shell:
    """A shell in a folder with a small trained model and its index."""
    shell = Shell(tmp_path_factory.mktemp("small"))
    shell.train(*SMALL, "train.run_name=small")
    shell.ok("vector_database.create_vectorbase")
    return shell


@pytest.fixture(scope="session")
def served_shop(small_shop, tmp_path_factory) -> Shell:
    """A folder with a bundle, made by the first start of the service."""
    folder = tmp_path_factory.mktemp("service")
    shutil.copytree(small_shop.folder, folder, dirs_exist_ok=True)
    shell = Shell(folder)
    service = Running(shell)
    try:
        assert "bundle: no bundle yet, making it" in service.lines
        assert (folder / "bundle" / "manifest.json").is_file()
    finally:
        assert service.stop() == -signal.SIGTERM  # after the last answer, uvicorn passes it on
    return shell
