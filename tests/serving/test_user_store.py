import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from rec_sys.foundation.errors import InputError
from rec_sys.inference.histories import WrittenReview
from rec_sys.serving.access import Refused
from rec_sys.serving.encoding import DEADLINE, Busy, Deadline
from rec_sys.serving.migrations import VERSION_TABLE
from rec_sys.serving.user_store import StoreUnavailable, UserStore
from tests.helpers.threads import at_once

E = "e" * 64
VECTOR = np.array([0.5, -0.25, 1], dtype=np.float16)


@pytest.fixture
def store(store_url):
    store = UserStore(store_url)
    yield store
    store.close()


def review(number, time=None, text="fine"):
    return WrittenReview(f"r{number}", "p1", "Drum", "Percussion", "", text, 4.5, time)


def test_what_goes_in_comes_out_oldest_first(store, store_url):
    full = WrittenReview("r0", "p1", "Drum", style="Big", text="n\x01ul & é🎸", rating=4.5, time=20)
    bare = WrittenReview("r1", text="only words")
    assert store.add("ann", [full, bare], {bare.text: VECTOR}, E, "Ann") == 2
    store.close()
    again = UserStore(store_url)
    user = again.find("ann", 10, E)
    assert (user.user_id, user.nickname, user.reviews) == ("ann", "Ann", [bare, full])
    np.testing.assert_array_equal(user.vectors["only words"], VECTOR)
    assert set(user.vectors) == {"only words"}
    assert again.find("bob", 10, E) is None
    other = UserStore(store_url)
    assert other.find("ann", 10, "f" * 64).vectors == {}  # of another encoder


def test_a_review_that_is_written_again_replaces_itself(store):
    store.add("ann", [review(0, 1, "old"), review(1, 2)], {}, E)
    assert store.add("ann", [review(0, 3, "new"), review(0, 4, "newer")], {}, E) == 2
    assert [each.text for each in store.find("ann", 10, E).reviews] == ["fine", "newer"]
    assert store.add("bob", [review(0)], {}, E) == 1  # ids are the person's own


def test_a_nickname_stays_until_there_is_another(store):
    for given, kept in ((None, None), ("Ann", "Ann"), (None, "Ann"), ("Anne", "Anne")):
        store.add("ann", [review(0)], {}, E, given)
        assert store.find("ann", 1, E).nickname == kept


def test_only_the_newest(store):
    store.add("ann", [review(number, number) for number in range(9)], {}, E)
    store.add("ann", [review(9)], {}, E)  # without a time: the oldest
    assert [each.review_id for each in store.find("ann", 3, E).reviews] == ["r6", "r7", "r8"]


def test_who_is_forgotten_is_gone(store):
    store.add("ann", [review(0)], {}, E)
    assert store.forget("ann") and not store.forget("ann")
    assert store.find("ann", 1, E) is None
    assert store.add("ann", [review(1)], {}, E) == 1


def test_many_writers_of_one_person(store):
    def write(part):
        for number in range(5):
            store.add("ann", [review(f"{part}-{number}")], {}, E)

    at_once(write, range(6))
    assert len(store.find("ann", 100, E).reviews) == 30


