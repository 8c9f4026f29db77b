/** Small helpers that build elements. Texts only ever become text nodes, never markup. */

const SVG = "http://www.w3.org/2000/svg";

const ICONS = {
  plus: "M10 4v12M4 10h12",
  edit: "M4 16l1-4 8.5-8.5 3 3L8 15l-4 1z",
  remove: "M5 5l10 10M15 5L5 15",
  similar: "M7 4h9v9M4 7h9v9H4z",
  why: "M7.5 7.500a2.5 2.5 0 113.6 2.200c-.8.4-1.100.9-1.100 1.800M10 14.500v.5",
  hide: "M10 3.5a6.5 6.5 0 100 13 6.5 6.5 0 000-13M5.5 5.5l9 9",
};

/** The element with this id, which index.html must have. */
export function byId(id) {
  return document.getElementById(id);
}

function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    } else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** An HTML element: attributes (`on` holds event handlers), then children or texts. */
export function el(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** The same for SVG. */
export function svg(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

/** A line drawing that says nothing to screen readers: the text beside it does. */
export function icon(name) {
  return svg(
    "svg",
    { class: "icon", viewBox: "0 0 20 20", "aria-hidden": "true" },
    svg("path", { d: ICONS[name] }),
  );
}

/** A button with an icon. `label` is for screen readers where the words alone are not enough. */
export function button(text, { iconName, label, key, onClick, ...attributes }) {
  return el(
    "button",
    { type: "button", "aria-label": label, "data-key": key, on: { click: onClick }, ...attributes },
    iconName ? icon(iconName) : null,
    text,
  );
}

/** Calls `action` once nothing has called it for `wait` milliseconds. */
export function debounce(action, wait) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...values), wait);
  };
}

/** Runs `render`, which rebuilds `container`, and puts the focus back where it was. */
export function keepFocus(container, render) {
  const focused = container.contains(document.activeElement) ? document.activeElement : null;
  const key = focused?.dataset.key;
  render();
  if (!focused || container.contains(document.activeElement)) return;
  const again = key && container.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (again) again.focus({ preventScroll: true });
}

/** Goes to a text field, unless a keyboard on the screen would then cover the page. */
export function focusField(field, otherwise) {
  const isTouch = window.matchMedia("(pointer: coarse)").matches;
  (isTouch ? otherwise : field).focus({ preventScroll: true });
}

/** "1 review", "2 reviews". */
export function counted(number, one, many) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}
