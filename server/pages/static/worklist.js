// The worklist: asks the node every few seconds, and draws what changed. The node filters, sorts and pages.
"use strict";

const EVERY_MS = 3000;
const NAMES_AT_ONCE = 50;
const IN_WORK = new Set(["receiving", "complete", "running"]);
const PAGE = 100;
const SOON_MS = 200; // after the last key of a filter
const FILTERS = ["priority", "state", "question", "not_assessed", "reviewed", "delivery", "received"];

const view = { studies: [], counts: null, usual_s: null, selected: null, etag: null, quarantine: null, now_s: 0, failed: false,
  offset: 0, next: null, asked: 0 };
const patients = new Map(); // Study Instance UID -> what DICOMweb says of the patient; kept in this page only

// The filter goes in a body: what is looked for may be a patient's name, and addresses are written down.
function wanted() {
  const body = { words: at("find").value.trim(), limit: PAGE, offset: view.offset };
  for (const name of FILTERS.filter((one) => at(one).value && one !== "received")) body[name] = at(name).value;
  if (body.reviewed) body.reviewed = body.reviewed === "yes";
  if (at("received").value) body.received_after = Math.floor(view.now_s / 60) * 60 - Number(at("received").value) * 3600;
  return body;
}

async function search() {
  const headers = { Accept: "application/json", "Content-Type": "application/json" };
  if (view.etag) headers["If-None-Match"] = view.etag;
  const options = { method: "POST", headers, body: JSON.stringify(wanted()), credentials: "same-origin", cache: "no-store" };
  const answer = await fetch("/api/v1/worklist", options);
  if (answer.status === 401) location.assign("/login?next=/");
  if (!answer.ok && answer.status !== 304) throw new Error(`worklist: ${answer.status}`);
  return answer;
}

async function update() {
  const mine = ++view.asked;
  view.now_s ||= Date.now() / 1000;
  try {
    const [answer, quarantine] = await Promise.all([search(), read("/api/v1/quarantine?limit=1000")]);
    const worklist = answer.status === 304 ? null : await answer.json();
    if (mine !== view.asked) return; // the filter was changed meanwhile
    Object.assign(view, { failed: false, etag: answer.headers.get("ETag") });
    view.now_s = Date.parse(answer.headers.get("Date")) / 1000 || Date.now() / 1000;
    drawQuarantine(quarantine.quarantine);
    if (worklist) take(worklist);
    else if (view.studies.some((study) => IN_WORK.has(study.state))) draw(); // the time runs on
  } catch {
    view.failed = true;
    drawCounts();
  }
}

// Another filter, or another page: asked for at once, the old answer is for another question.
function again(offset = 0) {
  Object.assign(view, { offset, etag: null });
  update();
}

function take(worklist) {
  Object.assign(view, { studies: worklist.studies, counts: worklist.counts, usual_s: worklist.usual_inference_s,
    next: worklist.next_offset, is_complete: worklist.is_complete });
  offer("priority", worklist.priorities.map((line) => [line.code, line.label]));
  offer("question", worklist.questions.map((question) => [question.code, question.name]));
  offer("not_assessed", worklist.reasons.map((reason) => [reason, reason]));
  draw();
  learnPatients();
}

function offer(id, options) {
  if (at(id).options.length > 1) return;
  at(id).append(...options.map(([value, text]) => make("option", { value }, text)));
}

// Names come from DICOMweb and only for those who may read images; without them the UID stands alone.
async function learnPatients() {
  const unknown = view.studies.map((study) => study.study_instance_uid).filter((uid) => !patients.has(uid));
  for (let first = 0; first < unknown.length; first += NAMES_AT_ONCE) {
    const uids = unknown.slice(first, first + NAMES_AT_ONCE);
    const answer = await fetch(`/dicom-web/studies?StudyInstanceUID=${uids.join(",")}&includefield=00081030`, {
      headers: { Accept: "application/dicom+json" },
    });
    if (!answer.ok) return;
    for (const entry of answer.status === 204 ? [] : await answer.json()) patients.set(value(entry, "0020000D"), entry);
  }
  if (unknown.length) draw();
}

