/** Connects the parts of the page. */

import { loadMap, loadPeople, loadStyles, loadWishes, Problem } from "./api.js";
import { showCorrections } from "./corrections.js";
import { byId, el } from "./dom.js";
import { ProductMap } from "./map.js";
import { connectToast, fieldError } from "./messages.js";
import { Notices } from "./notices.js";
import { People } from "./people.js";
import { Recommendations } from "./recommendations.js";
import { ReviewForm } from "./review_form.js";
import { ReviewList } from "./review_list.js";
import { Store } from "./store.js";
import { Updates } from "./updates.js";
import { Wish } from "./wish.js";

const store = new Store();
const wish = new Wish(store, () => updates.now());
const people = new People(store);
const form = new ReviewForm(store);
const list = new ReviewList(store, (review) => {
  form.edit(review);
  form.showErrors(list.problems.get(review.id) ?? []);
});
const notices = new Notices(() => updates.now());
let place = null;

const map = new ProductMap({
  point: (asin) => recommendations.highlight(asin),
  visit: (mark) => {
    if (mark.kind === "lit") recommendations.visit(mark.asin);
    else form.edit(store.state.reviews.find(({ id }) => id === mark.review));
  },
});
const recommendations = new Recommendations(store, {
  add: (product) => form.about(product),
  point: (asin) => map.highlight(asin),
  shown: (items) => map.mark(place, items, store.state.reviews),
});

const updates = new Updates(store, {
  start: () => recommendations.loading(true),
  answer: (person, answer) => {
    recommendations.loading(false);
    clearCorrections();
    notices.showAnswer(person, answer, store.state);
    place = person.place;
    recommendations.show(person.recommendations);
    loadMissing();
  },
  problem: (problem, asked, retryS) => {
    recommendations.loading(false);
    if (problem.kind !== "invalid") clearCorrections();
    notices.showProblem(problem, retryS);
    recommendations.nothing();
    if (problem.kind === "invalid") showCorrections(problem.fields, asked, { form, list, store });
  },
});

function clearCorrections() {
  if (list.problems.size) list.showProblems(new Map());
  fieldError(byId("filter-error"), null, "");
  fieldError(byId("wish-error"), byId("wish"), "");
  for (const id of ["style", "k"]) byId(id).removeAttribute("aria-invalid");
}

/** What is loaded once. What failed is tried again as soon as the service answers. */
const once = [
  {
    load: loadWishes,
    show: (wishes) => wish.show(wishes),
  },
  {
    load: loadPeople,
    show: (found) => people.show(found),
  },
  {
    load: loadStyles,
    show: (styles) => {
      byId("style").append(...styles.map((style) => el("option", { value: style }, style)));
      // A category that was chosen before may be gone.
      if (store.state.style && !styles.includes(store.state.style)) store.update({ style: "" });
      byId("style").value = store.state.style;
    },
  },
  {
    load: loadMap,
    show: (answer) => {
      map.show(answer);
      recommendations.render();
    },
  },
];

function loadMissing() {
  for (const part of once.filter(({ isDone, isRunning }) => !isDone && !isRunning)) loadOne(part);
}

async function loadOne(part) {
  part.isRunning = true;
  try {
    part.show(await part.load());
    part.isDone = true;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    // The list says what is wrong with the service; these parts come when it is well again.
  } finally {
    part.isRunning = false;
  }
}

byId("k").value = String(store.state.k);
byId("k").addEventListener("change", (event) => store.update({ k: Number(event.target.value) }));
byId("style").addEventListener("change", (event) => store.update({ style: event.target.value }));
store.addEventListener("change", () => {
  byId("k").value = String(store.state.k);
  byId("style").value = store.state.style;
});
connectToast(() => byId("recommendations").focus({ preventScroll: true }));
loadMissing();
updates.now();
