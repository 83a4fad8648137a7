// Making a job: fields are those of the index, what is wrong is said as one types, and what it would have found is drawn.
import { $, api, fill, leftOut, make, query, root, send, state, tell } from "./common.js";
import { plot } from "./plot.js";

const NUMBERS = new Set(["long", "integer", "short", "byte", "double", "float", "half_float", "scaled_float", "unsigned_long"]);
const form = $("job");
let fields = [];
let asked = 0;
let looked = 0;
let saved = null; // what was saved here may be saved anew; any other job of its id is somebody else's

const option = (value, name = value, selected = false) => make("option", { value, selected }, name);
const named = (types) => fields.filter((field) => !types || types.has(field.type)).map((field) => field.name);

async function indices(text) {
  const found = await api("draft/indices", { q: text.replaceAll("*", "") });
  $("indices").replaceChildren(...found.indices.map((each) => make("option", { value: each.index }, `${each.documents.toLocaleString("en-US")} documents`)));
}

async function look() {
  const index = form.elements.index.value.trim();
  const mine = ++looked;
  if (!index) return;
  const found = await api("draft/fields", { index }).catch((error) => ({ fields: [], error }));
  if (mine !== looked) return; // another index was chosen since
  ({ fields } = found);
  if (found.error) {
    $("fields").textContent = found.error.message;
    return;
  }
  $("fields").textContent = fields.length ? `${found.count.toLocaleString("en-US")} fields can be used.${leftOut(found)}` : "There is no such index, or it has no field that can be used.";
  const dates = named(new Set(["date", "date_nanos"]));
  form.elements.time_field.replaceChildren(...dates.map((name) => option(name, name, name === "@timestamp")));
  form.elements.influencers.replaceChildren(...named(new Set(["keyword", "ip", "boolean"])).map((name) => option(name)));
  for (const each of $("detectors").children) choices(each);
  changed();
}

/** Fills a detector's choices with the fields that fit. */
function choices(place) {
  const about = state.functions[place.querySelector("[name=function]").value];
  const types = about.field === "number" ? NUMBERS : about.field === "geo_point" ? new Set(["geo_point"]) : null;
  renew(place.querySelector("[name=field_name]"), about.field ? named(types) : []);
  place.querySelector("[name=field_name]").disabled = !about.field;
  for (const split of ["partition_field_name", "by_field_name", "over_field_name"]) renew(place.querySelector(`[name=${split}]`), named(new Set(["keyword", "ip", "boolean", "long", "integer"])));
}

function renew(select, names) {
  const before = select.value;
  select.replaceChildren(option("", "–"), ...names.map((name) => option(name, name, name === before)));
}

function detector() {
  const select = (name, label, options) => make("label", {}, `${label} `, make("select", { name }, options));
  const functions = Object.keys(state.functions).map((name) => option(name, name, name === "count"));
  const place = make(
    "div",
    { class: "controls", role: "group", "aria-label": "Detector" },
    select("function", "Function", functions),
    select("field_name", "of", []),
    select("partition_field_name", "for each", []),
    select("by_field_name", "by", []),
    select("over_field_name", "over", []),
    make("button", { type: "button", onclick: () => (place.remove(), changed()) }, "Remove"),
  );
  place.querySelector("[name=function]").addEventListener("change", () => choices(place));
  $("detectors").append(place);
  choices(place);
}

function definition() {
  const { index, time_field, bucket_span, influencers, historical, job_id, description } = form.elements;
  const detectors = [...$("detectors").children].map((place) => {
    const given = [...place.querySelectorAll("select")].filter((select) => select.value && !select.disabled);
    return Object.fromEntries(given.map((select) => [select.name, select.value]));
  });
  return {
    job_id: job_id.value.trim(),
    ...(description.value.trim() ? { description: description.value.trim() } : {}),
    bucket_span: bucket_span.value,
    detectors,
    influencers: [...influencers.selectedOptions].map((each) => each.value),
    time_field: time_field.value || "@timestamp",
    datafeed: { indices: [index.value.trim()], ...(historical.checked ? { historical: true } : {}) },
  };
}

let waiting = null;
function changed() {
  $("definition").textContent = JSON.stringify(definition(), null, 2);
  clearTimeout(waiting);
  waiting = setTimeout(() => (check(), sketch()), 300);
}

