"""How the store's database is connected to, and what its errors mean."""

import os
import re
import sqlite3
from contextlib import suppress
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import require_regular

# What passes by itself, or when somebody makes room; whatever else SQLite reports stays so.
_PASSING = {"SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_NOMEM"}
# PostgreSQL says it while a connection is made, without the number of the error.
_NOT_LET_IN = re.compile("FATAL:.*(does not exist|not permitted|authentication|pg_hba)")
# Its kinds of errors whose messages may quote a value, or are another program's.
_QUOTING = ("220", "22P02", "23", "P0")
# A statement that was prepared before somebody changed a column and changed it back.
CHANGED_UNDER_IT = "0A000"
# Of the time after which a server ends a statement by itself: one that says nothing then is frozen.
_PATIENCE = 1.25
# What SQLite says while a connection is made does not come through SQLAlchemy.
FAULTS = (exc.SQLAlchemyError, sqlite3.Error)


def connect(url: str, seconds: float, connections: int) -> sa.Engine:
    """An engine that waits for nothing longer than so many seconds."""
    milliseconds = int(1000 * seconds)
    arguments: dict[str, Any] = {}
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "postgresql":
        names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        timeouts = (f"-c {name}={milliseconds}" for name in names)
        arguments = {
            "options": " ".join([parsed.query.get("options", ""), *timeouts]),
            "client_encoding": "UTF8",  # whatever the server's default is
            "connect_timeout": max(2, round(seconds)),  # libpq takes no less
            "tcp_user_timeout": milliseconds,
        }
        if threshold := parsed.query.get("prepare_threshold"):  # 0 behind PgBouncer
            arguments["prepare_threshold"] = int(threshold)
    elif parsed.get_backend_name() == "sqlite":
        if parsed.database in (None, "", ":memory:") or parsed.query:
            why = "names no file, or options beside it; try sqlite:///users.db"
            raise InputError(f"serving.store={parsed!r}: {why}")
        require_regular(parsed.database)
        with suppress(OSError):  # what people write is nothing for other users of the machine
            os.close(os.open(parsed.database, os.O_CREAT, 0o600))
    engine = sa.create_engine(
        url,
        pool_pre_ping=True,
        hide_parameters=True,  # they are what people wrote
        pool_size=connections,
        max_overflow=0,
        pool_timeout=seconds,
        connect_args=arguments,
        poolclass=sa.QueuePool,
    )
    if engine.dialect.name == "sqlite":

        @sa.event.listens_for(engine, "connect")
        def prepare(connection: Any, _: Any) -> None:
            # Readers do not wait for writers, a commit is on disk even if the power fails, and what
            # is deleted is overwritten.
            busy = f"busy_timeout={milliseconds}"
            settings = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", busy)
            for setting in (*settings, "secure_delete=ON"):
                connection.execute(f"PRAGMA {setting}")

    return engine


def commit_to_disk(connection: sa.Connection) -> None:
    """Has one transaction, as PgBouncer changes sessions, wait at least for PostgreSQL's disk."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(
            "SELECT set_config('synchronous_commit', 'on', true)"
            " WHERE current_setting('synchronous_commit') = 'off'"
        )


def bound_waits(engine: sa.Engine, seconds: float) -> None:
    """Gives up a connection whose server, such as a stopped one, does not answer in time; libpq has
    no bound for that once it is connected."""
    import psycopg

    class Connection(psycopg.Connection):
        def wait(self, *args: Any, **kwargs: Any) -> Any:
            try:
                return super().wait(*args, **{"timeout": _PATIENCE * seconds, **kwargs})
            except psycopg.Error:
                if self.pgconn.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
                    self.pgconn.finish()  # nobody knows what it would say next
                raise

    engine.dispose()  # those that are not bounded

    @sa.event.listens_for(engine, "do_connect")
    def connect(dialect: Any, record: Any, arguments: Any, settings: Any) -> Connection:
        return Connection.connect(*arguments, **settings)


def shown(url: sa.URL) -> str:
    """Without the password, wherever it stands."""
    return repr(url.set(query={}))


def is_passing(error: Exception) -> bool:
    """Whether it may be gone when it is tried again."""
    cause = error.orig if isinstance(error, exc.DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        # SQLITE_BUSY_SNAPSHOT is a kind of SQLITE_BUSY.
        return "_".join(getattr(cause, "sqlite_errorname", "").split("_")[:2]) in _PASSING
    if state_of(error) == CHANGED_UNDER_IT:
        return True
    if _NOT_LET_IN.search(str(cause)):
        return False
    return isinstance(error, exc.OperationalError | exc.InterfaceError | exc.TimeoutError)


def is_full(error: Exception) -> bool:
    """Whether it lacks room, memory or connections."""
    is_sqlites = getattr(getattr(error, "orig", error), "sqlite_errorname", "") == "SQLITE_FULL"
    return is_sqlites or state_of(error).startswith("53")


def state_of(error: Exception) -> str:
    """PostgreSQL's number of the error, if any."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


def reason(error: Exception) -> str:
    """The first line of what a driver says, unless it may quote what people wrote."""
    cause = error.orig if isinstance(error, exc.DBAPIError) else error
    told = (str(cause).strip().splitlines() or ["no reason given"])[0]
    if (state := state_of(error)).startswith(_QUOTING):
        told = f"SQLSTATE {state}"
    return f"{type(error).__name__}: {told}"
