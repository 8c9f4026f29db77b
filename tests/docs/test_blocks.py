"""Every code block of README and docs is what it says: commands exist, and have these settings."""

import csv
import io
import json
import re
import tomllib
from functools import cache

import pytest
import yaml

from rec_sys import __version__
from rec_sys.__main__ import COMMANDS
from rec_sys.foundation.arguments import for_hydra
from rec_sys.foundation.cli import compose_config
from rec_sys.foundation.settings import flat
from tests.helpers.pages import PAGES, READMES, ROOT, blocks

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXPORT = (
    "uv run python -m rec_sys.modules.model_export ./checkpoints/<checkpoint>"
    " ./config/model/model_config.yaml"
    " --output_path=./triton_utils/model_repository/graph_model/1/model.onnx"
)
# What a command says of itself, where it is no command of rec_sys.
OTHERS = {
    "bash": lambda words: (ROOT / words[0]).is_file(),
    "uv build": lambda words: not words,
    "uv export": lambda words: {"--locked", "--all-extras"} <= set(words),
    "uv sync": lambda words: words in ([], ["--extra", "ray"]),
    "uv run pytest": lambda words: all(w == "-n0" or (ROOT / w).exists() for w in words),
    "uv run pre-commit": lambda words: words == ["run", "-a"],
    "uv run --group docs mkdocs": lambda words: words[0] in ("serve", "build"),
    "uv run mlflow": lambda words: words[:3] == ["ui", "--backend-store-uri", MLFLOW],
    "pip install": lambda words: WHEEL.fullmatch(words[-1])[1] in EXTRAS,
    "rec-sys": lambda words: settings_exist(f"rec_sys.{COMMANDS[words[0]][0]}", words[1:]),
    "docker compose": lambda words: (ROOT / words[words.index("-f") + 1]).is_file(),
    "docker build": lambda words: (ROOT / "Dockerfile").is_file() and words[-1] == ".",
    "docker run": lambda words: words[-1] in COMMANDS and words[-2] == "rec_sys",
    "mkdir": lambda words: words == ["-p", "shop"],
    "export": lambda words: words[0].startswith("REC_SYS_API_KEY="),
    "curl": lambda words: words[0].startswith("localhost:8000/"),  # asked in end_to_end
}
MLFLOW = "sqlite:///mlflow.db"
EXTRAS = PROJECT["project"]["optional-dependencies"]
WHEEL = re.compile(r"dist/rec_sys-\d+\.\d+\.\d+-py3-none-any\.whl\[(\w+)\]")


def settings_exist(module: str, arguments: list[str]) -> bool:
    """Whether a command can be composed with these arguments, as far as no file is opened."""
    source = (ROOT / module.replace(".", "/")).with_suffix(".py").read_text()
    (config,) = re.findall(r'command\("(\w+)"\)', source)
    return composes(config, tuple(arguments))


@cache
def composes(config: str, arguments: tuple[str, ...]) -> bool:
    return bool(compose_config(config, for_hydra(arguments, settings_of(config))))


@cache
def settings_of(config: str) -> list[str]:
    return [name for name, _ in flat(compose_config(config, []))]


def check(words: list[str]) -> bool:
    command = " ".join(words)
    if command == EXPORT:
        return True
    if module := re.match(r"uv run (?:python )?-m (rec_sys\.[\w.]+)", command):
        return settings_exist(module[1], words[words.index(module[1]) + 1 :])
    start = next((each for each in OTHERS if command.startswith(each)), None)
    assert start, f"what is {command}?"
    return OTHERS[start](words[len(start.split()) :])


@pytest.mark.parametrize("block", blocks(), ids=str)
def test_a_block_is_what_it_says(block):
    if block.language == "bash":
        commands = list(block.commands())
        # What an example of docs/extending.md adds is there in the test of that page.
        if block.page.name != "extending.md":
            assert commands and all(map(check, commands))
    elif block.language == "python":
        compile(block.text, str(block), "exec")
    elif block.language == "json":
        assert json.loads(block.text)
    elif block.language == "yaml":
        assert yaml.safe_load(block.text)
    elif block.language == "csv":
        header, *rows = csv.reader(io.StringIO(block.text))
        assert rows and all(len(row) == len(header) for row in rows)
    else:
        assert block.language == "text", "name the language, so that it can be checked"


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.name)
def test_a_readme_is_short_and_names_the_main_commands(page):
    text = page.read_text()
    assert len(text.splitlines()) <= 150
    for command in (
        "uv run -m rec_sys.train.train\n",
        "uv run -m rec_sys.vector_database.create_vectorbase",
        "uv run -m rec_sys.inference.infer",
        EXPORT + "\n",
        "uv run pytest\n",
    ):
        assert command in text


def test_both_readmes_show_the_same():
    english, russian = ([(b.language, strip(b.text)) for b in blocks(page)] for page in READMES)
    assert english == russian


def strip(text: str) -> str:
    """Comments may be in another language."""
    return re.sub(r"\s+# .*", "", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        made = page.parent.name == "docs" and target.startswith(("reference/", "notebook.md"))
        if "://" not in target and not made:  # these are made while MkDocs builds the site
            assert (page.parent / target).exists(), target


def test_the_workflow_runs_what_everybody_runs():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    (job,) = workflow["jobs"].values()
    assert job["steps"][-1]["run"] == "bash .ci/run"
    assert set(job["strategy"]["matrix"]["python"]) <= {
        each.rpartition(" ")[2] for each in PROJECT["project"]["classifiers"]
    }
    assert "mkdocs build --strict" in (ROOT / ".ci/run").read_text()


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["version"] == __version__
    assert citation["license"] == PROJECT["project"]["license"]
