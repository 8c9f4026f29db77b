"""All products embedded at once, and users ranked and rated against all of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
import scipy.sparse

from rec_sys.foundation.console import progress
from rec_sys.graph import ego_batch
from rec_sys.graph.ego_batch import EgoBatchBuilder, ReviewSummary, predicted_rating
from rec_sys.graph.review_graph import ReviewGraph, read_vectors
from rec_sys.graph.task import Task
from rec_sys.modules.combiner import Combiner, CombinerFit, Questions
from rec_sys.modules.features import Feature, Situation
from rec_sys.modules.match import Wishes, inner_products
from rec_sys.text.store import EMPTY_TEXT_ROW

if TYPE_CHECKING:
    from rec_sys.modules.graph_model import GraphModel
    from rec_sys.modules.inference_backends import GraphBackend

DEFAULT_CHUNK_SIZE = 8192
_USERS_AT_ONCE = 256


class ProductEmbeddings(NamedTuple):
    """The product side of `GraphOutputs`."""

    embeddings: np.ndarray
    keys: np.ndarray


def embed_products(
    model: "GraphBackend | GraphModel",
    name_vectors: np.ndarray,
    info_vectors: np.ndarray,
    reviews: ReviewSummary,
    chunk_size: int = DEFAULT_CHUNK_SIZE,
    show_progress: bool = False,
) -> ProductEmbeddings:
    """Runs the product side of a model in evaluation mode on float [P, D] vectors, by chunks."""
    sources = (name_vectors, info_vectors, *reviews)
    num_products, vector_dim = name_vectors.shape
    embeddings = np.empty((num_products, model.embedding_dim), dtype=np.float32)
    keys = np.empty((num_products, model.embedding_dim + 1), dtype=np.float32)
    # Products do not depend on users: a graph of one, without any review, will do.
    nobody = ego_batch.silent_inputs(vector_dim)
    with progress(num_products, "embedding products", "product", show_progress) as bar:
        for start in range(0, num_products, chunk_size):
            chunk = slice(start, start + chunk_size)
            features = [each[chunk].astype(np.float32) for each in sources]
            own = dict(zip(ego_batch.PRODUCT_INPUTS, features, strict=True))
            output = model.embed(nobody | own)
            embeddings[chunk], keys[chunk] = output.product_embeddings, output.product_keys
            bar.advance(len(features[0]))
    return ProductEmbeddings(embeddings, keys)


@dataclass(frozen=True)
class FullCatalogue:
    """Ranks all products for users given by their reviews. `vectors`: float [N, D], the store's
    rows; `words`: float32 [N, W], of the same texts; `reviews` and `features`: of what is known;
    `unknown`: bool [P], see `ReviewSummary.unknown`, come last: nobody could have them in a list of
    products yet, they are in the data because of the reviews that are asked for."""

    model: "GraphBackend | GraphModel"
    vectors: np.ndarray
    words: scipy.sparse.csr_array
    reviews: ReviewSummary
    products: ProductEmbeddings
    features: Sequence[Feature]
    combiner: Combiner
    unknown: np.ndarray

    @classmethod
    def of(
        cls,
        model: "GraphBackend | GraphModel",
        graph: ReviewGraph,
        vectors: np.ndarray,
        words: scipy.sparse.csr_array,
        reviews: ReviewSummary,
        features: Sequence[Feature],
        combiner: Combiner | None = None,
        **how: int,
    ) -> Self:
        """Embeds products, see `embed_products`; without a combiner the leading evidence ranks."""
        names, infos = vectors[graph.product_name_text], vectors[graph.product_info_text]
        products = embed_products(model, names, infos, reviews, **how)
        combiner = combiner or Combiner.prior(features)
        unknown = reviews.unknown(names, infos)
        return cls(model, vectors, words, reviews, products, features, combiner, unknown)

    def fitted(self, fit: CombinerFit, graph: ReviewGraph, task: Task, liked_above: float) -> Self:
        """The catalogue with weights fitted to the targets of the validation, see `questions`."""
        groups = self.questions(graph, task, liked_above)
        return replace(self, combiner=fit.fit(self.features, groups, graph.num_products))

    def questions(self, graph: ReviewGraph, task: Task, liked_above: float) -> list[Questions]:
        """What `GROUPS` are asked in the validation; ratings up to `liked_above` are disliked. What
        is unknown is no choice: weights would learn to recommend products without a review."""
        users = task.users(graph)
        task = replace(task, target=task.target & ~self.unknown[graph.edge_product])
        target = np.flatnonzero(task.target)
        owner, product = graph.edge_user[target], graph.edge_product[target]
        liked = ~(graph.edge_rating[target] <= liked_above)

        # Instead of a wish, the words of the review.
        told = task.targets_with_text(graph)
        speaker = np.searchsorted(users, graph.edge_user[told])
        wish = np.full(len(users), EMPTY_TEXT_ROW)
        wish[speaker] = graph.edge_text[told]
        known = np.searchsorted(users, owner), product, liked
        meant = speaker, graph.edge_product[told], np.ones(len(told), dtype=bool)

        def questions(newest: int | None, wishing: bool) -> Questions:
            def situation(chosen: np.ndarray) -> Situation:
                some = users[chosen]
                history = graph.histories(some, task.history, newest)
                wishes = wish[chosen] if wishing else None
                return self.situation(history, task.asked(graph, some), wishes)

            def seen(chosen: np.ndarray) -> np.ndarray:
                pairs = np.tile(self.unknown, (len(chosen), 1))
                if newest != 0 or not wishing:  # a wish alone leaves nothing out
                    history = graph.histories(users[chosen], task.history)
                    pairs[history.edge_user, history.edge_product] = True
                return pairs

            return Questions(situation, seen, *(meant if wishing else known))

        groups = [questions(newest, wishing=False) for newest in (0, 1, None)]
        return groups + [questions(newest, wishing=True) for newest in (0, None)]

    def score(
        self,
        history: ReviewGraph,
        asked: np.ndarray,
        wish: np.ndarray | None = None,
        validated: np.ndarray | None = None,
    ) -> np.ndarray:
        """Ranks: float32 [U, P], higher is better; what was reviewed is not left out. `history`:
        the known reviews of U users, over the products of the catalogue; `asked`: int64 [U], see
        `Task.asked`; `wish`: int64 [U], row in the vector store of what each user wants,
        `EMPTY_TEXT_ROW` where nothing is said; `validated`: see `Combiner.score`."""
        situation = self.situation(history, asked, wish)
        scores = self.combiner.score(self.features, situation, validated)
        scores[:, self.unknown] = np.finfo(scores.dtype).min
        return scores

    def rate(self, history: ReviewGraph, user: np.ndarray, product: np.ndarray) -> np.ndarray:
        """Ratings 0...5, float32 [T]; `user`, index in `history`, and `product` are int64 [T]."""
        users = np.concatenate([each for _, each, _ in self._users(history)])
        return predicted_rating(np.sum(users[user] * self.products.embeddings[product], axis=1))

    def queries(self, history: ReviewGraph) -> np.ndarray:
        """The queries, float32 [U, d + 1], of the users of `history`, one at least."""
        return np.concatenate([each for _, _, each in self._users(history)])

    def situation(
        self, history: ReviewGraph, asked: np.ndarray, wish: np.ndarray | None = None
    ) -> Situation:
        """What evidences take of users, see `score`."""
        shape = (history.num_users, len(self.products.keys))
        network, rating = np.empty(shape, np.float32), np.empty(shape, np.float32)
        for rows, embeddings, queries in self._users(history):
            network[rows] = inner_products(queries, self.products.keys)
            rating[rows] = predicted_rating(inner_products(embeddings, self.products.embeddings))
        wishes = None
        if wish is not None and (wish != EMPTY_TEXT_ROW).any():
            wishes = Wishes.of(read_vectors(self.vectors, wish), self.words[wish])
        known = history.user_ptr, history.edge_product, history.edge_rating
        return Situation(*known, asked, network, rating, wishes)

    def _users(self, history: ReviewGraph) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """The user side, block by block: which of the users, embeddings, queries."""
        users = np.arange(history.num_users)
        builder = EgoBatchBuilder(history, self.vectors, self.reviews)
        nothing = np.zeros(history.num_edges, dtype=bool)
        for start in range(0, len(users), _USERS_AT_ONCE):
            rows = slice(start, start + _USERS_AT_ONCE)
            outputs = self.model.embed(builder.build(users[rows], nothing, nothing).model_inputs())
            yield rows, outputs.user_embeddings, outputs.user_queries
