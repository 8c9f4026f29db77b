"""Retries and time-outs, against a client that fails as it is told to."""

import socket
import time

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from rec_sys.foundation.errors import InputError
from rec_sys.modules.inference_backends import BackendUnavailable
from triton_utils.connection import TritonConnection


def failure(status):
    return InferenceServerException("the reason", f"StatusCode.{status}")


class Result:
    def as_numpy(self, name):
        return np.array([len(name)])


class Client:
    """Answers each call with the next of `answers`; an exception is raised."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.timeouts = []

    def infer(self, model, tensors, model_version, outputs, client_timeout):
        self.timeouts.append(client_timeout)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def is_server_live(self, client_timeout):
        raise failure("DEADLINE_EXCEEDED")

    is_server_ready = is_server_live


@pytest.fixture
def connected(monkeypatch):
    """Makes a connection to a client of given answers: (connection, client, seconds waited)."""

    def connect(*answers, **settings):
        waited, client = [], Client(*answers)
        monkeypatch.setattr(
            "triton_utils.connection.InferenceServerClient", lambda *_, **__: client
        )
        monkeypatch.setattr(time, "sleep", waited.append)
        return TritonConnection("host:1", **settings), client, waited

    return connect


def infer(connection):
    return connection.infer("m", {"x": np.zeros(2, np.float32)}, ["abc", "d"])


def test_an_unavailable_server_is_tried_again_after_longer_and_longer(connected):
    gone = failure("UNAVAILABLE")
    connection, client, waited = connected(
        gone, gone, gone, Result(), retries=3, backoff=1.0, request_timeout=7.0
    )
    assert infer(connection) == [3, 1]
    assert client.timeouts == [7.0] * 4
    assert [0.5 * 2**i <= seconds <= 2**i for i, seconds in enumerate(waited)] == [True] * 3
    assert len(set(waited)) == 3


def test_the_waits_are_not_the_same_for_everybody(connected):
    firsts = set()
    for _ in range(20):
        connection, _, waited = connected(failure("UNAVAILABLE"), Result())
        infer(connection)
        firsts.add(waited[0])
    assert len(firsts) > 10


def test_tries_come_to_an_end(connected):
    connection, client, waited = connected(
        *[failure("UNAVAILABLE")] * 9, retries=2, retry_after=4.0
    )
    with pytest.raises(BackendUnavailable, match="Triton at host:1: UNAVAILABLE: the re") as error:
        infer(connection)
    assert (len(client.timeouts), len(waited), error.value.retry_after) == (3, 2, 4.0)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("DEADLINE_EXCEEDED", BackendUnavailable),
        ("INTERNAL", BackendUnavailable),
        ("RESOURCE_EXHAUSTED", BackendUnavailable),
        ("INVALID_ARGUMENT", InputError),
        ("NOT_FOUND", InputError),
    ],
)
def test_other_failures_are_not_tried_again(connected, status, expected):
    connection, client, waited = connected(failure(status), Result())
    with pytest.raises(expected, match=f"{status}: the reason"):
        infer(connection)
    assert (len(client.timeouts), waited) == (1, [])


def test_health_checks_say_no_instead_of_raising(connected):
    connection, *_ = connected()
    assert not connection.is_live() and not connection.is_ready()


@pytest.mark.parametrize(
    "setting",
    [
        {"request_timeout": 0},
        {"connect_timeout": -1},
        {"backoff": True},
        {"retry_after": "2"},
        {"load_timeout": None},
        {"retries": -1},
        {"retries": 1.5},
        {"url": "localhost"},
        {"url": "http://localhost:8001"},
        {"url": ":8001"},
        {"url": "localhost:99999"},
        {"connect_timeout": 1e308},
    ],
)
def test_settings_that_make_no_sense(setting):
    with pytest.raises(InputError, match=f"serving.triton.{next(iter(setting))}="):
        TritonConnection(**{"url": "localhost:8001"} | setting)


def test_who_never_answers_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"127.0.0.1:{silent.getsockname()[1]}"
        connection = TritonConnection(url, connect_timeout=0.2, request_timeout=0.5, retries=1)
        with pytest.raises(BackendUnavailable, match="UNAVAILABLE|DEADLINE_EXCEEDED"):
            infer(connection)
        assert not connection.is_live()
        connection.close()
