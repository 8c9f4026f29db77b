import sys

import pytest
from exponent import fitted_exponent
from figures import Figure, json_path, read_figures, write_figures
from growth import figures
from table import Outcome, table


def test_exponent_of_a_power_is_found():
    sizes = [1, 2, 4, 40]
    assert fitted_exponent(sizes, [3 * size**1.5 for size in sizes]) == pytest.approx(1.5)
    assert fitted_exponent(sizes, [7, 7, 7, 7]) == pytest.approx(0)


def test_no_exponent_through_one_size_or_nothing():
    with pytest.raises(ValueError, match="exponent"):
        fitted_exponent([2, 2], [1, 2])
    with pytest.raises(ValueError, match="exponent"):
        fitted_exponent([1, 2], [0, 2])


def test_growth_of_each_stage_is_fitted_on_its_own():
    rows = [
        ("a", "0.5", 100, 1.0, 0, 10.0, 0, 0, 0),
        ("a", "1", 200, 4.0, 0, 20.0, 0, 0, 0),
        ("b", "1", 200, 4.0, 0, 20.0, 0, 0, 0),
    ]
    found = {each.name: each for each in figures(rows)}
    assert found["a: time exponent"].value == pytest.approx(2)
    assert found["a: time exponent"].is_reached is False
    assert found["a: memory exponent"].value == pytest.approx(1)
    assert found["a: time"].value == 4.0
    assert not any(name.startswith("b") for name in found)


def test_targets_are_reached_from_their_side():
    assert Figure("x", 20, at_least=20).is_reached
    assert not Figure("x", 19, at_least=20).is_reached
    assert Figure("x", 1.1, at_most=1.1).is_reached
    assert not Figure("x", float("nan"), at_most=1.1).is_reached
    assert Figure("x", 1).is_reached is None


def test_figures_come_back_as_they_were_written(tmp_path):
    given = [Figure("x", 1.5, "s", "y", at_least=1), Figure("z", 2)]
    write_figures(tmp_path / "figures.json", given)
    assert read_figures(tmp_path / "figures.json") == given


def test_the_path_of_the_figures_is_taken_out_of_the_command_line(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["index.py", "--json", str(tmp_path / "f"), "a=b"])
    assert json_path() == tmp_path / "f"
    assert sys.argv == ["index.py", "a=b"]
    assert json_path() is None


def test_table_shows_what_was_reached_and_what_failed():
    text = table(
        [
            Outcome("fast", 12.4, [Figure("ratio", 25.04, "×", "pandas", at_least=20)]),
            Outcome("slow", 3, [Figure("ratio|2", 1234.5, "", "", at_most=1.1)]),
            Outcome("broken", 1, None),
        ],
        {"CPU": "some, avx2"},
        quick=False,
    )
    assert "- CPU: some, avx2" in text
    assert "| fast | ratio | 25.04 × | ≥ 20 | yes | pandas |" in text
    assert "| slow | ratio/2 | 1,234 | ≤ 1.1 | no |  |" in text
    assert "| broken | failed" in text
    assert "fast 12 s, slow 3 s, broken 1 s" in text
    assert "quick" not in text
