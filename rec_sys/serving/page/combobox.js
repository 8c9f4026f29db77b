/** A search box with suggestions, as the ARIA combobox pattern describes it. */

import { searchProducts } from "./api.js";
import { counted, debounce, el } from "./dom.js";
import { announce } from "./messages.js";

const SUGGESTIONS = 8;
const WAIT_FOR_MORE_MS = 180;
const NOTHING = "Nothing by that name. You can keep it as it is.";

/** Says the chosen product by "choose"; `product` is null while the words are only a name. */
export class ProductSearch extends EventTarget {
  constructor(input, list) {
    super();
    this.input = input;
    this.list = list;
    this.found = [];
    this.active = -1;
    this.product = null;
    this.controller = null;
    this.searchSoon = debounce(() => this.search(), WAIT_FOR_MORE_MS);
    input.addEventListener("input", () => this.typed());
    input.addEventListener("keydown", (event) => this.pressed(event));
    input.addEventListener("blur", () => this.close());
    // Without this the input would lose the focus before the click arrives.
    list.addEventListener("mousedown", (event) => event.preventDefault());
  }

  /** The words in the box. */
  get name() {
    return this.input.value.trim();
  }

  /** Sets both; a product without asin is only a name. */
  set({ asin = null, ProductName = "", Style = null } = {}) {
    this.stop();
    this.input.value = ProductName;
    this.product = asin ? { asin, ProductName, Style } : null;
    this.dispatchEvent(new Event("choose"));
  }

  typed() {
    this.product = null;
    this.dispatchEvent(new Event("choose"));
    if (this.name) this.searchSoon();
    else this.stop();
  }

  stop() {
    this.controller?.abort();
    this.controller = null;
    this.close();
  }

  async search() {
    if (!this.name || this.product || document.activeElement !== this.input) return;
    this.controller?.abort();
    const controller = new AbortController();
    this.controller = controller;
    try {
      const found = await searchProducts(this.name, SUGGESTIONS, controller.signal);
      if (!controller.signal.aborted && document.activeElement === this.input) this.open(found);
    } catch (error) {
      if (error.name === "AbortError" || controller.signal.aborted) return;
      // The name still counts without suggestions; what is wrong is said above the list.
      this.close();
    }
  }

  open(found) {
    this.found = found;
    this.list.replaceChildren(...found.map((product, index) => this.option(product, index)));
    if (!found.length) {
      const none = { class: "none", role: "option", "aria-disabled": "true" };
      this.list.append(el("li", none, NOTHING));
    }
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    this.activate(-1);
    announce(
      found.length
        ? `${counted(found.length, "product", "products")} found. Use the arrow keys to choose.`
        : NOTHING,
    );
  }

  option(product, index) {
    const reviews = counted(product.num_reviews ?? 0, "review", "reviews");
    return el(
      "li",
      {
        id: `product-option-${index}`,
        role: "option",
        "aria-selected": "false",
        on: { click: () => this.choose(index) },
      },
      el("span", { class: "option-name" }, product.ProductName || "A product without a name"),
      el("span", { class: "option-more" }, [product.Style, reviews].filter(Boolean).join(" · ")),
    );
  }

  close() {
    this.list.hidden = true;
    this.found = [];
    this.active = -1;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }

  activate(index) {
    this.active = index;
    const options = this.list.querySelectorAll("[role=option]");
    options.forEach((option, at) => option.setAttribute("aria-selected", String(at === index)));
    if (index < 0) this.input.removeAttribute("aria-activedescendant");
    else {
      this.input.setAttribute("aria-activedescendant", options[index].id);
      options[index].scrollIntoView({ block: "nearest" });
    }
  }

  choose(index) {
    const product = this.found[index];
    this.set(product);
    announce(`${product.ProductName} chosen.`);
  }

  pressed(event) {
    const { key } = event;
    const open = this.found.length > 0;
    if (key === "Escape" && !this.list.hidden) this.stop();
    else if (key === "Enter" && open && this.active >= 0) this.choose(this.active);
    else if (key === "ArrowDown" || key === "ArrowUp") {
      if (open) this.move(key === "ArrowDown" ? 1 : -1);
      else this.search();
    } else return;
    event.preventDefault();
  }

  /** Round through the options; -1 is the text itself. */
  move(step) {
    const places = this.found.length + 1;
    this.activate(((this.active + 1 + step + places) % places) - 1);
  }
}
