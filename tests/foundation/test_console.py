from rec_sys.foundation.console import show_table


def test_any_text_may_stand_in_a_cell(capsys):
    show_table("t", ["a", "b"], [["x\\[/b] [bold]y", 1.0], [":heart: [/]", None]])
    printed = capsys.readouterr().out
    assert "x\\[/b] [bold]y" in printed and ":heart: [/]" in printed and "1.0000" in printed
