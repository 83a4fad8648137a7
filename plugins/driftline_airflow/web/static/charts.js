// What all Plotly charts of a page share: the page's colours, and text that is only text.
import { make, runs, severity } from "./common.js";

/** A colour as the browser resolves it, so that Plotly knows it whatever the theme is. */
export function colour(name) {
  const probe = make("span", { style: { color: `var(--${name})` } });
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/** The same, so thin that lines are seen through it. */
export const tint = (name) => colour(name).replace(/^rgb\(/, "rgba(").replace(/\)$/, ", 0.3)");

/** Plotly reads a few tags in its texts. */
export const plain = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** The trace of a band: there along its lower edge and back along its upper one, where both are known. */
export function spread(times, lower, upper, name, fill) {
  const edge = runs(lower).flatMap((run) => [...run.map((n) => [times[n], lower[n]]), ...run.toReversed().map((n) => [times[n], upper[n]]), [null, null]]);
  return [{ x: edge.map(([x]) => x), y: edge.map(([, y]) => y), mode: "lines", line: { width: 0 }, fill: "toself", fillcolor: fill, name, hoverinfo: "skip" }];
}

/** Draws, or draws anew; axes are by time unless they are given. */
export function chart(place, traces, { xaxis = {}, yaxis = {}, ...more } = {}) {
  const layout = {
    margin: { l: 60, r: 20, t: 10, b: 30 },
    paper_bgcolor: colour("ground"),
    plot_bgcolor: colour("ground"),
    font: { color: colour("ink"), family: "system-ui, sans-serif" },
    xaxis: { type: "date", gridcolor: colour("line"), ...xaxis },
    yaxis: { gridcolor: colour("line"), ...yaxis },
    hoverlabel: { bgcolor: colour("soft") },
    uirevision: "kept",
    ...more,
  };
  return Plotly.react(place, traces, layout, { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "toImage"] });
}

/** Traces of anomalies, a mark for each severity; `points` have x, y, score and text. */
export function marks(points) {
  return [["critical", "square"], ["major", "diamond"], ["minor", "triangle-up"], ["warning", "circle"]].flatMap(([name, symbol]) => {
    const found = points.filter((point) => severity(point.score) === name);
    if (!found.length) return [];
    return [{ x: found.map((each) => each.x), y: found.map((each) => each.y), customdata: found.map((each) => each.about ?? null), mode: "markers", marker: { size: name === "critical" ? 11 : 9, symbol, color: colour(name), line: { width: 1, color: colour("ground") } }, name, text: found.map((each) => plain(each.text)), hovertemplate: "%{text}<extra>%{x}</extra>" }];
  });
}

/** Draws now, when Plotly has come, and when the theme is another. */
export function drawn(draw) {
  const again = () => globalThis.Plotly && draw();
  again();
  document.addEventListener("theme", again);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  addEventListener("load", again);
}
