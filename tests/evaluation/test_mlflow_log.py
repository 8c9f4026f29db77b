import math

import mlflow
import pytest
from omegaconf import OmegaConf

from rec_sys.evaluation.leaderboard import (
    Column,
    Leaderboard,
    RunFacts,
    Table,
    draw_metric,
    log_evaluation,
    metric_name,
    metrics_of,
    write_leaderboard,
)
from rec_sys.evaluation.scores import Interval
from rec_sys.train.tracking import Tracking

NDCG = Column("ndcg@10", "NDCG@10")


@pytest.fixture
def board():
    rows = {
        "user + product bias": {"ndcg@10": Interval(0.1, 0.05, 0.2), "n": 7, "why": "text"},
        "rec_sys": {"ndcg@10": math.nan, "none": None},
    }
    facts = RunFacts("demo", "ab", [0], {"split": {"name": "x" * 600}}, {"fit": 2.0})
    return Leaderboard(facts, [Table("Ranking, time", [NDCG], rows)], 0.95)


def test_names_are_such_as_mlflow_takes():
    assert metric_name("ridge on texts (own) + bias: é @10") == "ridge_on_texts_own_bias_at_10"
    assert metric_name("recall@10") == "recall_at_10"


def test_all_numbers_become_metrics(board):
    name = "Ranking_time/user_product_bias/"
    assert metrics_of(board) == {
        "seconds/fit": 2.0,
        name + "ndcg_at_10": 0.1,
        name + "ndcg_at_10_low": 0.05,
        name + "ndcg_at_10_high": 0.2,
        name + "n": 7.0,
    }


def test_a_run_holds_metrics_files_and_pictures(board, tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    config = OmegaConf.create(
        {
            "_target_": "pytorch_lightning.loggers.MLFlowLogger",
            "experiment_name": "test",
            "tracking_uri": uri,
            "artifact_location": str(tmp_path / "artifacts"),
        }
    )
    files = write_leaderboard(board, tmp_path / "out")
    picture = draw_metric(board.tables[0], NDCG, 0.95)
    tracking = Tracking.start(config, "demo", "evaluation-1")
    log_evaluation(tracking, board, files, {"ndcg.png": picture})
    client, run_id = mlflow.MlflowClient(uri), tracking.run_id
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED" and run.info.run_name == "evaluation-1"
    assert run.data.metrics == pytest.approx(metrics_of(board))
    assert run.data.params["data/name"] == "demo"
    assert run.data.params["config/split/name"].startswith("xxx")
    names = {artifact.path for artifact in client.list_artifacts(run_id)}
    assert names == {"leaderboard.md", "leaderboard.json", "ndcg.png"}
