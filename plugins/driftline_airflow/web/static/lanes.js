// Swim lanes: cells by time, a brush for the pointer, and the same for the keyboard.
import { $, make, severity, time } from "./common.js";

const TICKS = 6;

/** Draws lanes; `select` is told of a stretch of time (ms) and, where a single lane was meant, of it. */
export function drawLanes(place, found, { select, choose, chosen }) {
  const begin = Date.parse(found.start);
  const end = Math.max(Date.parse(found.end), begin + found.span * 1000);
  const share = (ms) => ((ms - begin) / (end - begin)) * 100;
  const rows = [found.overall, ...found.lanes].map((lane, index) => row(lane, index));
  place.replaceChildren(...rows, axis());
  const cells = [...place.querySelectorAll(".cell")];
  if (cells[0]) cells[0].tabIndex = 0;
  place.onkeydown = keys;
  brush();

  function row(lane, index) {
    const track = make("div", { class: "track", role: "presentation" });
    for (const [at, value] of lane.cells) {
      const kind = severity(value);
      track.append(
        make("div", {
          class: `cell ${kind}`,
          role: "gridcell",
          tabindex: -1,
          "aria-label": `${lane.key}, ${time(at)}: score ${Math.round(value)}, ${kind}`,
          title: `${lane.key}\n${time(at)} UTC\nscore ${Math.round(value)}, ${kind}`,
          "data-at": at,
          "data-lane": lane.key,
          style: { left: `${share(at)}%`, width: `calc(${(found.span * 1000 * 100) / (end - begin)}% - 1px)` },
        }),
      );
    }
    const name = index && choose
      ? make("button", { type: "button", title: lane.key, "aria-pressed": String(chosen === lane.key), onclick: () => choose(lane.key) }, lane.key || "(empty)")
      : lane.key === "overall" ? "Overall" : lane.key;
    return make("div", { class: `lane ${index ? "" : "overall"}`, role: "row" }, make("div", { class: "name", role: "rowheader", title: lane.key }, name), track);
  }

  function axis() {
    const line = make("div", { class: "axis" });
    for (let n = 0; n < TICKS; n++) {
      const at = begin + ((end - begin) * n) / TICKS;
      line.append(make("span", { style: { left: `${(100 * n) / TICKS}%` } }, time(at - (at % 60000))));
    }
    return make("div", { class: "lane", role: "presentation" }, make("div"), line);
  }

  function keys(event) {
    const cell = event.target.closest(".cell");
    if (!cell) return;
    const mine = [...cell.parentElement.children];
    const lanes = [...place.querySelectorAll(".track")].filter((track) => track.querySelector(".cell"));
    let next = null;
    if (event.key === "ArrowRight") next = mine[mine.indexOf(cell) + 1];
    else if (event.key === "ArrowLeft") next = mine[mine.indexOf(cell) - 1];
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const other = lanes[lanes.indexOf(cell.parentElement) + (event.key === "ArrowDown" ? 1 : -1)];
      next = other && [...other.children].sort((a, b) => Math.abs(a.dataset.at - cell.dataset.at) - Math.abs(b.dataset.at - cell.dataset.at))[0];
    } else if (event.key === "Enter" || event.key === " ") {
      const at = Number(cell.dataset.at);
      select(at, at + found.span * 1000, laneOf(cell));
      event.preventDefault();
    } else return;
    if (next) {
      cell.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    }
    event.preventDefault();
  }

  function laneOf(cell) {
    return cell.dataset.lane === "overall" && cell.closest(".overall") ? null : cell.dataset.lane;
  }

  function brush() {
    let from = null;
    let track = null;
    const mark = make("div", { class: "brushed" });
    const at = (event) => {
      const box = track.getBoundingClientRect();
      const part = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
      return begin + part * (end - begin);
    };
    const span = found.span * 1000;
    place.onpointerdown = (event) => {
      track = event.target.closest(".track");
      if (!track || event.button) return;
      from = at(event);
      track.setPointerCapture?.(event.pointerId);
    };
    place.onpointermove = (event) => {
      if (from === null) return;
      const to = at(event);
      Object.assign(mark.style, { left: `${share(Math.min(from, to))}%`, width: `${share(Math.max(from, to)) - share(Math.min(from, to))}%` });
      track.append(mark);
    };
    place.onpointerup = (event) => {
      if (from === null) return;
      const to = at(event);
      // whole cells, so that a click selects one
      const start = begin + Math.floor((Math.min(from, to) - begin) / span) * span;
      const stop = begin + Math.ceil((Math.max(from, to) - begin + 1) / span) * span;
      const row = track.closest(".lane");
      const key = row.classList.contains("overall") ? null : track.querySelector(".cell")?.dataset.lane ?? null;
      const clicked = Math.abs(to - from) < span / 2;
      from = null;
      mark.remove();
      select(start, stop, clicked ? key : null);
    };
    place.onpointercancel = () => {
      from = null;
      mark.remove();
    };
  }
}

/** Shows which stretch of time is selected. */
export function showSelection(place, found, selected) {
  for (const old of place.querySelectorAll(".brushed")) old.remove();
  if (!selected) return;
  const begin = Date.parse(found.start);
  const width = Math.max(Date.parse(found.end), begin + found.span * 1000) - begin;
  for (const track of place.querySelectorAll(".track")) {
    track.append(make("div", { class: "brushed", style: { left: `${((selected.start - begin) / width) * 100}%`, width: `${((selected.end - selected.start) / width) * 100}%` } }));
  }
}
