"""How texts of requests become vectors: remembered, in fair turns, while somebody waits."""

import math
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Any

import numpy as np

from rec_sys.foundation.errors import told_as_unfit
from rec_sys.inference.histories import VECTOR_DTYPE, Encode
from rec_sys.modules.inference_backends import BackendUnavailable, TextBackend
from rec_sys.serving.access import Refused
from rec_sys.text.store import key_of


class Busy(Refused):
    """There is too much to do at the moment; the message is for whoever asked."""

    def __init__(self, message: str = "this took too long; ask for less, or try again") -> None:
        super().__init__(503, message)


class Deadline:
    """Until when somebody waits for an answer, in seconds from now on."""

    def __init__(self, seconds: float) -> None:
        self._until = monotonic() + seconds

    def give_up(self) -> None:
        self._until = -math.inf

    def seconds_left(self) -> float:
        """How long somebody will wait yet; `Busy` if nobody does."""
        left = self._until - monotonic()
        if left <= 0:
            raise Busy
        return left


#: Of the request that the thread works for; None where nobody waits.
DEADLINE: ContextVar[Deadline | None] = ContextVar("DEADLINE", default=None)
#: Who has asked: a client, or all people together.
PARTY: ContextVar[Any] = ContextVar("PARTY", default=None)


@contextmanager
def half_the_time() -> Iterator[None]:
    """What is done within is `Busy` early enough for something else to be done in time."""
    deadline = DEADLINE.get()
    before = DEADLINE.set(deadline and Deadline(deadline.seconds_left() / 2))
    try:
        yield
    finally:
        DEADLINE.reset(before)


class TextTurns:
    """A text encoder that requests use in turns: who has many texts lets others in between. So many
    `characters` are encoded before another one's turn, one text at least. A request of more turns
    than `bulk` is a large one; of one `PARTY` further ones than `bulk_at_once` are `Busy`."""

    def __init__(
        self, encoder: TextBackend, at_once: int, characters: int, bulk: int, bulk_at_once: int
    ) -> None:
        self._encoder, self._characters, self._bulk = encoder, characters, bulk
        self._bulk_at_once, self._bulks, self._counting = bulk_at_once, Counter(), threading.Lock()
        # Its queue is the order of the turns.
        self._turns = ThreadPoolExecutor(at_once, "texts")
        self.encoder_fingerprint = encoder.encoder_fingerprint
        self.vector_dim = encoder.vector_dim

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Encodes n texts: float32 [n, D]. Raises Busy if others have many too, or nobody waits."""
        # Texts of similar length together: less is padded. What is long is cut by the encoder.
        lengths = np.minimum([len(text) for text in texts], self._characters)
        order = np.argsort(lengths, kind="stable")
        turn = np.cumsum(lengths[order]) // self._characters
        parts = np.split(order, np.flatnonzero(np.diff(turn)) + 1)
        is_bulk = len(parts) > self._bulk
        party = PARTY.get()
        with self._counting:
            if is_bulk and self._bulks[party] >= self._bulk_at_once:
                raise Busy("too many requests with many texts at once; send fewer, or try again")
            self._bulks[party] += is_bulk
        try:
            vectors = np.empty((len(texts), self.vector_dim), dtype=np.float32)
            for rows in parts:
                vectors[rows] = self._turn([texts[row] for row in rows])
            return vectors
        finally:
            with self._counting:
                self._bulks[party] -= is_bulk

    def _turn(self, texts: Sequence[str]) -> np.ndarray:
        deadline = DEADLINE.get()
        left = deadline.seconds_left() if deadline else None
        turn = self._turns.submit(self._encode, texts)
        try:
            return turn.result(left)
        except TimeoutError:
            turn.cancel()
            raise Busy from None

    def _encode(self, texts: Sequence[str]) -> np.ndarray:
        with told_as_unfit("text encoder", "make the bundle anew", BackendUnavailable):
            vectors = self._encoder.encode(texts)
            if not np.isfinite(vectors).all():
                raise ValueError("a text has a vector that is no number")
            return vectors


class VectorCache:
    """Remembers the `size` newest vectors by a hash of their text; no text is kept."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._vectors: OrderedDict[bytes, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def encode(
        self, texts: Sequence[str], encode: Encode, known: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """The vectors, float16 [D], of distinct texts that are not empty; has those encoded that
        neither it nor the caller, `known`, has."""
        keys = {text: key_of(text) for text in texts if text not in known}
        with self._lock:
            remembered = {text: self._vectors.get(key) for text, key in keys.items()}
            for text, vector in remembered.items():
                if vector is not None:
                    self._vectors.move_to_end(keys[text])
        if missing := [text for text, vector in remembered.items() if vector is None]:
            found = np.asarray(encode(missing)).astype(VECTOR_DTYPE)
            remembered.update(zip(missing, found, strict=True))
            with self._lock:
                # Copies: a row would keep the whole batch that it is a view of.
                self._vectors.update((keys[text], remembered[text].copy()) for text in missing)
                while len(self._vectors) > self._size:
                    self._vectors.popitem(last=False)
        return {text: known[text] if text in known else remembered[text] for text in texts}
