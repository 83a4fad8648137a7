// The explorer: lanes, and under them what the selected stretch of time is about. Its address holds all that is chosen.
import { $, api, fill, first, iso, make, once, query, root, seriesOf, severity, severityOf, state, time } from "./common.js";
import { verdict } from "./feedback.js";
import { drawLanes, showSelection } from "./lanes.js";
import { plot } from "./plot.js";

const PAGE = 50;
const DEEPEST = 9500; // the last page that the API gives; the CSV has more
const CHARTS = 6;
const choice = { job: state.jobs, min_score: state.min_score || null };
const chosen = { selected: state.selected, lane: state.lane, sort: "record_score", desc: true, offset: 0, filter: "", influencer: state.influencer };
let lanes = state.lanes;
let charting = false; // whether the next page of records is to be drawn, too

function window_() {
  return chosen.selected ? { start: iso(chosen.selected.start), end: iso(chosen.selected.end) } : { start: state.start, end: state.end };
}

/** What the lane, the influencer and the filter narrow records to. */
function narrowing() {
  const out = { influencer: [...chosen.influencer] };
  if (chosen.lane !== null) {
    if (state.view.startsWith("influencer:")) out.influencer.push(`${state.view.slice(11)}:${chosen.lane}`);
    else if (state.view === "job") out.job = [chosen.lane];
    else out[state.view] = [chosen.lane];
  }
  return out;
}

const asked = () => ({ ...choice, ...window_(), ...narrowing() });

function remember() {
  const { selected, lane, influencer } = chosen;
  const parameters = { job: state.jobs, start: state.start, end: state.end, view: state.view, min_score: state.min_score || null };
  Object.assign(parameters, { from: selected && iso(selected.start), until: selected && iso(selected.end), lane, influencer });
  history.replaceState(null, "", `?${query(parameters)}`);
}

function refresh() {
  chosen.offset = 0;
  remember();
  showSelection($("lanes"), lanes, chosen.selected);
  const about = [];
  if (chosen.selected) about.push(`${time(chosen.selected.start)} to ${time(chosen.selected.end)} UTC`);
  if (chosen.lane !== null) about.push(`${state.view}: ${chosen.lane}`);
  about.push(...chosen.influencer);
  $("selection").hidden = !about.length;
  $("selection").firstElementChild.textContent = `Selected: ${about.join(" · ")}`;
  fill($("influencers"), api("influencers", asked()), showInfluencers);
  fill($("events"), api("events", { ...asked(), alarms: true }), showEvents);
  table(true);
}

function table(charts = false) {
  charting ||= charts;
  const of = { ...asked(), q: chosen.filter || null, sort: chosen.sort, desc: chosen.desc };
  $("csv").href = `${root}api/v1/records.csv?${query(of)}`;
  fill($("records"), api("records", { ...of, limit: PAGE, offset: chosen.offset }), (found) => {
    showRecords(found);
    if (charting) showCharts(found.records);
    charting = false;
  });
}

function showInfluencers({ influencers }) {
  const names = Object.keys(influencers);
  if (!names.length) return $("influencers").replaceChildren(make("p", { class: "muted" }, "None in this selection."));
  $("influencers").replaceChildren(
    ...names.flatMap((name) => [
      make("h3", { class: "muted" }, name),
      ...influencers[name].map((each) => {
        const pair = `${name}:${each.value}`;
        const pressed = chosen.influencer.includes(pair);
        return make(
          "div",
          { class: "influencer" },
          make("button", { type: "button", class: "value", "aria-pressed": String(pressed), title: pressed ? "Show all" : "Show only its anomalies", onclick: () => toggle(pair) }, `${pressed ? "● " : ""}${each.value || "(empty)"}`),
          make("span", { class: "muted", title: "highest score, and the sum over buckets" }, `${Math.round(each.max_score)} · Σ ${Math.round(each.sum_score)}`),
          make("div", { class: `meter ${severity(each.max_score)}` }, make("span", { style: { width: `${each.max_score}%` } })),
        );
      }),
    ]),
  );
}

function toggle(pair) {
  chosen.influencer = chosen.influencer.includes(pair) ? chosen.influencer.filter((each) => each !== pair) : [...chosen.influencer, pair];
  refresh();
}

function showEvents({ events }) {
  if (!events.length) return $("events").replaceChildren(make("p", { class: "muted" }, "No incident alarmed in this selection."));
  $("events").replaceChildren(
    make(
      "table",
      {},
      make("thead", {}, make("tr", {}, ["Since (UTC)", "Score", "Kind", "Found for", "What"].map((name) => make("th", { scope: "col" }, name)))),
      make(
        "tbody",
        {},
        events.map((event) =>
          make(
            "tr",
            {},
            make("td", { class: "time" }, time(event.timestamp)),
            make("td", {}, severityOf(event, "anomaly_score")),
            make("td", {}, (event.driftline.event.kind || "").replace("_", " ")),
            make("td", { class: "value" }, foundFor(event) || event.job_id),
            make("td", { class: "long" }, event.driftline.sentence),
          ),
        ),
      ),
    ),
  );
}

const foundFor = (record) => ["partition", "by", "over"].map((split) => record[`${split}_field_value`]).filter((value) => value !== undefined).join(" · ");
const HEADS = [["timestamp", "Time (UTC)"], ["record_score", "Severity"], [null, "Detector"], [null, "Found for"], [null, "Influenced by"], ["actual", "Actual"], ["typical", "Typical"], [null, "What"], [null, ""]];