def test_a_killed_process_loses_nothing_that_it_acknowledged(store_url):
    url = store_url
    script = (
        "from rec_sys.serving.user_store import *\n"
        f"store = UserStore({url!r})\n"
        "for number in range(10**6):\n"
        "    store.add('ann', [WrittenReview(f'r{number}', text='x')], {}, 'e')\n"
        "    print(number, flush=True)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    acknowledged = [int(writer.stdout.readline()) for _ in range(50)]
    os.kill(writer.pid, signal.SIGKILL)
    rest, _ = writer.communicate(timeout=30)
    acknowledged += [int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    kept = {each.review_id for each in UserStore(url).find("ann", 10**6, E).reviews}
    assert {f"r{number}" for number in acknowledged} <= kept
    assert len(kept) <= len(acknowledged) + 1


def test_ids_of_the_longest_kind_and_quotes(store):
    longest = "\U0001f3b8" * 256
    mean = "x'; DROP TABLE users; --"
    for user in (longest, mean):
        given = WrittenReview(longest, longest, "Drum", text="fine")
        assert store.add(user, [given], {}, E) == 1
        assert store.find(user, 1, E).reviews == [given]
        assert store.forget(user)


def test_no_more_than_may_be_kept(store_url):
    store = UserStore(store_url, most_reviews=3)
    store.add("ann", [review(number) for number in range(3)], {}, E)
    with pytest.raises(Refused, match="4 would be kept"):
        store.add("ann", [review(3)], {}, E)
    with pytest.raises(Refused):
        store.add("bob", [review(number) for number in range(4)], {}, E)
    assert store.find("bob", 9, E) is None
    assert {each.review_id for each in store.find("ann", 9, E).reviews} == {"r0", "r1", "r2"}
    store.close()


def test_what_is_old_is_forgotten_in_time(store, monkeypatch):
    now = time.time()
    monkeypatch.setattr("rec_sys.serving.user_store.time", lambda: now - 10 * 86_400)
    store.add("ann", [review(0), review(1)], {}, E)
    store.add("bob", [review(0)], {}, E)
    monkeypatch.setattr("rec_sys.serving.user_store.time", lambda: now)
    store.add("bob", [review(1)], {}, E)
    assert store.forget_older(11) == 0
    assert store.forget_older(9) == 3
    assert store.find("ann", 9, E) is None
    assert [each.review_id for each in store.find("bob", 9, E).reviews] == ["r1"]


def test_many_make_the_tables_at_once(store_url):
    at_once(lambda _: UserStore(store_url).close(), range(6))


def test_however_many_are_old_no_statement_takes_long(store_url):
    store = UserStore(store_url)
    store.add("zoe", [review(0)], {}, E)
    engine, many, year = sa.create_engine(store_url), 2_500, 365 * 86_400
    old = {"style": "", "product_id": "", "product_name": "", "text": "", "kept_at": year}
    rows = [{"user_id": f"u{n}", "review_id": "r", **old} for n in range(many)]
    names = ", ".join(rows[0])
    values = ", ".join(f":{name}" for name in rows[0])
    with engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO users (id) VALUES (:user_id)"), rows)
        connection.execute(sa.text(f"INSERT INTO reviews ({names}) VALUES ({values})"), rows)
    counts = []

    @sa.event.listens_for(store._engine, "after_cursor_execute")
    def count(connection, cursor, statement, *_):
        if statement.startswith("DELETE FROM reviews"):
            counts.append(cursor.rowcount)

    assert store.forget_older(100) == many == sum(counts)
    assert max(counts) < many
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT id FROM users")).all() == [("zoe",)]
    engine.dispose()
    store.close()


def test_a_database_of_a_newer_version_is_refused_and_not_touched(store_url):
    UserStore(store_url).close()
    engine = sa.create_engine(store_url)
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
        connection.execute(sa.text("ALTER TABLE users ADD age INTEGER"))
    with pytest.raises(InputError, match="another version of rec_sys made its tables") as error:
        UserStore(store_url)
    assert "\n" not in str(error.value)
    with engine.connect() as connection:
        assert connection.execute(sa.text(f"SELECT * FROM {VERSION_TABLE}")).all() == [("9999",)]
    engine.dispose()


def test_a_full_disk_does_not_keep_readers_away(tmp_path):
    store = UserStore(f"sqlite:///{tmp_path}/users.db")
    store.add("ann", [review(0)], {}, E)
    for connection in [store._engine.raw_connection() for _ in range(4)]:
        connection.execute("PRAGMA max_page_count=1")  # SQLITE_FULL, as on a full disk
        connection.close()
    with pytest.raises(StoreUnavailable, match="full"):
        store.add("bob", [review(0, text="x" * 100_000)], {}, E)
    assert store.find("ann", 9, E).nickname is None
    store.close()


def test_where_a_write_found_no_room_the_store_is_not_ready_though_a_little_one_finds_it(store_url):
    store = UserStore(store_url, seconds=1.0)

    def run_out(_, __, statement, *___):
        if "x" * 1000 in str(___):
            raise full

    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorname = full.sqlstate = "SQLITE_FULL"
    if store._engine.dialect.name == "postgresql":
        full = pytest.importorskip("psycopg").errors.DiskFull()
    sa.event.listen(store._engine, "before_cursor_execute", run_out)
    with pytest.raises(StoreUnavailable):
        store.add("bob", [review(0, text="x" * 1000)], {}, E)
    store.add("bob", [review(1)], {}, E)
    with pytest.raises(StoreUnavailable, match="lacked room"):
        store.check()
    time.sleep(1.1)
    store.check()
    store.close()


@pytest.mark.parametrize("columns", ["id TEXT", "id TEXT, nickname TEXT, password TEXT"])
def test_tables_of_another_program_are_not_touched(store_url, columns):
    engine = sa.create_engine(store_url)
    with engine.begin() as connection:
        connection.execute(sa.text(f"CREATE TABLE users ({columns})"))
    with pytest.raises(InputError, match="table users is another program's"):
        UserStore(store_url)
    engine.dispose()


def seconds_until_told(store):
    """How long somebody waits who is told to try again."""
    started = time.monotonic()
    with pytest.raises(StoreUnavailable) as told:
        store.add("ann", [review(1)], {}, E)
    assert not told.value.is_lasting
    return time.monotonic() - started


def test_a_lock_is_not_waited_for_by_everybody(store_url):
    store = UserStore(store_url, seconds=0.5)
    store.add("ann", [review(0)], {}, E)
    engine = sa.create_engine(store_url)
    with engine.connect() as holder:
        is_sqlite = engine.dialect.name == "sqlite"
        # Not by SQLAlchemy, which would begin a transaction of its own.
        lock = ("BEGIN IMMEDIATE",) if is_sqlite else ("BEGIN", "LOCK TABLE users, reviews")
        for statement in lock:
            holder.connection.cursor().execute(statement)
        waited = [seconds_until_told(store) for _ in range(3)]
        holder.connection.rollback()
    assert 0.4 < waited[0] < 1.5 and max(waited[1:]) < 0.1
    time.sleep(0.6)
    assert store.add("ann", [review(1)], {}, E) == 2
    store.close()
    engine.dispose()


def test_a_row_that_another_program_holds_is_waited_for_by_one_person_alone(postgresql_url):
    store = UserStore(postgresql_url, seconds=1)
    for each in ("ann", "bob"):
        store.add(each, [review(0)], {}, E)
    engine = sa.create_engine(postgresql_url)
    with engine.begin() as holder, ThreadPoolExecutor() as pool:
        holder.execute(sa.text("SELECT * FROM users WHERE id = 'ann' FOR UPDATE"))
        waits = pool.submit(seconds_until_told, store)
        while not waits.done():
            assert store.add("bob", [review(1)], {}, E) == 2
        assert waits.result() > 0.8
        store.check()
    assert store.add("ann", [review(1)], {}, E) == 2
    store.close()
    engine.dispose()


def test_a_store_that_cannot_be_written_to_any_more_is_not_ready(store_url):
    store = UserStore(store_url, seconds=1)
    store.check()
    is_sqlite = store._engine.dialect.name == "sqlite"
    one = "query_only" if is_sqlite else "default_transaction_read_only"
    for value in ("ON", "OFF"):
        connections = [store._engine.raw_connection() for _ in range(4)]
        for connection in connections:
            connection.cursor().execute(
                f"PRAGMA {one}={value}" if is_sqlite else f"SET {one}={value}"
            )
            connection.commit()
            connection.close()
        time.sleep(1.1)  # what was seen lately counts as long
        if value == "ON":
            with pytest.raises(StoreUnavailable, match="read-?only"):
                store.check()
    store.check()
    assert store.find("", 9, E) is None
    store.close()


def test_a_full_store_is_not_ready(tmp_path):
    store = UserStore(f"sqlite:///{tmp_path / 'users.db'}", seconds=0.2)
    log = (tmp_path / "users.db-wal").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    time.sleep(0.3)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (log, before[1]))  # as a full disk
        with pytest.raises(StoreUnavailable):
            store.check()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    store.check()
    store.close()


def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / "users.db"
    path.write_text("This is a letter, and no database at all. " * 100)
    with pytest.raises(InputError, match="cannot be opened .*not a database"):
        UserStore(f"sqlite:///{path}")


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///{folder}/users.db?timeout=abc",
        "sqlite:///file:{folder}/users.db?uri=true",  # a file of another name than it seems
        "sqlite:///file::memory:?cache=shared&uri=true",
    ],
)
def test_an_address_of_sqlite_names_a_file_and_nothing_else(url, tmp_path):
    with pytest.raises(InputError, match="serving.store=sqlite.*names no file, or options"):
        UserStore(url.format(folder=tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("url", ["sqlite:///a%00b.db", "postgresql+psycopg://127.0.0.1:abc/shop"])
def test_an_address_that_nothing_can_be_made_of(url):
    with pytest.raises(InputError, match="serving.store: cannot be opened"):
        UserStore(url)


def test_a_version_that_is_none(store_url):
    UserStore(store_url).close()
    engine = sa.create_engine(store_url)
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = ''"))
    engine.dispose()
    with pytest.raises(InputError, match="cannot be opened"):
        UserStore(store_url)


def test_a_database_that_cannot_be_written_to(tmp_path):
    path = tmp_path / "users.db"
    UserStore(f"sqlite:///{path}").close()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))  # as a full disk
        with pytest.raises(InputError, match="cannot be opened"):
            UserStore(f"sqlite:///{path}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_database_that_is_deleted_while_it_is_in_use(tmp_path):
    path = tmp_path / "users.db"
    store = UserStore(f"sqlite:///{path}")
    store.add("ann", [review(0)], {}, E)
    path.rename(tmp_path / "elsewhere.db")
    for there_is_another in (False, True):
        if there_is_another:
            shutil.copy(tmp_path / "elsewhere.db", path)
        with pytest.raises(StoreUnavailable, match="emptied or replaced") as told:
            store.add("ann", [review(1)], {}, E)
        assert told.value.is_lasting
    (tmp_path / "elsewhere.db").rename(path)
    assert store.add("ann", [review(1)], {}, E) == 2
    store.close()


def test_a_database_that_is_emptied_while_it_is_in_use(tmp_path):
    path = tmp_path / "users.db"
    store = UserStore(f"sqlite:///{path}")
    store.add("ann", [review(0)], {}, E)
    os.truncate(path, 0)
    with pytest.raises(StoreUnavailable, match="emptied or replaced"):
        store.add("ann", [review(1)], {}, E)
    with pytest.raises(StoreUnavailable, match="emptied or replaced"):
        store.check()
    store.close()


def test_what_is_kept_too_late_is_not_kept(store, store_url):
    """Whoever waited for a lock longer than for the answer has been told to try again."""
    store.add("ann", [review(0)], {}, E)
    engine = sa.create_engine(store_url)
    before = DEADLINE.set(Deadline(0.2))
    with engine.connect() as connection:
        connection.execute(sa.text("UPDATE users SET nickname = 'x'"))
        threading.Timer(0.5, connection.rollback).start()
        with pytest.raises(Busy):
            store.add("ann", [review(1)], {}, E)
    DEADLINE.reset(before)
    assert [each.review_id for each in store.find("ann", 9, E).reviews] == ["r0"]
    assert store.add("ann", [review(1)], {}, E) == 2
    engine.dispose()


@pytest.mark.parametrize("end", ["-wal", "-shm"])
def test_a_log_that_is_deleted_while_it_is_in_use_loses_nothing(tmp_path, end):
    script = (
        "import sys\n"
        "from rec_sys.serving.user_store import *\n"
        "store = UserStore('sqlite:///users.db')\n"
        "for line in sys.stdin:\n"
        "    try:\n"
        "        store.add('ann', [WrittenReview(line.strip(), text='x')], {}, 'e')\n"
        "        print('kept', flush=True)\n"
        "    except StoreUnavailable as error:\n"
        "        print(error.is_lasting, error, flush=True)\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    writer = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, **pipes)

    def add(review_id):
        writer.stdin.write(f"{review_id}\n")
        writer.stdin.flush()
        return writer.stdout.readline()

    assert add("r0") == "kept\n"
    (tmp_path / f"users.db{end}").unlink()
    for _ in range(2):
        told = add("r1")
        assert (
            told.startswith("True") and f"users.db{end}: was deleted, emptied or replaced" in told
        )
    os.kill(writer.pid, signal.SIGKILL)
    writer.communicate(timeout=30)
    again = UserStore(f"sqlite:///{tmp_path / 'users.db'}")
    assert [each.review_id for each in again.find("ann", 9, E).reviews] == ["r0"]
    assert again.add("ann", [review(1)], {}, E) == 2
    again.close()


def test_a_database_that_is_damaged_while_it_is_in_use(tmp_path):
    path = tmp_path / "users.db"
    store = UserStore(f"sqlite:///{path}")
    store.add("ann", [review(number, text="x" * 4000) for number in range(50)], {}, E)
    store.close()  # what is in the log is in the database now
    store = UserStore(f"sqlite:///{path}")
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * (path.stat().st_size - 8192))
    with pytest.raises(StoreUnavailable) as told:
        store.find("ann", 100, E)
    assert told.value.is_lasting


def test_nothing_of_what_is_deleted_stays_in_the_files(tmp_path):
    store = UserStore(f"sqlite:///{tmp_path / 'users.db'}")
    store.add("ann", [review(0, text="my secret words")], {}, E)
    store.add("bob", [review(0)], {}, E)
    found = [path for path in tmp_path.iterdir() if b"my secret" in path.read_bytes()]
    assert found
    assert store.forget("ann")
    assert not [path for path in tmp_path.iterdir() if b"my secret" in path.read_bytes()]
    assert sqlite3.connect(tmp_path / "users.db").execute("PRAGMA quick_check").fetchone() == (
        "ok",
    )
    store.close()


def test_what_a_backup_still_reads_is_gone_after_it(tmp_path):
    store = UserStore(f"sqlite:///{tmp_path / 'users.db'}", seconds=30)
    store.add("ann", [review(0, text="my secret words")], {}, E)
    backup = sqlite3.connect(tmp_path / "users.db")
    backup.execute("BEGIN")
    backup.execute("SELECT * FROM reviews").fetchall()
    started = time.monotonic()
    assert store.forget("ann")
    store.check()
    store.add("bob", [review(0)], {}, E)
    assert time.monotonic() < started + 15  # nobody waits for the backup
    assert [path for path in tmp_path.iterdir() if b"my secret" in path.read_bytes()]
    backup.close()
    store.check()
    assert not [path for path in tmp_path.iterdir() if b"my secret" in path.read_bytes()]
    store.close()


def test_nobody_else_on_the_machine_reads_the_file(tmp_path):
    before = os.umask(0o022)
    try:
        store = UserStore(f"sqlite:///{tmp_path / 'users.db'}")
        store.add("ann", [review(0)], {}, E)
        assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}
        store.close()
    finally:
        os.umask(before)


