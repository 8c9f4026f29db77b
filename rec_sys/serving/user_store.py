"""What people wrote to the service: kept in a database, SQLite or any that SQLAlchemy knows."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, OperationalError

from rec_sys.foundation.errors import InputError
from rec_sys.inference.histories import VECTOR_DTYPE, WrittenReview

_BUSY_SECONDS = 10
# Writers who meet on a new person: the second one finds them there.
_RETRIES = 2

_metadata = sa.MetaData()
_users = sa.Table(
    "users",
    _metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("nickname", sa.Text),
)
_reviews = sa.Table(
    "reviews",
    _metadata,
    # BIGINT does not count up by itself in SQLite.
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("user_id", sa.Text, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    sa.Column("review_id", sa.Text, nullable=False),
    sa.Column("product_id", sa.Text, nullable=False),
    sa.Column("product_name", sa.Text, nullable=False),
    sa.Column("style", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("rating", sa.Float),
    sa.Column("time", sa.BigInteger),
    sa.Column("vector", sa.LargeBinary),  # of the text
    sa.Column("encoder", sa.String(64)),  # the fingerprint of the encoder that the vector is from
    sa.UniqueConstraint("user_id", "review_id"),
    sa.Index("reviews_of_user", "user_id", "time"),
)
_WRITTEN = ("review_id", "product_id", "product_name", "style", "text", "rating", "time")


@dataclass(frozen=True)
class StoredUser:
    """A person of the store.

    Attributes:
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
            self._engine = sa.create_engine(url, pool_pre_ping=True, hide_parameters=True)
            if self._engine.dialect.name == "sqlite":
                sa.event.listen(self._engine, "connect", _prepare_sqlite)
            _metadata.create_all(self._engine)
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            # Not the URL, which may hold a password.
            raise InputError(f"serving.store: no such kind of database ({error})") from None
        except OperationalError as error:
            reason = str(error.orig).splitlines()[0]
            raise InputError(
                f"serving.store={self._engine.url!r}: cannot be opened ({reason})"
            ) from None

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
            user_id: Made if new.
            reviews: At least one.
            vectors: From texts to vectors, float [D]; texts may be missing.
            encoder: The fingerprint of the text encoder that made them.
            nickname: Replaces the one that is known, unless it is None.

        Returns:
            How many reviews of the person are kept now.
        """
        rows = {review.review_id: _row(user_id, review, vectors, encoder) for review in reviews}
        for _ in range(_RETRIES):
            with suppress(IntegrityError):
                return self._add(user_id, list(rows.values()), nickname)
        return self._add(user_id, list(rows.values()), nickname)

    def find(self, user_id: str, newest: int, encoder: str) -> StoredUser | None:
        """A person with their newest reviews, or None if nobody has this id.

        Args:
            newest: So many reviews at most.
            encoder: Vectors of other text encoders are left out.
        """
        ours = _reviews.c.user_id == user_id
        order = (_reviews.c.time.desc().nulls_last(), _reviews.c.id.desc())
        with self._engine.connect() as connection:
            user = connection.execute(sa.select(_users).where(_users.c.id == user_id)).first()
            if user is None:
                return None
            found = connection.execute(
                sa.select(_reviews).where(ours).order_by(*order).limit(newest)
            )
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
            connection.execute(sa.delete(_reviews).where(_reviews.c.user_id == user_id))
            return connection.execute(sa.delete(_users).where(_users.c.id == user_id)).rowcount > 0

    def close(self) -> None:
        """Ends all connections."""
        self._engine.dispose()

    def _add(self, user_id: str, rows: list[dict[str, Any]], nickname: str | None) -> int:
        ours = _reviews.c.user_id == user_id
        with self._engine.begin() as connection:
            named = {} if nickname is None else {"nickname": nickname}
            # Even without a name: it keeps two writers of one person apart.
            changed = sa.update(_users).where(_users.c.id == user_id).values(id=user_id, **named)
            if not connection.execute(changed).rowcount:
                connection.execute(_users.insert().values(id=user_id, **named))
            ids = [row["review_id"] for row in rows]
            connection.execute(sa.delete(_reviews).where(ours, _reviews.c.review_id.in_(ids)))
            connection.execute(_reviews.insert(), rows)
            return connection.execute(sa.select(sa.func.count()).where(ours)).scalar_one()


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
    # Readers do not wait for writers, and a commit is on disk even if the power fails.
    busy = f"busy_timeout={_BUSY_SECONDS * 1000}"
    for setting in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", busy):
        connection.execute(f"PRAGMA {setting}")
