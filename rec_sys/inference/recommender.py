"""From what people wrote to what they may like, and why. Needs no PyTorch."""

import hashlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise, starmap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rec_sys.foundation.cli import compose_config
from rec_sys.foundation.console import progress
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import MANIFEST, read_whole, replacing
from rec_sys.graph.ego_batch import predicted_rating
from rec_sys.graph.review_graph import rows_to_pointers
from rec_sys.graph.task import NOW
from rec_sys.inference import histories as people
from rec_sys.inference import results
from rec_sys.inference.bundle import CREATE_COMMAND, VECTORBASE, read_bundle
from rec_sys.inference.histories import UNKNOWN, Author, Encode, Histories, WrittenReview
from rec_sys.modules.features import Situation, WalkFeature, liked_above
from rec_sys.modules.inference_backends import GraphBackend, OnnxBackend
from rec_sys.reviews.reading import ANONYMOUS_USER, read_reviews
from rec_sys.reviews.schema import REVIEW_SCHEMA
from rec_sys.text.encoder import EMBEDDED, TextEncoder
from rec_sys.text.onnx import OnnxTextEncoder
from rec_sys.text.words import FUNCTION_WORDS, as_written, columns_of
from rec_sys.vector_database.vectorbase import BUILD_COMMAND, Vectorbase, best_rows, read_vectorbase

log = logging.getLogger(__name__)

#: Of a user of whom nothing is known: what has many reviews stands in.
POPULAR = "popular"
_EXCERPT_CHARACTERS = 160
# Words that add, or are rare, so much less than the best one tell nothing: "for", "one", "music".
_TELLING = 0.3
DEFAULT_BATCH_SIZE = 256
DEFAULT_K = 10

#: What somebody wrote: one text, which says what they want; reviews as dicts with the fields of a
#: file (``TextReview``, ``ProductName``, ``rating``, ...) or texts alone; a table of these.
Reviews = str | Sequence[str | Mapping[str, Any]] | pd.DataFrame


def _kept(table: pd.DataFrame, folder: Path) -> Path:
    """Writes a table to a file that its content names, for the commands that read it again."""
    lines = table.to_json(orient="records", lines=True, date_format="iso", force_ascii=False)
    path = folder / f"{hashlib.sha256(lines.encode()).hexdigest()}.jsonl"
    with replacing(path) as draft:
        draft.write_text(lines, encoding="utf-8")
    return path