def test_postgresql_keeps_every_letter_or_is_refused(postgresql_url):
    store = UserStore(f"{postgresql_url}?client_encoding=latin1&prepare_threshold=0")
    store.add("ann", [replace(review(0), text="é 音 🎸")], {}, E)
    (kept,) = store.find("ann", 1, E).reviews
    assert kept.text == "é 音 🎸"
    store.close()
    base, _, name = postgresql_url.replace("+psycopg", "").rpartition("/")
    import psycopg

    with psycopg.connect(f"{base}/postgres", autocommit=True) as connection:
        how = "ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
        connection.execute(f"CREATE DATABASE {name}_latin {how}")
    with pytest.raises(InputError, match="cannot be opened .*LATIN1"):
        UserStore(f"{postgresql_url}_latin")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("ALTER {} TYPE integer USING 1", "modify type rating"),
        ("ALTER {} TYPE numeric(2, 1)", "modify type rating"),
        ("ALTER {} SET NOT NULL", "modify nullable rating"),
        ("ADD UNIQUE ({})", "remove constraint reviews_rating_key"),
        ("DROP {}", "add column rating|another program's"),
    ],
)
def test_columns_that_somebody_has_changed_are_refused(postgresql_url, change, told):
    UserStore(postgresql_url).close()
    engine = sa.create_engine(postgresql_url)
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE reviews " + change.format("rating")))
    engine.dispose()
    with pytest.raises(InputError, match=f"table reviews is .*({told})"):
        UserStore(postgresql_url)


