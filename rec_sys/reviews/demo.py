"""The demo set: a small invented shop for musical instruments, its customers and their reviews."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from rec_sys.foundation.files import replacing
from rec_sys.reviews.demo_texts import WORDS, DemoProduct, DemoUser, pick, write_text
from rec_sys.reviews.schema import MAX_RATING, MIN_RATING

REVIEWS_FILE = "reviews.jsonl"
PRODUCTS_FILE = "products.jsonl"

# How far products and users differ, as standard deviations in stars.
QUALITY_SPREAD = 0.3
STRICTNESS_SPREAD = 0.25
# How often an aspect comes with its ally, in products and in tastes.
ALLY_SHARE = 0.8
# The product at popularity rank r is chosen in proportion to 1 / (r + POPULARITY_HEAD).
POPULARITY_HEAD = 40.0

# One stream of random numbers for each part: more users leave the products as they are, and a
# new phrase leaves the ratings as they are.
PRODUCTS, USERS, CHOICES, LUCK, TEXTS = range(5)

# The rule behind a rating, in stars.
BASE = 4.2
LOVED = 0.9
HATED = 2.4
STRANGE = 0.4
LUCK_SPREAD = 0.45  # standard deviation

# How much likelier a product is chosen: powers of two, so that their products are exact.
FAVOURITE_SHELF_PULL = 32.0
LOVED_PULL = 2.0

MISSING_STYLE_SHARE = 0.03
FIRST_DAY = 1_577_836_800  # 2020-01-01, unix seconds
LAST_DAY = 1_703_980_800  # 2023-12-31


def write_demo(
    folder: Path,
    num_users: int = 800,
    num_products: int = 240,
    reviews_per_user: int = 8,
    seed: int = 0,
) -> tuple[Path, Path]:
    """Writes the demo set as two JSON Lines files, each whole or not at all; returns their paths.
    Reviews are written oldest first. `reviews_per_user` is a mean: some have one, some three times
    the mean; nobody reviews a product twice. The same seed gives the same bytes."""
    products = invent_products(num_products, seed)
    users = invent_users(num_users, seed)
    reviews = invent_reviews(users, products, reviews_per_user, seed)
    catalogue = [
        {
            "asin": product.asin,
            "ProductName": product.name,
            "ProductInfo": product.info,
            "Style": WORDS.categories[product.shelf].style,
            "Brand": product.brand,
        }
        for product in products
    ]
    paths = Path(folder) / REVIEWS_FILE, Path(folder) / PRODUCTS_FILE
    for path, records in zip(paths, (reviews, catalogue), strict=True):
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        with replacing(path) as draft:
            draft.write_bytes(text.encode("utf-8"))  # bytes: Windows must not rewrite line ends
    return paths


def invent_products(count: int, seed: int) -> list[DemoProduct]:
    """Invents products, evenly over the shelves."""
    rng = _stream(seed, PRODUCTS)
    names = [(brand, model) for model in WORDS.models for brand in WORDS.brands]
    names_by_shelf = [[names[at] for at in rng.permutation(len(names))] for _ in WORDS.categories]
    ranks = rng.permutation(count)
    products = []
    for number in range(count):
        shelf = number % len(WORDS.categories)
        edition, at = divmod(number // len(WORDS.categories), len(names))
        brand, model = names_by_shelf[shelf][at]
        category = WORDS.categories[shelf]
        aspects = _aspects(rng, int(rng.integers(2, 4)))
        phrases = [pick(rng, WORDS.aspects[aspect].infos) for aspect in aspects]
        listed = f"{', '.join(phrases[:-1])} and {phrases[-1]}"
        article = "An" if category.kind[0] in "aeio" else "A"
        products.append(
            DemoProduct(
                asin=f"DEMO{number:06d}",
                name=f"{brand} {model} {category.kind.title()}"
                + (f" Mk {edition + 1}" if edition else ""),
                info=f"{article} {category.kind} with {listed}. {pick(rng, category.extras)}",
                brand=brand,
                shelf=shelf,
                aspects=aspects,
                quality=QUALITY_SPREAD * _bell(rng),
                popularity=1.0 / (float(ranks[number]) + POPULARITY_HEAD),
            )
        )
    return products


def invent_users(count: int, seed: int) -> list[DemoUser]:
    """Invents users and their tastes."""
    rng = _stream(seed, USERS)
    users = []
    for number in range(count):
        shelves = rng.permutation(len(WORDS.categories))[: int(rng.integers(2, 4))]
        loves = _aspects(rng, 2)
        hates = tuple(_opposite(aspect) for aspect in loves)[: int(rng.integers(1, 3))]
        nickname = pick(rng, WORDS.nickname_starts) + pick(rng, WORDS.nickname_ends)
        users.append(
            DemoUser(
                user_id=f"user-{number:05d}",
                nickname=f"{nickname}{rng.integers(10, 100)}",
                shelves=tuple(int(shelf) for shelf in shelves),
                loves=loves,
                hates=hates,
                strictness=STRICTNESS_SPREAD * _bell(rng),
            )
        )
    return users


def _aspects(rng: np.random.Generator, count: int) -> tuple[int, ...]:
    """Different aspects, no two of them opposites; the second is often the first one's ally."""
    pairs = rng.permutation(len(WORDS.aspects) // 2)[:count]
    aspects = [int(2 * pair + rng.integers(2)) for pair in pairs]
    ally = aspects[0] ^ 2
    if rng.random() < ALLY_SHARE and not {ally, _opposite(ally)} & set(aspects[2:]):
        aspects[1] = ally
    return tuple(aspects)


def _opposite(aspect: int) -> int:
    return aspect ^ 1  # the other one of its pair: nothing is both warm and bright


def _bell(rng: np.random.Generator) -> float:
    """Bell-shaped, mean 0, standard deviation 1, by additions only: no logarithm to differ in."""
    return 2.0 * (rng.random() + rng.random() + rng.random() - 1.5)


def _stream(seed: int, part: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed, part]))


