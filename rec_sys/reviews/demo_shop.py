"""Who shops and what is for sale in the demo set, with the tastes that nobody is told.

Only whole numbers and evenly distributed ones are drawn, so every machine draws the same.
"""

from dataclasses import dataclass

import numpy as np

from rec_sys.reviews.demo_aspects import ASPECTS, ally, opposite
from rec_sys.reviews.demo_catalogue import (
    BRANDS,
    CATEGORIES,
    MODELS,
    NICKNAME_ENDS,
    NICKNAME_STARTS,
    with_article,
)
from rec_sys.reviews.demo_texts import pick

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


@dataclass(frozen=True)
class DemoProduct:
    """A product with what nobody is told about it; aspects are positions in `ASPECTS`."""

    asin: str
    name: str
    info: str
    brand: str
    shelf: int
    aspects: tuple[int, ...]
    quality: float
    popularity: float


@dataclass(frozen=True)
class DemoUser:
    """A user with tastes; aspects are positions in `ASPECTS`, shelves in `CATEGORIES`."""

    user_id: str
    nickname: str
    shelves: tuple[int, ...]
    loves: tuple[int, ...]
    hates: tuple[int, ...]
    strictness: float


def invent_products(count: int, seed: int) -> list[DemoProduct]:
    """Invents products, evenly over the shelves."""
    rng = stream(seed, PRODUCTS)
    names = [(brand, model) for model in MODELS for brand in BRANDS]
    names_by_shelf = [[names[at] for at in rng.permutation(len(names))] for _ in CATEGORIES]
    ranks = rng.permutation(count)
    products = []
    for number in range(count):
        shelf = number % len(CATEGORIES)
        edition, at = divmod(number // len(CATEGORIES), len(names))
        brand, model = names_by_shelf[shelf][at]
        kind = CATEGORIES[shelf].kind
        aspects = _aspects(rng, int(rng.integers(2, 4)))
        phrases = [pick(rng, ASPECTS[aspect].infos) for aspect in aspects]
        listed = f"{', '.join(phrases[:-1])} and {phrases[-1]}"
        first = with_article(kind)
        products.append(
            DemoProduct(
                asin=f"DEMO{number:06d}",
                name=f"{brand} {model} {kind.title()}" + (f" Mk {edition + 1}" if edition else ""),
                info=f"{first[0].upper()}{first[1:]} with {listed}. "
                f"{pick(rng, CATEGORIES[shelf].extras)}",
                brand=brand,
                shelf=shelf,
                aspects=aspects,
                quality=QUALITY_SPREAD * bell(rng),
                popularity=1.0 / (float(ranks[number]) + POPULARITY_HEAD),
            )
        )
    return products


def invent_users(count: int, seed: int) -> list[DemoUser]:
    """Invents users and their tastes."""
    rng = stream(seed, USERS)
    users = []
    for number in range(count):
        shelves = rng.permutation(len(CATEGORIES))[: int(rng.integers(2, 4))]
        loves = _aspects(rng, 2)
        hates = tuple(opposite(aspect) for aspect in loves)[: int(rng.integers(1, 3))]
        nickname = f"{pick(rng, NICKNAME_STARTS)}{pick(rng, NICKNAME_ENDS)}{rng.integers(10, 100)}"
        users.append(
            DemoUser(
                user_id=f"user-{number:05d}",
                nickname=nickname,
                shelves=tuple(int(shelf) for shelf in shelves),
                loves=loves,
                hates=hates,
                strictness=STRICTNESS_SPREAD * bell(rng),
            )
        )
    return users


def _aspects(rng: np.random.Generator, count: int) -> tuple[int, ...]:
    """Different aspects, no two of them opposites; the second is often the first one's ally."""
    pairs = rng.permutation(len(ASPECTS) // 2)[:count]
    aspects = [int(2 * pair + rng.integers(2)) for pair in pairs]
    friend = ally(aspects[0])
    if rng.random() < ALLY_SHARE and not {friend, opposite(friend)} & set(aspects[2:]):
        aspects[1] = friend
    return tuple(aspects)


def bell(rng: np.random.Generator) -> float:
    """Bell-shaped, mean 0, standard deviation 1, by additions only: no logarithm to differ in."""
    return 2.0 * (rng.random() + rng.random() + rng.random() - 1.5)


def stream(seed: int, part: int) -> np.random.Generator:
    """The random numbers of one part, such as `PRODUCTS`."""
    return np.random.Generator(np.random.PCG64([seed, part]))
