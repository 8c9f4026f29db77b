"""What an evaluation is put together from: ties, ablations, overrides, kept results, intervals."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
from omegaconf import OmegaConf

from rec_sys.evaluation.audit import Finding
from rec_sys.evaluation.graph_model_job import Ablation, GraphModelRanker
from rec_sys.evaluation.jobs import Baseline, Measured, Measuring, load_measured, save_measured
from rec_sys.evaluation.protocol import Stage, shuffle_ties, tied_last_share
from rec_sys.evaluation.scores import evaluate_ranking, score_ratings
from rec_sys.foundation.errors import InputError
from rec_sys.graph.task import Split, Task
from rec_sys.reviews.schema import NO_TIME
from tests.helpers.fake_training import FakeCatalogue
from tests.helpers.reviews_of import queries_of, reviews_of, scores_of, vectors_of

ARRAYS = ("edge_product", "edge_text", "edge_rating", "edge_time")
PRODUCT_ARRAYS = ("product_name_text", "product_info_text", "product_brand")


def graph_of(lists, times):
    graph = reviews_of(lists, times, num_products=5)
    number = np.arange(graph.num_edges)
    rating = (1 + number % 5).astype(np.float32)
    return replace(graph, edge_text=number + 1, edge_rating=rating)


@pytest.fixture
def graph():
    """Ties in the middle, at the end, over users' borders, and reviews without a time."""
    lists = [[0, 1, 2, 3], [3, 2, 1, 0, 4], [1, 2, 3], [0], []]
    times = [1, 2, 2, 3, 3, 3, 3, 3, 3, NO_TIME, NO_TIME, 3, 3]
    return graph_of(lists, times)


def test_only_ties_are_shuffled_and_whole_reviews_move(graph):
    orders = set()
    for seed in range(30):
        shuffled = shuffle_ties(graph, seed)
        np.testing.assert_array_equal(shuffled.edge_time, graph.edge_time)
        np.testing.assert_array_equal(shuffled.user_ptr, graph.user_ptr)
        origin = shuffled.edge_text - 1  # texts are numbered
        np.testing.assert_array_equal(graph.edge_user[origin], graph.edge_user)
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(graph, name)[origin], getattr(shuffled, name))
        fixed = [0, 3, 9, 10, 11, 12]
        np.testing.assert_array_equal(origin[fixed], fixed)
        orders.add(tuple(origin))
    assert {order[1:3] for order in orders} == {(1, 2), (2, 1)}
    assert len({order[4:9] for order in orders}) > 20  # of the 120 orders of five


def test_the_order_of_ties_follows_from_the_seed(graph):
    for name in ARRAYS:
        np.testing.assert_array_equal(
            getattr(shuffle_ties(graph, 3), name), getattr(shuffle_ties(graph, 3), name)
        )


def test_last_reviews_at_one_time_are_counted(graph):
    assert tied_last_share(graph) == pytest.approx(1 / 3)  # user 1; user 2's are of unknown time
    assert tied_last_share(graph_of([[0], [1]], [1, 1])) == 0


@pytest.mark.parametrize(
    "change, expected",
    [
        ("mask_reviews", {"edge_text"}),
        ("shuffle_reviews", {"edge_text"}),
        ("mask_product_texts", {"product_name_text", "product_info_text"}),
        ("mask_brands", {"product_brand"}),
        ("mask_ratings", {"edge_rating"}),
        ("mask_times", {"edge_time"}),
        (None, set()),
    ],
)
def test_ablations_take_away_one_thing_and_leave_the_edges(graph, change, expected):
    changed = Ablation("without", change).apply(graph, 0)
    np.testing.assert_array_equal(changed.user_ptr, graph.user_ptr)
    np.testing.assert_array_equal(changed.edge_product, graph.edge_product)
    different = {
        field
        for field in (*ARRAYS, *PRODUCT_ARRAYS)
        if not np.array_equal(getattr(changed, field), getattr(graph, field))
    }
    assert different == expected
    if change == "shuffle_reviews":
        assert sorted(changed.edge_text) == sorted(graph.edge_text)


def test_an_unknown_change_is_refused():
    with pytest.raises(InputError, match=r"ablation.change=mask_all: must be 'mask_reviews'"):
        Ablation("without", "mask_all")


@pytest.fixture
def model(graph):
    return GraphModelRanker(FakeCatalogue(graph, np.ones(graph.num_edges, dtype=bool)))


def test_our_model_keeps_the_contract(model):
    histories = reviews_of([[0, 1], [], [4]])
    scores = scores_of(model, histories)
    assert scores.shape == (3, 5) and scores.dtype == np.float32 and np.isfinite(scores).all()
    for user, alone in enumerate(([0, 1], [], [4])):
        np.testing.assert_array_equal(scores_of(model, reviews_of([alone]))[0], scores[user])
    assert scores_of(model, reviews_of([], num_products=5)).shape == (0, 5)
    stars = model.rate(histories, np.array([0, 1]), np.array([4, 0]))
    assert stars.shape == (2,) and stars.dtype == np.float32
    assert model.rate(histories, np.zeros(0, int), np.zeros(0, int)).shape == (0,)


