"""The pages that nobody writes: reference and notebook, made while MkDocs builds the site."""

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
#: The modules that people import from; what is in their rooms beside them comes after.
API = ("rec_sys.inference.recommender", "rec_sys.inference.results")
_KEY = re.compile(r"(?P<indent> *)(?P<name>[\w.]+):(?P<value>.*?)(?:\s+#\s+(?P<comment>.*))?")


def on_files(files: Any, config: Any) -> Any:
    """MkDocs calls this with the files of ``docs/``; adds what is made of the sources."""
    from mkdocs.structure.files import File  # only the group `docs` has it

    for name, content in generated_pages().items():
        files.append(File.generated(config, name, content=content))
    return files


def generated_pages() -> dict[str, str]:
    """Markdown by file name."""
    pages = {"reference/settings.md": settings_page(ROOT / "config")}
    pages["reference/python.md"] = python_page()
    for room in sorted(path.parent for path in (ROOT / "rec_sys").glob("*/__init__.py")):
        pages[f"reference/{room.name}.md"] = room_page(room)
    pages["notebook.md"] = notebook_page(ROOT / "docs" / "notebook.ipynb")
    return pages


def python_page() -> str:
    """What `from rec_sys import Recommender` gives, and what that returns."""
    about = "# Python\n\n`from rec_sys import Recommender` is all that is needed; this is what it "
    about += "does and returns. The [notebook](../notebook.md) shows it at work.\n\n"
    return about + "\n".join(f"::: {module}\n" for module in API)


def room_page(room: Path) -> str:
    """All other public names of a room, module by module."""
    packages = {room, *(path.parent for path in room.rglob("__init__.py"))}
    modules = [
        path
        for path in sorted(room.rglob("*.py"))
        # Alembic finds its scripts by their folder: they are no part of the package.
        if path.stem[0] != "_" and path.parent in packages
    ]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules]
    parts = [f"::: {name}\n" for name in names if name not in API]
    return f"# {room.name}\n\n::: rec_sys.{room.name}\n\n" + "\n".join(parts)


def settings_page(config: Path) -> str:
    """Every key of every YAML file with its value and the comment beside it."""
    parts = [
        "# Settings\n\nEvery key can be given on the command line of the commands that have it, "
        "after the name of its folder: `train.max_epochs=20`. A heading such as `model=gat` "
        "chooses that file. `--help all` after a command lists what it has.\n"
    ]
    for file in sorted(config.glob("*_config.yaml")):
        parts += [f"## {file.stem}\n", *_file(file)]
    for folder in sorted(each for each in config.rglob("*") if each.is_dir()):
        parts.append(f"## {folder.relative_to(config)}\n")
        for file in sorted(folder.glob("*.yaml")):
            parts += [f"### {folder.relative_to(config)}={file.stem}\n", *_file(file)]
    return "\n".join(parts)


def _file(file: Path) -> list[str]:
    about, rows, parents = [], [], []
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("# ") and not rows and "@package" not in line:
            about.append(line[2:])
        elif match := _KEY.fullmatch(line):
            parents = [each for each in parents if each[0] < len(match["indent"])]
            parents.append((len(match["indent"]), match["name"]))
            name = ".".join(each for _, each in parents)
            value, comment = match["value"].strip(), match["comment"] or ""
            if name not in ("defaults", "_target_", "_partial_") and (value or comment):
                shown = f"`{value}`" if value else ""
                rows.append(f"| `{name}` | {shown} | {comment} |".replace("|`", "| `"))
    table = ["| key | value | |", "|---|---|---|", *rows, ""] if rows else []
    commands = [
        (f"for instance `{line[5:]}`" if line.startswith("e.g. ") else line)
        for line in about
        if not line.startswith(("often: ", "more: "))
    ]
    return [_escaped("  \n".join(commands)) + "\n", *map(_escaped, table)]


def _escaped(text: str) -> str:
    """Angle brackets outside of code are no tags."""
    parts = text.split("`")
    return "`".join(
        part if row % 2 else part.replace("<", "&lt;").replace("*", r"\*")
        for row, part in enumerate(parts)
    )


def notebook_page(notebook: Path) -> str:
    """The notebook's cells as a page; it is run by a test, which keeps no outputs."""
    parts = []
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    return "\n\n".join(parts) + "\n"
