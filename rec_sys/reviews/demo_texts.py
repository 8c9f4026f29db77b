"""The words of the demo set, and how an experience with a product becomes a review.

A review is one to five sentences: a verdict, what the product is used for, what the writer likes
and dislikes about it, how well it is made, what the writer looks for in general, a conclusion.
"""

from collections.abc import Sequence
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
class Experience:
    """All that somebody could write about: one person with one product.

    The rating is in whole stars, 1 to 5, the product's hidden `quality` about -1 to 1. `liked`,
    `disliked` and `plain` are the product's aspects that this person loves, hates, ignores; `loves`
    and `hates` are all theirs. `is_fan`: whether the shelf is among their favourites.
    """

    rating: int
    brand: str
    category: Category
    quality: float
    liked: list[Aspect]
    disliked: list[Aspect]
    plain: list[Aspect]
    loves: list[Aspect]
    hates: list[Aspect]
    is_fan: bool


def pick(rng: np.random.Generator, options: Sequence[Option]) -> Option:
    """One of the options, each as likely as the others."""
    return options[int(rng.integers(len(options)))]


def write_text(rng: np.random.Generator, experience: Experience) -> str:
    """Writes what the person thought of the product; now and then nothing or a word or two."""
    kind = rng.random()
    if kind < EMPTY_SHARE:
        return ""
    if kind < EMPTY_SHARE + SHORT_SHARE:
        sentences = [pick(rng, _phrases("short", experience.rating))]
    else:
        sentences = _sentences(rng, experience)
    category = experience.category
    text = " ".join(sentences).format(
        brand=experience.brand, noun=category.noun, plural=category.plural
    )
    return text.lower() if rng.random() < LOWER_CASE_SHARE else text


def _sentences(rng: np.random.Generator, experience: Experience) -> list[str]:
    """At most as many sentences as drawn, the telling ones first in line, in reading order."""
    rating = experience.rating
    length = pick(rng, LENGTHS)
    mentions, outspoken = _mentions(rng, experience, min(length, MAX_ASPECTS))
    # Without a fitting opinion on an aspect only the verdict tells how the rating came about.
    verdict = []
    if not outspoken or rng.random() < VERDICT_CHANCE:
        verdict = [pick(rng, _phrases("verdicts", rating))]
        mentions = mentions[: max(length - 1, 1 if outspoken else 0)]
    # Every draw is made even if unused, so that a longer review only adds sentences.
    shelf = pick(rng, _phrases("fans" if experience.is_fan else "strangers"))
    wants, shuns = pick(rng, experience.loves).wants, pick(rng, experience.hates).shuns
    optional = (  # the most telling first: what does not fit is left out from the end
        ("wants", WANTS_CHANCE, pick(rng, wants)),
        ("shuns", SHUNS_CHANCE, pick(rng, shuns)),
        ("craft", QUALITY_CHANCE, _craft(rng, experience)),
        ("shelf", SHELF_CHANCE, shelf),
        ("use", USE_CHANCE, _use(rng, experience.category)),
        ("conclusion", CONCLUSION_CHANCE, pick(rng, _phrases("conclusions", rating))),
    )
    said = {name: text for name, chance, text in optional if rng.random() < chance and text}
    room = length - len(verdict) - len(mentions)
    kept = dict(list(said.items())[:room])
    before = [kept[name] for name in ("use", "wants", "shelf") if name in kept]
    after = [kept[name] for name in ("craft", "shuns", "conclusion") if name in kept]
    return [*verdict, *before, *mentions, *after]


def _mentions(
    rng: np.random.Generator, experience: Experience, most: int
) -> tuple[list[str], bool]:
    """Sentences on the product's aspects, and whether one of them explains the rating."""
    satisfied = experience.rating >= LOWEST_LIKED
    praises = _phrases("praise" if satisfied else "faint_praise")
    praise = [_about(rng, it.liked, praises) for it in experience.liked]
    complaints = _phrases("caveat" if satisfied else "complaint")
    blame = [_about(rng, it.disliked, complaints) for it in experience.disliked]
    plain = [aspect.plain for aspect in experience.plain]
    outspoken = bool(praise if satisfied else blame)
    telling = praise + blame if satisfied else blame + praise
    return (telling or plain[:1])[:most], outspoken


def _about(rng: np.random.Generator, names: list[str], frames: list[str]) -> str:
    name = pick(rng, names)
    if name.startswith("how "):
        frames = [frame for frame in frames if not frame.startswith("{it}")]
    sentence = pick(rng, frames).format(it=name)
    return sentence[0].upper() + sentence[1:]


def _craft(rng: np.random.Generator, experience: Experience) -> str:
    """A remark on workmanship, where it is notable and does not contradict the rating."""
    good, bad = pick(rng, experience.category.good), pick(rng, experience.category.bad)
    if experience.quality > NOTABLE_QUALITY and experience.rating >= LOWEST_LIKED:
        return good
    if experience.quality < -NOTABLE_QUALITY and experience.rating < BEST:
        return bad
    return ""


def _use(rng: np.random.Generator, category: Category) -> str:
    return pick(rng, _phrases("use_frames")).format(use=pick(rng, _phrases("uses") + category.uses))


def _phrases(kind: str, rating: int | None = None) -> list[str]:
    phrases = WORDS.phrases[kind]
    return phrases if rating is None else phrases[rating]
