// Making an analysis: fields are those of the index, and what is wrong is said as one types.
import { $, api, leftOut, make, number, root, send, state } from "./common.js";
import { path } from "./analysis_parts.js";

const WHOLE = new Set(["num_leaves", "max_trees", "n_neighbors", "randomize_seed", "max_optimization_rounds_per_hyperparameter", "num_top_feature_importance_values"]);
const SHARED = ["training_percent", "num_top_feature_importance_values", "max_optimization_rounds_per_hyperparameter", "eta", "gamma", "lambda", "feature_bag_fraction", "downsample_factor", "num_leaves", "max_trees", "randomize_seed"];
const SETTINGS = {
  classification: [...SHARED, "class_assignment_objective"],
  regression: [...SHARED, "loss_function"],
  outlier_detection: ["method", "n_neighbors", "outlier_fraction", "randomize_seed"],
};
const SUFFIX = { classification: "classification", regression: "regression", outlier_detection: "outliers" };
const form = $("analysis");
const excluded = new Set();
let types = {}; // field → type, of the index
let usable = []; // those that can be looked at
let asked = 0;
let looked = 0;
let saved = null; // what was saved here may be saved anew; any other analysis of its id is somebody else's
const proposed = { analytics_id: "", dest: "", new_dest: "" };
const type = () => form.elements.type.value;

const option = (value, selected = false) => make("option", { value, selected }, value);
const trimmed = (name) => form.elements[name].value.trim();

async function indices(text) {
  const found = await api("draft/indices", { q: text.replaceAll("*", "") });
  $("indices").replaceChildren(...found.indices.map((each) => make("option", { value: each.index }, `${number(each.documents)} documents`)));
}

async function look() {
  const mine = ++looked;
  if (!trimmed("index")) return;
  const found = await api("draft/fields", { index: trimmed("index") }).catch((error) => ({ fields: [], error }));
  if (mine !== looked) return; // another index was chosen since
  const { fields, error } = found;
  types = Object.fromEntries(fields.map((each) => [each.name, each.type]));
  $("read").textContent = error?.message ?? (fields.length ? leftOut(found) : "There is no such index, or it has no field that can be used.");
  excluded.clear();
  usable = [];
  labels();
  propose();
  changed();
}

/** Only fields that fit can be predicted; a field that is called so is proposed. */
function labels() {
  const fits = new Set(type() === "regression" ? state.types.numbers : state.types.classes);
  const names = Object.keys(types).filter((name) => fits.has(types[name]));
  const before = form.elements.dependent_variable.value;
  const likely = names.find((name) => /^(label|tag|class|target|category)$/.test(name.split(".").at(-1)));
  const wanted = names.includes(before) ? before : type() === "classification" ? likely : null;
  form.elements.dependent_variable.replaceChildren(option("", !wanted), ...names.map((name) => option(name, name === wanted)));
}

/** Names that nobody has typed over follow the index and the type. */
function propose() {
  const base = trimmed("index").replace(/[^a-z0-9_-]+/gi, "-").toLowerCase().replace(/^[-_]+|[-_]+$/g, "");
  if (!base) return;
  const name = `${base}-${SUFFIX[type()]}`.slice(0, 64).replace(/[-_]+$/, "");
  const dest = trimmed("index").includes("*") ? `analytics-${name}` : name; // what a pattern covers would be read from
  for (const [field, value] of Object.entries({ analytics_id: name, dest, new_dest: `${dest}-new` })) {
    if (trimmed(field) === proposed[field]) form.elements[field].value = value;
    proposed[field] = value;
  }
}

function definition() {
  const settings = {};
  for (const name of SETTINGS[type()]) {
    const { value, type: kind } = form.elements[name];
    if (value !== "") settings[name] = kind === "number" || kind === "range" ? (WHOLE.has(name) ? Math.round(Number(value)) : Number(value)) : value;
  }
  if (type() !== "outlier_detection") settings.dependent_variable = form.elements.dependent_variable.value;
  const listed = (name) => trimmed(name).split(",").map((each) => each.trim()).filter(Boolean);
  const made = {
    analytics_id: trimmed("analytics_id"),
    ...(trimmed("description") ? { description: trimmed("description") } : {}),
    source: { index: listed("index"), ...(trimmed("query") ? { query: JSON.parse(trimmed("query")) } : {}) },
    dest: { index: trimmed("dest") },
    analysis: { [type()]: settings },
  };
  if (type() !== "outlier_detection" && form.elements.infers.checked) made.inference = { ...(trimmed("new_index") ? { index: listed("new_index") } : {}), dest: trimmed("new_dest"), schedule: form.elements.new_schedule.value };
  return excluded.size ? { ...made, analyzed_fields: { excludes: [...excluded] } } : made;
}

