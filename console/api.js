// The public API over fetch: one function per kind of call, errors as objects, the key of this tab.

const STORED = "neuralstream.key";
const BASE = new URL("./", location.href.split("#")[0]);
const waiting = new Set();

let key = sessionStorage.getItem(STORED);

// state: "none" as long as no answer asked for a key, "asked" after a 401, "refused" when the key is no longer valid.
export const access = { state: "none" };

export class ApiError extends Error {
  // problem: the body (RFC 9457), or API Gateway's {message}, or null where nothing answered.
  constructor(status, problem, retryAfter) {
    super(problem?.detail || problem?.message || "The stack does not answer.");
    this.status = status;
    this.problem = problem;
    this.code = problem?.code ?? null;
    this.places = problem?.errors ?? [];
    this.retryAfter = retryAfter;
  }

  get needsKey() {
    return this.status === 401 || (this.status === 403 && this.code === null);
  }

  get missingScope() {
    return this.code === "missing_scope";
  }
}

export function hasKey() {
  return key !== null;
}

export function setKey(given) {
  key = given;
  if (given === null) sessionStorage.removeItem(STORED);
  else sessionStorage.setItem(STORED, given);
  access.state = "none";
  tell();
}

// Calls `listener` whenever the key or the state of access changes; the answer ends that.
export function onAccess(listener) {
  waiting.add(listener);
  return () => waiting.delete(listener);
}

function tell() {
  for (const listener of [...waiting]) listener();
}

// path`/models/${name}/versions`: every value percent-encoded.
export function path(texts, ...values) {
  return texts.reduce((made, text, place) => made + encodeURIComponent(values[place - 1]) + text);
}

export async function call(method, where, { query = {}, body, signal, headers = {} } = {}) {
  const url = new URL(where.replace(/^\//, ""), BASE);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  const sent = { ...headers };
  if (key !== null) sent["x-api-key"] = key;
  if (body !== undefined) sent["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(url, {
      method,
      headers: sent,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      cache: "no-store",
      credentials: "omit",
      referrerPolicy: "no-referrer",
    });
  } catch (failed) {
    if (failed.name === "AbortError") throw failed;
    throw new ApiError(0, null, null);
  }
  const text = await answer.text();
  let parsed = null;
  try {
    parsed = text === "" ? null : JSON.parse(text);
  } catch {
    parsed = { detail: `The answer (${answer.status}) is no JSON.` };
  }
  if (answer.ok) return parsed;
  const error = new ApiError(answer.status, parsed, Number(answer.headers.get("retry-after")) || null);
  if (error.needsKey) {
    access.state = key === null ? "asked" : "refused";
    tell();
  }
  throw error;
}

export const get = (where, query, signal) => call("GET", where, { query, signal });
