"""The evaluation, run as a person runs it, on a small demo."""

import json

from tests.helpers.commands import SMALL, Shell

QUICK = (*("evaluation=quick", "evaluation.splits=[leave_one_out]", "encoder.precision=fp32"),)


def test_the_evaluation_measures_ours_beside_the_baselines(tmp_path):
    shell = Shell(tmp_path)
    printed = shell.ok("evaluation.evaluate", *SMALL, *QUICK)
    (written,) = tmp_path.glob("evaluation/demo-*")
    assert "(ours)" in printed  # a narrow column folds the name
    assert "| ours against plain EASE" in (written / "leaderboard.md").read_text()
    assert str(written.relative_to(tmp_path) / "leaderboard.md") in printed
    tables = json.loads((written / "leaderboard.json").read_text())["tables"]
    ranking = {row["model"]: row["metrics"] for row in tables[0]["rows"]}
    assert ranking["rec_sys"]["ndcg@10"]["value"] > ranking["popularity"]["ndcg@10"]["value"]
    assert len(list(written.glob("*.png"))) == 3
    assert not (tmp_path / "checkpoints").exists()  # infer must not find these trainings


def test_an_unknown_split_is_one_line(tmp_path):
    done = Shell(tmp_path).run("evaluation.evaluate", "evaluation.splits=[yesterday]")
    assert done.returncode == 2
    assert done.stderr.startswith("error: split=yesterday: there is no such choice")
