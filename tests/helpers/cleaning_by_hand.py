"""Rows to clean, and what cleaning left of them."""

import pandas as pd

from rec_sys.reviews.cleaning import CleaningOptions, clean_reviews
from tests.helpers.review_samples import product_frame, review_frame


def at(second):
    return pd.Timestamp(second, unit="s", tz="UTC")


def review(user, product, rating=5.0, time=None, text="fine", **more):
    timestamp = None if time is None else at(time)
    fields = {"user_id": user, "product_id": product, "rating": rating, "text": text}
    return fields | {"timestamp": timestamp} | more


def clean(rows, products=None, **options):
    frame = None if products is None else product_frame(products)
    return clean_reviews(review_frame(rows), frame, CleaningOptions(**options))


def step(data, name):
    [found] = [step for step in data.report if step["step"] == name]
    return found


def ids(data):
    return data.reviews.review_id.tolist()


def pairs(data):
    return set(zip(data.reviews.user_id, data.reviews.product_id, strict=True))