function value(entry, tag) {
  const found = entry?.[tag]?.Value?.[0] ?? "";
  return typeof found === "object" ? (found.Alphabetic ?? "").replaceAll("^", " ").trim() : String(found);
}

function patientOf(study) {
  const entry = patients.get(study.study_instance_uid);
  if (!entry) return null;
  const date = value(entry, "00080020").replace(/^(\d{4})(\d{2})(\d{2})$/, "$1-$2-$3");
  return {
    name: [value(entry, "00100010") || "no name", value(entry, "00100020")].filter(Boolean).join(" · "),
    about: [date, value(entry, "00081030"), (entry["00080061"]?.Value ?? []).join(" ")].filter(Boolean).join(" · "),
  };
}

function draw() {
  const focused = document.activeElement?.dataset?.uid;
  if (!view.studies.some((study) => study.study_instance_uid === view.selected)) {
    view.selected = view.studies[0]?.study_instance_uid ?? null;
  }
  at("studies").replaceChildren(...view.studies.map(row));
  at("empty").hidden = view.studies.length > 0;
  at("empty").textContent = isFiltered() ? "No study fits the filter." : "No study was received yet.";
  if (focused) linkOf(focused)?.focus();
  at("earlier").disabled = view.offset === 0;
  at("later").disabled = view.next === null;
  drawCounts();
  drawDetails();
}

const isFiltered = () => at("find").value.trim() !== "" || FILTERS.some((name) => at(name).value);

function drawCounts() {
  const { studies = 0, urgent = 0, in_work = 0, reviewed = 0 } = view.counts ?? {};
  const range = view.studies.length ? `${view.offset + 1} to ${view.offset + view.studies.length} of ` : "";
  const text = view.failed
    ? "The node does not answer; what is shown may be old."
    : `${range}${studies} studies, ${urgent} urgent, ${in_work} in work, ${reviewed} reviewed`
      + (view.is_complete === false ? "; more are being listed" : "");
  if (at("counts").textContent !== text) at("counts").textContent = text;
  at("counts").className = view.failed ? "attention" : "";
}

const viewerOf = (uid) => `/viewer?StudyInstanceUIDs=${encodeURIComponent(uid)}`;
const builtInOf = (uid) => `/study?StudyInstanceUIDs=${encodeURIComponent(uid)}`;
const linkOf = (uid) => at("studies").querySelector(`a[data-uid="${CSS.escape(uid)}"]`);
const clock = (seconds) => new Date(seconds * 1000).toLocaleString();

function row(study) {
  const uid = study.study_instance_uid;
  const patient = patientOf(study);
  const link = make("a", { href: viewerOf(uid), "data-uid": uid }, patient ? patient.name : uid);
  const about = make("div", { class: "quiet" }, patient?.about ?? `from ${study.source_ae_title}`);
  const made = make("tr", { "aria-current": uid === view.selected ? "true" : null },
    make("td", {}, make("span", { class: `badge ${study.priority.alarm}` }, study.priority.label)),
    make("th", { scope: "row", class: "uid" }, link, about),
    make("td", {}, ...found(study)),
    make("td", {}, ...reviewOf(study)),
    make("td", {}, ...stateOf(study)),
    make("td", {}, ...sentOf(study)));
  made.addEventListener("click", (event) => { if (!event.target.closest("a")) select(uid); });
  link.addEventListener("focus", () => select(uid));
  return made;
}

const changed = (study, id) => study.changes.find((change) => change.id === id);

