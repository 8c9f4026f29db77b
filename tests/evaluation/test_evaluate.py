import json

import mlflow
import numpy as np
import pytest

from rec_sys.evaluation.audit import LeakageError
from rec_sys.evaluation.evaluate import evaluate
from rec_sys.evaluation.jobs import Baseline
from rec_sys.evaluation.leaderboard import as_plain
from rec_sys.foundation.cli import EXIT_BAD_INPUT, graceful_exit
from rec_sys.foundation.errors import InputError
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.modules.product_graph import ProductGraphBuilder
from tests.helpers.configs import composed
from tests.helpers.fake_training import FakeTraining

SHOP = ["data.num_users=40", "data.num_products=25"]


def config_of(folder, *overrides):
    small_shop = [] if "data=local" in overrides else SHOP
    places = {
        "logger.tracking_uri": f"sqlite:///{folder}/mlflow.db",
        "logger.artifact_location": folder / "mlruns",
        "paths.cache_dir": folder / "cache",
        "evaluation.folder": folder / "evaluation",
    }
    quick = "evaluation=quick", "debug=quick", "encoder.precision=fp32"
    return composed("evaluate_config", *quick, *small_shop, *overrides, places=places)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Texts are encoded once."""
    return tmp_path_factory.mktemp("evaluate")


@pytest.fixture
def training(monkeypatch):
    return FakeTraining().put_in(monkeypatch)


def reviews_file(folder, name, rated=True, copied=False):
    """Six people, five products, four reviews each; `copied`: the last is somebody else's first."""
    reviews = []
    for user in range(6):
        for number in range(4):
            who, said = ((user + 1) % 6, 0) if copied and number == 3 else (user, number)
            review = {
                "nickname": f"n{user}",
                "ProductName": f"p{(user + number) % 5}",
                "TextReview": f"person {who} had {said} " + "words to say about this thing " * 2,
            }
            reviews.append(review | ({"rating": 1 + (user * number) % 5} if rated else {}))
    path = folder / f"{name}.json"
    path.write_text(json.dumps(reviews))
    return f"data.reviews_path={path}"


def test_everything_is_written_and_nothing_is_computed_twice(folder, training, monkeypatch):
    options = (
        *("evaluation.splits=[leave_one_out,new_users]", "evaluation.seeds=[0,1]"),
        *("evaluation.history_lengths=[1,2]", "evaluation.history_starts=[0,3]"),
        "evaluation.ablations=[reviews_masked,no_product_graph]",
    )
    board, written = evaluate(config_of(folder, *options))
    assert len(training.configs) == 2 * 2 * 3  # splits, seeds, whole model and two ablations
    assert {config.train.seed for config in training.configs} == {0, 1}
    assert all("evaluation" not in config for config in training.configs)
    assert sum(config.product_graph.neighbours == 0 for config in training.configs) == 4

    titles = {table.title for table in board.tables}
    for test in ("leave one out", "new users who show 1 review", "new users who show 2 reviews"):
        assert {
            *(f"Ranking, {test}{more}" for more in ("", ": is it better?", ": ablations")),
            *(f"Rating, review {kind}, {test}" for kind in ("unseen", "known")),
            *(
                f"Ranking, {test}: NDCG@10 by {of}"
                for of in ("kind of target", "length of history")
            ),
        } <= titles
    (ranking,) = (table for table in board.tables if table.title == "Ranking, leave one out")
    assert [*ranking.rows][-1] == "rec_sys"
    assert len(ranking.rows) == 9 and "new order among such reviews" in ranking.note
    headings = [column.heading for column in ranking.columns]
    assert headings[:3] == ["NDCG@10", "NDCG@10, liked", "disliked in top 10"]
    for metrics in ranking.rows.values():
        liked, disliked = metrics["ndcg_liked@10"], metrics["disliked"]
        assert liked.low <= liked.value <= liked.high and disliked > 0
    assert "Liked were targets with more than 3 stars, or none given: " in ranking.note
    assert all(finding.passed for finding in board.findings)
    pictures = list(written.glob("*.png"))
    assert len(pictures) == 3 * 3
    json.loads((written / "leaderboard.json").read_text())
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("rec_sys").experiment_id])
    logged = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    assert {"leaderboard.md", "leaderboard.json", *(p.name for p in pictures)} <= logged

    monkeypatch.setattr(Baseline, "run", lambda *_: pytest.fail("computed again"))
    again, _ = evaluate(config_of(folder, *options))
    assert len(training.configs) == 12
    assert as_plain(again)["tables"] == as_plain(board)["tables"]
    assert again.findings == board.findings


def test_seeds_with_one_split_share_the_baselines(folder, training, monkeypatch, capsys):
    """Nobody knows the times, so no order is drawn, and leave-one-out, which the data then get,
    needs no seed."""
    path = reviews_file(folder, "untimed")
    runs = []
    run = Baseline.run
    monkeypatch.setattr(Baseline, "run", lambda *given: runs.append(given[0].kind) or run(*given))
    board, _ = evaluate(config_of(folder, "data=local", path, "evaluation.seeds=[0,1]"))
    assert "no review has a time" in capsys.readouterr().out
    assert "Ranking, leave one out" in {table.title for table in board.tables}
    assert runs.count("ranking") == 8 and len(training.configs) == 2


