/** The box that says what somebody wants, and a few examples to begin with. */

import { byId, el, keepFocus } from "./dom.js";

/** `onEnter` is called when somebody does not want to wait for the list to follow by itself. */
export class Wish {
  constructor(store, onEnter) {
    this.store = store;
    this.box = byId("wish");
    this.examples = [];
    this.box.addEventListener("input", () => store.update({ wish: this.box.value }));
    this.box.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      // A keyboard on the screen would cover the list.
      if (window.matchMedia("(pointer: coarse)").matches) this.box.blur();
      onEnter();
    });
    byId("no-wish").addEventListener("click", () => {
      store.update({ wish: "" });
      this.box.focus();
    });
    store.addEventListener("change", () => this.render());
    this.render();
  }

  /** What GET /wishes answers. */
  show(examples) {
    this.examples = examples;
    this.render();
  }

  render() {
    const { wish } = this.store.state;
    if (this.box.value !== wish) this.box.value = wish;
    byId("no-wish").hidden = !wish;
    const chips = this.examples.map((example) =>
      el(
        "button",
        {
          type: "button",
          class: "chip",
          "aria-pressed": String(example === wish),
          "data-key": example,
          on: { click: () => this.store.update({ wish: example === wish ? "" : example }) },
        },
        example,
      ),
    );
    keepFocus(byId("examples"), () => byId("examples").replaceChildren(...chips));
  }
}
