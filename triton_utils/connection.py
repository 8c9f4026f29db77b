"""Requests to a Triton Inference Server that end in time, one way or the other."""

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import Field
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import Count, settings_of
from rec_sys.modules.inference_backends import BackendUnavailable

_Answer = TypeVar("_Answer")

_UNAVAILABLE = "StatusCode.UNAVAILABLE"
# The request itself is wrong: another try would fail as well.
_OUR_MISTAKES = ("StatusCode.INVALID_ARGUMENT", "StatusCode.NOT_FOUND", "StatusCode.UNIMPLEMENTED")
# While loading: the model's files are not as they should be.
_INTERNAL = "StatusCode.INTERNAL"
_NO_REQUEST_ID = "[request id: <id_unknown>] "
_UNLIMITED = -1
_KEEPALIVE_MS = 30_000
_LAST_PORT = 65_535
_Seconds = Annotated[float, Field(gt=0, le=1e6)]  # gRPC counts milliseconds in 32 bits

# Answers that are none are told as errors of the request; gRPC would log a traceback beside each.
logging.getLogger("grpc._common").setLevel(logging.CRITICAL)


@settings_of("serving.triton")
class TritonConnection:
    """One connection, shared by all threads; it comes back by itself when the server does.

    Args:
        url: ``host:port`` of Triton's gRPC end point.
        connect_timeout: Seconds that one attempt to connect may take.
        request_timeout: Seconds that one request may take, the attempt to connect included.
        load_timeout: Seconds that loading a model may take.
        retries: Further attempts if the server is unavailable (not there, or its queue is full).
        backoff: Seconds before the first further attempt, doubled each time; a random half of it
            is left out, so that callers do not come back all at once.
        retry_after: What is told to callers when the attempts are used up, in seconds.

    Raises:
        InputError: A setting makes no sense. An absent server raises nothing yet.
    """

    url: str
    connect_timeout: _Seconds = 1.0
    request_timeout: _Seconds = 5.0
    load_timeout: _Seconds = 120.0
    retries: Count = 3
    backoff: _Seconds = 0.1
    retry_after: _Seconds = 2.0

    def __post_init__(self) -> None:
        """Checks the address."""
        host, _, port = self.url.rpartition(":")
        is_port = port.isdigit() and int(port[:6]) <= _LAST_PORT
        if "/" in self.url or not host or not is_port:
            raise InputError(
                f"serving.triton.url={self.url}: must be <host>:<port of Triton's gRPC end point>"
            )

    @cached_property
    def _client(self) -> InferenceServerClient:
        return InferenceServerClient(
            self.url, channel_args=_channel_arguments(self.connect_timeout)
        )

    def is_ready(self) -> bool:
        """Whether the server answers and all its models are ready; for health checks."""
        try:
            return self._client.is_server_ready(client_timeout=self.request_timeout)
        except InferenceServerException:
            return False

    def is_live(self) -> bool:
        """Whether the server answers at all; asks once."""
        try:
            return self._client.is_server_live(client_timeout=self.request_timeout)
        except InferenceServerException:
            return False

    def model_metadata(self, model: str, version: str = "") -> Any:
        """Names, types and shapes of a model's tensors, and its versions.

        Raises:
            InputError: There is no such model.
            BackendUnavailable: The server does not answer.
        """
        return self._ask(
            lambda timeout: self._client.get_model_metadata(model, version, client_timeout=timeout)
        )

    def model_parameters(self, model: str) -> dict[str, str]:
        """The ``parameters`` of a model's ``config.pbtxt``.

        Raises:
            InputError: There is no such model.
            BackendUnavailable: The server does not answer.
        """
        answer = self._ask(
            lambda timeout: self._client.get_model_config(model, client_timeout=timeout)
        )
        return {key: value.string_value for key, value in answer.config.parameters.items()}

    def load_model(self, model: str) -> None:
        """Has the server take up what stands in its repository now: new versions, say.

        Needs ``--model-control-mode=explicit``. What is served goes on if the new one fails.

        Raises:
            InputError: There is no such model, or it cannot be loaded.
            BackendUnavailable: The server does not answer.
        """
        self._ask(
            lambda timeout: self._client.load_model(model, client_timeout=timeout),
            self.load_timeout,
            (*_OUR_MISTAKES, _INTERNAL),
        )

    def infer(
        self,
        model: str,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str],
        version: str = "",
    ) -> list[np.ndarray]:
        """Runs a model once.

        Args:
            model: Its name in the repository.
            inputs: Arrays by name.
            outputs: Names of the arrays to return, in this order.
            version: Empty for the newest.

        Raises:
            InputError: The server has no such model, or the model does not take such inputs.
            BackendUnavailable: The server does not answer, or could not compute.
        """
        tensors = [_tensor(name, array) for name, array in inputs.items()]
        wanted = [InferRequestedOutput(name) for name in outputs]
        result = self._ask(
            lambda timeout: self._client.infer(
                model, tensors, model_version=version, outputs=wanted, client_timeout=timeout
            )
        )
        return [result.as_numpy(name) for name in outputs]

    def close(self) -> None:
        """Ends the connection; the object cannot be used any more."""
        self._client.close()

    def _ask(
        self,
        ask: Callable[[float], _Answer],
        timeout: float | None = None,
        mistakes: Sequence[str] = _OUR_MISTAKES,
    ) -> _Answer:
        for attempt in range(self.retries + 1):
            try:
                return ask(timeout or self.request_timeout)
            except InferenceServerException as error:
                reason = f"Triton at {self.url}: {_one_line(error)}"
                if error.status() in mistakes:
                    raise InputError(reason) from error
                if error.status() != _UNAVAILABLE or attempt == self.retries:
                    raise BackendUnavailable(reason, self.retry_after) from error
                time.sleep(self.backoff * 2**attempt * random.uniform(0.5, 1.0))
        raise AssertionError("the last attempt returns or raises")


def _tensor(name: str, array: np.ndarray) -> InferInput:
    datatype = np_to_triton_dtype(array.dtype)
    if datatype is None:
        raise InputError(f"{name}: Triton has no type for {array.dtype}")
    tensor = InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array)
    return tensor


def _one_line(error: InferenceServerException) -> str:
    status = str(error.status()).removeprefix("StatusCode.")
    message = str(error.message()).replace(_NO_REQUEST_ID, "")
    return f"{status}: {' '.join(message.split())}"


def _channel_arguments(connect_timeout: float) -> list[tuple[str, int]]:
    milliseconds = int(connect_timeout * 1000)
    return [
        ("grpc.max_send_message_length", _UNLIMITED),
        ("grpc.max_receive_message_length", _UNLIMITED),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        # gRPC calls the time that an attempt to connect is given "min_reconnect_backoff"; the
        # others decide how soon a server that is back is noticed (up to 2 minutes by default).
        ("grpc.min_reconnect_backoff_ms", milliseconds),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 200),
    ]
