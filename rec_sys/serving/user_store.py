"""What people wrote to the service: kept in a database, SQLite or any that SQLAlchemy knows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    delete,
    event,
    func,
    select,
    update,
)
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, OperationalError

from rec_sys.foundation.errors import InputError
from rec_sys.inference.histories import VECTOR_DTYPE, WrittenReview

_BUSY_SECONDS = 10
# Writers who meet on a new person: the second one finds them there.
_ATTEMPTS = 3

_metadata = MetaData()
_users = Table(
    "users",
    _metadata,
    Column("id", Text, primary_key=True),
    Column("nickname", Text),
)
_reviews = Table(
    "reviews",
    _metadata,
    # BIGINT does not count up by itself in SQLite.
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("review_id", Text, nullable=False),
    Column("product_id", Text, nullable=False),
    Column("product_name", Text, nullable=False),
    Column("style", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("rating", Float),
    Column("time", BigInteger),
    Column("vector", LargeBinary),  # of the text
    Column("encoder", String(64)),  # the fingerprint of the encoder that the vector is from
    UniqueConstraint("user_id", "review_id"),
    Index("reviews_of_user", "user_id", "time"),
)
_WRITTEN = ("review_id", "product_id", "product_name", "style", "text", "rating", "time")


@dataclass(frozen=True)
class StoredUser:
    """A person of the store.

    Attributes:
        user_id: Who it is.
        nickname: The name they go by, or None.
        reviews: The oldest first.
        vectors: From the text of a review to its vector, float16 [D], where one is kept.
    """

    user_id: str
    nickname: str | None
    reviews: Sequence[WrittenReview]
    vectors: dict[str, np.ndarray]


class UserStore:
    """Keeps reviews. May be used by several threads and several processes at once.

    What `add` has returned from is on disk: it survives the end of the process.

    Args:
        url: An SQLAlchemy URL, such as ``sqlite:///users.db`` or ``postgresql+psycopg://...``.

    Raises:
        InputError: No database can be opened there.
    """

    def __init__(self, url: str) -> None:
        try:
            # No parameters in messages: they are what people wrote.
            self._engine = create_engine(url, pool_pre_ping=True, hide_parameters=True)
            if self._engine.dialect.name == "sqlite":
                event.listen(self._engine, "connect", _prepare_sqlite)
            _metadata.create_all(self._engine)
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            # Not the URL, which may hold a password.
            raise InputError(f"serving.store: no such kind of database ({error})") from None
        except OperationalError as error:
            reason = str(error.orig).splitlines()[0]
            raise InputError(
                f"serving.store={self._engine.url!r}: cannot be opened ({reason})"
            ) from None

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine."""
        return self._engine

    def add(
        self,
        user_id: str,
        reviews: Sequence[WrittenReview],
        vectors: dict[str, np.ndarray],
        encoder: str,
        nickname: str | None = None,
    ) -> int:
        """Keeps reviews; one whose id the person has used already replaces the older one.

        Args:
            user_id: The person; made if new.
            reviews: At least one.
            vectors: From texts to vectors, float [D]; texts may be missing.
            encoder: The fingerprint of the text encoder that they are from.
            nickname: Replaces the one that is known, unless it is None.

        Returns:
            How many reviews of the person are kept now.
        """
        rows = {review.review_id: _row(user_id, review, vectors, encoder) for review in reviews}
        for attempt in range(_ATTEMPTS):
            try:
                return self._add(user_id, list(rows.values()), nickname)
            except IntegrityError:
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def find(self, user_id: str, newest: int, encoder: str) -> StoredUser | None:
        """A person with their newest reviews, or None if nobody has this id.

        Args:
            user_id: The person.
            newest: So many reviews at most.
            encoder: Vectors of other text encoders are left out.
        """
        ours = _reviews.c.user_id == user_id
        order = (_reviews.c.time.desc().nulls_last(), _reviews.c.id.desc())
        with self._engine.connect() as connection:
            user = connection.execute(select(_users).where(_users.c.id == user_id)).first()
            if user is None:
                return None
            found = connection.execute(select(_reviews).where(ours).order_by(*order).limit(newest))
            rows = [row._mapping for row in found][::-1]
        vectors = {
            row["text"]: np.frombuffer(row["vector"], VECTOR_DTYPE)
            for row in rows
            if row["vector"] is not None and row["encoder"] == encoder
        }
        reviews = [WrittenReview(**{name: row[name] for name in _WRITTEN}) for row in rows]
        return StoredUser(user_id, user.nickname, reviews, vectors)

    def forget(self, user_id: str) -> bool:
        """Deletes a person and all that they wrote; whether there was anybody."""
        with self._engine.begin() as connection:
            connection.execute(delete(_reviews).where(_reviews.c.user_id == user_id))
            return connection.execute(delete(_users).where(_users.c.id == user_id)).rowcount > 0

    def close(self) -> None:
        """Ends all connections."""
        self._engine.dispose()

    def _add(self, user_id: str, rows: list[dict[str, Any]], nickname: str | None) -> int:
        ours = _reviews.c.user_id == user_id
        with self._engine.begin() as connection:
            named = {} if nickname is None else {"nickname": nickname}
            # Even without a name: it keeps two authors of one person apart.
            changed = update(_users).where(_users.c.id == user_id).values(id=user_id, **named)
            if not connection.execute(changed).rowcount:
                connection.execute(_users.insert().values(id=user_id, **named))
            ids = [row["review_id"] for row in rows]
            connection.execute(delete(_reviews).where(ours, _reviews.c.review_id.in_(ids)))
            connection.execute(_reviews.insert(), rows)
            return connection.execute(select(func.count()).where(ours)).scalar_one()


def _row(
    user_id: str, review: WrittenReview, vectors: dict[str, np.ndarray], encoder: str
) -> dict[str, Any]:
    vector = vectors.get(review.text)
    known = vector is not None
    return {
        "user_id": user_id,
        **{name: getattr(review, name) for name in _WRITTEN},
        "vector": np.asarray(vector, VECTOR_DTYPE).tobytes() if known else None,
        "encoder": encoder if known else None,
    }


def _prepare_sqlite(connection: Any, _: Any) -> None:
    # Readers do not wait for authors, and a commit is on disk even if the power fails.
    for setting in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={_BUSY_SECONDS * 1000}",
    ):
        connection.execute(f"PRAGMA {setting}")
