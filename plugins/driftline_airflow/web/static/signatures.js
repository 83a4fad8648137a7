// Signatures: what was learned, which entities behave otherwise, and one of them side by side: usually, and in the last span.
import { $, api, fill, make, number, query, root, score, state, time } from "./common.js";
import { chart, colour, drawn, plain, tint } from "./charts.js";

const path = (id) => `signatures/${encodeURIComponent(id)}`;
const at = (text) => time(Date.parse(text));
const here = (entity, until) => `${root}signatures?${query({ id: state.id, entity, until })}`;

for (const row of document.querySelectorAll("tr[data-signatures]")) {
  const place = (name) => row.querySelector(`[data-of="${name}"]`);
  fill(place("learned"), api(path(row.dataset.signatures)), ({ snapshot, scored_until: until }) => {
    place("learned").replaceChildren(snapshot.trained_until ? at(snapshot.trained_until) : "not yet");
    place("entities").replaceChildren(number(snapshot.entities));
    place("groups").replaceChildren(String(snapshot.groups.length || "–"));
    place("scored").replaceChildren(until ? at(until) : "not yet");
  });
}

const head = (...names) => make("thead", {}, make("tr", {}, names.map((name) => make("th", { scope: "col" }, name))));

/** The slots of a day as text: 00:00, 01:00, … */
const clock = (slots) => Array.from({ length: slots }, (_, slot) => {
  const minutes = (1440 / slots) * slot;
  return `${String(Math.floor(minutes / 60)).padStart(2, "0")}:${String(minutes % 60).padStart(2, "0")}`;
});

let shown = null;
let over = null;

function drawEntity() {
  if (!shown || !globalThis.Plotly) return;
  const hours = clock(shown.slots);
  const axis = { type: "category", tickangle: 0, nticks: 8 };
  for (const day of ["workday", "weekend"]) {
    chart($(day), [
      { x: hours, y: shown.group[day], type: "scatter", mode: "lines", line: { width: 1, dash: "dot", color: colour("muted") }, name: `group ${shown.group_number}` },
      { x: hours, y: shown.long[day], type: "bar", marker: { color: colour("band") }, name: "usually" },
      { x: hours, y: shown.short[day], type: "bar", marker: { color: colour("actual") }, name: "in the span" },
    ], { xaxis: axis, yaxis: { rangemode: "tozero" }, barmode: "group", legend: { orientation: "h", y: 1.02, yanchor: "bottom" }, margin: { l: 40, r: 10, t: 34, b: 30 } });
  }
  if (!shown.mix) return;
  const values = shown.mix.values.map(plain);
  chart($("mix"), [
    { x: values, y: shown.mix.long, type: "bar", marker: { color: colour("band") }, name: "usually" },
    { x: values, y: shown.mix.short, type: "bar", marker: { color: colour("actual") }, name: "in the span" },
  ], { xaxis: { type: "category" }, yaxis: { tickformat: ".0%", rangemode: "tozero" }, barmode: "group", legend: { orientation: "h", y: 1.02, yanchor: "bottom" }, margin: { l: 50, r: 10, t: 34, b: 50 } });
}

function showEntity(found) {
  shown = found;
  $("entity-title").textContent = `${found.entity}, the span until ${at(found.until)} UTC`;
  $("why").replaceChildren(score(found.score), ` ${found.sentence}`);
  $("mix-figure").hidden = !found.mix;
  $("mix-title").textContent = found.mix ? `Shares of ${found.mix.field}` : "";
  const rows = clock(found.slots).map((slot, n) => [slot, ...["workday", "weekend"].flatMap((day) => [found.long[day][n], found.short[day][n]])]);
  const shares = (found.mix?.values ?? []).map((value, n) => [value, found.mix.long[n], found.mix.short[n], "", ""]);
  $("profiles").replaceChildren(
    head("Part of the day", "Workday, usually", "Workday, in the span", "Weekend, usually", "Weekend, in the span"),
    make("tbody", {}, [...rows, ...shares].map(([name, ...values]) => make("tr", {}, make("th", { scope: "row" }, name), values.map((value) => make("td", { class: "n" }, value === "" ? "" : number(value)))))),
  );
  $("history").replaceChildren(
    head("Until (UTC)", "Score", "In the span", "Usual", "Why"),
    make("tbody", {}, found.records.toReversed().map((row) => make("tr", {},
      make("td", { class: "time" }, make("a", { href: here(found.entity, row.until) }, at(row.until))),
      make("td", {}, score(row.score)), make("td", { class: "n" }, number(row.actual)), make("td", { class: "n" }, number(row.typical)), make("td", { class: "long" }, row.sentence)))),
  );
  drawEntity();
}

function drawOver() {
  if (!over || !globalThis.Plotly) return;
  chart($("over"), [{ x: over.times.map((each) => each.time), y: over.times.map((each) => each.records), type: "bar", marker: { color: tint("critical"), line: { width: 1, color: colour("critical") } }, name: "entities" }], { yaxis: { rangemode: "tozero", dtick: over.times.some((each) => each.records > 5) ? null : 1 }, showlegend: false, margin: { l: 40, r: 10, t: 10, b: 30 } });
}

function showList(found) {
  over = found;
  $("entities").replaceChildren(
    head("Entity", "Score", "First (UTC)", "Last (UTC)", "Times", "In the span", "Usual", "Why"),
    make("tbody", {}, found.entities.map((row) => make("tr", {},
      make("th", { scope: "row" }, make("a", { href: here(row.entity, row.until) }, row.entity)), make("td", {}, score(row.score)),
      make("td", { class: "time" }, at(row.first)), make("td", { class: "time" }, at(row.last)), make("td", { class: "n" }, number(row.times)),
      make("td", { class: "n" }, number(row.actual)), make("td", { class: "n" }, number(row.typical)), make("td", { class: "long" }, row.sentence)))),
  );
  if (found.more) $("entities").prepend(make("caption", {}, `The ${number(found.count)} with the highest scores; there are more.`));
  if (!found.entities.length) $("entities").replaceChildren(make("caption", { class: "empty" }, "No entity is anomalous."));
  drawOver();
}

if (state.id) {
  api(path(state.id)).then(({ snapshot }) => {
    $("learned").textContent = snapshot.trained_until ? `learned ${number(snapshot.entities)} entities in ${snapshot.groups.length} groups, until ${at(snapshot.trained_until)}` : "nothing was learned yet";
  }, () => {});
  fill($("entities"), api(`${path(state.id)}/anomalies`), showList);
  if (state.entity !== null) {
    $("entity-title").textContent = state.entity;
    fill($("why"), api(`${path(state.id)}/entity`, { name: state.entity, until: state.until }), showEntity);
  }
  drawn(() => {
    drawEntity();
    drawOver();
  });
}
