import json
import math

import numpy as np
import pytest

from rec_sys.evaluation.audit import Finding
from rec_sys.evaluation.leaderboard import (
    Column,
    Leaderboard,
    RunFacts,
    Table,
    as_markdown,
    show_leaderboard,
    write_leaderboard,
)
from rec_sys.evaluation.scores import Interval

NDCG = Column("ndcg@10", "NDCG@10")
MAE = Column("mae", "MAE", "lower", 2)
DIFFERENCE = Column("difference", "against EASE", None)


@pytest.fixture
def board():
    facts = RunFacts(
        "demo",
        "ab12",
        [0, 1],
        {"split": {"name": "time"}, "models": ["ease"]},
        {"fit EASE": 1.25},
    )
    rows = {
        "popularity": {
            "ndcg@10": Interval(0.05, 0.04, 0.06),
            "mae": np.float32(0.701),
            "n": np.int64(7),
        },
        "EASE | tuned": {"ndcg@10": Interval(0.11, 0.1, 0.12), "mae": math.nan},
        "rec_sys": {
            "ndcg@10": Interval(0.13, 0.12, 0.14),
            "mae": 0.699,
            "difference": Interval(0.02, 0.01, 0.03),
        },
    }
    columns = [NDCG, MAE, DIFFERENCE, Column("n", "targets", None)]
    return Leaderboard(
        facts,
        [Table("Ranking, time split", columns, rows, "1000 targets.")],
        0.9,
        [Finding("edges", True, "none shown"), Finding("texts", False, "3 copies")],
        ["Recall after a year: the data ends before."],
    )


def test_markdown_has_everything(board):
    lines = as_markdown(board).splitlines()
    assert lines[2].startswith("Values in brackets are 90 % intervals.")
    assert "| popularity | 0.0500 [0.0400, 0.0600] | **0.70** | – | 7 |" in lines
    assert "| EASE \\| tuned | 0.1100 [0.1000, 0.1200] | – | – | – |" in lines
    assert (
        "| rec_sys (ours) | **0.1300 [0.1200, 0.1400]** | **0.70** | 0.0200 [0.0100, 0.0300] | – |"
        in lines
    )
    assert "| --- | ---: | ---: | ---: | ---: |" in lines
    assert "1000 targets." in lines
    assert "| texts | **failed** | 3 copies |" in lines
    assert "- Recall after a year: the data ends before." in lines
    assert "- seeds: 0, 1" in lines and "| fit EASE | 1.2 |" in lines
    assert "  name: time" in lines
    assert any("`ab12`" in line for line in lines)


def test_files_are_written_and_json_is_strict(board, tmp_path):
    markdown, path = write_leaderboard(board, tmp_path / "new")
    assert markdown.read_text() == as_markdown(board)

    def refuse(constant):
        raise AssertionError(constant)

    plain = json.loads(path.read_text(), parse_constant=refuse)
    rows = plain["tables"][0]["rows"]
    assert rows[1]["metrics"]["mae"] is None
    assert rows[2]["metrics"]["ndcg@10"] == {"value": 0.13, "low": 0.12, "high": 0.14}
    assert rows[2]["is_ours"] and plain["findings"][1]["passed"] is False
    facts = plain["facts"]
    assert facts["data_checksum"] == "ab12" and facts["config"]["split"]["name"] == "time"
    assert {"python", "numpy", "torch"} <= set(facts["versions"])
    assert facts["cpu_count"] >= 1 and facts["date"].startswith("20")


def test_console_marks_the_best(board, capsys):
    show_leaderboard(board.tables, board.not_measured)
    printed = capsys.readouterr().out
    assert "0.1300 [0.1200, 0.1400] *" in printed
    assert "not measured: Recall" in printed and "1000 targets." in printed


def test_a_wide_table_comes_in_parts_and_no_number_is_broken(capsys):
    columns = [Column(f"m{i}", f"metric {i}, by a long heading", None) for i in range(9)]
    cells = {c.key: Interval(-0.1 * i, -1.0, 1.0) for i, c in enumerate(columns)}
    table = Table("Ranking", columns, {"matrix factorisation of all the ratings": cells})
    show_leaderboard([table], [])
    lines = capsys.readouterr().out.splitlines()
    printed = "\n".join(lines)
    assert all(column.text_of(cells[column.key]) in printed for column in columns)
    assert max(map(len, lines)) <= 100 and printed.count("Ranking, continued") == 4


def test_the_best_of_nothing_is_nothing():
    table = Table("", [NDCG], {"a": {}, "b": {"ndcg@10": math.nan}})
    assert table.best_rows(NDCG) == set()
    assert table.best_rows(DIFFERENCE) == set()


def test_no_interval_without_a_value():
    assert NDCG.text_of(Interval(math.nan, math.nan, math.nan)) == "–"
