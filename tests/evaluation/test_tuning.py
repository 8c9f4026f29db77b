from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from omegaconf import OmegaConf

from rec_sys.evaluation.evaluate import EvaluationSettings
from rec_sys.evaluation.jobs import Measuring
from rec_sys.evaluation.scores import predict
from rec_sys.foundation.errors import InputError
from rec_sys.modules.baselines import Ease, combinations, search_grid
from tests.helpers.reviews_of import queries_of, reviews_of, scores_of, vectors_of

CONFIG = Path(__file__).resolve().parents[2] / "config" / "evaluation"
TRAIN = reviews_of([[0, 1, 2], [1, 2, 3], [0, 1, 3], [3, 2, 0]], num_products=5)
QUERIES = queries_of(TRAIN, reviews_of([[3], [0], [2], [1]], num_products=5))
MEASURING = Measuring([2], k=2, mask_history=[True], block_size=3, liked_above=3.0)


def tuned(model, grid, tried=None):
    """By NDCG@2; `tried` takes the models and their scores in the order of trying."""

    def score(model):
        value = MEASURING.ndcg(model, QUERIES)
        if tried is not None:
            tried.append((model, value))
        return value

    return search_grid({"model": model, "grid": grid}, TRAIN, vectors_of(5), score)


@dataclass
class Likes:
    """Puts one product first: the targets' mean NDCG depends on which."""

    score_settings = ("product",)

    shelf: str
    product: int
    name: str = "likes"
    fits: list = field(default_factory=list)

    def fit(self, train, vectors):
        FITTED.append(self.shelf)

    def score(self, histories, asked):
        scores = np.zeros((histories.num_users, 5), dtype=np.float32)
        scores[:, self.product] = 1
        return scores


FITTED = []
EASE = "rec_sys.modules.baselines.Ease"


def test_each_fit_serves_all_settings_of_scoring():
    FITTED.clear()
    tried = []
    best, chosen = tuned(f"{__name__}.Likes", {"product": [4, 1], "shelf": ["a", "b"]}, tried)
    assert FITTED == ["a", "b"]
    assert chosen == {"product": 1, "shelf": "a"}  # of equals the first
    assert best.product == 1
    assert [model.product for model, _ in tried] == [4, 1] * 2
    assert tried[1][1] == max(score for _, score in tried)


def test_a_shared_fit_scores_like_an_own_one():
    tried = []
    tuned(EASE, {"l2": [1, 5], "history_decay": [1.0, 0.5]}, tried)
    assert len(tried) == 4
    for model, score in tried:
        own = []
        alone, _ = tuned(EASE, {"l2": [model.l2], "history_decay": [model.history_decay]}, own)
        assert own[0][1] == score
        np.testing.assert_array_equal(scores_of(alone, TRAIN), scores_of(model, TRAIN))


def test_the_best_constant_for_the_squared_error_is_the_mean():
    train, targets = reviews_of([[0, 1], [2]]), reviews_of([[3], [4]])
    train.edge_rating[:] = [5, 5, 1]
    targets.edge_rating[:] = [5, 2]
    queries = queries_of(train, targets)

    def negative_mse(model):
        return -np.square(predict(model, queries) - targets.edge_rating).mean()

    name = "rec_sys.evaluation.rating_baselines.Constant"
    entry = {"model": name, "grid": {"kind": ["majority", "mean"]}}
    best, chosen = search_grid(entry, train, vectors_of(5), negative_mse)
    assert chosen == {"kind": "mean"}
    assert -negative_mse(best) == pytest.approx(((5 - 11 / 3) ** 2 + (2 - 11 / 3) ** 2) / 2)


@pytest.mark.parametrize(
    "grid, message",
    [
        ({"l2": [1], "history_decay": [0.5, 2]}, "history_decay=2"),
        ({"l2": [1, -1], "history_decay": [0.5]}, "l2=-1"),
        ({"l2": [1], "history_decay": [1], "depth": [3]}, "depth"),
        ({"l2": [1]}, "history_decay"),
    ],
)
def test_wrong_settings_are_found_before_the_first_fit(grid, message, monkeypatch):
    monkeypatch.setattr(Ease, "fit", lambda *_: pytest.fail("fitted"))
    with pytest.raises(InputError, match=message):
        tuned(EASE, grid)


@pytest.mark.parametrize("model", ["rec_sys.nothing.Model", "rec_sys.evaluation.jobs.Mistake"])
def test_an_unknown_model_is_refused(model):
    with pytest.raises(InputError, match="not a model class"):
        combinations({"model": model})


@pytest.mark.parametrize("values", [[], 500, "many", None])
def test_a_setting_without_values_is_refused(values):
    with pytest.raises(InputError, match="l2.*must be settings with lists of values"):
        combinations({"model": EASE, "grid": {"l2": values}})


def test_a_grid_that_is_none_is_refused():
    with pytest.raises(InputError, match="grid=5: must be settings"):
        combinations({"model": EASE, "grid": 5})


@pytest.mark.parametrize("content", ["- [", "", "5", "{}", "a: 1"])
def test_a_file_without_baselines_is_told(content, tmp_path, monkeypatch):
    monkeypatch.setattr("rec_sys.evaluation.evaluate.CONFIG_DIR", tmp_path)
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "mine.yaml").write_text(content)
    wanted = SimpleNamespace(ranking_baselines="mine", wish_baselines=None)
    with pytest.raises(InputError, match="mine.yaml: .*list of baselines|must be a baseline"):
        EvaluationSettings.baselines(wanted, has_texts=False, has_ratings=False)


@pytest.mark.parametrize("name", ["ranking_baselines", "ranking_baselines_quick"])
def test_the_grids_of_the_configuration_can_be_built(name):
    assert len([combinations(entry) for entry in OmegaConf.load(CONFIG / f"{name}.yaml")]) == 8


def test_the_quick_grids_run():
    for entry in OmegaConf.load(CONFIG / "ranking_baselines_quick.yaml"):
        tried = []
        tuned(entry.model, entry.get("grid", {}), tried)
        assert all(0 <= score <= 1 for _, score in tried) and tried
