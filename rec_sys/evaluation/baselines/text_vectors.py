"""What the texts of products say, beyond what all of them say."""

import numpy as np

from rec_sys.evaluation.interface import Catalogue


def product_text_vectors(catalogue: Catalogue) -> np.ndarray:
    """The vectors of name and description, side by side, without their means, of length one.

    All names of a shop resemble each other; without the mean, 0 means "as similar as any two". A
    missing text stays the zero vector: it is neither near to nor far from anything. The common
    length lets products without a description, a quarter of them in the 2014 Musical Instruments,
    weigh as much as the others (NDCG@10 of text EASE there .078 instead of .070).

    Returns:
        float32 [P, 2 D]; zero for a product without any text.
    """
    halves = []
    for rows in (catalogue.name_text, catalogue.info_text):
        vectors = catalogue.vectors[rows].astype(np.float32)
        known = vectors.any(axis=1)
        if known.any():
            vectors[known] -= vectors[known].mean(axis=0)
        halves.append(vectors)
    return unit_length(np.concatenate(halves, axis=1))


def unit_length(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length one, float32 [n, D]; zero vectors stay."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)