let seen = "";
/** The series as they are, drawn anew when what is looked at has changed. */
async function sketch() {
  const { detectors, bucket_span, time_field, datafeed } = definition();
  const made = { job_id: "draft", detectors, bucket_span, time_field, datafeed };
  const mine = JSON.stringify(made);
  if (mine === seen || !fields.length || !detectors.length) return;
  seen = mine;
  const answer = await send("POST", "draft/series", made).catch((error) => ({ series: [], notes: [error.message] }));
  if (mine !== seen) return; // chosen on since
  const notes = answer.series.length ? answer.notes : [answer.notes[0] ?? "There is nothing to draw."];
  $("series").replaceChildren(...answer.series.map((view) => make("figure", {}, make("figcaption", {}, view.label), plot({ lower: [], upper: [], records: [], ...view }))));
  $("series-notes").replaceChildren(...notes.map((note) => make("p", { class: "muted" }, note)));
}

async function check() {
  const mine = ++asked;
  const made = definition();
  if (!made.job_id || !made.datafeed.indices[0]) return $("problems").replaceChildren(make("p", { class: "muted" }, "An index and an id are needed."));
  const found = await send("POST", "validate", made).catch((error) => ({ valid: false, problems: [error.message] }));
  if (mine !== asked) return; // typed on since
  const told = found.valid ? [make("p", { class: "muted" }, "This can be saved."), ...found.notes.map((note) => make("p", { class: "muted" }, note))] : found.problems.map((text) => make("p", { class: "error" }, text));
  $("problems").replaceChildren(...told);
  $("save").disabled = !found.valid;
}

/** The span that suits the data is taken over, with the reason beside it. */
$("suggest").addEventListener("click", () => {
  const { job_id, ...made } = definition();
  fill($("suggested"), send("POST", "draft/estimate", { ...made, job_id: job_id || "draft" }), ({ bucket_span: told }) => {
    const spans = form.elements.bucket_span;
    if (told.suggested) {
      if (![...spans.options].some((each) => each.value === told.suggested)) spans.append(option(told.suggested));
      spans.value = told.suggested;
      changed();
    }
    $("suggested").textContent = `${told.suggested ?? "Any"}: ${told.reason}`;
  });
});

$("preview").addEventListener("click", () => {
  $("found").hidden = false;
  $("charts").replaceChildren();
  fill($("alarms"), send("POST", "draft/preview", definition()), (found) => {
    const told = found.alarms.map((each) => `${each.alarms} ${each.severity} and up (${each.alarms_a_week.toFixed(1)} a week)`);
    $("alarms").replaceChildren(make("p", {}, `The largest ${found.series.length} series, replayed with models that knew only what came before: ${told.join(", ")}.`), ...found.notes.map((note) => make("p", { class: "muted" }, note)));
    $("charts").replaceChildren(...found.series.map((view) => make("figure", {}, make("figcaption", {}, view.label), plot(view))));
  });
  $("found").scrollIntoView({ block: "nearest" });
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const made = definition();
  $("save").disabled = true;
  try {
    await send("PUT", `jobs/${encodeURIComponent(made.job_id)}?create=${made.job_id !== saved}`, made);
    saved = made.job_id;
  } catch (error) {
    return $("problems").replaceChildren(make("p", { class: "error", role: "alert" }, error.message));
  } finally {
    $("save").disabled = false;
  }
  $("made").hidden = false;
  $("made-text").textContent = `Its DAGs ${made.job_id}.train, ${made.job_id}.score and ${made.job_id}.forecast appear within seconds …`;
  $("made-links").replaceChildren(make("a", { href: `${root}jobs` }, "Jobs"), make("a", { href: `${root}explorer?${query({ job: made.job_id })}` }, "Its anomalies"));
  $("made").scrollIntoView({ block: "nearest" });
  appear(made.job_id);
});

/** Waits for the DAGs, and then lets the first run be started. */
async function appear(job) {
  const found = await api(`jobs/${encodeURIComponent(job)}/health`).catch(() => null);
  if (!found?.dags.score) return setTimeout(() => appear(job), 2000);
  $("made-text").textContent = `Its DAGs are there: ${job}.train, ${job}.score, ${job}.forecast.`;
  $("made-links").append(
    make(
      "button",
      {
        type: "button",
        class: "primary",
        onclick: async (event) => {
          event.target.disabled = true;
          await send("POST", `jobs/${encodeURIComponent(job)}/score`, {}).then(() => tell("Scoring has started; it trains first."), (error) => tell(error.message));
        },
      },
      "Train and score now",
    ),
  );
}

form.addEventListener("input", changed);
form.elements.index.addEventListener("input", (event) => indices(event.target.value));
form.elements.index.addEventListener("change", look);
$("more").addEventListener("click", () => (detector(), changed()));
detector();
indices("");
if (state.index) {
  form.elements.index.value = state.index;
  look();
}
