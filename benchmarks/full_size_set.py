"""A data set of full size, made from real parts, for everything that is about time and memory.

Who reviewed what is the graph of the 2018 sequences (206,153 reviews, 24,772 users, 9,922
products). What is said is put together sentence by sentence from the reviews of 2014, and so are
the descriptions of the products; ratings, times and names come from there too. So there are as
many different texts as in a real set of this size, and they are as long. Nothing can be learned
from it.

    uv run python benchmarks/full_size_set.py [--share 0.125|0.25|0.5|1|5] [--seed 0]

A share below 1 takes so many of the users, a smaller one a part of those of a larger one; 5 copies
every user five times, with new texts each time, over the same products. The files, in the format
of Amazon 2018, belong into ``cache/full_size/`` and are made once.
"""

import argparse
import gzip
import io
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from rec_sys.foundation.console import note
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import read_json, replacing, write_json
from rec_sys.reviews.records import read_records
from rec_sys.reviews.sequences import read_sequences

FOLDER = Path("cache") / "full_size"
REVIEWS_2014 = "musical_instruments_2014/reviews_Musical_Instruments_5.json.gz"
PRODUCTS_2014 = "musical_instruments_2014/meta_Musical_Instruments.json.gz"
SEQUENCES_2018 = "instruments_2018_sequences/Instruments"
#: Raise it with every change that changes a set.
VERSION = 1
# So many users are drawn for at once; what a block says does not depend on the other blocks.
BLOCK_USERS = 1024
SECONDS_PER_DAY = 86_400
# Files of this size are read often and written once; more would cost most of the time.
COMPRESSION = 3

# What a draw is for: each has random numbers of its own.
_USERS, _PRODUCTS, _REVIEWS = range(3)
_SENTENCE_ENDS = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class FullSizeSet:
    """The files of a set.

    Attributes:
        folder: Holds them.
    """

    folder: Path

    @property
    def reviews(self) -> Path:
        """JSON lines as in Amazon 2018, user after user, oldest first."""
        return self.folder / "reviews.json.gz"

    @property
    def products(self) -> Path:
        """Likewise; only the products that are reviewed."""
        return self.folder / "products.json.gz"

    @cached_property
    def numbers(self) -> dict[str, int]:
        """How many ``users``, ``products``, ``reviews`` and ``distinct_texts`` there are."""
        return read_json(self.folder / "numbers.json")


@dataclass(frozen=True)
class Components:
    """What reviews are made of: n reviews of 2014.

    Attributes:
        sentences: All their sentences.
        lengths: int64 [n], sentences of each review.
        ratings: float64 [n].
        spans: int64 [m, 2], days of the first and the last review of each user.
        places: float64, where the reviews of a user lie between these two, 0...1.
    """

    sentences: np.ndarray
    lengths: np.ndarray
    ratings: np.ndarray
    spans: np.ndarray
    places: np.ndarray


def full_size_set(share: float = 1.0, seed: int = 0, folder: Path = FOLDER) -> FullSizeSet:
    """The set of this share and seed; made if it is not there.

    Args:
        share: Share of the users, or how often each of them is copied.
        seed: Another seed, other texts.
        folder: Holds all such sets.

    Raises:
        InputError: A share that is neither at most 1 nor whole, or the data are not there.
    """
    if share <= 0 or (share > 1 and share != int(share)):
        raise InputError(f"--share {share:g}: give at most 1, or a whole number of copies")
    made = FullSizeSet(folder / f"v{VERSION}_share_{share:g}_seed_{seed}")
    if made.folder.is_dir():
        return made
    data = data_folder()
    note(f"making {made.folder}")
    sequences = f"{data / SEQUENCES_2018}"
    table, _ = read_sequences(
        f"{sequences}.inter.json.gz",
        user_ids_path=f"{sequences}.user2id.gz",
        product_ids_path=f"{sequences}.item2id.gz",
    )
    parts = read_parts(data / REVIEWS_2014)
    with replacing(made.folder) as draft:
        draft.mkdir()
        drawn = FullSizeSet(draft)
        users = table.groupby("user_id", sort=False)["product_id"].agg(list)
        histories = list(zip(users.index, users, strict=True))
        reviewed, numbers = _write_reviews(drawn.reviews, histories, parts, share, seed)
        known = sorted(table["product_id"].unique())
        products = make_products(known, list(_records(data / PRODUCTS_2014)), seed)
        with _gzipped(drawn.products) as file:
            for product in products:
                if product["asin"] in reviewed:
                    file.write(json.dumps(product) + "\n")
        write_json(draft / "numbers.json", numbers)
    return made


