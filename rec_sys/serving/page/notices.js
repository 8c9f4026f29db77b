/** A fallback or a weakened service, above the list; troubles, where they are always seen. */

import { hasKey, rememberKey } from "./api.js";
import { button, byId, el } from "./dom.js";
import { announce, notice } from "./messages.js";

const SECOND_MS = 1000;

/** `onRetry` asks again at once. */
export class Notices {
  constructor(onRetry) {
    this.onRetry = onRetry;
    this.trouble = byId("trouble");
    this.signature = "";
    this.ticker = 0;
  }

  /** After an answer; `asked` is what is known of the person. */
  showAnswer(person, { degraded }, asked) {
    const shown = [];
    if (degraded) {
      shown.push({
        tone: "info",
        title: "Our suggestions are a little simpler right now.",
        text: "A part of the service is resting. They get better again by themselves.",
      });
    }
    if (person.fallback) {
      shown.push({
        tone: "info",
        title: "These are popular products.",
        text:
          (asked.reviews.length > 0 && person.explanation) ||
          "Say what you want or what you have tried, and we pick for you.",
      });
    }
    this.replace("", () => []);
    byId("notices").replaceChildren(...shown.map((one) => notice(one)));
  }

  /** After a problem; `retryS` is when the page asks again by itself, or null. */
  showProblem(problem, retryS) {
    const makers = {
      network: () => ({
        tone: "warn",
        title: "We cannot reach the service",
        text: "Your reviews are safe in this tab. Please check your connection.",
      }),
      busy: () => ({
        tone: "warn",
        title: "The service is busy",
        text: problem.message || "Your reviews are safe in this tab.",
      }),
      large: () => ({
        tone: "bad",
        title: "That is more text than we can take at once",
        text: "Please shorten a long review, or remove one.",
      }),
      invalid: () => ({
        tone: "bad",
        title: "Something needs a small correction",
        text: "We marked it. Until then, you see the suggestions from before.",
      }),
      key: () => ({
        tone: "warn",
        title: hasKey() ? "That key does not fit" : "This service asks for a key",
        text: "Whoever runs it can give you one. It is kept in this tab only.",
        children: [this.keyForm()],
      }),
    };
    const made = makers[problem.kind]?.() ?? {
      tone: "bad",
      title: "Something went wrong on our side",
      text: problem.message || `The service answered with code ${problem.status}.`,
      children: [this.retryButton("Try again")],
    };
    const isKept = this.replace(`${problem.kind} ${made.title}`, () => [
      notice({ ...made, children: [...(made.children ?? []), ...this.retryLine(retryS)] }),
    ]);
    if (isKept && retryS !== null) this.startCountdown(retryS);
    else if (!isKept) announce(`${made.title}. ${made.text}${this.spoken(retryS)}`);
  }

  spoken(retryS) {
    return retryS === null ? "" : ` We try again in ${retryS} seconds.`;
  }

  /** Leaves what is shown alone if it is the same: somebody may be typing a key into it. */
  replace(signature, make) {
    if (signature === this.signature) return true;
    this.signature = signature;
    clearInterval(this.ticker);
    this.trouble.replaceChildren(...make());
    const isBusy = document.activeElement !== document.body;
    if (!isBusy) this.trouble.querySelector("input")?.focus({ preventScroll: true });
    return false;
  }

  retryButton(text) {
    return button(text, { class: "small", onClick: () => this.onRetry() });
  }

  retryLine(retryS) {
    if (retryS === null) return [];
    this.countdown = el("span", { class: "countdown" });
    this.startCountdown(retryS);
    return [el("p", { class: "retry" }, this.countdown, this.retryButton("Try now"))];
  }

  startCountdown(seconds) {
    clearInterval(this.ticker);
    let left = seconds;
    const say = () => {
      this.countdown.textContent = left > 0 ? `Trying again in ${left} s.` : "Trying again…";
    };
    say();
    this.ticker = setInterval(() => {
      left -= 1;
      say();
      if (left <= 0) clearInterval(this.ticker);
    }, SECOND_MS);
  }

  keyForm() {
    const input = el("input", {
      type: "password",
      id: "api-key",
      autocomplete: "off",
      spellcheck: "false",
      required: true,
    });
    const submit = (event) => {
      event.preventDefault();
      if (!input.value.trim()) return;
      rememberKey(input.value.trim());
      this.signature = null;
      this.onRetry();
    };
    return el(
      "form",
      { class: "key-form", on: { submit } },
      el("label", { for: "api-key" }, "Key"),
      input,
      el("button", { type: "submit", class: "primary small" }, "Use this key"),
    );
  }
}
