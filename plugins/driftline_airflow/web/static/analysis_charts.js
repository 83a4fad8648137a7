// What an analysis' results look like: matrix, curves, importance, scatter, histogram.
import { $, make, number } from "./common.js";
import { chart, colour, drawn, plain } from "./charts.js";
import { measured, percent, table } from "./analysis_parts.js";

// Seen on white and on near black, and by those who tell few colours apart: they differ in lightness, too.
const COLOURS = ["#2a78b8", "#d9722e", "#3f9b54", "#b8509a", "#8a6fd0", "#8f8414", "#2aa5a8", "#c94f52", "#8d8d8d", "#a06a42"];
const LINES = 10;
const FEATURES = 15;
const linear = (title, more = {}) => ({ type: "linear", gridcolor: colour("line"), zeroline: false, title: { text: title }, ...more });
const LEGEND = { orientation: "h", y: 1.02, yanchor: "bottom" };

/** Actual classes by predicted ones; a cell narrows the documents below to its own. */
export function matrix(place, found, chosen) {
  const rows = found.confusion_matrix;
  const classes = rows.map((row) => row.actual_class);
  const head = [
    make("tr", {}, make("td", {}), make("th", { scope: "colgroup", colspan: classes.length }, "Predicted"), make("th", { scope: "col", rowspan: 2 }, "Documents")),
    make("tr", {}, make("th", { scope: "col" }, "Actual"), classes.map((name) => make("th", { scope: "col", class: "long" }, name))),
  ];
  const body = rows.map((row) => {
    const total = row.actual_class_doc_count;
    const cells = row.predicted_classes.map(({ predicted_class: predicted, count }) => {
      const share = total ? count / total : 0;
      const name = `${row.actual_class}, predicted ${predicted}: ${number(count)} documents, ${percent(share)}`;
      const tone = predicted === row.actual_class ? "link" : "critical";
      const shade = count ? 6 + 36 * share : 0; // light enough for the text on it
      const style = { background: `color-mix(in srgb, var(--${tone}) ${shade.toFixed(0)}%, var(--ground))` };
      return make("td", { style }, make("button", { type: "button", class: "plain", "aria-label": name, onclick: () => chosen(row.actual_class, predicted) }, make("strong", {}, number(count)), make("small", {}, percent(share))));
    });
    return make("tr", {}, make("th", { scope: "row", class: "long" }, row.actual_class), cells, make("td", { class: "n" }, number(total)));
  });
  place.replaceChildren(make("thead", {}, head), make("tbody", {}, body));
}

/** Recall, precision and area of each class, with their intervals. */
export function byClass(place, evaluation) {
  const of = (measure) => new Map((evaluation[measure].classes ?? []).map((each) => [each.class_name, each]));
  const [recall, precision, area] = ["recall", "precision", "auc_roc"].map(of);
  const cell = (found, show) => make("span", {}, measured(found, show));
  const rows = evaluation.multiclass_confusion_matrix.confusion_matrix.map(({ actual_class: name, actual_class_doc_count: count }) => [name, count, cell(recall.get(name), percent), cell(precision.get(name), percent), cell(area.get(name), number)]);
  table(place, ["Class", "Documents", "Found (recall)", "Right (precision)", "AUC"], rows);
}

export function curves(place, areas, counts) {
  const found = areas.classes.toSorted((a, b) => counts.get(b.class_name) - counts.get(a.class_name)).slice(0, LINES);
  drawn(() => {
    const lines = found.map((each, n) => ({ x: each.curve.map((p) => p.fpr), y: each.curve.map((p) => p.tpr), text: each.curve.map((p) => number(p.threshold)), mode: "lines", line: { color: COLOURS[n], width: 2 }, name: plain(each.class_name), hovertemplate: "%{y:.3f} found at %{x:.3f} false, from a probability of %{text} on" }));
    const chance = { x: [0, 1], y: [0, 1], mode: "lines", line: { color: colour("muted"), width: 1, dash: "dot" }, name: "by chance", hoverinfo: "skip" };
    chart(place, [...lines, chance], { xaxis: linear("false positive rate", { range: [0, 1] }), yaxis: linear("true positive rate", { range: [0, 1.02] }), margin: { l: 60, r: 20, t: 10, b: 45 } });
  });
}

/** Bars of how much each column moves predictions, of several classes one part for each. */
export function importance(place, rows, found) {
  const classes = found[0]?.classes?.map((each) => each.class_name) ?? [];
  const of = (each, n) => (classes.length ? each.classes[n].importance.mean_magnitude : each.importance.mean_magnitude);
  const top = found.slice(0, FEATURES).toReversed();
  const names = top.map((each) => plain(each.feature_name));
  drawn(() => {
    const shown = classes.length ? classes.slice(0, LINES) : [""];
    const bars = shown.map((name, n) => ({ type: "bar", orientation: "h", y: names, x: top.map((each) => of(each, n)), name: plain(name), marker: { color: COLOURS[n] }, hovertemplate: "%{y}: %{x:.3g}" }));
    place.style.height = `${Math.max(12, 5 + 1.6 * top.length)}rem`;
    chart(place, bars, { barmode: "stack", showlegend: classes.length > 0, legend: LEGEND, xaxis: linear("mean size of the contribution"), yaxis: { type: "category", automargin: true }, margin: { l: 60, r: 20, t: 30, b: 45 } });
  });
  const heads = classes.length ? ["Field", "Together", ...classes] : ["Field", "Mean size", "Least", "Greatest"];
  table(rows, heads, found.map((each) => [each.feature_name, each.mean_magnitude, ...(classes.length ? each.classes.map((one) => one.importance.mean_magnitude) : [each.importance.min, each.importance.max])]));
}

