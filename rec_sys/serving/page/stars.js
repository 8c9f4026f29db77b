/** Stars: to look at (also parts of one) and to choose from. */

import { el, svg } from "./dom.js";

const STARS = 5;
const WIDTH = 24;
const SHAPE = "M12 2.6l2.9 6 6.5.9-4.7 4.6 1.1 6.500L12 17.5l-5.8 3.1 1.1-6.5-4.7-4.6 6.5-.9z";
const WORDS = ["", "Not for me", "Not great", "It was okay", "I liked it", "I loved it"];

function row(name) {
  const shapes = Array.from({ length: STARS }, (_, index) =>
    svg("path", { d: SHAPE, transform: `translate(${index * WIDTH} 0)` }),
  );
  return svg("g", { class: name }, ...shapes);
}

/** Stars for 0...5, the last one partly filled, with the number in words for screen readers. */
export function starPicture(value, { words = "stars" } = {}) {
  const rating = Math.min(STARS, Math.max(0, value));
  const shown = rating * WIDTH;
  const all = STARS * WIDTH;
  // An inner svg clips what lies outside it, so a part of a star needs no clip path with an id.
  const lit = svg(
    "svg",
    { width: shown, height: WIDTH, viewBox: `0 0 ${shown} ${WIDTH}`, preserveAspectRatio: "none" },
    row("star-on"),
  );
  return el(
    "span",
    { class: "stars", role: "img", "aria-label": `${rating.toFixed(1)} of 5 ${words}` },
    svg(
      "svg",
      { viewBox: `0 0 ${all} ${WIDTH}`, "aria-hidden": "true" },
      row("star-off"),
      shown > 0 ? lit : null,
    ),
  );
}

/** The radio group of the form: `value` is 1...5 or null. */
export class StarChoice extends EventTarget {
  constructor(container, word, clear) {
    super();
    this.container = container;
    this.word = word;
    this.clear = clear;
    this.inputs = [];
    for (let stars = 1; stars <= STARS; stars += 1) this.addStar(stars);
    clear.addEventListener("click", () => {
      this.inputs[0].focus();
      this.choose(null);
    });
    this.show();
  }

  addStar(stars) {
    const id = `star-${stars}`;
    const input = el("input", { type: "radio", name: "stars", id, value: String(stars) });
    input.addEventListener("change", () => this.choose(stars));
    const text = `${stars} ${stars === 1 ? "star" : "stars"}, ${WORDS[stars].toLowerCase()}`;
    const label = el(
      "label",
      { for: id },
      svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: SHAPE })),
      el("span", { class: "visually-hidden" }, text),
    );
    this.inputs.push(input);
    this.container.append(input, label);
  }

  choose(stars) {
    this.value = stars;
    this.dispatchEvent(new Event("change"));
  }

  get value() {
    const chosen = this.inputs.find((input) => input.checked);
    return chosen ? Number(chosen.value) : null;
  }

  set value(stars) {
    for (const input of this.inputs) input.checked = Number(input.value) === stars;
    this.show();
  }

  show() {
    const stars = this.value ?? 0;
    this.container.dataset.value = String(stars);
    this.word.textContent = WORDS[stars];
    this.clear.hidden = stars === 0;
  }
}
