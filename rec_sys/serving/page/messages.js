/** What the page says beside its content: to screen readers, in the toast, above the list. */

import { byId, el, icon } from "./dom.js";

const TOAST_MS = 8000;
const SAID_AFTER_MS = 5000;

let toastTimer = 0;
let undoAction = null;

/** Lets a screen reader say `text` when it has finished what it is saying. */
export function announce(text) {
  // Each text is a line of its own: a second one soon after does not swallow the first.
  const line = el("p", {}, text);
  byId("live").append(line);
  setTimeout(() => line.remove(), SAID_AFTER_MS);
}

function hideToast() {
  byId("toast").hidden = true;
  undoAction = null;
}

/** Shows `text` for a while with a button that calls `undo`. */
export function toast(text, undo) {
  clearTimeout(toastTimer);
  byId("toast-text").textContent = text;
  byId("toast").hidden = false;
  undoAction = undo;
  announce(`${text} You can undo this.`);
  toastTimer = setTimeout(leaveToast, TOAST_MS);
}

/** It stays while somebody is on it. */
function leaveToast() {
  if (byId("toast").matches(":hover, :focus-within")) toastTimer = setTimeout(leaveToast, TOAST_MS);
  else hideToast();
}

/** Connects the toast's button; once, at the start. */
export function connectToast(focusAfterUndo) {
  byId("toast-undo").addEventListener("click", () => {
    const undo = undoAction;
    hideToast();
    undo?.();
    announce("Undone.");
    const isLost = [document.body, byId("toast-undo")].includes(document.activeElement);
    if (isLost) focusAfterUndo();
  });
}

/** A message above the list: `tone` is info, warn or bad. */
export function notice({ tone, title, text, children = [] }) {
  return el(
    "div",
    { class: `notice ${tone}` },
    el("p", { class: "notice-title" }, title),
    text ? el("p", {}, text) : null,
    ...children,
  );
}

/** Shows `message` under a field and ties it to the input; an empty message takes it away. */
export function fieldError(output, input, message) {
  output.replaceChildren(...(message ? [icon("remove"), message] : []));
  output.hidden = !message;
  if (!input) return;
  if (message) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}