@pytest.mark.parametrize("column", ["reviews.text", "reviews.user_id", "users.id"])
def test_columns_too_narrow_for_what_is_kept_are_refused(postgresql_url, column):
    UserStore(postgresql_url).close()
    engine = sa.create_engine(postgresql_url)
    table, _, name = column.partition(".")
    with engine.begin() as connection:
        connection.execute(sa.text(f"ALTER TABLE {table} ALTER {name} TYPE varchar(900)"))
    engine.dispose()
    with pytest.raises(InputError, match=rf"table {table} is .*\(modify type {name}\)"):
        UserStore(postgresql_url)


def test_of_foreign_indexes_only_one_that_forbids_something_is_refused(store_url):
    UserStore(store_url).close()
    engine = sa.create_engine(store_url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE INDEX faster ON reviews (product_id)"))
    store = UserStore(store_url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE UNIQUE INDEX once ON reviews (text)"))
    store.add("ann", [review(0)], {}, E)  # that somebody can write proves nothing
    with pytest.raises(StoreUnavailable, match="remove index once") as found:
        store.check()
    assert found.value.is_lasting
    store.close()
    engine.dispose()
    with pytest.raises(InputError, match=r"table reviews is .*\(remove index once\)"):
        UserStore(store_url)


def test_a_database_that_is_writable_again_is_written_to(postgresql_url):
    engine, name = sa.create_engine(postgresql_url), sa.make_url(postgresql_url).database
    store = UserStore(postgresql_url)

    def make_writable(is_writable):
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            read_only = "off" if is_writable else "on"
            connection.execute(sa.text("SET default_transaction_read_only = off"))
            how = f"ALTER DATABASE {name} SET default_transaction_read_only = {read_only}"
            connection.execute(sa.text(how))

    make_writable(False)
    store._engine.dispose()
    with pytest.raises(StoreUnavailable, match="read-only") as found:
        store.add("ann", [review(0)], {}, E)
    assert found.value.is_lasting
    make_writable(True)
    assert store.add("ann", [review(0)], {}, E) == 1
    store.close()
    engine.dispose()


def test_a_database_that_has_gone_is_no_reason_to_try_again(postgresql_url):
    store = UserStore(postgresql_url)
    store.close()
    base, _, name = postgresql_url.replace("+psycopg", "").rpartition("/")
    import psycopg

    with psycopg.connect(f"{base}/postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name}")
    with pytest.raises(StoreUnavailable, match="does not exist") as found:
        store.check()
    assert found.value.is_lasting


def test_what_a_rule_of_somebody_else_says_is_not_told(postgresql_url):
    store, engine = UserStore(postgresql_url), sa.create_engine(postgresql_url)
    body = "BEGIN RAISE EXCEPTION 'no: %', NEW.text; END"
    rule = f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $${body}$$"
    with engine.begin() as connection:
        connection.execute(sa.text(rule))
        when = "BEFORE INSERT ON reviews FOR EACH ROW"
        connection.execute(sa.text(f"CREATE TRIGGER t {when} EXECUTE FUNCTION refuse()"))
    with pytest.raises(StoreUnavailable, match="SQLSTATE P0001") as found:
        store.add("ann", [replace(review(0), text="my secret")], {}, E)
    assert "secret" not in str(found.value)
    store.close()
    engine.dispose()


def test_a_database_that_changes_no_person_is_refused(postgresql_url):
    UserStore(postgresql_url).close()
    engine = sa.create_engine(postgresql_url)
    with engine.begin() as connection:
        rule = "CREATE RULE same AS ON UPDATE TO users DO INSTEAD NOTHING"
        connection.execute(sa.text(rule))
    engine.dispose()
    with pytest.raises(InputError, match="does not keep"):
        UserStore(postgresql_url)


def test_a_column_that_was_changed_and_changed_back_is_a_reason_to_try_again(postgresql_url):
    store, engine = UserStore(postgresql_url, connections=1), sa.create_engine(postgresql_url)
    store.add("ann", [review(0)], {}, E)
    for kind in ("numeric", "double precision"):
        with engine.begin() as connection:
            connection.execute(sa.text(f"ALTER TABLE reviews ALTER rating TYPE {kind}"))
        if kind == "numeric":
            for _ in range(10):  # psycopg prepares what is asked often
                store.find("ann", 1, E)
    with pytest.raises(StoreUnavailable, match="cached plan") as found:
        store.find("ann", 1, E)
    assert not found.value.is_lasting
    assert store.find("ann", 1, E).reviews[0].rating == 4.5
    store.close()
    engine.dispose()


def test_one_person_is_deleted_and_written_to_at_once(store):
    def write(_):
        for number in range(10):
            store.add("ann", [review(number)], {}, E)

    def forget(_):
        for _ in range(10):
            store.forget("ann")

    at_once(lambda do: do(0), [write, forget] * 2)  # nobody is told that the store does not answer


def test_options_of_an_address_are_not_passed_over(postgresql_url):
    with pytest.raises(InputError, match="cannot be opened .*no_such_option"):
        UserStore(f"{postgresql_url}?options=-c%20no_such_option%3D1")


@pytest.mark.parametrize(("theirs", "ours"), [("off", "on"), ("remote_apply", "remote_apply")])
def test_what_is_kept_is_on_disk_whatever_the_database_asks_of_itself(postgresql_url, theirs, ours):
    store, engine = UserStore(postgresql_url), sa.create_engine(postgresql_url)
    noting = "INSERT INTO elsewhere.told VALUES (current_setting('synchronous_commit'))"
    with engine.begin() as connection:
        for statement in (
            f"ALTER DATABASE {engine.url.database} SET synchronous_commit={theirs}",
            "CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.told (setting text)",
            "CREATE FUNCTION elsewhere.note() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN {noting}; RETURN NEW; END $$",
            "CREATE TRIGGER noting BEFORE INSERT ON reviews"
            " FOR EACH ROW EXECUTE FUNCTION elsewhere.note()",
        ):
            connection.exec_driver_sql(statement)
    store._engine.dispose()  # new connections alone have a database's new settings
    store.add("ann", [review(0)], {}, E)
    with engine.connect() as connection:
        told = connection.exec_driver_sql("SELECT DISTINCT setting FROM elsewhere.told")
        assert told.scalars().all() == [ours]
    engine.dispose()
    store.close()


def test_postgresql_that_has_gone_is_no_fault(postgresql_url):
    store = UserStore(postgresql_url, seconds=1)
    store.add("ann", [review(0)], {}, E)
    base, _, name = postgresql_url.replace("+psycopg", "").rpartition("/")
    import psycopg

    with psycopg.connect(f"{base}/postgres", autocommit=True) as connection:
        connection.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )
    assert store.add("ann", [review(1)], {}, E) == 2  # on another connection
    with psycopg.connect(f"{base}/{name}", autocommit=True) as connection:
        connection.execute("DROP TABLE reviews")
    with pytest.raises(StoreUnavailable) as told:
        store.find("ann", 1, E)
    assert told.value.is_lasting
    store.close()


def test_a_frozen_postgresql_is_left_alone(postgresql_url):
    store = UserStore(postgresql_url, seconds=0.5)
    store.add("ann", [review(0)], {}, E)
    with store._engine.connect() as connection:
        ours = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
    postmaster = int(Path(f"/proc/{ours}/stat").read_text().rpartition(")")[2].split()[1])
    frozen = [
        postmaster,
        *map(int, Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()),
    ]
    for each in frozen:
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGSTOP)
    try:
        waited = [seconds_until_told(store) for _ in range(3)]
        assert waited[0] < 5 and max(waited[1:]) < 0.1
        time.sleep(0.6)
        tries = at_once(lambda _: how_long(store), range(4))
        assert sorted(tries)[-2] < 0.1  # one tries again, and the others do not wait with it
    finally:
        for each in frozen:
            with suppress(ProcessLookupError):  # a worker that has ended
                os.kill(each, signal.SIGCONT)
    time.sleep(0.6)
    assert store.add("ann", [review(1)], {}, E) == 2
    store.close()


