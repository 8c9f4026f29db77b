"""How long a wish waits, and how far stars and words decide.

    uv run python benchmarks/wishes.py [folder of a trained model] [--triton URL]

The folder holds a bundle. Wishes are twelve words in a row from reviews of the bundle's people,
asked in Python, by HTTP, and by HTTP with the models in a Triton, if one is named, which holds what
``create_bundle bundle.triton_repository=...`` puts into its repository. Then the top tens of one
review of a product are compared: with 5 stars and with 1, and with other words.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from serving import Client, running

from rec_sys import Recommender
from rec_sys.foundation.console import show_table

WORDS, WISHES, WARM_UP, K = 12, 300, 20, 10
NUM_PRODUCTS = 20
PRAISE, BLAME = "I love it, exactly what I was looking for.", "I hate it, it broke at once."


def wishes(folder: Path) -> Iterator[str]:
    """Endless different ones."""
    people = json.loads((folder / "bundle" / "people.json").read_text())
    said = [review["TextReview"].split() for each in people for review in each["reviews"]]
    said = [words for words in said if len(words) > WORDS]
    rng = np.random.default_rng(0)
    while True:
        words = said[rng.integers(len(said))]
        start = rng.integers(len(words) - WORDS)
        yield " ".join(words[start : start + WORDS])


def waits(ask: Callable[[str], object], texts: Iterator[str]) -> tuple[float, float]:
    """p50 and p99 in ms."""
    times = []
    for number in range(WARM_UP + WISHES):
        start = time.perf_counter()
        ask(next(texts))
        if number >= WARM_UP:
            times.append(time.perf_counter() - start)
    p50, p99 = np.quantile(times, (0.5, 0.99)) * 1000
    return float(p50), float(p99)


def waits_of_service(folder: Path, texts: Iterator[str], *options: str) -> tuple[float, float]:
    """By HTTP, one after the other."""
    command = ["-m", "rec_sys.serving.app", "serving.port=0", *options]
    with running(command, folder) as (port, _, _):
        client = Client(port)
        return waits(lambda wish: client.ask("POST", "/recommendations", {"wish": wish}), texts)


def overlap(recommender: Recommender, product: str, one: tuple, other: tuple) -> int:
    """How many of the top ten stay if a review of a product has other words and stars."""
    lists = []
    for text, stars in (one, other):
        review = {"asin": product, "TextReview": text, "rating": stars}
        (answer,) = recommender.recommend([review], k=K)
        lists.append({each.product_id for each in answer.recommendations})
    return len(lists[0] & lists[1])


def main(folder: Path, triton: str | None) -> None:
    """Measures and prints."""
    recommender, texts = Recommender.load(folder / "bundle"), wishes(folder)
    rows = [["in Python", *waits(lambda wish: recommender.recommend(wish=wish, k=K), texts)]]
    rows.append(["HTTP", *waits_of_service(folder, texts)])
    if triton:
        options = "serving.backend=triton", f"serving.triton.url={triton}"
        rows.append(["HTTP, models in Triton", *waits_of_service(folder, texts, *options)])
    show_table(f"a wish of {WORDS} words, {WISHES} of each", ["", "p50 ms", "p99 ms"], rows)

    catalogue = recommender.vectorbase
    popular = np.argsort(-catalogue.products["num_reviews"].to_numpy(), kind="stable")
    drawn = np.random.default_rng(0).permutation(len(popular))
    rows = []
    for name, some in (("most reviewed", popular), ("drawn", drawn)):
        for number in (NUM_PRODUCTS, 5 * NUM_PRODUCTS):
            products = [catalogue.product_ids[place] for place in some[:number]]
            others = (BLAME, 1), (PRAISE, 1), (BLAME, 5)
            means = [
                np.mean([overlap(recommender, each, (PRAISE, 5), other) for each in products])
                for other in others
            ]
            rows.append([f"{len(products)} {name}", *map(float, means)])
    columns = ["products", "other words and stars", "other stars", "other words"]
    show_table(f"products of {K} that stay when a review of 5 stars has ...", columns, rows)


if __name__ == "__main__":
    given = sys.argv[1:]
    address = None
    if "--triton" in given:
        place = given.index("--triton")
        address = given[place + 1]
        del given[place : place + 2]
    main(Path(given[0] if given else ".").resolve(), address)
