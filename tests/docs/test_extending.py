"""The worked examples of docs/extending.md, taken from the page and run."""

import importlib.util
import shutil
import sys

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import get_class, instantiate

from rec_sys.foundation.settings import read_settings
from rec_sys.graph.ego_batch import MODEL_INPUTS, GraphOutputs
from rec_sys.modules.model_export import random_inputs
from rec_sys.reviews import field_names
from rec_sys.reviews.reading import read_reviews
from rec_sys.vector_database.index import IndexSettings, ProductIndex, measure_recall
from tests.helpers.pages import ROOT, blocks, files
from tests.helpers.reviews_of import reviews_of, scores_of, vectors_of

PAGE = ROOT / "docs" / "extending.md"
FILES = files(PAGE)
COMMANDS = [words for each in blocks(PAGE) if each.language == "bash" for words in each.commands()]


@pytest.fixture
def extended(tmp_path, monkeypatch):
    """Puts the page's files where it says; returns how its commands are composed."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if path.suffix == ".py":
            module = name.removesuffix(".py").replace("/", ".")
            spec = importlib.util.spec_from_file_location(module, path)
            monkeypatch.setitem(sys.modules, module, importlib.util.module_from_spec(spec))
            spec.loader.exec_module(sys.modules[module])

    def composed(setting: str, config: str = "train_config"):
        (words,) = (words for words in COMMANDS if setting in words)
        with initialize_config_dir(str(tmp_path / "config"), version_base="1.3"):
            return compose(config, words[words.index("-m") + 2 :])

    monkeypatch.chdir(tmp_path)
    return composed


def test_the_baseline(extended):
    name = extended("evaluation=quick", "evaluate_config").evaluation.ranking_baselines
    assert f"config/evaluation/{name}.yaml" in FILES
    model = get_class("rec_sys.modules.most_liked.MostLiked")(liked_above=3)
    train = reviews_of([[0, 1], [1, 2], [1]])
    train.edge_rating[:] = [5, 4, 4, 1, 5]
    model.fit(train, vectors_of())
    scores = scores_of(model, reviews_of([[0], []]))
    assert scores.shape == (2, 10) and scores.dtype == np.float32
    assert scores[:, :4].tolist() == [[1, 3, 0, 0]] * 2


def test_the_format(extended, monkeypatch, tmp_path):
    path = extended("data=local").data.reviews_path
    monkeypatch.setattr(field_names, "CONFIG_DIR", tmp_path / "config")
    field_names.known_formats.cache_clear()
    try:
        reviews, _ = read_reviews(path)
    finally:
        field_names.known_formats.cache_clear()
    names = ["Gale Ukulele", "Storm Drum", "Marsh Flute"]
    assert reviews["product_id"].tolist() == [each for each in names for _ in range(2)]
    assert reviews["text"].tolist()[:2] == ["So light that I take it everywhere.", "Quiet"]
    assert reviews["rating"].tolist() == [5, 3, 4, 2, 5, 4]


def test_the_convolution(extended):
    model = instantiate(extended("model=first_gat").model, vector_dim=8)
    assert type(model.conv).__name__ == "GATConv"
    arrays = random_inputs(8, users=2, products=3, edges=4, seed=0)
    outputs = model(*(torch.from_numpy(arrays[name]) for name in MODEL_INPUTS))
    assert outputs.attention.shape == (4, 8) and outputs.user_embeddings.isfinite().all()


def test_the_index(extended):
    config = extended("vector_db=compressed", "vectorbase_config")
    settings = read_settings(IndexSettings, config.vector_db)
    keys = np.random.default_rng(0).normal(size=(500, 9)).astype(np.float32)
    index = ProductIndex.build(keys, settings)
    assert settings.factory == "SQ8" and settings.min_recall == 0.99
    assert measure_recall(index, keys, keys[:50]) > 0.9


def test_the_objective(extended):
    objective = instantiate(extended("objective=pairwise").objective)
    assert objective.liked_above == 3 and objective.ranks
    # The second target is disliked: it is rated, not ranked.
    batch = {
        "target_user": torch.tensor([0, 0]),
        "target_product": torch.tensor([0, 1]),
        "target_rating": torch.tensor([5.0, 1.0]),
    }
    products = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    keys = torch.tensor([[2.0], [0.0]], requires_grad=True)
    outputs = GraphOutputs(
        torch.tensor([[1.0, 0.0]]), products, torch.ones(1, 1), keys, torch.empty(0, 1)
    )
    found = objective(outputs, batch)
    assert found.rating.tolist() == [5, 2.5] and found.num_rated == 2
    assert found.loss.item() == pytest.approx(1.5**2 / 2)
    expected = -torch.nn.functional.logsigmoid(torch.tensor([0.0, 2.0])).mean()
    assert found.ranking.item() == pytest.approx(expected.item())
    found.objective.backward()
    assert keys.grad[0] < 0 < keys.grad[1]  # descent pulls the liked product up
