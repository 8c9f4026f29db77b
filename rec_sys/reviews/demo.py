"""The demo set: an invented shop for musical instruments, its customers and their reviews, with
words and numbers of ``demo_words``. A review is one to five sentences: a verdict, the use, likes
and dislikes, workmanship, what the writer looks for, a conclusion."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from omegaconf import OmegaConf

from rec_sys.foundation.files import replacing
from rec_sys.reviews.schema import MAX_RATING, MIN_RATING

REVIEWS_FILE = "reviews.jsonl"
PRODUCTS_FILE = "products.jsonl"
WORDS_DIR = Path(__file__).parent / "demo_words"

# A stream of random numbers each: more users change no product, and a new phrase no rating.
PRODUCTS, USERS, CHOICES, LUCK, TEXTS = range(5)


def _read(name: str) -> Any:
    return OmegaConf.to_container(OmegaConf.load(WORDS_DIR / f"{name}.yaml"))


SHOP, ODDS = SimpleNamespace(**_read("shop")), SimpleNamespace(**_read("odds"))
CATEGORIES = [SimpleNamespace(**each) for each in SHOP.categories]
ASPECTS = [SimpleNamespace(**each) for each in _read("aspects")]
PHRASES = _read("phrases")


class DemoProduct(NamedTuple):
    """A product with what nobody is told about it; aspects are positions in `ASPECTS`."""

    asin: str
    name: str
    info: str
    brand: str
    shelf: int
    aspects: tuple[int, ...]
    quality: float
    popularity: float


class DemoUser(NamedTuple):
    """A user with tastes; aspects are positions in `ASPECTS`, shelves in `CATEGORIES`."""

    user_id: str
    nickname: str
    shelves: tuple[int, ...]
    loves: tuple[int, ...]
    hates: tuple[int, ...]
    strictness: float


def write_demo(
    folder: Path, num_users: int, num_products: int, reviews_per_user: int = 8, seed: int = 0
) -> tuple[Path, Path]:
    """Writes the demo set as two JSON Lines files, each whole or not at all; returns their paths.
    Reviews are written oldest first. `reviews_per_user` is a mean: some have one, some three times
    the mean; nobody reviews a product twice. The same seed gives the same bytes."""
    products = invent_products(num_products, seed)
    reviews = invent_reviews(invent_users(num_users, seed), products, reviews_per_user, seed)
    fields = "asin", "ProductName", "ProductInfo", "Style", "Brand"
    told = ((p.asin, p.name, p.info, CATEGORIES[p.shelf].style, p.brand) for p in products)
    catalogue = [dict(zip(fields, each, strict=True)) for each in told]
    paths = Path(folder) / REVIEWS_FILE, Path(folder) / PRODUCTS_FILE
    for path, records in zip(paths, (reviews, catalogue), strict=True):
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        with replacing(path) as draft:
            draft.write_bytes(text.encode("utf-8"))  # bytes: Windows must not rewrite line ends
    return paths


def invent_products(count: int, seed: int) -> list[DemoProduct]:
    """Invents products, evenly over the shelves."""
    rng = _stream(seed, PRODUCTS)
    names = [(brand, model) for model in SHOP.models for brand in SHOP.brands]
    names_by_shelf = [[names[at] for at in rng.permutation(len(names))] for _ in CATEGORIES]
    ranks = rng.permutation(count)
    products = []
    for number in range(count):
        shelf = number % len(CATEGORIES)
        edition, at = divmod(number // len(CATEGORIES), len(names))
        brand, model = names_by_shelf[shelf][at]
        category = CATEGORIES[shelf]
        aspects = _aspects(rng, int(rng.integers(2, 4)))
        phrases = [pick(rng, ASPECTS[aspect].infos) for aspect in aspects]
        listed = f"{', '.join(phrases[:-1])} and {phrases[-1]}"
        article = "An" if category.kind[0] in "aeio" else "A"
        product = DemoProduct(
            asin=f"DEMO{number:06d}",
            name=f"{brand} {model} {category.kind.title()}" + f" Mk {edition + 1}" * bool(edition),
            info=f"{article} {category.kind} with {listed}. {pick(rng, category.extras)}",
            brand=brand,
            shelf=shelf,
            aspects=aspects,
            quality=ODDS.quality_spread * _bell(rng),
            popularity=1.0 / (float(ranks[number]) + ODDS.popularity_head),
        )
        products.append(product)
    return products


def invent_users(count: int, seed: int) -> list[DemoUser]:
    """Invents users and their tastes."""
    rng = _stream(seed, USERS)
    users = []
    for number in range(count):
        shelves = rng.permutation(len(CATEGORIES))[: int(rng.integers(2, 4))]
        loves = _aspects(rng, 2)
        hates = tuple(_opposite(aspect) for aspect in loves)[: int(rng.integers(1, 3))]
        nickname = pick(rng, SHOP.nickname_starts) + pick(rng, SHOP.nickname_ends)
        user = DemoUser(
            user_id=f"user-{number:05d}",
            nickname=f"{nickname}{rng.integers(10, 100)}",
            shelves=tuple(int(shelf) for shelf in shelves),
            loves=loves,
            hates=hates,
            strictness=ODDS.strictness_spread * _bell(rng),
        )
        users.append(user)
    return users


def _aspects(rng: np.random.Generator, count: int) -> tuple[int, ...]:
    """Different aspects, no two of them opposites; the second is often the first one's ally."""
    pairs = rng.permutation(len(ASPECTS) // 2)[:count]
    aspects = [int(2 * pair + rng.integers(2)) for pair in pairs]
    ally = aspects[0] ^ 2
    if rng.random() < ODDS.ally_share and not {ally, _opposite(ally)} & set(aspects[2:]):
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
    traits = np.array([np.isin(range(len(ASPECTS)), product.aspects) for product in products])
    shelf_of = np.array([product.shelf for product in products])
    popularity = np.array([product.popularity for product in products])
    reviews = []
    for user in users:
        pull = popularity * np.where(np.isin(shelf_of, user.shelves), ODDS.favourite_shelf_pull, 1)
        for aspect in user.loves:
            pull[traits[:, aspect]] *= ODDS.loved_pull
        joined = int(choosing.integers(ODDS.first_day, ODDS.last_day))
        for row in _choose(choosing, pull, reviews_per_user):
            product = products[row]
            stars = expected_rating(user, product) + ODDS.luck_spread * _bell(luck)
            rating = int(min(max(np.floor(stars + 0.5), MIN_RATING), MAX_RATING))
            style = CATEGORIES[product.shelf].style
            review = {
                "userID": user.user_id,
                "nickname": user.nickname,
                "asin": product.asin,
                "ProductName": product.name,
                "TextReview": write_text(writing, user, product, rating),
                "Style": None if choosing.random() < ODDS.missing_style_share else style,
                "rating": rating,
                "timestamp": int(choosing.integers(joined, ODDS.last_day)),
            }
            reviews.append(review)
    reviews.sort(key=lambda review: review["timestamp"])
    return [{"reviewID": f"R{number:07d}", **review} for number, review in enumerate(reviews)]


def expected_rating(user: DemoUser, product: DemoProduct) -> float:
    """Stars before luck and rounding: the best guess of somebody who knows everything."""
    match = ODDS.loved * len(set(user.loves) & set(product.aspects))
    match -= ODDS.hated * len(set(user.hates) & set(product.aspects))
    match -= 0.0 if product.shelf in user.shelves else ODDS.strange
    return ODDS.base - user.strictness + product.quality + match


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


def pick(rng: np.random.Generator, options: Sequence[Any]) -> Any:
    """One of the options, each as likely as the others."""
    return options[int(rng.integers(len(options)))]


def write_text(rng: np.random.Generator, user: DemoUser, product: DemoProduct, rating: int) -> str:
    """Writes what the user thought of the product; now and then nothing or a word or two."""
    kind = rng.random()
    if kind < ODDS.empty_share:
        return ""
    if kind < ODDS.empty_share + ODDS.short_share:
        sentences = [pick(rng, PHRASES["short"][rating])]
    else:
        sentences = _sentences(rng, user, product, rating)
    category = CATEGORIES[product.shelf]
    names = {"brand": product.brand, "noun": category.noun, "plural": category.plural}
    text = " ".join(sentences).format(**names)
    return text.lower() if rng.random() < ODDS.lower_case_share else text


def _sentences(
    rng: np.random.Generator, user: DemoUser, product: DemoProduct, rating: int
) -> list[str]:
    """At most as many sentences as drawn, the telling ones first in line, in reading order."""
    length = pick(rng, ODDS.lengths)
    mentions, outspoken = _mentions(rng, user, product, rating >= ODDS.lowest_liked)
    mentions = mentions[: min(length, ODDS.max_aspects)]
    # Without a fitting opinion on an aspect only the verdict tells how the rating came about.
    verdict = []
    if not outspoken or rng.random() < ODDS.chances["verdict"]:
        verdict = [pick(rng, PHRASES["verdicts"][rating])]
        mentions = mentions[: max(length - 1, 1 if outspoken else 0)]
    # Every draw is made even if unused, so that a longer review only adds sentences.
    shelf = pick(rng, PHRASES["fans" if product.shelf in user.shelves else "strangers"])
    wants, shuns = ASPECTS[pick(rng, user.loves)].wants, ASPECTS[pick(rng, user.hates)].shuns
    optional = {  # the most telling first: what does not fit is left out from the end
        "wants": pick(rng, wants),
        "shuns": pick(rng, shuns),
        "craft": _craft(rng, product, rating),
        "shelf": shelf,
        "use": pick(rng, PHRASES["use_frames"]).format(
            use=pick(rng, PHRASES["uses"] + CATEGORIES[product.shelf].uses)
        ),
        "conclusion": pick(rng, PHRASES["conclusions"][rating]),
    }
    chances = ODDS.chances
    said = {name: text for name, text in optional.items() if rng.random() < chances[name] and text}
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
    praises = PHRASES["praise" if satisfied else "faint_praise"]
    praise = [_about(rng, ASPECTS[aspect].liked, praises) for aspect in loved]
    complaints = PHRASES["caveat" if satisfied else "complaint"]
    blame = [_about(rng, ASPECTS[aspect].disliked, complaints) for aspect in hated]
    plain = [ASPECTS[each].plain for each in product.aspects if each not in loved + hated]
    telling = praise + blame if satisfied else blame + praise
    return telling or plain[:1], bool(praise if satisfied else blame)


def _about(rng: np.random.Generator, names: list[str], frames: list[str]) -> str:
    name = pick(rng, names)
    if name.startswith("how "):
        frames = [frame for frame in frames if not frame.startswith("{it}")]
    sentence = pick(rng, frames).format(it=name)
    return sentence[0].upper() + sentence[1:]


def _craft(rng: np.random.Generator, product: DemoProduct, rating: int) -> str:
    """A remark on workmanship, where it is notable and does not contradict the rating."""
    category = CATEGORIES[product.shelf]
    good, bad = pick(rng, category.good), pick(rng, category.bad)
    if product.quality > ODDS.notable_quality and rating >= ODDS.lowest_liked:
        return good
    return bad if product.quality < -ODDS.notable_quality and rating < MAX_RATING else ""
