"""Answers the service's contract with invented products, to develop and test the page against.

    python tests/helpers/fake_service.py --port 8000

Words in a review make it answer otherwise: ``#popular``, ``#degraded``, ``#slow``, ``#413``,
``#422``, ``#500``, ``#503`` (twice, then it recovers), ``#401`` (until the key ``secret`` comes).
"""

import argparse
import asyncio
import math
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from rec_sys.reviews.demo import CATEGORIES, invent_products, invent_reviews, invent_users

PAGE = Path(__file__).parents[2] / "rec_sys" / "serving" / "page"
NUM_PRODUCTS, NUM_USERS, SEED = 300, 40, 3
MARKUP_NAME = '<b>Bold</b> & "quoted" <img src=x onerror=alert(1)> Kazoo'
LONG_NAME = "Wrenfold Lantern " + "Extraordinarily-Long-Named-" * 7 + "Ukulele With a Case"
POLICY = "default-src 'self'"
BUSY_TIMES = 2
DISLIKED = 2


def noise(text: str) -> float:
    """A number in -1...1 that depends on the text alone."""
    return zlib.crc32(text.encode()) / 2**31 - 1


def catalogue() -> list[dict[str, Any]]:
    users, invented = invent_users(NUM_USERS, SEED), invent_products(NUM_PRODUCTS, SEED)
    reviews = Counter(r["asin"] for r in invent_reviews(users, invented, 30, SEED))
    products = []
    for number, product in enumerate(invented):
        angle = 2 * math.pi * product.shelf / len(CATEGORIES)
        place = {
            "x": 0.62 * math.cos(angle) + 0.3 * noise(product.asin + "x"),
            "y": 0.62 * math.sin(angle) + 0.3 * noise("y" + product.asin),
        }
        products.append(
            {
                "asin": product.asin,
                "ProductName": {5: MARKUP_NAME, 17: LONG_NAME}.get(number, product.name),
                "Style": CATEGORIES[product.shelf].style,
                "num_reviews": reviews[product.asin],
                "mean_rating": 3.5 + noise(product.asin),
                "place": place,
            }
        )
    return products


PRODUCTS = catalogue()
BY_ASIN = {product["asin"]: product for product in PRODUCTS}
STYLES = sorted({product["Style"] for product in PRODUCTS})
app = FastAPI()
app.state.busy = 0


def listed(product: dict[str, Any], *names: str, **more: Any) -> dict[str, Any]:
    return {name: product[name] for name in ("asin", "ProductName", "Style", *names)} | more


def apart(one: dict[str, float], other: dict[str, float]) -> float:
    return math.hypot(one["x"] - other["x"], one["y"] - other["y"])


@app.middleware("http")
async def with_policy(request: Request, call_next):
    response = await call_next(request)
    response.headers["Content-Security-Policy"] = POLICY
    return response


def refuse(words: str, reviews: list[dict[str, Any]], key: str | None) -> JSONResponse | None:
    """The answer that a word in a review asks for."""
    if "#401" in words and key != "secret":
        return JSONResponse({"detail": "X-API-Key is missing or wrong"}, 401)
    if "#413" in words:
        return JSONResponse({"detail": "the body is too large"}, 413)
    if "#500" in words:
        return JSONResponse({"detail": "Internal Server Error"}, 500)
    if "#503" in words and app.state.busy < BUSY_TIMES:
        app.state.busy += 1
        return JSONResponse({"detail": "Too many people at once."}, 503, {"Retry-After": "2"})
    wrong = [n for n, review in enumerate(reviews) if "#422" in review.get("TextReview", "")]
    if wrong:
        message = "This text cannot be read: please take out “#422”."
        detail = [{"field": f"reviews.{n}.TextReview", "message": message} for n in wrong]
        return JSONResponse({"detail": detail}, 422)
    return None


def matched(wish: str, product: dict[str, Any]) -> list[str]:
    """The words of the wish that the product's name has."""
    name = product["ProductName"].lower().split()
    return [word for word in dict.fromkeys(wish.lower().split()) if word in name]


def match_of(wish: str, product: dict[str, Any]) -> dict[str, Any] | None:
    """Why a product fits a wish, with what somebody wrote."""
    if not wish:
        return None
    words = matched(wish, product)
    if not words:
        return {"weight": 0.1, "words": [], "quote": None}
    quote = {"text": f"This {words[0]} is a joy, evening by evening.", "rating": 5.0}
    return {"weight": 0.9, "words": words, "quote": quote}


def place_of(reviews: list[dict[str, Any]]) -> dict[str, float]:
    """Liked products pull, disliked ones push, and words move a little."""
    x = y = total = 0.0
    for review in reviews:
        pull = (review.get("rating") or 4) - 2.5
        text = review.get("TextReview", "") + review.get("ProductName", "")
        known = BY_ASIN.get(review.get("asin"))
        at = known["place"] if known else {"x": noise(text), "y": noise("y" + text)}
        x += pull * at["x"] + 0.1 * noise(text)
        y += pull * at["y"] + 0.1 * noise("y" + text)
        total += abs(pull)
    return {"x": x / total, "y": y / total} if total else {"x": 0.0, "y": 0.0}


