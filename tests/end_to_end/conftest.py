"""A small shop, trained, indexed and served once for all commands that need one."""

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from tests.helpers.commands import SMALL, Running, Shell

_NICE = 10
_begun = []


def pytest_collection_finish(session: pytest.Session) -> None:
    """The longest training goes on beside the first tests, which leave a core free."""
    wanted = any("trained_demo" in getattr(each, "fixturenames", ()) for each in session.items)
    if wanted and not session.config.option.collectonly:
        shell = Shell(Path(tempfile.mkdtemp(prefix="demo")))
        process = shell.start("train.train")
        os.setpriority(os.PRIO_PROCESS, process.pid, _NICE)
        _begun.append((shell, process))


def pytest_sessionfinish() -> None:
    for shell, process in _begun:
        process.kill()
        process.wait()
        shutil.rmtree(shell.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def trained_demo() -> tuple[Shell, str]:
    """A folder with the demo, trained with the default settings, and what that printed."""
    [(shell, process)] = _begun
    printed, errors = process.communicate(timeout=600)
    assert process.returncode == 0, f"{printed[-3000:]}\n{errors[-3000:]}"
    return shell, printed


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
