import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rec_sys.modules.product_graph import partial_histories

NUM_PRODUCTS = 5


def naive(histories, past_decay, future_decay, longest):
    """(past, future) of every cut of every person, in plain loops."""
    pairs = []
    for history in histories:
        newest = history[-longest:]
        for cut in range(1, len(newest)):
            past, future = np.zeros(NUM_PRODUCTS), np.zeros(NUM_PRODUCTS)
            for steps, product in enumerate(reversed(newest[:cut])):
                past[product] += past_decay**steps
            for steps, product in enumerate(newest[cut:]):
                future[product] += future_decay**steps
            pairs.append((*past, *future))
    return sorted(pairs)


@given(
    histories=st.lists(st.lists(st.integers(0, NUM_PRODUCTS - 1), max_size=7), max_size=6),
    past_decay=st.sampled_from([0.0, 0.5, 1.0]),
    future_decay=st.sampled_from([0.0, 0.25, 1.0]),
    longest=st.integers(2, 8),
)
def test_cuts_equal_a_naive_loop(histories, past_decay, future_decay, longest):
    """Powers of two, so that the numbers are the same to the last bit; cuts in any order."""
    user = np.repeat(np.arange(len(histories)), [len(each) for each in histories])
    product = np.array([p for each in histories for p in each], dtype=np.int64)
    past, future = partial_histories(
        user.astype(np.int64), product, NUM_PRODUCTS, past_decay, future_decay, longest
    )
    assert past.dtype == future.dtype == np.float32
    found = np.concatenate([past.toarray(), future.toarray()], axis=1)
    expected = naive(histories, past_decay, future_decay, longest)
    assert sorted(map(tuple, found.tolist())) == expected


def test_nobody_has_no_cut():
    nothing = np.empty(0, dtype=np.int64)
    past, future = partial_histories(nothing, nothing, 3, 0.5, 0.5, 10)
    assert past.shape == future.shape == (0, 3)