// What stands, and what the AI had said where a reviewer changed it.
function found(study) {
  const lines = study.findings.slice(0, 3).map((finding) => {
    const before = changed(study, finding.id);
    return make("div", {}, before?.ai ? make("del", {}, before.ai) : "", before?.ai ? " → " : "", before?.reviewed ?? finding.text,
      before && !before.ai ? make("span", { class: "good" }, " added") : "");
  });
  if (study.findings.length > 3) lines.push(make("div", { class: "quiet" }, `and ${study.findings.length - 3} more`));
  const rejected = study.changes.filter((change) => change.status === "rejected");
  if (rejected.length) lines.push(make("div", { class: "quiet" }, "rejected: ", make("del", {}, rejected.map((change) => change.ai).join("; "))));
  const open = new Set(study.not_assessed.map((entry) => entry.name));
  if (open.size) lines.push(make("div", { class: "quiet" }, `not assessed: ${[...open].join(", ")}`));
  return lines;
}

function reviewOf(study) {
  if (!study.review) return study.findings_revision ? [make("div", { class: "quiet" }, "not reviewed")] : [];
  const { reviewer, reviewed_at, revision, holds } = study.review;
  if (!holds) return [make("div", { class: "attention" }, `revision ${revision} was reviewed, this one was not`)];
  const count = study.changes.length;
  return [make("div", { class: "good" }, count ? `reviewed, ${count} changed` : "reviewed, all accepted"),
    make("div", { class: "quiet" }, `${reviewer.replaceAll("^", " ")}, ${clock(reviewed_at)}`)];
}

function stateOf(study) {
  const parts = [make("div", {}, study.revision > 1 ? `${study.state}, revision ${study.revision}` : study.state)];
  if (study.state === "running" && study.started_at) parts.push(...running(study));
  if (study.state === "receiving") parts.push(...receiving(study));
  if (study.reason) parts.push(make("div", { class: "attention" }, study.reason));
  parts.push(make("div", { class: "quiet" }, clock(study.last_received_at)));
  return parts;
}

function running(study) {
  const elapsed = Math.max(0, view.now_s - study.started_at);
  const text = `reading for ${elapsed.toFixed(0)} s` + (view.usual_s ? `, usually ${view.usual_s.toFixed(0)} s` : "");
  const bar = make("progress", { "aria-label": text, max: 1 });
  if (view.usual_s) bar.value = Math.min(0.95, elapsed / view.usual_s);
  return [bar, make("div", { class: "quiet" }, text)];
}

function receiving(study) {
  const of = study.expected_instances;
  const text = `${study.instances}${of ? ` of ${of}` : ""} instances`;
  const bar = of ? make("progress", { "aria-label": text, max: of, value: study.instances }) : null;
  return [bar, make("div", { class: "quiet" }, text)].filter(Boolean);
}

const DELIVERY_CLASS = { delivered: "good", dead: "urgent", retrying: "attention", pending: "quiet" };

function sentOf(study) {
  const newest = Math.max(0, ...study.deliveries.map((delivery) => delivery.revision));
  return study.deliveries.filter((delivery) => delivery.revision === newest).map((delivery) =>
    make("div", { class: DELIVERY_CLASS[delivery.state] }, `${delivery.destination}: ${delivery.objects} ${delivery.state}`));
}

function select(uid) {
  if (view.selected === uid) return;
  view.selected = uid;
  for (const line of at("studies").children) {
    const isIt = line.querySelector("a").dataset.uid === uid;
    if (isIt) line.setAttribute("aria-current", "true"); else line.removeAttribute("aria-current");
  }
  drawDetails();
}

function listOf(title, lines) {
  return lines.length ? [make("h3", {}, title), make("ul", {}, ...lines.map((line) => make("li", {}, line)))] : [];
}

