// The list of findings beside the image: as the AI gave them, or as the newest review left them.
"use strict";

const REJECTED = "E_REJECTED";

function drawFindings() {
  const shown = view.shown;
  const rejected = shown.findings.filter((finding) => finding.review?.status === "rejected");
  const called = shown.findings.filter((finding) => finding.assessment === "present");
  const absent = shown.findings.filter((finding) => finding.assessment === "absent");
  const empty = called.length ? "" : make("p", {}, "Nothing was called where it was assessed.");
  at("findings").replaceChildren(
    make("h2", {}, shown.review ? `Findings as reviewed (review ${shown.review.number})` : "Findings of the AI"),
    shown.numbering.ambiguous ? make("p", { class: "attention" }, `Level names are uncertain: ${shown.numbering.note}`) : "",
    empty, make("ul", { class: "findings" }, ...called.map(entryOf)),
    ...(rejected.length ? [make("h3", {}, "Rejected by the reviewer"), make("ul", { class: "findings" }, ...rejected.map(entryOf))] : []),
    make("h3", {}, "Not assessed, which is not normal"), make("ul", {}, ...openQuestions(shown)),
    make("h3", {}, "Assessed and not called"), make("ul", { class: "findings" }, ...absent.map(entryOf)),
    make("p", { class: "quiet" }, `Revision ${shown.revision}. ${shown.notice}`));
}

function openQuestions(shown) {
  const groups = new Map();
  for (const entry of shown.not_assessed.filter((one) => one.reason !== REJECTED)) {
    const key = `${entry.name}|${entry.reason}`;
    const group = groups.get(key) ?? { ...entry, levels: [] };
    if (entry.site.level) group.levels.push(entry.site.level);
    groups.set(key, group);
  }
  return [...groups.values()].map((entry) => {
    const where = entry.levels.length ? ` (${[...new Set(entry.levels)].join(", ")})` : "";
    return make("li", {}, `${entry.name}${where}: ${entry.reason_sentence} (${entry.reason})`);
  });
}

function entryOf(finding) {
  const status = finding.review?.status ?? "";
  const made = button([finding.label, finding.note ? make("div", { class: "quiet" }, finding.note) : ""],
    () => jump(finding.id), { "data-finding": finding.id, class: status });
  mark(made, finding.id === view.chosen);
  return make("li", { "data-entry": finding.id }, made, view.shown.review ? "" : decisionOf(finding));
}

function mark(element, is_current) {
  if (is_current) element.setAttribute("aria-current", "true"); else element.removeAttribute("aria-current");
}