/** Predicted against actual values, and how far predictions are off; a point opens its document. */
export function scatter({ ids, predicted, actual }, opened) {
  const off = predicted.map((value, n) => value - actual[n]);
  const low = Math.min(...actual, ...predicted);
  const high = Math.max(...actual, ...predicted);
  const points = (x, y) => ({ type: "scatter", mode: "markers", x, y, customdata: ids, marker: { color: colour("link"), size: 5, opacity: 0.45 }, showlegend: false });
  const line = (x, y) => ({ x, y, mode: "lines", line: { color: colour("critical"), width: 1, dash: "dash" }, hoverinfo: "skip", showlegend: false });
  const margin = { l: 70, r: 20, t: 10, b: 45 };
  drawn(() => {
    chart($("scatter"), [points(actual, predicted), line([low, high], [low, high])], { xaxis: linear("actual"), yaxis: linear("predicted"), margin });
    const often = { type: "histogram", y: off, xaxis: "x2", marker: { color: colour("band") }, nbinsy: 40, showlegend: false, hovertemplate: "%{x} documents" };
    chart($("residuals"), [points(predicted, off), line([low, high], [0, 0]), often], { xaxis: linear("predicted", { domain: [0, 0.74] }), xaxis2: linear("documents", { domain: [0.78, 1] }), yaxis: linear("predicted − actual"), margin });
  });
  picks($("scatter"), opened);
  picks($("residuals"), opened);
}

/** Once Plotly has made a place, what is clicked in it is opened. */
function picks(place, opened) {
  drawn(() => {
    place.removeAllListeners?.("plotly_click");
    place.on?.("plotly_click", (event) => event.points[0].customdata !== undefined && opened(event.points[0].customdata));
  });
}

export function histogram(place, { histogram: counts }) {
  const x = counts.map((_, n) => (n + 0.5) / counts.length);
  drawn(() => chart(place, [{ type: "bar", x, y: counts, width: 1 / counts.length, marker: { color: colour("link") }, hovertemplate: "%{y} documents" }], { xaxis: linear("score", { range: [0, 1] }), yaxis: linear("documents", { type: "log" }), margin: { l: 60, r: 20, t: 10, b: 45 } }));
}

const FAR = 50; // how many times the middle a value may be before an axis goes by powers of ten

/** How a field is drawn: its values, and the kind of its axis. */
function axis(found, name, order) {
  const values = order.map((n) => found.columns[name][n]);
  if (found.dates.includes(name)) return { values: values.map((ms) => ms && new Date(ms).toISOString()), type: "date" };
  const numbers = values.filter((value) => typeof value === "number").toSorted((a, b) => a - b);
  if (!numbers.length) return { values: values.map((value) => value && plain(value)), type: "category" };
  return { values, type: numbers[0] > 0 && numbers.at(-1) > FAR * numbers[numbers.length >> 1] ? "log" : "linear" };
}

/** Documents by each pair of fields, coloured by score. It is drawn without WebGL, which not every browser has. */
export function pairs(place, found, fields, opened) {
  const order = found.score.map((_, n) => n).toSorted((a, b) => found.score[a] - found.score[b]); // those that stand out lie on top
  const axes = fields.map((name) => ({ name, ...axis(found, name, order) }));
  const score = order.map((n) => found.score[n]);
  const ids = order.map((n) => found.ids[n]);
  const room = (n, of) => [(n + 0.04) / of, (n + 0.94) / of];
  const last = fields.length - 1;
  const show = () => {
    const traces = [];
    const layout = {};
    const line = { gridcolor: colour("line"), zeroline: false };
    for (let row = 1; row <= last; row += 1) {
      const { name, type } = axes[row];
      layout[`yaxis${row > 1 ? row : ""}`] = { ...line, type, domain: room(last - row, last), anchor: "x", title: { text: plain(name), font: { size: 11 } }, automargin: true };
      for (let column = 0; column < row; column += 1) traces.push({ type: "scatter", mode: "markers", x: axes[column].values, y: axes[row].values, xaxis: `x${column ? column + 1 : ""}`, yaxis: `y${row > 1 ? row : ""}`, customdata: ids, text: score.map(number), hovertemplate: "%{x}, %{y}: score %{text}<extra></extra>", marker: { color: score, coloraxis: "coloraxis", size: score.map((each) => 4 + 4 * each) }, showlegend: false });
    }
    for (let column = 0; column < last; column += 1) layout[`xaxis${column ? column + 1 : ""}`] = { ...line, type: axes[column].type, domain: room(column, last), anchor: `y${last > 1 ? last : ""}`, title: { text: plain(axes[column].name), font: { size: 11 } }, automargin: true };
    const scale = [[0, colour("band")], [0.5, colour("major")], [1, colour("critical")]];
    Plotly.purge(place); // other fields are other axes
    chart(place, traces, { ...layout, coloraxis: { colorscale: scale, cmin: 0, cmax: 1, colorbar: { title: { text: "score" } } }, hovermode: "closest", margin: { l: 70, r: 20, t: 10, b: 60 } });
    place.on("plotly_click", (event) => opened(event.points[0].customdata));
  };
  return last > 0 ? show : () => Plotly.purge(place);
}
