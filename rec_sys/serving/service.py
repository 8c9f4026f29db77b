"""The bundle in use, how it is replaced while people are served, and whether it can answer."""

import logging
import threading
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from rec_sys.foundation.build import build
from rec_sys.foundation.errors import InputError
from rec_sys.inference.backend import BackendUnavailable
from rec_sys.serving.bundle import Bundle, read_bundle
from rec_sys.serving.served_bundle import ServedBundle, in_process

log = logging.getLogger(__name__)

ONNX, TRITON = "onnx", "triton"


class Service:
    """Holds the bundle that answers.

    Args:
        folder: The bundle.
        settings: ``config/serving``.

    Raises:
        InputError: The bundle cannot be used.
    """

    def __init__(self, folder: str | Path, settings: DictConfig) -> None:
        self._folder, self._settings = Path(folder), settings
        self._bundle = read_bundle(folder)
        self._served: ServedBundle | None = None
        self._loading = threading.Lock()

    @property
    def bundle(self) -> Bundle:
        """The bundle that answers, or will as soon as its models run."""
        return self._served.bundle if self._served else self._bundle

    @property
    def is_ready(self) -> bool:
        """Whether questions can be answered."""
        return self._served is not None

    @property
    def served(self) -> ServedBundle:
        """What answers; whoever has it can finish with it, whatever is loaded meanwhile.

        Raises:
            BackendUnavailable: The models do not run yet.
        """
        if self._served is None:
            raise BackendUnavailable("the models are being loaded", self._settings.retry_after)
        return self._served

    def start(self) -> None:
        """Runs the models of the bundle.

        Raises:
            BackendUnavailable: Their server does not answer; try again later.
            InputError: Their server has other models.
        """
        with self._loading:
            if self._served is None:
                self._served = self._run(self._bundle)
                log.info("serving model %s", self._bundle.model_fingerprint)

    def reload(self) -> Bundle:
        """Takes up the bundle that is in the folder now; nobody's question is lost.

        Raises:
            InputError: It cannot be used. The one in use goes on.
            BackendUnavailable: The server of its models does not answer. The one in use goes on.
        """
        with self._loading:
            served = self._run(read_bundle(self._folder))
            self._served = served
            log.info("now serving model %s", served.bundle.model_fingerprint)
            return served.bundle

    def _run(self, bundle: Bundle) -> ServedBundle:
        settings = self._settings
        spare = None
        if settings.backend == ONNX or settings.fallback:
            spare = in_process(bundle, settings.threads, settings.parallel_texts)
        if settings.backend == ONNX:
            served = ServedBundle(bundle, spare, None, settings.cached_texts)
        else:
            try:
                backends = build(settings.triton, bundle=bundle)
            except BackendUnavailable:
                if spare is None:
                    raise
                log.warning("Triton does not answer: starting with the models in this process")
                backends = _ConnectLater(settings.triton, bundle)
            served = ServedBundle(bundle, backends, spare, settings.cached_texts)
        served.warm_up()
        return served


class _ConnectLater:
    """Stands for backends that were down at the start, and finds out whether they are back."""
