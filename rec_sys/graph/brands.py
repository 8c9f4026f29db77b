"""Which products are of one brand, as numbers."""

import numpy as np
import pandas as pd

#: Brand of a product whose brand is not known.
NO_BRAND = -1
# A brand of one product joins nothing.
_LEAST_PRODUCTS = 2
# Beside three texts of 384 numbers each; the rarest brands are left out, which join few products.
_MOST_BRANDS = 512


def brand_codes(brands: pd.Series) -> np.ndarray:
    """Small numbers, equal for equal brands, whatever their case; `NO_BRAND` for an empty one.

    Args:
        brands: str [P].

    Returns:
        int64 [P].
    """
    names = brands.astype(object).str.casefold()
    return pd.factorize(names.where(names != ""))[0].astype(np.int64)


def brand_columns(brand: np.ndarray) -> np.ndarray:
    """One column for each brand of several products; for the most frequent ones if they are many.

    Args:
        brand: int64 [P], see `brand_codes`.

    Returns:
        float32 [P, B], 1 where the product is of the brand. Which brands have a column does not
        depend on the order of the products: of equally frequent ones all have or none.
    """
    brands, counts = np.unique(brand[brand != NO_BRAND], return_counts=True)
    least = _LEAST_PRODUCTS
    if len(brands) > _MOST_BRANDS:
        least = max(least, np.sort(counts)[-_MOST_BRANDS - 1] + 1)
    return (brand[:, None] == brands[counts >= least]).astype(np.float32)
