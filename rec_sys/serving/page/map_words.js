/** The map for those who do not see it. */

import { counted, el } from "./dom.js";

const THIRD = 1 / 3;
const NEAR = 0.15;
const CLOSE = 0.4;

function side(value, low, middle, high) {
  if (value < -THIRD) return low;
  return value > THIRD ? high : middle;
}

function distanceWords(distance) {
  if (distance < NEAR) return "right beside you";
  return distance < CLOSE ? "close to you" : "further away";
}

function named(dot, more) {
  return el("li", {}, [dot.ProductName || "A product without a name", more].join(", "));
}

/** "at the top right"; y grows downwards as on the screen. */
function spot({ x, y }) {
  const where = [side(y, "top", "middle", "bottom"), side(x, "left", "middle", "right")];
  return where[0] === where[1] ? "in the middle" : `at the ${where.join(" ")}`;
}

/** Paragraphs and lists. */
export function describe({ place, lit, own, regions, shown, of }) {
  const parts = [];
  if (shown) {
    const all = of > shown ? ` of ${of.toLocaleString("en")}` : "";
    parts.push(`The map shows ${shown.toLocaleString("en")}${all} products.`);
  }
  const lying = regions.map((region) => `${region.label} ${spot(region)}`);
  if (lying.length) parts.push(` There are ${lying.join(", ")}.`);
  if (!place) return [el("p", {}, ...parts)];
  parts.push(` You are ${spot(place)}.`);
  const words = [el("p", {}, ...parts)];
  const away = (dot) => Math.hypot(dot.x - place.x, dot.y - place.y);
  const nearestFirst = (dots) => [...dots].sort((a, b) => away(a) - away(b));
  const known = counted(own.length, "product", "products");
  for (const [title, dots] of [
    ["Suggested, nearest first:", nearestFirst(lit)],
    [`${known} that you reviewed, nearest first:`, nearestFirst(own)],
  ]) {
    if (!dots.length) continue;
    const rows = dots.map((dot) => named(dot, distanceWords(away(dot))));
    words.push(el("p", {}, title), el("ul", {}, ...rows));
  }
  return words;
}