def data_folder() -> Path:
    """The folder of the real data.

    Raises:
        InputError: Nobody said where it is.
    """
    if "REC_SYS_DATA_DIR" not in os.environ:
        raise InputError("REC_SYS_DATA_DIR is not set: name the folder of the data in it")
    return Path(os.environ["REC_SYS_DATA_DIR"])


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, without space around; none of a blank text."""
    return [each for each in _SENTENCE_ENDS.split(text.strip()) if each]


def resampled_texts(
    sentences: np.ndarray, lengths: np.ndarray, count: int, rng: np.random.Generator
) -> list[str]:
    """Texts of sentences drawn at random, as many in each as in a text drawn at random.

    Args:
        sentences: str [s].
        lengths: int64 [n], sentences of the texts that there are.
        count: How many texts.
        rng: Draws.
    """
    ends = np.cumsum(rng.choice(lengths, count))
    drawn = sentences[rng.integers(len(sentences), size=ends[-1] if count else 0)]
    return [" ".join(each) for each in np.split(drawn, ends[:-1])] if count else []


def read_parts(path: Path) -> Components:
    """What the reviews of a file in the format of Amazon 2014 are made of."""
    sentences, lengths, ratings, days_of = [], [], [], {}
    for review in _records(path):
        own = sentences_of(review["reviewText"])
        sentences += own
        lengths.append(len(own))
        ratings.append(review["overall"])
        day = review["unixReviewTime"] // SECONDS_PER_DAY
        days_of.setdefault(review["reviewerID"], []).append(day)
    spans = np.array([(min(days), max(days)) for days in days_of.values()])
    places = [
        (day - first) / max(last - first, 1)
        for days, (first, last) in zip(days_of.values(), spans, strict=True)
        for day in days
    ]
    return Components(
        np.array(sentences, dtype=object),
        np.array(lengths),
        np.array(ratings),
        spans,
        np.array(places),
    )


def make_products(ids: list[str], known: list[dict], seed: int) -> list[dict]:
    """Products in the format of Amazon 2018.

    A name is the beginning of one and the end of another name that is known, each one different;
    a description is put together from the sentences of those that are known.

    Args:
        ids: Of the products to make, all different.
        known: Products in the format of Amazon 2014.
        seed: Another seed, other products.
    """
    rng = np.random.default_rng((seed, _PRODUCTS))
    titles = [words for each in known if (words := each.get("title", "").split())]
    descriptions = [sentences_of(each.get("description", "")) for each in known]
    sentences = np.array([one for each in descriptions for one in each], dtype=object)
    infos = resampled_texts(sentences, np.array(list(map(len, descriptions))), len(ids), rng)
    names: dict[str, int] = {}
    while len(names) < len(ids):
        category, other = rng.integers(len(titles), size=2).tolist()
        first, second = titles[category], titles[other]
        name = " ".join(first[: (len(first) + 1) // 2] + second[len(second) // 2 :])
        names.setdefault(name, category)
    categories = [each["categories"][0] for each in known if each.get("title", "").split()]
    return [
        {"asin": id_, "title": name, "description": [info], "category": categories[category]}
        for id_, info, (name, category) in zip(ids, infos, names.items(), strict=True)
    ]


def make_reviews(
    block: list[tuple[str, list[str]]], parts: Components, rng: np.random.Generator
) -> Iterator[dict]:
    """The reviews of some users in the format of Amazon 2018, user after user, oldest first.

    A day is drawn for each, inside the span of a user of 2014 and as those lie in theirs. The
    order of the sequence is kept: the later one of two reviews on one day has the later second.

    Args:
        block: Ids of the users, and of the products of each, oldest first.
        parts: What the reviews are made of.
        rng: Draws.
    """
    degrees = np.array([len(products) for _, products in block])
    total, ends = int(degrees.sum()), np.cumsum(degrees)
    texts = resampled_texts(parts.sentences, parts.lengths, total, rng)
    ratings = rng.choice(parts.ratings, total)
    user = np.repeat(np.arange(len(block)), degrees)
    first, last = parts.spans[rng.integers(len(parts.spans), size=len(block))][user].T
    days = (first + rng.choice(parts.places, total) * (last - first)).astype(np.int64)
    days = days[np.lexsort((days, user))]
    seconds = days * SECONDS_PER_DAY + np.arange(total) - np.repeat(ends - degrees, degrees)
    rows = zip(texts, ratings.tolist(), seconds.tolist(), strict=True)
    for user_id, products in block:
        for product in products:
            text, rating, time = next(rows)
            yield {
                "overall": rating,
                "reviewerID": user_id,
                "asin": product,
                "reviewText": text,
                "unixReviewTime": time,
            }


def _write_reviews(
    path: Path,
    histories: list[tuple[str, list[str]]],
    parts: Components,
    share: float,
    seed: int,
) -> tuple[set[str], dict[str, int]]:
    """Writes block after block; returns the reviewed products and the numbers of the set."""
    # In an order drawn once, so that a smaller set is the beginning of a larger one.
    order = np.random.default_rng((seed, _USERS)).permutation(len(histories))
    wanted = max(1, round(min(share, 1.0) * len(histories)))
    reviewed, texts, num_reviews = set(), set(), 0
    copies = max(1, int(share))
    with _gzipped(path) as file:
        for copy in range(copies):
            for start in range(0, wanted, BLOCK_USERS):
                block = [histories[user] for user in order[start : start + BLOCK_USERS]]
                if copy:
                    block = [(f"{user}-{copy}", products) for user, products in block]
                taken = {user for user, _ in block[: wanted - start]}
                rng = np.random.default_rng((seed, _REVIEWS, copy, start))
                for review in make_reviews(block, parts, rng):
                    if review["reviewerID"] in taken:
                        file.write(json.dumps(review) + "\n")
                        reviewed.add(review["asin"])
                        texts.add(hash(review["reviewText"]))
                        num_reviews += 1
    numbers = {
        "users": wanted * copies,
        "products": len(reviewed),
        "reviews": num_reviews,
        "distinct_texts": len(texts),
    }
    return reviewed, numbers


@contextmanager
def _gzipped(path: Path) -> Iterator[io.TextIOWrapper]:
    # Without name and time in the header: equal contents are equal files.
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", COMPRESSION, file, mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8") as text,
    ):
        yield text


def _records(path: Path) -> Iterator[dict]:
    return (record for _, record in read_records(path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0, help="of the users, or copies of them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    given = parser.parse_args()
    made = full_size_set(given.share, given.seed, given.folder)
    note(f"{made.folder}: {', '.join(f'{n} {what}' for what, n in made.numbers.items())}")


if __name__ == "__main__":
    from rec_sys.foundation.cli import graceful_exit

    graceful_exit(main)()
