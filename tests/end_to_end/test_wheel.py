"""The wheel in a place of its own: its code and its settings, none of the checkout's."""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.helpers.commands import SMALL, Running, Shell

CHECKOUT = Path(__file__).resolve().parents[2]
UV = shutil.which("uv")
pytestmark = pytest.mark.skipif(UV is None, reason="uv installs the wheel")


def uv(*arguments):
    done = subprocess.run(
        [UV, *map(str, arguments)], capture_output=True, text=True, cwd=CHECKOUT, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """`rec-sys` in an empty folder, of an environment that has nothing but the wheel.

    The packages that it needs are only put on its path: what is editable here is not found there.
    """
    folder = tmp_path_factory.mktemp("wheel")
    here = ("--offline", "--python", sys.executable)
    uv("build", "--wheel", "--no-build-isolation", *here, "-o", folder)
    uv("venv", *here, folder / "venv")
    python = folder / "venv" / "bin" / "python"
    (wheel,) = folder.glob("*.whl")
    uv("pip", "install", "--offline", "--no-deps", "--python", python, wheel)
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    (site / "packages.pth").write_text(sysconfig.get_path("purelib"))
    return Shell(tmp_path_factory.mktemp("empty"), python.with_name("rec-sys"))


def test_code_and_settings_are_the_wheels(shell):
    python = shell.program.with_name("python")
    told = subprocess.check_output(
        [python, "-c", "import rec_sys; print(rec_sys.__file__)"], text=True, cwd=shell.folder
    )
    package = Path(told.strip()).parent
    assert package.is_relative_to(shell.program.parents[1])
    assert (package / "config" / "train_config.yaml").is_file() and (package / "py.typed").is_file()
    assert (package / "serving" / "page" / "index.html").is_file()


def test_from_the_wheel_to_recommendations_and_the_page(shell):
    shell.ok("train", *SMALL, "encoder.precision=fp32")
    shell.ok("index")
    shell.ok("infer", "infer.k=3")
    assert (shell.folder / "recommendations" / "recommendations.jsonl").is_file()
    running = Running(shell, command="serve")
    try:
        assert running.ask("/recommendations", {"reviews": [{"TextReview": "So light!"}], "k": 2})
    finally:
        running.stop()
