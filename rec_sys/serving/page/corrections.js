/** Brings the service's messages about the request to the place they are about. */

import { byId } from "./dom.js";
import { announce, fieldError } from "./messages.js";

const OF_A_REVIEW = /^(?:body\.)?(?:people\.0\.)?reviews\.(\d+)(?:\.(\w+))?/;
const OF_THE_WISH = /^(?:body\.)?wish$/;
const FILTERS = ["style", "k"];

/** Messages by review, about the wish and the filters; the rest belongs above the list. */
export function sorted(fields, asked) {
  const byReview = new Map();
  const wish = [];
  const filters = [];
  const others = [];
  for (const { field, message } of fields) {
    const found = OF_A_REVIEW.exec(field);
    const id = found && asked.reviews[Number(found[1])]?.reviewID;
    if (id) {
      const known = byReview.get(id) ?? [];
      byReview.set(id, [...known, { field: found[2] ?? "", message }]);
    } else if (OF_THE_WISH.test(field)) wish.push(message);
    else if (FILTERS.includes(field)) filters.push({ field, message });
    else others.push(message);
  }
  return { byReview, wish, filters, others };
}

/** Marks the reviews and filters. A review that needs a correction is opened in an empty form. */
export function showCorrections(fields, asked, { form, list, store }) {
  const { byReview, wish, filters, others } = sorted(fields, asked);
  fieldError(byId("wish-error"), byId("wish"), wish.join(" "));
  list.showProblems(byReview);
  const [first] = byReview.keys();
  if (first && form.isEmpty) {
    form.edit(
      store.state.reviews.find(({ id }) => id === first),
      { focus: false },
    );
  }
  const open = form.editing && byReview.get(form.editing.id);
  if (open) form.showErrors(open);
  const about = [...filters.map(({ message }) => message), ...others].join(" ");
  fieldError(byId("filter-error"), null, about);
  for (const field of FILTERS) {
    const isWrong = filters.some((filter) => filter.field === field);
    byId(field).setAttribute("aria-invalid", String(isWrong));
  }
  const all = fields.map(({ message }) => message).join(" ");
  if (all) announce(all);
}