def test_our_model_is_given_the_history_and_nothing_else(graph):
    seen = []

    class Watching(FakeCatalogue):
        def score(self, history, asked):
            seen.append(history)
            return super().score(history, asked)

    histories = reviews_of([[2, 1], [], [4]], times=[5, 6, 7])
    scores_of(GraphModelRanker(Watching(graph, np.ones(graph.num_edges, dtype=bool))), histories)
    (history,) = seen
    np.testing.assert_array_equal(history.edge_product, [2, 1, 4])
    np.testing.assert_array_equal(history.edge_user, [0, 0, 2])
    np.testing.assert_array_equal(history.edge_time, [5, 6, 7])
    assert history.num_users == 3 and history.num_products == histories.num_products


@dataclass
class CountsFits:
    """Rates with the number of reviews that it was fitted to."""

    name: str = "counts"

    def fit(self, train, vectors):
        self.known = train.num_edges

    def rate(self, histories, user, product):
        return np.full(len(user), self.known, dtype=np.float32)


def test_a_baseline_is_chosen_without_and_asked_with_the_validation(graph):
    """The threshold of "liked" is chosen by what was predicted before its stars were known."""
    edge = np.arange(graph.num_edges)
    train, validation, test = edge < 8, (edge >= 8) & (edge < 10), edge >= 10
    split = Split("time", train, Task(validation, train), Task(test, train | validation))
    stage = Stage(OmegaConf.create(), 0, graph, split, {"time": split.test})
    known = []

    class Watching(Measuring):
        def rating(self, model, tuned, *stages):
            known.extend([model.known, tuned.known])
            return super().rating(model, tuned, *stages)

    how = Watching([3], 3, [True], 512, liked_above=2.5)
    context = SimpleNamespace(measuring=how, prepared=SimpleNamespace(vectors=vectors_of(5)))
    here = f"{__name__}.{CountsFits.__name__}"
    Baseline("rating", {"model": here}).run(stage, context)
    assert known == [10, 8]
    assert stage.known.num_edges == 10 and stage.train.num_edges == 8


@pytest.mark.parametrize("change", [None, "mask_ratings"])
def test_who_liked_a_target_is_told_from_the_true_ratings(graph, model, change):
    """The ablation without ratings hides them from the model, not from the judge."""
    task = Task(graph.edge_rating == 2, graph.edge_rating > 2)
    nobody = Task(np.zeros_like(task.target), task.history)
    split = Split("time", task.history, nobody, task)
    stage = Stage(OmegaConf.create(), 0, graph, split, {"time": task})
    shown = replace(stage, graph=Ablation("without", change).apply(graph, 0))
    how = Measuring([3], 3, [True], 512, liked_above=2.5)
    (result,) = how.ranking(model, shown, true=stage).values()
    assert len(result.liked) == task.target.sum() > 0 and not result.liked.any()
    assert np.isnan(result.per_user["ndcg_liked@3"]).all() and result.disliked(3) > 0
    (untold,) = how.ranking(model, shown).values()
    assert untold.liked.all() == (change == "mask_ratings")


def test_a_kept_result_is_the_result(model, tmp_path):
    queries = queries_of(reviews_of([[0], [1]]), reviews_of([[1, 2], [3]]))
    ranking = evaluate_ranking(model, queries, [1, 3], True, 7, np.array([True, False, False]))
    stars = np.array([3, 4, 5], dtype=np.float32)
    rating = score_ratings(stars, stars[::-1].copy(), np.array([0, 0, 1]), 3.0, 3.5)
    measured = Measured(
        "a model",
        {("time", True): ranking, ("new users", False): ranking},
        {"time": rating},
        {"l2": 100, "decay": 0.5},
        [Finding("check", True, "fine")],
        1.5,
    )
    path = tmp_path / "deep" / "kept.json"
    save_measured(path, measured)
    loaded = load_measured(path)
    for name in ("model", "settings", "findings", "seconds"):
        assert getattr(loaded, name) == getattr(measured, name)
    assert list(loaded.ranking) == list(measured.ranking)
    for key, result in measured.ranking.items():
        assert loaded.ranking[key].means() == result.means()
        np.testing.assert_array_equal(loaded.ranking[key].users, result.users)
        np.testing.assert_array_equal(loaded.ranking[key].liked, result.liked)
        for kind in ("per_user", "per_target", "exposure"):
            kept, given = getattr(loaded.ranking[key], kind), getattr(result, kind)
            assert list(kept) == list(given)
            for metric in given:
                np.testing.assert_array_equal(kept[metric], given[metric])
    assert loaded.rating["time"].metrics == rating.metrics
    np.testing.assert_array_equal(loaded.rating["time"].squared_error, rating.squared_error)
    path.rename(tmp_path / "deep" / "another.json")
    assert load_measured(tmp_path / "deep" / "another.json") is None
