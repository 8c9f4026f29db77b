"""The bundle in use: opened, ready to answer, replaced while people are served."""

import gc
import logging
import re
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from time import monotonic, perf_counter
from types import SimpleNamespace
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import numpy as np
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf
from pydantic import Field

from rec_sys.foundation.console import Stages
from rec_sys.foundation.errors import InputError, told_as_unfit
from rec_sys.foundation.files import read_whole
from rec_sys.foundation.settings import Count, PositiveCount, Seconds, nested, settings_of
from rec_sys.graph.ego_batch import GraphOutputs
from rec_sys.inference.bundle import CREATE_COMMAND, Bundle, read_bundle
from rec_sys.inference.histories import UNKNOWN, Author, Histories, WrittenReview, read_histories
from rec_sys.inference.recommender import DEFAULT_K, Recommender
from rec_sys.inference.results import UserRecommendations
from rec_sys.modules import inference_backends
from rec_sys.modules.inference_backends import BackendUnavailable, GraphBackend, TextBackend
from rec_sys.reviews.schema import MAX_RATING
from rec_sys.serving.access import Refused
from rec_sys.serving.encoding import DEADLINE, Busy, TextTurns, VectorCache
from rec_sys.serving.limits import Limits
from rec_sys.serving.search import ProductSearch, Region, TextSpace, regions_of
from rec_sys.text.onnx import OnnxTextEncoder

log = logging.getLogger(__name__)

_WISH = "something small and warm for quiet evenings"
_REVIEW = WrittenReview("warm-up", text="warm strings for a cold stage", rating=5.0)
# In the picture a review counts by its rating; one without a rating like a good one.
_USUAL_RATING = 4.0
# So long a server that has other models is left alone.
_WRONG_MODELS_SECONDS = 10.0
# So often it is looked whether a bundle is still in use.
_LOOK_SECONDS = 0.5

_Result = TypeVar("_Result")


@settings_of("serving")
class ServingSettings:
    """``config/serving``."""

    host: str
    port: Annotated[int, Field(ge=0, le=65_535)]
    hosts: list[str]
    api_key: str
    admin_key: str
    keys_file: str
    person_secret: str
    backend: Literal["onnx", "triton"]
    fallback: bool
    threads: Annotated[int, Field(ge=0, le=1024)]
    parallel_texts: PositiveCount
    cached_texts: Count
    store: str
    store_seconds: Seconds
    retention_days: Annotated[float, Field(gt=0, le=1e6)] | None
    retry_after: PositiveCount
    map_products: PositiveCount
    map_regions: Count
    example_wishes: Count
    limits: Annotated[Limits, nested(Limits)]
    triton: dict[str, Any]

    def __post_init__(self) -> None:
        if any("*" in name.removeprefix("*.") for name in self.hosts if name != "*"):
            why = "a * stands alone, or before a domain as in *.example.org"
            raise InputError(f"serving.hosts={self.hosts}: {why}")

    @classmethod
    def of(cls, config: DictConfig) -> "ServingSettings":
        """Reads them; no key becomes an empty one, and a number a key like any other."""
        values: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore
        for name in ("api_key", "admin_key", "keys_file", "person_secret"):
            if not isinstance(given := values.get(name), list | dict):  # which are told as no text
                values[name] = "" if given is None else str(given)
        return cls(**values)


class Backends(NamedTuple):
    """What computes; every answer tells its name. `is_ready`: whether both models could run now."""

    name: str
    graph: GraphBackend
    text: TextBackend
    is_ready: Callable[[], bool] = lambda: True


def in_process(bundle: Bundle, settings: ServingSettings) -> Backends:
    """The bundle's own models in ONNX Runtime."""
    limits, encoder = settings.limits, OnnxTextEncoder(bundle.text_encoder, settings.threads)
    turns = limits.characters_per_turn, limits.bulk_turns, limits.bulk_at_once
    text = TextTurns(encoder, settings.parallel_texts, *turns)
    graph = inference_backends.OnnxBackend(bundle.graph_model, settings.threads)
    return Backends("onnx", graph, text)


