import numpy as np
import pandas as pd
import pytest

from rec_sys.graph import review_graph as brands
from rec_sys.graph.review_graph import NO_BRAND, brand_codes, brand_columns


@pytest.mark.parametrize("kind", [object, "string[pyarrow]"])
def test_brands_of_any_case_are_one_and_none_is_none(kind):
    names = pd.Series(["Hosa", "", "HOSA", "Große", "GROSSE", ""], dtype=kind)
    assert brand_codes(names).tolist() == [1, NO_BRAND, 1, 0, 0, NO_BRAND]
    assert brand_codes(names).dtype == np.int64
    assert brand_codes(names[:0]).tolist() == []


def test_a_brand_of_one_product_has_no_column():
    columns = brand_columns(np.array([3, NO_BRAND, 5, 3, NO_BRAND, 9, 9]))
    expected = [[1, 0], [0, 0], [0, 0], [1, 0], [0, 0], [0, 1], [0, 1]]
    np.testing.assert_array_equal(columns, expected)
    assert columns.dtype == np.float32
    assert brand_columns(np.full(4, NO_BRAND)).shape == (4, 0)
    assert brand_columns(np.empty(0, dtype=np.int64)).shape == (0, 0)


def test_of_many_brands_the_frequent_ones_have_a_column_in_whatever_order(monkeypatch):
    monkeypatch.setattr(brands, "_MOST_BRANDS", 2)
    brand = np.array([0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3])
    # 1 and 2 are equally frequent, and there is room for one of them only.
    np.testing.assert_array_equal(brand_columns(brand).T, [brand == 1, brand == 3])
    order = np.random.default_rng(0).permutation(len(brand))
    np.testing.assert_array_equal(brand_columns(brand[order]), brand_columns(brand)[order])
    assert brand_columns(np.repeat(np.arange(5), 2)).shape == (10, 2)


def test_the_numbers_of_brands_do_not_depend_on_the_order_of_products():
    names = pd.Series(["b", "c", "", "a", "c", "b"])
    order = np.array([4, 2, 0, 5, 3, 1])
    np.testing.assert_array_equal(brand_codes(names[order]), brand_codes(names)[order])
