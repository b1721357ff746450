// What a person decides about the findings of a study. Nothing leaves the page before it is confirmed, by name.
"use strict";

const review = { decisions: new Map(), reasoned: new Set(), added: [], open: null, choices: null, past: [], key: null, names_reviewer: false };
const api = (path) => `/api/v1/studies/${encodeURIComponent(uid)}${path}`;
const DONE = { accept: "accepted", reject: "rejected", correct: "corrected" };
const REPORT_MS = 3000;
const WHO = ["name", "identifier", "organisation"];

async function openReview() {
  const me = await read("/api/v1/me");
  review.may = me.permissions.includes("review");
  review.names_reviewer = me.method === "loopback";
  review.choices = await read("/api/v1/reviews/choices");
  at("who").hidden = !review.names_reviewer;
  for (const field of WHO) {
    at(`who-${field}`).required = review.names_reviewer;
    at(`who-${field}`).value = sessionStorage.getItem(`who-${field}`) ?? "";
  }
  await readPast();
}

async function readPast() {
  review.past = (await read(api("/reviews"))).reviews;
  if (ofThis()) view.reviewed = await read(api("/overlay?reviewed=true"));
  showReviewed(Boolean(view.reviewed));
  drawReview();
  followReport();
}

// The report is made after the review was committed: its state is asked for until it is made.
async function followReport() {
  while (["queued", "running"].includes(ofThis()?.report.state)) {
    await new Promise((resolve) => { setTimeout(resolve, REPORT_MS); });
    try {
      review.past = (await read(api("/reviews"))).reviews;
    } catch { continue; } // the node is away for a moment
    if (!review.added.length) drawReview();
  }
}

const ofThis = () => review.past.filter((entry) => entry.revision === view.overlay?.revision).at(-1);

function drawReview() {
  const last = ofThis();
  const state = last
    ? `Reviewed by ${last.reviewer.name}, ${new Date(last.reviewed_at).toLocaleString()} (review ${last.number}). ` +
      `Verified report: ${last.report.state}${last.report.reason ? `, ${last.report.reason}` : ""}.`
    : "Not reviewed by a physician.";
  const count = review.decisions.size + review.added.length;
  const verify = button(["Review and verify ", make("kbd", {}, "v")], confirmReview, { id: "verify" });
  const add = button(["Add a missed finding ", make("kbd", {}, "n")], addFinding, { id: "add" });
  verify.disabled = add.disabled = !review.may;
  at("review").replaceChildren(
    make("h2", {}, "Review"), make("p", { class: last ? "good" : "attention", role: "status" }, state),
    last ? make("p", { class: "quiet" }, "Another review would start from what the AI said; ", keyed("i", "shows it.")) : "",
    count ? make("p", {}, `${count} decided here, not sent yet.`) : "", verify, " ", add,
    make("ul", { class: "findings" }, ...review.added.map(addedEntry)),
    make("p", { class: "quiet" }, review.may ? "On the chosen finding: " : "You may not review.",
      ...(review.may ? [keyed("a", "accept"), keyed("r", "reject"), keyed("c", "correct")] : [])));
}

const keyed = (key, word) => make("span", { class: "key" }, make("kbd", {}, key), ` ${word} `);

// Beside the entry of a finding: what was decided here, and the form of the decision that is being made.
function decisionOf(finding) {
  const made = review.decisions.get(finding.id);
  if (!made) return null;
  const words = make("p", { class: "decision" }, DONE[made.action]);
  if (made.action === "accept") return words;
  return make("div", {}, words, formOf(finding, made));
}

function newForm(name) {
  const form = make("form", { class: "decision", "aria-label": name });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("keydown", (event) => { if (event.key === "Escape") at("viewport").focus(); });
  return form;
}

// A labelled control of a form, whose value is taken at every change; an empty one is null.
function field(form, label, id, control, take) {
  control.addEventListener("change", () => take(control.value || null));
  control.id = `${label.replaceAll(" ", "-")}-${id}`;
  form.append(make("label", { for: control.id }, label), control);
}

function formOf(finding, made) {
  const form = newForm(`${made.action} ${finding.label}`);
  const add = (label, control, take) => field(form, label, finding.id, control, take);
  const reasons = review.choices.reasons[made.action].map((reason) => [reason.code, reason.words]);
  add("Reason", select(reasons, made.reason), (value) => { made.reason = value; review.reasoned.add(finding.id); });
  if (made.action === "correct") addCorrections(finding, made.correction, add);
  const note = make("input", { type: "text", maxlength: 1000, value: made.note ?? "" });
  add("Note", note, (value) => { made.note = value; });
  if (made.action === "correct") form.append(shapesForm(made.correction, marksOf(finding.id)));
  return form;
}

const listed = (values) => [["", "as it is"], ...values.map((value) => [value, value])];