class Recommender:
    """Recommends products of a vectorbase, with at most `max_reasons` reasons each.

    `encode` gives the vectors of distinct texts, float [n, D], by the encoder that the model was
    trained with. Raises InputError if the vectorbase was built from another model.

    Examples:
        >>> from rec_sys import Recommender
        >>> recommender = Recommender.load("bundle")
        >>> found = recommender.recommend("something quiet to practise at night", k=5)
        >>> found.to_pandas()[["rank", "name", "predicted_rating"]]
    """

    def __init__(
        self, backend: GraphBackend, vectorbase: Vectorbase, encode: Encode, max_reasons: int = 3
    ) -> None:
        vectorbase.require_model(backend.model_fingerprint)
        self.backend, self.vectorbase = backend, vectorbase
        self.encode, self.max_reasons = encode, max_reasons

    @classmethod
    def load(cls, folder: str | Path, threads: int = 0) -> "Recommender":
        """Opens what ``create_bundle`` or ``create_vectorbase`` has written.

        A vectorbase will do if its texts are encoded with the encoder that is installed with
        rec_sys. `threads` are those of ONNX Runtime, 0 for as many as there are cores. Raises
        InputError if the folder holds neither, or is damaged.
        """
        folder = Path(folder).expanduser()
        if not (folder / MANIFEST).is_file():
            remedy = f"make one with `{CREATE_COMMAND}` or `{BUILD_COMMAND}`"
            raise InputError(f"{folder}: holds neither a bundle nor a product index; {remedy}")
        return read_whole(folder, lambda folder: cls._opened(folder, threads))

    @classmethod
    def _opened(cls, folder: Path, threads: int) -> "Recommender":
        if (folder / VECTORBASE).is_dir():
            bundle = read_bundle(folder)
            text = OnnxTextEncoder(bundle.text_encoder, threads)
            bundle.vectorbase.require_encoder(text.encoder_fingerprint)
            return cls(OnnxBackend(bundle.graph_model, threads), bundle.vectorbase, text.encode)
        vectorbase = read_vectorbase(folder)
        told = vectorbase.manifest.get("encoder", {})
        if vectorbase.graph_model is None or told.get("model") != EMBEDDED:
            missing = "graph model" if vectorbase.graph_model is None else "text encoder"
            remedy = f"run `{BUILD_COMMAND}` again, or load the bundle of `{CREATE_COMMAND}`"
            raise InputError(f"{folder}: holds no {missing}; {remedy}")
        encoder = TextEncoder(EMBEDDED, "fp32", told.get("max_length"), "cpu", "")
        vectorbase.require_encoder(encoder.model_fingerprint)

        @cache
        def text_encoder() -> OnnxTextEncoder:
            from rec_sys.text.encoder_export import run_embedded  # if there is a text at all

            return run_embedded(encoder, threads)

        backend = OnnxBackend(vectorbase.graph_model, threads)
        return cls(backend, vectorbase, lambda texts: text_encoder().encode(texts))

    @classmethod
    def fit(
        cls,
        reviews: str | Path | pd.DataFrame | None = None,
        products: str | Path | pd.DataFrame | None = None,
        *settings: str,
    ) -> "Recommender":
        """Does what ``rec-sys train`` and ``rec-sys index`` do, in the folders that they use.

        `reviews` and `products` are files, or tables with the fields of a file, which are kept in
        ``paths.data_dir``; without reviews it is the demo. `settings` are those of a training, as
        on the command line: ``"train.max_epochs=10"``. Raises InputError where these commands do.
        """
        from rec_sys.train.train import train  # with PyTorch, which takes seconds
        from rec_sys.vector_database.create_vectorbase import create_vectorbase

        if products is not None and reviews is None:
            raise InputError("products: needs reviews beside it")
        own = [] if reviews is None else ["data=local"]
        config = compose_config("train_config", [*own, *settings])
        kept = Path(config.paths.data_dir) / "tables"
        for key, given in (("reviews_path", reviews), ("metadata_path", products)):
            if given is not None:
                path = _kept(given, kept) if isinstance(given, pd.DataFrame) else given
                config.data[key] = str(path)
        _, made = train(config)
        paths = [each for each in settings if each.startswith("paths.")]
        index = compose_config("vectorbase_config", paths)
        index.checkpoint = str(made["trained"].path)
        return cls.load(create_vectorbase(index).folder)

    def recommend(
        self,
        reviews: Reviews | Sequence[Author] | Histories = (),
        wish: str = "",
        k: int = DEFAULT_K,
        *,
        batch_size: int = DEFAULT_BATCH_SIZE,
        show_progress: bool = False,
        candidates: np.ndarray | None = None,
    ) -> results.Recommendations:
        """Recommends to every author of the reviews, in the order in which they first occur.

        What a user has reviewed is not recommended to them. A user of whom neither a text nor a
        product of the vectorbase is known gets what is popular and much reviewed of late, as the
        combiner adds it up for users without reviews, and is told so.

        Args:
            reviews: See `Reviews`; without ``nickname`` or ``userID`` they are one person's. Or
                authors, or histories that were read with this vectorbase.
            wish: What they all want, in words.
            k: Products per user.
            batch_size: Users at a time; decides memory, not results.
            candidates: bool [P], which products of the vectorbase may be recommended.

        Raises InputError if there is nobody, a review cannot be read, or a number is too small.
        """
        if k < 1:
            raise InputError(f"k={k}: at least 1 product must be asked for")
        if batch_size < 1:
            raise InputError(f"batch_size={batch_size}: must be at least 1")
        histories = self._histories(reviews, wish)
        everybody = results.Recommendations()
        with progress(len(histories), "recommending", "person", show_progress) as bar:
            for first in range(0, len(histories), batch_size):
                part = histories.part(first, min(first + batch_size, len(histories)))
                everybody += self._recommend_batch(part, k, candidates)
                bar.advance(len(part))
        return everybody

    def explain(
        self, product: str, reviews: Reviews = (), wish: str = ""
    ) -> results.Recommendation:
        """Why a product, named by id or name, gets its score with one person: see `Recommendation`.
        InputError if there is none, nothing is known of it, they know it, or they are several."""
        row = self._row_of(product)
        if not self.vectorbase.recommendable[row]:
            why = "has neither a text nor a review: it is recommended to nobody"
            raise InputError(f"product={product!r}: {why}")
        only = np.arange(len(self.vectorbase.keys)) == row
        found = self.recommend(reviews, wish, 1, candidates=only)
        if len(found) > 1:
            raise InputError(f"reviews: {len(found)} people wrote them; give those of one person")
        if not found[0].recommendations:
            why = "is not recommended to somebody who has reviewed it; leave that review out"
            raise InputError(f"product={product!r}: {why}")
        return found[0].recommendations[0]

    def similar(self, product: str, k: int = DEFAULT_K) -> pd.DataFrame:
        """At most k products with texts like those of one, named by id or name, nearest first:
        ``product_id``, ``name``, ``style``, ``similarity`` (cosine). InputError for none."""
        base = self.vectorbase
        rows, cosines = base.nearest(self._row_of(product), k)
        columns = {"product_id": base.product_ids, "name": base.labels, "style": base.styles}
        table = {name: values[rows] for name, values in columns.items()}
        return pd.DataFrame(table | {"similarity": cosines})

    def embed_users(self, reviews: Reviews, wish: str = "") -> np.ndarray:
        """float32 [U, d], unit length, by first occurrence; cosines with products tell ratings."""
        histories = self._histories(reviews, wish)
        batch = people.build_history_batch(histories, self.vectorbase, self.encode)
        return self.backend.embed(batch.inputs).user_embeddings

    def embed_products(self, products: Sequence[str] | None = None) -> np.ndarray:
        """float32 [n, d], unit length, by id or name, or of all ``vectorbase.products``."""
        if products is None:
            return self.vectorbase.embeddings
        return self.vectorbase.embeddings[[self._row_of(product) for product in products]]

    def _row_of(self, product: str) -> int:
        base = self.vectorbase
        row = max(base.rows_of([product])[0], base.rows_of_names([product])[0])
        if row == UNKNOWN:
            why = "no product has this id, and not just one this name"
            raise InputError(f"product={product!r}: {why}; the ids are in vectorbase.products")
        return int(row)

    def _histories(self, reviews: Any, wish: str) -> Histories:
        if isinstance(reviews, Histories):
            return reviews
        return people.read_histories(read_authors(reviews), self.vectorbase, wish)

    def _recommend_batch(
        self, histories: Histories, k: int, candidates: np.ndarray | None
    ) -> Iterator[results.UserRecommendations]:
        base = self.vectorbase
        batch = people.build_history_batch(histories, base, self.encode)
        outputs = self.backend.embed(batch.inputs)
        pointers = rows_to_pointers(batch.user, len(histories))
        product, rating = histories.catalogue_row[batch.review], batch.inputs["edge_rating"]
        asked, network = np.full(len(histories), NOW), outputs.user_queries @ base.keys.T
        cosine = np.clip(outputs.user_embeddings @ base.embeddings.T, -1.0, 1.0)  # for rounding
        told = asked, network, predicted_rating(cosine), batch.wishes, batch.links
        situation = Situation(pointers, product, rating, *told)
        scores = base.combiner.score(base.features, situation)
        candidates = base.recommendable & (True if candidates is None else candidates)
        for user, edges in enumerate(starmap(slice, pairwise(pointers))):
            open_to = candidates.copy()
            open_to[product[edges][product[edges] != UNKNOWN]] = False
            rows = best_rows(scores[user], open_to, k)
            known = bool(histories.is_known[user])
            one = situation.of_user(user)
            contributions = base.combiner.contributions(base.features, one, rows)
            weights, of_wish = reason_weights(base, one, contributions, rows)
            columns = (
                base.product_ids[rows],
                base.labels[rows],
                scores[user, rows].tolist(),
                situation.predicted_rating[user, rows].tolist(),
                [tuple(self._reasons(histories, batch.review[edges], each)) for each in weights.T],
                [base.combiner.by_evidence(column) for column in contributions.T],
                self._matches(histories.wishes[user], one, of_wish, rows),
            )
            yield results.UserRecommendations(
                user_id=histories.user_ids[user],
                nickname=histories.nicknames[user],
                recommendations=tuple(starmap(results.Recommendation, zip(*columns, strict=True))),
                fallback=None if known else POPULAR,
                explanation=None if known else self._explanation,
                embedding=outputs.user_embeddings[user],
                wish=histories.wishes[user],
                reversed_evidences=base.combiner.reversed_evidences(base.features, one),
            )

    def _matches(
        self, wish: str, situation: Situation, shares: np.ndarray, rows: np.ndarray
    ) -> list[results.Match | None]:
        """For each product why it fits the wish of one user; `shares` are those of the wish."""
        if situation.wishes is None or not wish:
            return [None] * len(rows)
        base, words = self.vectorbase, situation.wishes.words
        written, places = as_written(wish), columns_of(wish)
        said = {places[word]: written.get(word, word) for word in places.keys() - FUNCTION_WORDS}
        matches: list[results.Match | None] = []
        by_word = base.match_words.words_for(words, rows)
        idf = base.match_words.idf[words.indices]
        rare = np.isin(words.indices, [*said]) & (idf > _TELLING * idf.max(initial=0))
        for row, share, added in zip(rows.tolist(), shares.tolist(), by_word, strict=True):
            if share <= 0:
                matches.append(None)
                continue
            telling = np.flatnonzero(rare & (added > _TELLING * added.max(initial=0)))
            telling = telling[np.argsort(-added[telling], kind="stable")]
            columns = words.indices[telling]
            told = [said[column] for column in columns.tolist()]
            quote = base.quotes.nearest(row, columns, base.match_words.idf[columns])
            matches.append(results.Match(share, tuple(told[: self.max_reasons]), quote))
        return matches

    @property
    def _explanation(self) -> str:
        """What decides where nothing is known, most first."""
        shares = self.vectorbase.combiner.decides(0)
        # Where nothing tells products apart, it breaks ties.
        *others, last = [name for name, share in shares.items() if share > 0] or ["popularity"]
        evidences = f"{', '.join(others)} and {last}" if others else last
        why = "nothing is known here of this person, no text and no product of the catalogue"
        return f"{why}, so the order is the same for everybody: by {evidences}"

    def _reasons(
        self, histories: Histories, reviews: np.ndarray, weights: np.ndarray
    ) -> Iterator[results.Reason]:
        """The reviews, int64 [n], of the highest weights, float32 [n], descending; none without."""
        heaviest = np.argsort(-weights, kind="stable")[: self.max_reasons]
        for position in heaviest[weights[heaviest] > 0]:
            review = reviews[position]
            row = histories.catalogue_row[review]
            rating = histories.rating[review]
            own_name = histories.product_names[review]
            yield results.Reason(
                review_id=histories.review_ids[review],
                product_name=own_name if row == UNKNOWN else self.vectorbase.labels[row],
                text=results.shortened(histories.texts[review], _EXCERPT_CHARACTERS),
                weight=float(weights[position]),
                rating=float(rating) if rating > 0 else None,  # neither 0 nor NaN
                product_id="" if row == UNKNOWN else self.vectorbase.product_ids[row],
            )


