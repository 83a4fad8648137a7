// What all pages share: asking the API, making elements (text is always text), severities and times.

export const root = document.body.dataset.root;
export const state = JSON.parse(document.getElementById("state")?.textContent ?? "{}");
export const $ = (id) => document.getElementById(id);

/** An element; strings among its children become text, whatever is in them. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  set(element, attributes);
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** The same for drawings. */
export function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  set(element, attributes);
  element.append(...children);
  return element;
}

function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(element.style, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
}

/** A query string; lists give a parameter each, what is empty none. */
export function query(parameters) {
  const out = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const each of Array.isArray(value) ? value : [value]) if (each !== null && each !== undefined) out.append(name, each);
  }
  return out.toString();
}

/** Asks the API. An error is thrown with the API's own message, and with the answer's status where there was one. */
export async function api(path, parameters = {}, options = {}) {
  const asked = query(parameters);
  const answer = await fetch(`${root}api/v1/${path}${asked ? `?${asked}` : ""}`, { credentials: "same-origin", ...options });
  const failed = (text) => Object.assign(new Error(text), { status: answer.status });
  if (answer.status === 401) throw failed("You are no longer signed in: load the page again.");
  const body = answer.headers.get("content-type")?.includes("json") ? await answer.json() : null;
  if (!answer.ok) throw failed(body?.message ?? body?.detail ?? `The server answers ${answer.status}.`);
  return body;
}

/** Sends JSON. */
export const send = (method, path, body) =>
  api(path, {}, { method, headers: { "Content-Type": "application/json" }, body: body === undefined ? undefined : JSON.stringify(body) });

/** Tells the reader something, for some seconds. */
export function tell(text) {
  const line = make("p", {}, text);
  $("told").append(line);
  setTimeout(() => line.remove(), 8000);
}

/** What a button does: once at a time, and what goes wrong is told. */
export const once = (act) => async (event) => {
  const button = event.currentTarget;
  if (button.hasAttribute("aria-busy")) return;
  button.setAttribute("aria-busy", "true"); // not disabled: that would take the focus from it
  try {
    await act();
  } catch (error) {
    tell(error.message);
  } finally {
    button.removeAttribute("aria-busy");
  }
};

/** Fills a place with what a promise gives, or with its error, unless the place was to be filled with something else since. */
export async function fill(place, promise, show) {
  const mine = (place.asked = Symbol());
  place.classList.add("busy");
  place.setAttribute("aria-busy", "true");
  try {
    const found = await promise;
    if (place.asked === mine) show(found);
  } catch (error) {
    if (place.asked === mine) place.replaceChildren(make("p", { class: "error", role: "alert" }, error.message));
  } finally {
    if (place.asked === mine) {
      place.classList.remove("busy");
      place.removeAttribute("aria-busy");
    }
  }
}

const POLL = 3000;
const POLL_MOST = 60_000;

/** Whether what went wrong may go right by itself: nobody answered, or the server could not. */
export const passes = (error) => !(error.status < 500);

/** Fills a place, and again as long as `show` says that there is more to come; also after an error that passes, which is told. */
export function follow(place, ask, show, wait = POLL) {
  const mine = (place.followed = Symbol());
  const later = (after, next) => setTimeout(() => place.followed === mine && follow(place, ask, show, next), after);
  const answer = ask().catch((error) => {
    const goesOn = passes(error);
    if (goesOn) later(wait, Math.min(2 * wait, POLL_MOST));
    throw new Error(`${error.message} ${goesOn ? `Asked again in ${wait / 1000} s.` : "It is not asked for again."}`);
  });
  return fill(place, answer, (found) => show(found) && later(POLL));
}

export const severity = (score) => (score >= 75 ? "critical" : score >= 50 ? "major" : score >= 25 ? "minor" : "warning");
export const iso = (ms) => new Date(ms).toISOString().replace(".000Z", "Z");
const two = (number) => String(number).padStart(2, "0");

/** A time in UTC: 2026-03-24 10:00, with seconds only where they matter. */
export function time(ms) {
  const at = new Date(ms);
  const seconds = at.getUTCSeconds() ? `:${two(at.getUTCSeconds())}` : "";
  return `${at.toISOString().slice(0, 10)} ${two(at.getUTCHours())}:${two(at.getUTCMinutes())}${seconds}`;
}

/** A number to read. */
export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  if (size >= 100 || Number.isInteger(value)) return value.toLocaleString("en-US", { maximumFractionDigits: size >= 1000 ? 0 : 1 });
  return String(Number(value.toPrecision(3)));
}

/** The places of values that are known, those without a gap between them together. */
export function runs(values) {
  const found = [];
  values.forEach((value, n) => {
    if (value === null || value === undefined) return;
    if (found.at(-1)?.at(-1) === n - 1) found.at(-1).push(n);
    else found.push([n]);
  });
  return found;
}

/** What is to be said where an index has more fields than are offered. */
export const leftOut = ({ count, fields }) => (count > fields.length ? ` Only the first ${fields.length.toLocaleString("en-US")} by name are offered.` : "");

/** The first of Elastic's list of one; places stay as they are. */
export const first = (value) => (Array.isArray(value) ? (value.length > 1 ? value.map((part) => part.toFixed(3)).join(", ") : number(value[0])) : number(value));

export const score = (value) =>
  make("span", { class: "score" }, make("span", { class: `dot ${severity(value)}`, "aria-hidden": "true" }), `${Math.round(value)} ${severity(value)}`);

/** The severity of a record, or of an event; of one that maintenance has renormalised also what it was. */
export function severityOf(found, field = "record_score") {
  const shown = score(found[field]);
  const before = found[`initial_${field}`] ?? found[field];
  const renormalised = !found.driftline?.feedback && Math.round(before) !== Math.round(found[field]);
  if (renormalised) shown.append(make("small", { title: "The like came again since, so it is worth less than when it was new." }, ` at first ${Math.round(before)}`));
  return shown;
}

/** The parameters of a record's series. */
export const seriesOf = (record) => ({
  job: record.job_id,
  detector: record.detector_index,
  partition: record.partition_field_value,
  by: record.by_field_value,
  over: record.over_field_value,
});
