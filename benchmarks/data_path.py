"""From the raw files to the graph, beside pandas and one PyTorch Geometric graph per user.

    uv run python benchmarks/data_path.py [--share 1] [--rounds 3] [--json PATH]

On the full-size set (`full_size_set.py`). Nothing is encoded: every text has its vector already.
Ours reads, cleans (duplicates, markup, types, times) and builds the graph, once without any cache
and once as in a second run, with the cleaned tables of the first. The others read with
``pandas.read_json`` and make a `HeteroData` of each user, features gathered, without any cleaning:
once the plain way, user by user over ``groupby``, and once with all that can be done outside of
the loop done there. What unpacking and parsing cost alone says how high the ratio could be. All
take turns, each in a process of its own; imports do not count.
"""

import argparse
import gzip
import json
import tempfile
from pathlib import Path

import numpy as np
from figures import Figure, json_path, write_figures
from full_size_set import FullSizeSet, full_size_set
from own_process import Measurement, answer_option, in_own_process

from rec_sys.foundation.console import note, show_table

ROUNDS = 3
VECTOR_DIM = 384
TARGET_RATIO = 20
# The whole run from raw file to index has so much; this is its first part.
MOST_MIB = 4096


def ours(files: FullSizeSet, measurement: Measurement, cache_dir: str | None = None) -> int:
    """Our data path; returns how many reviews are in the graph."""
    from rec_sys.graph.review_graph import build_review_graph
    from rec_sys.reviews.sources import LocalReviews

    def rows_of(texts: list[str]) -> np.ndarray:
        rows: dict[str, int] = {}
        return np.fromiter((rows.setdefault(text, len(rows)) for text in texts), np.int64)

    with measurement.timed():
        data = LocalReviews(files.reviews, files.products, cache_dir=cache_dir).load()
        graph = build_review_graph(data, rows_of)
    return graph.num_edges


def ours_again(files: FullSizeSet, measurement: Measurement) -> int:
    """The second run on the same files: the cleaned tables are kept."""
    from rec_sys.reviews.sources import LocalReviews

    with tempfile.TemporaryDirectory() as cache_dir:
        LocalReviews(files.reviews, files.products, cache_dir=cache_dir).load()
        return ours(files, measurement, cache_dir)


def plain_loop(files: FullSizeSet, measurement: Measurement) -> int:
    """As one writes it at first."""
    import pandas as pd
    import torch
    from torch_geometric.data import HeteroData

    review_vectors, names, infos = vectors(files)
    with measurement.timed():
        reviews = pd.read_json(files.reviews, lines=True)
        products = pd.read_json(files.products, lines=True)
        row_of = pd.Series(np.arange(len(products)), index=products["asin"])
        graphs = []
        ordered = reviews.sort_values(["reviewerID", "unixReviewTime"], kind="stable")
        for _, own in ordered.groupby("reviewerID", sort=False):
            nodes, product = np.unique(own["asin"].to_numpy(), return_inverse=True)
            rows = row_of.loc[nodes].to_numpy()
            data = HeteroData()
            data["user"].num_nodes = 1
            data["product"].name = torch.from_numpy(names[rows])
            data["product"].info = torch.from_numpy(infos[rows])
            edges = data["product", "reviewed_by", "user"]
            edges.edge_index = torch.from_numpy(np.stack([product, np.zeros_like(product)]))
            edges.edge_attr = torch.from_numpy(review_vectors[own.index.to_numpy()])
            edges.rating = torch.tensor(own["overall"].to_numpy(np.float32))
            edges.time = torch.tensor(own["unixReviewTime"].astype("int64").to_numpy())
            graphs.append(data)
    return sum(data["product", "user"].num_edges for data in graphs)


def careful_loop(files: FullSizeSet, measurement: Measurement) -> int:
    """As one writes it after profiling: only slices of arrays are left in the loop."""
    import pandas as pd
    import torch
    from torch_geometric.data import HeteroData

    review_vectors, names, infos = vectors(files)
    with measurement.timed():
        reviews = pd.read_json(files.reviews, lines=True)
        products = pd.read_json(files.products, lines=True)
        user, _ = pd.factorize(reviews["reviewerID"])
        seconds = reviews["unixReviewTime"].astype("int64").to_numpy()
        order = np.lexsort((seconds, user))
        product_of = pd.Index(products["asin"]).get_indexer(reviews["asin"])[order]
        ratings, seconds = reviews["overall"].to_numpy(np.float32)[order], seconds[order]
        pointers = np.searchsorted(user[order], np.arange(user.max() + 2))
        graphs = []
        for first, last in zip(pointers[:-1], pointers[1:], strict=True):
            rows, product = np.unique(product_of[first:last], return_inverse=True)
            data = HeteroData()
            data["user"].num_nodes = 1
            data["product"].name = torch.from_numpy(names[rows])
            data["product"].info = torch.from_numpy(infos[rows])
            edges = data["product", "reviewed_by", "user"]
            edges.edge_index = torch.from_numpy(np.stack([product, np.zeros_like(product)]))
            edges.edge_attr = torch.from_numpy(review_vectors[order[first:last]])
            edges.rating = torch.from_numpy(ratings[first:last])
            edges.time = torch.from_numpy(seconds[first:last])
            graphs.append(data)
    return sum(data["product", "user"].num_edges for data in graphs)