def test_without_ratings_there_is_no_table_of_them(folder, training):
    path = reviews_file(folder, "unrated", rated=False)
    options = ("data=local", path, "evaluation.splits=[leave_one_out]")
    board, _ = evaluate(config_of(folder, *options, "evaluation.mask_history=[true,false]"))
    titles = [table.title for table in board.tables]
    assert titles.index("Ranking, leave one out, history not masked") > 0
    assert not any(table.title.startswith("Rating") for table in board.tables)
    (ranking,) = (table for table in board.tables if table.title == "Ranking, leave one out")
    disliked = ranking.columns[2]
    for metrics in ranking.rows.values():
        assert disliked.text_of(metrics.get(disliked.key)) == "–"
        liked, all_targets = (metrics[f"{name}@10"].value for name in ("ndcg_liked", "ndcg"))
        assert liked == pytest.approx(all_targets)
    assert any(sentence.startswith("Ratings (leave_one_out)") for sentence in board.not_measured)


def test_an_ablation_that_the_split_forbids_is_told(folder, training):
    options = ("evaluation.splits=[time]", "evaluation.ablations=[no_time]")
    board, _ = evaluate(config_of(folder, *options))
    assert len(training.configs) == 1
    assert any(sentence.startswith("no_time (time)") for sentence in board.not_measured)


def test_a_leak_stops_the_run_before_any_model(folder, training, tmp_path, capsys, monkeypatch):
    path = reviews_file(folder, "copied", copied=True)
    # A split that does not know that reviews repeat one another.
    unknown = property(lambda graph: np.arange(graph.num_edges))
    monkeypatch.setattr(ReviewGraph, "first_copy", unknown)
    config = config_of(
        folder, "data=local", path, "evaluation.splits=[leave_one_out]",
        f"evaluation.folder={tmp_path}",
    )  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        graceful_exit(evaluate)(config)
    assert ended.value.code == EXIT_BAD_INPUT
    message = capsys.readouterr().err
    assert "the leakage audit failed" in message and "texts are not on both sides" in message
    assert not training.configs and not list(tmp_path.rglob("leaderboard*"))


def test_a_model_that_fails_the_audit_is_not_kept(folder, training, tmp_path, monkeypatch):
    """Scores that depend on who else is asked change with the batch size."""
    from tests.helpers.fake_training import FakeCatalogue

    def by_company(self, history, asked, wish=None):
        scores = np.random.default_rng(0).random((history.num_users, len(self.popularity)))
        return scores.astype(np.float32)

    monkeypatch.setattr(FakeCatalogue, "score", by_company)
    config = config_of(folder, "evaluation.splits=[leave_one_out]", f"evaluation.folder={tmp_path}")
    with pytest.raises(LeakageError, match=r"order or batch size \(rec_sys\)"):
        evaluate(config)
    assert not list(tmp_path.rglob("leaderboard*"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("evaluation.splits=[yesterday]", "split=yesterday: there is no such choice"),
        ("evaluation.ablations=[everything]", "no ablation everything; there are reviews_masked"),
        ("evaluation.splits=[]", "evaluation.splits"),
        ("evaluation.seeds=[0,0]", "twice"),
        ("evaluation.ks=[0]", "evaluation.ks.0=0: must be at least 1"),
        ("evaluation.mask_history=[maybe]", "mask_history.0=maybe: must be true or false"),
        ("evaluation.confidence=95", "evaluation.confidence=95: must be below 1"),
        ("evaluation.history_starts=[1,2]", "must begin with 0 and ascend"),
        ("evaluation.history_starts=[0,5,5]", "must begin with 0 and ascend"),
        ("evaluation.head_share=1", "evaluation.head_share=1: must be below 1"),
        ("evaluation.twin_jaccard=0", "evaluation.twin_jaccard=0: must be above 0"),
        ("evaluation.resamples=0", "evaluation.resamples=0: must be at least 1"),
        ("evaluation.block_size=0", "evaluation.block_size=0: must be at least 1"),
        ("evaluation.audit.people=0", "evaluation.audit.people=0: must be at least 1"),
        ("evaluation.ranking_baselines=none_such", "no such file of baselines"),
        ("train.max_epochs=0", "train.max_epochs"),
    ],
)
def test_mistakes_are_found_before_data_are_read(folder, monkeypatch, override, message):
    monkeypatch.setattr(
        "rec_sys.reviews.sources.DemoReviews.load", lambda _: pytest.fail("read the data")
    )
    with pytest.raises(InputError, match=message):
        evaluate(config_of(folder, override))


def test_a_split_without_a_test_is_refused(folder):
    config = config_of(
        folder, "evaluation.splits=[users]", "evaluation.split_settings.users.test_share=0"
    )
    with pytest.raises(InputError, match="puts nothing aside for a test"):
        evaluate(config)


def test_weights_that_are_fitted_to_the_test_are_seen(folder, monkeypatch, tmp_path):
    FakeTraining(fitted_to="test").put_in(monkeypatch)
    config = config_of(folder, "evaluation.splits=[leave_one_out]", f"evaluation.folder={tmp_path}")
    with pytest.raises(LeakageError, match="learned without the test .rec_sys, combiner"):
        evaluate(config)
    assert not list(tmp_path.rglob("leaderboard*"))


def test_a_product_graph_that_learns_from_targets_is_seen(folder, training, monkeypatch, tmp_path):
    honest = ProductGraphBuilder.build

    def leaks(self, graph, vectors, edges):
        return honest(self, graph, vectors, np.arange(graph.num_edges))

    monkeypatch.setattr(ProductGraphBuilder, "build", leaks)
    config = config_of(folder, "evaluation.splits=[leave_one_out]", f"evaluation.folder={tmp_path}")
    with pytest.raises(LeakageError, match="nothing is learned from targets .rec_sys, evidences"):
        evaluate(config)
    assert not training.configs
