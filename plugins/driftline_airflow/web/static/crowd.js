// Members of a population, and what is rare: all of them at once, and the way from each to its own values and documents.
import { chart, colour, drawn, marks, plain, spread, tint } from "./charts.js";
import { api, fill, iso, make, number, query, root, score, state, time } from "./common.js";

const anomalies = (count) => `${count.toLocaleString("en-US")} ${count === 1 ? "anomaly" : "anomalies"}`;
const LONGEST = 40; // of a label beside a chart; the whole is told where one points
const percent = (share) => (share === null || share === undefined ? "–" : `${number(100 * share)} %`);
const heads = (names) => make("thead", {}, make("tr", {}, names.map((name) => make("th", { scope: "col" }, name))));
const cell = (content, kind = null) => make("td", { class: kind }, content);
const found_ = (values) => values.filter((value) => value !== null && value !== undefined).join(" · ");

/** The address of one series, with the same detector and stretch of time. */
const address = (key) => `${root}series?${query({ job: state.job, detector: state.detector, ...key, start: state.start, end: state.end })}#title`;

/** Fills the section of a population or of what is rare; `documents` shows the documents of a series between two times. */
export function crowd(path, documents) {
  const place = document.getElementById("crowd");
  const room = place.querySelector(".chart");
  const said = place.querySelector(".said");
  const table = place.querySelector("table");
  const kind = state.look;
  const asked = { detector: state.detector, partition: state.partition, start: state.start, end: state.end };
  if (kind === "population") asked.by = state.by;
  fill(said, api(`${path}/${kind}`, asked), (view) => {
    const { draw, rows, words } = kind === "population" ? population(view, documents) : rare(view, documents);
    said.replaceChildren([words, ...view.notes].filter(Boolean).join(". "));
    table.replaceChildren(...rows);
    room.hidden = !draw;
    if (draw) drawn(() => follow(draw(room), room));
  });
}

/** A click on a mark goes to what it is of. */
function follow(made, room) {
  made.then(() => {
    room.removeAllListeners("plotly_click");
    room.on("plotly_click", ({ points }) => {
      const to = points.map((point) => point.customdata).find((each) => each);
      if (to) location.assign(address(JSON.parse(to)));
    });
  });
}

function actions(key, at, span, documents) {
  const named = found_([key.partition, key.by, key.over]);
  return make("td", { class: "do" }, make("span", { class: "actions" },
    make("a", { href: address(key), "aria-label": `Values over time: ${named}` }, "Values over time"),
    make("button", { type: "button", "aria-label": `Documents: ${named}, ${time(at)}`, onclick: () => documents(at, at + span * 1000, { detector: state.detector, ...key }) }, "Documents")));
}

function population(view, documents) {
  const key = (over) => ({ partition: state.partition, by: state.by, over });
  const at = view.times.map(iso);
  const draw = (room) => chart(room, [
    ...spread(at, view.low, view.high, "5 to 95 of 100 members", tint("band")),
    { x: at, y: view.typical, mode: "lines", line: { width: 1.4, color: colour("actual") }, name: "typical member", customdata: null, text: view.members.map((count) => `${count} members`), hovertemplate: "%{y} (%{text})<extra>typical</extra>" },
    ...marks(view.records.map((record) => ({ x: iso(record.timestamp), y: record.actual[0], score: record.record_score, text: `${record.over_field_value}: ${record.driftline?.sentence ?? ""}`, about: JSON.stringify(key(record.over_field_value)) }))),
  ], { yaxis: { type: view.records.some((record) => record.actual[0] <= 0) || [...view.typical, ...view.low].some((value) => value !== null && value <= 0) ? "linear" : "log" }, legend: { orientation: "h", y: 1.15, x: 1, xanchor: "right" } });
  const rows = view.top.map((each) => make("tr", {}, cell(each.over, "value"), cell(score(each.score)), cell(time(each.at), "time"), cell(number(each.actual), "n"), cell(number(each.typical), "n"), cell(percent(each.share), "n"), cell(number(each.anomalies), "n"), actions(key(each.over), each.at, view.bucket_span, documents)));
  const words = view.total ? `${anomalies(view.total)}${view.total > view.records.length ? `, the ${view.records.length} highest are shown` : ""}; a click on one shows its member` : "No member was unusual in this stretch of time";
  return { draw, words, rows: [heads(["Member", "Highest score", "At (UTC)", "Actual", "Typical", "Share of all", "Anomalies", ""]), make("tbody", {}, rows)] };
}

function rare(view, documents) {
  const key = (each) => ({ partition: each.partition, by: state.counts_members ? null : each.value, over: each.over });
  const label = (each) => found_([each.partition, each.value, each.over]);
  const known = view.values.filter((each) => each.times);
  const labels = view.values.map(label);
  // long ones are cut for the axis; what is not seen of them keeps those apart that begin alike
  const short = new Map(labels.map((text, n) => [text, plain(text.length > LONGEST ? `${text.slice(0, LONGEST)}…${"\u200b".repeat(n)}` : text)]));
  const row = (each) => short.get(label(each));
  const seen = known.flatMap((each) => each.times.map(() => each));
  const draw = view.values.length && ((room) => chart(room, [
    { x: known.flatMap((each) => each.times.map(iso)), y: seen.map(row), text: seen.map((each) => plain(label(each))), mode: "markers", marker: { symbol: "line-ns", size: 12, line: { width: 2, color: colour("actual") } }, name: "documents", hovertemplate: "%{x}<extra>%{text}</extra>" },
    { x: known.map((each) => iso(each.first)), y: known.map(row), text: known.map((each) => plain(label(each))), mode: "markers", marker: { symbol: "circle-open", size: 13, line: { width: 2, color: colour("link") } }, name: "first seen", hovertemplate: "first seen %{x}<extra>%{text}</extra>" },
    ...marks(view.records.filter((record) => labels.includes(label(of(record)))).map((record) => ({ x: iso(record.timestamp), y: row(of(record)), score: record.record_score, text: record.driftline?.sentence ?? "", about: JSON.stringify(key(of(record))) }))),
  ], { xaxis: { range: [iso(Math.min(Date.parse(view.start), ...known.map((each) => each.first ?? Infinity))), view.end] }, yaxis: { type: "category", automargin: true, autorange: "reversed" }, legend: { orientation: "h", y: 1.15, x: 1, xanchor: "right" } }));
  const rows = view.values.map((each) => make("tr", {}, cell(label(each), "value"), cell(score(each.score)), cell(time(each.at), "time"), cell(each.first === null ? "–" : time(each.first), "time"), cell(number(each.before), "n"), cell(number(each.count), "n"), cell(view.documents ? percent(each.inside / view.documents) : "–", "n"), cell(each.sentence, "long"), actions(key(each), each.at, view.bucket_span, documents)));
  const words = view.total ? `${anomalies(view.total)}${view.total > view.records.length ? `, of the ${view.records.length} highest of them the values are shown` : ""}` : "Nothing rare was found in this stretch of time";
  return { draw, words, rows: [heads(["Value", "Highest score", "At (UTC)", "First seen", "Documents before", "In all", "Share of the window's", "What", ""]), make("tbody", {}, rows)] };
}

const of = (record) => ({ partition: record.partition_field_value ?? null, value: record.by_field_value ?? record.causes?.[0]?.by_field_value ?? null, over: record.over_field_value ?? null });
