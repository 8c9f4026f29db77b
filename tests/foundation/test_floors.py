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
    "evaluation": 5,
    "vector_database": 5,
    "inference": 6,
    "serving": 7,
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
