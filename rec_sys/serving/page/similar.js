/** The products that are like one of the suggestions, loaded when somebody asks. */

import { Problem, similarProducts } from "./api.js";
import { bar } from "./card.js";
import { button, el } from "./dom.js";

const SHOWN = 5;
const PERCENT = 100;
const MESSAGES = {
  missing: "We know of nothing similar.",
  network: "We cannot reach the service. Please try again.",
  busy: "The service is busy. Please try again in a moment.",
};

/** Remembers what is open, so that a new list of suggestions leaves it open. */
export class Similar {
  constructor(onAdd, onChange) {
    this.onAdd = onAdd;
    this.onChange = onChange;
    this.open = new Map();
  }

  async toggle(asin) {
    if (this.open.delete(asin)) {
      this.onChange();
      return;
    }
    const entry = { products: null, message: "Looking…" };
    this.open.set(asin, entry);
    this.onChange();
    try {
      entry.products = await similarProducts(asin, SHOWN);
      entry.message = entry.products.length ? "" : MESSAGES.missing;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      entry.message = MESSAGES[error.kind] ?? "That did not work. Please try again.";
    }
    this.onChange();
  }

  /** The panel under a card, or null while it is closed. */
  panel(asin) {
    const entry = this.open.get(asin);
    if (!entry) return null;
    const rows = (entry.products ?? []).map((product) => this.row(product, asin));
    return el(
      "div",
      { class: "similar" },
      entry.message ? el("p", { class: "hint", role: "status" }, entry.message) : null,
      rows.length ? el("ul", {}, ...rows) : null,
    );
  }

  row(product, near) {
    const name = product.ProductName || "A product without a name";
    const percent = Math.round(product.similarity * PERCENT);
    return el(
      "li",
      {},
      bar(product.similarity, `${percent} percent alike`),
      el(
        "span",
        { class: "similar-name" },
        name,
        product.Style ? el("span", { class: "similar-style" }, product.Style) : null,
      ),
      button("I tried it", {
        iconName: "plus",
        class: "quiet small",
        label: `I tried it: ${name}`,
        key: `add ${product.asin} near ${near}`,
        onClick: () => this.onAdd(product),
      }),
    );
  }
}
