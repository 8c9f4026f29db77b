"""Training with each split, and what later commands make of it."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from rec_sys.foundation.errors import InputError
from rec_sys.graph.splits import split_fingerprint
from rec_sys.modules.checkpoint import held_out_user_ids, split_as_trained
from rec_sys.train.train import train
from rec_sys.vector_database.create_vectorbase import known_edges
from tests.helpers.configs import small_config


@pytest.mark.parametrize("name", ["leave_one_out", "time", "new_products", "new_users"])
def test_training_with_each_split(folder, name):
    config = small_config(folder, f"split={name}", f"train.run_name={name}", "train.max_epochs=1")
    best, objects = train(config)
    assert math.isfinite(best["val/loss"]) and math.isfinite(best["val/mae"])
    trained, prepared = objects["trained"], objects["prepared"]
    split, told = objects["datamodule"].split, trained.record["split"]
    assert told["name"] == split.name == name
    assert told["fingerprint"] == split_fingerprint(split)
    assert told["test_edges"] == split.test.target.sum() > 0
    assert bool(told["validation_user_ids"]) == (name == "new_users")
    assert held_out_user_ids(trained, prepared.data) == told["validation_user_ids"]
    # What the index may know: all but the test, made again from the checkpoint alone.
    nothing_said = small_config(folder)
    del nothing_said.split
    known = known_edges(trained, prepared, nothing_said)
    np.testing.assert_array_equal(known, np.flatnonzero(split.known))
    assert not np.isin(np.flatnonzero(split.test.target), known).any()
    assert np.isin(np.flatnonzero(split.train | split.validation.target), known).all()
    other_data = SimpleNamespace(data=SimpleNamespace(fingerprint="other"), graph=prepared.graph)
    assert len(known_edges(trained, other_data, nothing_said)) == prepared.graph.num_edges
    with pytest.raises(InputError, match="comes out differently"):
        split_as_trained(trained, prepared.graph, small_config(folder, "split.seed=7"))


def test_training_without_a_single_rating(folder):
    """Nothing to learn for ratings, but it runs: ranking needs no ratings."""
    reviews = [
        {"nickname": f"n{u}", "ProductName": f"p{(u + p) % 5}", "TextReview": f"word {u * p}"}
        for u in range(6)
        for p in range(4)
    ]
    path = folder / "unrated.json"
    path.write_text(json.dumps(reviews))
    options = ["split=leave_one_out", "train.run_name=unrated", "train.max_epochs=2"]
    best, objects = train(small_config(folder, "data=local", f"data.reviews_path={path}", *options))
    assert math.isnan(best["val/loss"]) and math.isnan(best["val/mae"])
    (batch,) = objects["datamodule"].val_dataloader()
    assert len(batch["target_user"]) == 6 and batch["target_rating"].isnan().all()
    with pytest.raises(
        InputError, match="objective.ranking_weight=0: the training reviews have no"
    ):
        train(
            small_config(
                folder, *options, "objective=rating", "data=local", f"data.reviews_path={path}"
            )
        )


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["split=time", "split.test_from=soon"], "split.test_from=soon: must be a date"),
        (["split=users", "split.test_share=0.95"], "leave nothing to train with"),
        (["split=new_users", "split.history_length=999"], "split=new_users: nobody has both"),
    ],
)
def test_unusable_splits_are_one_line(folder, overrides, message):
    with pytest.raises(InputError, match=message):
        train(small_config(folder, *overrides))
