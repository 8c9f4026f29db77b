"""What Prometheus asks for: how many requests, how long, and where the time goes."""

from collections.abc import Iterable
from time import monotonic

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SHARE_OF_TIME = 0.05
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.04, 0.06, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The numbers of one service; nothing of what people wrote is in them."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._text, self._text_until = b"", 0.0
        own = {"registry": self._registry}
        timed = own | {"buckets": _SECONDS}
        # The route is the template, not the path.
        about, labels = "Time from a request to its answer.", ("method", "route", "status")
        self.requests = Histogram("rec_sys_request_seconds", about, labels, **timed)
        about = "Time of one stage of a recommendation: encode, graph, search."
        self._stages = Histogram("rec_sys_stage_seconds", about, ("stage",), **timed)
        about = "People recommended to, by the fallback they got."
        self._people = Counter("rec_sys_people", about, ("fallback",), **own)
        self._degraded = Counter("rec_sys_degraded", "Answers while the backend was down.", **own)
        self.working = Gauge("rec_sys_requests_in_progress", "Requests being answered.", **own)
        self._model = Gauge("rec_sys_model_info", "The model in use.", ("model",), **own)

    def stage(self, stage: str, seconds: float) -> None:
        self._stages.labels(stage).observe(seconds)

    def answer(self, fallbacks: Iterable[str | None], degraded: bool) -> None:
        """Notes an answer: the fallback of each person, and whether the spare backend gave it."""
        for fallback in fallbacks:
            self._people.labels(fallback or "none").inc()
        self._degraded.inc(degraded)

    def model(self, model: str) -> None:
        self._model.clear()
        self._model.labels(model).set(1)

    def text(self) -> bytes:
        """All numbers in Prometheus's text format. Strangers may ask for it all the time: the same
        text is told until a small share of the time has gone into it."""
        if (now := monotonic()) >= self._text_until:
            self._text = generate_latest(self._registry)
            self._text_until = now + (monotonic() - now) / _SHARE_OF_TIME
        return self._text
