from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from rec_sys.evaluation.baselines.ease import Ease
from rec_sys.evaluation.tuning import ModelGrid, tune
from rec_sys.foundation.errors import InputError
from tests.helpers.reviews_of import catalogue_of, reviews_of

CONFIG = Path(__file__).resolve().parents[2] / "config" / "evaluation"
TRAIN = reviews_of([[0, 1, 2], [1, 2, 3], [0, 1, 3], [3, 2, 0]])
TARGETS = reviews_of([[3], [0], [2], [1]])


def tuned(grid):
    return tune(grid, TRAIN, catalogue_of(5), TRAIN, TARGETS, 2, True, 3)


@dataclass
class Likes:
    """Puts one product first: the targets' mean NDCG depends on which."""

    score_settings = ("product",)

    shelf: str
    product: int
    name: str = "likes"
    fits: list = field(default_factory=list)

    def fit(self, train, catalogue):
        FITTED.append(self.shelf)

    def score(self, histories):
        scores = np.zeros((histories.num_users, 5), dtype=np.float32)
        scores[:, self.product] = 1
        return scores


FITTED = []


def test_each_fit_serves_all_settings_of_scoring():
    FITTED.clear()
    best = tuned(ModelGrid(Likes, {"product": [4, 1], "shelf": ["a", "b"]}))
    assert FITTED == ["a", "b"]
    assert len(best.tried) == 4
    assert best.settings == {"product": 1, "shelf": "a"}  # of equals the first
    assert best.model.product == 1
    assert best.score == max(score for _, score in best.tried)
    assert [s["product"] for s, _ in best.tried] == [4, 1] * 2


def test_a_shared_fit_scores_like_an_own_one():
    best = tuned(ModelGrid(Ease, {"l2": [1, 5], "history_decay": [1.0, 0.5]}))
    for settings, score in best.tried:
        alone = tuned(ModelGrid(Ease, {name: [value] for name, value in settings.items()}))
        assert alone.score == score
        if settings == best.settings:
            np.testing.assert_array_equal(alone.model.score(TRAIN), best.model.score(TRAIN))


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
        tuned(ModelGrid(Ease, grid))


@pytest.mark.parametrize("model", ["rec_sys.nothing.Model", "rec_sys.evaluation.tuning.Mistake"])
def test_an_unknown_model_is_refused(model):
    with pytest.raises(InputError, match="not a model class"):
        ModelGrid.of({"model": model})


def test_a_setting_without_values_is_refused():
    with pytest.raises(InputError, match="no value to try for l2"):
        ModelGrid.of({"model": "rec_sys.evaluation.baselines.ease.Ease", "grid": {"l2": []}})


@pytest.mark.parametrize("name", ["ranking_baselines", "ranking_baselines_quick"])
def test_the_grids_of_the_configuration_can_be_built(name):
    grids = [ModelGrid.of(entry) for entry in OmegaConf.load(CONFIG / f"{name}.yaml")]
    assert len(grids) == 8
    for grid in grids:
        assert list(grid.unfitted())


def test_the_quick_grids_run():
    for entry in OmegaConf.load(CONFIG / "ranking_baselines_quick.yaml"):
        assert 0 <= tuned(ModelGrid.of(entry)).score <= 1
