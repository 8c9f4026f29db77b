/** Talks to the service. Paths are relative, so the page also works below a path of a proxy. */

import { keep, kept } from "./storage.js";

const KEY_NAME = "rec_sys.api_key";
const DEFAULT_WAIT_S = 5;
const LONGEST_WAIT_S = 120;

const KINDS = {
  401: "key",
  403: "key",
  404: "missing",
  408: "busy",
  413: "large",
  422: "invalid",
  429: "busy",
  503: "busy",
};

/** Why there is no answer. `kind`: network, key, missing, large, invalid, busy or broken. */
export class Problem extends Error {
  constructor(kind, { status = 0, message = "", fields = [], retryAfter = DEFAULT_WAIT_S } = {}) {
    super(message);
    this.kind = kind;
    this.status = status;
    this.fields = fields;
    this.retryAfter = retryAfter;
  }
}

let apiKey = kept(KEY_NAME);

/** The API key lives in this tab only and is forgotten with it. */
export function rememberKey(key) {
  apiKey = key;
  keep(KEY_NAME, key);
}

export function hasKey() {
  return apiKey !== null;
}

/** Seconds to wait: the header holds seconds or a date. */
function waitOf(response) {
  const header = response.headers.get("Retry-After");
  if (!header) return DEFAULT_WAIT_S;
  const seconds = /^\d+$/.test(header.trim())
    ? Number(header)
    : Math.ceil((Date.parse(header) - Date.now()) / 1000);
  return Number.isFinite(seconds) ? Math.min(LONGEST_WAIT_S, Math.max(1, seconds)) : DEFAULT_WAIT_S;
}

async function problemOf(response) {
  let detail = null;
  try {
    detail = (await response.json()).detail;
  } catch (error) {
    // A proxy may answer with a page of its own; the status says enough then.
    if (error.name === "AbortError") throw error;
  }
  const fields = Array.isArray(detail)
    ? detail.map(({ field, message }) => ({ field: String(field ?? ""), message: String(message) }))
    : [];
  return new Problem(KINDS[response.status] ?? "broken", {
    status: response.status,
    message: typeof detail === "string" ? detail : "",
    fields,
    retryAfter: waitOf(response),
  });
}

/**
 * Sends a request and returns what the service answers.
 *
 * @throws {Problem} where there is no answer to use
 * @throws {DOMException} "AbortError" where `signal` was aborted
 */
async function call(path, { query = {}, body, signal } = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== null);
  const address = given.length ? `${path}?${new URLSearchParams(given)}` : path;
  const headers = { Accept: "application/json" };
  if (apiKey !== null) headers["X-API-Key"] = apiKey;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(address, {
      method: body === undefined ? "GET" : "POST",
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("network");
  }
  if (!response.ok) throw await problemOf(response);
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(error.name === "SyntaxError" ? "broken" : "network");
  }
}

export const recommend = (body, signal) => call("recommendations", { body, signal });
export const searchProducts = (q, k, signal) =>
  call("products/search", { query: { q, k }, signal }).then((answer) => answer.products);
export const similarProducts = (asin, k) =>
  call(`products/${encodeURIComponent(asin)}/similar`, { query: { k } }).then(
    (answer) => answer.products,
  );
export const loadPeople = () => call("people").then((answer) => answer.people);
export const loadWishes = () => call("wishes").then((answer) => answer.wishes);
export const loadStyles = () => call("styles").then((answer) => answer.styles);
export const loadMap = () => call("map");