function showRecords({ count, records }) {
  const head = HEADS.map(([sort, name]) => {
    const sorted = sort !== null && chosen.sort === sort;
    return make("th", { scope: "col", "aria-sort": sorted ? (chosen.desc ? "descending" : "ascending") : null }, sort ? make("button", { type: "button", "data-sort": sort, onclick: () => sortBy(sort) }, `${name}${sorted ? (chosen.desc ? " ↓" : " ↑") : ""}`) : name);
  });
  const sorted = $("records").contains(document.activeElement) && document.activeElement.dataset.sort;
  $("records").replaceChildren(make("thead", {}, make("tr", {}, head)), make("tbody", {}, records.map(row)));
  if (sorted) $("records").querySelector(`[data-sort=${sorted}]`).focus(); // where it was
  $("count").textContent = count ? `${count.toLocaleString("en-US")} anomalies` : chosen.filter ? "No anomaly has that in a value." : "Nothing unusual was found here.";
  const last = chosen.offset + records.length;
  $("pager").replaceChildren(
    make("button", { type: "button", disabled: !chosen.offset, onclick: () => page(-PAGE) }, "Previous"),
    make("span", { class: "muted" }, count ? `${chosen.offset + 1} to ${last}` : ""),
    make("button", { type: "button", disabled: last >= count || chosen.offset + PAGE > DEEPEST, onclick: () => page(PAGE) }, "Next"),
  );
}

function row(record) {
  const around = { start: iso(Math.max(Date.parse(state.start), record.timestamp - 7 * 864e5)), end: iso(Math.min(Date.parse(state.end), record.timestamp + 864e5)) };
  const series = `${root}series?${query({ ...seriesOf(record), ...around })}`;
  const behind = (record.influencers ?? []).map((each) => `${each.influencer_field_name}: ${each.influencer_field_values.slice(0, 3).join(", ")}`);
  return make(
    "tr",
    {},
    make("td", { class: "time" }, time(record.timestamp)),
    make("td", {}, severityOf(record)),
    make("td", {}, record.detector, choice.job.length === 1 ? null : make("small", {}, ` ${record.job_id}`)),
    make("td", { class: "value" }, foundFor(record)),
    make("td", { class: "value" }, behind.map((text) => make("div", {}, text))),
    make("td", { class: "n" }, first(record.actual)),
    make("td", { class: "n" }, first(record.typical)),
    make("td", { class: "long" }, record.driftline?.sentence ?? ""),
    make("td", { class: "do" }, make("span", { class: "actions" }, make("a", { href: series }, "Series")), verdict(record)),
  );
}

function sortBy(sort) {
  chosen.desc = chosen.sort === sort ? !chosen.desc : true;
  chosen.sort = sort;
  chosen.offset = 0;
  table();
}

function page(step) {
  chosen.offset = Math.min(DEEPEST, Math.max(0, chosen.offset + step));
  table();
}

function showCharts(records) {
  const distinct = new Map();
  for (const record of records) {
    const key = JSON.stringify(seriesOf(record));
    if (!distinct.has(key)) distinct.set(key, record);
    if (distinct.size === CHARTS) break;
  }
  $("charts").replaceChildren(...[...distinct.values()].map(chart));
  if (!distinct.size) $("charts").append(make("p", { class: "muted" }, "Nothing unusual in this selection."));
}

function chart(record) {
  const of = seriesOf(record);
  // some context on both sides of a short selection
  const inside = window_();
  const width = Math.max(Date.parse(inside.end) - Date.parse(inside.start), 60 * record.bucket_span * 1000);
  const middle = chosen.selected ? (Date.parse(inside.start) + Date.parse(inside.end)) / 2 : record.timestamp;
  const half = chosen.selected ? Math.max(width, 2 * 864e5) / 2 : 2 * 864e5;
  const around = { start: iso(Math.round(middle - half)), end: iso(Math.round(middle + half)) };
  const place = make("div", {});
  const { job, ...key } = of;
  fill(place, api(`jobs/${encodeURIComponent(job)}/series/values`, { ...key, ...around }), (view) => place.replaceChildren(plot(view)));
  const name = foundFor(record) || "all documents";
  return make("figure", {}, make("figcaption", {}, make("a", { href: `${root}series?${query({ ...of, start: state.start, end: state.end })}` }, name), " ", make("small", {}, `${record.detector} · ${Math.round(record.record_score)}`)), place);
}

function select(start, end, lane) {
  chosen.selected = { start, end };
  chosen.lane = lane;
  refresh();
}

function chooseLane(key) {
  chosen.lane = chosen.lane === key ? null : key;
  draw();
  [...$("lanes").querySelectorAll(".name button")].find((button) => button.title === key)?.focus(); // where it was
  refresh();
}

function draw() {
  drawLanes($("lanes"), lanes, { select, choose: chooseLane, chosen: chosen.lane });
  showSelection($("lanes"), lanes, chosen.selected);
  const left = lanes.total - lanes.lanes.length;
  $("more-lanes").replaceChildren();
  if (left > 0) $("more-lanes").append(`${lanes.lanes.length} of ${lanes.total.toLocaleString("en-US")} lanes, the highest first. `, make("button", { type: "button", onclick: once(more) }, "More"));
}

async function more() {
  const parameters = { ...choice, start: state.start, end: state.end, view: state.view, limit: 20, offset: lanes.lanes.length };
  const found = await api("lanes", parameters);
  lanes = { ...lanes, lanes: [...lanes.lanes, ...found.lanes] };
  draw();
}

$("clear").addEventListener("click", () => {
  Object.assign(chosen, { selected: null, lane: null, influencer: [] });
  draw();
  refresh();
});
let typing = null;
$("filter").addEventListener("input", (event) => {
  clearTimeout(typing);
  typing = setTimeout(() => {
    chosen.filter = event.target.value.trim();
    chosen.offset = 0;
    table();
  }, 250);
});
for (const control of document.querySelectorAll("#choice select")) control.addEventListener("change", () => $("choice").requestSubmit());
draw();
refresh();
