"""The bundle in use, how it is replaced while people are served, and whether it can answer."""

import logging
import threading
from pathlib import Path

from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf

from rec_sys.inference.backend import BackendUnavailable
from rec_sys.serving.backends import ONNX, TRITON, Backends, in_process
from rec_sys.serving.bundle import Bundle, read_bundle
from rec_sys.serving.served_bundle import ServedBundle

log = logging.getLogger(__name__)


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
        self._stopped = threading.Event()

    @property
    def bundle(self) -> Bundle:
        """The bundle that answers, or will as soon as its models run."""
        return self._served.bundle if self._served else self._bundle

    @property
    def has_started(self) -> bool:
        """Whether `start` has succeeded."""
        return self._served is not None

    @property
    def is_ready(self) -> bool:
        """Whether questions can be answered now."""
        return self._served is not None and self._served.can_answer

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
        """Runs the models of the bundle, as soon as their server answers; ends with `stop`.

        Raises:
            InputError: Their server has other models.
        """
        while not self._stopped.is_set() and self._served is None:
            try:
                with self._loading:
                    self._served = self._served or self._run(self._bundle)
            except BackendUnavailable as error:
                log.warning("%s; trying again", error)
                self._stopped.wait(error.retry_after)

    def stop(self) -> None:
        """Gives up on starting."""
        self._stopped.set()

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
        if settings.backend == ONNX:
            own = in_process(bundle, settings.threads, settings.parallel_texts)
            served = ServedBundle(bundle, lambda: own, None, settings.cached_texts)
        else:
            spare = None
            if settings.fallback:
                spare = in_process(bundle, settings.threads, settings.parallel_texts)
            served = ServedBundle(
                bundle, lambda: self._triton(bundle), spare, settings.cached_texts
            )
        served.warm_up()
        return served

    def _triton(self, bundle: Bundle) -> Backends:
        settings = OmegaConf.to_container(self._settings.triton, resolve=True)
        # Not Hydra's instantiate, which hides what the function raises.
        connect = get_method(settings.pop("_target_"))
        models = connect(
            encoder_folder=bundle.text_encoder,
            model_fingerprint=bundle.model_fingerprint,
            **settings,
        )
        return Backends(TRITON, models.graph, models.text, models.is_ready)
