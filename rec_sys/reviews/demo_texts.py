"""Words of the demo set, part 3: how an experience with a product becomes a review.

A review is one to five sentences: a verdict, what the product is used for, what the writer likes
and dislikes about it, how well it is made, what the writer looks for in general, a conclusion.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from rec_sys.reviews.demo_words import Aspect, Category

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

SHORT = {
    1: ("Terrible.", "Awful {noun}.", "Waste of money.", "Sent it straight back."),
    2: ("Disappointing.", "Poor {noun}.", "Not for me.", "Would not buy again."),
    3: ("It's okay.", "Average {noun}.", "So-so.", "Nothing special."),
    4: ("Good {noun}.", "Pretty good.", "Solid {noun}.", "Nice."),
    5: ("Great.", "Love it!", "Great {noun}!", "Perfect.", "Best {noun} ever!", "Superb {noun}."),
}
VERDICTS = {
    1: (
        "I regret buying this {noun}.",
        "The worst {noun} I have ever had.",
        "Stay away from this {brand}.",
        "What a letdown from {brand}.",
        "This {noun} went back the same day.",
        "I am really angry about this {brand}.",
    ),
    2: (
        "I expected much more from {brand}.",
        "This {noun} was a disappointment.",
        "Sadly, this {brand} is not a good {noun}.",
        "I hardly ever touch this {noun} now.",
        "Not happy with this {brand}.",
        "I wanted to like this {noun}, but I don't.",
    ),
    3: (
        "This {noun} is okay, no more than that.",
        "I have mixed feelings about this {brand}.",
        "A middling {noun}, if you ask me.",
        "The {brand} is neither great nor awful.",
        "This {noun} does the job, but it never excites me.",
        "An average {noun} from {brand}.",
    ),
    4: (
        "A good {noun} with a few quirks.",
        "I am quite pleased with this {brand}.",
        "A really decent {noun}.",
        "This {noun} is very nice, though not perfect.",
        "The {brand} is a good buy.",
        "I like this {noun} a lot, if not quite without reserve.",
    ),
    5: (
        "I am thrilled with this {noun}!",
        "This {brand} is a dream.",
        "The best {noun} I have ever owned.",
        "Absolutely wonderful {noun}.",
        "I could not be happier with my {brand}.",
        "What a fantastic {noun}!",
        "{brand} got everything right here.",
        "I fell in love with this {noun} at once.",
    ),
}
# "{it}" is "the …" or "how …"; a sentence that starts with it takes "the …" only.
PRAISE = (
    *("I love {it}.", "What won me over is {it}.", "The best thing is {it}.", "I adore {it}."),
    *("I can't get enough of {it}.", "I keep telling everyone about {it}."),
    *("I am still amazed by {it}.", "My favourite part is {it}."),
    *("{it} is exactly what I was hoping for.", "{it} makes me smile every time."),
    *("{it} alone is worth the price.", "{it} is simply perfect for me."),
)
FAINT_PRAISE = (
    *("To be fair, I do like {it}.", "The one thing I enjoy is {it}."),
    *("At least I like {it}.", "{it} is nice, I admit."),
)
COMPLAINT = (
    *("I can't stand {it}.", "What spoils it for me is {it}.", "I really dislike {it}."),
    *("My main complaint is {it}.", "I am fed up with {it}.", "I could not get past {it}."),
    *("{it} drives me mad.", "{it} is a deal-breaker for me.", "{it} ruins it."),
)
CAVEAT = (
    *("I could do without {it}, though.", "My only small complaint is {it}."),
    *("I am less keen on {it}.", "{it} is not my thing, but I can live with it."),
)
FANS = (
    *("I can never have enough {plural}.", "I own more {plural} than I care to admit."),
    *("I have played {plural} for years.", "My home is full of {plural}."),
)
STRANGERS = (
    *("I don't usually buy {plural}.", "I am not really into {plural}."),
    "This is my first {noun} and perhaps my last.",
)
USE_FRAMES = (
    *("I bought it {use}.", "I use it {use}.", "I got it mainly {use}.", "Mine is used {use}."),
)
USES = (
    *("for church rehearsals on Sundays", "for weekend gigs with my band", "for my own lessons"),
    *("for my daughter's lessons", "for recording demos at home", "for folk nights at the pub"),
    *("for jamming with friends", "for the school musical", "for evenings in my flat"),
)
CONCLUSIONS = {
    1: ("I sent it back.", "Save your money.", "Never again.", "I want a refund."),
    2: ("I would not buy it again.", "I may sell it.", "Look elsewhere.", "A pity."),
    3: ("Try it before you buy.", "It will do for now.", "I might look for another one."),
    4: ("I would buy it again.", "Good value overall.", "All in all a good choice."),
    5: (
        *("Highly recommended!", "I would buy it again in a heartbeat.", "Worth every penny."),
        *("I have already recommended it to friends.", "Thank you, {brand}!", "Five stars!"),
    ),
}
Option = TypeVar("Option")
LOWEST_LIKED = 4  # ratings from here on mean that the writer likes the product
BEST = 5


@dataclass(frozen=True)
class Experience:
    """All that somebody could write about: one person with one product.

    Attributes:
        rating: Whole stars, 1 to 5.
        brand: Maker of the product.
        category: Shelf of the product.
        quality: Hidden quality of the product, about -1 to 1.
        liked, disliked, plain: The product's aspects that this person loves, hates, ignores.
        loves, hates: All aspects that this person loves or hates.
        is_fan: Whether the shelf is among the person's favourites.
    """

    rating: int
    brand: str
    category: Category
    quality: float
    liked: tuple[Aspect, ...]
    disliked: tuple[Aspect, ...]
    plain: tuple[Aspect, ...]
    loves: tuple[Aspect, ...]
    hates: tuple[Aspect, ...]
    is_fan: bool


def pick(rng: np.random.Generator, options: tuple[Option, ...]) -> Option:
    """One of the options, each as likely as the others."""
    return options[int(rng.integers(len(options)))]


def write_text(rng: np.random.Generator, experience: Experience) -> str:
    """Writes what the person thought of the product; now and then nothing or a word or two."""
    kind = rng.random()
    if kind < EMPTY_SHARE:
        return ""
    if kind < EMPTY_SHARE + SHORT_SHARE:
        sentences = [pick(rng, SHORT[experience.rating])]
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
        verdict = [pick(rng, VERDICTS[rating])]
        mentions = mentions[: max(length - 1, 1 if outspoken else 0)]
    # Every draw is made even if unused, so that a longer review only adds sentences.
    shelf = pick(rng, FANS if experience.is_fan else STRANGERS)
    wants, shuns = pick(rng, experience.loves).wants, pick(rng, experience.hates).shuns
    optional = (  # the most telling first: what does not fit is left out from the end
        ("wants", WANTS_CHANCE, pick(rng, wants)),
        ("shuns", SHUNS_CHANCE, pick(rng, shuns)),
        ("craft", QUALITY_CHANCE, _craft(rng, experience)),
        ("shelf", SHELF_CHANCE, shelf),
        ("use", USE_CHANCE, _use(rng, experience.category)),
        ("conclusion", CONCLUSION_CHANCE, pick(rng, CONCLUSIONS[rating])),
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
    praise = [
        _about(rng, it.liked, PRAISE if satisfied else FAINT_PRAISE) for it in experience.liked
    ]
    blame = [
        _about(rng, it.disliked, CAVEAT if satisfied else COMPLAINT) for it in experience.disliked
    ]
    plain = [aspect.plain for aspect in experience.plain]
    outspoken = bool(praise if satisfied else blame)
    telling = praise + blame if satisfied else blame + praise
    return (telling or plain[:1])[:most], outspoken


def _about(rng: np.random.Generator, names: tuple[str, ...], frames: tuple[str, ...]) -> str:
    name = pick(rng, names)
    if name.startswith("how "):
        frames = tuple(frame for frame in frames if not frame.startswith("{it}"))
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
    return pick(rng, USE_FRAMES).format(use=pick(rng, USES + category.uses))
