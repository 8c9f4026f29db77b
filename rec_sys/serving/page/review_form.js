/** The form that writes a new review or changes one. */

import { ProductSearch } from "./combobox.js";
import { byId, focusField } from "./dom.js";
import { announce, fieldError, toast } from "./messages.js";
import { StarChoice } from "./stars.js";

const ERRORS = {
  ProductName: ["product-error", "product"],
  rating: ["rating-error", null],
  TextReview: ["text-error", "text"],
};
/** Fields of the service that the form shows under another name. */
const SHOWN_AS = { asin: "ProductName", Style: "ProductName" };

/** Dispatches "saved" after a review went to the store. */
export class ReviewForm extends EventTarget {
  constructor(store) {
    super();
    this.store = store;
    this.editing = null;
    this.search = new ProductSearch(byId("product"), byId("product-options"));
    this.stars = new StarChoice(byId("stars"), byId("star-word"), byId("no-stars"));
    this.text = byId("text");
    this.search.addEventListener("choose", () => this.touched("ProductName"));
    this.stars.addEventListener("change", () => this.touched("rating"));
    this.text.addEventListener("input", () => this.touched("TextReview"));
    byId("review-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.save();
    });
    byId("cancel-edit").addEventListener("click", () => {
      this.clear();
      focusField(byId("product"), byId("form-title"));
    });
    store.addEventListener("change", () => this.forgetRemoved());
    this.touched("ProductName");
  }

  get isEmpty() {
    return !this.editing && !this.search.name && !this.stars.value && !this.text.value.trim();
  }

  /** Words alone say what somebody wants, not what they have tried. */
  get isWish() {
    return !this.search.name && !this.stars.value && this.text.value.trim() !== "";
  }

  /** Says under the fields what they stand for, and takes an old message away. */
  touched(field) {
    this.showErrors([{ field, message: "" }]);
    fieldError(byId("form-error"), null, "");
    const { product, name } = this.search;
    const known = product ? ["In our catalogue", product.Style].filter(Boolean).join(" · ") : "";
    byId("product-note").textContent =
      known || (name ? "Not chosen from our catalogue. That is fine: we go by the name." : "");
    byId("product-note").classList.toggle("good", Boolean(known));
    byId("text-note").textContent = this.isWish
      ? "Name the product or give stars to make this a review. Without, it is what you look for."
      : "";
    const save = this.editing ? "Save changes" : "Add review";
    byId("save-review").textContent = this.isWish ? "Look for this" : save;
  }

  save() {
    const text = this.text.value.trim();
    if (!text && !this.search.name) {
      const message = "Name a product or write a few words, so that we have something to go by.";
      fieldError(byId("form-error"), null, message);
      announce(message);
      byId("product").focus();
      return;
    }
    const wasEditing = this.editing !== null;
    if (this.isWish) {
      const before = this.store.addToWish(text, this.editing?.id);
      this.clear();
      focusField(byId("wish"), byId("recommendations"));
      toast("Taken as what you are looking for.", () => this.store.update(before));
      return;
    }
    const { product, name } = this.search;
    this.store.saveReview({
      id: this.editing?.id ?? crypto.randomUUID?.() ?? `mine-${Date.now()}`,
      asin: product?.asin ?? null,
      ProductName: name,
      Style: product?.Style ?? null,
      rating: this.stars.value,
      TextReview: text,
      time: this.editing?.time ?? new Date().toISOString(),
    });
    this.clear();
    focusField(byId("product"), byId("reviews-title"));
    announce(wasEditing ? "Review changed." : "Review added.");
    this.dispatchEvent(new Event("saved"));
  }

  /** Empties the form, ready for a new review. */
  clear() {
    this.load({}, null);
  }

  /** Opens a review; `focus` false leaves the person where they are. */
  edit(review, { focus = true } = {}) {
    this.putAside();
    this.load(review, review);
    if (focus) this.goTo(this.text);
  }

  /** Starts a review of this product. */
  about(product) {
    this.putAside();
    this.load({ ...product, rating: null, TextReview: "" }, null);
    this.goTo(this.stars.inputs[0]);
    announce(`Write a review of ${product.ProductName}.`);
  }

  /** What was begun and not saved can be brought back. */
  putAside() {
    const { text, stars, search, editing } = this;
    const unchanged = editing && editing.TextReview === text.value.trim();
    if (this.isEmpty || unchanged) return;
    const draft = {
      ...{ asin: search.product?.asin ?? null, Style: search.product?.Style ?? null },
      ...{ ProductName: search.name, rating: stars.value, TextReview: text.value },
    };
    toast("Your unfinished review was put aside.", () => {
      this.load(draft, editing);
      this.goTo(text);
    });
  }

  load(review, editing) {
    this.editing = editing;
    this.search.set(review);
    this.stars.value = review.rating ? Math.round(review.rating) : null;
    this.text.value = review.TextReview ?? "";
    for (const field of Object.keys(ERRORS)) this.touched(field);
    byId("form-title").textContent = editing ? "Change your review" : "Tell what you have tried";
    byId("cancel-edit").hidden = editing === null;
  }

  goTo(input) {
    byId("review-form").scrollIntoView({ block: "start" });
    input.focus({ preventScroll: true });
  }

  /** Messages of the service for the open review: [{field, message}]. */
  showErrors(errors) {
    for (const { field, message } of errors) {
      const [output, input] = ERRORS[SHOWN_AS[field] ?? field] ?? ["form-error", null];
      fieldError(byId(output), input && byId(input), message);
    }
  }

  forgetRemoved() {
    const { reviews } = this.store.state;
    if (this.editing && !reviews.some(({ id }) => id === this.editing.id)) this.clear();
  }
}