def invent_reviews(
    users: list[DemoUser], products: list[DemoProduct], reviews_per_user: int, seed: int
) -> list[dict[str, Any]]:
    """Lets every user choose, rate and describe products; oldest review first."""
    choosing, luck, writing = (_stream(seed, part) for part in (CHOICES, LUCK, TEXTS))
    traits = np.zeros((len(products), len(WORDS.aspects)), dtype=bool)
    for row, product in enumerate(products):
        traits[row, list(product.aspects)] = True
    shelf_of = np.array([product.shelf for product in products])
    popularity = np.array([product.popularity for product in products])
    reviews = []
    for user in users:
        pull = popularity * np.where(np.isin(shelf_of, user.shelves), FAVOURITE_SHELF_PULL, 1.0)
        for aspect in user.loves:
            pull[traits[:, aspect]] *= LOVED_PULL
        joined = int(choosing.integers(FIRST_DAY, LAST_DAY))
        for row in _choose(choosing, pull, reviews_per_user):
            product = products[row]
            stars = expected_rating(user, product) + LUCK_SPREAD * _bell(luck)
            rating = int(min(max(np.floor(stars + 0.5), MIN_RATING), MAX_RATING))
            style = WORDS.categories[product.shelf].style
            reviews.append(
                {
                    "userID": user.user_id,
                    "nickname": user.nickname,
                    "asin": product.asin,
                    "ProductName": product.name,
                    "TextReview": write_text(writing, user, product, rating),
                    "Style": None if choosing.random() < MISSING_STYLE_SHARE else style,
                    "rating": rating,
                    "timestamp": int(choosing.integers(joined, LAST_DAY)),
                }
            )
    reviews.sort(key=lambda review: review["timestamp"])
    return [{"reviewID": f"R{number:07d}", **review} for number, review in enumerate(reviews)]


def expected_rating(user: DemoUser, product: DemoProduct) -> float:
    """Stars before luck and rounding: the best guess of somebody who knows everything."""
    match = LOVED * len(set(user.loves) & set(product.aspects))
    match -= HATED * len(set(user.hates) & set(product.aspects))
    match -= 0.0 if product.shelf in user.shelves else STRANGE
    return BASE - user.strictness + product.quality + match


def _choose(rng: np.random.Generator, pull: np.ndarray, mean: int) -> list[int]:
    """Draws different products in proportion to `pull`; the number is skewed, its mean `mean`."""
    # The square of an even draw has mean 1/3: many short histories, a few three times as long.
    count = min(1 + int(3 * (mean - 1) * rng.random() ** 2 + 0.5), len(pull))
    left, chosen = pull.copy(), []
    for _ in range(count):
        upto = np.cumsum(left)
        row = int(np.searchsorted(upto, rng.random() * upto[-1], side="right"))
        chosen.append(row)
        left[row] = 0.0
    return chosen
