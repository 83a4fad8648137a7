// One series: what was, what was expected, what was found, what is forecast. The data behind it, and why there is no anomaly.
import { $, api, fill, first, iso, make, number, once, passes, query, root, runs, send, severity, severityOf, state, tell, time } from "./common.js";
import { chart, colour, drawn, marks, spread, tint } from "./charts.js";
import { crowd } from "./crowd.js";
import { verdict } from "./feedback.js";
import { model } from "./model.js";

const { job } = state;
const key = { detector: state.detector, partition: state.partition, by: state.by, over: state.over };
const path = `jobs/${encodeURIComponent(job)}`;
const PAGE = 50;
const DEEPEST = 9500; // the last page that the API gives
let view = null;
let raw = { start: null, end: null, offset: 0, columns: null, of: key };

function show(found) {
  view = found;
  $("notes").textContent = [found.thinned > 1 ? `Each point stands for ${found.thinned} buckets: their lowest and highest are shown.` : "", ...found.notes].filter(Boolean).join(" ");
  const warned = found.forecast?.notes ?? [];
  $("ahead").hidden = !warned.length;
  $("ahead").textContent = `Of the forecast: ${warned.join("; ")}.`;
  drawChart();
  showRecords(found.records);
  showEvents(found);
  const last = found.records.toSorted((a, b) => b.record_score - a.record_score)[0];
  if (!$("at").value) $("at").value = last ? iso(last.timestamp) : iso(found.times.at(-1));
}

function traces() {
  const at = view.times.map(iso);
  const out = [];
  if (view.lower.length) {
    out.push(...spread(at, view.lower, view.upper, "expected", tint("band")));
    out.push({ x: at, y: view.typical, mode: "lines", line: { width: 1, dash: "dot", color: colour("muted") }, name: "typical" });
  }
  // of what is joined by lines those have a mark that have no neighbour
  const lines = view.kind === "series";
  const alone = new Set(runs(view.actual).filter((run) => run.length === 1).flat());
  out.push({ x: at, y: view.actual, mode: !lines ? "markers" : alone.size ? "lines+markers" : "lines", line: { width: 1.4, color: colour("actual") }, marker: { size: lines ? at.map((_, n) => (alone.has(n) ? 5 : 0)) : 5, color: colour("actual") }, name: "actual", connectgaps: false });
  const value = new Map(view.times.map((when, n) => [when, view.actual[n]]));
  out.push(...marks(view.records.map((record) => ({ x: iso(record.timestamp), y: value.get(record.timestamp) ?? record.actual?.[0], score: record.record_score, text: record.driftline?.sentence ?? "" }))));
  if (view.forecast) {
    const then = view.forecast.times.map(iso);
    out.push(...spread(then, view.forecast.lower, view.forecast.upper, "forecast, 95 %", tint("forecast")));
    out.push({ x: then, y: view.forecast.prediction, mode: "lines", line: { width: 1.4, color: colour("forecast") }, name: "forecast" });
  }
  return out;
}

function drawChart() {
  if (!view || !globalThis.Plotly) return;
  const shapes = view.events.map((event) => ({ type: "rect", yref: "paper", y0: 0, y1: 1, x0: iso(Date.parse(event.driftline.event.start) || event.timestamp), x1: iso(Date.parse(event.driftline.event.end) || event.timestamp), fillcolor: colour(severity(event.anomaly_score)), opacity: 0.12, line: { width: 0 } }));
  const notes = view.annotations.map((each) => ({ type: "line", yref: "paper", y0: 0, y1: 1, x0: iso(each.timestamp), x1: iso(each.timestamp), line: { width: 1, dash: "dash", color: colour("muted") } }));
  chart($("chart"), traces(), {
    xaxis: { rangeslider: { visible: true, thickness: 0.08, bgcolor: colour("soft") }, rangeselector: { bgcolor: colour("soft"), activecolor: colour("line"), buttons: [{ count: 1, step: "day", label: "1 d" }, { count: 7, step: "day", label: "1 w" }, { count: 1, step: "month", label: "1 mo" }, { step: "all", label: "all" }] } },
    yaxis: { rangemode: "tozero", fixedrange: false },
    legend: { orientation: "h", y: 1.12, x: 1, xanchor: "right" },
    hovermode: "x unified",
    shapes: [...shapes, ...notes, ...crossing()],
  });
  $("chart").removeAllListeners?.("plotly_click");
  $("chart").on?.("plotly_click", ({ points }) => {
    const when = moment(String(points[0].x));
    if (!Number.isNaN(when)) $("at").value = iso(when);
  });
}

