/** A small map: all products as faint dots, what lies where, the person, what is theirs. */

import { byId, el, svg } from "./dom.js";
import { describe } from "./map_words.js";

const WHOLE = { x: -1.08, y: -1.08, size: 2.16 };
const MARGIN = 0.12;
const SMALLEST = 0.3;
/** How many units across the frame is, in which marks are drawn. */
const FRAME = 340;
/** How near the pointer must come to a dot, in the same units. */
const REACH = 14;
/** About how wide a letter of a label is, and how far two labels must be apart, in these units. */
const LETTER = 6.6;
const LINE = 15;
const EDGE = 4;
/** So many lines below its place a label may stand. */
const TRIED = [0, -1, 1, -2, 2, -3, 3, -4, 4];

const SHAPES = {
  own: () => svg("path", { class: "own-dot", d: "M0 -6L6 0L0 6L-6 0Z" }),
  lit: () => svg("circle", { class: "lit-dot", r: 5 }),
  you: () => svg("circle", { class: "you-dot", r: 9 }),
};
const SAYS = { own: "You reviewed", lit: "Suggested", you: "Your place" };

/** `on` has the handlers point(asin or null) and visit(mark). */
export class ProductMap {
  constructor(on) {
    this.on = on;
    this.products = [];
    this.regions = [];
    this.marks = [];
    this.view = WHOLE;
    this.zoomed = false;
    this.at = 0;
    this.dots = svg("path", {
      class: "dots",
      "vector-effect": "non-scaling-stroke",
      "aria-hidden": "true",
    });
    this.labels = svg("g", { class: "regions", "aria-hidden": "true" });
    this.markLayer = svg("g", { class: "marks" });
    this.picture = svg(
      "svg",
      { class: "map-picture", role: "group", "aria-labelledby": "map-title" },
      this.dots,
      this.labels,
      this.markLayer,
    );
    this.tip = el("p", { class: "tip", "aria-hidden": "true", hidden: true });
    byId("map-frame").append(this.picture, this.tip);
    this.picture.addEventListener("pointermove", (event) => this.pointerAt(event));
    this.picture.addEventListener("pointerdown", (event) => this.pointerAt(event));
    this.picture.addEventListener("pointerleave", () => this.pointed(null));
    this.picture.addEventListener("keydown", (event) => this.pressed(event));
    byId("zoom").addEventListener("click", () => this.zoom());
    this.draw();
  }

  /** What GET /map answers. */
  show({ products, regions, of }) {
    this.regions = regions.map((region) => ({ ...region, y: -region.y }));
    this.products = products.map((product) => ({ ...product, y: -product.y }));
    this.places = new Map(this.products.map((product) => [product.asin, product]));
    const dots = this.products.map(({ x, y }) => `M${x} ${y}h.0001`);
    this.dots.setAttribute("d", dots.join(""));
    this.total = of;
  }

  /** The person's place (or null), what is suggested, and what they reviewed. */
  mark(place, items, reviews) {
    const own = reviews
      .filter(({ asin }) => this.places?.has(asin))
      .map((review) => ({ kind: "own", ...this.places.get(review.asin), review: review.id }));
    const lit = items.map((item) => ({
      ...{ kind: "lit", asin: item.asin, ProductName: item.ProductName, Style: item.Style },
      ...{ x: item.place.x, y: -item.place.y },
    }));
    const you = place ? [{ kind: "you", asin: null, x: place.x, y: -place.y }] : [];
    this.marks = [...you, ...own, ...lit];
    this.at = Math.min(this.at, Math.max(0, this.marks.length - 1));
    const counts = { shown: this.products.length, of: this.total };
    byId("map-words").replaceChildren(...describe({ place: you[0], lit, own, regions: this.regions, ...counts }));
    this.draw();
  }

  zoom() {
    this.zoomed = !this.zoomed;
    byId("zoom").setAttribute("aria-pressed", String(this.zoomed));
    byId("zoom").textContent = this.zoomed ? "Show all" : "Zoom in";
    this.draw();
  }

  /** Everything, or the square around the person and the suggestions. */
  square() {
    if (!this.zoomed || this.marks.every(({ kind }) => kind === "own")) return WHOLE;
    const near = this.marks.filter(({ kind }) => kind !== "own");
    const xs = near.map(({ x }) => x);
    const ys = near.map(({ y }) => y);
    const span = (values) => Math.max(...values) - Math.min(...values);
    const middle = (values) => (Math.max(...values) + Math.min(...values)) / 2;
    const size = Math.max(span(xs), span(ys), SMALLEST) + 2 * MARGIN;
    return { x: middle(xs) - size / 2, y: middle(ys) - size / 2, size };
  }

