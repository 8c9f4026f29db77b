"""The result of an evaluation: a Markdown file for people, a JSON file for programs, a console."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from rec_sys.evaluation.result_tables import Leaderboard, Table
from rec_sys.evaluation.run_facts import RunFacts
from rec_sys.foundation.console import note, show_table
from rec_sys.foundation.files import replacing, write_json

MARKDOWN_NAME = "leaderboard.md"
JSON_NAME = "leaderboard.json"
_OURS = " (ours)"


def write_leaderboard(board: Leaderboard, folder: str | Path) -> tuple[Path, Path]:
    """Writes both files.

    Args:
        board: What was found.
        folder: Is created.

    Returns:
        The Markdown file and the JSON file.
    """
    markdown, json = Path(folder) / MARKDOWN_NAME, Path(folder) / JSON_NAME
    with replacing(markdown) as draft:
        draft.write_text(as_markdown(board), encoding="utf-8")
    write_json(json, as_plain(board))
    return markdown, json


def show_leaderboard(board: Leaderboard) -> None:
    """Prints the tables and the audit; the best value of a column has a star."""
    for table in board.tables:
        show_table(table.title, ["", *(c.heading for c in table.columns)], _cells(table, "{} *"))
        if table.note:
            note(table.note)
    if board.findings:
        rows = [[f.check, "passed" if f.passed else "FAILED", f.detail] for f in board.findings]
        show_table("leakage audit", ["check", "", "found"], rows)
    for sentence in board.not_measured:
        note(f"not measured: {sentence}")


def as_plain(board: Leaderboard) -> dict[str, Any]:
    """The leaderboard as values that JSON knows; what is not a number becomes null."""
    return _without_nan(asdict(board))


def as_markdown(board: Leaderboard) -> str:
    """The leaderboard as Markdown; the best value of a column is bold."""
    return "\n".join(_markdown_lines(board)) + "\n"


def _markdown_lines(board: Leaderboard) -> Iterator[str]:
    facts = board.facts
    yield f"# Evaluation on {facts.data_name}"
    yield ""
    yield "Values in brackets are 95 % intervals. The best value of a column is **bold**."
    for table in board.tables:
        yield from ("", f"## {table.title}", "")
        headings = ["", *(column.heading for column in table.columns)]
        yield from _markdown_table(headings, _cells(table, "**{}**"), len(table.columns))
        if table.note:
            yield from ("", table.note)
    if board.findings:
        yield from ("", "## Leakage audit", "")
        rows = [[f.check, "passed" if f.passed else "**failed**", f.detail] for f in board.findings]
        yield from _markdown_table(["check", "", "found"], rows, 0)
    if board.not_measured:
        yield from ("", "## What could not be measured", "")
        yield from (f"- {sentence}" for sentence in board.not_measured)
    yield from ("", "## Where the numbers come from", "")
    yield from _markdown_facts(facts)


def _markdown_facts(facts: RunFacts) -> Iterator[str]:
    yield f"- data: {facts.data_name}, SHA-256 `{facts.data_checksum}`"
    yield f"- seeds: {', '.join(map(str, facts.seeds))}"
    yield f"- date: {facts.date}"
    yield f"- machine: {facts.machine}, {facts.cpu_count} processors"
    yield "- versions: " + ", ".join(f"{name} {number}" for name, number in facts.versions.items())
    if facts.durations:
        yield from ("", "### Durations", "")
        rows = [[step, f"{seconds:.1f}"] for step, seconds in facts.durations.items()]
        yield from _markdown_table(["step", "seconds"], rows, 1)
    yield from ("", "### Config", "", "```yaml")
    yield from OmegaConf.to_yaml(OmegaConf.create(dict(facts.config))).splitlines()
    yield "```"


def _cells(table: Table, best: str) -> list[list[str]]:
    """The rows as they are shown, the name of the model first; `best` decorates the best value."""
    rows = [[row.model + _OURS * row.is_ours] for row in table.rows]
    for column in table.columns:
        best_rows = table.best_rows(column)
        for number, row in enumerate(table.rows):
            text = column.text_of(row.metrics.get(column.key))
            rows[number].append(best.format(text) if number in best_rows else text)
    return rows


def _markdown_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], right_aligned: int
) -> Iterator[str]:
    """Lines of a table whose last `right_aligned` columns are of numbers."""
    left = len(headings) - right_aligned
    yield _markdown_row(headings)
    yield _markdown_row(["---"] * left + ["---:"] * right_aligned)
    yield from map(_markdown_row, rows)


def _markdown_row(cells: Sequence[str]) -> str:
    # A line break or a bar in a name would end the cell.
    return "| " + " | ".join(" ".join(c.split()).replace("|", "\\|") for c in cells) + " |"


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
