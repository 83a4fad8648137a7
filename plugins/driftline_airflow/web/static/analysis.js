// The results of an analysis: how its run is doing, how good it is, and what it found.
import { $, api, follow, make, number, once, root, send, state, tell } from "./common.js";
import { at, badge, goesOn, measured, path, percent, progress } from "./analysis_parts.js";
import { drawn } from "./charts.js";
import { byClass, curves, histogram, importance, matrix, pairs, scatter } from "./analysis_charts.js";
import { cell, open, rows } from "./analysis_rows.js";

const MOST_AXES = 5; // ten pairs
const AXES = 4;
const POINTS = 700;
let seen = null; // the run whose results are shown

function run() {
  return follow($("run"), () => api(`${path(state.id)}/stats`), (stats) => {
    const { last } = stats;
    $("run").replaceChildren(
      ...[progress(stats), last && last.verdict !== "pass" ? make("span", {}, "quality ", badge(last.verdict)) : "", ...(state.may_edit && stats.dag ? buttons(stats) : [])].filter((each) => each !== ""),
    );
    const ended = last?.["@timestamp"] ?? stats.model_id;
    if (!ended) $("good").replaceChildren(make("p", { class: "empty" }, "There is no result yet."));
    else if (ended !== seen) {
      seen = ended;
      results();
    }
    return goesOn(stats);
  });
}

function buttons(stats) {
  const button = (name, action, told, main = false) =>
    make("button", { type: "button", class: main ? "primary" : null, onclick: once(() => send("POST", `${path(state.id)}/${action}`, action === "infer" ? {} : undefined).then(() => (tell(told), run()))) }, name);
  const infer = state.infers && stats.last ? [button("Predict for new documents", "infer", "The DAG for new documents has started.")] : [];
  if (stats.state === "started") return [button("Stop", "stop", "It is being stopped."), ...infer];
  return [button(stats.last ? "Run again" : "Start", "start", "It has started.", !stats.last), ...infer];
}

function results() {
  follow($("good"), () => api(`${path(state.id)}/evaluation`), (found) => {
    $("good").replaceChildren(...SHOWN[state.type](found));
    for (const each of document.querySelectorAll(".of-results")) each.hidden = false;
    if (found.total_feature_importance) importance($("importance"), $("importances"), found.total_feature_importance);
    if (state.type !== "outlier_detection") rows(found, byImportance(found));
  });
}

/** Fields, those that matter most first. */
function byImportance({ fields, total_feature_importance: found }) {
  const names = Object.keys(fields);
  const field = (column) => (column in fields ? column : column.replace(/:[^:]*$/, ""));
  return [...new Set([...found.map((each) => field(each.feature_name)).filter((name) => name in fields), ...names])];
}

const card = (name, ...value) => make("div", { class: "card" }, make("div", { class: "muted" }, name), make("strong", { class: "title" }, value));

/** What is told above all charts. */
function head(found, ...cards) {
  const { promotion } = found;
  return [
    make("div", { class: "cards" }, cards),
    make("p", { class: "muted" }, `On ${number(found.evaluation.documents)} documents that were held back; a range holds the true value in 19 of 20 cases. Model `, make("a", { href: `${root}models?analytics_id=${encodeURIComponent(state.id)}` }, found.model_id), ` of ${at(found.created)} UTC, ${number(found.trees)} trees: `, badge(found.in_force ? "in force" : "not in force"), ` ${promotion?.reason ?? ""}`),
  ];
}

const SHOWN = {
  classification(found) {
    const { evaluation } = found;
    const cells = evaluation.multiclass_confusion_matrix;
    matrix($("matrix"), cells, cell);
    byClass($("classes"), evaluation);
    curves($("curves"), evaluation.auc_roc, new Map(cells.confusion_matrix.map((row) => [row.actual_class, row.actual_class_doc_count])));
    const mean = (measure, name) => percent(evaluation[measure][name]);
    return head(found, card("Accuracy", measured(evaluation.accuracy, percent)), card("AUC", measured(evaluation.auc_roc)), card("Mean recall of the classes", mean("recall", "avg_recall")), card("Mean precision of the classes", mean("precision", "avg_precision")), card("Log loss", number(evaluation.log_loss)));
  },
  regression(found) {
    const { evaluation } = found;
    api(`${path(state.id)}/sample`, { part: "held_back" }).then((points) => scatter(points, open), (error) => tell(error.message));
    return head(found, card("R²", measured(evaluation.r_squared)), card("Mean squared error", measured(evaluation.mse)), card("Huber", measured(evaluation.huber)), ...(evaluation.msle.value === null ? [] : [card("MSLE", measured(evaluation.msle))]));
  },
  outlier_detection(found) {
    const { above } = found.evaluation;
    histogram($("histogram"), found.evaluation);
    outliers(found);
    return [
      make("div", { class: "cards" }, card("Documents", number(found.evaluation.documents)), ...Object.entries(above).map(([score, count]) => card(`Score of ${score} and up`, number(count)))),
      make("p", { class: "muted" }, `Of ${at(found.created)} UTC. A score is between 0 (as the others) and 1.`),
    ];
  },
};

/** Axes are the fields that make most documents stand out; others can be chosen. */
async function outliers(found) {
  const sample = await api(`${path(state.id)}/sample`, { size: POINTS }).catch((error) => (tell(error.message), null));
  if (!sample) return;
  const names = Object.keys(sample.columns);
  const led = [...new Set([...sample.influence.map((each) => each.field), ...names])];
  const ordered = led.filter((name) => names.includes(name));
  rows(found, led);
  const boxes = ordered.map((name, n) => make("label", {}, make("input", { type: "checkbox", name: "axis", value: name, checked: n < AXES }), ` ${name}`));
  $("axes").replaceChildren(...boxes);
  const show = () => {
    const on = [...$("axes").querySelectorAll("input:checked")].map((box) => box.value);
    for (const box of $("axes").querySelectorAll("input:not(:checked)")) box.disabled = on.length >= MOST_AXES;
    pairs($("splom"), sample, on, open)();
  };
  $("axes").onchange = show;
  drawn(show);
}

run();