function drawDetails() {
  const study = view.studies.find((entry) => entry.study_instance_uid === view.selected);
  if (!study) return at("details").replaceChildren(make("p", { class: "quiet" }, "No study is selected."));
  const uid = study.study_instance_uid;
  const api = `/api/v1/studies/${encodeURIComponent(uid)}`;
  at("details").replaceChildren(
    make("h2", {}, patientOf(study)?.name ?? "Study"),
    make("p", { class: "quiet" }, uid),
    make("p", { class: "open" }, make("a", { href: viewerOf(uid) }, "Open the viewer"),
      make("a", { href: builtInOf(uid) }, "Built-in viewer"), make("a", { href: `${builtInOf(uid)}&beside=ohif` }, "Beside OHIF"),
      study.findings_revision ? make("a", { href: `${api}/findings` }, "findings.json") : null),
    study.numbering_note ? make("p", { class: "attention" }, `Level names are uncertain: ${study.numbering_note}`) : "",
    ...listOf(study.review?.holds ? "Findings as reviewed" : "Findings", study.findings.map((finding) => finding.text)),
    ...listOf("What the reviewer changed", study.changes.map((change) =>
      `${change.ai ?? "nothing"} → ${change.reviewed ?? "rejected"}`)),
    ...listOf("The five questions", study.answers.map((answer) => answer.text)),
    ...listOf("Not assessed, which is not normal", study.not_assessed.map((entry) =>
      `${entry.name}${entry.levels.length ? ` (${entry.levels.join(", ")})` : ""}: ${entry.sentence} (${entry.reason})`)),
    ...listOf("Deliveries", study.deliveries.map((delivery) =>
      `revision ${delivery.revision} to ${delivery.destination}: ${delivery.objects} ${delivery.state}`
      + (delivery.reason ? ` (${delivery.reason})` : ""))),
    ...listOf("Received", [`${study.instances} instances from ${study.source_ae_title}`,
      `from ${clock(study.first_received_at)} to ${clock(study.last_received_at)}`]));
  return undefined;
}

function drawQuarantine(entries) {
  const text = JSON.stringify(entries);
  if (text === view.quarantine) return;
  view.quarantine = text;
  at("quarantine-count").textContent = String(entries.length);
  at("quarantined").replaceChildren(...entries.slice().reverse().map((entry) => make("tr", {},
    make("td", {}, clock(entry.received_at)), make("td", {}, entry.source_ae_title), make("td", {}, entry.reason),
    make("td", { class: "uid" }, entry.study_instance_uid ?? "not said"))));
}

function move(step) {
  if (!view.studies.length) return;
  const now = view.studies.findIndex((study) => study.study_instance_uid === view.selected);
  const next = view.studies[Math.min(view.studies.length - 1, Math.max(0, now + step))];
  linkOf(next.study_instance_uid).focus();
}

function clear() {
  at("filters").reset();
  document.activeElement?.blur();
  again();
}

function turn(offset) {
  if (offset === null || offset < 0) return;
  again(offset);
  scrollTo(0, 0);
}

const KEYS = {
  o: () => view.selected && location.assign(`${builtInOf(view.selected)}&beside=ohif`),
  j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1),
  b: () => view.selected && location.assign(builtInOf(view.selected)),
  Enter: () => view.selected && location.assign(viewerOf(view.selected)),
  "/": () => at("find").focus(), f: () => at("priority").focus(),
  "[": () => turn(view.offset - PAGE), "]": () => turn(view.next),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === "Escape") { clear(); return; }
  const isElsewhere = event.target.closest("input, select, summary, #details a");
  if (isElsewhere || !KEYS[event.key] || (event.key === "Enter" && event.target.closest("a"))) return;
  event.preventDefault();
  KEYS[event.key]();
});
let soon = null;
at("filters").addEventListener("input", () => { clearTimeout(soon); soon = setTimeout(() => again(), SOON_MS); });
at("earlier").addEventListener("click", () => turn(view.offset - PAGE));
at("later").addEventListener("click", () => turn(view.next));
at("filters").addEventListener("submit", (event) => { event.preventDefault(); move(0); });
setInterval(() => { if (!document.hidden) update(); }, EVERY_MS);
document.addEventListener("visibilitychange", () => { if (!document.hidden) update(); });
update();