def how_long(store):
    started = time.monotonic()
    with suppress(StoreUnavailable):
        store.check()
    return time.monotonic() - started


def test_a_store_whose_tables_have_gone_is_not_ready(store_url):
    store = UserStore(store_url)
    store.check()
    with sa.create_engine(store_url).begin() as connection:
        connection.execute(sa.text("ALTER TABLE reviews RENAME TO others"))
    with pytest.raises(StoreUnavailable):
        store.check()
    store.close()


@pytest.mark.parametrize(
    "damage",
    [
        *("text = x'ff00'", "rating = 'many'", "time = 'soon'"),
        *("rating = 9e999", "rating = -3", "time = 1000000000000"),
    ],
)
def test_rows_that_another_program_has_written_are_told(tmp_path, damage):
    path = tmp_path / "users.db"
    store = UserStore(f"sqlite:///{path}")
    store.add("ann", [review(0)], {"fine": VECTOR}, E)
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE reviews SET {damage}")
    for ask in (lambda: store.find("ann", 9, E), lambda: list(store.everything_of("ann"))):
        with pytest.raises(StoreUnavailable):
            ask()
    store.close()


def test_a_nickname_that_is_no_text_is_told(tmp_path):
    path = tmp_path / "users.db"
    store = UserStore(f"sqlite:///{path}")
    store.add("ann", [review(0)], {}, E, "Ann")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE users SET nickname = x'ff00'")
    with pytest.raises(StoreUnavailable):
        store.find("ann", 0, E)
    store.close()


