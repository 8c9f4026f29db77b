"""People of the data set whom a visitor of the page can pick."""

from typing import Any

import numpy as np
import pandas as pd

from rec_sys.reviews.schema import ReviewData

# Enough reviews for a taste to show, few enough to be read.
_FEWEST_REVIEWS, _MOST_REVIEWS = 3, 6
_FIELDS = {
    "review_id": "reviewID",
    "product_id": "asin",
    "text": "TextReview",
    "rating": "rating",
    "timestamp": "time",
}


def demo_people(data: ReviewData, number: int) -> list[dict[str, Any]]:
    """Chooses people who differ: each next one mostly reviewed another style than those before.

    Args:
        data: The data set.
        number: How many, at most.

    Returns:
        For each person ``nickname`` and ``reviews``, with the field names of the service's API.
    """
    products = data.products.set_index("product_id")
    reviews = data.reviews[data.reviews["text"] != ""]
    reviews = reviews.assign(
        product_name=products["name"].reindex(reviews["product_id"]).to_numpy(),
        product_style=products["style"].reindex(reviews["product_id"]).to_numpy(),
    )
    counts = reviews.groupby("user_id").size()
    counts = counts[(counts >= _FEWEST_REVIEWS) & (counts <= _MOST_REVIEWS)]
    own = reviews[reviews["user_id"].isin(counts.index)]
    # A person's style is the one that they reviewed most, and how clearly they did.
    styles = own.groupby(["user_id", "product_style"]).size().rename("reviews").reset_index()
    styles["share"] = styles["reviews"] / counts.reindex(styles["user_id"]).to_numpy()
    styles = styles.sort_values(["share", "user_id"], ascending=[False, True], kind="stable")
    styles = styles.drop_duplicates("user_id")
    # Round after round, one person of each style.
    turn = styles.groupby("product_style").cumcount().to_numpy()
    chosen = styles.iloc[np.argsort(turn, kind="stable")]["user_id"].head(number)
    return [_person(user, own[own["user_id"] == user]) for user in chosen]


def _person(user_id: str, reviews: pd.DataFrame) -> dict[str, Any]:
    nicknames = reviews["nickname"].dropna()
    return {
        "nickname": nicknames.iloc[-1] if len(nicknames) else user_id,
        "reviews": [_review(row) for row in reviews.to_dict("records")],
    }


def _review(row: dict[str, Any]) -> dict[str, Any]:
    told = {ours: row[name] for name, ours in _FIELDS.items() if pd.notna(row[name])}
    if "time" in told:
        told["time"] = int(told["time"].timestamp())
    if row["product_name"]:
        told["ProductName"] = row["product_name"]
    if row["product_style"]:
        told["Style"] = row["product_style"]
    return told