let waiting = null;
function changed() {
  $("percent").textContent = form.elements.training_percent.value;
  for (const each of document.querySelectorAll(".of-label, #label")) each.hidden = type() === "outlier_detection";
  for (const [name, kind] of [["classification", "classification"], ["regression", "regression"], ["outliers", "outlier_detection"]]) for (const each of document.querySelectorAll(`.of-${name}`)) each.hidden = type() !== kind;
  for (const each of document.querySelectorAll(".of-new")) each.hidden = !form.elements.infers.checked;
  $("save").disabled = true;
  clearTimeout(waiting);
  waiting = setTimeout(check, 300);
}

const wrong = (...texts) => $("problems").replaceChildren(...texts.map((text) => make("p", { class: "error" }, text)));

async function check() {
  const mine = ++asked;
  let made;
  try {
    made = definition();
  } catch (error) {
    return wrong(`The query is no JSON: ${error.message}`);
  }
  $("definition").textContent = JSON.stringify(made, null, 2);
  if (!made.source.index.length) return $("problems").replaceChildren(make("p", { class: "muted" }, "An index is needed."));
  if (type() !== "outlier_detection" && !form.elements.dependent_variable.value) return $("problems").replaceChildren(make("p", { class: "muted" }, "A dependent variable is needed: what is predicted."));
  const found = await send("POST", "analytics/validate", made).catch((error) => ({ valid: false, problems: [error.message] }));
  if (mine !== asked) return; // typed on since
  if (!found.valid) return wrong(...found.problems.map((text) => `${found.where ? `${found.where}: ` : ""}${text}${found.fix ? `. ${found.fix}` : ""}`));
  $("read").textContent = `${number(found.documents)} documents.`;
  $("classes").textContent = found.classes.length ? `${number(found.classes.length)} classes: ${found.classes.slice(0, 8).map((each) => `${each.class_name} ${number(each.documents)}`).join(", ")}${found.classes.length > 8 ? " …" : ""}` : "";
  boxes(Object.keys(found.fields));
  const chosen = usable.filter((name) => !excluded.has(name));
  if (!chosen.length) return wrong("A field is needed that can be learned from.");
  $("problems").replaceChildren(make("p", { class: "muted" }, "This can be created."));
  $("save").disabled = false;
}

/** A box for each field that can be looked at; what is not chosen stays in the list. */
function boxes(found) {
  const label = form.elements.dependent_variable.value;
  const every = [...new Set([...found, ...excluded])].filter((name) => name !== label).toSorted();
  if (every.join("\n") !== usable.join("\n")) {
    usable = every;
    $("fields").replaceChildren(...every.map((name) => make("label", {}, make("input", { type: "checkbox", "data-field": name, checked: !excluded.has(name) }), ` ${name} `, make("small", {}, types[name] ?? "text"))));
  }
  $("chosen").textContent = `${number(usable.filter((name) => !excluded.has(name)).length)} of ${number(usable.length)} fields`;
}

function choose(box, on) {
  box.checked = on;
  if (on) excluded.delete(box.dataset.field);
  else excluded.add(box.dataset.field);
}

function every(on) {
  for (const box of $("fields").querySelectorAll("input")) choose(box, on);
  changed();
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const made = definition();
  $("save").disabled = true;
  try {
    await send("PUT", `${path(made.analytics_id)}?create=${made.analytics_id !== saved}`, made);
    saved = made.analytics_id;
  } catch (error) {
    $("save").disabled = false;
    return wrong(error.message);
  }
  $("made").hidden = false;
  $("made-text").textContent = `Its DAG ${made.analytics_id}.analyze appears within seconds; then it starts …`;
  $("made").scrollIntoView({ block: "nearest" });
  begin(made.analytics_id);
});

/** Waits for the DAG, starts it, and goes to where the run is followed. */
async function begin(id) {
  const stats = await api(`${path(id)}/stats`).catch(() => null);
  if (!stats?.dag) return setTimeout(() => begin(id), 2000);
  try {
    await send("POST", `${path(id)}/start`);
    location.assign(`${root}${path(id)}`);
  } catch (error) {
    $("made-text").replaceChildren(make("span", { class: "error" }, error.message), " ", make("a", { href: `${root}${path(id)}` }, "To the analysis"));
  }
}

form.addEventListener("input", (event) => {
  if (event.target.dataset.field) choose(event.target, event.target.checked);
  if (event.target.name === "type") labels();
  if (["type", "index"].includes(event.target.name)) propose();
  changed();
});
form.elements.index.addEventListener("input", (event) => indices(event.target.value));
form.elements.index.addEventListener("change", look);
$("all").addEventListener("click", () => every(true));
$("none").addEventListener("click", () => every(false));
indices("");
changed();
if (state.index) {
  form.elements.index.value = state.index;
  look();
}
