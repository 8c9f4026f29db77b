/** The list of suggestions, what is hidden from it, and its loading state. */

import { card } from "./card.js";
import { button, byId, counted, el, keepFocus } from "./dom.js";
import { announce, toast } from "./messages.js";
import { Similar } from "./similar.js";

const SKELETONS = 4;
/** Stars that differ by less tell the products of a list apart no more. */
const SAME_STARS = 0.3;

/** What is to be said of the stars of a list at once; `isAll` if the cards need not say more. */
function starsInWords(items) {
  const stars = items.map((item) => item.predicted_rating).filter(Number.isFinite);
  const [least, most] = [Math.min(...stars), Math.max(...stars)];
  if (stars.length < 2 || most - least >= SAME_STARS) {
    return { isAll: false, words: stars.length ? "Stars are our guess for you; the order is what people turn to next" : "" };
  }
  const [low, high] = [least.toFixed(1), most.toFixed(1)];
  const range = low === high ? `about ${low}` : `between ${low} and ${high}`;
  return { isAll: true, words: `All ${range} stars for you, we guess` };
}

/** `on` has the handlers add(product), point(asin or null) and shown(items). */
export class Recommendations {
  constructor(store, on) {
    this.store = store;
    this.on = on;
    this.items = null;
    this.similar = new Similar(on.add, () => this.render());
    this.isOpen = new Set();
    this.list = byId("cards");
    this.section = byId("recommendations");
    store.addEventListener("change", () => this.render());
    this.render();
  }

  /** A request is on its way: what is there stays, faded a little. */
  loading(isLoading) {
    this.section.setAttribute("aria-busy", String(isLoading));
  }

  show(items) {
    this.items = items;
    this.render();
    const [best] = items;
    announce(
      best
        ? `${counted(items.length, "suggestion", "suggestions")}. First: ${best.ProductName}.`
        : "No suggestions.",
    );
  }

  /** There is nothing to wait for: skeletons would promise a list that does not come. */
  nothing() {
    this.items ??= [];
    this.render();
  }

  render() {
    this.renderHidden();
    if (this.items === null) {
      const waiting = () => el("li", { class: "card skeleton", "aria-hidden": "true" });
      this.list.replaceChildren(...Array.from({ length: SKELETONS }, waiting));
      return;
    }
    const hidden = new Set(this.store.state.excluded.map(({ asin }) => asin));
    const shown = this.items.filter(({ asin }) => !hidden.has(asin));
    const { isAll, words } = starsInWords(shown);
    // One sentence under each card says nothing about any of them.
    const isOwn = ({ match, because }) => match || because?.length;
    const hasReason = shown.some(isOwn) || new Set(shown.map(({ reason }) => reason)).size > 1;
    byId("range").textContent = words;
    const on = {
      add: this.on.add,
      point: this.on.point,
      similar: ({ asin }) => this.similar.toggle(asin),
      why: ({ asin }) => this.toggleWhy(asin),
      hide: (product) => this.hide(product, shown),
    };
    const cards = shown.map((item) =>
      card(item, {
        ...{ on, hasReason, hasStars: !isAll },
        isOpen: this.isOpen.has(item.asin),
        similar: this.similar.panel(item.asin),
      }),
    );
    keepFocus(this.list, () => this.list.replaceChildren(...cards));
    byId("nothing").hidden = shown.length > 0;
    byId("nothing").textContent = this.store.state.style
      ? "Nothing more to suggest in this category. Try another one."
      : "No suggestions right now.";
    this.on.shown(shown);
  }

  toggleWhy(asin) {
    if (!this.isOpen.delete(asin)) this.isOpen.add(asin);
    this.render();
  }

  hide(product, shown) {
    const next = shown[shown.findIndex(({ asin }) => asin === product.asin) + 1];
    this.store.exclude(product);
    toast(`Hidden: ${product.ProductName}.`, () => this.store.include(product.asin));
    const after = next && this.list.querySelector(`[data-asin="${CSS.escape(next.asin)}"]`);
    (after ?? this.section).focus({ preventScroll: true });
  }

  renderHidden() {
    const { excluded } = this.store.state;
    byId("hidden").hidden = excluded.length === 0;
    byId("hidden-title").textContent = `${counted(excluded.length, "product", "products")} hidden`;
    const rows = excluded.map(({ asin, ProductName }) =>
      el(
        "li",
        {},
        el("span", {}, ProductName || "A product without a name"),
        button("Show again", {
          class: "quiet small",
          label: `Show again: ${ProductName}`,
          key: asin,
          onClick: () => this.store.include(asin),
        }),
      ),
    );
    keepFocus(byId("hidden-list"), () => byId("hidden-list").replaceChildren(...rows));
  }

  /** Marks the card that belongs to a dot of the map. */
  highlight(asin) {
    for (const item of this.list.children) {
      item.classList.toggle("pointed", asin !== null && item.dataset.asin === asin);
    }
  }

  /** Goes to the card. */
  visit(asin) {
    const item = this.list.querySelector(`[data-asin="${CSS.escape(asin)}"]`);
    item?.scrollIntoView({ block: "center" });
    item?.focus({ preventScroll: true });
  }
}
