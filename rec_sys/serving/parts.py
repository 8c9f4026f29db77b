"""What the routes of the API share."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from fastapi import Response
from omegaconf import DictConfig

from rec_sys.inference.choice import Choice
from rec_sys.inference.histories import UNKNOWN
from rec_sys.inference.written_reviews import Writer
from rec_sys.serving import answers
from rec_sys.serving.bundle import Bundle
from rec_sys.serving.limits import FieldError, Limits
from rec_sys.serving.metrics import Metrics
from rec_sys.serving.served_bundle import ServedBundle
from rec_sys.serving.service import Service
from rec_sys.serving.user_store import UserStore


@dataclass(frozen=True)
class Parts:
    """The parts of one running service.

    Attributes:
        service: Answers.
        store: Keeps what people wrote.
        limits: What a request may ask for.
        metrics: Counts.
        settings: ``config/serving``.
    """

    service: Service
    store: UserStore
    limits: Limits
    metrics: Metrics
    settings: DictConfig

    @property
    def api_key(self) -> str:
        """What clients have to know; empty for none."""
        given = self.settings.api_key
        return "" if given is None else str(given)

    def tell_model(self) -> None:
        """Lets the metrics name the model in use."""
        self.metrics.model(self.service.bundle.model_label)

    def reload(self) -> Bundle:
        """See `Service.reload`."""
        bundle = self.service.reload()
        self.tell_model()
        return bundle

    def choice(self, served: ServedBundle, style: str | None, exclude: Sequence[str]) -> Choice:
        """The products that may be recommended.

        Args:
            served: Has the products.
            style: Their category, or None for all.
            exclude: Ids; those that are not in the catalogue cannot be recommended anyway.

        Raises:
            FieldError: There is no such category, or the list is too long.
        """
        self.limits.check_excluded(exclude)
        base = served.vectorbase
        without = base.rows_of(np.array(exclude, dtype=object))
        without = without[without != UNKNOWN]
        if style is None:
            return Choice(without=without)
        self.require_style(served, style)
        return Choice(np.flatnonzero(base.styles == style), without)

    def require_style(self, served: ServedBundle, style: str | None) -> None:
        """Refuses a category that no product has.

        Raises:
            FieldError: There is no such category.
        """
        if style is not None and style not in served.styles:
            raise FieldError("style", f"no product is of the category {style!r}; see GET /styles")

    def recommend(
        self,
        served: ServedBundle,
        writers: Sequence[Writer],
        ids: Sequence[str | None],
        k: int,
        choice: Choice,
        known: dict[str, np.ndarray] | None = None,
    ) -> Response:
        """Recommends and counts.

        Args:
            served: What answers.
            writers: The people.
            ids: What they are called in the answer.
            k: Products per person.
            choice: The products that may be recommended.
            known: Vectors of texts that need not be encoded.

        Returns:
            `RecommendationsOut` as JSON.

        Raises:
            BackendUnavailable: Nothing computes.
        """
        answer = served.recommend(writers, k, choice, known or {}, self.metrics.stage)
        for person in answer.people:
            self.metrics.person(person.fallback)
        if answer.degraded:
            self.metrics.degraded()
        told = answers.recommendations(answer, ids, served)
        # Made to JSON here: FastAPI would check once more what has just been built.
        return Response(told.model_dump_json(by_alias=True), media_type="application/json")