function addCorrections(finding, correction, add) {
  const levels = review.choices.levels[finding.site.level?.includes("-") ? "disc" : "vertebra"];
  if (finding.site.level) add("Level", select(listed(levels), correction.level ?? ""), (value) => { put(correction, "level", value); suggest(finding, "R_LEVEL"); });
  const answers = listed(["present", "absent"].filter((answer) => answer !== finding.assessment));
  add("Answer", select(answers, correction.assessment ?? ""), (value) => {
    put(correction, "assessment", value);
    suggest(finding, value === "present" ? "R_MISSED" : "R_NOT_THERE");
  });
  addGrades(finding.question, correction, add, "as it is", () => suggest(finding, "R_GRADE"));
}

// The reason that goes with what is corrected, until the person has chosen one.
function suggest(finding, code) {
  const made = review.decisions.get(finding.id);
  if (!made || review.reasoned.has(finding.id)) return;
  made.reason = code;
  const control = at(`Reason-${finding.id}`);
  if (control) control.value = code;
}

function addGrades(question, target, add, none, then = () => {}) {
  for (const [scale, values] of Object.entries(review.choices.scales[question] ?? {})) {
    const given = target.grades?.find((grade) => grade.scale === scale)?.value ?? "";
    const options = [["", none], ...values.map((value) => [value, value])];
    add(scale.replaceAll("_", " "), select(options, given), (value) => { putGrade(target, scale, value); then(); });
  }
}

function put(correction, name, value) {
  if (value === null) delete correction[name]; else correction[name] = value;
}

function putGrade(correction, scale, value) {
  const others = (correction.grades ?? []).filter((grade) => grade.scale !== scale);
  const grades = value ? [...others, { scale, value }] : others;
  put(correction, "grades", grades.length ? grades : null);
}

function decide(action) {
  if (!review.may) return;
  const finding = view.overlay?.findings.find((entry) => entry.id === view.chosen);
  if (!finding) return;
  review.open = null;
  showReviewed(false);
  if (review.decisions.get(finding.id)?.action === action) review.decisions.delete(finding.id);
  else review.decisions.set(finding.id, decisionFor(action, finding));
  draftOfChosen();
  drawReview();
  drawFindings();
  if (action !== "accept") at("findings").querySelector(`[data-entry="${CSS.escape(finding.id)}"] select`)?.focus();
}

function decisionFor(action, finding) {
  const reason = action === "accept" ? null : review.choices.reasons[action][0].code;
  const made = { id: finding.id, action, reason, note: null };
  return action === "correct" ? { ...made, correction: {} } : made;
}

// Shapes are drawn for the finding that is being corrected, or added.
function draftOfChosen() {
  const made = review.decisions.get(view.chosen);
  drawInto(review.open ?? made?.correction ?? null);
  drawDraft();
}

function confirmReview() {
  if (!review.may || !view.overlay) return;
  const placeless = review.added.find((added) => needsLevel(added) && !added.site.level);
  if (placeless) {
    review.open = placeless;
    redrawAdded();
    at("drawing").textContent = "An added finding needs its level.";
    at("Level-added").focus();
    return;
  }
  const counts = Object.entries(DONE).map(([action, word]) =>
    `${[...review.decisions.values()].filter((made) => made.action === action).length} ${word}`);
  const rest = view.overlay.findings.length + view.overlay.not_assessed.length ? ", everything else accepted as it is" : "";
  at("summary").textContent = `${counts.join(", ")}, ${review.added.length} added${rest}. A verified report is made and sent.`;
  at("refusal").textContent = "";
  at("confirm").showModal();
  const empty = review.names_reviewer && WHO.find((name) => !at(`who-${name}`).value);
  at(empty ? `who-${empty}` : "send").focus();
}

async function send(event) {
  event.preventDefault();
  review.key ??= crypto.randomUUID(); // the same review may be sent twice, and is recorded once
  const who = Object.fromEntries(WHO.map((name) => [name, at(`who-${name}`).value]));
  const body = { revision: view.overlay.revision, accept_rest: true, findings: [...review.decisions.values()], added: review.added };
  if (review.names_reviewer) {
    body.reviewer = who;
    for (const name of WHO) sessionStorage.setItem(`who-${name}`, who[name]);
  }
  if (review.past.length) body.supersedes = review.past.at(-1).number;
  const headers = { "Content-Type": "application/json", "Idempotency-Key": review.key };
  try {
    const answer = await fetch(api("/reviews"), { method: "POST", headers, body: JSON.stringify(body), credentials: "same-origin" });
    if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail ?? `The node answered ${answer.status}.`);
  } catch (error) {
    review.key = null; // what is changed now is another review
    at("refusal").textContent = error.message;
    return;
  }
  Object.assign(review, { decisions: new Map(), reasoned: new Set(), added: [], open: null, key: null });
  at("confirm").close();
  draftOfChosen();
  await readPast();
}

const REVIEW_KEYS = {
  a: () => decide("accept"), r: () => decide("reject"), c: () => decide("correct"), v: confirmReview, n: () => addFinding(),
  p: () => startTool("POINT"), g: () => startTool("OUTLINE"), e: () => startTool("ELLIPSE"), h: () => nextHandle(),
};

document.addEventListener("DOMContentLoaded", () => {
  at("confirmation").addEventListener("submit", send);
  at("cancel").addEventListener("click", () => at("confirm").close());
});