def parse_only(files: FullSizeSet, measurement: Measurement) -> int:
    """What every reader in Python has to do: unpack the reviews and make objects of the lines."""
    with measurement.timed(), gzip.open(files.reviews, "rt", encoding="utf-8") as lines:
        return sum(1 for _ in map(json.loads, lines))


def vectors(files: FullSizeSet) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each review, and of each product's name and description: float32, as many as are read."""
    counts = [files.numbers[what] for what in ("reviews", "products", "products")]
    return tuple(np.ones((count, VECTOR_DIM), dtype=np.float32) for count in counts)


OURS, AGAIN, PARSING, PLAIN, TUNED = (
    *("rec_sys", "rec_sys, cleaned before", "gzip and json.loads alone"),
    *("pandas, groupby loop", "pandas, tuned loop"),
)
WAYS = {
    OURS: ours,
    AGAIN: ours_again,
    PARSING: parse_only,
    PLAIN: plain_loop,
    TUNED: careful_loop,
}


def main() -> None:
    path = json_path()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    answer_option(parser)
    given = parser.parse_args()
    files = full_size_set(given.share)
    if given.way:
        measurement = Measurement()
        measurement.values["reviews"] = WAYS[given.way](files, measurement)
        measurement.write(given.answer)
        return
    found: dict[str, list[dict]] = {name: [] for name in WAYS}
    for _ in range(given.rounds):
        for name, rounds in found.items():
            arguments = ["--way", name, "--share", str(given.share)]
            rounds.append(in_own_process(Path(__file__), arguments))
    report(found, files, path)


def report(found: dict[str, list[dict]], files: FullSizeSet, path: Path | None) -> None:
    """Prints and writes the figures."""
    counts = {each["reviews"] for rounds in found.values() for each in rounds}
    if counts != {files.numbers["reviews"]}:
        raise RuntimeError(f"the ways disagree on the number of reviews: {sorted(counts)}")
    seconds = {
        name: np.array([each["seconds"] for each in rounds]) for name, rounds in found.items()
    }
    peaks = {name: max(each["peak_mib"] for each in rounds) for name, rounds in found.items()}
    ratios = {name: float(np.median(seconds[name] / seconds[OURS])) for name in WAYS}
    again = float(np.median(seconds[PLAIN] / seconds[AGAIN]))
    highest = float(np.median(seconds[PLAIN] / seconds[PARSING]))
    rows = [
        (
            name,
            float(np.median(seconds[name])),
            files.numbers["reviews"] / float(np.median(seconds[name])),
            ratios[name],
            float(np.median([each["cpu_seconds"] for each in found[name]])),
            peaks[name],
            max(each["start_mib"] for each in found[name]),
        )
        for name in WAYS
    ]
    columns = ("way", "s", "reviews/s", f"times the time of {OURS}", "CPU s")
    columns += ("peak MiB", "MiB at start")
    show_table(f"{files.numbers['reviews']:,} reviews, raw file to graph", columns, rows)
    note("MiB at start: imports, and for the loops the vectors, which ours never holds in memory")
    write_figures(
        path,
        [
            Figure("raw file to graph, reviews/s", rows[0][2], "reviews/s", "nothing encoded"),
            Figure("raw file to graph, ratio", ratios[PLAIN], "×", PLAIN, TARGET_RATIO),
            Figure("raw file to graph, ratio", ratios[TUNED], "×", TUNED),
            Figure("raw file to graph, highest ratio", highest, "×", f"{PARSING}, {PLAIN}"),
            Figure("the same, cleaned tables kept from a run before, ratio", again, "×", PLAIN),
            Figure(
                "raw file to graph, peak memory",
                peaks[OURS],
                "MiB",
                f"{PLAIN}: {peaks[PLAIN]:,.0f} MiB",
                at_most=MOST_MIB,
            ),
        ],
    )


if __name__ == "__main__":
    main()
