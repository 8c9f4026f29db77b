"""Which products are of one brand, as numbers."""

import numpy as np
import pandas as pd

#: Brand of a product whose brand is not known.
NO_BRAND = -1
# A brand of one product joins nothing.
_LEAST_PRODUCTS = 2
# A column costs memory for every product, and the rarest brands join the fewest of them. With so
# many columns brands need less than half the room of the texts.
_MOST_BRANDS = 512


def brand_codes(brands: pd.Series) -> np.ndarray:
    """Small numbers, equal for equal brands, whatever their case; `NO_BRAND` for an empty one.

    Args:
        brands: str [P].

    Returns:
        int64 [P], ascending with the names.
    """
    names = brands.astype(object).str.casefold()
    told = names.where(names != "")  # a missing one is -1 for pandas, too
    return pd.factorize(told, sort=True)[0].astype(np.int64)


def brand_columns(brand: np.ndarray) -> np.ndarray:
    """One column for each brand of several products; for the most frequent ones if they are many.

    Args:
        brand: int64 [P], see `brand_codes`.

    Returns:
        float32 [P, B], 1 where the product is of the brand. Which brands have a column does not
        depend on the order of the products: of equally frequent ones the lower numbers come first.
    """
    brands, counts = np.unique(brand[brand != NO_BRAND], return_counts=True)
    frequent = np.argsort(-counts, kind="stable")[:_MOST_BRANDS]
    kept = np.sort(brands[frequent[counts[frequent] >= _LEAST_PRODUCTS]])
    return (brand[:, None] == kept).astype(np.float32)
