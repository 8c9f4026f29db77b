/** What the page knows about the person. It survives a reload and ends with the tab. */

import { keep, kept } from "./storage.js";

const KEY = "rec_sys.person";
const EMPTY = Object.freeze({
  ...{ wish: "", person: null, reviews: [], excluded: [], style: "", k: 10 },
});

function restored() {
  try {
    const state = JSON.parse(kept(KEY)) ?? {};
    if (!Array.isArray(state.reviews) || !Array.isArray(state.excluded)) return EMPTY;
    return { ...EMPTY, ...state };
  } catch (error) {
    if (error instanceof SyntaxError) return EMPTY;
    throw error;
  }
}

/** A review as the service takes it: fields that the person left empty are left out. */
function toWire(review) {
  const wire = { reviewID: review.id };
  for (const name of ["asin", "ProductName", "Style", "rating", "TextReview", "time"]) {
    const value = review[name];
    if (value !== null && value !== undefined && value !== "") wire[name] = value;
  }
  return wire;
}

/**
 * Holds the wish, the reviews, what is hidden and the filters; "change" is dispatched after each change.
 *
 * A review is {id, asin, ProductName, Style, rating, TextReview, time}; all but `id` may be null.
 */
export class Store extends EventTarget {
  constructor() {
    super();
    this.state = restored();
  }

  /** Replaces some fields. Returns the state before, for `undo`. */
  update(changes) {
    const before = this.state;
    this.state = { ...before, ...changes };
    keep(KEY, JSON.stringify(this.state));
    this.dispatchEvent(new Event("change"));
    return before;
  }

  /** Takes somebody's reviews as the service lists them; the wish and the filters stay. */
  borrow(nickname, reviews) {
    const taken = reviews.map((review, index) => ({
      id: review.reviewID ?? `borrowed-${index + 1}`,
      asin: review.asin ?? null,
      ProductName: review.ProductName ?? "",
      Style: review.Style ?? null,
      rating: review.rating ?? null,
      TextReview: review.TextReview ?? "",
      time: review.time ?? null,
    }));
    return this.update({ person: nickname, reviews: taken, excluded: [] });
  }

  /** Adds the review, newest first, or replaces the one with its id. */
  saveReview(review) {
    const { reviews } = this.state;
    const known = reviews.some(({ id }) => id === review.id);
    return this.update({
      reviews: known
        ? reviews.map((other) => (other.id === review.id ? review : other))
        : [review, ...reviews],
    });
  }

  removeReview(id) {
    return this.update({ reviews: this.state.reviews.filter((review) => review.id !== id) });
  }

  /** Words that are no review are part of the wish. */
  addToWish(words, id) {
    const { wish, reviews } = this.state;
    const said = [wish.trim(), words].filter(Boolean).join(" ");
    return this.update({ wish: said, reviews: reviews.filter((review) => review.id !== id) });
  }

  exclude({ asin, ProductName }) {
    return this.update({ excluded: [...this.state.excluded, { asin, ProductName }] });
  }

  include(asin) {
    return this.update({ excluded: this.state.excluded.filter((other) => other.asin !== asin) });
  }

  startOver() {
    return this.update(EMPTY);
  }

  /** What POST /recommendations takes. */
  request() {
    const { wish, reviews, excluded, style, k } = this.state;
    const body = { reviews: reviews.map(toWire), k };
    if (wish.trim()) body.wish = wish.trim();
    if (style) body.style = style;
    if (excluded.length) body.exclude = excluded.map(({ asin }) => asin);
    return body;
  }
}
