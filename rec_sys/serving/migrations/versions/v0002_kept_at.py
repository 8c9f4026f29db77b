"""When a review was kept, so that it can be deleted in time."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade() -> None:
    """Adds the column, empty for reviews from before it."""
    op.add_column("reviews", sa.Column("kept_at", sa.BigInteger))
