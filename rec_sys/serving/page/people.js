/** The demo people whose reviews one can borrow. */

import { byId, counted, el, focusField, keepFocus } from "./dom.js";
import { toast } from "./messages.js";

/** Shows the people; the borrowed one is marked. Pressing them again changes nothing. */
export class People {
  constructor(store) {
    this.store = store;
    this.people = [];
    this.box = byId("people");
    store.addEventListener("change", () => this.render());
    byId("start-over").addEventListener("click", () => this.startOver());
    this.render();
  }

  show(people) {
    this.people = people;
    this.render();
  }

  render() {
    const { wish, person, reviews, excluded } = this.store.state;
    byId("people-hint").hidden = this.people.length === 0;
    byId("start-over").hidden = !wish && reviews.length + excluded.length === 0;
    const chips = this.people.map((somebody) => this.chip(somebody, person));
    keepFocus(this.box, () => this.box.replaceChildren(...chips));
  }

  chip({ nickname, reviews }, person) {
    return el(
      "button",
      {
        type: "button",
        class: "chip",
        "aria-pressed": String(nickname === person),
        "data-key": nickname,
        on: { click: () => this.borrow(nickname, reviews) },
      },
      `${nickname}, `,
      el("span", { class: "chip-count" }, counted(reviews.length, "review", "reviews")),
    );
  }

  borrow(nickname, reviews) {
    if (nickname === this.store.state.person) return;
    const before = this.store.borrow(nickname, reviews);
    const count = counted(reviews.length, "borrowed review", "borrowed reviews");
    toast(`You now have ${count}: ${nickname}.`, () => this.store.update(before));
  }

  startOver() {
    const before = this.store.startOver();
    toast("All cleared.", () => this.store.update(before));
    focusField(byId("wish"), byId("recommendations"));
  }
}