/** A time as it is typed, or as a chart has it: in UTC where it names no zone, as the server reads it. */
function moment(text) {
  const zoned = /(Z|[+-]\d\d:?\d\d)$/i.test(text.trim());
  return Date.parse(text.includes(":") && !zoned ? `${text.trim().replace(" ", "T")}Z` : text);
}

/** When a threshold is crossed by the forecast, and between when it may be. */
function crossing() {
  const text = $("threshold").value.trim();
  const wanted = text ? Number(text) : NaN;
  if (Number.isNaN(wanted) || !view) {
    $("crossing").textContent = text && view ? "Which value? Write it as 1500 or 1.5." : "";
    return [];
  }
  const ahead = view.forecast;
  if (!ahead) {
    $("crossing").textContent = "There is no forecast of this series yet.";
  } else {
    const above = ahead.prediction[0] < wanted;
    const crosses = (values) => values.findIndex((value) => (above ? value >= wanted : value <= wanted));
    const [likely, soonest, latest] = [ahead.prediction, above ? ahead.upper : ahead.lower, above ? ahead.lower : ahead.upper].map(crosses);
    const told = (n) => (n < 0 ? "not within the forecast" : time(ahead.times[n]));
    $("crossing").textContent = `${number(wanted)} is ${above ? "reached" : "fallen below"}: ${told(likely)} (soonest ${told(soonest)}, latest ${told(latest)})`;
  }
  return [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: wanted, y1: wanted, line: { width: 1, color: colour("critical") } }];
}

function showRecords(records) {
  const heads = ["Time (UTC)", "Severity", "Actual", "Typical", "What", ""];
  const rows = records
    .toSorted((a, b) => b.record_score - a.record_score)
    .slice(0, 200)
    .map((record) =>
      make(
        "tr",
        {},
        make("td", { class: "time" }, time(record.timestamp)),
        make("td", {}, severityOf(record)),
        make("td", { class: "n" }, first(record.actual)),
        make("td", { class: "n" }, first(record.typical)),
        make("td", { class: "long" }, record.driftline?.sentence ?? ""),
        make("td", { class: "do" }, make("span", { class: "actions" }, make("button", { type: "button", onclick: () => explain(record.timestamp) }, "Why?"), make("button", { type: "button", onclick: () => documents(record.timestamp, record.timestamp + view.bucket_span * 1000) }, "Documents")), verdict(record)),
      ),
    );
  $("records").replaceChildren(make("thead", {}, make("tr", {}, heads.map((name) => make("th", { scope: "col" }, name)))), make("tbody", {}, rows));
  if (!rows.length) $("records").append(make("caption", { class: "muted" }, "Nothing unusual was found in this stretch of time."));
}

function showEvents({ events, annotations }) {
  const lines = [
    ...events.map((event) => [event.timestamp, `${(event.driftline.event.kind || "incident").replace("_", " ")}, score ${Math.round(event.anomaly_score)}`, event.driftline.sentence]),
    ...annotations.map((each) => [each.timestamp, "annotation", each.annotation]),
  ].toSorted((a, b) => a[0] - b[0]);
  $("events").replaceChildren(lines.length ? make("ul", {}, lines.map(([at, kind, text]) => make("li", {}, `${time(at)} · ${kind}: ${text}`))) : make("p", { class: "muted" }, "None."));
}

function explain(at) {
  $("at").value = typeof at === "number" ? iso(at) : at;
  $("told-why").hidden = false;
  fill($("why-text"), api(`${path}/explain`, { ...key, at: $("at").value }), (found) => $("why-text").replaceChildren(...found.series.map(told)));
  $("told-why").scrollIntoView({ block: "nearest" });
}

function told(each) {
  const evidence = Object.entries(each.evidence ?? {}).filter(([, one]) => one.surprise > 0);
  return make(
    "div",
    {},
    make("p", {}, make("strong", {}, each.conclusion)),
    make(
      "dl",
      { class: "facts" },
      make("dt", {}, "actual"), make("dd", {}, number(each.actual)),
      each.expected ? [make("dt", {}, "expected"), make("dd", {}, `${number(each.expected.lower)} to ${number(each.expected.upper)}, typically ${number(each.expected.typical)}`)] : null,
      each.score === null ? null : [make("dt", {}, "score"), make("dd", {}, number(each.score))],
      each.predictability ? [make("dt", {}, "predictability"), make("dd", {}, each.predictability)] : null,
      each.suppressed.map((rule) => [make("dt", {}, "rule"), make("dd", {}, rule.why)]),
      evidence.map(([name, one]) => [make("dt", {}, name), make("dd", {}, `${one.means}: ${number(one.surprise)} (−log10 p)`)]),
    ),
  );
}

