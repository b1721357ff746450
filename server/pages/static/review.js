// What a person decides about the findings of a study. Nothing leaves the page before it is confirmed, by name.
"use strict";

const review = { decisions: new Map(), choices: null, past: [], key: null, names_reviewer: false };
const api = (path) => `/api/v1/studies/${encodeURIComponent(uid)}${path}`;
const DONE = { accept: "accepted", reject: "rejected", correct: "corrected" };
const WHO = ["name", "identifier", "organisation"];

async function openReview() {
  const me = await read("/api/v1/me", "application/json");
  review.may = me.permissions.includes("review");
  review.names_reviewer = me.method === "loopback";
  review.choices = await read("/api/v1/reviews/choices", "application/json");
  at("who").hidden = !review.names_reviewer;
  for (const field of WHO) {
    at(`who-${field}`).required = review.names_reviewer;
    at(`who-${field}`).value = sessionStorage.getItem(`who-${field}`) ?? "";
  }
  await readPast();
}

async function readPast() {
  review.past = (await read(api("/reviews"), "application/json")).reviews;
  drawReview();
}

const ofThis = () => review.past.filter((entry) => entry.revision === view.overlay?.revision).at(-1);

function drawReview() {
  const last = ofThis();
  const state = last
    ? `Reviewed by ${last.reviewer.name}, ${new Date(last.reviewed_at).toLocaleString()} (review ${last.number}). ` +
      `Verified report: ${last.report.state}${last.report.reason ? `, ${last.report.reason}` : ""}. ` +
      "Below is what the AI said, from which another review would start."
    : "Not reviewed by a physician.";
  const count = review.decisions.size;
  const button = make("button", { type: "button", id: "verify" }, "Review and verify ", make("kbd", {}, "v"));
  button.disabled = !review.may;
  button.addEventListener("click", confirmReview);
  at("review").replaceChildren(
    make("h2", {}, "Review"), make("p", { class: last ? "good" : "attention", role: "status" }, state),
    count ? make("p", {}, `${count} decided here, not sent yet.`) : "", button,
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

function formOf(finding, made) {
  const form = make("form", { class: "decision", "aria-label": `${made.action} ${finding.label}` });
  const add = (label, control, take) => {
    control.addEventListener("change", () => take(control.value || null));
    control.id = `${label}-${finding.id}`;
    form.append(make("label", { for: control.id }, label), control);
  };
  const reasons = review.choices.reasons[made.action].map((reason) => [reason.code, reason.words]);
  add("Reason", select(reasons, made.reason), (value) => { made.reason = value; });
  if (made.action === "correct") addCorrections(finding, made.correction, add);
  const note = make("input", { type: "text", maxlength: 1000, value: made.note ?? "" });
  add("Note", note, (value) => { made.note = value; });
  form.addEventListener("submit", (event) => event.preventDefault());
  return form;
}

function addCorrections(finding, correction, add) {
  const levels = review.choices.levels[finding.site.level?.includes("-") ? "disc" : "vertebra"];
  const listed = (values) => [["", "as it is"], ...values.map((value) => [value, value])];
  if (finding.site.level) add("Level", select(listed(levels), correction.level ?? ""), (value) => put(correction, "level", value));
  const answers = listed(["present", "absent"].filter((answer) => answer !== finding.assessment));
  add("Answer", select(answers, correction.assessment ?? ""), (value) => put(correction, "assessment", value));
  for (const [scale, values] of Object.entries(review.choices.scales[finding.question] ?? {})) {
    const given = correction.grades?.find((grade) => grade.scale === scale)?.value ?? "";
    add(scale.replaceAll("_", " "), select(listed(values), given), (value) => putGrade(correction, scale, value));
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

function select(options, chosen) {
  const control = make("select");
  for (const [value, text] of options) control.append(make("option", { value }, text));
  control.value = chosen;
  return control;
}

function decide(action) {
  const finding = view.overlay?.findings.find((entry) => entry.id === view.chosen);
  if (!finding || !review.may) return;
  if (review.decisions.get(finding.id)?.action === action) review.decisions.delete(finding.id);
  else review.decisions.set(finding.id, begun(finding, action));
  review.key = null;
  drawFindings();
  drawReview();
  at("findings").querySelector(`[data-entry="${finding.id}"] select`)?.focus();
}

function begun(finding, action) {
  if (action === "accept") return { id: finding.id, action };
  const reason = review.choices.reasons[action][0].code;
  return action === "reject" ? { id: finding.id, action, reason } : { id: finding.id, action, reason, correction: {} };
}

function confirmReview() {
  if (!review.may || !view.overlay) return;
  const counts = Object.entries(DONE).map(([action, word]) =>
    `${[...review.decisions.values()].filter((made) => made.action === action).length} ${word}`);
  const rest = view.overlay.findings.length + view.overlay.not_assessed.length ? ", everything else accepted as it is" : "";
  at("summary").textContent = `${counts.join(", ")}${rest}. A verified report is made and sent.`;
  at("refusal").textContent = "";
  at("confirm").showModal();
  const empty = review.names_reviewer && WHO.find((field) => !at(`who-${field}`).value);
  at(empty ? `who-${empty}` : "send").focus();
}

async function send(event) {
  event.preventDefault();
  review.key ??= crypto.randomUUID(); // the same review may be sent twice, and is recorded once
  const who = Object.fromEntries(WHO.map((field) => [field, at(`who-${field}`).value]));
  const body = { revision: view.overlay.revision, accept_rest: true, findings: [...review.decisions.values()] };
  if (review.names_reviewer) {
    body.reviewer = who;
    for (const field of WHO) sessionStorage.setItem(`who-${field}`, who[field]);
  }
  if (review.past.length) body.supersedes = review.past.at(-1).number;
  const headers = { "Content-Type": "application/json", "Idempotency-Key": review.key };
  try {
    const answer = await fetch(api("/reviews"), { method: "POST", headers, body: JSON.stringify(body), credentials: "same-origin" });
    if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail ?? `The node answered ${answer.status}.`);
  } catch (error) {
    at("refusal").textContent = error.message;
    return;
  }
  review.decisions.clear();
  review.key = null;
  at("confirm").close();
  drawFindings();
  await readPast();
}

const REVIEW_KEYS = { a: () => decide("accept"), r: () => decide("reject"), c: () => decide("correct"), v: confirmReview };

document.addEventListener("DOMContentLoaded", () => {
  at("confirmation").addEventListener("submit", send);
  at("cancel").addEventListener("click", () => at("confirm").close());
});
