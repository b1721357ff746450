// The built-in viewer: one image at a time as the node renders it, with outlines and findings drawn over it.
"use strict";

const IMAGES = new Set(["CR", "CT", "DX", "MR", "NM", "OT", "PT", "RF", "US", "XA", "XC"]);
const asked = new URLSearchParams(location.search);
const uid = asked.get("StudyInstanceUIDs") ?? "";
// `overlay` is what the AI said, from which a review starts; `reviewed` what the newest review left; `shown` one of them.
const view = { series: [], overlay: null, reviewed: null, shown: null, series_uid: null, index: 0, turned: 0, chosen: null, stretch: 1,
  is_beside: asked.get("beside") === "ohif" };
const web = (path) => `/dicom-web/studies/${encodeURIComponent(uid)}${path}`;

const one = (entry, tag) => entry[tag]?.Value?.[0];

async function open() {
  at("hint").hidden = location.pathname !== "/viewer";
  if (!/^[0-9.]{1,64}$/.test(uid)) return say("The address names no study; open one from the worklist.");
  at("title").textContent = `Study ${uid}`;
  at("other").href = `/study?StudyInstanceUIDs=${uid}${view.is_beside ? "" : "&beside=ohif"}`;
  at("other").textContent = view.is_beside ? "Built-in viewer" : "Beside OHIF";
  if (view.is_beside) openBeside();
  try {
    const found = await read(web("/series?includefield=0008103E"), "application/dicom+json");
    const images = found.filter((entry) => IMAGES.has(one(entry, "00080060")));
    view.series = await Promise.all(images.map(describe));
  } catch (error) {
    return say(error.message);
  }
  try {
    view.overlay = view.shown = await read(api("/overlay"));
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
  const listed = await read(web(`/series/${series_uid}/instances?includefield=00280008,00280010,00280011`), "application/dicom+json");
  listed.sort((a, b) => (one(a, "00200013") ?? 0) - (one(b, "00200013") ?? 0));
  const images = listed.flatMap((instance) => framesOf(series_uid, instance));
  return { series_uid, images, modality: one(entry, "00080060"), text: one(entry, "0008103E") ?? "no description" };
}

function framesOf(series_uid, instance) {
  const sop_uid = one(instance, "00080018");
  const place = web(`/series/${series_uid}/instances/${sop_uid}`);
  const size = { rows: one(instance, "00280010"), columns: one(instance, "00280011") };
  const frames = Number(one(instance, "00280008") ?? 1);
  if (frames === 1) return [{ sop_uid, frame: null, ...size, address: `${place}/rendered` }];
  return Array.from({ length: frames }, (_, i) => ({ sop_uid, frame: i + 1, ...size, address: `${place}/frames/${i + 1}/rendered` }));
}

const isOn = (drawn, image) => drawn.sop_instance_uid === image.sop_uid && (drawn.frame ?? 1) === (image.frame ?? 1);
const drawnOn = (image) => view.shown?.images.find((drawn) => isOn(drawn, image));
const seriesOf = (series_uid) => view.series.find((series) => series.series_uid === series_uid);

function showFirst() {
  if (view.is_beside) return undefined;
  if (!view.series.length) return say("The study has no image that can be shown.");
  const called = view.shown?.findings.find((finding) => finding.assessment === "present" && placeOf(finding.id));
  if (called) return jump(called.id);
  const series = view.series.find((entry) => entry.images.some(drawnOn)) ?? view.series[0];
  return show(series.series_uid, Math.floor(series.images.length / 2));
}

// Where a finding is marked: on its own point if it has one, else on the first of its measurements.
function placeOf(finding) {
  const marked = (view.shown?.images ?? []).flatMap((image) =>
    image.marks.filter((mark) => mark.finding === finding).map((mark) => ({ image, own: mark.measurement === null })));
  return (marked.find((mark) => mark.own) ?? marked[0])?.image;
}

function jump(finding) {
  view.chosen = finding;
  review.open = null;
  const place = placeOf(finding);
  const series = place && seriesOf(place.series_instance_uid);
  const index = series ? series.images.findIndex((image) => isOn(place, image)) : -1;
  if (index >= 0) (view.is_beside ? jumpInOhif : show)(series.series_uid, index);
  for (const entry of at("findings").querySelectorAll("[data-finding]")) mark(entry, entry.dataset.finding === finding);
  draftOfChosen();
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
  for (const entry of at("series").querySelectorAll("button")) mark(entry, entry.dataset.series === series_uid);
  drawMarks(drawnOn(image));
  drawDraft();
}

// What the newest review left, or what the AI said.
function showReviewed(is_reviewed) {
  view.shown = is_reviewed && view.reviewed ? view.reviewed : view.overlay;
  at("show-reviewed").checked = view.shown === view.reviewed;
  at("show-reviewed").disabled = at("show-rejected").disabled = !view.reviewed;
  drawFindings();
  step(0);
}

// The image fills the stage in the patient's proportions; the overlay has the image's own coordinates.
async function fit() {
  const picture = at("picture");
  if (!picture.naturalWidth) return;
  say("");
  const [row_mm, column_mm] = await spacingOf(seriesOf(view.series_uid));
  view.stretch = row_mm / column_mm; // what is written over the image is not drawn out with its pixels
  const width = picture.naturalWidth * column_mm;
  const height = picture.naturalHeight * row_mm;
  const scale = Math.min(at("stage").clientWidth / width, at("stage").clientHeight / height);
  at("image").style.width = `${width * scale}px`;
  at("image").style.height = `${height * scale}px`;
  drawMarks(drawnOn(imageNow()));
  drawDraft();
}

// Distance between rows and between columns: of the overlay, else of one header, else pixels are taken for square.
function spacingOf(series) {
  series.spacing ??= (async () => {
    const known = series.images.map(drawnOn).find((drawn) => drawn?.plane);
    if (known) return known.plane.spacing_mm;
    const place = web(`/series/${series.series_uid}/instances/${series.images[0].sop_uid}/metadata`);
    const [header] = await read(place, "application/dicom+json").catch(() => [{}]);
    return header["00280030"]?.Value ?? header["00181164"]?.Value ?? [1, 1];
  })();
  return series.spacing;
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
// A finding that was rejected keeps the AI's marks, dashed, unless they are switched off.
function isDrawn(entry) {
  const finding = view.shown.findings.find((found) => found.id === entry.finding);
  if (entry.review === "rejected" && !at("show-rejected").checked) return false;
  return entry.finding === view.chosen || (finding?.review?.original ?? finding)?.assessment === "present"
    || finding?.assessment === "present";
}

const nameOf = (drawn) => (outline) => {
  const points = outline.polygons.flatMap((shape) => shape.points);
  const left = points.reduce((best, point) => (point[0] < best[0] ? point : best));
  const unit = drawn.rows / 100;
  const look = { "text-anchor": "end", "font-size": 2.4 * unit, fill: colourOf(outline) };
  return write([left[0] - unit, left[1] + 3 * unit], look, outline.level ?? "");
};

function write([x, y], look, text) {
  return draw("text", { ...look, transform: `translate(${x} ${y}) scale(${view.stretch} 1)` }, text);
}

function shapesOf(entry, drawn) {
  const colour = colourOf(entry);
  const kind = `${entry.review ?? ""} ${entry.is_dashed ? "dashed" : ""}`;
  const unit = drawn.rows / 100;
  const label = ([x, y], text) => write([x + unit, y - unit], { fill: colour, "font-size": 2.2 * unit }, text);
  if (entry.type === "POINT") {
    const [[x, y]] = entry.points;
    return [draw("ellipse", { cx: x, cy: y, rx: unit * view.stretch, ry: unit, stroke: colour, class: kind }), label([x, y], short(entry.text))];
  }
  const lines = entry.type === "TWO_LINES" ? [entry.points.slice(0, 2), entry.points.slice(2)] : [entry.points];
  return lines.map((points) => draw("polyline", { points: pointsOf({ points }), stroke: colour, class: kind }));
}

const short = (text) => text.replace(/ \(probability[^)]*\)/, "");

function drawSeries() {
  at("series").replaceChildren(make("h2", {}, "Series"), ...view.series.map((series) => {
    const words = [`${series.modality} ${series.text}`, make("div", { class: "quiet" }, `${series.images.length} images`)];
    return button(words, () => show(series.series_uid, Math.floor(series.images.length / 2)), { "data-series": series.series_uid });
  }));
}

function say(text) {
  at("message").textContent = text;
}

function step(count) {
  if (view.series_uid && !view.is_beside) show(view.series_uid, view.index + count);
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
  ...REVIEW_KEYS, s: nextSeries, o: () => toggle("show-outlines"), m: () => toggle("show-findings"),
  x: () => toggle("show-rejected"), i: () => toggle("show-reviewed"), w: () => location.assign("/"),
};

document.addEventListener("keydown", (event) => {
  const is_drawing = !event.ctrlKey && !event.metaKey && !event.target.closest("form.decision, dialog");
  if (is_drawing && drawKey(event)) { event.preventDefault(); return; }
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
for (const id of ["show-outlines", "show-findings", "show-rejected"]) at(id).addEventListener("change", () => step(0));
at("show-reviewed").addEventListener("change", () => showReviewed(at("show-reviewed").checked));
at("picture").addEventListener("load", fit);
at("picture").addEventListener("error", () => say("The node cannot render this image."));
new ResizeObserver(fit).observe(at("stage"));
at("bar").addEventListener("submit", (event) => event.preventDefault());
open();
