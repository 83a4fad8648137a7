// Jobs: how each is doing, and what can be done with it.
import { $, api, fill, follow, make, once, query, root, send, state, tell, time } from "./common.js";

const STAGES = ["train", "score", "forecast"];
const path = (job) => `jobs/${encodeURIComponent(job)}`;
const at = (text) => (text ? time(Date.parse(text)) : "–");
const GOOD = { success: "good", failed: "bad", pass: "good", warn: "fair", stop: "bad" };
const badge = (text) => make("span", { class: `badge ${GOOD[text] ?? ""}` }, text);

async function show(row) {
  const job = row.dataset.job;
  const cell = (name) => row.querySelector(`[data-of=${name}]`);
  await fill(cell("state"), api(`${path(job)}/health`), (health) => {
    const { score } = health.dags;
    cell("state").replaceChildren(score === null ? badge("its DAGs are being made") : badge(score.is_paused ? "paused" : "active"));
    cell("last").replaceChildren(...STAGES.filter((stage) => health.dags[stage]?.last_run).map((stage) => make("div", {}, `${stage} `, badge(health.dags[stage].last_run.state))));
    cell("next").textContent = at(score?.next_run);
    cell("scored").replaceChildren(at(health.scored_until), health.problem ? make("div", { class: "error" }, health.problem) : health.lag_seconds ? make("small", {}, ` ${lag(health.lag_seconds)} behind the data`) : "");
    cell("models").replaceChildren(health.snapshot ? `${health.snapshot.trained.toLocaleString("en-US")} trained` : "none yet", health.snapshot?.failed ? make("div", { class: "muted" }, `${health.snapshot.failed} failed`) : "");
    cell("alarms").textContent = health.alarms_last_week;
    cell("quality").replaceChildren(...Object.entries(health.quality).map(([stage, verdict]) => make("div", {}, `${stage} `, badge(verdict))));
    cell("actions").replaceChildren(actions(row, score?.is_paused));
  });
}

const lag = (seconds) => (seconds >= 172800 ? `${Math.round(seconds / 86400)} days` : seconds >= 7200 ? `${Math.round(seconds / 3600)} hours` : `${Math.round(seconds / 60)} minutes`);

function actions(row, paused) {
  const job = row.dataset.job;
  const out = make("span", { class: "actions" }, make("button", { type: "button", onclick: () => snapshots(job) }, "Snapshots"));
  if (!state.may_edit) return out;
  for (const stage of STAGES) out.append(make("button", { type: "button", onclick: once(() => start(row, stage)) }, stage[0].toUpperCase() + stage.slice(1)));
  out.append(make("button", { type: "button", onclick: once(() => pause(row, !paused)) }, paused ? "Resume" : "Pause"));
  return out;
}

async function start(row, stage) {
  const job = row.dataset.job;
  const run = await send("POST", `${path(job)}/${stage}`, {});
  tell(`${job}: ${stage} has started.`);
  followed(row, stage, run.run_id);
}

/** Follows a run until it is over. */
function followed(row, stage, run) {
  const job = row.dataset.job;
  const place = row.querySelector("[data-of=last]");
  const asked = `${path(job)}/runs/${stage}/${encodeURIComponent(run)}`;
  return follow(place, () => api(asked), (found) => {
    const over = found.state === "success" || found.state === "failed";
    place.replaceChildren(`${stage} `, badge(found.state), make("div", {}, make("progress", { value: found.progress, max: 1, "aria-label": `${stage}: ${Math.round(found.progress * 100)} %` })), over ? "" : make("button", { type: "button", onclick: once(() => send("POST", `${asked}/cancel`)) }, "Cancel"));
    if (over) {
      tell(`${job}: ${stage} ${found.state === "success" ? "is done" : "has failed; its task's log in Airflow says why"}.`);
      show(row);
    }
    return !over;
  });
}

async function pause(row, paused) {
  await send("POST", `${path(row.dataset.job)}/${paused ? "pause" : "unpause"}`);
  await show(row);
}

function snapshots(job) {
  $("detail").hidden = false;
  $("detail-title").textContent = `Snapshots of ${job}`;
  fill($("detail-body"), api(`${path(job)}/snapshots`), ({ snapshots: found }) => {
    const rows = found.map((each) =>
      make(
        "tr",
        {},
        make("th", { scope: "row" }, each.snapshot_id),
        make("td", {}, badge(each.state)),
        make("td", { class: "time" }, `${at(each.training_start)} to ${at(each.training_end)}`),
        make("td", { class: "n" }, each.trained),
        make("td", { class: "n" }, each.failed),
        make("td", { class: "time" }, (each.detail.valid ?? []).map((one) => make("div", {}, `${at(one.from)} to ${one.until ? at(one.until) : "now"}`))),
        make("td", { class: "long" }, each.description ?? ""),
        make("td", {}, state.may_edit ? make("button", { type: "button", onclick: once(() => revert(job, each)) }, "Revert to it") : ""),
      ),
    );
    const heads = ["Snapshot", "State", "Learned from (UTC)", "Trained", "Failed", "In force (UTC)", "Why", ""];
    $("detail-body").replaceChildren(make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Snapshots" }, make("table", {}, make("thead", {}, make("tr", {}, heads.map((name) => make("th", { scope: "col" }, name)))), make("tbody", {}, rows))));
  });
  $("detail").scrollIntoView({ block: "nearest" });
}

async function revert(job, snapshot) {
  const when = prompt(`From which point in data time on shall ${snapshot.snapshot_id} be in force?`, snapshot.training_end);
  if (!when) return;
  await send("POST", `${path(job)}/snapshots/${encodeURIComponent(snapshot.snapshot_id)}/revert`, { at: when });
  tell(`${snapshot.snapshot_id} is in force from ${when} on. Score that time again to replace its results.`);
  snapshots(job);
}

$("filter").addEventListener("input", (event) => {
  const wanted = event.target.value.toLowerCase();
  for (const row of document.querySelectorAll("tr[data-job]")) row.hidden = !row.textContent.toLowerCase().includes(wanted);
});
// those that can be seen first, a few at a time: each asks the cluster and Airflow
const waiting = [...document.querySelectorAll("tr[data-job]")].filter((row) => !row.dataset.broken);
const next = async () => {
  const row = waiting.shift();
  if (!row) return;
  await show(row);
  await next();
};
Promise.all([next(), next(), next()]);