function documents(start, end, { offset = 0, of = key } = {}) {
  raw = { ...raw, start, end, offset, of };
  $("raw-section").hidden = false;
  fill($("raw-table"), api(`${path}/series/documents`, { ...of, start: iso(start), end: iso(end), limit: PAGE, offset }), showDocuments);
  $("raw-section").scrollIntoView({ block: "nearest" });
}

function flat(value, prefix = "", out = {}) {
  for (const [name, each] of Object.entries(value)) {
    const full = prefix ? `${prefix}.${name}` : name;
    if (each !== null && typeof each === "object" && !Array.isArray(each)) flat(each, full, out);
    else out[full] = Array.isArray(each) ? each.join(", ") : each;
  }
  return out;
}

function showDocuments({ total, documents: found }) {
  const rows = found.map((each) => flat(each._source));
  const names = [...new Set(rows.flatMap(Object.keys))].toSorted();
  if (names.length) raw.columns ??= names.slice(0, 8);
  const columns = raw.columns ?? [];
  $("raw-tools").replaceChildren(
    make("span", { class: "muted" }, `${total.toLocaleString("en-US")} documents from ${time(raw.start)} to ${time(raw.end)} UTC`),
    make("button", { type: "button", disabled: !raw.offset, onclick: () => documents(raw.start, raw.end, { ...raw, offset: raw.offset - PAGE }) }, "Previous"),
    make("button", { type: "button", disabled: raw.offset + PAGE >= Math.min(total, DEEPEST + PAGE), onclick: () => documents(raw.start, raw.end, { ...raw, offset: raw.offset + PAGE }) }, "Next"),
    make("details", { class: "pick", open: $("raw-tools").querySelector("details")?.open }, make("summary", {}, "Columns"), make("fieldset", {}, make("legend", {}, "Columns"), names.map((name) => make("label", {}, make("input", { type: "checkbox", checked: columns.includes(name), onchange: (event) => column(name, event.target.checked, { total, documents: found }) }), name)))),
  );
  $("raw-table").replaceChildren(
    make("thead", {}, make("tr", {}, columns.map((name) => make("th", { scope: "col" }, name)))),
    make("tbody", {}, rows.map((row) => make("tr", {}, columns.map((name) => make("td", { class: "value" }, row[name] === undefined ? "" : String(row[name])))))),
  );
}

function column(name, wanted, found) {
  raw.columns = wanted ? [...raw.columns, name] : raw.columns.filter((each) => each !== name);
  showDocuments(found);
}

let waiting = null;
for (const input of document.querySelectorAll("input[data-split]")) {
  input.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(async () => {
      const found = await api(`${path}/series`, { detector: key.detector, q: input.value, limit: 50 });
      const values = new Set(found.series.map((each) => each[`${input.dataset.split}_value`]));
      $("names").replaceChildren(...[...values].map((value) => make("option", { value })));
    }, 150);
  });
}
for (const name of ["job", "detector"]) {
  document.querySelector(`#choice select[name=${name}]`).addEventListener("change", (event) => {
    const next = { job: document.querySelector("#choice select[name=job]").value };
    if (name === "detector") next.detector = event.target.value;
    location.search = `?${query(next)}`;
  });
}
$("why").addEventListener("click", () => explain($("at").value));
$("raw").addEventListener("click", () => {
  if (!view) return tell("The series is still being loaded.");
  const at = Math.floor(moment($("at").value) / (view.bucket_span * 1000)) * view.bucket_span * 1000;
  if (Number.isNaN(at)) return tell("Which time? Write it as 2026-03-24T10:00Z, or click a point of the chart.");
  documents(at, at + view.bucket_span * 1000);
});
$("threshold").addEventListener("input", drawChart);
$("forecast")?.addEventListener("click", once(async () => {
  const value = key.by ?? key.partition;
  const run = await send("POST", `${path}/forecast`, { duration: $("duration").value, partitions: value === null || value === undefined ? [] : [value] });
  const whole = value === null || value === undefined ? " of all series of the job" : "";
  tell(`The forecast${whole} runs (${run.run_id}); it is shown when it is done.`);
  await followed(run);
}));

/** Waits for a run, and shows what it has made. */
async function followed(run) {
  const { state: now } = await api(`${path}/runs/forecast/${encodeURIComponent(run.run_id)}`).catch((error) => (passes(error) ? {} : Promise.reject(error)));
  if (now === "failed") return tell("The forecast failed: its log, in Airflow, says why.");
  if (now === "success") return load();
  setTimeout(() => followed(run).catch((error) => tell(error.message)), 3000);
}

const load = () => fill($("notes"), api(`${path}/series/values`, { ...key, start: state.start, end: state.end }), show);
drawn(drawChart);
if (state.look) crowd(path, (start, end, of) => documents(start, end, { of }));
if ($("model")) model($("model"), path, { ...key, start: state.start, end: state.end });
if (state.ready) load();
