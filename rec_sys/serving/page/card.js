/** One suggestion: what it is, how much the person may like it, and why. */

import { button, el } from "./dom.js";
import { starPicture } from "./stars.js";

const PERCENT = 100;
const WORDS = /([\p{L}\p{N}_]+)/u;

/** A bar of `share` (0...1) of its track. */
export function bar(share, text) {
  const fill = el("span", { class: "bar-fill" });
  fill.style.setProperty("--share", String(Math.min(1, Math.max(0, share))));
  return el("span", { class: "bar", role: "img", "aria-label": text }, fill);
}

/** The person's own reviews that speak for it. */
function reasons(because) {
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
  return el("ul", { class: "because" }, ...rows);
}

/** The list item. `on` has the handlers add, hide, similar, why and point(asin or null). */
export function card(item, { similar, isOpen, hasReason, hasStars, on }) {
  const name = item.ProductName || "A product without a name";
  const because = item.because ?? [];
  const titleId = `card-${item.asin}`;
  const actions = [
    ["I tried it", "plus", "add", {}],
    ["Similar", "similar", "similar", { "aria-expanded": String(Boolean(similar)) }],
    ["Not for me", "hide", "hide", {}],
  ];
  if (because.length) {
    actions.push(["Why", "why", "why", { "aria-expanded": String(isOpen) }]);
  }
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
        el("h3", { id: titleId }, name),
        item.Style ? el("p", { class: "category" }, item.Style.split(" > ").at(-1)) : null,
      ),
      hasStars && Number.isFinite(item.predicted_rating) ? guess(item.predicted_rating) : null,
    ),
    ...(hasReason ? why(item) : []),
    el(
      "div",
      { class: "card-actions" },
      ...actions.map(([text, iconName, key, attributes]) =>
        button(text, {
          iconName,
          class: "quiet small",
          label: `${text}: ${name}`,
          key: `${key} ${item.asin}`,
          onClick: () => on[key](item),
          ...attributes,
        }),
      ),
    ),
    isOpen && because.length ? reasons(because) : null,
    similar ?? null,
  );
}

/** The sentence of the service, or what matches the wish where that speaks louder. */
function why({ reason, because = [], match }) {
  const own = because.reduce((sum, { weight }) => sum + weight, 0);
  const isLed = Boolean(match) && match.weight > own;
  return [
    reason && !isLed ? el("p", { class: "reason" }, reason) : null,
    match ? matched(match) : null,
    match?.quote ? quoted(match.quote, match.words) : null,
  ];
}

function matched({ words }) {
  if (!words.length) return el("p", { class: "match" }, "Close in meaning to your words");
  const named = words.flatMap((word, index) => [index ? ", " : "", el("b", {}, word)]);
  return el("p", { class: "match" }, "Described with your words: ", ...named);
}

/** What somebody else wrote, the matched words marked, with their stars. */
function quoted({ text, rating }, words) {
  const folded = (word) => word.toLowerCase().normalize("NFKD").replace(/\p{M}/gu, "");
  const wanted = new Set(words.map(folded));
  const parts = text
    .split(WORDS)
    .map((part) => (wanted.has(folded(part)) ? el("mark", {}, part) : part));
  return el(
    "p",
    { class: "quote" },
    el("q", {}, ...parts),
    rating === null ? null : starPicture(rating, { words: "stars from who wrote this" }),
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
