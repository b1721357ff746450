// What is watched over many studies: agreement with reviewers, and whether rates and measurements have shifted.
"use strict";

const share = (rate) => (rate.value === null ? "none yet" : `${percent(rate.value)} (${percent(rate.low)} to ${percent(rate.high)})`);
const percent = (value) => `${(100 * value).toFixed(1)} %`;
const number = (value) => (value === null ? "" : String(value));
const state = (entry) => make("span", { class: entry.alarm ? "badge urgent" : "quiet" }, entry.alarm ? "alarm" : "no alarm");
const moved = (entry) => `${entry.value} of ${entry.limit}${entry.direction ? `, ${entry.direction}` : ""}`;
const asRate = (signal, value) => (value !== null && !signal.startsWith("measured") ? percent(value) : number(value));

function table(title, note, heads, rows, none) {
  const lines = rows.map((cells) => make("tr", {}, ...cells.map((cell) => make("td", {}, cell))));
  return [make("h2", {}, title), make("p", { class: "quiet" }, note), rows.length
    ? make("table", {}, make("caption", { class: "hidden" }, title),
      make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))), make("tbody", {}, ...lines))
    : make("p", {}, none)];
}

async function open() {
  try {
    const [agreement, drift, outputs] = await Promise.all(
      ["agreement", "drift", "outputs"].map((name) => read(`/api/v1/statistics/${name}`)));
    at("agreement").replaceChildren(...table("Agreement with reviewers",
      "The newest review of each study. Reviewers saw the AI's answer first: agreement is not accuracy.",
      ["Question", "Model", "Answered", "Overruled", "Of present", "Of absent", "Added"],
      agreement.groups.map((group) => [group.question, `${group.model ?? "no model"} ${group.version ?? ""}`,
        number(group.counts.answered), share(group.disagreement), share(group.disagreement_of_present),
        share(group.disagreement_of_absent), number(group.counts.added)]), "Nothing was reviewed yet."));
    at("drift").replaceChildren(...table("Rates in reviewed studies", "One value for each reviewed study, after the first 200.",
      ["", "Signal", "Question", "Model", "Reference", "Recent", "Sum", "Studies"],
      drift.charts.map((chart) => [state(chart), chart.signal, chart.question, `${chart.model} ${chart.version}`,
        percent(chart.reference_rate), percent(chart.recent_rate), moved(chart), number(chart.studies)]),
      "There are no studies after the first 200 reviewed ones yet."));
    at("outputs").replaceChildren(...table("Outputs of all studies", outputs.note,
      ["", "Signal", "Question", "Model", "Source", "Reference", "Recent", "Value", "Studies"],
      outputs.shifts.slice().sort((a, b) => b.alarm - a.alarm).map((shift) => [state(shift), shift.signal.replaceAll("_", " "),
        shift.question.replaceAll("_", " "), `${shift.model} ${shift.version}`, shift.source,
        asRate(shift.signal, shift.reference), asRate(shift.signal, shift.recent), moved(shift), number(shift.studies)]),
      "No source has sent studies after its first 200 yet."));
    at("state").textContent = `${outputs.shifts.filter((shift) => shift.alarm).length + drift.charts.filter((chart) => chart.alarm).length} alarms`;
  } catch (error) {
    at("state").textContent = error.message;
    at("state").className = "attention";
  }
}

open();
