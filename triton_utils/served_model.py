"""The version of a model on a Triton server that computes the wanted function."""

import threading
import time
from collections.abc import Mapping, Sequence

import numpy as np

from rec_sys.foundation.errors import InputError
from rec_sys.modules.inference_backends import BackendUnavailable
from triton_utils.connection import TritonConnection
from triton_utils.repository import parameter_of_version

#: A file that was overwritten in place, without a new version, is noticed after so long.
CHECK_EVERY_SECONDS = 2.0


class ServedModel:
    """A model on a server, held to one fingerprint: it never computes anything else.

    A server may be given a new version at any time. As long as it also serves the version with
    this fingerprint (``config.pbtxt`` keeps two), nothing changes for the caller. When it does
    not any more, `infer` raises instead of returning what does not fit the products' embeddings.

    Args:
        connection: To the server.
        name: Of the model in the repository.
        parameter: Which parameter of the model's settings holds the fingerprint.
        fingerprint: The wanted one; None for that of the newest version.

    Attributes:
        fingerprint: Of the function that is computed.
        version: Of the model on the server.
        input_shapes: Name -> shape, -1 for a free axis.
        output_shapes: Likewise.

    Raises:
        InputError: The server has no such model, or not with this fingerprint.
        BackendUnavailable: The server does not answer.
    """

    def __init__(
        self,
        connection: TritonConnection,
        name: str,
        parameter: str,
        fingerprint: str | None = None,
    ) -> None:
        self.name = name
        self.connection = connection
        self._parameter = parameter
        self._lock = threading.Lock()
        served = self._fingerprints()
        if fingerprint is None:
            if not served:
                raise InputError(
                    f"Triton at {connection.url}: the model {name} does not tell its {parameter};"
                    " start the server with --model-config-name=rec_sys, or export the model again"
                    " and load it"
                )
            fingerprint = served[max(served, key=int)]
        self.fingerprint = fingerprint
        version = self._version_of(served)
        if version is None:
            raise InputError(self._none_fits(served))
        self.version = version
        self._checked = time.monotonic()
        metadata = connection.model_metadata(name, version)
        self.input_shapes = {each.name: list(each.shape) for each in metadata.inputs}
        self.output_shapes = {each.name: list(each.shape) for each in metadata.outputs}

    def require(self, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Makes sure that the model takes and returns these tensors and no others.

        Raises:
            InputError: It does not.
        """
        if set(self.input_shapes) != set(inputs) or set(self.output_shapes) != set(outputs):
            raise InputError(
                f"Triton at {self.connection.url}: the model {self.name} has other inputs or"
                " outputs than this version of rec_sys; export it again and load it"
            )

    def infer(self, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        """Runs the model once, see `TritonConnection.infer`.

        Raises:
            InputError: The model does not take such inputs.
            BackendUnavailable: The server does not answer, or does not serve this model any more.
        """
        if time.monotonic() - self._checked > CHECK_EVERY_SECONDS:
            self._check_in_one_thread()
        version = self.version
        try:
            return self.connection.infer(self.name, inputs, outputs, version)
        except (InputError, BackendUnavailable):
            # A version that was just replaced is refused; another one may be the same model.
            if not self.connection.is_live():
                raise
            self._check()
            if self.version == version:
                raise
        return self.connection.infer(self.name, inputs, outputs, self.version)

    def _check_in_one_thread(self) -> None:
        if self._lock.acquire(blocking=False):
            try:
                self._check()
            finally:
                self._lock.release()

    def _check(self) -> None:
        """Finds the version again.

        Raises:
            BackendUnavailable: The server does not answer, or serves only other models.
        """
        try:
            served = self._fingerprints()
        except InputError as error:  # it was there: whoever asks now is not to blame
            raise BackendUnavailable(str(error), CHECK_EVERY_SECONDS) from error
        version = self._version_of(served)
        if version is None:
            raise BackendUnavailable(self._none_fits(served), CHECK_EVERY_SECONDS)
        self.version = version
        self._checked = time.monotonic()

    def _fingerprints(self) -> dict[str, str]:
        """Of the versions that are served: version -> fingerprint."""
        parameters = self.connection.model_parameters(self.name)
        versions = self.connection.model_metadata(self.name).versions
        keys = {version: parameter_of_version(self._parameter, version) for version in versions}
        return {version: parameters[key] for version, key in keys.items() if key in parameters}

    def _version_of(self, served: Mapping[str, str]) -> str | None:
        fitting = [version for version, each in served.items() if each == self.fingerprint]
        return max(fitting, key=int, default=None)

    def _none_fits(self, served: Mapping[str, str]) -> str:
        found = ", ".join(f"version {key} is {value[:12]}" for key, value in served.items())
        return (
            f"Triton at {self.connection.url}: no version of {self.name} is the model"
            f" {self.fingerprint[:12]} ({found or 'none is ready'}); export that model into its"
            " repository and load it, or reload this service with what belongs to the served one"
        )
