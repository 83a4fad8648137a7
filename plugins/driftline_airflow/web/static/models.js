// Trained models: which is in force, how good each is, and what can be done with it.
import { $, api, fill, make, number, root, send, state, tell } from "./common.js";
import { at, badge, headline, path, percent, table } from "./analysis_parts.js";

const SHOWN = 20; // columns by importance
const model = (id) => `trained_models/${encodeURIComponent(id)}`;
const size = (bytes) => (bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.max(1, Math.round(bytes / 1e3))} kB`);
const may = (each) => state.editable.includes(each.analytics_id);

function show() {
  return fill($("models"), api("trained_models", { analytics_id: state.analytics_id }), ({ trained_models: found }) => {
    const heads = ["Model", "Analysis", "Predicts", "State", "How good", "Documents", "Created (UTC)", "Size", ""];
    const row = (each) => [
      make("span", {}, each.model_id, each.description ? make("div", {}, make("small", {}, each.description)) : "", each.origin === "imported" ? make("div", {}, make("small", {}, "imported")) : ""),
      make("a", { href: `${root}${path(each.analytics_id)}` }, each.analytics_id),
      `${each.dependent_variable} (${each.analysis_type})`,
      make("span", {}, each.in_force ? badge("in force") : "", make("div", { class: "muted" }, each.in_force_since ? `${each.in_force ? "since" : "was in force from"} ${at(each.in_force_since)}` : "never in force")),
      make("span", {}, headline(each.evaluation)),
      each.documents,
      at(each.created),
      size(each.bytes),
      actions(each, found),
    ];
    if (found.length) table($("models"), heads, found.map(row));
    else $("models").replaceChildren(make("tbody", {}, make("tr", {}, make("td", { class: "empty" }, "There is no trained model yet: run a classification or a regression."))));
    filter();
  });
}

function actions(each, found) {
  const button = (name, what) => make("button", { type: "button", "aria-label": `${name} ${each.model_id}`, onclick: what }, name);
  const out = make("span", { class: "actions" }, button("Describe", () => describe(each.model_id)), make("a", { href: `${root}api/v1/${model(each.model_id)}/export`, download: `${each.model_id}.json.gz`, "aria-label": `Export ${each.model_id}` }, "Export"));
  if (may(each) && !each.in_force) {
    const current = found.find((other) => other.in_force && other.analytics_id === each.analytics_id);
    const back = current && current.created > each.created;
    out.append(button(back ? "Revert to" : "Promote", () => promote(each)), button("Delete", () => remove(each)));
  }
  return out;
}

async function promote(each) {
  await act(send("POST", `${model(each.model_id)}/promote`), `${each.model_id} is in force: new documents are given its predictions.`);
}

async function remove(each) {
  if (confirm(`Delete ${each.model_id}? It cannot be had back.`)) await act(send("DELETE", model(each.model_id)), `${each.model_id} is deleted.`);
}

async function act(asked, told) {
  try {
    await asked;
    tell(told);
    await show();
  } catch (error) {
    tell(error.message);
  }
}

function describe(id) {
  $("detail").hidden = false;
  $("detail-title").textContent = id;
  fill($("detail-body"), api(model(id)), (found) => {
    const { detail } = found;
    const { evaluation = {}, promotion, hyperparameters = {}, fields = {}, total_feature_importance: importance = [] } = detail;
    const facts = [
      ["Analysis", `${found.analysis_type} of ${found.dependent_variable}, version ${found.analytics_version}`],
      ["Classes", detail.classes?.length ? detail.classes.join(", ") : null],
      ["How good", make("span", {}, headline(evaluation))],
      ["Recall", evaluation.recall?.classes?.map((each) => `${each.class_name} ${percent(each.value)}`).join(", ")],
      ["Mean squared error", evaluation.mse ? number(evaluation.mse.value) : null],
      ["Promotion", promotion ? `${promotion.promoted ? "put in force" : "not put in force"}: ${promotion.reason}` : null],
      ["Trees", number(detail.trees)],
      ["Hyperparameters", Object.entries(hyperparameters).map(([name, value]) => `${name} ${number(value)}`).join(", ")],
      ["Sets that were tried", detail.searched?.length ? number(detail.searched.length) : null],
      ["Fields", Object.entries(fields).map(([name, type]) => `${name} (${type})`).join(", ")],
    ].filter(([, value]) => value);
    const rows = make("table", {});
    table(rows, ["Field", "Importance"], importance.slice(0, SHOWN).map((each) => [each.feature_name, each.mean_magnitude]));
    $("detail-body").replaceChildren(
      make("dl", { class: "facts" }, facts.map(([name, value]) => [make("dt", {}, name), make("dd", {}, value)])),
      importance.length ? make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Importance" }, rows) : "",
      make("details", { class: "panel" }, make("summary", {}, "The analysis as it was"), make("pre", { tabindex: 0 }, JSON.stringify(detail.analysis, null, 2))),
    );
  });
  $("detail").scrollIntoView({ block: "nearest" });
  $("detail").focus({ preventScroll: true });
}

$("import")?.addEventListener("submit", (event) => {
  event.preventDefault();
  const { file, analytics_id: of } = event.target.elements;
  const options = { method: "POST", headers: { "Content-Type": "application/gzip" }, body: file.files[0] };
  fill($("imported"), api("trained_models/import", { analytics_id: of.value.trim() }, options), (made) => {
    $("imported").replaceChildren(make("p", {}, `${made.model_id} is imported. It is in force once it is promoted.`));
    if (!state.editable.includes(made.analytics_id)) state.editable.push(made.analytics_id);
    show();
  });
});

function filter() {
  const wanted = $("filter").value.toLowerCase();
  for (const row of document.querySelectorAll("#models tbody tr")) row.hidden = !row.textContent.toLowerCase().includes(wanted);
}
$("filter").addEventListener("input", filter);
show();
