"""The words of the demo set, and how an experience with a product becomes a review.

A review is one to five sentences: a verdict, what the product is used for, what the writer likes
and dislikes about it, how well it is made, what the writer looks for in general, a conclusion.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from omegaconf import OmegaConf

WORDS_DIR = Path(__file__).parent / "demo_words"

# Shares of all reviews: the warts that real data has.
EMPTY_SHARE = 0.01
SHORT_SHARE = 0.015
LOWER_CASE_SHARE = 0.03

LENGTHS = (1, *(2,) * 3, *(3,) * 5, *(4,) * 6, *(5,) * 5)  # sentences, drawn evenly
MAX_ASPECTS = 3
VERDICT_CHANCE = 0.5
WANTS_CHANCE = 0.65
SHUNS_CHANCE = 0.5
SHELF_CHANCE = 0.25
QUALITY_CHANCE = 0.6
NOTABLE_QUALITY = 0.1  # hidden quality beyond which workmanship is mentioned at all
USE_CHANCE = 0.3
CONCLUSION_CHANCE = 0.5
LOWEST_LIKED = 4  # ratings from here on mean that the writer likes the product
BEST = 5

Option = TypeVar("Option")


@dataclass(frozen=True)
class Aspect:
    """One pole of a pair of opposites that people care for; see ``demo_words/aspects.yaml``."""

    infos: list[str]
    liked: list[str]
    disliked: list[str]
    plain: str
    wants: list[str]
    shuns: list[str]


@dataclass(frozen=True)
class Category:
    """A shelf of the shop; see ``demo_words/shop.yaml``."""

    style: str
    kind: str
    noun: str
    plural: str
    extras: list[str]
    good: list[str]
    bad: list[str]
    uses: list[str]


@dataclass(frozen=True)
class Words:
    """All words of the demo set. The positions of the aspects have a meaning. `phrases`: by kind;
    where the rating matters, lists by rating."""

    aspects: list[Aspect]
    categories: list[Category]
    brands: list[str]
    models: list[str]
    nickname_starts: list[str]
    nickname_ends: list[str]
    phrases: dict[str, Any]


def _words() -> Words:
    aspects, phrases, shop = (
        OmegaConf.to_container(OmegaConf.load(WORDS_DIR / f"{name}.yaml"))
        for name in ("aspects", "phrases", "shop")
    )
    categories = [Category(**each) for each in shop.pop("categories")]
    return Words([Aspect(**each) for each in aspects], categories, phrases=phrases, **shop)


WORDS = _words()


@dataclass(frozen=True)
class DemoProduct:
    """A product with what nobody is told about it; aspects are positions in the list of `WORDS`."""

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
    """A user with tastes; aspects are positions in the list of `WORDS`, as shelves are."""

    user_id: str
    nickname: str
    shelves: tuple[int, ...]
    loves: tuple[int, ...]
    hates: tuple[int, ...]
    strictness: float


def pick(rng: np.random.Generator, options: Sequence[Option]) -> Option:
    """One of the options, each as likely as the others."""
    return options[int(rng.integers(len(options)))]


def write_text(rng: np.random.Generator, user: DemoUser, product: DemoProduct, rating: int) -> str:
    """Writes what the user thought of the product; now and then nothing or a word or two."""
    kind = rng.random()
    if kind < EMPTY_SHARE:
        return ""
    if kind < EMPTY_SHARE + SHORT_SHARE:
        sentences = [pick(rng, _phrases("short", rating))]
    else:
        sentences = _sentences(rng, user, product, rating)
    category = WORDS.categories[product.shelf]
    names = {"brand": product.brand, "noun": category.noun, "plural": category.plural}
    text = " ".join(sentences).format(**names)
    return text.lower() if rng.random() < LOWER_CASE_SHARE else text


def _sentences(
    rng: np.random.Generator, user: DemoUser, product: DemoProduct, rating: int
) -> list[str]:
    """At most as many sentences as drawn, the telling ones first in line, in reading order."""
    length = pick(rng, LENGTHS)
    mentions, outspoken = _mentions(rng, user, product, rating >= LOWEST_LIKED)
    mentions = mentions[: min(length, MAX_ASPECTS)]
    # Without a fitting opinion on an aspect only the verdict tells how the rating came about.
    verdict = []
    if not outspoken or rng.random() < VERDICT_CHANCE:
        verdict = [pick(rng, _phrases("verdicts", rating))]
        mentions = mentions[: max(length - 1, 1 if outspoken else 0)]
    # Every draw is made even if unused, so that a longer review only adds sentences.
    shelf = pick(rng, _phrases("fans" if product.shelf in user.shelves else "strangers"))
    wants, shuns = pick(rng, _named(user.loves)).wants, pick(rng, _named(user.hates)).shuns
    optional = (  # the most telling first: what does not fit is left out from the end
        ("wants", WANTS_CHANCE, pick(rng, wants)),
        ("shuns", SHUNS_CHANCE, pick(rng, shuns)),
        ("craft", QUALITY_CHANCE, _craft(rng, product, rating)),
        ("shelf", SHELF_CHANCE, shelf),
        ("use", USE_CHANCE, _use(rng, WORDS.categories[product.shelf])),
        ("conclusion", CONCLUSION_CHANCE, pick(rng, _phrases("conclusions", rating))),
    )
    said = {name: text for name, chance, text in optional if rng.random() < chance and text}
    kept = dict(list(said.items())[: length - len(verdict) - len(mentions)])
    before = [kept[name] for name in ("use", "wants", "shelf") if name in kept]
    after = [kept[name] for name in ("craft", "shuns", "conclusion") if name in kept]
    return [*verdict, *before, *mentions, *after]


def _mentions(
    rng: np.random.Generator, user: DemoUser, product: DemoProduct, satisfied: bool
) -> tuple[list[str], bool]:
    """Sentences on the product's aspects, and whether one of them explains the rating."""
    loved = [aspect for aspect in product.aspects if aspect in user.loves]
    hated = [aspect for aspect in product.aspects if aspect in user.hates]
    praises = _phrases("praise" if satisfied else "faint_praise")
    praise = [_about(rng, it.liked, praises) for it in _named(loved)]
    complaints = _phrases("caveat" if satisfied else "complaint")
    blame = [_about(rng, it.disliked, complaints) for it in _named(hated)]
    plain = [it.plain for it in _named(product.aspects) if it not in _named(loved + hated)]
    telling = praise + blame if satisfied else blame + praise
    return telling or plain[:1], bool(praise if satisfied else blame)


def _named(aspects: Iterable[int]) -> list[Aspect]:
    return [WORDS.aspects[aspect] for aspect in aspects]


def _about(rng: np.random.Generator, names: list[str], frames: list[str]) -> str:
    name = pick(rng, names)
    if name.startswith("how "):
        frames = [frame for frame in frames if not frame.startswith("{it}")]
    sentence = pick(rng, frames).format(it=name)
    return sentence[0].upper() + sentence[1:]


def _craft(rng: np.random.Generator, product: DemoProduct, rating: int) -> str:
    """A remark on workmanship, where it is notable and does not contradict the rating."""
    category = WORDS.categories[product.shelf]
    good, bad = pick(rng, category.good), pick(rng, category.bad)
    if product.quality > NOTABLE_QUALITY and rating >= LOWEST_LIKED:
        return good
    if product.quality < -NOTABLE_QUALITY and rating < BEST:
        return bad
    return ""


def _use(rng: np.random.Generator, category: Category) -> str:
    return pick(rng, _phrases("use_frames")).format(use=pick(rng, _phrases("uses") + category.uses))


def _phrases(kind: str, rating: int | None = None) -> list[str]:
    phrases = WORDS.phrases[kind]
    return phrases if rating is None else phrases[rating]
