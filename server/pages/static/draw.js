// Shapes that a reviewer draws. Points are the image's own: (column, row), (0, 0) the upper left corner of the first
// pixel, as the node takes them; where they lie in the patient the node computes from the header.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const ELLIPSE_POINTS = 24;
const NEAR_PX = 9; // on the screen
const TOOLS = {
  POINT: "Mark: arrows and Enter, or a click, set it.",
  OUTLINE: "Outline: arrows and Enter, or clicks, set points; f, or a click on the first point, closes it.",
  ELLIPSE: "Ellipse: two opposite corners of the box around it, by arrows and Enter or by clicks.",
  HANDLE: "Point: arrows move it, h goes to the next one, Enter ends; or drag it.",
};
const drawing = { draft: null, tool: null, points: [], cursor: null, handle: null, dragged: null };

function draw(name, attributes, text = "") {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

const imageNow = () => seriesOf(view.series_uid)?.images[view.index];
const isHere = (shape) => isOn(shape, imageNow());
const shapesHere = () => (drawing.draft?.evidence ?? []).filter(isHere);
const handles = () => shapesHere().flatMap((shape) => cornersOf(shape).map((index) => ({ shape, index })));

// Of a closed outline the last point is the first: it has no handle of its own.
function cornersOf(shape) {
  const last = shape.geometry.points.length - 1;
  return shape.geometry.points.map((_, index) => index).filter((index) => index < last || !isClosed(shape));
}

const isClosed = ({ geometry: { points } }) => points.length > 3 && String(points[0]) === String(points.at(-1));

// From now on shapes go to this draft, an object with the list `evidence`; of each kind it has one.
function drawInto(draft) {
  if (drawing.draft !== draft) Object.assign(drawing, { draft, tool: null, points: [], handle: null });
}

function startTool(tool) {
  if (!drawing.draft || !imageNow()) return;
  Object.assign(drawing, { tool, points: [], handle: null });
  drawing.cursor ??= [imageNow().columns / 2, imageNow().rows / 2];
  at("viewport").focus();
  drawDraft();
}

function nextHandle() {
  const all = handles();
  if (!all.length) return;
  const now = all.findIndex((one) => one.shape === drawing.handle?.shape && one.index === drawing.handle?.index);
  Object.assign(drawing, { tool: "HANDLE", handle: all[(now + 1) % all.length] });
  drawing.cursor = [...drawing.handle.shape.geometry.points[drawing.handle.index]];
  at("viewport").focus();
  drawDraft();
}

function endTool() {
  Object.assign(drawing, { tool: null, points: [], handle: null, cursor: null });
  drawDraft();
}

const rounded = ([column, row]) => {
  const { columns, rows } = imageNow();
  const inside = (value, most) => Math.round(Math.min(most, Math.max(0, value)) * 100) / 100;
  return [inside(column, columns), inside(row, rows)];
};

function setPoint(point) {
  drawing.points.push(rounded(point));
  const [first, last] = drawing.points;
  if (drawing.tool === "POINT") keepShape("POINT", [first]);
  else if (drawing.tool === "ELLIPSE" && last) keepShape("POLYLINE", ellipse(first, last));
  else drawDraft();
}

function closeOutline() {
  if (drawing.points.length < 3) return;
  keepShape("POLYLINE", [...drawing.points, drawing.points[0]]);
}

function ellipse([x0, y0], [x1, y1]) {
  if (x0 === x1 || y0 === y1) return [];
  const turns = Array.from({ length: ELLIPSE_POINTS }, (_, i) => (2 * Math.PI * i) / ELLIPSE_POINTS);
  const points = turns.map((turn) => rounded([
    (x0 + x1) / 2 + (Math.abs(x1 - x0) / 2) * Math.cos(turn), (y0 + y1) / 2 + (Math.abs(y1 - y0) / 2) * Math.sin(turn)]));
  return [...points, points[0]];
}

function keepShape(type, points) {
  const { sop_uid, frame } = imageNow();
  const shape = { sop_instance_uid: sop_uid, frame, geometry: { type, points }, measurement: null };
  if (points.length) putShape(shape);
  endTool();
  drawFindings();
}

function putShape(shape) {
  const isLike = (other) => other.geometry.type === shape.geometry.type && other.measurement === shape.measurement;
  const kept = (drawing.draft.evidence ?? []).filter((other) => !isLike(other));
  drawing.draft.evidence = [...kept, shape];
  const corrected = view.overlay.findings.find((finding) => finding.id === view.chosen);
  if (drawing.draft.question === undefined && corrected) suggest(corrected, "R_GEOMETRY");
}

function movePoint({ shape, index }, point) {
  const points = shape.geometry.points;
  if (index === 0 && isClosed(shape)) points[points.length - 1] = rounded(point);
  points[index] = rounded(point);
}

// A mark of the AI, taken over to be moved. A line stays the line of its measurement, which is then measured anew.
function takeOver(image, mark) {
  const points = mark.points.map((point) => [...point]);
  const type = mark.type === "POINT" ? "POINT" : "POLYLINE";
  putShape({ sop_instance_uid: image.sop_instance_uid, frame: image.frame, geometry: { type, points }, measurement: mark.measurement });
  show(image.series_instance_uid, seriesOf(image.series_instance_uid).images.findIndex((one) => isOn(image, one)));
  drawFindings();
  nextHandle();
}

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// Whether a key was for the shape that is being drawn.
function drawKey(event) {
  if (!drawing.tool) return false;
  const step = STEPS[event.key];
  if (step) {
    const length = event.shiftKey ? 10 : event.altKey ? 0.25 : 1;
    drawing.cursor = rounded([drawing.cursor[0] + length * step[0], drawing.cursor[1] + length * step[1]]);
    if (drawing.handle) movePoint(drawing.handle, drawing.cursor);
    drawDraft();
    return true;
  }
  const act = {
    Enter: () => (drawing.tool === "HANDLE" ? endTool() : setPoint(drawing.cursor)), Escape: endTool, h: nextHandle,
    Backspace: () => { drawing.points.pop(); drawDraft(); }, f: closeOutline,
  }[event.key];
  act?.();
  return Boolean(act);
}

function pointOf(event) {
  const box = at("picture").getBoundingClientRect();
  const { columns, rows } = imageNow();
  return rounded([((event.clientX - box.left) / box.width) * columns, ((event.clientY - box.top) / box.height) * rows]);
}

function isNear(event, [column, row]) {
  const box = at("picture").getBoundingClientRect();
  const { columns, rows } = imageNow();
  const away = [event.clientX - box.left - (column / columns) * box.width, event.clientY - box.top - (row / rows) * box.height];
  return Math.hypot(...away) < NEAR_PX;
}

function pressed(event) {
  if (event.button !== 0 || !drawing.draft || !imageNow()) return;
  const held = handles().find(({ shape, index }) => isNear(event, shape.geometry.points[index]));
  if (held && (!drawing.tool || drawing.tool === "HANDLE")) {
    drawing.dragged = held;
    at("stage").setPointerCapture(event.pointerId);
    event.preventDefault();
  } else if (drawing.tool && drawing.tool !== "HANDLE") {
    const closes = drawing.tool === "OUTLINE" && drawing.points.length > 2 && isNear(event, drawing.points[0]);
    if (closes) closeOutline(); else setPoint(pointOf(event));
  }
}

function moved(event) {
  if (drawing.dragged) movePoint(drawing.dragged, pointOf(event));
  else if (drawing.tool && drawing.tool !== "HANDLE") drawing.cursor = pointOf(event);
  else return;
  drawDraft();
}

function drawDraft() {
  at("drawn").replaceChildren();
  at("drawing").textContent = drawing.tool ? `${TOOLS[drawing.tool]} Esc ends.` : "";
  const image = imageNow();
  if (!image || !drawing.draft) return;
  at("drawn").setAttribute("viewBox", `0 0 ${image.columns} ${image.rows}`);
  const box = at("picture").getBoundingClientRect();
  const unit = [image.columns / (box.width || 1), image.rows / (box.height || 1)]; // image units of one screen pixel
  for (const shape of shapesHere()) at("drawn").append(...linesOf(shape.geometry.points, isClosed(shape)));
  for (const { shape, index } of handles()) {
    const is_held = shape === drawing.handle?.shape && index === drawing.handle?.index;
    at("drawn").append(dot(shape.geometry.points[index], unit, is_held ? "held handle" : "handle"));
  }
  if (!drawing.tool || drawing.tool === "HANDLE") return;
  at("drawn").append(...linesOf([...drawing.points, drawing.cursor], true), ...drawing.points.map((point) => dot(point, unit, "handle")));
  const [x, y] = drawing.cursor;
  const arm = [14 * unit[0], 14 * unit[1]];
  at("drawn").append(...linesOf([[x - arm[0], y], [x + arm[0], y]], true), ...linesOf([[x, y - arm[1]], [x, y + arm[1]]], true));
}

function dot([cx, cy], unit, kind) {
  return draw("ellipse", { cx, cy, rx: 4.5 * unit[0], ry: 4.5 * unit[1], class: kind });
}

// Four points that go around nothing are two lines with an angle between them.
function linesOf(points, is_outline) {
  if (points.length < 2) return [];
  const parts = points.length === 4 && !is_outline ? [points.slice(0, 2), points.slice(2)] : [points];
  return parts.map((part) => draw("polyline", { points: part.map((point) => point.join(",")).join(" ") }));
}

document.addEventListener("DOMContentLoaded", () => {
  at("stage").addEventListener("pointerdown", pressed);
  at("stage").addEventListener("pointermove", moved);
  at("stage").addEventListener("pointerup", () => { drawing.dragged = null; });
});
