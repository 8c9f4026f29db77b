"""What README and docs print is run, in a folder with a small trained model."""

import json
import shlex
import shutil
import subprocess
import sys
from urllib.request import Request, urlopen

import nbformat
import pytest
from nbconvert import HTMLExporter
from nbconvert.preprocessors import ExecutePreprocessor

from tests.helpers.commands import TIMEOUT, Running, Shell
from tests.helpers.pages import ROOT, blocks

#: These train, or need what a test has not got; tests/docs/test_blocks.py looks at their settings,
#: and other tests here run them: test_demo.py, test_later_file.py, test_triton_service.py, ...
NOT_AGAIN = (
    *("train.train", "evaluation.evaluate", "modules.model_export", "cluster.", "data=local"),
    *("create_vectorbase", "serving.app", "create_bundle"),
)
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"


@pytest.fixture(scope="module")
def shop(served_shop, tmp_path_factory) -> Shell:
    folder = tmp_path_factory.mktemp("docs")
    shutil.copytree(served_shop.folder, folder, dirs_exist_ok=True)
    for block in blocks():
        if block.title and "/" not in block.title:
            (folder / block.title).write_text(block.text)
    return Shell(folder)


def commands_starting(*start: str) -> list[list[str]]:
    """Each once, whichever page prints it."""
    found = [words for each in blocks() if each.language == "bash" for words in each.commands()]
    texts = dict.fromkeys(shlex.join(words) for words in found if words[: len(start)] == [*start])
    return list(map(shlex.split, texts))


def test_commands_that_need_no_training(shop):
    run = 0
    for words in commands_starting("uv", "run", "-m"):
        if any(part in shlex.join(words) for part in NOT_AGAIN) or words == [*words[:3], INFER]:
            continue
        module, *arguments = words[3:]
        assert shop.ok(module.removeprefix("rec_sys."), *arguments)
        run += 1
    assert run >= 2  # a file, a wish


INFER = "rec_sys.inference.infer"  # without settings it is a part of test_demo.py


def test_requests(shop):
    service = Running(shop)
    try:
        asked = commands_starting("curl")
        assert len(asked) >= 3
        for _, address, *options in asked:
            told = dict(zip(options[::2], options[1::2], strict=True))
            assert told.keys() <= {"-H", "-d"}
            kind = dict([told["-H"].split(": ")]) if "-H" in told else {}
            data = told["-d"].encode() if "-d" in told else None
            url = service.address + address.removeprefix("localhost:8000")
            with urlopen(Request(url, data, kind), timeout=TIMEOUT) as answer:
                assert json.load(answer)
    finally:
        service.stop()


PROGRAMS = {b.text: b for b in blocks() if b.language == "python" and not b.title}


@pytest.mark.parametrize("block", PROGRAMS.values(), ids=str)
def test_python(shop, block):
    done = subprocess.run(
        [sys.executable, "-c", block.text],
        cwd=shop.folder,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_notebook(shop):
    """Kept without outputs; here it is run and rendered."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    place = {"metadata": {"path": str(shop.folder)}}
    ExecutePreprocessor(timeout=TIMEOUT, kernel_name="python3").preprocess(notebook, place)
    shown = [output.get("data", {}) for cell in code for output in cell.outputs]
    assert sum("image/png" in each for each in shown) == 2  # the reasons and the map
    page, _ = HTMLExporter().from_notebook_node(notebook)
    assert page.count("<table") == sum("text/html" in each for each in shown) >= 4
