"""A real PostgreSQL for tests, from Debian's package: on a free port of 127.0.0.1."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.page_server import free_port

START_SECONDS = 30


class PostgresMissing(Exception):
    """It cannot be had here."""


def _program(name: str) -> str:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    path = str(found[-1]) if found else shutil.which(name)
    if path is None:
        raise PostgresMissing("Debian's package postgresql is not installed")
    return path


def _user() -> str | None:
    """It does not run as root."""
    if os.geteuid():
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        raise PostgresMissing("there is no user postgres that it could run as") from None


@contextmanager
def postgresql() -> Iterator[str]:
    """Runs a server with nothing in it; yields a URL that lacks a database."""
    try:
        import psycopg
    except ImportError:
        raise PostgresMissing("psycopg is not installed: uv sync --extra postgresql") from None
    programs = {name: _program(name) for name in ("initdb", "postgres")}
    user, port = _user(), free_port()
    url = f"postgresql://tester@127.0.0.1:{port}"
    # Not in pytest's folders, which are its user's alone.
    with tempfile.TemporaryDirectory(prefix="rec_sys_postgresql_") as name:
        folder = Path(name)
        if user is not None:
            shutil.chown(folder, user)
        make = [programs["initdb"], "-D", "data", "-U", "tester", "-A", "trust", "-E", "UTF8"]
        make += ["--locale=C", "-N"]
        subprocess.run(make, check=True, user=user, stdout=subprocess.DEVNULL, cwd=folder)
        run = [programs["postgres"], "-D", "data", "-p", str(port), "-h", "127.0.0.1", "-k", name]
        with (folder / "log").open("w") as log:
            server = subprocess.Popen(run, stdout=log, stderr=log, user=user, cwd=folder)
        try:
            for _ in range(START_SECONDS * 10):
                try:
                    psycopg.connect(f"{url}/postgres").close()
                    break
                except psycopg.OperationalError:
                    time.sleep(0.1)
            else:
                raise AssertionError((folder / "log").read_text())
            yield url
        finally:
            server.send_signal(signal.SIGINT)  # "fast": whoever is connected is sent away
            server.wait(timeout=30)