@pytest.mark.parametrize("numbers", ["010203", "007e" * len(VECTOR), "007c" * len(VECTOR)])
def test_a_vector_of_what_are_no_numbers_is_none(tmp_path, numbers):
    path = tmp_path / "users.db"
    store = UserStore(f"sqlite:///{path}")
    store.add("ann", [review(0)], {"fine": VECTOR}, E)
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE reviews SET vector = x'{numbers}'")
    assert store.find("ann", 9, E).vectors == {}
    store.close()


@pytest.mark.parametrize("rule", ["ABORT, 'does not keep'", "IGNORE"])
def test_a_rule_of_somebody_else_is_no_fault_of_the_service(tmp_path, rule):
    path = tmp_path / "users.db"
    store = UserStore(f"sqlite:///{path}")
    rule = f"CREATE TRIGGER none BEFORE INSERT ON reviews BEGIN SELECT RAISE({rule}); END"
    with sqlite3.connect(path) as connection:
        connection.execute(rule)
    with pytest.raises(StoreUnavailable, match="does not keep") as told:
        store.add("ann", [review(0)], {}, E)
    assert told.value.is_lasting
    with pytest.raises(StoreUnavailable, match="does not keep"):
        store.check()
    store.close()
    with pytest.raises(InputError, match="users.db.*does not keep"):
        UserStore(f"sqlite:///{path}")


def test_a_pipe_is_no_database(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe: is no regular file"):
        UserStore(f"sqlite:///{tmp_path / 'pipe'}")
