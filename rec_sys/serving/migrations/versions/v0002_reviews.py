"""People and their reviews."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", None  # what came before was never released
_TEXTS = ("review_id", "product_id", "product_name", "style", "text")


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "users", sa.Column("id", sa.Text, primary_key=True), sa.Column("nickname", sa.Text)
    )
    op.create_table(
        "reviews",
        # BIGINT does not count up by itself in SQLite.
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column(
            "user_id", sa.Text, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False
        ),
        *(sa.Column(name, sa.Text, nullable=False) for name in _TEXTS),
        sa.Column("rating", sa.Float),
        sa.Column("time", sa.BigInteger),
        sa.Column("vector", sa.LargeBinary),
        sa.Column("encoder", sa.String(64)),
        sa.Column("kept_at", sa.BigInteger),
        sa.UniqueConstraint("user_id", "review_id"),
    )
    op.create_index("reviews_of_user", "reviews", ["user_id", "time"])
