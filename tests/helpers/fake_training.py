"""Stands in for `rec_sys.train.train.train`: the same interface, no network, no time."""

import copy
from types import SimpleNamespace

import numpy as np

from rec_sys.foundation.settings import build


class FakeCatalogue:
    """Likes what is popular and what the history holds; stars are the mean."""

    def __init__(self, graph, train):
        known = graph.edge_product[train]
        self.popularity = np.bincount(known, minlength=graph.num_products).astype(np.float32)

    def fitted(self, fit, graph, task, liked_above):
        """Its weights tell which targets they were fitted to."""
        fitted = copy.copy(self)
        weights = np.bincount(graph.edge_product[task.target], minlength=graph.num_products)
        fitted.combiner = SimpleNamespace(weights=weights)
        return fitted

    def score(self, history, asked, wish=None):
        scores = np.tile(self.popularity, (history.num_users, 1))
        scores[history.edge_user, history.edge_product] += 0.5
        return scores

    def rate(self, history, user, product):
        return np.full(len(user), 4, dtype=np.float32)


class FakeTraining:
    """Called like `train`, and its `served` like `as_served`; remembers what it was asked for.

    Args:
        fitted_to: The task whose targets the weights of the evidences are fitted to.
    """

    def __init__(self, fitted_to="validation"):
        self.configs = []
        self.fitted_to = fitted_to

    def __call__(self, config, prepared=None):
        self.configs.append(config)
        split = build(config.split).split(prepared.graph)
        task = getattr(split, self.fitted_to)
        catalogue = FakeCatalogue(prepared.graph, split.train)
        return {}, {
            "split": split,
            "catalogue": catalogue.fitted(None, prepared.graph, task, liked_above=3.0),
        }

    def served(self, objects, prepared):
        return FakeCatalogue(prepared.graph, objects["split"].known)

    def put_in(self, monkeypatch):
        """Trains from now on wherever the evaluation would."""
        monkeypatch.setattr("rec_sys.train.train.train", self)
        monkeypatch.setattr("rec_sys.evaluation.graph_model_job.as_served", self.served)
        return self
