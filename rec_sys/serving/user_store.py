"""What people wrote to the service: kept in a database, SQLite or any that SQLAlchemy knows."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import monotonic, time
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy import exc

from rec_sys.foundation.errors import InputError
from rec_sys.inference.histories import VECTOR_DTYPE, WrittenReview
from rec_sys.reviews.schema import MAX_RATING, MIN_RATING, SECONDS_PER_DAY
from rec_sys.reviews.values import FIRST_SECOND, LAST_SECOND
from rec_sys.serving import database
from rec_sys.serving.access import Refused
from rec_sys.serving.encoding import DEADLINE
from rec_sys.serving.migrations import VERSION_TABLE, changes_to, migrate

# Writers who meet on a new person, or processes that make the tables: the second finds them there.
_RETRIES = 8

_TEXTS = ("review_id", "product_id", "product_name", "style", "text")
_metadata = sa.MetaData()
_users = sa.Table(
    "users", _metadata, sa.Column("id", sa.Text, primary_key=True), sa.Column("nickname", sa.Text)
)
_reviews = sa.Table(
    "reviews",
    _metadata,
    # BIGINT does not count up by itself in SQLite.
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("user_id", sa.Text, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    *(sa.Column(name, sa.Text, nullable=False) for name in _TEXTS),
    sa.Column("rating", sa.Float),
    sa.Column("time", sa.BigInteger),
    sa.Column("vector", sa.LargeBinary),  # of the text
    sa.Column("encoder", sa.String(64)),  # the fingerprint of the encoder that the vector is from
    sa.Column("kept_at", sa.BigInteger),  # seconds since 1970
    sa.UniqueConstraint("user_id", "review_id"),
    sa.Index("reviews_of_user", "user_id", "time"),
)
_WRITTEN = (*_TEXTS, "rating", "time")
_NEWEST_FIRST = (_reviews.c.time.desc().nulls_last(), _reviews.c.id.desc())
_BETWEEN = {"rating": (MIN_RATING, MAX_RATING), "time": (FIRST_SECOND, LAST_SECOND)}
_KEEPS_NOTHING = "the database: does not keep what it is given; it has a rule or type of its own"
_EVERY_LETTER = "é 音 🎸"
_PROBE = {**dict.fromkeys(_TEXTS, _EVERY_LETTER), "rating": 4.5, "time": LAST_SECOND}
_PROBE |= {"vector": b"\x00\xff", "encoder": "e" * 64, "kept_at": LAST_SECOND}
_LOG_MILLISECONDS = 50  # for readers of SQLite's log: whoever waits for them keeps writers waiting
_AT_ONCE = 20  # reviews in memory when all are handed over
_AT_A_TIME = 2_000  # rows looked at, of those that may have been kept for too long


@dataclass(frozen=True)
class StoredUser:
    """A person of the store. `reviews`: the oldest first; `vectors`: from the text of a review to
    its vector, float16 [D], where one is kept."""

    user_id: str
    nickname: str | None
    reviews: Sequence[WrittenReview]
    vectors: dict[str, np.ndarray]


class StoreUnavailable(Exception):
    """The database does not do what it is asked to; a lasting failure stays until somebody sees to
    it. The message is for the log, without what people wrote."""

    def __init__(self, message: str, is_lasting: bool) -> None:
        super().__init__(message)
        self.is_lasting = is_lasting


class _Conflict(StoreUnavailable):
    """Other rows, or a rule of somebody else, do not admit what is written."""


class UserStore:
    """Keeps reviews. May be used by several threads and several processes at once. What `add` has
    returned from is on disk: it survives the end of the process.

    `url`: SQLAlchemy's, such as ``sqlite:///users.db`` or ``postgresql+psycopg://...``; `seconds`:
    so long a statement, a lock or a connection is waited for; after that the database is left alone
    for as long, so that not everybody waits for it; `connections`: at once; `most_reviews`: of a
    person. Raises InputError if no database can be opened there, it cannot be written to, or its
    tables are another program's, or a newer version's."""

    def __init__(
        self, url: str, seconds: float = 5.0, connections: int = 4, most_reviews: int = 10**6
    ) -> None:
        self._seconds, self._most_reviews = seconds, most_reviews
        self._alone_until, self._log_is_full = 0.0, False
        self._proven_until, self._compared_until, self._full_until = 0.0, 0.0, 0.0
        self._files: dict[str, tuple[int, int, bool] | None] = {}
        try:
            self._engine = database.connect(url, seconds, connections)
            try:
                self._prepare()
            except exc.OperationalError:
                self._prepare()  # others that start now held it
        except (exc.ArgumentError, exc.NoSuchModuleError, ModuleNotFoundError) as error:
            # Not the URL, which may hold a password.
            raise InputError(f"serving.store: no such kind of database ({error})") from None
        except InputError:
            raise
        except Exception as error:  # drivers have many of their own, also for what a URL holds
            url = f"={database.shown(self._engine.url)}" if hasattr(self, "_engine") else ""
            why = f"cannot be opened ({database.reason(error)})"
            raise InputError(f"serving.store{url}: {why}") from None

    def _prepare(self) -> None:
        """Brings the tables to the newest version; makes sure that they are ours and writable."""
        found = sa.inspect(self._engine)
        foreign = [each for each in _metadata.tables if found.has_table(each)]
        if foreign and not found.has_table(VERSION_TABLE):
            why = f"its table {foreign[0]} is another program's; name another database"
            raise InputError(f"serving.store={database.shown(self._engine.url)}: {why}")
        migrate(self._engine)
        if self._engine.driver == "psycopg":
            database.bound_waits(self._engine, self._seconds)
        if change := self._changed():
            raise InputError(f"serving.store={database.shown(self._engine.url)}: {change}")
        with self._engine.begin() as connection:
            _write(connection)
            connection.rollback()
        path = self._engine.url.database
        if self._engine.dialect.name == "sqlite" and path and os.path.isfile(path):
            self._files = {each: _identity(each) for each in (path, f"{path}-wal", f"{path}-shm")}

    def _changed(self) -> str:
        # Statements of their own: a transaction would be ended where it is looked at slowly.
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for table, change in changes_to(connection, _metadata):
                return f"its table {table} is not as rec_sys makes it; undo it ({change})"
        return ""

    @contextmanager
    def _transaction(self, writes: bool = False, proves: bool = False) -> Iterator[sa.Connection]:
        """`writes`: what has succeeded is on disk; `proves`: this shows that it can be done."""
        self._require_files()
        started, until = monotonic(), 0.0
        if started < self._alone_until:
            raise StoreUnavailable("the database is left alone for a while", is_lasting=False)
        if self._alone_until:
            self._alone_until = started + self._seconds  # one tries, nobody waits with them
        try:
            with self._engine.begin() as connection:
                if writes:
                    database.commit_to_disk(connection)
                yield connection
            self._require_files()
            if proves:
                self._proven_until = monotonic() + self._seconds
        except exc.IntegrityError as error:
            raise _Conflict(f"the database: {database.reason(error)}", is_lasting=True) from None
        except database.FAULTS as error:
            passing = database.is_passing(error)
            # Meanwhile, others could write: what was waited for is one person's, such as their row.
            if not (is_theirs := self._proven_until > started + self._seconds):
                self._proven_until = 0.0
            if database.is_full(error):
                self._full_until = monotonic() + self._seconds
            if passing and not is_theirs and monotonic() - started > self._seconds / 2:
                # It was waited for. What fails at once, such as a full disk, is asked as before.
                until = monotonic() + self._seconds
            is_stale = database.state_of(error) == database.CHANGED_UNDER_IT
            if not self._files and (is_stale or not passing):
                # New connections may do what those that there are do not any more.
                self._engine.dispose()
            message = f"the database: {database.reason(error)}"
            raise StoreUnavailable(message, is_lasting=not passing) from None
        finally:
            self._alone_until = until

    def _require_files(self) -> None:
        """What is written to a file without a name is gone with the process."""
        for path, identity in self._files.items():
            if _identity(path) != identity:
                if path != self._engine.url.database:
                    self._empty_log()  # open yet: what it holds goes to the database
                why = "was deleted, emptied or replaced while in use; put it back, or start again"
                raise StoreUnavailable(f"{path}: {why}", is_lasting=True)

    def add(
        self,
        user_id: str,
        reviews: Sequence[WrittenReview],
        vectors: dict[str, np.ndarray],
        encoder: str,
        nickname: str | None = None,
    ) -> int:
        """Keeps reviews of a person, who is made if new; returns how many of theirs are kept now. A
        review whose id the person has used already replaces the older one; so does the nickname,
        unless it is None. `vectors`: from texts, some may be missing, to float [D], made by this
        text encoder. Raises Refused if they would be too many, Busy if that took too long (nothing
        is kept then), StoreUnavailable if the database does not work; so do all methods."""
        rows: dict[str, dict[str, Any]] = {}
        for review in reviews:
            vector = vectors.get(review.text)
            rows[review.review_id] = {
                "user_id": user_id,
                **{name: getattr(review, name) for name in _WRITTEN},
                "vector": None if vector is None else np.asarray(vector, VECTOR_DTYPE).tobytes(),
                "encoder": None if vector is None else encoder,
                "kept_at": int(time()),
            }
        for _ in range(_RETRIES):
            with suppress(_Conflict):
                return self._add(user_id, list(rows.values()), nickname)
        return self._add(user_id, list(rows.values()), nickname)

    def find(self, user_id: str, newest: int, encoder: str) -> StoredUser | None:
        """A person with their `newest` reviews, or None; vectors of this encoder alone."""
        ours = _reviews.c.user_id == user_id
        with self._transaction() as connection:
            user = connection.execute(sa.select(_users).where(_users.c.id == user_id)).first()
            if user is None:
                return None
            theirs = sa.select(_reviews).where(ours).order_by(*_NEWEST_FIRST).limit(newest)
            rows = [row._mapping for row in connection.execute(theirs)][::-1]
        nickname, reviews, vectors = _checked(user._mapping, "nickname"), [*map(_review, rows)], {}
        for row in rows:
            if isinstance(row["vector"], bytes) and row["encoder"] == encoder:
                with suppress(ValueError):  # of half a number
                    vector = np.frombuffer(row["vector"], VECTOR_DTYPE)
                    if np.isfinite(vector).all():
                        vectors[row["text"]] = vector
        return StoredUser(user_id, nickname, reviews, vectors)

    def everything_of(self, user_id: str) -> Iterator[WrittenReview]:
        """All reviews of a person, the oldest first: few at a time, in a transaction each."""
        ours = _reviews.c.user_id == user_id
        with self._transaction() as connection:
            ids = sa.select(_reviews.c.review_id).where(ours).order_by(*_NEWEST_FIRST)
            oldest_first = connection.execute(ids).scalars().all()[::-1]
        for start in range(0, len(oldest_first), _AT_ONCE):
            part = oldest_first[start : start + _AT_ONCE]
            with self._transaction() as connection:
                theirs = sa.select(_reviews).where(ours, _reviews.c.review_id.in_(part))
                found = {row.review_id: row._mapping for row in connection.execute(theirs)}
            # What was deleted meanwhile is left out.
            yield from (_review(found[each]) for each in part if each in found)

    def forget(self, user_id: str) -> bool:
        """Deletes a person and all that they wrote; whether there was anybody."""
        same = _users.c.id == user_id
        with self._transaction(writes=True) as connection:
            # Takes the person's row first, as `add` does: neither waits for what the other holds.
            if not connection.execute(sa.update(_users).where(same).values(id=user_id)).rowcount:
                return False
            connection.execute(sa.delete(_reviews).where(_reviews.c.user_id == user_id))
            connection.execute(sa.delete(_users).where(same))
        self._empty_log()
        return True

    def forget_older(self, days: float) -> int:
        """Deletes reviews kept longer ago, how many it returns, and people who have none left."""
        is_old = _reviews.c.kept_at < int(time() - days * SECONDS_PER_DAY)
        none_left = ~sa.exists().where(_reviews.c.user_id == _users.c.id)
        deleted = 0
        for these in self._parts_by(_reviews.c.id):
            with self._transaction(writes=True) as connection:
                deleted += connection.execute(sa.delete(_reviews).where(these, is_old)).rowcount
        for these in self._parts_by(_users.c.id):
            with self._transaction() as connection:
                empty = connection.scalars(sa.select(_users.c.id).where(these, none_left)).all()
            for user_id in empty:
                with self._transaction(writes=True) as connection:
                    # Takes the person's row first, as `add` does: what comes meanwhile is seen.
                    same = _users.c.id == user_id
                    connection.execute(sa.update(_users).where(same).values(id=user_id))
                    connection.execute(sa.delete(_users).where(same, none_left))
        if deleted:
            self._empty_log()
        return deleted

    def _parts_by(self, key: sa.Column[Any]) -> Iterator[sa.ColumnElement[bool]]:
        """Parts of a table, each soon done with: nobody waits for a lock, no statement is ended."""
        after: sa.ColumnElement[bool] = sa.true()
        while True:
            with self._transaction() as connection:
                first = sa.select(key).where(after).order_by(key).limit(_AT_A_TIME)
                keys = connection.execute(first).scalars().all()
            if not keys:
                return
            yield after & (key <= keys[-1])
            after = key > keys[-1]

    def check(self) -> None:
        """Makes sure that the database can be read, and written to unless this was seen lately."""
        if monotonic() < self._full_until:  # little that is written may find room yet
            raise StoreUnavailable("the database lately lacked room or memory", is_lasting=False)
        proves = monotonic() > self._proven_until
        with self._transaction(proves=proves) as connection:
            for table in (_users, _reviews):
                connection.execute(sa.select(table.c.id).limit(1)).first()
            if proves:
                _write(connection)
        # Not for each look, nor only where nobody writes.
        if monotonic() > self._compared_until:
            try:
                change = self._changed()
            except database.FAULTS as error:
                message = f"the database: {database.reason(error)}"
                raise StoreUnavailable(message, is_lasting=not database.is_passing(error)) from None
            if change:
                raise StoreUnavailable(f"the database: {change}", is_lasting=True)
            self._compared_until = monotonic() + self._seconds
        if self._log_is_full:
            self._empty_log()

    def _empty_log(self) -> None:
        # What is deleted stands in SQLite's write-ahead log as long as that is not overwritten; as
        # long as another program reads the file, such as a backup, it cannot be.
        if self._engine.dialect.name == "sqlite":
            self._log_is_full = True
            with suppress(*database.FAULTS), self._engine.connect() as connection:
                run = connection.exec_driver_sql
                patience = run("PRAGMA busy_timeout").scalar_one()
                run(f"PRAGMA busy_timeout={_LOG_MILLISECONDS}")
                try:
                    self._log_is_full = bool(run("PRAGMA wal_checkpoint(TRUNCATE)").one()[0])
                finally:
                    run(f"PRAGMA busy_timeout={patience}")

    def close(self) -> None:
        self._engine.dispose()

    def _add(self, user_id: str, rows: list[dict[str, Any]], nickname: str | None) -> int:
        ours = _reviews.c.user_id == user_id
        with self._transaction(writes=True, proves=True) as connection:
            named = {} if nickname is None else {"nickname": nickname}
            # Even without a name: it keeps two writers of one person apart.
            changed = sa.update(_users).where(_users.c.id == user_id).values(id=user_id, **named)
            if not connection.execute(changed).rowcount:
                connection.execute(_users.insert().values(id=user_id, **named))
            these = ours & _reviews.c.review_id.in_([row["review_id"] for row in rows])
            connection.execute(sa.delete(_reviews).where(these))
            connection.execute(_reviews.insert(), rows)
            count, kept = (
                connection.execute(sa.select(sa.func.count()).where(which)).scalar_one()
                for which in (ours, these)
            )
            if kept < len(rows):
                raise StoreUnavailable(_KEEPS_NOTHING, is_lasting=True)
            if count > self._most_reviews:
                message = f"{count} would be kept of this person; {self._most_reviews} at most are"
                message += ": replace older ones, or delete the person"
                raise Refused(422, message, "reviews")
            if deadline := DEADLINE.get():
                deadline.seconds_left()  # whoever was told to try again must not be kept twice
            return count


def _review(row: Any) -> WrittenReview:
    return WrittenReview(**{name: _checked(row, name) for name in _WRITTEN})


def _checked(row: Any, name: str) -> Any:
    value, (low, high) = row[name], _BETWEEN.get(name, (None, None))
    kind = {"rating": int | float | None, "time": int | None, "nickname": str | None}.get(name, str)
    is_right = isinstance(value, kind)  # SQLite keeps whatever another program writes
    if not is_right or (low is not None and value is not None and not low <= value <= high):
        why = f"the database: a kept row is damaged, its {name} is no value of its kind"
        raise StoreUnavailable(why, is_lasting=True)
    return value


def _write(connection: sa.Connection) -> None:
    """Writes a review of somebody without an id, whom nobody else is, and takes both out."""
    connection.execute(_users.insert().values(id="", nickname=_EVERY_LETTER))
    connection.execute(_reviews.insert().values(user_id="", **_PROBE))
    columns, nobodys = [_reviews.c[name] for name in _PROBE], _reviews.c.user_id == ""
    kept = connection.execute(sa.select(*columns).where(nobodys)).mappings().all()
    changes = (
        sa.update(_users).where(_users.c.id == "").values(id=""),
        sa.delete(_reviews).where(nobodys),
    )
    if kept != [_PROBE] or not all(connection.execute(each).rowcount for each in changes):
        raise StoreUnavailable(_KEEPS_NOTHING, is_lasting=True)
    connection.execute(sa.delete(_users).where(_users.c.id == ""))


def _identity(path: str) -> tuple[int, int, bool] | None:
    with suppress(OSError):
        found = os.stat(path)
        # SQLite itself empties those beside the database.
        is_whole = path.endswith(("-wal", "-shm")) or found.st_size > 0
        return found.st_dev, found.st_ino, is_whole
    return None
