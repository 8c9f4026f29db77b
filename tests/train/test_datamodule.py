"""The batches that follow from a split."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rec_sys.foundation.errors import InputError
from rec_sys.graph.splits import LeaveOneOut
from rec_sys.graph.task import Split, Task
from rec_sys.train.trainer import LoaderAhead, ReviewDataModule


def module_of(*data, batch_size, negatives):
    settings = SimpleNamespace(batch_size=batch_size, train_target_share=0.5, seed=0)
    return ReviewDataModule(*data, settings, negatives)


def test_batches_show_only_what_the_split_allows(small_graph):
    """ann's edges are 0, 1, 2; bob 3; cyd 4, 5 (unrated), 6; dan 7."""
    graph, vectors = small_graph
    split = LeaveOneOut().split(graph)
    datamodule = module_of(graph, vectors, split, batch_size=4, negatives=1)
    assert datamodule.train_users.tolist() == [0, 1, 2, 3]
    assert datamodule.product_reviews.member.tolist() == split.train.tolist()
    (batch,) = datamodule.train_dataloader()
    shown = len(batch["target_user"]) + batch["edge_index"].shape[1]
    assert shown == 4 == split.train.sum()
    assert batch["log_q"].shape == batch["products"].shape
    (batch,) = datamodule.val_dataloader()
    assert batch["users"].tolist() == [0, 2]
    targets = batch["products"][batch["target_product"]].tolist()
    assert targets == graph.edge_product[[1, 5]].tolist()
    # An unrated target is one all the same.
    np.testing.assert_array_equal(batch["target_rating"], np.float32([1, np.nan]))
    assert batch["edge_index"].shape[1] == 2
    later = Split("by hand", split.train, split.test, None)
    measured = module_of(graph, vectors, later, batch_size=4, negatives=1)
    (batch,) = measured.val_dataloader()
    assert batch["edge_index"].shape[1] == 4 and batch["target_rating"].tolist() == [5, 2]


def test_training_shows_no_copy_of_what_it_asks_for(small_graph):
    """All three reviews of cyd, edges 4 to 6, are copies of one, and dan has one alone."""
    graph, vectors = small_graph
    graph = replace(graph, edge_copy=np.array([0, 1, 2, 3, 4, 4, 4, 7]))
    train = graph.edge_user >= 2
    task = Task(graph.edge_mask([2]), graph.edge_mask([0, 1]))
    split = Split("by hand", train, task, None)
    datamodule = module_of(graph, vectors, split, batch_size=4, negatives=1)
    (batch,) = datamodule.train_dataloader()
    assert 2 <= len(batch["target_user"]) <= 4 and not batch["edge_index"].shape[1]


def test_batches_hold_the_products_to_rank_against(small_graph):
    graph, vectors = small_graph
    split = LeaveOneOut().split(graph)
    everything = module_of(graph, vectors, split, batch_size=1, negatives=100)
    for loader in (everything.train_dataloader(), everything.val_dataloader()):
        for batch in loader:
            assert batch["products"].tolist() == [0, 1, 2, 3]
            assert not batch["log_q"].any()
    sampled = module_of(graph, vectors, split, batch_size=1, negatives=2)
    one, two = (
        [batch["products"].tolist() for batch in sampled.val_dataloader()] for _ in range(2)
    )
    assert one == two  # each epoch is measured alike
    assert all(batch["log_q"].max() < 0 for batch in sampled.train_dataloader())


def of_processes(small_graph, count, batch_size):
    """The datamodules of several processes, each knowing its place."""
    graph, vectors = small_graph
    split = LeaveOneOut().split(graph)
    modules = []
    for rank in range(count):
        strategy = SimpleNamespace(root_device=torch.device("cpu"))
        module = module_of(graph, vectors, split, batch_size=batch_size, negatives=2)
        module.trainer = SimpleNamespace(
            global_rank=rank, world_size=count, current_epoch=0, strategy=strategy
        )
        modules.append(module)
    return modules


def test_processes_share_each_batch(small_graph):
    (alone,) = of_processes(small_graph, 1, 2)
    together = of_processes(small_graph, 2, 2)
    batches = [list(module.train_dataloader()) for module in together]
    for whole, *parts in zip(alone.train_dataloader(), *batches, strict=True):
        assert sorted(np.concatenate([part["users"] for part in parts])) == sorted(whole["users"])


def test_processes_make_equally_many_steps(small_graph):
    """Four users to train, three processes: two users come twice."""
    batches = [list(module.train_dataloader()) for module in of_processes(small_graph, 3, 3)]
    assert [len(each) for each in batches] == [2, 2, 2]
    users = np.concatenate([batch["users"] for each in batches for batch in each])
    assert np.unique(users).tolist() == [0, 1, 2, 3] and len(users) == 6


def test_nobody_is_measured_twice(small_graph):
    modules = of_processes(small_graph, 2, 1)
    for module in modules:
        module.setup("fit")
    users = [batch["users"].tolist() for each in modules for batch in each.val_dataloader()]
    assert users == [[0], [2]]


def test_more_processes_than_people_to_measure_are_refused(small_graph):
    for module in of_processes(small_graph, 3, 1):
        with pytest.raises(InputError, match="3 processes, but only 2 people"):
            module.setup("fit")


def test_for_a_gpu_batches_are_cut_ahead(small_graph):
    (module,) = of_processes(small_graph, 1, 1)
    plain = list(module.train_dataloader())
    module.trainer.strategy.root_device = torch.device("cuda")
    loader = module.train_dataloader()
    assert isinstance(loader, LoaderAhead)
    for one, other in zip(plain, loader, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one if name != "target_rating")


def test_what_fails_ahead_fails_here():
    def collate(chosen):
        raise InputError("no such review")

    with pytest.raises(InputError, match="no such review"):
        next(iter(LoaderAhead([0, 1], collate_fn=collate)))
