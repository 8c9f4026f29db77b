"""The architecture of the house: who may import whom, and how long a file may be."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: From the ground up; rooms of one floor do not know each other.
FLOORS = [
    {"foundation"},
    {"reviews"},
    {"text"},
    {"graph"},
    {"modules"},
    {"train", "vector_database"},
    {"inference"},
    {"evaluation", "serving"},
    {"cluster"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
MAX_LINES = 500

FILES = sorted((ROOT / "rec_sys").rglob("*.py"))
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in FILES}
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))


def imported(nodes: Iterator[ast.AST] | list[ast.stmt]) -> set[str]:
    """Names of the modules that statements import; of ``from a import b``, a and a.b."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def test_every_room_has_a_floor():
    assert {path.name for path in (ROOT / "rec_sys").iterdir() if any(path.glob("*.py"))} == {
        *FLOOR
    }


@every_file
def test_a_room_imports_only_from_rooms_below(path):
    names = imported(ast.walk(ast.parse(path.read_text())))
    assert not any(name.split(".")[0] == "triton_utils" for name in names)
    room = path.relative_to(ROOT / "rec_sys").parts[0]
    if room not in FLOOR:  # rec_sys/__init__.py, the roof
        return
    others = {name.split(".")[1] for name in names if name.startswith("rec_sys.")} & {*FLOOR}
    for other in others - {room}:
        assert FLOOR[other] < FLOOR[room], f"{room} must not import {other}"


@every_file
def test_a_file_is_not_longer_than_an_idea(path):
    assert len(path.read_text().splitlines()) <= MAX_LINES


def test_no_module_imports_itself_in_a_circle():
    # Not what functions import, nor what is imported for type checkers.
    graph = {
        module: imported(ast.parse(path.read_text()).body) & {*MODULES} - {module}
        for module, path in MODULES.items()
    }
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join([*above, module])
        if module not in done:
            for other in graph[module]:
                visit(other, (*above, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_tests_find_their_helpers_without_changing_the_path():
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert (node.value.id, node.attr) != ("sys", "path"), path
