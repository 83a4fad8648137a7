// Documents with their predictions, page by page: filtered, sorted, and one explained.
import { $, api, fill, make, number, query, state } from "./common.js";
import { path, percent, table } from "./analysis_parts.js";

const PAGE = 25;
const COLUMNS = 6; // fields beside what was found; the explanation shows all
const PARTS = { held_back: "held back", training: "learned from", "": "all" };
const SORTS = {
  classification: { errors: "errors first", "probability-asc": "least sure first", "probability-desc": "surest first" },
  regression: { errors: "largest errors first", "error-desc": "too high first", "error-asc": "too low first", "prediction-desc": "highest first", "prediction-asc": "lowest first" },
  outlier_detection: { errors: "highest scores first", "score-asc": "lowest scores first" },
};
const of = new URLSearchParams(location.search);
const chosen = { predicted: of.get("predicted"), actual: of.get("actual"), errors: of.get("errors"), part: of.get("part") ?? (state.label ? "held_back" : null), field: of.get("field"), value: of.get("value"), sort: of.get("sort") ?? "errors", doc: of.get("doc") };
let first = Number(of.get("first")) || 0;
let fields = [];
let form = null;

const text = (value) => (value === null || value === undefined ? "" : typeof value === "number" ? number(value) : typeof value === "object" ? JSON.stringify(value) : String(value));
const given = () => Object.fromEntries(Object.entries(chosen).filter(([, value]) => value !== null && value !== ""));

/** Makes the filters, and shows the first page. */
export function rows(evaluation, ordered) {
  fields = ordered;
  filters(evaluation);
  show();
  if (chosen.doc) open(chosen.doc);
}

/** Narrows to a cell of the matrix, which counts what was held back. */
export function cell(actual, predicted) {
  Object.assign(chosen, { actual, predicted, part: "held_back", errors: null });
  for (const [name, value] of Object.entries({ actual, predicted, part: "held_back" })) form.elements[name].value = value;
  form.elements.errors.checked = false;
  again();
  $("rows-title").scrollIntoView({ block: "start" });
}

const select = (label, name, options) => make("label", {}, `${label} `, make("select", { name }, Object.entries(options).map(([value, told]) => make("option", { value, selected: value === (chosen[name] ?? "") }, told))));

function filters(evaluation) {
  form = $("filters");
  const classes = evaluation.classes?.length ? { "": "any", ...Object.fromEntries(evaluation.classes.map((name) => [name, name])) } : null;
  const names = make("datalist", { id: "fields" }, fields.map((name) => make("option", { value: name })));
  form.replaceChildren(
    ...(classes ? [select("Actual", "actual", classes), select("Predicted", "predicted", classes), make("label", {}, make("input", { type: "checkbox", name: "errors", checked: Boolean(chosen.errors) }), " only errors")] : []),
    ...(state.label ? [select("Documents", "part", PARTS)] : []),
    make("label", {}, "Field ", make("input", { name: "field", list: "fields", size: 22, value: chosen.field ?? "", spellcheck: "false" })),
    make("label", {}, "is ", make("input", { name: "value", size: 18, value: chosen.value ?? "", spellcheck: "false" })),
    names,
    select("Order", "sort", SORTS[state.type]),
    make("button", { type: "button", onclick: clear }, "All"),
  );
  form.onchange = take;
  form.onsubmit = (event) => (event.preventDefault(), take());
}

function take() {
  for (const name of ["actual", "predicted", "part", "field", "value", "sort"]) if (form.elements[name]) chosen[name] = form.elements[name].value;
  if (form.elements.errors) chosen.errors = form.elements.errors.checked ? "true" : null;
  again();
}

function clear() {
  for (const name of ["actual", "predicted", "part", "field", "value"]) if (form.elements[name]) form.elements[name].value = "";
  if (form.elements.errors) form.elements.errors.checked = false;
  take();
}

function again() {
  first = 0;
  kept();
  show();
}

/** The address holds what is chosen, so that it can be sent to somebody. */
function kept() {
  const asked = query({ ...given(), part: state.label ? (chosen.part ?? "") : null, first: first || null });
  history.replaceState(null, "", asked ? `?${asked}` : location.pathname);
}

function show() {
  const { sort, doc, value, ...asked } = given();
  const [name, order] = sort.split("-");
  const by = { sort: name, desc: order === "asc" ? "false" : "true" };
  return fill($("rows"), api(`${path(state.id)}/results`, { ...asked, ...(asked.field ? { value: value ?? "" } : {}), ...by, size: PAGE, first }), ({ total, rows: found }) => {
    const some = fields.slice(0, COLUMNS);
    const heads = [...HEADS[state.type], "", ...some];
    table($("rows"), heads, found.map((row) => [...CELLS[state.type](row), make("span", { class: "actions" }, make("button", { type: "button", "aria-label": `Why: document ${row.id}`, onclick: () => open(row.id) }, "Why")), ...some.map((field) => cut(row.document[field]))]));
    if (!found.length) $("rows").replaceChildren(make("tbody", {}, make("tr", {}, make("td", { class: "empty" }, "There are no such documents."))));
    $("count").textContent = `${number(total)} documents`;
    const step = (to, label, on) => make("button", { type: "button", disabled: !on, onclick: () => ((first = to), kept(), show()) }, label);
    $("pager").replaceChildren(step(Math.max(0, first - PAGE), "Earlier page", first > 0), ` ${found.length ? number(first + 1) : 0} to ${number(first + found.length)} of ${number(total)} `, step(first + PAGE, "Next page", first + found.length < total && first + 2 * PAGE <= 9500));
  });
}

