import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rec_sys.text.batching import cut_batches

LENGTHS = st.lists(st.integers(0, 300), max_size=200).map(lambda each: np.array(each, np.int64))


@given(lengths=LENGTHS, budget=st.integers(1, 2000))
def test_every_text_is_in_one_batch_and_no_batch_breaks_the_budget(lengths, budget):
    batches = cut_batches(lengths, budget)
    rows = np.concatenate([np.empty(0, np.int64), *batches])
    assert sorted(rows.tolist()) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * lengths[batch].max() <= budget
    assert (np.diff(lengths[rows]) <= 0).all()


@given(lengths=LENGTHS, budget=st.integers(1, 2000))
def test_no_two_neighbours_fit_into_one_batch(lengths, budget):
    batches = cut_batches(lengths, budget)
    for one, next_one in zip(batches, batches[1:], strict=False):
        assert len(next_one) and (len(one) + 1) * max(1, lengths[one].max()) > budget


@given(seed=st.integers(0, 1000), budget=st.sampled_from([512, 1024, 4096]))
def test_a_window_is_hardly_padded(seed, budget):
    lengths = np.random.default_rng(seed).geometric(1 / 90, 5000).clip(3, 256)
    batches = cut_batches(lengths, budget)
    computed = sum(len(rows) * lengths[rows].max() for rows in batches)
    assert lengths.sum() > 0.98 * computed


def test_no_texts_and_a_giant_one():
    assert cut_batches(np.empty(0, np.int64), 10) == []
    assert [batch.tolist() for batch in cut_batches(np.array([3, 99, 2]), 10)] == [[1], [0, 2]]
