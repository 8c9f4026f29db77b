/** The person's reviews, each with what can be done to it. */

import { button, byId, el, icon, keepFocus } from "./dom.js";
import { toast } from "./messages.js";
import { starPicture } from "./stars.js";

const FIRST = 4;

/** `onEdit` is called with the review. */
export class ReviewList {
  constructor(store, onEdit) {
    this.store = store;
    this.onEdit = onEdit;
    this.problems = new Map();
    this.showAll = false;
    this.list = byId("reviews");
    byId("all-reviews").addEventListener("click", () => {
      this.showAll = !this.showAll;
      this.render();
    });
    store.addEventListener("change", () => this.render());
    this.render();
  }

  /** Messages of the service by review: Map of id -> [{field, message}]. */
  showProblems(problems) {
    this.problems = problems;
    this.render();
  }

  render() {
    const { reviews } = this.store.state;
    const shown = this.showAll
      ? reviews
      : reviews.filter(({ id }, index) => index < FIRST || this.problems.has(id));
    byId("review-count").textContent = reviews.length ? String(reviews.length) : "";
    byId("no-reviews").hidden = reviews.length > 0;
    const rows = shown.map((review) => this.row(review));
    keepFocus(this.list, () => this.list.replaceChildren(...rows));
    const more = byId("all-reviews");
    more.hidden = reviews.length <= FIRST;
    more.textContent = this.showAll ? "Show fewer" : `Show all ${reviews.length}`;
    more.setAttribute("aria-expanded", String(this.showAll));
  }

  row(review) {
    const name = review.ProductName || "Just words";
    const problems = this.problems.get(review.id) ?? [];
    return el(
      "li",
      { class: problems.length ? "review wrong" : "review", "data-review": review.id },
      el(
        "div",
        { class: "review-head" },
        el("p", { class: "review-name" }, name),
        review.rating ? starPicture(review.rating) : null,
      ),
      review.TextReview ? el("p", { class: "review-text" }, review.TextReview) : null,
      ...problems.map(({ message }) => el("p", { class: "error" }, icon("remove"), message)),
      el(
        "div",
        { class: "review-actions" },
        button("Edit", {
          iconName: "edit",
          class: "quiet small",
          label: `Edit your review of ${name}`,
          key: `edit ${review.id}`,
          onClick: () => this.onEdit(review),
        }),
        button("Remove", {
          iconName: "remove",
          class: "quiet small",
          label: `Remove your review of ${name}`,
          key: `remove ${review.id}`,
          onClick: () => this.remove(review, name),
        }),
      ),
    );
  }

  remove(review, name) {
    const before = this.store.removeReview(review.id);
    toast(`Removed your review of ${name}.`, () => this.store.update({ reviews: before.reviews }));
    byId("reviews-title").focus({ preventScroll: true });
  }
}
