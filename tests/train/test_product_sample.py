import numpy as np
import pytest

from rec_sys.train.trainer import ProductSample

COUNTS = np.array([0, 1, 5, 40, 200, 3, 3, 9])


def test_few_products_are_all_in_every_batch():
    sample = ProductSample(COUNTS, 8)
    assert sample.draw(np.random.default_rng(0)).tolist() == list(range(8))
    share = sample.log_q(np.array([2, 5]), 10)
    assert share.tolist() == [0, 0] and share.dtype == np.float32


def test_a_draw_is_distinct_ascending_and_repeatable():
    sample = ProductSample(COUNTS, 4)
    draws = [sample.draw(np.random.default_rng(seed)) for seed in (0, 0, 1, 2, 3)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert len({tuple(draw) for draw in draws}) > 1
    for draw in draws:
        assert (np.diff(draw) > 0).all() and 1 <= len(draw) <= 4


def test_popular_products_are_drawn_more_often_but_the_unreviewed_too():
    sample = ProductSample(COUNTS, 4)
    rng = np.random.default_rng(0)
    drawn = np.zeros(len(COUNTS))
    for _ in range(4000):
        drawn[sample.draw(rng)] += 1
    assert 0 < drawn[0] < drawn[1] < drawn[2] < drawn[3] < drawn[4]


@pytest.mark.parametrize("shown", [0, 6])
def test_the_share_of_batches_that_hold_a_product(shown):
    """Counted: some products are drawn and some more come with the reviews that are shown."""
    sample = ProductSample(COUNTS, 4)
    popularity = (COUNTS + 1) / (COUNTS + 1).sum()
    rng, batches = np.random.default_rng(0), 20_000
    held = np.zeros(len(COUNTS))
    for _ in range(batches):
        reviewed = rng.choice(len(COUNTS), shown, p=popularity)
        held[np.union1d(sample.draw(rng), reviewed)] += 1
    share = np.exp(sample.log_q(np.arange(len(COUNTS)), shown))
    np.testing.assert_allclose(share, held / batches, atol=4 * 0.5 / batches**0.5)
    one = sample.log_q(np.array([4]), shown)
    assert one[0] == sample.log_q(np.arange(8), shown)[4] <= 0