def connect_triton(bundle: Bundle, settings: ServingSettings) -> Backends:
    """The models of a server; `BackendUnavailable` while it does not answer."""
    arguments = dict(settings.triton)
    target = arguments.pop("_target_", None)
    with told_as_unfit(f"serving.triton._target_={target}", "leave it as it is"):
        connect = get_method(target)  # not Hydra's instantiate, which hides what it raises
    models = connect(
        encoder_folder=bundle.text_encoder, model_fingerprint=bundle.model_fingerprint, **arguments
    )
    return Backends("triton", models.graph, models.text, models.is_ready)


class Answer(NamedTuple):
    """Recommendations with what the page draws. `places`: float32 [U, 2], the people on the map;
    `backend`: what computed it; `degraded`: whether that stood in for others that are down."""

    people: Sequence[UserRecommendations]
    places: np.ndarray
    backend: str
    degraded: bool


class ServedBundle:
    """Answers questions about people and products, by several threads at once. Models in this
    process stand in for those of a server until it answers, and whenever it is down, unless
    `settings.fallback` is off. Raises InputError if models here are not the bundle's."""

    def __init__(self, bundle: Bundle, settings: ServingSettings) -> None:
        self.bundle, self._settings = bundle, settings
        self.vectorbase = bundle.vectorbase
        self.space = TextSpace.of(self.vectorbase)
        self.search = ProductSearch(self.vectorbase)
        self._connecting = threading.Lock()
        self._backends: Backends | None = None
        self._spare: Backends | None = None
        self._spare_until = 0.0
        if settings.backend == "onnx":
            self._backends = self._checked(in_process(bundle, settings))
        elif settings.fallback:
            self._spare = self._checked(in_process(bundle, settings))
        self._cache = VectorCache(settings.cached_texts)
        #: The turns of those who compute in Python.
        self.computing = threading.BoundedSemaphore(settings.limits.computing)

    @cached_property
    def regions(self) -> list[Region]:
        """Parts of the map by names of products, or categories if none has one: `regions_of`."""
        base = self.vectorbase
        rows = base.by_popularity[: self._settings.map_products]
        told = base.names[rows] if base.names[rows].any() else base.styles[rows]
        brands = base.products["brand"].fillna("").to_numpy()[rows]
        names = [
            re.sub(re.escape(brand), " ", name, flags=re.IGNORECASE) if brand else name
            for name, brand in zip(told, brands, strict=True)
        ]
        reviews = base.products["num_reviews"].to_numpy(dtype=np.int64)[rows]
        return regions_of(names, self.space.places[rows], reviews, self._settings.map_regions)

    @cached_property
    def styles(self) -> list[str]:
        """The categories, the largest first."""
        counts = Counter(self.vectorbase.styles[~self.vectorbase.index.removed])
        return [style for style, _ in counts.most_common() if style]

    @property
    def can_answer(self) -> bool:
        """Whether something computes right now; asks the server, if there is one."""
        return bool(self._spare or (self._backends and self._backends.is_ready()))

    def recommend(
        self,
        authors: Sequence[Author],
        k: int,
        *,
        candidates: np.ndarray | None = None,
        known: Mapping[str, np.ndarray] | None = None,
        observe: Callable[[str, float], None] = lambda stage, seconds: None,
    ) -> Answer:
        """Recommends to people, at least one. `candidates`: see `Recommender.recommend`; `known`:
        vectors of texts that need not be encoded, float16 [D]; `observe` is told how long each
        stage took: encode, graph, search. Raises BackendUnavailable if nothing computes, Busy if
        there is too much to do, or nobody waits any more, Refused for too many texts."""
        histories = read_histories(authors, self.vectorbase)
        texts, most = len({*histories.all_texts} - {""}), self._settings.limits.texts
        if texts > most:
            raise Refused(422, f"{texts} distinct texts are too many; send {most} at most")
        size = self.vectorbase.name_vectors.shape[1]  # a damaged vector is made again
        known = {text: each for text, each in (known or {}).items() if len(each) == size}

        def recommend(backends: Backends) -> Answer:
            started, stages = perf_counter(), Stages()
            spent = stages.seconds
            spent |= {"encode": 0.0, "graph": 0.0}
            vectors: dict[str, np.ndarray] = {}

            def encode(texts: Sequence[str]) -> np.ndarray:
                with self._elsewhere(), stages("encode"):
                    vectors.update(self._cache.encode(texts, backends.text.encode, known))
                return np.stack([vectors[text] for text in texts])

            def embed(inputs: Mapping[str, np.ndarray]) -> GraphOutputs:
                if deadline := DEADLINE.get():
                    deadline.seconds_left()  # or nobody waits for it any more
                with self._elsewhere(), stages("graph"):
                    return backends.graph.embed(inputs)

            fingerprint = backends.graph.model_fingerprint
            graph = SimpleNamespace(embed=embed, model_fingerprint=fingerprint)
            recommender = Recommender(graph, self.vectorbase, encode)
            with self.computing:
                people = recommender.recommend(histories, k=k, candidates=candidates)
                places = [self._place(histories, user, vectors) for user in range(len(histories))]
            spent["search"] = perf_counter() - started - sum(spent.values())
            for stage, seconds in spent.items():
                observe(stage, seconds)
            return Answer(people, np.stack(places), backends.name, backends is self._spare)

        return self._with_backends(recommend)

    @contextmanager
    def _elsewhere(self) -> Iterator[None]:
        """Gives its turn to others while a model computes."""
        self.computing.release()
        try:
            yield
        finally:
            self.computing.acquire()

    def encode(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """Vectors of texts that are about to be kept, float16 [D]; nothing for empty ones. Raises
        BackendUnavailable if nothing computes."""
        texts = list(dict.fromkeys(text for text in texts if text))
        return self._with_backends(lambda use: self._cache.encode(texts, use.text.encode, {}))

    def _with_backends(self, use: Callable[[Backends], _Result]) -> _Result:
        """Uses the backends, or the spare while they are down. After a failure they are left alone
        for a while: waiting for them to fail again would make every answer slow."""
        if self._spare is not None and monotonic() < self._spare_until:
            return use(self._spare)
        try:
            backends = self._connected()
            try:
                return use(backends)
            except InputError as error:  # whoever asks is not to blame for what a server refuses
                raise BackendUnavailable(str(error), _WRONG_MODELS_SECONDS) from error
        except BackendUnavailable as error:
            if self._spare is None:
                raise
            self._spare_until = monotonic() + error.retry_after
            return use(self._spare)

    def _connected(self) -> Backends:
        with self._connecting:
            if self._backends is None:
                try:
                    self._backends = self._checked(connect_triton(self.bundle, self._settings))
                except InputError as error:
                    if self._spare is None:
                        raise
                    # A server of other models is of no more use than none.
                    log.error("%s", error)
                    raise BackendUnavailable(str(error), _WRONG_MODELS_SECONDS) from error
            return self._backends

    def _checked(self, backends: Backends) -> Backends:
        self.vectorbase.require_encoder(backends.text.encoder_fingerprint)
        self.vectorbase.require_model(backends.graph.model_fingerprint, backends.name)
        return backends

    def _place(self, histories: Histories, user: int, vectors: dict[str, np.ndarray]) -> np.ndarray:
        """A person is where the products and words are that they like, and what they want."""
        own = slice(*histories.user_ptr[user : user + 2])
        wish = histories.wishes[user]
        points, weights = ([vectors[wish]], [MAX_RATING - 1]) if wish else ([], [])
        told = histories.texts, histories.rating, histories.catalogue_row, histories.product_names
        for text, rating, row, name in zip(*(each[own] for each in told), strict=True):
            if row != UNKNOWN:
                points.append(self.space.vectors[row])
            else:
                said = [vectors[each] for each in (name, text) if each]
                points.append(np.mean(said, axis=0) if said else np.zeros_like(self.space.centre))
            weights.append((_USUAL_RATING if np.isnan(rating) else float(rating)) - 1)
        points = np.asarray(points, dtype=np.float32).reshape(-1, len(self.space.centre))
        return self.space.centre_of(points, np.array(weights))


class Service:
    """Holds the bundle that answers; InputError if that in the folder cannot be used."""

    def __init__(self, folder: str | Path, settings: ServingSettings) -> None:
        self._folder, self._settings = Path(folder), settings
        self._bundle = read_bundle(folder)
        self._served: ServedBundle | None = None
        self._before: Callable[[], ServedBundle | None] = lambda: None  # a weak reference
        self._loading = threading.Lock()
        self._stopped = threading.Event()

    @property
    def bundle(self) -> Bundle:
        """The bundle that answers, or will as soon as its models run."""
        return self._served.bundle if self._served else self._bundle

    @property
    def is_ready(self) -> bool:
        return self._served is not None and self._served.can_answer

    @property
    def served(self) -> ServedBundle:
        """What answers; whoever has it can finish with it, whatever is loaded meanwhile. Raises
        BackendUnavailable if the models do not run yet."""
        if self._served is None:
            raise BackendUnavailable("the models are being loaded", self._settings.retry_after)
        return self._served

    def start(self) -> bool:
        """Runs the models of the bundle as soon as their server answers; False after `stop`. Raises
        InputError if it has other models."""
        while not self._stopped.is_set() and self._served is None:
            try:
                with self._loading:
                    self._served = self._served or self._run(self._bundle)
            except BackendUnavailable as error:
                log.warning("%s; trying again", error)
                self._stopped.wait(error.retry_after)
        return self._served is not None

    def stop(self) -> None:
        self._stopped.set()

    def reload(self) -> Bundle:
        """Takes up the bundle that is in the folder now; nobody's question is lost, and as long as
        one is answered by the bundle before the last, which takes memory, it waits. Raises
        InputError if it cannot be used, BackendUnavailable if the server of its models does not
        answer (the one in use goes on), or Busy if one is being taken up already."""
        if not self._loading.acquire(blocking=False):
            raise Busy("a bundle is being loaded already; try again")
        try:
            until = monotonic() + self._settings.limits.seconds
            while self._before() is not None and monotonic() < until:
                gc.collect()  # the error of a request that took too long is held in a circle
                if deadline := DEADLINE.get():
                    deadline.seconds_left()  # or nobody waits for it any more
                self._stopped.wait(_LOOK_SECONDS)
            # With its models: others may replace the folder meanwhile.
            served = read_whole(self._folder, lambda folder: self._run(read_bundle(folder)))
            if self._served is not None:
                self._before = weakref.ref(self._served)
            self._served = served
            log.info("now serving model %s", served.bundle.model_fingerprint)
            return served.bundle
        finally:
            self._loading.release()

    def _run(self, bundle: Bundle) -> ServedBundle:
        down = [BackendUnavailable] if self._settings.backend == "triton" else []
        with told_as_unfit(bundle.folder, f"run `{CREATE_COMMAND}` again", *down):
            served = ServedBundle(bundle, self._settings)
            # Nobody waits for what happens only once, and a server of other models is noticed.
            product = bundle.vectorbase.product_ids[bundle.vectorbase.by_popularity[0]]
            liked = WrittenReview("liked", product_id=product, rating=5.0)
            reviews = ((), (_REVIEW,), (liked,), (_REVIEW, liked))
            people = [Author("", each, wish=wish) for each in reviews for wish in ("", _WISH)]
            for person in served.recommend(people, DEFAULT_K).people:
                scores = [each.score for each in person.recommendations]
                is_all_known = bundle.vectorbase.index.num_products == 1
                if not np.isfinite(scores).all() or not (scores or is_all_known):
                    raise ValueError("scores that are no numbers")
            return served
