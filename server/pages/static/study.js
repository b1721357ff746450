// The built-in viewer: one image at a time as the node renders it, with outlines and findings drawn over it.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const IMAGES = new Set(["CR", "CT", "DX", "MR", "NM", "OT", "PT", "RF", "US", "XA", "XC"]);
const uid = new URLSearchParams(location.search).get("StudyInstanceUIDs") ?? "";
const view = { series: [], overlay: null, series_uid: null, index: 0, turned: 0, chosen: null };
const at = (id) => document.getElementById(id);
const web = (path) => `/dicom-web/studies/${encodeURIComponent(uid)}${path}`;

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.filter(Boolean));
  return element;
}

function draw(name, attributes, text = "") {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

async function read(path, type) {
  const answer = await fetch(path, { headers: { Accept: type }, credentials: "same-origin" });
  if (answer.status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
  if (answer.status === 204) return [];
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail ?? `The node answered ${answer.status}.`);
  return answer.json();
}

const one = (entry, tag) => entry[tag]?.Value?.[0];

async function open() {
  at("hint").hidden = location.pathname !== "/viewer";
  if (!/^[0-9.]{1,64}$/.test(uid)) return say("The address names no study; open one from the worklist.");
  at("title").textContent = `Study ${uid}`;
  try {
    const found = await read(web("/series?includefield=0008103E"), "application/dicom+json");
    const images = found.filter((entry) => IMAGES.has(one(entry, "00080060")));
    view.series = await Promise.all(images.map(describe));
  } catch (error) {
    return say(error.message);
  }
  try {
    view.overlay = await read(`/api/v1/studies/${encodeURIComponent(uid)}/overlay`, "application/json");
  } catch (error) {
    at("findings").replaceChildren(make("p", { class: "attention" }, error.message)); // not read yet: images alone
  }
  drawSeries();
  showFirst();
  if (!view.overlay) return;
  drawFindings();
  try {
    await openReview();
  } catch (error) {
    at("review").replaceChildren(make("p", { class: "attention" }, error.message));
  }
}

async function describe(entry) {
  const series_uid = one(entry, "0020000E");
  const listed = await read(web(`/series/${series_uid}/instances?includefield=00280008`), "application/dicom+json");
  listed.sort((a, b) => (one(a, "00200013") ?? 0) - (one(b, "00200013") ?? 0));
  const images = listed.flatMap((instance) => framesOf(series_uid, instance));
  return { series_uid, images, modality: one(entry, "00080060"), text: one(entry, "0008103E") ?? "no description" };
}

function framesOf(series_uid, instance) {
  const sop_uid = one(instance, "00080018");
  const place = web(`/series/${series_uid}/instances/${sop_uid}`);
  const frames = Number(one(instance, "00280008") ?? 1);
  if (frames === 1) return [{ sop_uid, frame: null, address: `${place}/rendered` }];
  return Array.from({ length: frames }, (_, i) => ({ sop_uid, frame: i + 1, address: `${place}/frames/${i + 1}/rendered` }));
}

const isOn = (drawn, image) => drawn.sop_instance_uid === image.sop_uid && (drawn.frame ?? 1) === (image.frame ?? 1);
const drawnOn = (image) => view.overlay?.images.find((drawn) => isOn(drawn, image));
const seriesOf = (series_uid) => view.series.find((series) => series.series_uid === series_uid);

function showFirst() {
  if (!view.series.length) return say("The study has no image that can be shown.");
  const called = view.overlay?.findings.find((finding) => finding.assessment === "present" && placeOf(finding.id));
  if (called) return jump(called.id);
  const series = view.series.find((entry) => entry.images.some(drawnOn)) ?? view.series[0];
  return show(series.series_uid, Math.floor(series.images.length / 2));
}

// Where a finding is marked: on its own point if it has one, else on the first of its measurements.
function placeOf(finding) {
  const marked = (view.overlay?.images ?? []).flatMap((image) =>
    image.marks.filter((mark) => mark.finding === finding).map((mark) => ({ image, own: mark.measurement === null })));
  return (marked.find((mark) => mark.own) ?? marked[0])?.image;
}

function jump(finding) {
  view.chosen = finding;
  const place = placeOf(finding);
  const series = place && seriesOf(place.series_instance_uid);
  const index = series ? series.images.findIndex((image) => isOn(place, image)) : -1;
  if (index >= 0) show(series.series_uid, index);
  for (const button of at("findings").querySelectorAll("button")) mark(button, button.dataset.finding === finding);
}

function show(series_uid, index) {
  const series = seriesOf(series_uid);
  view.series_uid = series_uid;
  view.index = Math.min(series.images.length - 1, Math.max(0, index));
  const image = series.images[view.index];
  at("slice").max = series.images.length;
  at("slice").value = view.index + 1;
  at("place").textContent = `${view.index + 1} of ${series.images.length}`;
  at("picture").alt = `${series.text}, image ${view.index + 1} of ${series.images.length}`;
  at("picture").src = image.address;
  for (const button of at("series").querySelectorAll("button")) mark(button, button.dataset.series === series_uid);
  drawMarks(drawnOn(image));
}

function mark(button, is_current) {
  if (is_current) button.setAttribute("aria-current", "true"); else button.removeAttribute("aria-current");
}

// The image fills the stage in the patient's proportions; the overlay has the image's own coordinates.
function fit() {
  const picture = at("picture");
  if (!picture.naturalWidth) return;
  say("");
  const images = seriesOf(view.series_uid).images.map(drawnOn);
  const [row_mm, column_mm] = images.find((drawn) => drawn?.plane)?.plane.spacing_mm ?? [1, 1];
  const width = picture.naturalWidth * column_mm;
  const height = picture.naturalHeight * row_mm;
  const scale = Math.min(at("stage").clientWidth / width, at("stage").clientHeight / height);
  at("image").style.width = `${width * scale}px`;
  at("image").style.height = `${height * scale}px`;
}

const colourOf = (drawn) => `rgb(${drawn.colour.join(",")})`;
const pointsOf = (shape) => shape.points.map((point) => point.join(",")).join(" ");

function drawMarks(drawn) {
  const marks = at("marks");
  marks.replaceChildren();
  if (!drawn?.columns) return;
  marks.setAttribute("viewBox", `0 0 ${drawn.columns} ${drawn.rows}`);
  if (at("show-outlines").checked) {
    for (const outline of drawn.structures) {
      for (const shape of outline.polygons) {
        const colour = colourOf(outline);
        marks.append(draw("polygon", { points: pointsOf(shape), stroke: colour, fill: colour }));
      }
    }
    marks.append(...drawn.structures.filter((outline) => outline.structure === "vertebral body").map(nameOf(drawn)));
  }
  if (!at("show-findings").checked) return;
  marks.append(...drawn.marks.filter(isDrawn).flatMap((entry) => shapesOf(entry, drawn)));
}

// What was looked for and not called has marks too: they are drawn for the finding that was clicked on.
function isDrawn(entry) {
  const finding = view.overlay.findings.find((found) => found.id === entry.finding);
  return entry.finding === view.chosen || finding?.assessment === "present";
}

const nameOf = (drawn) => (outline) => {
  const points = outline.polygons.flatMap((shape) => shape.points);
  const left = points.reduce((best, point) => (point[0] < best[0] ? point : best));
  const unit = drawn.rows / 100;
  const place = { x: left[0] - unit, y: left[1] + 3 * unit, "text-anchor": "end", "font-size": 2.4 * unit };
  return draw("text", { ...place, fill: colourOf(outline) }, outline.level ?? "");
};

function shapesOf(entry, drawn) {
  const colour = colourOf(entry);
  const unit = drawn.rows / 100;
  const label = ([x, y], text) => draw("text", { x: x + unit, y: y - unit, fill: colour, "font-size": 2.2 * unit }, text);
  if (entry.type === "POINT") {
    const [[x, y]] = entry.points;
    return [draw("circle", { cx: x, cy: y, r: unit, stroke: colour }), label([x, y], short(entry.text))];
  }
  const lines = entry.points.length === 4 ? [entry.points.slice(0, 2), entry.points.slice(2)] : [entry.points];
  return lines.map((points) => draw("polyline", { points: pointsOf({ points }), stroke: colour }));
}

const short = (text) => text.replace(/ \(probability.*\)$/, "");

function drawSeries() {
  at("series").replaceChildren(make("h2", {}, "Series"), ...view.series.map((series) => {
    const button = make("button", { type: "button", "data-series": series.series_uid },
      `${series.modality} ${series.text}`, make("div", { class: "quiet" }, `${series.images.length} images`));
    button.addEventListener("click", () => show(series.series_uid, Math.floor(series.images.length / 2)));
    return button;
  }));
}

function drawFindings() {
  const called = view.overlay.findings.filter((finding) => finding.assessment === "present");
  const absent = view.overlay.findings.filter((finding) => finding.assessment === "absent");
  const numbering = view.overlay.numbering;
  const empty = called.length ? "" : make("p", {}, "Nothing was called where it was assessed.");
  at("findings").replaceChildren(
    make("h2", {}, "Findings"),
    numbering.ambiguous ? make("p", { class: "attention" }, `Level names are uncertain: ${numbering.note}`) : "",
    empty, make("ul", { class: "findings" }, ...called.map(entryOf)),
    make("h3", {}, "Not assessed, which is not normal"), make("ul", {}, ...openQuestions()),
    make("h3", {}, "Assessed and not called"), make("ul", { class: "findings" }, ...absent.map(entryOf)),
    make("p", { class: "quiet" }, `Revision ${view.overlay.revision}. ${view.overlay.notice}`));
}

function openQuestions() {
  const groups = new Map();
  for (const entry of view.overlay.not_assessed) {
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
  const button = make("button", { type: "button", "data-finding": finding.id }, finding.label,
    finding.note ? make("div", { class: "quiet" }, finding.note) : null);
  button.addEventListener("click", () => jump(finding.id));
  mark(button, finding.id === view.chosen);
  return make("li", { "data-entry": finding.id }, button, decisionOf(finding));
}

function say(text) {
  at("message").textContent = text;
}

function step(count) {
  if (view.series_uid) show(view.series_uid, view.index + count);
}

function nextSeries() {
  const index = view.series.findIndex((series) => series.series_uid === view.series_uid);
  const series = view.series[(index + 1) % view.series.length];
  if (series) show(series.series_uid, Math.floor(series.images.length / 2));
}

function toggle(id) {
  at(id).click();
}

const KEYS = {
  ArrowDown: () => step(1), ArrowUp: () => step(-1), PageDown: () => step(5), PageUp: () => step(-5),
  ...REVIEW_KEYS, s: nextSeries, o: () => toggle("show-outlines"), m: () => toggle("show-findings"), w: () => location.assign("/"),
};

document.addEventListener("keydown", (event) => {
  const act = KEYS[event.key];
  if (!act || event.ctrlKey || event.altKey || event.metaKey || event.target.closest("aside, nav") && event.key.length > 1) return;
  if (event.target.closest("form.decision, dialog")) return; // there keys are for words
  event.preventDefault();
  act();
});
at("stage").addEventListener("wheel", (event) => {
  event.preventDefault();
  view.turned += event.deltaY;
  const steps = Math.trunc(view.turned / 50);
  view.turned -= steps * 50;
  if (steps) step(Math.sign(steps));
}, { passive: false });
at("slice").addEventListener("input", () => show(view.series_uid, Number(at("slice").value) - 1));
for (const id of ["show-outlines", "show-findings"]) at(id).addEventListener("change", () => step(0));
at("picture").addEventListener("load", fit);
at("picture").addEventListener("error", () => say("The node cannot render this image."));
new ResizeObserver(fit).observe(at("stage"));
at("bar").addEventListener("submit", (event) => event.preventDefault());
open();
