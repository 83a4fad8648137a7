// A small picture of a series: the band that was expected, what was, and anomalies as marks. For many on one page.
import { draw, number, runs, severity, time } from "./common.js";

const WIDTH = 320;
const HEIGHT = 130;
const LEFT = 38;
const BOTTOM = 16;

/** An SVG of what `series/values` answers. */
export function plot(view) {
  const known = (values) => values.filter((value) => value !== null);
  const all = [...known(view.actual), ...known(view.lower), ...known(view.upper)];
  const low = Math.min(0, ...all);
  const high = Math.max(...all, low + 1e-9);
  const begin = view.times[0];
  const end = view.times.at(-1) + view.bucket_span * 1000;
  const x = (ms) => LEFT + ((ms - begin) / (end - begin || 1)) * (WIDTH - LEFT - 4);
  const y = (value) => HEIGHT - BOTTOM - ((value - low) / (high - low)) * (HEIGHT - BOTTOM - 6);
  const svg = draw("svg", { class: "plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `${view.label}: ${view.records.length} anomalies between ${time(begin)} and ${time(end)}` });
  for (const value of [low, (low + high) / 2, high]) {
    svg.append(draw("line", { class: "grid", x1: LEFT, x2: WIDTH, y1: y(value), y2: y(value) }), draw("text", { x: LEFT - 4, y: y(value) + 3, "text-anchor": "end" }, number(value)));
  }
  for (const at of [begin, (begin + end) / 2]) svg.append(draw("text", { x: x(at), y: HEIGHT - 3 }, time(at - (at % 60000)).slice(5)));
  for (const run of runs(view.lower)) {
    const up = run.map((n) => `${x(view.times[n])},${y(Math.min(view.upper[n], high))}`);
    const down = run.toReversed().map((n) => `${x(view.times[n])},${y(Math.max(view.lower[n], low))}`);
    svg.append(draw("polygon", { class: "band", points: [...up, ...down].join(" ") }));
  }
  const drawn = runs(view.actual);
  const path = drawn.map((run) => `M${run.map((n) => `${x(view.times[n]).toFixed(1)},${y(view.actual[n]).toFixed(1)}`).join("L")}`);
  svg.append(draw("path", { class: "actual", d: path.join("") }));
  for (const [n] of drawn.filter((run) => run.length === 1)) svg.append(draw("circle", { class: "alone", cx: x(view.times[n]), cy: y(view.actual[n]), r: 1.5 }));
  const at = new Map(view.times.map((when, n) => [when, n]));
  for (const record of view.records) {
    const value = view.actual[at.get(record.timestamp)];
    if (value === null || value === undefined) continue;
    svg.append(draw("circle", { class: `mark ${severity(record.record_score)}`, cx: x(record.timestamp), cy: y(value), r: record.record_score >= 50 ? 4 : 2.5 }, draw("title", {}, `${time(record.timestamp)}: ${record.driftline?.sentence ?? ""}`)));
  }
  return svg;
}
