"""The architecture of the house: who may import whom."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "rec_sys"
FLOOR = {
    "foundation": 0,
    "reviews": 1,
    "text": 2,
    "graph": 3,
    "modules": 4,
    "train": 5,
    "evaluation": 6,
    "vector_database": 5,
    "inference": 6,
    "serving": 7,
    "cluster": 8,
}
MAX_LINES = 260


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        rooms |= {name.split(".")[1] for name in names if name.startswith("rec_sys.")}
        assert not any(name.split(".")[0] == "triton_utils" for name in names), path
    return rooms


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=str)
def test_a_room_imports_only_from_rooms_below(path):
    if path.parent == PACKAGE:
        return
    room = path.relative_to(PACKAGE).parts[0]
    for other in imported_rooms(path) - {room}:
        assert FLOOR[other] < FLOOR[room], f"{room} must not import {other}"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=str)
def test_files_can_be_read_in_one_sitting(path):
    assert len(path.read_text().splitlines()) <= MAX_LINES


def imported_at_once(path: Path) -> set[str]:
    """Our modules that importing this one imports: not those in functions or for type checkers."""
    return {
        node.module
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rec_sys.")
    }


def test_no_module_imports_itself_in_a_circle():
    graph = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): imported_at_once(path)
        for path in PACKAGE.rglob("*.py")
    }
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join([*above, module])
        if module not in done:
            for other in graph.get(module, ()):
                visit(other, (*above, module))
            done.add(module)

    for module in graph:
        visit(module, ())