  draw() {
    const hadFocus = this.markLayer.contains(document.activeElement);
    this.view = this.square();
    const { x, y, size } = this.view;
    this.picture.setAttribute("viewBox", `${x} ${y} ${size} ${size}`);
    this.labels.replaceChildren(...this.regionLabels());
    this.markLayer.replaceChildren(...this.marks.map((mark, index) => this.symbol(mark, index)));
    this.tip.hidden = true;
    if (hadFocus) this.markLayer.children[this.at]?.focus();
  }

  /** The labels within the view, beside the marks; one that would still meet another is left out. */
  regionLabels() {
    const { x: left, y: top, size } = this.view;
    const scale = size / FRAME;
    const inFrame = ({ x, y }) => ({ across: (x - left) / scale, down: (y - top) / scale });
    const taken = this.marks.map((mark) => ({ ...inFrame(mark), half: EDGE }));
    return this.regions.flatMap((region) => {
      const half = (region.label.length * LETTER) / 2;
      const { across, down } = inFrame(region);
      if (across < 0 || across > FRAME || down < 0 || down > FRAME) return [];
      const middle = Math.min(FRAME - EDGE - half, Math.max(EDGE + half, across));
      const isFree = (line) =>
        line > LINE &&
        line < FRAME - EDGE &&
        taken.every(
          (other) =>
            Math.abs(other.down - line) >= LINE ||
            Math.abs(other.across - middle) >= other.half + half,
        );
      const free = TRIED.map((lines) => down + lines * LINE).find(isFree);
      if (free === undefined) return [];
      taken.push({ across: middle, down: free, half });
      const place = `translate(${left + middle * scale} ${top + free * scale}) scale(${scale})`;
      return [svg("text", { transform: place }, region.label)];
    });
  }

  symbol(mark, index) {
    const name = mark.kind === "you" ? SAYS.you : `${SAYS[mark.kind]}: ${mark.ProductName}`;
    return svg(
      "g",
      {
        class: `mark ${mark.kind}`,
        role: mark.kind === "you" ? "img" : "button",
        "aria-label": name,
        tabindex: index === this.at ? 0 : -1,
        transform: `translate(${mark.x} ${mark.y}) scale(${this.view.size / FRAME})`,
        on: {
          focus: () => this.focused(index),
          blur: () => this.pointed(null),
          click: () => mark.kind !== "you" && this.on.visit(mark),
        },
      },
      svg("circle", { class: "halo", r: 11 }),
      SHAPES[mark.kind](),
    );
  }

  /** One stop for the tab key; the arrow keys go from mark to mark. */
  pressed(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const mark = this.marks[this.at];
    if (step) {
      const next = (this.at + step + this.marks.length) % this.marks.length;
      this.markLayer.children[next].focus();
    } else if ((event.key === "Enter" || event.key === " ") && mark.kind !== "you") {
      this.on.visit(mark);
    } else return;
    event.preventDefault();
  }

  focused(index) {
    this.markLayer.children[this.at]?.setAttribute("tabindex", "-1");
    this.at = index;
    this.markLayer.children[index].setAttribute("tabindex", "0");
    this.pointed(this.marks[index]);
  }

  pointerAt(event) {
    const box = this.picture.getBoundingClientRect();
    const scale = this.view.size / box.width;
    const x = this.view.x + (event.clientX - box.left) * scale;
    const y = this.view.y + (event.clientY - box.top) * scale;
    const reach = (REACH / FRAME) * this.view.size;
    const nearest = (dots) => {
      let best = null;
      let bestDistance = reach;
      for (const dot of dots) {
        const distance = Math.hypot(dot.x - x, dot.y - y);
        if (distance < bestDistance) [best, bestDistance] = [dot, distance];
      }
      return best;
    };
    this.pointed(nearest(this.marks) ?? nearest(this.products));
  }

  /** Something is pointed at, by pointer or focus: shows its name and tells the list. */
  pointed(dot) {
    this.highlight(dot?.asin ?? null);
    this.showTip(dot);
    this.on.point(dot?.kind === "lit" ? dot.asin : null);
  }

  /** Lights the dot of the card that is pointed at. */
  highlight(asin) {
    let found = null;
    this.marks.forEach((mark, index) => {
      const isIt = asin !== null && mark.asin === asin;
      this.markLayer.children[index].classList.toggle("pointed", isIt);
      if (isIt) found = mark;
    });
    this.showTip(found);
  }

  showTip(dot) {
    this.tip.hidden = !dot;
    if (!dot) return;
    this.tip.textContent = dot.kind === "you" ? SAYS.you : dot.ProductName;
    const across = (dot.x - this.view.x) / this.view.size;
    const down = (dot.y - this.view.y) / this.view.size;
    this.tip.style.setProperty("--across", String(across));
    this.tip.style.setProperty("--down", String(down));
    this.tip.classList.toggle("below", down < 1 / 4);
  }
}
