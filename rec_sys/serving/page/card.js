/** One suggestion: what it is, how much the person may like it, and why. */

import { button, el } from "./dom.js";
import { starPicture } from "./stars.js";

const PERCENT = 100;

/** A bar of `share` (0...1) of its track. */
export function bar(share, text) {
  const fill = el("span", { class: "bar-fill" });
  fill.style.setProperty("--share", String(Math.min(1, Math.max(0, share))));
  return el("span", { class: "bar", role: "img", "aria-label": text }, fill);
}

function reasons({ asin, because }, isOpen, onToggle) {
  const rows = because.map(({ ProductName, text, weight }) => {
    const percent = Math.round(weight * PERCENT);
    return el(
      "li",
      {},
      bar(weight, `${percent} percent of the reason`),
      el("span", { class: "because-name" }, ProductName || "Your words"),
      text ? el("q", { class: "because-text" }, text) : null,
    );
  });
  const count = because.length === 1 ? "one" : because.length;
  // Not the toggle event: that one also comes when an open one is put on the page.
  const click = (event) => onToggle(!event.currentTarget.parentElement.open);
  return el(
    "details",
    { class: "why", open: isOpen },
    el(
      "summary",
      { "data-key": `why ${asin}`, on: { click } },
      `Based on ${count} of your reviews`,
    ),
    el("ul", { class: "because" }, ...rows),
  );
}

/** The list item. `on` has the handlers add, hide, similar, why(isOpen), point(asin or null). */
export function card(item, { similar, isOpen, on }) {
  const name = item.ProductName || "A product without a name";
  const because = item.because ?? [];
  const titleId = `card-${item.asin}`;
  return el(
    "li",
    {
      class: "card",
      "data-asin": item.asin,
      tabindex: "-1",
      "aria-labelledby": titleId,
      on: {
        pointerenter: ({ pointerType }) => pointerType === "mouse" && on.point(item.asin),
        pointerleave: () => on.point(null),
        focusin: () => on.point(item.asin),
        focusout: () => on.point(null),
      },
    },
    el(
      "div",
      { class: "card-head" },
      el(
        "div",
        { class: "card-title" },
        item.Style ? el("p", { class: "category" }, item.Style) : null,
        el("h3", { id: titleId }, name),
      ),
      Number.isFinite(item.predicted_rating) ? guess(item.predicted_rating) : null,
    ),
    item.reason ? el("p", { class: "reason" }, item.reason) : null,
    because.length ? reasons(item, isOpen, on.why) : null,
    el(
      "div",
      { class: "card-actions" },
      button("Add to my reviews", {
        iconName: "plus",
        class: "quiet small",
        label: `Add to my reviews: ${name}`,
        key: `add ${item.asin}`,
        onClick: () => on.add(item),
      }),
      button("Similar products", {
        iconName: "similar",
        class: "quiet small",
        label: `Similar products to ${name}`,
        key: `similar ${item.asin}`,
        "aria-expanded": String(Boolean(similar)),
        onClick: () => on.similar(item),
      }),
      button("Not interested", {
        iconName: "hide",
        class: "quiet small",
        label: `Not interested in ${name}`,
        key: `hide ${item.asin}`,
        onClick: () => on.hide(item),
      }),
    ),
    similar ?? null,
  );
}

function guess(rating) {
  return el(
    "p",
    { class: "guess" },
    starPicture(rating, { words: "stars, our guess for you" }),
    el("span", { class: "guess-number", "aria-hidden": "true" }, rating.toFixed(1)),
  );
}
