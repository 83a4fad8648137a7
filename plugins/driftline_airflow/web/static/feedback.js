// What people say of a record: buttons for who may say it, and what was said already, which can be taken back.
import { api, make, send, state, tell, time } from "./common.js";

const SAYING = {
  nothing: ["Nothing", "This was nothing: what is like it scores a warning at most from now on"],
  real: ["Real", "This was real: what is like it alarms from now on"],
};
const SAID = { nothing: "said to be nothing", real: "said to be real" };

const named = (record) => `${record.partition_field_value ?? record.by_field_value ?? record.over_field_value ?? record.job_id}, ${time(record.timestamp)}`;

/** A cell of a table of anomalies. */
export function verdict(record) {
  const place = make("span", { class: "actions verdict" });
  show(place, record);
  return place;
}

function show(place, record) {
  const said = record.feedback;
  const may = state.may_edit.includes(record.job_id);
  const words = said ? `${SAID[said.verdict]}${said.by ? ` by ${said.by}` : ""}` : "";
  place.replaceChildren(
    ...(said ? [make("span", { class: `badge ${said.verdict === "real" ? "bad" : "good"}`, title: `${said.created}${said.note ? `: ${said.note}` : ""}` }, words)] : []),
    ...(may && said ? [button("Undo", `Take back that it was ${said.verdict}`, place, record, () => api(`${path(record)}/${encodeURIComponent(said.id)}`, {}, { method: "DELETE" }), null)] : []),
    ...(may && !said ? Object.entries(SAYING).map(([word, [label, title]]) => button(label, title, place, record, () => send("POST", path(record), { record_id: record._id, verdict: word }), word)) : []),
  );
}

const path = (record) => `jobs/${encodeURIComponent(record.job_id)}/feedback`;

/** A button that says something; the focus stays where it was pressed. */
function button(label, title, place, record, ask, word) {
  const press = async () => {
    for (const each of place.querySelectorAll("button")) each.disabled = true;
    try {
      const told = await ask();
      record.feedback = word && { id: told._id, verdict: word, by: told.created_by, created: told.created, note: told.note };
      tell(word ? `Noted: ${named(record)} was ${word}. It counts from the next run on.` : `Taken back: ${named(record)}.`);
    } catch (error) {
      tell(error.message);
    }
    show(place, record);
    place.querySelector("button")?.focus();
  };
  return make("button", { type: "button", title, "aria-label": `${label}: ${named(record)}`, onclick: press }, label);
}
