/** Asks for recommendations when the request has changed, and again when the service was busy. */

import { Problem, recommend } from "./api.js";

const WAIT_FOR_MORE_MS = 300;
const NETWORK_RETRY_S = 10;

/**
 * Keeps one request in flight at most: a newer one aborts the older one, so that an out-of-date
 * answer never reaches the page.
 */
export class Updates {
  /** `on` has the handlers start(), answer(person, answer) and problem(problem, asked, retryS). */
  constructor(store, on) {
    this.store = store;
    this.on = on;
    this.asked = null;
    this.timer = 0;
    this.controller = null;
    store.addEventListener("change", () => this.changed());
    window.addEventListener("online", () => this.now());
  }

  changed() {
    if (JSON.stringify(this.store.request()) === this.asked) return;
    this.schedule(WAIT_FOR_MORE_MS);
  }

  schedule(wait) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.now(), wait);
  }

  async now() {
    clearTimeout(this.timer);
    this.controller?.abort();
    const controller = new AbortController();
    this.controller = controller;
    const body = this.store.request();
    this.asked = JSON.stringify(body);
    this.on.start();
    try {
      const answer = await recommend(body, controller.signal);
      if (controller.signal.aborted) return;
      this.on.answer(answer.people[0], answer);
    } catch (error) {
      if (controller.signal.aborted || error.name === "AbortError") return;
      if (!(error instanceof Problem)) throw error;
      const retryS = { busy: error.retryAfter, network: NETWORK_RETRY_S }[error.kind] ?? null;
      if (retryS !== null) this.schedule(retryS * 1000);
      this.on.problem(error, body, retryS);
    }
  }
}
