// Analyses: how each is doing, and what can be done with it.
import { $, api, fill, follow, make, query, root, send, state, tell } from "./common.js";
import { goesOn, headline, path, progress } from "./analysis_parts.js";

const rows = [...document.querySelectorAll("tr[data-analysis]")].filter((row) => !row.dataset.broken);

function show(row) {
  const id = row.dataset.analysis;
  return follow(row.querySelector("[data-of=last]"), () => api(`${path(id)}/stats`), (stats) => {
    row.querySelector("[data-of=last]").replaceChildren(progress(stats), stats.last && stats.last.verdict !== "pass" ? make("div", { class: "muted" }, `quality: ${stats.last.verdict}`) : "");
    row.querySelector("[data-of=actions]").replaceChildren(actions(row, stats));
    return goesOn(stats);
  });
}

function actions(row, stats) {
  const id = row.dataset.analysis;
  const out = make("span", { class: "actions" }, make("a", { href: `${root}${path(id)}` }, "Results"));
  if (!state.may_edit) return out;
  const button = (name, what) => make("button", { type: "button", "aria-label": `${name} ${id}`, onclick: what }, name);
  const run = (action) => async () => {
    await send("POST", `${path(id)}/${action}`).then(() => tell(`${id}: ${action === "start" ? "started" : "stopped"}.`), (error) => tell(error.message));
    show(row);
  };
  out.append(stats.state === "started" ? button("Stop", run("stop")) : button("Start", run("start")), button("Delete", () => remove(row)));
  return out;
}

async function remove(row) {
  const id = row.dataset.analysis;
  if (!confirm(`Delete ${id} with its models? The index that it wrote stays.`)) return;
  try {
    await send("DELETE", path(id));
    row.remove();
    tell(`${id} is deleted.`);
  } catch (error) {
    tell(error.message);
  }
}

async function models() {
  const { analytics } = await api("analytics");
  for (const each of analytics) {
    const row = rows.find((one) => one.dataset.analysis === each.id);
    if (!row) continue;
    row.querySelector("[data-of=good]").replaceChildren(make("span", {}, headline(each.newest?.evaluation)));
    row.querySelector("[data-of=models]").replaceChildren(each.models ? make("a", { href: `${root}models?${query({ analytics_id: each.id })}` }, `${each.models} trained`) : "none");
  }
}

$("filter").addEventListener("input", (event) => {
  const wanted = event.target.value.toLowerCase();
  for (const row of document.querySelectorAll("tr[data-analysis]")) row.hidden = !row.textContent.toLowerCase().includes(wanted);
});
$("import")?.addEventListener("submit", (event) => {
  event.preventDefault();
  let config;
  try {
    config = JSON.parse($("config").value);
  } catch (error) {
    return $("imported").replaceChildren(make("p", { class: "error", role: "alert" }, `This is no JSON: ${error.message}`));
  }
  fill($("imported"), send("POST", "analytics/import", { config }), (made) => {
    $("imported").replaceChildren(make("p", {}, make("a", { href: `${root}${path(made.analytics_id)}` }, made.analytics_id), made.created ? " is made." : " is changed."), make("ul", {}, made.notes.map((note) => make("li", {}, note))));
  });
});
models().catch((error) => tell(error.message));
const waiting = [...rows]; // a few at a time: each asks the cluster and Airflow
const next = async () => {
  const row = waiting.shift();
  if (!row) return;
  await show(row);
  await next();
};
Promise.all([next(), next(), next()]);
