// What a series' model is made of: trend, each season over one cycle, holidays; of the snapshot in force, or another.
import { chart, colour, drawn } from "./charts.js";
import { api, fill, iso, make } from "./common.js";

const TICKS = { 1: "%H:%M", 7: "%a" };
const HOVER = { 1: "%H:%M", 7: "%a %H:%M" };
const WORDS = { 1: "over a day", 7: "over a week" };

/** Fills a `details` when it is opened for the first time. */
export function model(place, path, asked) {
  const inside = place.querySelector("div");
  let found = null;
  let snapshot = null;
  const ask = () => fill(inside, api(`${path}/components`, { ...asked, snapshot }), (answer) => {
    found = answer;
    show();
  });
  function show() {
    const charts = make("div", { class: "terms" });
    inside.replaceChildren(facts(found, path, (chosen) => { snapshot = chosen; ask(); }), charts);
    for (const part of parts(found)) {
      const room = part.flat ? make("p", { class: "muted" }, "None in this stretch of time.") : make("div", { class: "term", role: "group", "aria-label": part.words });
      charts.append(make("figure", {}, make("figcaption", {}, part.words), room));
      if (!part.flat) draw(room, part);
    }
  }
  place.addEventListener("toggle", () => place.open && !found && ask());
  drawn(() => found && show());
}

function draw(room, part) {
  if (!globalThis.Plotly) return;
  const line = { x: part.times.map(iso), y: part.values, mode: "lines", line: { width: 1.6, color: colour("actual") }, name: part.name };
  chart(room, [line], { xaxis: { tickformat: part.ticks, hoverformat: part.hover, nticks: 7 }, yaxis: { tickformat: part.share ? "+.0%" : undefined, zeroline: true, zerolinecolor: colour("muted") }, margin: { l: 48, r: 10, t: 6, b: 36 }, showlegend: false });
}

function parts({ times, trend, terms }) {
  const seasons = terms.map(({ name, multiplicative, period, values, cycle }) => {
    const words = `${name}${period ? `, ${WORDS[period] ?? `over ${period} days`} (UTC)` : ""}${multiplicative ? ", as a share of the trend" : ""}`;
    const shown = cycle ?? { times, values };
    return { name, words, ...shown, share: multiplicative, ticks: TICKS[period], hover: HOVER[period], flat: shown.values.every((value) => Math.abs(value) < 1e-12) };
  });
  return [{ name: "trend", words: "trend", times, values: trend }, ...seasons];
}

function facts(found, path, choose) {
  const { snapshot, predictability, space } = found;
  const select = make("select", { "aria-label": "Snapshot", onchange: (event) => choose(event.target.value) }, make("option", { selected: true }, snapshot.snapshot_id));
  api(`${path}/snapshots`).then(({ snapshots }) => {
    const ids = snapshots.filter((each) => each.snapshot_id.endsWith(snapshot.snapshot_id.split("-").at(-1))).map((each) => each.snapshot_id);
    select.replaceChildren(...[...new Set([snapshot.snapshot_id, ...ids])].map((id) => make("option", { selected: id === snapshot.snapshot_id }, id)));
  }).catch(() => {});
  const grade = { good: "good", fair: "fair", poor: "bad" }[predictability];
  return make(
    "p",
    { class: "tools" },
    make("label", {}, "Snapshot ", select),
    make("span", { class: "muted" }, `learned from ${snapshot.training_start.slice(0, 16).replace("T", " ")} to ${snapshot.training_end.slice(0, 16).replace("T", " ")} UTC`),
    make("span", {}, "Predictability ", make("span", { class: `badge ${grade}` }, predictability)),
    space === "sqrt" ? make("span", { class: "muted" }, "In square roots, as counts are modelled.") : null,
  );
}
