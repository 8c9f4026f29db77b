"""What comes out: recommendations as objects, as tables and as files."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rec_sys.foundation.console import note, show_table
from rec_sys.foundation.files import replacing
from rec_sys.reviews.schema import MAX_RATING
from rec_sys.vector_database.quotes import Quote
from rec_sys.vector_database.vectorbase import Vectorbase


@dataclass(frozen=True)
class Reason:
    """One of the user's own reviews.

    Attributes:
        product_name: Of the reviewed product, or its style or id if it has none.
        text: The beginning of the review.
        weight: Its share in the contributions that speak for the product, 0...1.
        rating: 1...5, or None; never one that was not liked.
    """

    review_id: str
    product_name: str
    text: str
    weight: float
    rating: float | None = None
    product_id: str = ""


@dataclass(frozen=True)
class Match:
    """Why a product fits a wish. `weight`: the share of the match in the contributions that speak
    for the product, 0...1; `words`: of the wish, used by others for the product, the most telling
    first; `quote`: what somebody else wrote about it."""

    weight: float
    words: tuple[str, ...]
    quote: Quote | None


@dataclass(frozen=True)
class Recommendation:
    """One product for one user.

    Attributes:
        score: What ranks: the higher, the more likely the user turns to it. Scores of two users
            cannot be compared.
        predicted_rating: How much the user would like it, 0...5.
        because: The liked reviews that weigh most, the heaviest first.
        contributions: What each evidence adds to the score; they add up to it.
        match: None where nothing was wished for, or the match does not speak for the product.
    """

    product_id: str
    name: str
    score: float
    predicted_rating: float
    because: tuple[Reason, ...]
    contributions: dict[str, float] = field(default_factory=dict)
    match: Match | None = None


@dataclass(frozen=True)
class UserRecommendations:
    """Everything for one user.

    Attributes:
        recommendations: The best first; fewer than asked for if there are no more products.
        fallback: None, or why these are no personal recommendations: `POPULAR`.
        explanation: The fallback in words.
        embedding: float32 [d], unit length.
        wish: What was understood as what they want; empty if nothing was.
        reversed_evidences: See `Combiner.reversed_evidences`.
    """

    user_id: str
    nickname: str | None
    recommendations: tuple[Recommendation, ...]
    fallback: str | None
    explanation: str | None
    embedding: np.ndarray
    wish: str = ""
    reversed_evidences: frozenset[str] = frozenset()


class Recommendations(list[UserRecommendations]):
    """Those for everybody who was asked about, in that order; a notebook shows them as a table."""

    def to_pandas(self) -> pd.DataFrame:
        """One row per person and product, the best first; columns `RECOMMENDATION_SCHEMA`."""
        return as_table(self).to_pandas(maps_as_pydicts="strict")

    def _repr_html_(self) -> str:
        return pd.DataFrame(_shown_rows(self), columns=_SHOWN_COLUMNS).to_html(index=False)


_QUOTE = pa.struct([("text", pa.string()), ("rating", pa.float32())])
_MATCH = pa.struct([("weight", pa.float32()), ("words", pa.list_(pa.string())), ("quote", _QUOTE)])
_REASON = pa.struct(
    [(name, pa.string()) for name in ("review_id", "product_name", "text")]
    + [("weight", pa.float32()), ("rating", pa.float32())]  # no rating without stars
    + [("product_id", pa.string())]
)
#: One row per person and product: what `infer` writes into the lines of its file.
RECOMMENDATION_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("nickname", pa.string()),
        ("rank", pa.int32()),  # 1 is the best
        ("product_id", pa.string()),
        ("name", pa.string()),
        ("score", pa.float32()),
        ("predicted_rating", pa.float32()),
        ("fallback", pa.string()),  # missing where the recommendations are personal
        ("because", pa.list_(_REASON)),
        ("contributions", pa.map_(pa.string(), pa.float32())),  # of the evidences, to the score
        ("match", _MATCH),  # missing where nothing was wished for
    ]
)


def as_table(results: Iterable[UserRecommendations]) -> pa.Table:
    """Recommendations as rows, columns `RECOMMENDATION_SCHEMA`."""
    rows = [
        {**vars(person), **asdict(each), "rank": rank}
        for person in results
        for rank, each in enumerate(person.recommendations, start=1)
    ]
    return pa.Table.from_pylist(rows, RECOMMENDATION_SCHEMA)


_SHOWN_COLUMNS = ("person", "product", "predicted rating", "its place is because of")
# In the terminal a reason is a reminder, not the review.
_SHOWN_CHARACTERS = 90


def write_results(
    folder: str | Path, results: Sequence[UserRecommendations], vectorbase: Vectorbase
) -> list[Path]:
    """Writes three files, whole or not at all. ``recommendations.jsonl`` has a line per person:
    ``user_id, nickname, fallback, explanation, wish, recommendations``, fields of `Recommendation`
    and `Reason`. ``user_embeddings.parquet`` and ``product_embeddings.parquet`` have columns
    ``user_id`` or ``product_id`` and ``embedding``, a float32 list of fixed size."""
    folder = Path(folder)
    names = ("recommendations.jsonl", "user_embeddings.parquet", "product_embeddings.parquet")
    paths = [folder / name for name in names]
    told = ("user_id", "nickname", "fallback", "explanation", "wish")
    with replacing(paths[0]) as draft, draft.open("w", encoding="utf-8") as file:
        for each in results:
            line = {name: getattr(each, name) for name in told}
            line["recommendations"] = [asdict(product) for product in each.recommendations]
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    users = np.stack([each.embedding for each in results])
    _write_embeddings(paths[1], "user_id", [each.user_id for each in results], users)
    there = ~vectorbase.index.removed
    products, embeddings = vectorbase.product_ids[there], vectorbase.embeddings[there]
    _write_embeddings(paths[2], "product_id", products, embeddings)
    return paths


def show_results(results: Sequence[UserRecommendations], show_users: int) -> None:
    """Prints what the first few people get."""
    if rows := list(_shown_rows(results[:show_users])):
        show_table("recommendations", _SHOWN_COLUMNS, rows)
    for each in results[:show_users]:
        person = each.nickname or each.user_id
        if each.explanation:
            note(f"{person}: {each.explanation}")
        for product in each.recommendations if each.wish else ():
            if product.match and (quote := product.match.quote):
                note(f"{_name(product.name)}: “{quote.text}”{_stars(quote.rating)}")
        if each.recommendations and (first := each.recommendations[0]).because:
            note(f"{person}, {_name(first.name)} because of:")
            for reason in first.because:
                text = shortened(reason.text, _SHOWN_CHARACTERS)
                said = f"“{text}”" if text else "rated without a text"
                about = f"{_name(reason.product_name)}{_stars(reason.rating)}"
                note(f"  {reason.weight:.0%} {about}: {said}")
    if len(results) > show_users:
        count = len(results) - show_users
        more = f"{count} more {'people' if count > 1 else 'person'}"
        note(f"and {more} (infer.show_users shows more of them)")


def _shown_rows(results: Sequence[UserRecommendations]) -> Iterator[tuple[str | None, ...]]:
    for each in results:
        person = each.nickname or each.user_id
        for number, product in enumerate(each.recommendations):
            stars, why = f"{product.predicted_rating:.2f}", _in_short(product)
            name = product.name or product.product_id
            yield person if number == 0 else "", name, stars, why
        if not each.recommendations:
            yield person, "has reviewed every product", None, None


def _stars(rating: float | None) -> str:
    return "" if rating is None else f" ({rating:g} of {MAX_RATING:g} stars)"


def shortened(text: str, characters: int) -> str:
    """The beginning of a text, with an ellipsis where something is left out."""
    return text if len(text) <= characters else text[: characters - 1].rstrip() + "…"


def _in_short(product: Recommendation) -> str | None:
    parts = [f"{each.weight:.0%} {_name(each.product_name)}" for each in product.because]
    if product.match:
        words = ", ".join(product.match.words) or "their meaning"
        parts.insert(0, f"{product.match.weight:.0%} your words ({words})")
    return ", ".join(parts) or None


def _name(name: str) -> str:
    return name or "a product without a name"


def _write_embeddings(path: Path, id_name: str, ids: Sequence[str], embeddings: np.ndarray) -> None:
    values = pa.array(np.ascontiguousarray(embeddings, dtype=np.float32).reshape(-1))
    column = pa.FixedSizeListArray.from_arrays(values, embeddings.shape[1])
    with replacing(path) as draft:
        pq.write_table(pa.table({id_name: pa.array(ids, pa.string()), "embedding": column}), draft)
