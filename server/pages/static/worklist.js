// The worklist: asks the node every few seconds, and draws what changed. Nothing is loaded from elsewhere.
"use strict";

const EVERY_MS = 3000;
const NAMES_AT_ONCE = 50;
const IN_WORK = new Set(["receiving", "complete", "running"]);
const OPEN_DELIVERIES = new Set(["pending", "retrying"]);

const view = { studies: [], shown: [], usual_s: null, selected: null, said: "", now_s: 0, failed: false };
const patients = new Map(); // Study Instance UID -> what DICOMweb says of the patient; kept in this page only
const at = (id) => document.getElementById(id);

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

async function read(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" }, credentials: "same-origin" });
  if (answer.status === 401) location.assign("/login?next=/");
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  const text = await answer.text();
  return { text, date: Date.parse(answer.headers.get("Date")) / 1000 };
}

async function update() {
  try {
    const [studies, quarantine] = await Promise.all([read("/api/v1/worklist"), read("/api/v1/quarantine?limit=1000")]);
    view.failed = false;
    view.now_s = studies.date || Date.now() / 1000;
    if (studies.text + quarantine.text !== view.said) {
      view.said = studies.text + quarantine.text;
      take(JSON.parse(studies.text), JSON.parse(quarantine.text).quarantine);
    } else if (view.studies.some((study) => IN_WORK.has(study.state))) {
      draw(); // the time runs on
    }
  } catch (error) {
    view.failed = true;
    drawCounts();
  }
}

function take(worklist, quarantine) {
  view.studies = worklist.studies;
  view.usual_s = worklist.usual_inference_s;
  const choice = at("priority");
  if (choice.options.length === 1) {
    for (const line of worklist.priorities) choice.append(make("option", { value: line.code }, line.label));
  }
  drawQuarantine(quarantine);
  draw();
  learnPatients();
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

function isShown(study) {
  const words = at("find").value.trim().toLowerCase();
  const patient = patientOf(study);
  const text = [study.study_instance_uid, study.reason, patient?.name, patient?.about, study.source_ae_title]
    .concat(study.findings.map((finding) => finding.text)).join(" ").toLowerCase();
  const sent = at("delivery").value;
  return words.split(/\s+/).every((word) => text.includes(word))
    && (!at("priority").value || study.priority.code === at("priority").value)
    && (!at("state").value || study.state === at("state").value)
    && (!sent || study.deliveries.some((d) => (sent === "dead" ? d.state === "dead" : OPEN_DELIVERIES.has(d.state))));
}

function draw() {
  const focused = document.activeElement?.dataset?.uid;
  view.shown = view.studies.filter(isShown);
  if (!view.shown.some((study) => study.study_instance_uid === view.selected)) {
    view.selected = view.shown[0]?.study_instance_uid ?? null;
  }
  at("studies").replaceChildren(...view.shown.map(row));
  at("empty").hidden = view.shown.length > 0;
  at("empty").textContent = view.studies.length ? "No study fits the filter." : "No study was received yet.";
  if (focused) linkOf(focused)?.focus();
  drawCounts();
  drawDetails();
}

function drawCounts() {
  const urgent = view.studies.filter((study) => study.priority.alarm === "urgent").length;
  const working = view.studies.filter((study) => IN_WORK.has(study.state)).length;
  const text = view.failed
    ? "The node does not answer; what is shown may be old."
    : `${view.shown.length} of ${view.studies.length} studies, ${urgent} urgent, ${working} in work`;
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
    make("td", {}, ...stateOf(study)),
    make("td", {}, ...sentOf(study)));
  made.addEventListener("click", (event) => { if (!event.target.closest("a")) select(uid); });
  link.addEventListener("focus", () => select(uid));
  return made;
}

function found(study) {
  const lines = study.findings.slice(0, 3).map((finding) => make("div", {}, finding.text));
  if (study.findings.length > 3) lines.push(make("div", { class: "quiet" }, `and ${study.findings.length - 3} more`));
  const open = new Set(study.not_assessed.map((entry) => entry.name));
  if (open.size) lines.push(make("div", { class: "quiet" }, `not assessed: ${[...open].join(", ")}`));
  return lines;
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
      make("a", { href: builtInOf(uid) }, "Built-in viewer"),
      study.findings_revision ? make("a", { href: `${api}/findings` }, "findings.json") : null),
    study.numbering_note ? make("p", { class: "attention" }, `Level names are uncertain: ${study.numbering_note}`) : "",
    ...listOf("Findings", study.findings.map((finding) => finding.text)),
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
  at("quarantine-count").textContent = String(entries.length);
  at("quarantined").replaceChildren(...entries.slice().reverse().map((entry) => make("tr", {},
    make("td", {}, clock(entry.received_at)), make("td", {}, entry.source_ae_title), make("td", {}, entry.reason),
    make("td", { class: "uid" }, entry.study_instance_uid ?? "not said"))));
}

function move(step) {
  if (!view.shown.length) return;
  const now = view.shown.findIndex((study) => study.study_instance_uid === view.selected);
  const next = view.shown[Math.min(view.shown.length - 1, Math.max(0, now + step))];
  linkOf(next.study_instance_uid).focus();
}

function clear() {
  at("filters").reset();
  document.activeElement?.blur();
  draw();
}

const KEYS = {
  j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1),
  b: () => view.selected && location.assign(builtInOf(view.selected)),
  Enter: () => view.selected && location.assign(viewerOf(view.selected)),
  "/": () => at("find").focus(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === "Escape") { clear(); return; }
  const isElsewhere = event.target.closest("input, select, summary, #details a");
  if (isElsewhere || !KEYS[event.key] || (event.key === "Enter" && event.target.closest("a"))) return;
  event.preventDefault();
  KEYS[event.key]();
});
at("filters").addEventListener("input", draw);
at("filters").addEventListener("submit", (event) => { event.preventDefault(); move(0); });
setInterval(() => { if (!document.hidden) update(); }, EVERY_MS);
document.addEventListener("visibilitychange", () => { if (!document.hidden) update(); });
update();