def reason_weights(
    vectorbase: Vectorbase, situation: Situation, contributions: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The shares of one user's reviews, float32 [n, m], and of their wish, float32 [m], in all that
    speaks for each recommended product; they sum to at most 1. A review counts by the walks that
    start at its product, one of something that was not liked does not. `contributions`: float32
    [K, m], of the features to the scores; `rows`: int64 [m]."""
    (weights,) = vectorbase.combiner.weights_of(vectorbase.features, situation)
    walks = np.array([isinstance(each, WalkFeature) for each in vectorbase.features])
    match = np.array([e.evidence == vectorbase.match.evidence for e in vectorbase.features])
    speaking = np.zeros((len(situation.product), len(rows)), dtype=np.float32)
    for weight, feature in zip(weights, vectorbase.features, strict=True):
        if weight > 0 and isinstance(feature, WalkFeature):
            speaking += weight * np.maximum(feature.contributions(situation, rows), 0)
    spoken = np.maximum(contributions, 0)
    # Reviews may cancel each other out in a walk.
    by_reviews = np.maximum(spoken[walks].sum(axis=0), speaking.sum(axis=0))
    total = spoken[~walks].sum(axis=0) + by_reviews
    disliked = situation.rating <= liked_above(vectorbase.features)
    speaking[(situation.rating > 0) & disliked] = 0
    total = np.where(total > 0, total, 1)
    return speaking / total, spoken[match].sum(axis=0) / total


def read_authors(reviews: Reviews | Sequence[Author]) -> Sequence[Author]:
    """The authors of reviews; one who says nothing if there are none. InputError for a review that
    cannot be read; warns of fields that look misspelt."""
    if isinstance(reviews, str):
        reviews = [reviews] if reviews.strip() else []
    if isinstance(reviews, pd.DataFrame):
        if set(REVIEW_SCHEMA.names) <= set(reviews.columns):
            return people.authors_in(reviews)
        reviews = reviews.astype(object).where(reviews.notna(), None).to_dict("records")
    if not isinstance(reviews, Sequence):
        raise InputError(
            f"reviews: {type(reviews).__name__} cannot be read; give a text, a list of dicts or a"
            " DataFrame with the fields TextReview, ProductName, asin, rating, Style, nickname"
            " and reviewID"
        )
    if not reviews:
        return [Author(ANONYMOUS_USER, [])]
    if all(isinstance(each, Author) for each in reviews):
        return reviews
    if all(isinstance(each, str) for each in reviews):
        written = [WrittenReview(str(number), text=each) for number, each in enumerate(reviews)]
        return [Author(ANONYMOUS_USER, written)]
    table, report = read_reviews(reviews, max_broken_share=0.0, anonymous=True)
    for warning in report.warnings:
        warnings.warn(f"reviews: {warning}", stacklevel=3)
    log.info("%s", "; ".join(report.notes))
    return people.authors_in(table)