const part = (row) => make("small", {}, row.result.is_training ? "learned from" : row.actual === null ? "no label" : "held back");
const HEADS = {
  classification: ["Actual", "Predicted", "Probability", "Document"],
  regression: ["Actual", "Predicted", "Off by", "Document"],
  outlier_detection: ["Score", "Because of"],
};
const CELLS = {
  classification: (row) => {
    const wrong = row.result.driftline?.correct === false;
    return [row.actual ?? "–", make("span", { class: `badge ${wrong ? "bad" : row.actual === null ? "" : "good"}` }, wrong ? "✗ " : "", text(row.predicted)), percent(row.result.prediction_probability), part(row)];
  },
  regression: (row) => [text(row.actual) || "–", row.predicted, row.result.driftline?.error ?? "–", part(row)],
  outlier_detection: (row) => [number(row.result.outlier_score), (row.result.feature_influence ?? []).filter((each) => each.influence > 0).slice(0, 3).map((each) => make("div", {}, `${each.feature_name} `, make("small", {}, number(each.influence))))],
};

/** A value on one line; what does not fit is told when it is pointed at, and by the explanation. */
const cut = (value) => make("span", { class: "cut", title: text(value) }, text(value));

/** Explains one document. */
export function open(id) {
  chosen.doc = id;
  kept();
  $("why").hidden = false;
  $("why-title").textContent = `Why: document ${id}`;
  fill($("why-body"), api(`${path(state.id)}/results/${encodeURIComponent(id)}/explain`), (found) => $("why-body").replaceChildren(...explained(found)));
  $("why").scrollIntoView({ block: "nearest" });
  $("why").focus({ preventScroll: true });
}

function explained(found) {
  const document = make("details", { class: "panel" }, make("summary", {}, "The document"), make("dl", { class: "facts" }, Object.entries(found.document).map(([name, value]) => [make("dt", {}, name), make("dd", {}, text(value))])));
  const told = make("table", { class: "bars" });
  if (!found.features.length) return [make("p", { class: "muted" }, "Nothing is told of this document: its score is too low."), document];
  const classes = found.classes?.length > 2 ? [...new Set([found.predicted, found.actual].filter((name) => found.classes.includes(name)))] : [];
  const value = (each, name) => (name ? each.classes.find((one) => one.class_name === name).importance : (each.importance ?? each.influence));
  const most = Math.max(1e-12, ...found.features.flatMap((each) => (classes.length ? classes.map((name) => Math.abs(value(each, name))) : [Math.abs(value(each))])));
  const towards = found.classes?.length === 2 ? `towards ${found.classes[1]} (+) or ${found.classes[0]} (−)` : state.label ? "adds" : "influence";
  const heads = classes.length ? classes.map((name) => `${name === found.predicted ? "for" : "for the actual"} ${name}`) : [towards];
  table(told, ["Field", "Value", ...heads], found.features.map((each) => [each.feature_name, make("span", { class: "value" }, text(each.value) || "–"), ...(classes.length ? classes : [null]).map((name) => bar(value(each, name), most))]));
  return [summary(found), make("div", { class: "scroll", tabindex: 0, role: "region", "aria-labelledby": "why-title" }, told), document];
}

function summary(found) {
  if (!state.label) return make("p", {}, `Score ${number(found.result.outlier_score)}`);
  const chances = (found.result.top_classes ?? []).map((each) => `${each.class_name} ${percent(each.class_probability)}`).join(", ");
  return make("p", {}, "Predicted ", make("strong", {}, text(found.predicted)), found.actual === null ? "" : [", actually ", make("strong", {}, text(found.actual))], chances ? `; ${chances}` : "", make("span", { class: "muted" }, ` · ${found.model_id}`));
}

/** A bar to the left or to the right of the middle, with its number. */
function bar(value, most) {
  const width = `${(50 * Math.abs(value)) / most}%`;
  const style = value < 0 ? { right: "50%", width } : { left: "50%", width };
  return make("span", { class: "bar-of" }, make("span", { class: "track", "aria-hidden": "true" }, make("span", { class: value < 0 ? "against" : "towards", style })), make("span", { class: "figure" }, `${value > 0 ? "+" : value < 0 ? "−" : ""}${number(Math.abs(value))}`));
}
