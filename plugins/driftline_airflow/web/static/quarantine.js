// Quarantine: rows that an ingest put aside, page by page; those that are selected are released or dismissed.
import { $, api, fill, make, number, query, root, send, state, tell, time } from "./common.js";

const PAGE = 50;
const { wanted, editable } = state;
const selected = new Map(); // id and index → row
let first = 0;

const at = (value) => (value === null || value === undefined ? "–" : time(typeof value === "number" ? value : Date.parse(value)));
const key = (row) => `${row.index} ${row.id}`;
const given = Object.fromEntries(Object.entries(wanted).filter(([, value]) => value !== ""));

function show() {
  selected.clear();
  count();
  return fill($("rows"), api("quarantine", { ...given, size: PAGE, first }), ({ total, checks, rows }) => {
    selected.clear(); // of what was ticked meanwhile nothing is shown any more
    count();
    $("checks").replaceChildren(make("strong", {}, `${number(total)} rows`), ...Object.entries(checks).map(([name, rows]) => make("a", { href: `${root}quarantine?${query({ ...given, check: name })}` }, `${name}: ${number(rows)}`)));
    const decided = wanted.state !== "open";
    const may = wanted.state !== "released" && rows.some((row) => editable.includes(row.source_id));
    $("actions").hidden = !may;
    $("dismiss").hidden = decided;
    const heads = ["Where", "Check", "Why", "The row", "Its time (UTC)", "Put aside (UTC)", ...(decided ? ["Decided (UTC)"] : [])];
    const every = make("input", { type: "checkbox", "aria-label": "Select all rows of this page", onchange: () => all(every.checked) });
    const head = make("tr", {}, may ? make("th", { scope: "col" }, every) : "", heads.map((name) => make("th", { scope: "col" }, name)));
    $("rows").replaceChildren(make("thead", {}, head), make("tbody", {}, rows.map((row) => line(row, may, decided))));
    if (!rows.length) $("rows").replaceChildren(make("tbody", {}, make("tr", {}, make("td", { class: "empty" }, "There are no such rows."))));
    pager(total, rows.length);
  });
}

function line(row, may, decided) {
  const box = make("input", { type: "checkbox", "aria-label": `Select ${row.path}, line ${row.line}`, onchange: () => pick(row, box.checked) });
  return make(
    "tr",
    { "data-row": row.id },
    may ? make("td", {}, editable.includes(row.source_id) ? box : "") : "",
    make("td", { class: "value" }, `${row.path}:${row.line}`, make("div", { class: "muted" }, `${row.source_id}, offset ${row.offset}`)),
    make("td", {}, make("span", { class: "badge" }, row.check)),
    make("td", { class: "value" }, row.reason, row.obstacle && !decided ? make("div", { class: "muted" }, `Cannot be released: ${row.obstacle}`) : ""),
    make("td", { class: "long" }, make("code", { class: "row" }, row.raw), row.truncated ? make("div", { class: "muted" }, `the beginning of ${number(row.raw_bytes)} bytes`) : ""),
    make("td", { class: "time" }, at(row.time)),
    make("td", { class: "time" }, at(row.added)),
    decided ? make("td", { class: "time" }, at(row.decided), make("div", { class: "muted" }, row.by ? `by ${row.by}` : "")) : "",
  );
}

function pick(row, on) {
  if (on) selected.set(key(row), row);
  else selected.delete(key(row));
  count();
}

function all(on) {
  for (const box of document.querySelectorAll("#rows tbody input[type=checkbox]")) if (box.checked !== on) box.click();
}

function count() {
  $("selected").textContent = selected.size ? `${number(selected.size)} selected` : "Nothing is selected";
  $("release").disabled = $("dismiss").disabled = !selected.size;
}

function pager(total, shown) {
  const step = (to, name, on) => make("button", { type: "button", disabled: !on, onclick: () => ((first = to), show()) }, name);
  $("pager").replaceChildren(step(Math.max(0, first - PAGE), "Earlier page", first > 0), ` ${shown ? number(first + 1) : 0} to ${number(first + shown)} of ${number(total)} `, step(first + PAGE, "Next page", first + shown < total));
}

async function decide(what) {
  const groups = new Map();
  for (const row of selected.values()) groups.set(`${row.source_id} ${row.index}`, [...(groups.get(`${row.source_id} ${row.index}`) ?? []), row]);
  const rows = new Map([...selected.values()].map((row) => [row.id, row]));
  const answers = [];
  $("release").disabled = $("dismiss").disabled = true;
  try {
    for (const group of groups.values()) {
      const { source_id: source, index } = group[0];
      answers.push(await send("POST", `quarantine/${encodeURIComponent(source)}/${what}`, { index, ids: group.map((row) => row.id) }));
    }
  } catch (error) {
    tell(error.message);
  }
  told(what === "release" ? "released" : "dismissed", answers, rows);
  await show();
}

function told(verdict, answers, rows) {
  const refused = answers.flatMap((answer) => answer.rows.filter((row) => row.outcome === "refused"));
  const done = answers.reduce((sum, answer) => sum + answer[verdict], 0);
  const again = answers.flatMap((answer) => answer.score_again ?? []);
  $("outcome").hidden = !answers.length;
  $("outcome-body").replaceChildren(
    make("p", {}, `${number(done)} ${verdict}, ${number(refused.length)} refused.`),
    refused.length ? make("ul", {}, refused.map((row) => make("li", {}, make("strong", {}, `line ${rows.get(row.id)?.line}: `), row.reason))) : "",
    again.length
      ? make("ul", {}, again.map((each) => make("li", {}, `${each.job_id} has scored ${at(each.start)} to ${at(each.end)} without them; `, each.by_itself ? "its next run scores it again." : ["to score it again: ", make("code", {}, each.command)])))
      : "",
  );
}

$("release").addEventListener("click", () => decide("release"));
$("dismiss").addEventListener("click", () => decide("dismiss"));
show();
