"""Exact search and the index of large shops side by side, on keys like those of a trained model.

``uv run python benchmarks/index.py [vector_db.large_factory=HNSW32] [vector_db.search.nprobe=32]
[+sizes=[20000]] [--json PATH]``
"""

from dataclasses import replace
from time import perf_counter

import faiss
import numpy as np
from figures import Figure, json_path, write_figures
from omegaconf import DictConfig

from rec_sys.foundation.cli import command
from rec_sys.foundation.console import note, show_table
from rec_sys.foundation.settings import read_settings
from rec_sys.vector_database.index import (
    FLAT,
    MEASURED_QUERIES,
    RECALL_AT,
    IndexSettings,
    ProductIndex,
    measure_recall,
)

SIZES = (20_000, 200_000)
TIMED_QUERIES = 400
LEAST_RECALL = 0.99
SEED = 0
# Taken out of the command line before Hydra reads it.
JSON_PATH = json_path()

# As measured on the model of the 2014 set (time split, seed 0; 900 products, 1,429 people):
# length of the mean key and shares of the variance by direction, the appeal beside it.
EMBEDDING_DIM = 64
KEY_MEAN, KEY_VARIANCE = 3.9, 6.2
KEY_SHARES = (0.48, 0.313, 0.038, 0.026, 0.019, 0.016, 0.011)
APPEAL_MEAN, APPEAL_STD = -0.59, 0.40
# Queries have a 1 beside the appeal; they vary along the directions in which keys vary most.
QUERY_MEAN, QUERY_VARIANCE = 0.31, 0.137
QUERY_SHARES = (0.67, 0.318, 0.008, 0.001)


def vectors(rng, number, mean, variance, shares, directions):
    rest = (1 - sum(shares)) / (EMBEDDING_DIM - len(shares))
    spread = np.sqrt(variance * np.array([*shares, *[rest] * (EMBEDDING_DIM - len(shares))]))
    centre = rng.normal(size=EMBEDDING_DIM)
    centre *= mean / np.linalg.norm(centre)
    return (rng.normal(size=(number, EMBEDDING_DIM)) * spread) @ directions.T + centre


def keys_and_queries(num_products):
    rng = np.random.default_rng(SEED)
    directions = np.linalg.qr(rng.normal(size=(EMBEDDING_DIM, EMBEDDING_DIM)))[0]
    keys = vectors(rng, num_products, KEY_MEAN, KEY_VARIANCE, KEY_SHARES, directions)
    appeal = rng.normal(APPEAL_MEAN, APPEAL_STD, num_products)
    queries = vectors(rng, MEASURED_QUERIES, QUERY_MEAN, QUERY_VARIANCE, QUERY_SHARES, directions)
    ones = np.ones(len(queries))
    return (
        np.column_stack([keys, appeal]).astype(np.float32),
        np.column_stack([queries, ones]).astype(np.float32),
    )


def milliseconds(index, queries):
    spent = []
    for query in queries[:TIMED_QUERIES]:
        started = perf_counter()
        index.search(query[None], RECALL_AT)
        spent.append(perf_counter() - started)
    return np.percentile(spent, [50, 99]) * 1000


@command("vectorbase_config")
def main(config: DictConfig) -> None:
    """Prints the table."""
    settings, threads = read_settings(IndexSettings, config.vector_db), faiss.omp_get_max_threads()
    rows, figures = [], []
    for number in config.get("sizes", SIZES):
        keys, queries = keys_and_queries(number)
        exact = None
        for factory in (FLAT, settings.large_factory):
            started = perf_counter()
            index = ProductIndex.build(keys, replace(settings, factory=factory))
            built = perf_counter() - started
            faiss.omp_set_num_threads(1)
            p50, p99 = milliseconds(index, queries)
            faiss.omp_set_num_threads(threads)
            exact = exact or (p50, p99)
            times = [f"{p50:.3f}", f"{p99:.3f}", f"{exact[0] / p50:.1f}", f"{exact[1] / p99:.1f}"]
            recall = measure_recall(index, keys, queries)
            if factory != FLAT:
                what, base = f"{factory}, {number:,} products", "exact search, one thread"
                figures += [
                    Figure(f"{what}: p50", float(exact[0] / p50), "×", base),
                    Figure(f"{what}: p99", float(exact[1] / p99), "×", base),
                    Figure(f"{what}: recall@{RECALL_AT}", float(recall), "", base, LEAST_RECALL),
                    Figure(f"{what}: built in", built, "s"),
                ]
            rows.append([f"{number:,}", factory, f"{built:.1f}", *times, f"{recall:.4f}"])
    columns = ["products", "index", "built in s", "p50 ms", "p99 ms", "p50 ×", "p99 ×"]
    show_table(f"one query, k = {RECALL_AT}", [*columns, f"recall@{RECALL_AT}"], rows)
    note("×: so many times faster than exact search, in this run, on one thread")
    write_figures(JSON_PATH, figures)


if __name__ == "__main__":
    main()
