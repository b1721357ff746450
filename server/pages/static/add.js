// A finding that the AI missed, and the shapes of a finding that is added or corrected.
"use strict";

function addFinding() {
  if (!review.may || !view.overlay) return;
  showReviewed(false);
  const [question] = review.choices.questions;
  review.open = { question: question.code, site: {}, assessment: "present", grades: [], evidence: [], note: null };
  review.added.push(review.open);
  redrawAdded();
  at("review").querySelector("form.decision select")?.focus();
}

function redrawAdded() {
  draftOfChosen();
  drawReview();
}

const questionOf = (added) => review.choices.questions.find((question) => question.code === added.question);

function addedEntry(added) {
  const place = [added.site.level ?? "no level yet", partOf(added)].filter(Boolean).join(" ");
  const words = `${place}: ${questionOf(added).name}, ${added.assessment}`;
  const open = button(words, () => { review.open = review.open === added ? null : added; redrawAdded(); },
    { "aria-expanded": String(review.open === added) });
  return make("li", {}, open, review.open === added ? addedForm(added) : "");
}

const needsLevel = (added) => questionOf(added).needs_level;
const siteOf = (part) => JSON.stringify(part.site);
const partOf = (added) => questionOf(added).parts.find((part) => siteOf(part) === restOf(added))?.words;

function restOf(added) {
  const { level, ...rest } = added.site;
  return JSON.stringify(rest);
}

function addedForm(added) {
  const question = questionOf(added);
  const form = newForm(`Add ${question.name}`);
  const add = (label, control, take) => field(form, label, "added", control, take);
  const questions = review.choices.questions.map((one) => [one.code, one.name]);
  add("Question", select(questions, added.question), (value) => askedOf(added, value));
  const levels = [["", "choose"], ...review.choices.levels[question.levels].map((level) => [level, level])];
  add("Level", select(levels, added.site.level ?? ""), (value) => { put(added.site, "level", value); redrawAdded(); at("Place-added")?.focus(); });
  if (question.parts.length > 1) {
    const parts = question.parts.map((part) => [siteOf(part), part.words || "not said"]);
    add("Place", select(parts, restOf(added)), (value) => { added.site = { ...(added.site.level ? { level: added.site.level } : {}), ...JSON.parse(value) }; });
  }
  add("Answer", select([["present", "present"], ["absent", "absent"]], added.assessment), (value) => { added.assessment = value; });
  addGrades(added.question, added, add, "not said");
  add("Note", make("input", { type: "text", maxlength: 1000, value: added.note ?? "" }), (value) => { added.note = value; });
  form.append(shapesForm(added, []), button("Leave it out", () => {
    review.added = review.added.filter((other) => other !== added);
    review.open = null;
    redrawAdded();
  }));
  return form;
}

// Another question has other levels, places and grades; shapes stay where they were drawn.
function askedOf(added, code) {
  const levels = review.choices.levels[review.choices.questions.find((one) => one.code === code).levels];
  const level = levels.includes(added.site.level) ? { level: added.site.level } : {};
  Object.assign(added, { question: code, grades: [] });
  added.site = { ...level, ...questionOf(added).parts[0].site };
  redrawAdded();
  at("Level-added").focus();
}

const marksOf = (id) => view.overlay.images.flatMap((image) =>
  image.marks.filter((one) => one.finding === id).map((one) => ({ image, one })));

// Buttons that draw, and the list of what was drawn; for a correction, also the AI's own marks to be moved.
function shapesForm(draft, marks) {
  if (view.is_beside) return make("p", { class: "quiet" }, "Shapes are drawn in the built-in viewer.");
  const drawnList = (draft.evidence ?? []).map((shape) => make("li", {}, `${wordsOf(shape)} `, button("remove", () => {
    draft.evidence = draft.evidence.filter((other) => other !== shape);
    if (!draft.evidence.length && draft.question === undefined) delete draft.evidence;
    endTool();
    drawReview();
    drawFindings();
  })));
  const movable = marks.map(({ image, one }) =>
    button(`Move ${one.measurement?.replaceAll("_", " ") ?? one.type.toLowerCase()}`, () => takeOver(image, one)));
  const tool = (name, words, key) => button([words, " ", make("kbd", {}, key)], () => startTool(name));
  return make("fieldset", { class: "shapes" }, make("legend", {}, "On the image"),
    tool("POINT", "Mark", "p"), tool("OUTLINE", "Outline", "g"), tool("ELLIPSE", "Ellipse", "e"),
    button(["Move a point ", make("kbd", {}, "h")], nextHandle), ...movable, make("ul", {}, ...drawnList));
}

function wordsOf(shape) {
  const kind = shape.geometry.type === "POINT" ? "mark" : "outline";
  const series = view.series.find((one) => one.images.some((image) => isOn(shape, image)));
  const number = series ? series.images.findIndex((image) => isOn(shape, image)) + 1 : "?";
  return `${shape.measurement?.replaceAll("_", " ") ?? kind}, ${series?.text ?? "unknown series"}, image ${number}`;
}
