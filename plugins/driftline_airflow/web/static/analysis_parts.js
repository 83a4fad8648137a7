// What the pages of analyses share.
import { make, number, time } from "./common.js";

export const at = (text) => (text ? time(Date.parse(text)) : "–");
const GOOD = { success: "good", failed: "bad", pass: "good", warn: "fair", stop: "bad", "in force": "good" };
export const badge = (text) => make("span", { class: `badge ${GOOD[text] ?? ""}` }, text);
export const path = (id) => `analytics/${encodeURIComponent(id)}`;

/** A share to read: 97.6 %. */
export const percent = (value) => (value === null || value === undefined ? "–" : `${(100 * value).toFixed(value > 0.999 && value < 1 ? 2 : 1)} %`);

/** A measure with the interval that it lies in. */
export function measured(found, show = number) {
  if (!found || found.value === null || found.value === undefined) return "–";
  return found.ci ? [show(found.value), " ", make("small", { class: "range", title: "It lies in there in 19 of 20 cases" }, `${show(found.ci[0])} to ${show(found.ci[1])}`)] : show(found.value);
}

/** In a few words how good a model is. */
export function headline(evaluation = {}) {
  if (evaluation.accuracy) return ["accuracy ", measured(evaluation.accuracy, percent), evaluation.auc_roc?.value ? make("div", {}, "AUC ", measured(evaluation.auc_roc)) : ""];
  if (evaluation.r_squared) return ["R² ", measured(evaluation.r_squared)];
  return "–";
}

/** A table of rows of cells; the first of each is its head. */
export function table(place, heads, rows) {
  const head = make("thead", {}, make("tr", {}, heads.map((name) => make("th", { scope: "col" }, name))));
  const cell = (value, n) => (n ? make("td", { class: typeof value === "number" ? "n" : null }, typeof value === "number" ? number(value) : value) : make("th", { scope: "row" }, value));
  place.replaceChildren(head, make("tbody", {}, rows.map((row) => make("tr", {}, row.map(cell)))));
}

/** Whether there is more to come: a run that was started a moment ago may not be listed yet, nor what it wrote. */
export const goesOn = ({ state, dag, run, last }) => state === "started" || !dag || (run?.state === "success" && !last);

/** How far a run is, task by task. */
export function progress(stats) {
  const { run } = stats;
  if (!run) return stats.dag ? "It has not run yet." : "Its DAGs are being made …";
  const share = Math.round(run.progress * 100);
  const tasks = run.tasks.map((task) => make("span", { class: `badge ${GOOD[task.state] ?? ""}` }, `${task.task_id}: ${task.state ?? "waits"}`));
  return make("span", { class: "tools" }, badge(run.state), stats.state === "started" ? make("progress", { value: run.progress, max: 1, "aria-label": `The run is ${share} % done` }) : at(run.end_date), stats.state === "stopped" ? "" : tasks);
}
