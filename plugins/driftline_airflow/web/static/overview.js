// An access log: what is asked for, by whom, and how it is answered. Each value narrows the whole page to it.
import { chart, colour, drawn } from "./charts.js";
import { $, api, fill, iso, make, number, query, root, state, time } from "./common.js";

const TONES = { "1xx": "muted", "2xx": "actual", "3xx": "forecast", "4xx": "minor", "5xx": "critical" };
const TITLES = { url: "URLs", country: "Countries", browser: "Browsers", client: "Clients", host: "Hosts" };
const UNITS = ["bytes", "kB", "MB", "GB", "TB", "PB"];
const chosen = { source: state.source, start: state.start || null, end: state.end || null };
let view = null;

const address = (filters, more = {}) => `${root}overview?${query({ ...chosen, ...filters, ...more })}`;
const share = (part, whole) => (whole ? `${number((100 * part) / whole)} %` : "–");

function size(bytes) {
  const step = bytes > 0 ? Math.min(UNITS.length - 1, Math.floor(Math.log10(bytes) / 3)) : 0;
  return `${number(bytes / 1000 ** step)} ${UNITS[step]}`;
}

/** The filters with one more value, or without it. */
function toggled(name, value) {
  const before = state.filters[name] ?? [];
  return { ...state.filters, [name]: before.includes(value) ? before.filter((each) => each !== value) : [...before, value] };
}

function show(found) {
  view = found;
  const told = [`${number(found.hits)} requests from ${time(Date.parse(found.start))} to ${time(Date.parse(found.end))} UTC`];
  if (found.clients !== null) told.push(`about ${number(found.clients)} clients`);
  if (found.bytes !== null) told.push(size(found.bytes));
  if (found.errors !== null) told.push(`${share(found.errors, found.hits)} answered with an error of the server`);
  $("total").replaceChildren(told.join(" · "));
  const chips = Object.entries(state.filters).flatMap(([name, values]) => values.map((value) => make("a", { class: "chip", href: address(toggled(name, value)), "aria-label": `Remove the filter ${state.names[name]}: ${value}` }, `${state.names[name]}: ${value} ✕`)));
  const classes = Object.keys(found.status_by_time).filter((name) => found.status_by_time[name].some((count) => count));
  const more = classes.filter((name) => !(state.filters.status ?? []).includes(name)).map((name) => make("a", { href: address(toggled("status", name)) }, `only ${name}`));
  $("filters").replaceChildren(...chips, ...more);
  $("tops").replaceChildren(...Object.entries(found.top).map(([name, values]) => top(name, values)));
  $("missing").textContent = found.missing.length ? `The index does not have: ${found.missing.join(", ")}.` : "";
  draw();
}

function top(name, values) {
  const most = Math.max(1, ...values.map((each) => each.hits));
  const failing = values.some((each) => each.errors !== null);
  const rows = values.map((each) =>
    make(
      "tr",
      {},
      make("td", { class: "value" }, make("a", { href: address(toggled(name, each.value)), title: "Only these" }, each.value || "(empty)"), make("div", { class: "meter", "aria-hidden": "true" }, make("span", { style: { width: `${(100 * each.hits) / most}%`, background: "var(--actual)" } }))),
      make("td", { class: "n" }, number(each.hits)),
      make("td", { class: "n" }, share(each.hits, view.hits)),
      failing ? make("td", { class: "n" }, share(each.errors, each.hits)) : null,
    ),
  );
  const heads = [state.names[name], "Requests", "Share", ...(failing ? ["Errors"] : [])];
  return make("section", { class: "card", "aria-label": TITLES[name] }, make("h2", {}, TITLES[name]), rows.length ? make("table", {}, make("thead", {}, make("tr", {}, heads.map((each) => make("th", { scope: "col" }, each)))), make("tbody", {}, rows)) : make("p", { class: "muted" }, "None."));
}

function draw() {
  if (!view || !globalThis.Plotly) return;
  const at = view.times.map(iso);
  const classes = Object.entries(view.status_by_time).filter(([, counts]) => counts.some((count) => count));
  const kinds = classes.length ? classes.map(([name, y]) => ({ y, name, marker: { color: colour(TONES[name]) } })) : [{ y: view.hits_by_time, name: "requests", marker: { color: colour("actual") } }];
  const traces = kinds.map((each) => ({ x: at, type: "bar", offset: 0, width: 950 * view.span, ...each })); // each over its own stretch
  const bars = { barmode: "stack", hovermode: "x unified", legend: { orientation: "h", y: 1.2, x: 1, xanchor: "right" } };
  chart($("hits"), traces, bars).then(() => zoomed($("hits")));
  $("bytes").parentElement.hidden = !view.bytes_by_time.length;
  if (view.bytes_by_time.length) chart($("bytes"), [{ x: at, y: view.bytes_by_time, mode: "lines", fill: "tozeroy", line: { width: 1.3, color: colour("actual") }, name: "bytes" }]).then(() => zoomed($("bytes")));
}

/** A stretch of time that is drawn over becomes that of the page. */
function zoomed(place) {
  place.removeAllListeners("plotly_relayout");
  place.on("plotly_relayout", (change) => {
    const [from, to] = [change["xaxis.range[0]"], change["xaxis.range[1]"]];
    if (from && to) location.assign(address(state.filters, { start: iso(Date.parse(`${from.replace(" ", "T")}Z`)), end: iso(Date.parse(`${to.replace(" ", "T")}Z`)) }));
  });
}

drawn(draw);
fill($("total"), api(`sources/${encodeURIComponent(state.source)}/overview`, { ...chosen, ...state.filters }), show);