def item(
    product: dict, place: dict, reviews: list[dict], is_popular: bool, wish: str
) -> dict[str, Any]:
    distance = apart(product["place"], place)
    liked = [review for review in reviews if (review.get("rating") or 4) > DISLIKED]
    near = [(1 + noise(product["asin"] + r["reviewID"]) + 0.05, r) for r in liked]
    near = sorted(near, key=lambda pair: -pair[0])[:3]
    total = sum(weight for weight, _ in near)
    because = [
        {
            "reviewID": review["reviewID"],
            "ProductName": review.get("ProductName", ""),
            "text": review.get("TextReview", "")[:160],
            "weight": weight / total,
        }
        for weight, review in near
    ]
    first = because[0]["ProductName"] if because else ""
    reason = f"It goes well with {first or 'what you wrote'}, which you told us about."
    return listed(
        product,
        "place",
        score=-distance,
        contributions={"popularity": 0.5, "network": -distance - 0.5},
        predicted_rating=max(0.0, min(5.0, 4.9 - distance + 0.3 * noise(product["asin"]))),
        reason="Popular: many people have reviewed it." if is_popular else reason,
        because=[] if is_popular else because,
        match=match_of(wish, product),
    )


@app.post("/recommendations")
async def recommendations(request: Request):
    body = await request.json()
    reviews, wish = body["reviews"], body.get("wish", "")
    words = " ".join(review.get("TextReview", "") for review in reviews)
    refusal = refuse(words, reviews, request.headers.get("X-API-Key"))
    if refusal is not None:
        return refusal
    app.state.busy = 0
    await asyncio.sleep(1.5 if "#slow" in words else 0.0)
    is_popular = not (reviews or wish) or "#popular" in words
    place = place_of([] if is_popular else reviews)
    left_out = {review.get("asin") for review in reviews} | set(body.get("exclude", []))
    open_to = [p for p in PRODUCTS if p["asin"] not in left_out]
    open_to = [p for p in open_to if body.get("style") in (None, p["Style"])]
    open_to.sort(key=lambda p: -p["num_reviews"] if is_popular else apart(p["place"], place))
    open_to.sort(key=lambda p: -len(matched(wish, p)))
    person = {
        "id": None,
        "nickname": None,
        "fallback": "popular" if is_popular else None,
        "explanation": "We know nothing about you yet, so we show what many people turn to."
        if is_popular
        else None,
        "place": place,
        "recommendations": [
            item(p, place, reviews, is_popular, wish) for p in open_to[: body["k"]]
        ],
        "wish": wish,
    }
    degraded = "#degraded" in words
    return {"backend": "onnx", "degraded": degraded, "model": "0123456789ab", "people": [person]}


@app.get("/products/search")
async def search(q: str, k: int = 10, style: str | None = None):
    wanted = q.lower().split()

    def fits(product: dict[str, Any]) -> bool:
        words = product["ProductName"].lower().split()
        return all(any(word.startswith(part) for word in words) for part in wanted)

    found = sorted(filter(fits, PRODUCTS), key=lambda p: -p["num_reviews"])
    found = [p for p in found if style in (None, p["Style"])]
    return {"products": [listed(p, "num_reviews", "mean_rating") for p in found[:k]]}


@app.get("/products/{asin}/similar")
async def similar(asin: str, k: int = 10):
    if asin not in BY_ASIN:
        raise HTTPException(404, "There is no such product.")
    product = BY_ASIN[asin]
    others = [p for p in PRODUCTS if p["asin"] != asin]
    others.sort(key=lambda p: apart(p["place"], product["place"]))
    near = [
        listed(p, "place", similarity=1 / (1 + apart(p["place"], product["place"])))
        for p in others[:k]
    ]
    return {"asin": asin, "ProductName": product["ProductName"], "products": near}


@app.get("/styles")
async def styles():
    return {"styles": STYLES}


@app.get("/map")
async def product_map():
    products = [listed(p, **p["place"]) for p in PRODUCTS]
    places = {style: p["place"] for p in PRODUCTS for style in [p["Style"]]}
    regions = [{"label": style.lower()} | place for style, place in places.items()]
    return {"products": products, "regions": regions, "shown": len(products), "of": len(products)}


@app.get("/wishes")
async def wishes():
    return {"wishes": ["ukulele", "digital piano", "cajon", "violin"]}


@app.get("/people")
async def people():
    users = invent_users(NUM_USERS, SEED)[:6]
    reviews = invent_reviews(users, invent_products(NUM_PRODUCTS, SEED), 5, SEED)
    by_name = {user.nickname: [r for r in reviews if r["userID"] == user.user_id] for user in users}
    fields = ("reviewID", "nickname", "ProductName", "TextReview", "Style", "asin", "rating")
    return {
        "people": [
            {"nickname": name, "reviews": [{f: r[f] for f in fields} for r in written]}
            for name, written in by_name.items()
        ]
    }


@app.get("/")
async def page():
    return FileResponse(PAGE / "index.html")


app.mount("/static", StaticFiles(directory=PAGE))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    uvicorn.run(app, host="127.0.0.1", port=arguments.port, log_level="warning")


if __name__ == "__main__":
    main()
