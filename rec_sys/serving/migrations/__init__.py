"""Versions of the store's tables: ``versions`` leads from each to the next, by Alembic."""

from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.util import CommandError

from rec_sys.foundation.errors import InputError

#: Tables of Alembic's usual name may be those of another program.
VERSION_TABLE = "rec_sys_version"
# Of nobody else's lock in the database.
_LOCK = 0x5EC5_75
_LOCK_STATEMENTS = {
    "sqlite": ("BEGIN IMMEDIATE",),
    # What is changed may take longer than a statement of the service.
    "postgresql": (f"SELECT pg_advisory_xact_lock({_LOCK})", "SET LOCAL statement_timeout = 0"),
}


def migrate(engine: sa.Engine) -> None:
    """Brings the tables to the newest version, one process at a time; all of it or nothing. Raises
    InputError if another version of rec_sys made them."""
    name = engine.dialect.name
    with engine.connect() as connection:
        if name == "sqlite":  # whose driver would begin a transaction later, and end it earlier
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        for statement in _LOCK_STATEMENTS.get(name, ()):
            connection.exec_driver_sql(statement)
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
        try:
            command.upgrade(config, "head")
        except CommandError:
            why = "another version of rec_sys made its tables"
            then = "use that one, or name another database"
            raise InputError(f"serving.store={engine.url.set(query={})!r}: {why}; {then}") from None
        connection.commit()


def changes_to(connection: sa.Connection, metadata: sa.MetaData) -> Iterator[tuple[str, str]]:
    """What somebody else has changed in these tables: yields the table, and what would undo it, in
    Alembic's words. An index that only makes something faster is no change."""

    def is_ours(name: str | None, kind: str, parents: object) -> bool:
        return kind != "table" or name in metadata.tables

    context = MigrationContext.configure(connection, opts={"include_name": is_ours})
    for found in compare_metadata(context, metadata):
        # A list is of changes to one column.
        kind, *about = found[0] if isinstance(found, list) else found
        what = kind.replace("_", " ")
        if kind.endswith("column") or kind.startswith("modify"):
            yield about[1], f"{what} {getattr(about[2], 'name', about[2])}"
        elif kind.endswith("_table"):
            yield about[0].name, what
        elif kind != "remove_index" or about[0].unique:
            yield about[0].table.name, f"{what} {about[0].name}"
