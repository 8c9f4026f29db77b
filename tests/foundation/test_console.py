import io

import pytest
from rich.console import Console as RichConsole

from rec_sys.foundation import console
from rec_sys.foundation.console import progress, show_table


def test_any_text_may_stand_in_a_cell(capsys):
    show_table("t", ["a", "b"], [["x\\[/b] [bold]y", 1.0], [":heart: [/]", None]])
    printed = capsys.readouterr().out
    assert "x\\[/b] [bold]y" in printed and ":heart: [/]" in printed and "1.0000" in printed


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when told to."""
    now = [0.0]
    monkeypatch.setattr(console.time, "perf_counter", lambda: now[0])
    return now


def test_a_log_file_gets_a_line_every_tenth_of_the_work(clock, capsys):
    with progress(400, "reading [bold]", "text") as bar:
        for _ in range(400):
            clock[0] += 0.5
            bar.advance()
    lines = capsys.readouterr().err.split("\n")
    assert lines[0] == "reading [bold]: 40/400 text, 2 text/s, 3:00 left"
    assert lines[-2:] == ["reading [bold]: 400/400 text, 2 text/s, 3:20", ""]
    assert len(lines) == 11 and not any("\r" in line for line in lines)


def test_quick_work_gets_one_line_and_slow_work_none_too_often(clock, capsys):
    with progress(1000, "quick", "text") as bar:
        for _ in range(100):
            clock[0] += 0.01
            bar.advance(10)
    with progress(100, "slow", "model") as bar:
        for _ in range(100):
            clock[0] += 0.1
            bar.advance(1)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["quick", "slow", "slow"]


def test_bytes_of_an_unknown_number_count_on_from_those_that_were_there(clock, capsys):
    with progress(None, "file", "B", initial=5000) as bar:
        clock[0] += 2
        bar.advance(2000)
    assert capsys.readouterr().err == "file: 7.0 kB, 1.0 kB/s, 0:02\n"


def test_only_the_main_process_shows_and_only_if_wanted(monkeypatch, capsys):
    with progress(1, "a", "text", show=False) as bar:
        bar.advance()
    monkeypatch.setenv("RANK", "1")
    with progress(1, "a", "text") as bar:
        bar.advance()
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_one_display_for_bars_within_bars(monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr(
        console, "Console", lambda stderr: RichConsole(file=terminal, force_terminal=True, width=90)
    )
    with progress(1, "models", "model") as outer:
        with progress(2, "texts [x]", "text") as inner:
            inner.advance(2)
        outer.describe("last model")
        outer.advance()
    shown = terminal.getvalue()
    assert "texts [x]" in shown and "0/2 text" in shown
    assert "last model" in shown.rsplit("texts [x]", 1)[1] and "1/1 model" in shown
